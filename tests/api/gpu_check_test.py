#!/usr/bin/env python3
"""tools/gpu_check: a bundle runs where it was not built, and what fails in it is told. Test programs of the bundle are stand-ins here.

usage: gpu_check_test.py PROGRAM WRITE_TINY_MODEL [NAME-OF-A-CASE...]
"""
import json
import pathlib
import shutil
import subprocess
import sys

from program_support import ENVIRONMENT, FOLDER, PROGRAM, case, main

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "gpu_check"
TESTS = ("conformance_test", "test_golden_model", "test_golden_bits")
SUMMARY = "[doctest] test cases: 5 | {} passed | {} failed | 0 skipped"


def call(tool, *arguments, code):
    done = subprocess.run([sys.executable, str(tool), *map(str, arguments)], capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == code, f"exit code {done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


def moved_bundle():
    """Made once, and moved away from where it was made."""
    base = pathlib.Path(FOLDER.name)
    tests, made, moved = base / "tests", base / "made", base / "elsewhere"
    if not moved.is_dir():
        tests.mkdir()
        for test in TESTS:
            shutil.copy2("/bin/true", tests / test)
        call(TOOL, "bundle", made, "--models", "", "--goldens", base / "none", "--program", PROGRAM, "--tests", tests, code=0)
        made.rename(moved)
    return moved


def stand_in(folder, output, exit_code):
    """Takes the place of the conformance program; it leaves its environment in a file."""
    script = folder / "bin" / "conformance_test"
    script.write_text(f"#!/bin/sh\nenv > {folder}/environment\ncat <<'END'\n{output}\nEND\nexit {exit_code}\n")


@case
def a_bundle_runs_on_its_own_and_counts_what_its_tests_say():
    folder = moved_bundle()
    assert (folder / "lib" / "libpcre2-8.so.0").is_file() and not list((folder / "lib").glob("libc.*"))
    stand_in(folder, SUMMARY.format(5, 0) + "\nSKIP a case: not on this device", 0)
    out, _ = call(folder / "gpu_check", "run", "--only", "devices,conformance,goldens", "--conformance", "tenth", code=0)
    assert "4 passed, 0 failed, 1 skipped" in out and "left out: the bundle has no model files" in out
    report = json.loads((folder / "gpu_check.json").read_text())
    assert [row["part"] for row in report["rows"]][-1] == "conformance" and report["rows"][0]["part"] == "devices" and all(row["passed"] for row in report["rows"])
    environment = dict(line.split("=", 1) for line in (folder / "environment").read_text().splitlines() if "=" in line)
    assert environment["QUIRE_CONFORMANCE"] == "tenth" and environment["QUIRE_GOLDENS_DIR"] == str(folder / "goldens")
    assert environment["QUIRE_MODEL_DIR"] == str(folder / "models")


@case
def what_fails_is_named_and_decides_the_exit_code():
    folder = moved_bundle()
    for output, exit_code, told in ((SUMMARY.format(4, 1), 1, "4 passed, 1 failed"), ("crashed", 139, "exit code 139, no summary"), (SUMMARY.format(5, 0), 3, "5 passed, 0 failed"),
                                    (SUMMARY.format(1, 0) + "\nSKIP the only case: no device", 0, "0 passed, 0 failed, 1 skipped")):
        stand_in(folder, output, exit_code)
        out, _ = call(folder / "gpu_check", "run", "--only", "conformance", code=1)
        assert told in out and "FAILED: conformance: conformance_test" in out, out
        assert not json.loads((folder / "gpu_check.json").read_text())["rows"][0]["passed"]


def bench_stand_in(folder, device_type, copy_share, kernel):
    """Takes the program's place: a device of this type, and a report with one kernel a phase."""
    row = {"dispatches": 1, "us": 10.0, "gb_s": 100.0, "gmac_s": 500.0, "copy_share": copy_share, "multiply_adds": 5}
    rows = lambda name: [{**row, "kernel": name, "weight": weight} for weight in ("q4_1", "q4_k", "q8_0")]
    results = [{"phase": "prefill", "tokens": 512, "kernels": rows("matmul_cooperative")}, {"phase": "decode", "tokens": 16, "kernels": rows(kernel)}]
    report, devices = {"device": "made up", "results": results}, [{"name": "made up", "type": device_type}]
    script = folder / "bin" / "quire"
    script.write_text(f"#!/bin/sh\ncase $1 in devices) echo '{json.dumps(devices)}';; --version) ;; *) echo '{json.dumps(report)}';; esac\n")


@case
def kernels_that_only_read_memory_are_judged_on_a_gpu():
    folder = moved_bundle()
    program = (folder / "bin" / "quire").read_bytes()
    (folder / "make_model").write_text("import sys; open(sys.argv[1], 'w')")
    for device_type, copy_share, flags, kernel, code in (("discrete", 0.61, (), "matmul_few", 0), ("discrete", 0.59, (), "matmul_few", 1), ("cpu", 0.1, (), "matmul_few", 0),
                                                        ("discrete", 0.1, ("--short",), "matmul_few", 0), ("discrete", 0.9, (), "copy", 1)):
        bench_stand_in(folder, device_type, copy_share, kernel)
        out, _ = call(folder / "gpu_check", "run", "--only", "shapes", "--peak-tflops", 10, *flags, code=code)
        assert "matmul_cooperative q8_0" in out and "1.000 TFLOP/s, 10.0 % of peak" in out, out
        assert ("no product was measured" in out) == (kernel == "copy"), out
    (folder / "bin" / "quire").write_bytes(program)


@case
def wrong_use_is_refused():
    assert "this is not a bundle" in call(TOOL, "run", code=1)[1]
    folder = moved_bundle()
    assert "not empty" in call(TOOL, "bundle", folder, "--program", PROGRAM, code=1)[1]
    assert "no part is called nosuch" in call(folder / "gpu_check", "run", "--only", "nosuch", code=1)[1]
    assert "is not built" in call(TOOL, "bundle", folder / "inner", "--program", folder / "nosuch", code=1)[1]


if __name__ == "__main__":
    sys.exit(main("gpu_check"))
