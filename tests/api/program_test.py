#!/usr/bin/env python3
"""Runs every verb of the program but bench on a tiny random model: outputs, exit codes, signals.

usage: program_test.py PROGRAM WRITE_TINY_MODEL [NAME-OF-A-CASE...]
"""
import json
import math
import os
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import time

from program_support import ENVIRONMENT, FOLDER, MODEL, PROGRAM, VOCABULARY, case, main, quire

MAKE_MODEL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "make_model"


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
    for verb in (("run", MODEL, "x"), ("bench", MODEL), ("logits", MODEL, "--out", "-")):
        assert "'int4' is none of float, int8" in quire(*verb, "--arithmetic", "int4", stdin=b"1", code=2)[1]
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


def vector_width_file(folder):
    return pathlib.Path(folder) / "quire" / "pipelines" / "vector_width.json"


def listed_cpu_device(folder, *arguments, **variables):
    """What `quire devices` says of the Vulkan device, and on stderr; None if it is no CPU device."""
    environment = {**ENVIRONMENT, "XDG_CACHE_HOME": folder, **variables}
    environment = {name: value for name, value in environment.items() if value is not None}
    done = subprocess.run([PROGRAM, "devices", "--json", *arguments], capture_output=True, timeout=120, env=environment, check=True)
    device = json.loads(done.stdout)[0]
    return (device if device.get("type") == "cpu" else None), done.stderr.decode()


@case
def the_vector_width_is_measured_once_remembered_and_used():
    with tempfile.TemporaryDirectory() as folder:
        plain, _ = listed_cpu_device(folder, "--no-tune", LP_NATIVE_VECTOR_WIDTH=None)
        if plain is None or "llvmpipe" not in plain["name"]:
            return
        assert plain["subgroup_size"] == 8 and "not tuned" in plain["vector_width"] and not vector_width_file(folder).exists()
        measured, message = listed_cpu_device(folder, LP_NATIVE_VECTOR_WIDTH=None)
        assert "measuring vector widths" in message and "ms at 256 bits" in measured["vector_width"], (message, measured["vector_width"])
        content = json.loads(vector_width_file(folder).read_text())
        entry = content["entries"][0]
        assert entry["driver"] == measured["driver"] and measured["subgroup_size"] == (entry["bits"] or 256) // 32
        # Whatever was remembered is used, by the verbs that compute too, and measured again for nothing else.
        for bits, lanes in ((512, 16), (0, 8)):
            entry.update(bits=bits, reason="remembered for a test")
            vector_width_file(folder).write_text(json.dumps(content))
            again, message = listed_cpu_device(folder, LP_NATIVE_VECTOR_WIDTH=None)
            assert message == "" and again["subgroup_size"] == lanes and "remembered for a test" in again["vector_width"]
            environment = {**ENVIRONMENT, "XDG_CACHE_HOME": folder}
            environment.pop("LP_NATIVE_VECTOR_WIDTH", None)
            bench = subprocess.run([PROGRAM, "bench", MODEL, "-p", "2", "-n", "0", "-r", "1", "--no-kernels", "--json"], capture_output=True, timeout=120, env=environment)
            assert f"lanes {lanes}," in bench.stdout.decode(), (bench.stdout, bench.stderr)
        assert listed_cpu_device(folder, "--no-tune", LP_NATIVE_VECTOR_WIDTH=None)[0]["subgroup_size"] == 8
        chosen, message = listed_cpu_device(folder, LP_NATIVE_VECTOR_WIDTH="128")
        assert chosen["subgroup_size"] == 4 and "is set" in chosen["vector_width"] and message == ""
        # Another driver than the one loaded: forgotten, and measured at the start after.
        entry["driver"] = "another"
        vector_width_file(folder).write_text(json.dumps(content))
        listed_cpu_device(folder, LP_NATIVE_VECTOR_WIDTH=None)
        assert json.loads(vector_width_file(folder).read_text())["entries"] == []
        # A driver that was installed anew is measured anew before it is loaded: the older one's width may be more than it bears.
        manifests = [path for path in pathlib.Path("/usr/share/vulkan/icd.d").glob("lvp*.json")]
        if manifests:
            manifest = pathlib.Path(folder) / "driver.json"
            manifest.write_bytes(manifests[0].read_bytes())
            for seconds, measures in ((1_000_000_000, True), (1_000_000_000, False), (1_100_000_000, True)):
                os.utime(manifest, (seconds, seconds))
                message = listed_cpu_device(folder, VK_DRIVER_FILES=str(manifest), LP_NATIVE_VECTOR_WIDTH=None)[1]
                assert ("measuring" in message) == measures, (seconds, message)
        # Files that are damaged, or another's, are replaced; what a child cannot measure leaves the default.
        version = json.loads(vector_width_file(folder).read_text())["version"]
        for damaged in ("", json.dumps({"version": version, "entries": [{"bits": 7}]})):
            vector_width_file(folder).write_text(damaged)
            assert "measuring" in listed_cpu_device(folder, LP_NATIVE_VECTOR_WIDTH=None)[1], damaged
            assert json.loads(vector_width_file(folder).read_text())["entries"][0]["driver"] == plain["driver"]
        nothing, _ = listed_cpu_device(folder, VK_DRIVER_FILES="/nosuch", LP_NATIVE_VECTOR_WIDTH=None)
        assert nothing is None and "not measured" in json.loads(vector_width_file(folder).read_text())["entries"][0]["reason"]


