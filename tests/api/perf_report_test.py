#!/usr/bin/env python3
"""tools/perf_report on a tiny random model, with peers that answer fixed rates.

usage: perf_report_test.py PROGRAM WRITE_TINY_MODEL [NAME-OF-A-CASE...]
"""
import json
import pathlib
import re
import shlex
import subprocess
import sys
import xml.etree.ElementTree

from program_support import ENVIRONMENT, FOLDER, MODEL, PROGRAM, case, main

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "perf_report"
MAKE_MODEL = TOOL.parent / "make_model"
sys.path.insert(0, str(TOOL.parent))
import perf_page  # noqa: E402
DOCS, DATA = pathlib.Path(FOLDER.name) / "docs", pathlib.Path(FOLDER.name) / "data"
# Prints what llama-bench would for the -p and -n it is given, and for another test in between.
PEER = """
import json, sys
value = lambda flag: int(sys.argv[sys.argv.index(flag) + 1])
assert sys.argv[1].endswith("tiny.gguf")
print("a line that is no JSON")
for prompt, generated in ((value("-p"), 0), (0, value("-n"))):
    if prompt or generated:
        print(json.dumps({"n_prompt": prompt, "n_gen": generated, "avg_ts": 0.5 if prompt else 0.25}))
"""


def report(*arguments, code=0):
    command = [sys.executable, str(TOOL), "--short", "--models", MODEL, "--quire", PROGRAM, "--docs", str(DOCS), "--data", str(DATA), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=ENVIRONMENT)
    assert done.returncode == code, done.stderr
    return done.stderr


def assert_ratios_in_turn(page, data):
    """Eight sequences beside one, and q8 beside f16 pages: medians and ranges of the repeats' own ratios."""
    for part, first, second in (("sequences", {"sequences": 8}, {"sequences": 1}), ("pages", {"kv_k": "q8"}, {"kv_k": "f16"})):
        mine, other = (next(r for r in data[part]["results"] if wanted.items() <= r.items()) for wanted in (first, second))
        ratios = sorted(mine["sequences"] / a / (other["sequences"] / b) for a, b in zip(mine["samples_s"], other["samples_s"]))
        assert data[part]["in_turn"] and len(ratios) == 15
        assert re.search(rf"^\| {next(iter(first.values()))} \| .* \| {ratios[7]:.2f} \({ratios[0]:.2f} to {ratios[14]:.2f}\) \|$", page, re.MULTILINE), (part, ratios, page)


