#!/usr/bin/env python3
"""Runs every verb of the program on a tiny random model: outputs, exit codes, signals.

usage: program_test.py PROGRAM WRITE_TINY_MODEL
"""
import json
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time

PROGRAM = sys.argv[1]
FOLDER = tempfile.TemporaryDirectory()
MODEL = str(pathlib.Path(FOLDER.name) / "tiny.gguf")
VOCABULARY = 300
# The cache folder of whoever runs this stays as it is.
ENVIRONMENT = {**os.environ, "XDG_CACHE_HOME": FOLDER.name}
CASES = []


def case(function):
    CASES.append(function)
    return function


def quire(*arguments, stdin=b"", code=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, timeout=120, env=ENVIRONMENT)
    assert done.returncode == code, f"{arguments}: exit code {done.returncode}, not {code}: {done.stderr.decode(errors='replace')}"
    return done.stdout, done.stderr.decode()


def run_json(*arguments, **more):
    return json.loads(quire("run", MODEL, *arguments, "--json", **more)[0])


@case
def tokenize_prints_ids_on_one_line():
    assert quire("tokenize", MODEL, stdin=b"hello<|im_end|>")[0].split()[0] == b"263"
    assert quire("tokenize", MODEL, "--special", stdin=b"hello<|im_end|>")[0] == b"263 2\n"
    assert quire("tokenize", MODEL, stdin=b"")[0] == b"\n"
    assert json.loads(quire("tokenize", MODEL, "--json", stdin=b"\xff\xfe")[0])["count"] == 2


@case
def run_streams_the_same_answer_for_the_same_seed_on_every_device():
    first = run_json("hello", "-n", 12, "--seed", 3, "--device", "reference")
    assert first["generated_tokens"] == len(first["tokens"]) <= 12 and first["kv_pages"] == 1
    assert run_json("hello", "-n", 12, "--seed", 3, "--device", "reference")["tokens"] == first["tokens"]
    assert any(run_json("hello", "-n", 12, "--seed", s, "--device", "reference")["tokens"] != first["tokens"] for s in range(4, 8))
    greedy = run_json("hello", "-n", 12, "--temp", 0, "--device", "reference")
    assert run_json("hello", "-n", 12, "--temp", 0)["tokens"] == greedy["tokens"]
    text, closing = quire("run", MODEL, "hello", "-n", 12, "--temp", 0)
    assert text.decode() == greedy["text"] + "\n"
    assert "tok/s" in closing and "first token" in closing and "bytes per token" in closing


@case
def run_takes_its_prompt_from_stdin_arguments_or_after_a_double_dash():
    from_argument = run_json("hello", "-n", 3, "--temp", 0, "--device", "reference")
    assert run_json("-n", 3, "--temp", 0, "--device", "reference", stdin=b"hello\n")["tokens"] == from_argument["tokens"]
    assert run_json("-p", "hello", "-n", 3, "--temp", 0, "--device", "reference")["tokens"] == from_argument["tokens"]
    dashed = json.loads(quire("run", MODEL, "-n", 3, "--raw", "--device", "reference", "--json", "--", "--hello")[0])
    assert dashed["prompt_tokens"] == 3
    by_option = quire("run", "-m", MODEL, "hello", "-n", 3, "--temp", 0, "--device", "reference", "--json")[0]
    assert json.loads(by_option)["tokens"] == from_argument["tokens"]


@case
def exit_codes_tell_what_went_wrong():
    quire("run", MODEL, "", code=2)
    quire("run", MODEL, stdin=b"", code=2)
    quire("run", MODEL, "x", "--nosuch", code=2)
    quire("run", MODEL, "x", "--top-p", "1.5", code=2)
    quire("run", MODEL, "x", "--kv", "q9", code=2)
    quire("run", MODEL, "x", "-c", 513, code=2)
    quire(code=2)
    quire("run", "nosuch.gguf", "x", code=3)
    quire("run", "smollm2", "x", code=3)  # known, not in this cache folder
    quire("run", __file__, "x", code=3)
    quire("run", MODEL, "x", "--device", "no such device", code=4)
    quire("run", MODEL, "x", "--device", "cuda", code=4)
    quire("logits", MODEL, "--out", "/dev/null", stdin=b"300", code=1)
    quire("logits", MODEL, "--out", "/dev/null", stdin=b"1 2 three", code=2)
    quire("logits", MODEL, "--out", "/dev/null", "--decode", 3, stdin=b"1 2", code=2)
    assert "fetch_model smollm2" in quire("run", "smollm2", "x", code=3)[1]
    quire("--help")
    quire("run", "--help")


@case
def a_full_context_ends_the_answer():
    answer = run_json("x", "-c", 20, "--raw", "--temp", 0, "--device", "reference")
    assert answer["stop"] in ("context_full", "end")
    assert answer["prompt_tokens"] + answer["generated_tokens"] <= 20
    quire("run", MODEL, "x" * 40, "-c", 20, "--raw", "--device", "reference", code=1)


