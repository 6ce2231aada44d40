#version 460
#extension GL_GOOGLE_include_directive : require
// sample: the token drawn from each row of logits after top_k, top_p, min_p and temperature (SamplingRow).
//
// In     args.logits f32 [row_count][vocabulary]; args.rows SamplingRow[row_count].
// Out    args.results SampleResult[row_count].
// Grid   x, y: rows. A workgroup owns one row.
// Spec   workgroup.
// Method Logits are ordered by (key, ~index), 64 bits without equals, where key orders like the float. Every filter keeps a beginning of this order,
//        and the draw takes the first place where a running sum is reached. Weights are integers, so sums have no order.
//        1. A list of the first few hundred: as many strided groups are searched for their largest; the wanted-th largest of these is a bound that
//           at least `wanted` logits pass and, unless the order was made for it, few more. The list is sorted, and filters and draw walk along it.
//        2. Where a place lies beyond the list, it is found in the row, eight bits of the rank at a time: find_in_row. A count is a sum of weights of
//           steepness 0.
// Bytes  the logits twice; once more where a sum over the whole row is needed; two to ten times more for a place beyond the list.
#include "shaders/common.glsl"
layout(push_constant) uniform Push { SampleArgs args; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer SamplingRows { SamplingRow at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) writeonly buffer SampleResults { SampleResult at[]; };

struct Ranked {
  uint key;
  uint index;
};

#define FLOAT_MAX uintBitsToFloat(0x7f7fffffu)
const uint kListSize = 512u;
const uint kWithoutTopK = 192u;  // listed where top_k does not say how many
const uint kDigits = 256u;
const uint kTotal = kDigits;     // place of the sum over all
shared Ranked found[kListSize];   // in any order
shared Ranked ordered[kListSize];
shared Wide weights[kListSize];   // of the ordered ones
shared uint passed;               // logits not below the list's bound
shared uint non_finite;
shared uint sum_low[kDigits + 1u];
shared uint sum_high[kDigits + 1u];
shared uint digit_count[kDigits];
shared uint found_digit;
shared Ranked sought;
shared uint place;

// The same in every invocation.
uint listed;  // how many of the order's first logits are listed
bool inside;  // nothing beyond the list is kept
float largest;
Ranked last;  // of what top_k and top_p keep
Wide target;  // in invocation 0: what the running sum has to reach

// Orders like the float; both zeros are equal.
uint ordered_key(uint bits) {
  if (bits == 0x80000000u) bits = 0u;
  return (bits & 0x80000000u) != 0u ? ~bits : bits | 0x80000000u;
}

bool comes_before(Ranked a, Ranked b) { return a.key > b.key || (a.key == b.key && a.index < b.index); }

float logit_of(uint key) { return uintBitsToFloat((key & 0x80000000u) != 0u ? key & 0x7fffffffu : ~key); }

Ranked ranked_at(uint row, uint index) { return Ranked(ordered_key(WordsIn(args.logits).at[row * args.vocabulary + index]), index); }

float distance_of(Ranked logit) { return half_distance(largest, logit_of(logit.key)); }

Wide weight_of(Ranked logit, float steepness) {
  precise const float z = distance_of(logit) * steepness;
  return sampling_weight(floatBitsToUint(z));
}

void add_to_sum(uint at, Wide weight) {
  const uint before = atomicAdd(sum_low[at], weight.low);
  const uint high = weight.high + (before + weight.low < before ? 1u : 0u);
  if (high != 0u) atomicAdd(sum_high[at], high);
}

// ordered: the `count` ones found, in order. An invocation places a few at a time, so that each one read serves them all.
void sort_found(uint count) {
  const uint kOwn = 8u;
  for (uint first = gl_LocalInvocationID.x; first < count; first += kOwn * gl_WorkGroupSize.x) {
    Ranked own[kOwn];
    uint before[kOwn];
    [[unroll]] for (uint o = 0u; o < kOwn; ++o) {
      own[o] = found[min(first + o * gl_WorkGroupSize.x, count - 1u)];
      before[o] = 0u;
    }
    for (uint i = 0u; i < count; ++i) {
      const Ranked other = found[i];
      [[unroll]] for (uint o = 0u; o < kOwn; ++o) before[o] += comes_before(other, own[o]) ? 1u : 0u;
    }
    [[unroll]] for (uint o = 0u; o < kOwn; ++o) ordered[before[o]] = own[o];
  }
  barrier();
}

// Fills the list with at least `wanted` logits, or leaves it empty where too many pass the bound. Counts what is not finite.
// Requires: wanted <= min(kListSize, args.vocabulary).
void make_list(uint row, uint wanted) {
  const uint lane = gl_LocalInvocationID.x;
  const uint groups = wanted <= kListSize / 8u ? kListSize / 2u : kListSize;
  uint strange = 0u;
  for (uint group = lane; group < groups; group += gl_WorkGroupSize.x) {
    Ranked best = Ranked(0u, group);
    for (uint i = group; i < args.vocabulary; i += groups) {
      const uint bits = WordsIn(args.logits).at[row * args.vocabulary + i];
      strange += (bits & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
      const uint key = ordered_key(bits);
      if (key > best.key) best = Ranked(key, i);
    }
    found[group] = best;
  }
  if (strange != 0u) atomicAdd(non_finite, strange);
  barrier();
  sort_found(groups);

  largest = logit_of(ordered[0].key);
  const Ranked bound = ordered[wanted - 1u];
  for (uint i = lane; i < args.vocabulary; i += gl_WorkGroupSize.x) {
    const Ranked own = ranked_at(row, i);
    if (comes_before(bound, own)) continue;
    const uint at = atomicAdd(passed, 1u);
    if (at < kListSize) found[at] = own;
  }
  barrier();
  listed = passed <= kListSize ? passed : 0u;
  inside = listed == args.vocabulary;
  if (listed != 0u) sort_found(listed);
}

bool is_kept(Ranked logit, float min_p) { return !comes_before(last, logit) && distance_of(logit) <= min_p; }

// The rank as the search in the row takes it: before key and ~index a digit of the distance, in steps that end where weights become 0.
uvec3 rank_of(Ranked logit, float steepness) {
  precise const float step_number = distance_of(logit) * (steepness > 0.0 ? min(9.0 * steepness, FLOAT_MAX) : 9.0);
  return uvec3(255u - uint(min(step_number, 255.0)), logit.key, ~logit.index);
}

// sought: the first place of what is kept of the row at which the sum of weights reaches target. Digit by digit: the weights are summed by the next
// digit among the logits that agree with the digits found so far. Once these are few, they are gathered.
void find_in_row(uint row, float min_p, float steepness) {
  const uint lane = gl_LocalInvocationID.x;
  uvec3 prefix = uvec3(0u);
  uvec3 mask = uvec3(0u);
  bool gathered = false;
  uint count = args.vocabulary;
  uint agreeing = count;
  for (uint number = 0u; number < 9u && agreeing != 1u; ++number) {
    const uint word = (number + 3u) / 4u;
    const uint shift = number == 0u ? 0u : 24u - 8u * ((number - 1u) & 3u);
    for (uint d = lane; d < kDigits; d += gl_WorkGroupSize.x) sum_low[d] = sum_high[d] = digit_count[d] = 0u;
    barrier();
    for (uint i = lane; i < count; i += gl_WorkGroupSize.x) {
      Ranked own;
      if (gathered)
        own = found[i];
      else
        own = ranked_at(row, i);
      const uvec3 rank = rank_of(own, steepness);
      if ((rank & mask) != prefix || !is_kept(own, min_p)) continue;
      const uint digit = (rank[word] >> shift) & 255u;
      atomicAdd(digit_count[digit], 1u);
      add_to_sum(digit, weight_of(own, steepness));
    }
    barrier();
    if (lane == 0u) {
      uint digit = kDigits - 1u;
      for (; digit > 0u; --digit) {
        const Wide sum = Wide(sum_low[digit], sum_high[digit]);
        if (!wide_less(sum, target)) break;
        target = wide_difference(target, sum);
      }
      found_digit = digit;
      passed = 0u;
    }
    barrier();
    prefix[word] |= found_digit << shift;
    mask[word] |= 255u << shift;
    agreeing = digit_count[found_digit];
    if (!gathered && agreeing <= kListSize) {
      for (uint i = lane; i < args.vocabulary; i += gl_WorkGroupSize.x) {
        const Ranked own = ranked_at(row, i);
        if ((rank_of(own, steepness) & mask) == prefix && is_kept(own, min_p)) found[atomicAdd(passed, 1u)] = own;
      }
      count = agreeing;
      gathered = true;
    }
    barrier();
  }
  for (uint i = lane; i < count; i += gl_WorkGroupSize.x)
    if ((rank_of(found[i], steepness) & mask) == prefix) sought = found[i];
  barrier();
}

// The first place of the order at which what is kept sums up to `fraction` of all of it: in the list, or `listed` and sought.
uint find(uint row, float min_p, float steepness, Wide fraction, uint above) {
  const uint lane = gl_LocalInvocationID.x;
  for (uint c = lane; c < listed; c += gl_WorkGroupSize.x) weights[c] = weight_of(ordered[c], steepness);
  if (lane == 0u) sum_low[kTotal] = sum_high[kTotal] = 0u;
  barrier();
  Wide total = Wide(0u, 0u);
  if (!inside) {
    for (uint i = lane; i < args.vocabulary; i += gl_WorkGroupSize.x) {
      const Ranked own = ranked_at(row, i);
      if (is_kept(own, min_p)) total = wide_sum(total, weight_of(own, steepness));
    }
    add_to_sum(kTotal, total);
    barrier();
    total = Wide(sum_low[kTotal], sum_high[kTotal]);
  }
  if (lane == 0u) {
    if (inside)
      for (uint c = 0u; c < listed; ++c) total = wide_sum(total, weights[c]);
    target = wide_fraction(total, fraction, above);
    if (target.low == 0u && target.high == 0u) target.low = 1u;
    Wide sum = Wide(0u, 0u);
    for (place = 0u; place < listed; ++place) {
      sum = wide_sum(sum, weights[place]);
      if (!wide_less(sum, target)) break;
    }
  }
  barrier();
  const uint at = place;
  if (at == listed) find_in_row(row, min_p, steepness);
  return at;
}

void keep_first(uint count) {
  listed = count;
  inside = true;
}

void keep_until(uint at) {
  if (at < listed)
    keep_first(at + 1u);
  else
    last = sought;
}

// How many of the list are within min_p of the largest.
uint likely_in_list(float min_p) {
  uint count = 0u;
  uint end = listed;
  while (count < end) {
    const uint middle = (count + end) / 2u;
    if (distance_of(ordered[middle]) <= min_p)
      count = middle + 1u;
    else
      end = middle;
  }
  return count;
}

void main() {
  const uint row = linear_workgroup();
  if (row >= args.row_count) return;
  const SamplingRow how = SamplingRows(args.rows).at[row];
  if (gl_LocalInvocationID.x == 0u) passed = non_finite = 0u;
  barrier();
  const bool cut = how.top_k != 0u && how.top_k < args.vocabulary;
  make_list(row, args.vocabulary <= kListSize ? args.vocabulary : cut && how.top_k <= kListSize / 2u ? how.top_k : kWithoutTopK);
  if (non_finite != 0u) {
    if (gl_LocalInvocationID.x == 0u) SampleResults(args.results).at[row] = SampleResult(0u, non_finite);
    return;
  }

  last = Ranked(0u, 0xffffffffu);
  if (cut && how.top_k <= listed) {
    keep_first(how.top_k);
  } else if (cut) {
    target = Wide(0u, how.top_k << 8);  // each weighs 2^40
    find_in_row(row, FLOAT_MAX, 0.0);
    last = sought;
  }
  if (how.top_p.low != 0u || how.top_p.high != 0u) keep_until(find(row, FLOAT_MAX, 2.0, how.top_p, FRACTION_REACHED));
  const uint likely = likely_in_list(how.min_p);
  if (likely < listed) keep_first(likely);
  const uint at = find(row, how.min_p, how.steepness, how.point, FRACTION_EXCEEDED);
  if (gl_LocalInvocationID.x == 0u) SampleResults(args.results).at[row] = SampleResult(at < listed ? ordered[at].index : sought.index, 0u);
}