@case
def choices_are_measured_once_kept_beside_the_pipelines_and_replaced_where_they_do_not_fit():
    with tempfile.TemporaryDirectory() as folder:
        def variants(*arguments):
            return listed_cpu_device(folder, *arguments, LP_NATIVE_VECTOR_WIDTH="256")[0]

        def run(*arguments):
            environment = {**ENVIRONMENT, "XDG_CACHE_HOME": folder, "LP_NATIVE_VECTOR_WIDTH": "256"}
            done = subprocess.run([PROGRAM, "logits", MODEL, "--out", "-", "--decode", "2", *arguments], input=b"5 6 7 8 9", capture_output=True, timeout=120,
                                  env=environment, check=True)
            return done.stdout

        plain = variants("--no-tune")
        if plain is None:
            return
        pipelines = pathlib.Path(folder) / "quire" / "pipelines"

        def files():
            return sorted(path for path in pipelines.glob("*") if path.name.startswith("variants-") and path.suffix == ".txt")

        untuned = run("--no-tune")
        assert not files()
        assert run() == untuned and len(files()) == 1
        file = files()[0]
        # Time may have run out while kernels were compiled: then, and four times at most, the next run measures again.
        for _ in range(3):
            if list(pipelines.glob("*.unfinished")):
                assert run() == untuned and files() == [file]
        assert not list(pipelines.glob("*.unfinished"))
        text = file.read_text()
        assert f"device {plain['name']}\n" in text and f"driver {plain['driver']}\n" in text and f"defaults {plain['variants']}\n" in text
        values = dict(line.split() for line in text.splitlines()[4:])
        assert set(values) == {"lanes_per_load", "many_tiles_per_lane", "few_tiles_per_lane", "few_max_columns", "prompt_chunk"}
        # What is kept is used and shown, whatever was measured; --no-tune leaves it alone.
        chosen = "512" if values["prompt_chunk"] != "512" else "128"
        other = text.replace(f"prompt_chunk {values['prompt_chunk']}", f"prompt_chunk {chosen}")
        file.write_text(other)
        assert variants()["variants"].endswith(f"chunk {chosen}") and variants("--no-tune")["variants"] == plain["variants"]
        assert run() == untuned and run("--no-tune") == untuned and file.read_text() == other
        # Damaged, another device's or driver's: ignored, and replaced at the next run.
        for damaged in (text[:-1], text.replace("\ndriver ", "\ndriver an older ")):  # variant_file_test has the other ways
            file.write_text(damaged)
            assert variants()["variants"] == plain["variants"]
            assert run("--no-tune") == untuned and file.read_text() == damaged
            assert run() == untuned and file.read_text().splitlines()[:4] == text.splitlines()[:4] and files() == [file]
        assert not [path for path in pipelines.iterdir() if path.name.count(".") > 1]  # as unfinished files are called


@case
def inspect_says_what_is_there_and_whether_it_runs():
    report = json.loads(quire("inspect", MODEL, "--json", "-c", 128)[0])
    assert report["runs"] and report["verdict"] == "runs here"
    assert {entry["key"]: entry["value"] for entry in report["metadata"]}["general.architecture"] == "llama"
    assert len(report["tensors"]) == 20 and report["bytes"]["kv_per_token"] == 256 and report["bytes"]["kv_for_context_of_128"] == 256 * 128
    assert json.loads(quire("inspect", MODEL, "--json", "--kv", "f32")[0])["bytes"]["kv_per_token"] == 512
    mixed = json.loads(quire("inspect", MODEL, "--json", "--kv-k", "q8")[0])["bytes"]
    assert [mixed["kv_per_token_" + name] for name in ("f16", "f32", "q8")] == [256, 512, 144], mixed
    assert mixed["kv_per_token"] == (256 + 144) // 2
    refused = json.loads(quire("inspect", MODEL, "--json", "--device", "cuda", code=4)[0])
    assert not refused["runs"] and "CUDA" in refused["verdict"]
    assert b"verdict: runs here" in quire("inspect", MODEL)[0]