@case
def logits_are_floats_of_the_last_positions():
    out = pathlib.Path(FOLDER.name) / "logits.f32"
    ids = b"5 6 7 8 9 10\n"
    for device in ("reference", "vulkan"):
        report = json.loads(quire("logits", MODEL, "--out", out, "--last", 4, "--decode", 2, "--device", device, "--json", stdin=ids)[0])
        assert report["positions"] == 4 and report["vocabulary"] == VOCABULARY and out.stat().st_size == 4 * VOCABULARY * 4
        values = struct.unpack(f"<{4 * VOCABULARY}f", out.read_bytes())
        rows = [values[i * VOCABULARY:(i + 1) * VOCABULARY] for i in range(4)]
        assert [row.index(max(row)) for row in rows] == report["argmax"]
        if device == "reference":
            expected = values
        else:
            assert max(abs(a - b) for a, b in zip(values, expected)) < 0.05
    one_by_one = quire("logits", MODEL, "--out", "-", "--decode", 6, "--device", "reference", stdin=ids)[0]
    assert len(one_by_one) == VOCABULARY * 4


@case
def chat_keeps_the_conversation_and_forgets_it_on_reset():
    lines = b"hello\n/stats\nhello\n/reset\nhello\n/nosuch\n"
    out, err = quire("chat", MODEL, "-n", 5, "--temp", 0, "--device", "reference", "--json", stdin=lines)
    decoder, answers, text = json.JSONDecoder(), [], out.decode().lstrip()
    while text:
        answer, end = decoder.raw_decode(text)
        answers.append(answer)
        text = text[end:].lstrip()
    assert len(answers) == 3
    # The second message costs its own tokens alone; after /reset it is the first again.
    assert answers[0]["tokens"] == answers[2]["tokens"] and answers[0]["prompt_tokens"] == answers[2]["prompt_tokens"]
    assert answers[1]["prompt_tokens"] < answers[0]["prompt_tokens"] + 20
    assert "tokens in the conversation" in err and "forgotten" in err and "no command /nosuch" in err


@case
def devices_lists_every_backend():
    devices = json.loads(quire("devices", "--json")[0])
    backends = {device["backend"]: device for device in devices}
    assert set(backends) == {"vulkan", "cuda", "reference", "null"}
    assert not backends["cuda"]["usable"] and backends["cuda"]["refusal"]
    assert backends["reference"]["usable"] and backends["reference"]["variants"]
    assert b"reference 0" in quire("devices")[0]


@case
def inspect_says_what_is_there_and_whether_it_runs():
    report = json.loads(quire("inspect", MODEL, "--json", "-c", 128)[0])
    assert report["runs"] and report["verdict"] == "runs here"
    assert {entry["key"]: entry["value"] for entry in report["metadata"]}["general.architecture"] == "llama"
    assert len(report["tensors"]) == 20 and report["bytes"]["kv_per_token"] == 256 and report["bytes"]["kv_for_context_of_128"] == 256 * 128
    assert json.loads(quire("inspect", MODEL, "--json", "--kv", "f32")[0])["bytes"]["kv_per_token"] == 512
    refused = json.loads(quire("inspect", MODEL, "--json", "--device", "cuda", code=4)[0])
    assert not refused["runs"] and "CUDA" in refused["verdict"]
    assert b"verdict: runs here" in quire("inspect", MODEL)[0]


@case
def bench_measures_both_phases_and_each_kernel():
    report = json.loads(quire("bench", MODEL, "-p", 8, "-n", 4, "-d", 3, "-r", 2, "--json")[0])
    assert report["prefill_tok_s"] > 0 and report["decode_tok_s"] > 0 and report["depth"] == 3
    kernels = {row["kernel"] for row in report["decode"]["kernels"]}
    assert {"matmul_few", "attend_decode", "argmax"} <= kernels and all(row["us"] > 0 for row in report["decode"]["kernels"])
    assert b"tok/s" in quire("bench", MODEL, "-p", 8, "-n", 2, "-r", 1, "--no-kernels", "--device", "reference")[0]
    quire("bench", MODEL, "-p", 0, "-n", 0, code=2)


@case
def a_reader_that_goes_away_ends_the_program_quietly():
    process = subprocess.Popen([PROGRAM, "run", MODEL, "hello", "--device", "reference", "--raw"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                               stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    process.stdout.close()
    message = process.stderr.read()
    assert process.wait(120) == 141, message


@case
def ctrl_c_stops_an_answer_with_its_own_exit_code():
    process = subprocess.Popen([PROGRAM, "bench", MODEL, "-n", "500", "-p", "0", "-r", "1000", "--device", "reference"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env=ENVIRONMENT)
    # The signal is sent until it has arrived: before the program is ready for it, it simply ends.
    deadline = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            pass
    assert process.returncode in (130, -signal.SIGINT), process.returncode
    process.communicate()


def main():
    subprocess.run([sys.argv[2], MODEL], check=True)
    passed = failed = 0
    for function in CASES:
        try:
            function()
            passed += 1
        except (AssertionError, subprocess.SubprocessError, ValueError, KeyError) as problem:
            failed += 1
            print(f"{type(problem).__name__}: {problem}")
            print(f"TEST CASE: program: {function.__name__.replace('_', ' ')}")
    print(f"totals: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
