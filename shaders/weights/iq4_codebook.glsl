// What iq4_nl and iq4_xs share: a nibble names one of sixteen signed bytes, unevenly spaced.
// Four nibbles are looked up at once, a byte each: every bit of a nibble, spread over its byte, chooses between two words.

#ifndef QUIRE_IQ4_CODEBOOK_GLSL
#define QUIRE_IQ4_CODEBOOK_GLSL

uint chosen(uint mask, uint zero, uint one) { return zero ^ (zero ^ one) & mask; }

uint byte_mask(uint word, uint bit) { return (word >> bit & 0x01010101u) * 255u; }

// The codebook's values, plus 128, of the nibbles in the low half of each byte.
uint codebook_bytes(uint word) {
  const uint bit0 = byte_mask(word, 0u), bit1 = byte_mask(word, 1u), bit2 = byte_mask(word, 2u), bit3 = byte_mask(word, 3u);
  // -127 -104  -83  -65 |  -49  -35  -22  -10 |    1   13   25   38 |   53   69   89  113
  const uint v0 = chosen(bit1, chosen(bit0, 0x01010101u, 0x18181818u), chosen(bit0, 0x2d2d2d2du, 0x3f3f3f3fu));
  const uint v4 = chosen(bit1, chosen(bit0, 0x4f4f4f4fu, 0x5d5d5d5du), chosen(bit0, 0x6a6a6a6au, 0x76767676u));
  const uint v8 = chosen(bit1, chosen(bit0, 0x81818181u, 0x8d8d8d8du), chosen(bit0, 0x99999999u, 0xa6a6a6a6u));
  const uint v12 = chosen(bit1, chosen(bit0, 0xb5b5b5b5u, 0xc5c5c5c5u), chosen(bit0, 0xd9d9d9d9u, 0xf1f1f1f1u));
  return chosen(bit3, chosen(bit2, v0, v4), chosen(bit2, v8, v12));
}

// In the mantissa a byte value + 128 is 1.5 + value / 256.
void unpack_codebook(uint word, out vec4 code[2]) {
  code[0] = in_mantissa(each_byte(codebook_bytes(word), 15) & 0x007f8000u);
  code[1] = in_mantissa(each_byte(codebook_bytes(word >> 4), 15) & 0x007f8000u);
}

#endif
