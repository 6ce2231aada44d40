// The rounding of an element to a signed byte, for pages and for quantized activations alike.
#ifndef QUIRE_Q8_CODE_GLSL
#define QUIRE_Q8_CODE_GLSL

// The code of x in a group of the given scale: the integer nearest to x / scale, ties to even, at most 127 in magnitude. `inverse` is near 1 / scale. The
// scale has at most thirteen bits, so that the products that decide have at most 21: no device rounds them.
uint q8_code(float x, float scale, float inverse) {
  const float magnitude = min(abs(x), 127.0 * scale);
  float code = floor(magnitude * inverse + 0.5);  // right, or one off
  const bool odd = (uint(code) & 1u) == 1u;
  const float above = (code + 0.5) * scale;
  const float below = (code - 0.5) * scale;
  if (magnitude > above || (magnitude == above && odd)) code += 1.0;
  else if (magnitude < below || (magnitude == below && odd)) code -= 1.0;
  return uint(x < 0.0 ? -int(code) : int(code)) & 255u;
}

#endif
