#!/usr/bin/env python3
"""What `quire run` holds in memory at most while it loads a real model and answers, beyond what it put on the device.

usage: load_test.py PROGRAM MODEL_FOLDER
On a CPU device the buffers count as the process's own memory, so their bytes are taken off. A model that was not fetched is skipped.
"""
import json
import os
import pathlib
import subprocess
import sys

PROGRAM, MODELS = sys.argv[1], pathlib.Path(sys.argv[2])
FILES = ("SmolLM2-135M-Instruct.Q4_1.gguf", "gemma-3-270m-q4_k_m.gguf")
CONTEXT = 512
MOST_BYTES_BEYOND_DEVICE = 256 << 20


def peak_bytes(*arguments):
    """The largest resident size of one run."""
    process = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"{arguments}: exit code {process.returncode}"
    return usage.ru_maxrss * 1024


def check_model(path):
    inspected = subprocess.run([PROGRAM, "inspect", path, "-c", str(CONTEXT), "--json"], check=True, capture_output=True)
    report = json.loads(inspected.stdout)["bytes"]
    # Pages are taken as they are needed, so those of the context are not among them.
    device_bytes = report["weights"] + report["scratch"] + report["tables"] + report["session"]
    peak = peak_bytes("run", path, "Why is the sky blue?", "--raw", "-c", CONTEXT, "-n", 4, "--temp", 0)
    print(f"{path.name}: at most {peak >> 20} MiB resident, {device_bytes >> 20} MiB of them device buffers")
    assert peak > report["weights"], "the weights are not among what was measured"
    assert peak - device_bytes <= MOST_BYTES_BEYOND_DEVICE, f"{(peak - device_bytes) >> 20} MiB beyond the device's buffers"


def main():
    passed = failed = skipped = 0
    for name in FILES:
        path = MODELS / name
        if not path.exists():
            skipped += 1
            print(f"SKIP load: {path} is missing")
            continue
        try:
            check_model(path)
            passed += 1
        except (AssertionError, subprocess.SubprocessError, ValueError, KeyError) as problem:
            failed += 1
            print(f"{type(problem).__name__}: {problem}")
            print(f"TEST CASE: load: {name}")
    print(f"totals: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
