#!/usr/bin/env python3
"""`quire eval` on a real model, against the perplexities of an independent engine, and between page formats.

usage: eval_test.py PROGRAM GOLDENS_FOLDER MODEL_FOLDER smollm2|gemma3
The long rows, and choices but the default, run with QUIRE_GOLDENS=full. A model that was not fetched is skipped.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAM, GOLDENS, MODELS, MODEL = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4]
FILES = {"smollm2": "SmolLM2-135M-Instruct.Q4_1.gguf", "gemma3": "gemma-3-270m-q4_k_m.gguf"}
SHORT_TOKENS = 2048
# Gemma's vocabulary would make the file of logits a gigabyte.
KEEPS_LOGITS = ("smollm2",)
# What is chosen, largest relative error of the perplexity, largest mean KL divergence from f32 pages. 16-bit values round at 2^-11, 8-bit pages at 2^-8;
# 8-bit arithmetic is for whoever asks for it.
DEFAULT = (("--kv", "f16"), 0.003, 1e-5)
OTHERS = ((("--kv", "q8"), 0.006, 1e-3), (("--kv", "f16", "--arithmetic", "int8"), 0.01, 5e-3))
FULL = os.environ.get("QUIRE_GOLDENS") == "full"


def evaluate(model, row, *arguments):
    text = GOLDENS / "text" / row["text"]
    command = [PROGRAM, "eval", str(model), "--text", str(text), "--tokens", str(row["tokens"]), "--context", str(row["context"]), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr}"
    # The first program on a machine also says that it measures the driver's vector widths.
    complaints = [line for line in done.stderr.splitlines() if not line.startswith("quire: measuring vector widths")]
    assert "--validation" not in arguments or not complaints, done.stderr
    return json.loads(done.stdout)


def check_row(model, row, folder):
    base = folder / "base.logits"
    short, keeps = row["tokens"] == SHORT_TOKENS, row["model"] in KEEPS_LOGITS
    if FULL:
        report = evaluate(model, row, "--kv", "f32", *(["--logits", str(base)] if short and keeps else []))
        check_perplexity(row, "--kv f32", report, 0.003)
    for choice, bound, largest_kl in (DEFAULT, *(OTHERS if FULL else ())) if short else ():
        compares = keeps and FULL
        report = evaluate(model, row, *choice, "--validation", *(["--compare", str(base)] if compares else []))
        check_perplexity(row, " ".join(choice), report, bound)
        if not compares:
            continue
        compare = report["compare"]
        print(f"  {' '.join(choice)} from f32 pages: KL mean {compare['kl_mean']:.3g}, 99.9 % {compare['kl_99_9']:.3g}, largest {compare['kl_max']:.3g}, "
              f"same best {100 * compare['top_1_agreement']:.2f} %")
        assert 0 < compare["kl_mean"] <= largest_kl


def check_perplexity(row, choice, report, bound):
    assert report["tokens"] == row["tokens"]
    ratio = report["perplexity"] / row["perplexity"] - 1
    print(f"{row['model']} {row['tokens']} tokens in chunks of {row['context']}, {choice}: {report['perplexity']:.6f} +- {report['error']:.6f}, "
          f"golden {row['perplexity']:.6f} +- {row['error']:.6f} ({100 * ratio:+.4f} %)", flush=True)
    assert abs(ratio) <= bound
    # The bar is that of the same losses: it may differ as much as they do, and by the golden's last digit.
    assert abs(report["error"] - row["error"]) <= bound * row["error"] + 1e-6


def main():
    passed = failed = skipped = 0
    path = GOLDENS / "perplexity.json"
    rows = json.loads(path.read_text()) if path.exists() else []
    if not rows:
        print(f"SKIP eval: {path} is missing")
        skipped += 1
    for row in rows:
        if row["model"] != MODEL or (row["tokens"] != SHORT_TOKENS and not FULL):
            continue
        name, model = f"eval: {row['model']}, {row['tokens']} tokens in chunks of {row['context']}", MODELS / FILES[row["model"]]
        if not model.exists():
            print(f"SKIP {name}: {model} is missing")
            skipped += 1
            continue
        try:
            with tempfile.TemporaryDirectory() as folder:
                check_row(model, row, pathlib.Path(folder))
            passed += 1
        except (AssertionError, ValueError, KeyError) as problem:
            failed += 1
            print(f"{type(problem).__name__}: {problem}")
            print(f"TEST CASE: {name}")
    print(f"totals: {passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
