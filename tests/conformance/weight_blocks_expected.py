#!/usr/bin/env python3
"""Prints the table of weight_blocks_test.cpp: what the Python package gguf (0.19 was used) unpacks from the same pseudo-random blocks.

Run by hand when a weight type is added; needs numpy and gguf.
"""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
from gguf.quants import dequantize

BLOCKS = 64
MASK = (1 << 64) - 1
# Bytes whose bit 6 is cleared, so that no f16 (or plain weight) is infinite or no number: the upper byte of each.
UPPER_BYTES = {
    "F32": [3], "F16": [1], "BF16": [1], "Q4_0": [1], "Q4_1": [1, 3], "Q5_0": [1], "Q5_1": [1, 3], "Q8_0": [1], "Q2_K": [81, 83],
    "Q3_K": [109], "Q4_K": [1, 3], "Q5_K": [1, 3], "Q6_K": [209], "IQ4_NL": [1], "IQ4_XS": [1],
}


def splitmix64(seed):
    state = seed
    while True:
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        yield z ^ (z >> 31)


def fnv1a(data):
    value = 0xCBF29CE484222325
    for byte in data:
        value = ((value ^ byte) * 0x100000001B3) & MASK
    return value


for kind in sorted((GGMLQuantizationType[name] for name in UPPER_BYTES), key=lambda kind: kind.value):
    elements, size = GGML_QUANT_SIZES[kind]
    numbers = splitmix64(kind.value)
    blocks = np.array([next(numbers) & 255 for _ in range(BLOCKS * size)], dtype=np.uint8).reshape(BLOCKS, size)
    for byte in UPPER_BYTES[kind.name]:
        blocks[:, byte] &= 0xBF
    values = dequantize(blocks, kind).astype("<f4").reshape(-1)
    first = ", ".join(f"0x{v:08x}" for v in values[:2].view("<u4"))
    print(f"    {{WeightType::{kind.name.lower()}, {{{first}}}, 0x{fnv1a(values.tobytes()):016x}}},")
