#!/usr/bin/env python3
"""quire bench on a tiny random model: what it measures, its lists, its reports, comparing them, and generation without the cache.

usage: bench_test.py PROGRAM WRITE_TINY_MODEL [NAME-OF-A-CASE...]
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time
import xml.etree.ElementTree

from program_support import ENVIRONMENT, FOLDER, MODEL, PROGRAM, case, main, quire

SHORT = ("-p", 8, "-n", 4, "-r", 2)


def bench(*arguments, **more):
    return json.loads(quire("bench", MODEL, *arguments, "--json", **more)[0])


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@case
def a_report_says_what_was_measured_on_what():
    report = bench(*SHORT, "-d", 3)
    for key in ("quire", "build", "date", "model", "device", "driver", "variants"):
        assert isinstance(report[key], str) and report[key], key
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", report["date"])
    # Where time ran out while kernels were compiled, the engine that times kernels tunes again: the newest choice is what is kept.
    assert report.get("kernel_variants", report["variants"]) in quire("devices")[0].decode()
    in_int8 = bench("-p", 8, "-n", 0, "-r", 1, "--no-kernels", "--device", "reference", "--arithmetic", "int8")
    assert in_int8["variants"].endswith("; many in 8-bit integers")
    prefill, decode = report["results"]
    assert report["prefill_tok_s"] == prefill["median_tok_s"] > 0 and report["decode_tok_s"] == decode["median_tok_s"] > 0
    for result, tokens in ((prefill, 8), (decode, 4)):
        assert result["tokens"] == tokens and result["depth"] == 3 and result["sequences"] == 1 and result["kv_k"] == result["kv_v"] == "f16"
        assert result["slowest_tok_s"] <= result["median_tok_s"] <= result["fastest_tok_s"] and len(result["samples_s"]) == 2
        assert abs(result["wall_us"] - 1e6 * sum(result["samples_s"]) / 2) < 1e-3 * result["wall_us"]
        assert abs(result["spread"] - (max(result["samples_s"]) - min(result["samples_s"])) / result["wall_us"] * 1e6) < 1e-6
        assert 0 <= result["host_cpu_us"] <= 1.5 * result["wall_us"]


def processors_of_workers():
    """Which processors each of lavapipe's named threads may use in a running bench: once each is bound to one, else after ten seconds."""
    running = subprocess.Popen([PROGRAM, "bench", MODEL, "-p", "8", "-n", "64", "-r", "1000", "--no-kernels"], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    found = []
    try:
        for _ in range(40):
            time.sleep(0.25)
            assert running.poll() is None, "bench ended"
            found = []
            for task in pathlib.Path(f"/proc/{running.pid}/task").iterdir():
                try:
                    status = (task / "status").read_text()
                except OSError:
                    continue  # it has ended
                if status.startswith("Name:\tllvmpipe-"):
                    found += re.findall(r"Cpus_allowed_list:\s*(\S+)", status)
            if found and all(processor.isdecimal() for processor in found):
                break
    finally:
        running.kill()
        running.wait()
    return sorted(found)


@case
def threads_of_a_software_driver_get_a_processor_each():
    usable = sorted(map(str, os.sched_getaffinity(0))) if sys.platform.startswith("linux") else []
    given = ENVIRONMENT.pop("LP_NUM_THREADS", None)
    try:
        if "llvmpipe" not in bench(*SHORT, "--no-kernels")["device"] or not 2 <= len(usable) <= 16:  # more are not given a thread each
            return
        assert bench(*SHORT, "--no-kernels")["bound_driver_threads"] == len(usable)
        assert f"{len(usable)} threads on a processor of its own" in quire("bench", MODEL, *SHORT, "--no-kernels")[0].decode()
        assert processors_of_workers() == usable
        # Not where it is not wanted, nor where there is more room than threads.
        assert bench(*SHORT, "--no-kernels", "--no-tune")["bound_driver_threads"] == 0
        ENVIRONMENT["LP_NUM_THREADS"] = "1"
        assert bench(*SHORT, "--no-kernels")["bound_driver_threads"] == 0
    finally:
        ENVIRONMENT.pop("LP_NUM_THREADS", None)
        if given is not None:
            ENVIRONMENT["LP_NUM_THREADS"] = given


@case
def kernels_are_counted_with_time_and_traffic():
    report = bench(*SHORT)
    assert report["copy_gb_s"] > 0.01
    prefill, decode = ({row["kernel"]: row for row in result["kernels"]} for result in report["results"])
    assert {"matmul_many", "attend_prefill"} <= set(prefill) and {"matmul_few", "attend_decode", "argmax"} <= set(decode)
    for result in report["results"]:
        assert abs(result["gpu_us"] - sum(row["us"] for row in result["kernels"])) < 1e-6 * result["gpu_us"]
        assert abs(result["timed_wall_us"] - result["gpu_us"] - result["outside_us"]) < 1e-3 and result["outside_us"] > 0
        for row in result["kernels"]:
            assert row["us"] > 0 and row["dispatches"] > 0 and row["moved_bytes"] > 0
            assert abs(row["gb_s"] - row["moved_bytes"] / row["us"] / 1e3) < 1e-6 * row["gb_s"]
            assert abs(row["copy_share"] - row["gb_s"] / report["copy_gb_s"]) < 1e-9
    # Four tokens: as many times what one token takes.
    one = {row["kernel"]: row for row in bench("-p", 0, "-n", 1, "-r", 1)["results"][0]["kernels"]}
    assert decode["matmul_few"]["dispatches"] == 4 * one["matmul_few"]["dispatches"]
    assert decode["matmul_few"]["moved_bytes"] == 4 * one["matmul_few"]["moved_bytes"]
    assert "kernels" not in bench(*SHORT, "--no-kernels")["results"][0]


@case
def lists_make_one_case_of_each_combination():
    report = bench("-p", "2,5", "-n", 3, "-d", "0,7", "--sequences", "1,3", "--kv", "f16,f32", "-r", 1, "--no-kernels", "--device", "reference")
    cases = {(r["phase"], r["tokens"], r["depth"], r["sequences"], r["kv_k"]) for r in report["results"]}
    assert len(report["results"]) == len(cases) == 24
    assert cases == {(phase, tokens, depth, sequences, kv) for phase, tokens in (("prefill", 2), ("prefill", 5), ("decode", 3))
                     for depth in (0, 7) for sequences in (1, 3) for kv in ("f16", "f32")}
    assert "prefill_tok_s" not in report and "decode_tok_s" not in report
    mixed = bench("-p", 0, "-n", 2, "--kv-k", "f32", "-r", 1, "--no-kernels", "--device", "reference")
    assert [(r["phase"], r["kv_k"], r["kv_v"]) for r in mixed["results"]] == [("decode", "f32", "f16")] and "prefill_tok_s" not in mixed


@case
def several_sequences_share_the_reading_of_the_weights():
    few = {}
    for count in (1, 4):
        result, = bench("-p", 0, "-n", 2, "-d", 5, "--sequences", count, "-r", 1)["results"]
        few[count] = next(row for row in result["kernels"] if row["kernel"] == "matmul_few")
    assert few[4]["dispatches"] == few[1]["dispatches"] and few[4]["multiply_adds"] == 4 * few[1]["multiply_adds"]
    assert few[1]["moved_bytes"] < few[4]["moved_bytes"] < 4 * few[1]["moved_bytes"]


@case
def the_full_set_leaves_out_what_the_context_cannot_hold():
    report = bench("--full", "-n", 2, "-r", 1, "--no-kernels", "--kv", "f16")
    cases = [(r["phase"], r["tokens"], r["depth"], r["sequences"]) for r in report["results"]]
    assert sorted(cases) == sorted([("prefill", tokens, 0, 1) for tokens in (1, 32, 64, 128, 512)] + [("decode", 2, 0, count) for count in (1, 2, 4, 8)])
    assert len(report["left_out"]) == 3 and all("decode of 2 tokens at depth" in text for text in report["left_out"])


@case
def cases_in_turn_are_the_same_cases():
    arguments = ("-p", "4,8", "-n", 3, "-d", "0,40", "--sequences", "1,2", "--kv", "f16,q8", "-r", 2, "--no-kernels", "--device", "reference")
    apart, in_turn = bench(*arguments), bench(*arguments, "--in-turn")
    keys = lambda report: [[r[key] for key in ("phase", "tokens", "depth", "sequences", "kv_k")] for r in report["results"]]
    assert keys(apart) == keys(in_turn) and len(keys(apart)) == 24 and (apart["in_turn"], in_turn["in_turn"]) == (False, True)
    assert all(len(r["samples_s"]) == 2 and min(r["samples_s"]) > 0 for r in in_turn["results"])
    assert "of all cases in turn" in quire("bench", MODEL, *SHORT, "--no-kernels", "--device", "reference", "--in-turn")[0].decode()


@case
def wrong_use_is_refused():
    for arguments in (("-p", 0, "-n", 0), ("-p", "8,x"), ("-p", -1), ("--sequences", 0), ("--kv", "f16,q9"), ("-p", 600), ("-n", 4, "-d", 510),
                      ("--max-loss", 0.1), ("--max-loss", 2, "--compare", "x"), ("--plot", "x.svg"), ("--positions", 3), ("--no-cache", "-d", 5), ("--no-cache", "--full"), ("--no-cache", "--in-turn"),
                      ("--no-cache", "-p", "4,8"), ("--no-cache", "-n", "0,8"), ("--no-cache", "-n", 600), ("--no-cache", "--compare", "x"), ("-r", 0)):
        out, err = quire("bench", MODEL, "--device", "reference", "--no-kernels" if "--no-cache" not in arguments else "--validation", *arguments, code=2)
        assert out == b"" and err, arguments


@case
def the_table_says_what_the_report_says():
    text = quire("bench", MODEL, *SHORT, "--kv", "f32")[0].decode()
    assert re.search(r"^prefill +8 +0 +1 f32 +[\d.]+ ", text, re.MULTILINE) and re.search(r"^decode +4 +0 +1 f32 +[\d.]+ ", text, re.MULTILINE)
    assert "GB/s" in text and "matmul_few" in text and "copies between device buffers" in text
    assert "matmul_few" not in quire("bench", MODEL, *SHORT, "--no-kernels", "--device", "reference")[0].decode()


@case
def comparing_fails_beyond_the_loss_allowed():
    file = pathlib.Path(FOLDER.name) / "earlier.json"
    arguments = (*SHORT, "--no-kernels", "--device", "reference", "--compare", file)
    report = bench(*SHORT, "--no-kernels", "--device", "reference")

    def earlier(factor, **changed):
        results = [{**r, "median_tok_s": factor * r["median_tok_s"]} for r in report["results"]]
        file.write_text(json.dumps({**report, "results": results, **changed}))

    earlier(0.001)
    faster = bench(*arguments)
    assert all(row["ratio"] > 100 for row in faster["compare"]["results"]) and len(faster["compare"]["results"]) == 2
    assert faster["compare"]["differences"] == []
    earlier(1000)
    text, err = quire("bench", MODEL, *arguments, code=6)
    assert b"ratio" in text and "2 of 2 cases lost more than 10.0 %" in err
    assert bench(*arguments, code=6)["compare"]["results"][0]["ratio"] < 0.1
    quire("bench", MODEL, *arguments, "--max-loss", 1)
    # Only what got slower counts, and only cases that both reports have.
    results = [{**r, "median_tok_s": r["median_tok_s"] * (1000 if r["phase"] == "decode" else 0.001)} for r in report["results"]]
    earlier(1, results=results)
    assert "1 of 2 cases lost more than 10.0 %; most: decode of 4 tokens" in quire("bench", MODEL, *arguments, code=6)[1]
    earlier(1, results=results[:1], driver="another")
    only = bench(*arguments)["compare"]
    assert [row["phase"] for row in only["results"]] == ["prefill"] and only["differences"] == [f"driver was another, is {report['driver']}"] and only["only_earlier"] == 0
    earlier(1, results=[*report["results"], {**report["results"][0], "tokens": 9}], persistent_workers=3)
    fewer = bench(*arguments, "--max-loss", 1)["compare"]
    assert fewer["differences"] == ["persistent_workers was 3, is 0"] and fewer["only_earlier"] == 1
    assert "1 of its cases were not measured now" in quire("bench", MODEL, *arguments, "--max-loss", 1)[0].decode()
    earlier(1, results=[])
    quire("bench", MODEL, *arguments, code=1)
    file.write_text('{"results": [{"phase": "prefill"}]}')
    assert "not a report" in quire("bench", MODEL, *arguments, code=1)[1]
    file.write_text("{")
    quire("bench", MODEL, *arguments, code=1)
    file.unlink()
    assert "cannot read" in quire("bench", MODEL, *arguments, code=1)[1]


@case
def without_the_cache_the_same_tokens_take_longer():
    plot = pathlib.Path(FOLDER.name) / "plot.svg"
    for arguments, measured in ((("--positions", 0), [20, 60]), (("--positions", 4), [5, 9])):
        report = bench("--no-cache", "-p", 6, "-n", "60,20", "--plot", plot, *arguments)
        result = report["no_cache"]
        assert [row["generated"] for row in result["lengths"]] == [20, 60] and [row["measured"] for row in result["lengths"]] == measured
        assert result["interpolated"] == (measured != [20, 60]) and result["differences"] == [] and result["prompt"] == 6
        last = result["lengths"][-1]
        assert last["equal"] == last["checked"] and last["checked"] + result["near_ties"] == last["measured"] and last["checked"] > 0
        for row in result["lengths"]:
            assert number(row["with_s"]) and row["with_s"] > 0 and abs(row["ratio"] - row["without_s"] / row["with_s"]) < 1e-9 * row["ratio"]
        points = result["points"]
        assert points[0]["generated"] == 1 and points[-1]["generated"] == 60
        total = points[0]["step_without_s"]
        for a, b in zip(points, points[1:]):
            steps = b["generated"] - a["generated"]
            total += sum(a["step_without_s"] + (b["step_without_s"] - a["step_without_s"]) * k / steps for k in range(1, steps + 1))
            assert abs(b["without_s"] - total) < 1e-9 + 1e-6 * total
        drawing = xml.etree.ElementTree.parse(plot).getroot()
        lines = [line.get("points").split() for line in drawing.iter("{http://www.w3.org/2000/svg}polyline")]
        assert len(lines) == 2 and all(len(line) == len(points) for line in lines)
        assert result["margin"] == 0.05 and result["kv_k"] == "f16"
    rounded = bench("--no-cache", "-p", 6, "-n", 20, "--positions", 0, "--kv", "f16", "--kv-v", "q8")["no_cache"]
    assert rounded["margin"] == 0.5 and rounded["kv_v"] == "q8" and rounded["lengths"][0]["checked"] + rounded["near_ties"] == 20
    text = quire("bench", MODEL, "--no-cache", "-p", 6, "-n", 20, "--positions", 4)[0].decode()
    assert re.search(r"^ +20 .* 5 of 20 ", text, re.MULTILINE) and "interpolated" in text
    quire("bench", MODEL, "--no-cache", "-n", 4, "--plot", pathlib.Path(FOLDER.name) / "nosuch" / "plot.svg", code=1)


if __name__ == "__main__":
    sys.exit(main("bench"))
