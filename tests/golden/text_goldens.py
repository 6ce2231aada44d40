#!/usr/bin/env python3
"""Remakes the goldens of text beside this file. Tests only read them.

  text_goldens.py templates                      renders the Jinja templates of chat_templates.jsonl anew (needs the Python package jinja2)
  text_goldens.py tokens --oracle COMMAND SMOLLM2 GEMMA3
                                                 remakes pre_tokenizers.jsonl and sentencepiece.jsonl from the two model files (needs the package gguf);
                                                 COMMAND tokenize MODEL [--special] writes the ids of the text on stdin, without a BOS
"""
import argparse
import json
import pathlib
import shlex
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent

# One name of each row of the table in engine/text/pre_tokenizer_families.cpp.
PRE_TOKENIZERS = ["default", "gpt-2", "smollm", "llama-bpe", "dbrx", "qwen2", "qwen35", "deepseek-llm", "deepseek-coder", "deepseek-v3", "falcon", "bloom",
                  "viking", "tekken", "gpt-4o", "bailingmoe", "seed-coder", "superbpe", "chameleon"]

SPLIT_TEXTS = [
    "I'll say: we've DON'T they'RE it'S o'clock 'tis 'D",
    "0 12 345 6789 12345 123456789 3.14159 1,000,000 v2.0b1 ½ ² Ⅷ ٣٤٥",
    "   leading, two  inner   and trailing   ",
    "line\nline\n\nline\r\n\r\n  indented\n\ttab\t\ttabs \n \n",
    "def f(x):\n    return {x['a']: x->b, **c}  # !?\n\n\n    pass",
    "中文字符,日本語のテキスト。한국어 문장입니다!「引用」——１２３",
    "العربية والأرقام ١٢٣، हिन्दी का पाठ। ภาษาไทย",
    "👩‍👩‍👧 😀😀 🇫🇷 e\u0301a\u0308 n\u0303\u0323 ǅ ʰ ª µ ß ÉCOLE École Straße ΩΜΕΓΑ Ωμέγα ЖЖж",
    "$100 + 5 = <tag> ^~| `code` \"quoted\" (a) [b] {c} … — – ‘x’ “y” / // /// \\ _under_ @at #hash % & * ;",
    "camelCaseHTTPServer XMLHttpRequest iPhone3GS ABCdef abcDEF A a",
    "http://example.org/a/b?c=d&e=f#g user@example.com C:\\dir\\file.txt",
    "...!!!???,,, ;;; ...\n\n!!!\n/\r\n//\n",
    "x²y³ 10¹² H₂O 1st 2nd 3rd 4D",
    "a\u00a0b\u3000c d\u2028e f\u200bg",
    "'", "''''", "'s's't", " '", "\n", " \n", "\t \t", "1", " 1", "12 ", "a1b22c333d4444",
    "<sentinel:12> IMGIMGABZ IMGIMGABCDEZ     deep",
]

SENTENCE_TEXTS = [
    "Hello, world!", " leading", "trailing ", "  two  spaces   three", "a\nb\n\n\nc", "\ttab\t\ttabs", "▁mark▁ and ▁▁", "<0x41><0x0A>", "<unk><s></s><bos>x<end_of_turn>",
    "<table><tr><td>x</td></tr></table> <b>bold</b>", "中文字符と日本語、한국어", "العربية हिन्दी", "👩‍👩‍👧 😀 🏴󠁧󠁢󠁥󠁮󠁧󠁿", "e\u0301 n\u0303\u0323", "\u0378\U000E0001", "1234567890 3.14",
    "def f(x):\n        return x\n", " ", "  ", "\n", "", "x", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "<start_of_turn>user\nhi<end_of_turn>\n<start_of_turn>model\n", "\r\n \u3000 \u00a0",
]
# Not UTF-8: stray continuations, an unfinished character, one that swallows what follows.
BROKEN_TEXTS = [b"\xff\xfe", b"a\x80b", b"caf\xc3", b"\xe2\x82 x", b"\xf0 abc", b"ok\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf"]


def write_lines(name, rows):
    (HERE / name).write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def templates():
    import jinja2.sandbox

    def raise_exception(message):
        raise ValueError(message)

    # As the library that these templates were written for sets it up.
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    rows = [json.loads(line) for line in (HERE / "chat_templates.jsonl").read_text().splitlines()]
    for row in rows:
        template = environment.from_string(row["template"])
        for conversation in row["conversations"]:
            messages = [{"role": role, "content": content} for role, content in conversation["messages"]]
            conversation["text"] = template.render(messages=messages, add_generation_prompt=True, bos_token=row["bos"], eos_token=row["eos"])
    write_lines("chat_templates.jsonl", rows)


class Vocabulary:
    """The tokenizer of a model file, to be written again with some keys changed."""

    def __init__(self, path):
        import gguf
        self.gguf = gguf
        fields = gguf.GGUFReader(path).fields
        self.values = {key: fields[key].contents() for key in fields if key.startswith("tokenizer.ggml.")}

    def write(self, path, changes):
        values = {key.removeprefix("tokenizer.ggml."): value for key, value in self.values.items()} | changes
        writer = self.gguf.GGUFWriter(path, "llama")
        writer.add_tokenizer_model(values["model"])
        writer.add_tokenizer_pre(values["pre"])
        writer.add_token_list(values["tokens"])
        writer.add_token_types(values["token_type"])
        if "merges" in values:
            writer.add_token_merges(values["merges"])
        if "scores" in values:
            writer.add_token_scores(values["scores"])
        writer.add_bos_token_id(values["bos_token_id"])
        writer.add_eos_token_id(values["eos_token_id"])
        writer.add_unk_token_id(values["unknown_token_id"])
        if "add_space_prefix" in values:
            writer.add_add_space_prefix(values["add_space_prefix"])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()


def tokens(oracle, smollm2, gemma3):
    def ids_of(model, text, special):
        command = [*shlex.split(oracle), "tokenize", model, *(["--special"] if special else [])]
        return [int(word) for word in subprocess.run(command, input=text, capture_output=True, check=True).stdout.split()]

    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/vocabulary.gguf"
        byte_level, rows = Vocabulary(smollm2), []
        for pre in PRE_TOKENIZERS:
            byte_level.write(path, {"pre": pre})
            rows += [{"pre": pre, "text": text, "ids": ids_of(path, text.encode(), False)} for text in SPLIT_TEXTS]
        write_lines("pre_tokenizers.jsonl", rows)
        sentences, rows = Vocabulary(gemma3), []
        for prefix in (False, True):
            sentences.write(path, {"add_space_prefix": prefix})
            for special in (False, True):
                for text in [text.encode() for text in SENTENCE_TEXTS] + BROKEN_TEXTS:
                    rows.append({"space_prefix": prefix, "special": special, "hex": text.hex(), "ids": ids_of(path, text, special)})
        write_lines("sentencepiece.jsonl", rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("templates")
    verb = verbs.add_parser("tokens")
    verb.add_argument("--oracle", required=True)
    verb.add_argument("smollm2")
    verb.add_argument("gemma3")
    arguments = parser.parse_args()
    if arguments.verb == "templates":
        templates()
    else:
        tokens(arguments.oracle, arguments.smollm2, arguments.gemma3)


if __name__ == "__main__":
    main()