def added(report, depth, macs):
    """GMAC/s of what a depth adds to the first result's time, which is at depth 0; None where it adds nothing."""
    first, deep = report["results"][0], next(result for result in report["results"] if result["depth"] == depth)
    differences = sorted(b - a for a, b in zip(first["samples_s"], deep["samples_s"]))
    middle = (differences[len(differences) // 2] + differences[(len(differences) - 1) // 2]) / 2
    return macs / 1e9 / middle if middle > 0 else None


def attention_macs(result):
    return next(row["multiply_adds"] for row in result["kernels"] if row["kernel"] == "attend_decode")


def assert_depths(page, data):
    """The line through the times, and attention from what each depth adds beside products of the same rounds."""
    results = data["depths"]["results"]
    rows = re.findall(r"^\| (\d+) \| [\d.]+ \(±\d+ %\) \| [\d.]+ \| ([\d.]+) \| ([\d.]*) \| (?:(\d+) %)? \| (?:(\d+) %)? \|$", page, re.MULTILINE)
    offset, slope = map(float, re.search(r"squares: ([\d.]+) ms a token and ([\d.-]+) µs", page).groups())
    assert [depth for depth, *_ in rows] == ["0", "700", "2000"], page
    assert all(abs(float(line) - offset - slope * int(depth) / 1000) < 0.1 for depth, line, *_ in rows), rows
    pairs = data["attention"]["pairs"]
    products = sorted(pair["products"] for pair in pairs)
    for result, (_, _, gmac_s, share, _) in zip(results[1:], rows[1:]):
        expected = added(data["depths"], result["depth"], attention_macs(result) - attention_macs(results[0]))
        assert (gmac_s, share) == (("", "") if expected is None else (f"{expected:.1f}", f"{100 * expected / products[2]:.0f}")), rows
    ratios = sorted(pair["attention"] / pair["products"] for pair in pairs if pair["attention"])
    # Two layers of 2,048 elements with 32 heads of 64, a feed-forward of 8,192 and 333 tokens: 16 tokens of each round.
    assert data["attention"]["product_macs"] == 16 * (2 * (4 * 2048 * 2048 + 3 * 2048 * 8192) + 333 * 2048), data["attention"]
    assert len(pairs) == 5 and all(abs(pair["products"] * 1000 * pair["products_wall_us"] / data["attention"]["product_macs"] - 1) < 1e-9 for pair in pairs)
    # More time at the depth than without it, in the middle of a round's repeats, is what makes attention's figure.
    medians = [sorted(b - a for a, b in zip(pair["without_s"], pair["deep_s"]))[2] for pair in pairs]
    assert all((pair["attention"] is not None) == (median > 0) for pair, median in zip(pairs, medians)), pairs
    if ratios:
        middle = (ratios[len(ratios) // 2] + ratios[(len(ratios) - 1) // 2]) / 2
        assert f"the ratio within a round is {middle:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})" in page, page
        assert (f", {5 - len(ratios)} lost in noise left out." in page) == (len(ratios) < 5)
    else:
        assert "the difference is lost in noise." in page


@case
def attention_is_what_a_depth_adds():
    def result(samples_s, macs):
        return {"samples_s": samples_s, "kernels": [{"kernel": "attend_decode", "multiply_adds": macs, "moved_bytes": 3 * macs}, {"kernel": "attend_merge"}]}

    shallow, deep = result([1.0, 1.5, 3.0], 1e9), result([2.0, 4.5, 5.0], 5e9)  # adds 1, 3 and 2 seconds
    assert perf_page.attention_added(shallow, deep) == {"gmac_s": 2.0, "gb_s": 6.0}
    assert perf_page.attention_added(deep, shallow) is None


@case
def the_page_has_every_table_and_ratio():
    # A context that the longest depth does not fit.
    subprocess.run([sys.executable, str(MAKE_MODEL), MODEL, "--context", "2100", "--layers", "1"], check=True, stdout=subprocess.DEVNULL)
    peer = f"{shlex.quote(sys.executable)} -c {shlex.quote(PEER)} {{model}}"
    report("--peer-vulkan", peer, "--peer-cpu", "false", "--run-with", "env", "--depths", "700,2000,4096")
    page = (DOCS / "performance.md").read_text()
    data = json.loads((DATA / "tiny.json").read_text())
    rates = sorted(next(r["median_tok_s"] for r in one["main"]["results"] if r["phase"] == "decode") for one in (data, *data["more_rounds"]))
    shown = [[float(number) for number in numbers] for numbers in
             re.findall(r"^\| decode 32 \| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \| 0\.2 \| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \|$", page, re.MULTILINE)]
    expected = [rates[2], rates[0], rates[4], rates[2] / 0.25, rates[0] / 0.25, rates[4] / 0.25]
    assert len(rates) == 5 and len(shown) == 1 and all(abs(a / b - 1) < 0.01 for a, b in zip(shown[0], expected)), page
    assert re.search(r"^\| prefill 512 \| .* \| 0\.5 \| ", page, re.MULTILINE) and "llama.cpp, CPU" not in page
    assert_ratios_in_turn(page, data)
    assert_depths(page, data)
    for wanted in ("### Speed", "### Sequences decoded together", "### Page formats", "### With and without the cache", "limited by", "matmul_few", data["main"]["driver"],
                   data["main"]["variants"], data["machine"]["processor"], "`quire bench tiny.gguf -p 1,32,64,128,512 -n 32 -d 0 -r 3`"):
        assert wanted in page, wanted
    for image in re.findall(r"\]\((\S+\.svg)\)", page):
        xml.etree.ElementTree.parse(DOCS / image)
    assert len(re.findall(r"\]\(\S+\.svg\)", page)) == 2 and FOLDER.name not in page.replace(data["main"]["variants"], "")
    limited = re.findall(r"^\| (\w+)[^|]*\|.*\| ([^|]+) \|$", page[page.index("limited by"):], re.MULTILINE)
    assert all(re.match(r"memory|arithmetic|its start|neither", reason) for kernel, reason in limited if kernel not in ("kernel", "---")) and len(limited) > 10


@case
def a_program_with_a_persistent_step_is_measured_with_and_without():
    script, calls = pathlib.Path(FOLDER.name) / "with_persistent", pathlib.Path(FOLDER.name) / "calls"
    script.write_text(f"""#!/bin/sh
echo "$@" >>{calls}
case "$*" in "bench --help") echo "--persistent, --no-persistent"; exit;; esac
for word do shift; case "$word" in --persistent|--no-persistent) ;; *) set -- "$@" "$word";; esac; done
exec {PROGRAM} "$@"
""")
    script.chmod(0o755)
    report("--quire", script)
    lines = calls.read_text().splitlines()
    assert sum("-n 32" in line and "--persistent" in line for line in lines) == 1
    assert sum("--sequences" in line and "--no-persistent" in line for line in lines) == 1
    assert re.search(r"^\| decode 32, `--persistent` \| [\d.]+ \(±\d+ %\) \|$", (DOCS / "performance.md").read_text(), re.MULTILINE)


@case
def the_page_can_be_made_again_without_measuring():
    report()
    first = (DOCS / "performance.md").read_text()
    (DOCS / "performance_tried.md").write_text("## What was tried and did not pay\n\nNothing yet.\n")
    report("--render", "--quire", "/nonexistent")
    assert (DOCS / "performance.md").read_text() == first + "\n## What was tried and did not pay\n\nNothing yet.\n"
    assert "no measurements" in report("--render", "--models", "other", code=1)
    old = DATA / "old.json"
    old.write_text((DATA / "tiny.json").read_text().replace('"version": 2', '"version": 1'))
    assert "another version's" in report("--render", "--models", "old", code=1)


if __name__ == "__main__":
    sys.exit(main("perf_report"))
