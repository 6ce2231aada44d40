// What a feed-forward's gate does to its up projection (kernel_args.h: GATE_...), for gated_activation and for the matmul kernels: one formula, so that
// whoever computes it gets the same bits.
// Both functions are x / (1 + exp(-t)): silu with t = x; gelu's tanh form with t = 2 sqrt(2 / pi) (x + 0.044715 x^3).
#ifndef QUIRE_GATE_FUNCTION_GLSL
#define QUIRE_GATE_FUNCTION_GLSL

const float kTwiceRootOfTwoByPi = 1.5957691216057308;
const float kCubic = 0.044715;

float gated(uint function, float gate, float up) {
  float slope = gate;
  if (function == GATE_GELU) {
    precise const float bent = kTwiceRootOfTwoByPi * (gate + kCubic * gate * gate * gate);
    slope = bent;
  }
  precise const float result = gate / (1.0 + exp(-slope)) * up;
  return result;
}

#endif
