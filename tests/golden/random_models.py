#!/usr/bin/env python3
"""The random models of random_models.json: makes their files, and remakes the goldens beside them.

  random_models.py make FOLDER              makes the files that are missing in FOLDER and checks the SHA-256 of all (a test)
  random_models.py pin                      writes the SHA-256 of what tools/make_model makes now into random_models.json
  random_models.py goldens --quantize COMMAND --oracle COMMAND [NAME...]
                                            remakes random_logits/NAME.f32 with programs of llama.cpp, for all models or some; README.md here
                                            says what the two commands must do
"""
import argparse
import hashlib
import json
import math
import pathlib
import shlex
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "random_models.json"
MAKER = HERE.parent.parent / "tools" / "make_model"
LOGITS = HERE / "random_logits"


def read_table():
    return json.loads(TABLE.read_text())


def write_table(rows):
    TABLE.write_text("[\n" + ",\n".join(" " + json.dumps(row) for row in rows) + "\n]\n")


def make(row, path):
    done = subprocess.run([sys.executable, str(MAKER), str(path), *row["arguments"].split()], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{row['name']}: {done.stderr.strip()}")
    return done.stdout.split()[0]


def vocabulary_of(row):
    words = row["arguments"].split()
    return int(words[words.index("--vocabulary") + 1]) if "--vocabulary" in words else 333


def ids_of(row):
    """The same pseudo-random ids as random_models_test.cpp feeds."""
    state, ids = 99, []
    for _ in range(row["prompt"] + row["decode"]):
        state = (state * 1664525 + 1013904223) % 2 ** 32
        ids.append((state >> 8) % vocabulary_of(row))
    return ids


def make_all(folder):
    folder.mkdir(parents=True, exist_ok=True)
    passed = failed = 0
    for row in read_table():
        path = folder / (row["name"] + ".gguf")
        found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""
        if found != row["sha256"]:
            found = make(row, path)
        if found == row["sha256"]:
            passed += 1
        else:
            failed += 1
            path.unlink()
            print(f"random models: {row['name']}: tools/make_model makes a file with the SHA-256 {found}, pinned is {row['sha256']}")
            print(f"TEST CASE: random models: the file of {row['name']} is the pinned one")
    print(f"totals: {passed} passed, {failed} failed, 0 skipped")
    return 1 if failed else 0


def pin():
    table = read_table()
    with tempfile.TemporaryDirectory() as folder:
        for row in table:
            row["sha256"] = make(row, pathlib.Path(folder) / "model.gguf")
    write_table(table)
    return 0


def ask(oracle, model, ids, last, out):
    subprocess.run([*oracle, "logits", str(model), str(out), "--last", str(last)], input=" ".join(map(str, ids)), text=True, check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return out.read_bytes()


def golden_of(row, oracle, model, out):
    ids, positions = ids_of(row), row["positions"]
    if row["golden"] == "whole":
        return ask(oracle, model, ids, positions, out)
    # In a single layer with a window of n, the answer after a token is the answer to the last n tokens alone.
    window = int(row["golden"].split()[1])
    ends = range(len(ids) - positions + 1, len(ids) + 1)
    return b"".join(ask(oracle, model, ids[end - window:end], 1, out) for end in ends)


def thin(row, data):
    """Of a large vocabulary every stride-th logit, each position led by the logarithm of the sum of all exponentials."""
    stride, vocabulary = row.get("stride", 1), vocabulary_of(row)
    if stride == 1:
        return data
    kept = b""
    for position in range(row["positions"]):
        logits = struct.unpack_from(f"<{vocabulary}f", data, 4 * vocabulary * position)
        top = max(logits)
        log_sum = top + math.log(math.fsum(math.exp(logit - top) for logit in logits))
        kept += struct.pack("<f", log_sum) + struct.pack(f"<{len(logits[::stride])}f", *logits[::stride])
    return kept


def goldens(quantize, oracle, names):
    LOGITS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        model, expanded, out = (pathlib.Path(folder) / name for name in ("model.gguf", "expanded.gguf", "out.f32"))
        for row in read_table():
            if row["golden"] == "none" or (names and row["name"] not in names):
                continue
            make(row, model)
            subprocess.run([*quantize, str(model), str(expanded), "F32"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            data = golden_of(row, oracle, expanded, out)
            if len(data) != 4 * row["positions"] * vocabulary_of(row):
                raise RuntimeError(f"{row['name']}: the oracle wrote {len(data)} bytes")
            (LOGITS / (row["name"] + ".f32")).write_bytes(thin(row, data))
            values = struct.unpack(f"<{vocabulary_of(row)}f", data[-4 * vocabulary_of(row):])
            mean = sum(values) / len(values)
            print(f"{row['name']}: deviation {(sum((v - mean) ** 2 for v in values) / len(values)) ** 0.5:.2f}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("make").add_argument("folder", type=pathlib.Path)
    verbs.add_parser("pin")
    remake = verbs.add_parser("goldens")
    remake.add_argument("--quantize", type=shlex.split, required=True)
    remake.add_argument("--oracle", type=shlex.split, required=True)
    remake.add_argument("names", nargs="*")
    chosen = parser.parse_args()
    if chosen.verb == "make":
        return make_all(chosen.folder)
    return pin() if chosen.verb == "pin" else goldens(chosen.quantize, chosen.oracle, chosen.names)


if __name__ == "__main__":
    sys.exit(main())
