#version 460
#extension GL_GOOGLE_include_directive : require
// top_k: the `count` largest logits of each row, largest first, lower index first among equals; NaN counts as minus infinity.
//
// In     args.logits f32 [row_count][vocabulary].
// Out    args.results TopKEntry[row_count][count].
// Grid   x, y: rows. A workgroup owns one row.
// Spec   workgroup.
// Method A logit's rank is (key, ~index), 64 bits without equals, where key orders like the float. The count-th largest is found eight bits at a
//        time: count the values of the next digit among the logits that agree with the digits found so far (shared counters: the order of their
//        additions does not matter), and stop when exactly the logits wanted are left. These are gathered in any order and then placed by how
//        many of them are larger.
// Bytes  the logits two to nine times (from the cache after the first).
#include "shaders/common.glsl"
layout(push_constant) uniform Push { TopKArgs args; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer TopKEntries { TopKEntry at[]; };

const uint kDigits = 256u;
#define MINUS_INFINITY uintBitsToFloat(0xff800000u)
shared uint digit_count[kDigits];
shared uvec2 chosen[TOP_K_LIMIT];  // key, index
shared uint chosen_count;
shared uvec2 prefix;     // digits found so far: of key (x) and of ~index (y)
shared uint wanted;      // how many of the logits that agree with prefix belong to the result
shared bool exact;       // all that agree with prefix do

bool is_nan(uint bits) { return (bits & 0x7fffffffu) > 0x7f800000u; }

// Orders like the float; both zeros are equal, NaN is minus infinity.
uint ordered_key(float x) {
  uint bits = floatBitsToUint(x);
  if (is_nan(bits)) bits = 0xff800000u;
  if (bits == 0x80000000u) bits = 0u;
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

// Ranks are compared in the bits of the digits found so far.
uvec2 digits_mask(uint digits) {
  return uvec2(digits == 0u ? 0u : digits >= 4u ? 0xffffffffu : ~0u << (32u - 8u * digits),
               digits <= 4u ? 0u : digits >= 8u ? 0xffffffffu : ~0u << (64u - 8u * digits));
}

uvec2 rank_of(uint row, uint index) { return uvec2(ordered_key(FloatsIn(args.logits).at[row * args.vocabulary + index]), ~index); }

void main() {
  const uint row = linear_workgroup();
  if (row >= args.row_count) return;
  const uint lane = gl_LocalInvocationID.x;
  if (lane == 0u) {
    prefix = uvec2(0u);
    wanted = args.count;
    exact = false;
    chosen_count = 0u;
  }
  barrier();

  uint digits = 0u;
  for (; digits < 8u && !exact; ++digits) {
    for (uint d = lane; d < kDigits; d += gl_WorkGroupSize.x) digit_count[d] = 0u;
    barrier();
    const uvec2 mask = digits_mask(digits);
    const uvec2 found = prefix;
    for (uint i = lane; i < args.vocabulary; i += gl_WorkGroupSize.x) {
      const uvec2 rank = rank_of(row, i);
      if ((rank & mask) == found) atomicAdd(digit_count[((digits < 4u ? rank.x : rank.y) >> (24u - 8u * (digits & 3u))) & 255u], 1u);
    }
    barrier();
    if (lane == 0u) {
      uint digit = kDigits - 1u;
      uint left = wanted;
      while (digit > 0u && digit_count[digit] < left) left -= digit_count[digit--];
      const uint placed = digit << (24u - 8u * (digits & 3u));
      prefix = found | (digits < 4u ? uvec2(placed, 0u) : uvec2(0u, placed));
      wanted = left;
      exact = digit_count[digit] == left;
    }
    barrier();
  }

  const uvec2 mask = digits_mask(digits);
  for (uint i = lane; i < args.vocabulary; i += gl_WorkGroupSize.x) {
    const uvec2 rank = rank_of(row, i) & mask;
    if (rank.x > prefix.x || (rank.x == prefix.x && rank.y >= prefix.y)) {
      const uint at = atomicAdd(chosen_count, 1u);
      if (at < TOP_K_LIMIT) chosen[at] = uvec2(rank_of(row, i).x, i);
    }
  }
  barrier();
  for (uint c = lane; c < args.count; c += gl_WorkGroupSize.x) {
    const uvec2 own = chosen[c];
    uint place = 0u;
    for (uint other = 0u; other < args.count; ++other)
      if (chosen[other].x > own.x || (chosen[other].x == own.x && chosen[other].y < own.y)) ++place;
    const uint bits = WordsIn(args.logits).at[row * args.vocabulary + own.y];
    TopKEntries(args.results).at[row * args.count + place] = TopKEntry(own.y, is_nan(bits) ? MINUS_INFINITY : uintBitsToFloat(bits));
  }
}