def made_model(name, *arguments):
    path = str(pathlib.Path(FOLDER.name) / name)
    subprocess.run([sys.executable, str(MAKE_MODEL), path, *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return path


@case
def memory_is_told_by_cache_group_and_is_what_inspect_predicted():
    model = made_model("windowed.gguf", "--family", "gemma3", "--layers", 7, "--window", 70, "--heads", 4, "--kv-heads", 1, "--head-size", 32)
    text, common = "x y z " * 60, ("-c", 300, "--raw", "-n", 0)
    groups = json.loads(quire("run", model, text[:290], *common, "--device", "reference", "--json")[0])["kv_groups"]
    assert [(g["layers"], g["window"], g["most_pages"]) for g in groups] == [(6, 70, 3), (1, 0, 0)]
    tokens = json.loads(quire("tokenize", model, "--json", stdin=text[:290].encode())[0])["count"] + 1
    assert groups[1]["pages"] == math.ceil(tokens / 64) > groups[0]["pages"] == math.ceil(tokens / 64) - (tokens - 69) // 64
    for g in groups:
        assert g["bytes_per_token"] == g["layers"] * 2 * 32 * 2 and g["bytes"] == g["pages"] * 64 * g["bytes_per_token"]
    for arguments in ((), ("--kv", "f32"), ("--kv-k", "f32")):
        report = json.loads(quire("inspect", model, "-c", tokens, *arguments, "--json")[0])
        answer = json.loads(quire("run", model, text[:290], "-c", tokens, "--raw", "-n", 0, *arguments, "--device", "null", "--json")[0])
        assert report["kv_groups"] == answer["kv_groups"] and sum(g["bytes"] for g in report["kv_groups"]) == report["bytes"][f"kv_for_context_of_{tokens}"]
    readable = quire("inspect", model, "-c", 300)[0].decode()
    assert "kv of 6 layers that see 70 tokens" in readable and "never more than 3 pages between steps" in readable, readable
    assert "pages in 6 layers that see 70 tokens, " in quire("run", model, text[:290], *common, "--device", "null")[1]
    chatting = quire("chat", model, "--chat-template", "gemma", "-n", 2, "--device", "reference", stdin=b"hello\n/stats\n")[1]
    assert "KV 1 pages in 6 layers that see 70 tokens, 1 in 1 layers, " in chatting, chatting


@case
def a_model_without_a_template_continues_text_and_refuses_to_chat():
    model = made_model("base.gguf")
    message = quire("chat", model, "--device", "reference", code=3)[1]
    assert "cannot chat" in message and "--chat-template" in message, message
    told = quire("run", model, "hello", "-n", 4, "--temp", 0, "--device", "reference", "--json")
    assert "continued without a chat template" in told[1]
    raw = quire("run", model, "hello", "-n", 4, "--temp", 0, "--raw", "--device", "reference", "--json")
    assert json.loads(told[0])["tokens"] == json.loads(raw[0])["tokens"] and "continued" not in raw[1]
    assert "--system" in quire("run", model, "hello", "--system", "x", "--device", "reference", code=2)[1]
    assert "generated" in quire("chat", model, "--chat-template", "chatml", "-n", 2, "--device", "reference", stdin=b"hello\n")[1]


TEXT = b"A quire is a gathering of pages; hello, hello: the pages hold what was said, and what was said is read again."


def eval_report(model, *arguments, text=TEXT, code=0):
    """The report and, if it failed, its one sentence."""
    out, err = quire("eval", model, "--text", "-", *arguments, "--json", stdin=text, code=code)
    if code:
        assert out == b"" and err.count("\n") == 1, (out, err)
        return err
    return json.loads(out)


def expected_perplexity(model, ids, context, bos):
    """By the definition: chunks of `context` ids, the second half scored, the first replaced by BOS; and the standard error."""
    out, losses = pathlib.Path(FOLDER.name) / "rows.f32", []
    for begin in range(0, len(ids) - context + 1, context):
        chunk = [bos, *ids[begin + 1:begin + context]] if bos is not None else ids[begin:begin + context]
        rows = context - context // 2
        report = json.loads(quire("logits", model, "--out", out, "--last", rows, "--device", "reference", "--json", stdin=" ".join(map(str, chunk)).encode())[0])
        size = report["vocabulary"]
        values = struct.unpack(f"<{rows * size}f", out.read_bytes())
        for row in range(rows - 1):
            logits = values[row * size:(row + 1) * size]
            losses.append(math.log(math.fsum(map(math.exp, logits))) - logits[chunk[context // 2 + row + 1]])
    mean = math.fsum(losses) / len(losses)
    error = math.sqrt((math.fsum(x * x for x in losses) / len(losses) - mean * mean) / (len(losses) - 1))
    return math.exp(mean), math.exp(mean) * error, len(losses)


@case
def eval_counts_perplexity_by_chunks_of_which_the_second_half_is_scored():
    with_bos = str(pathlib.Path(FOLDER.name) / "bos.gguf")
    subprocess.run([sys.executable, str(MAKE_MODEL), with_bos, "--add-bos"], check=True, stdout=subprocess.DEVNULL)
    for model, bos in ((MODEL, None), (with_bos, 1)):
        ids = list(map(int, quire("tokenize", model, stdin=TEXT)[0].split()))
        for context, tokens in ((16, 0), (17, 70), (40, 0)):
            used = ids[:tokens or len(ids)]
            perplexity, error, scored = expected_perplexity(model, used, context, bos)
            report = eval_report(model, "--context", context, "--tokens", tokens, "--device", "reference")
            assert report["scored"] == scored and report["chunks"] == len(used) // context and report["context"] == context
            assert abs(report["perplexity"] / perplexity - 1) < 1e-9 and abs(report["error"] / error - 1) < 1e-6, (report, perplexity, error)
    assert b"perplexity" in quire("eval", MODEL, "--text", "-", "-c", 16, "--device", "reference", stdin=TEXT)[0]


@case
def eval_compares_page_formats_and_devices_and_finds_equal_bits_equal():
    base = pathlib.Path(FOLDER.name) / "base.logits"
    written = eval_report(MODEL, "--context", 32, "--kv", "f32", "--logits", base)
    assert base.stat().st_size == 40 + 4 * written["tokens"] + 8 + written["chunks"] * (15 * VOCABULARY * 4 + 8)
    assert not list(base.parent.glob("*.partial"))
    same = eval_report(MODEL, "--context", 32, "--kv", "f32", "--chunk", 16, "--compare", base)["compare"]
    assert same["kl_max"] == 0 and same["top_1_agreement"] == 1 and same["perplexity"] == written["perplexity"] and same["error"] == written["error"]
    for other in (("--kv", "f16"), ("--kv-v", "f16", "--kv-k", "f32"), ("--kv", "f32", "--device", "reference")):
        report = eval_report(MODEL, "--context", 32, *other, "--compare", base)
        compare = report["compare"]
        assert 0 < compare["kl_mean"] < 1e-4 and compare["kl_mean"] <= compare["kl_99"] <= compare["kl_99_9"] <= compare["kl_max"], compare
        assert compare["top_1_agreement"] > 0.9 and compare["perplexity"] == written["perplexity"] != report["perplexity"]


def with_checksum(data):
    """64-bit FNV-1a over 32-bit words, as the logits file has it."""
    value = 0xCBF29CE484222325
    for (word,) in struct.iter_unpack("<I", data):
        value = ((value ^ word) * 0x100000001B3) % 2 ** 64
    return data + struct.pack("<Q", value)


def logits_of_file(data, report):
    """Header bytes with checksum, and per chunk its rows of logits."""
    rows = report["context"] - 1 - report["context"] // 2
    at = 40 + 4 * report["tokens"] + 8
    head, chunks = data[:at], []
    for _ in range(report["chunks"]):
        values = struct.unpack_from(f"<{rows * VOCABULARY}f", data, at)
        chunks.append([values[r * VOCABULARY:(r + 1) * VOCABULARY] for r in range(rows)])
        at += 4 * rows * VOCABULARY + 8
    return head, chunks


def kl(base, ours):
    def log_softmax(row):
        log_sum = math.log(math.fsum(map(math.exp, row)))
        return [x - log_sum for x in row]
    p, q = log_softmax(base), log_softmax(ours)
    return math.fsum(math.exp(a) * (a - b) for a, b in zip(p, q))


@case
def eval_reports_divergences_and_agreement_as_defined():
    path = pathlib.Path(FOLDER.name) / "skewed.logits"
    arguments = ("--context", 24, "--device", "reference")
    report = eval_report(MODEL, *arguments, "--logits", path)
    head, chunks = logits_of_file(path.read_bytes(), report)
    assert with_checksum(head[:-8]) == head
    # Rows that answer differently, each to another extent: flatter, and with another best token in every fourth.
    skewed = [[[x * (0.5 + 0.02 * r) + (20 if r % 4 == 0 and i == 7 else 0) for i, x in enumerate(row)] for r, row in enumerate(rows)] for rows in chunks]
    skewed = [[struct.unpack(f"<{VOCABULARY}f", struct.pack(f"<{VOCABULARY}f", *row)) for row in rows] for rows in skewed]
    path.write_bytes(head + b"".join(with_checksum(b"".join(struct.pack(f"<{VOCABULARY}f", *row) for row in rows)) for rows in skewed))
    compare = eval_report(MODEL, *arguments, "--compare", path)["compare"]
    pairs = [pair for a, b in zip(skewed, chunks) for pair in zip(a, b)]
    expected = sorted(kl(base, ours) for base, ours in pairs)
    assert abs(compare["kl_mean"] / (math.fsum(expected) / len(expected)) - 1) < 1e-9
    assert compare["kl_max"] == max(compare["kl_max"], compare["kl_99_9"], compare["kl_99"]) and abs(compare["kl_max"] / expected[-1] - 1) < 1e-9
    assert abs(compare["kl_99"] / expected[math.ceil(0.99 * len(expected)) - 1] - 1) < 1e-9
    agreeing = sum(base.index(max(base)) == ours.index(max(ours)) for base, ours in pairs)
    assert 0 < agreeing < len(pairs) and compare["top_1_agreement"] == agreeing / len(pairs)
    path.write_bytes(head + b"".join(with_checksum(b"\0\0\xc0\x7f" * VOCABULARY * len(rows)) for rows in chunks))
    assert "not finite" in eval_report(MODEL, *arguments, "--compare", path, code=1)


@case
def eval_refuses_files_of_another_question_and_damaged_ones():
    folder = pathlib.Path(FOLDER.name)
    base, other = folder / "question.logits", folder / "other.logits"
    common = ("--device", "reference")
    eval_report(MODEL, "--context", 16, *common, "--logits", base)
    good = base.read_bytes()

    def refused(data, *arguments, model=MODEL, text=TEXT):
        other.write_bytes(data)
        return eval_report(model, *common, *(arguments or ("--context", 16)), "--compare", other, text=text, code=1)

    assert "promises" in refused(good[:-1]) and "promises" in refused(good + b"x") and "promises" in refused(good[:len(good) // 2])
    assert "no logits file" in refused(b"") and "no logits file" in refused(pathlib.Path(MODEL).read_bytes())
    assert "version 2" in refused(good[:8] + struct.pack("<I", 2) + good[12:])
    for offset in (12, 16, 20, 24):  # vocabulary, context, chunks, first: as large as they can be, and zero
        for value in (0xFFFFFFFF, 0):
            message = refused(good[:offset] + struct.pack("<I", value) + good[offset + 4:])
            assert "damaged" in message, message
    assert "checksum of its header" in refused(good[:44] + bytes([good[44] ^ 1]) + good[45:])
    assert "checksum of its logits" in refused(good[:-20] + bytes([good[-20] ^ 1]) + good[-19:])
    assert "context of 16, not 20" in refused(good, "--context", 20)
    assert "another text" in refused(good, text=TEXT.replace(b"said", b"told"))
    assert "number of chunks" in refused(good, "--context", 16, "--tokens", 32)
    changed, weights = folder / "changed.gguf", bytearray(pathlib.Path(MODEL).read_bytes())
    weights[-100] ^= 1
    changed.write_bytes(weights)
    assert "another model file" in refused(good, model=str(changed))
    assert "another model: its vocabulary is 300, not 333" in refused(good, model=str(folder / "bos.gguf"))
    assert "cannot read" in eval_report(MODEL, *common, "--context", 16, "--compare", folder / "nosuch", code=1)
    eval_report(MODEL, *common, "--context", 16, "--compare", base)  # and the right one is taken


@case
def eval_answers_wrong_use_with_exit_codes():
    assert "fewer than two" in eval_report(MODEL, "--context", 512, "--device", "reference", code=2)
    quire("eval", MODEL, code=2)
    quire("eval", MODEL, "--text", "-", "--context", 3, stdin=TEXT, code=2)
    quire("eval", MODEL, "--text", "-", "-c", 0, stdin=TEXT, code=2)
    quire("eval", MODEL, "--text", "-", "--context", 513, stdin=TEXT, code=2)  # more than the model was trained for
    quire("eval", MODEL, "--text", "/nosuch/text", code=1)
    quire("eval", "nosuch.gguf", "--text", "-", stdin=TEXT, code=3)
    assert "cannot write" in eval_report(MODEL, "--context", 16, "--device", "reference", "--logits", "/nosuch/file", code=1)


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


if __name__ == "__main__":
    sys.exit(main("program"))
