// Part of attend_decode's body: the keys of a split, and their products with the queries. `args` are attend_decode's.

const uint SCORES = GROUP_HEADS * LANE_KEYS;
const uint EIGHTHS_AT_ONCE = PAGE_LANES > 1u ? 2u : 1u;  // of a row of K

// A key that an invocation scores. With PAGE_LANES > 1 the lanes' keys are neighbours in one page: `rows` and `slot`, of lane 0, are the same in all.
struct Key {
  PageRows rows;
  uint slot;     // within the page
  bool present;  // there is a page
  bool valid;    // it has the key
};

// Of slot `first` + lane.
Key find_key(Bytes table, uint first, uint begin, uint end, uint kv_head) {
  const uint lane = own_lane();
  const uint slot = PAGE_LANES > 1u ? first : first + lane;
  const bool inside = PAGE_LANES > 1u ? first + PAGE_LANES > begin && first < end : slot >= begin && slot < end;
  Key key;
  PageEntry entry = PageEntries(table).at[(inside ? slot : begin) / args.page.tokens];
  key.present = inside && !is_null(entry.page);
  key.valid = key.present && first + lane >= begin && first + lane < end;
  key.rows = k_rows(entry, args.page, args.layer, kv_head);
  key.slot = slot % args.page.tokens;
  return key;
}

#ifdef SUBGROUP_BROADCAST
// As load8, of the rows of neighbouring slots, one a lane, from the addresses in lane 0's row on.
void load8_of_lanes(uvec2 codes, uvec2 scales, uint format, out vec4 low, out vec4 high) {
  const uint row_code_bytes = page_row_code_bytes(format, K_DIM);
  const uint row_scale_bytes = page_row_scale_bytes(format, K_DIM);
  uvec4 words = uvec4(0u);
  uvec4 more = uvec4(0u);
  [[unroll]] for (uint lane = 0u; lane < LANES; ++lane) {
    const bvec4 own = bvec4(gl_SubgroupInvocationID == lane);
    if (format == PAGE_FORMAT_F32) {
      const uvec4 first = Words4In(codes).at[lane * (row_code_bytes / 16u)];
      const uvec4 second = Words4In(codes).at[lane * (row_code_bytes / 16u) + 1u];
      words = mix(words, first, own);
      more = mix(more, second, own);
    } else if (format == PAGE_FORMAT_Q8) {
      const uvec2 bytes = Words2In(codes).at[lane * (row_code_bytes / 8u)];
      const uint half_scale = uint(HalvesIn(scales).at[lane * (row_scale_bytes / 2u)]);
      words = mix(words, uvec4(bytes, half_scale, 0u), own);
    } else {
      const uvec4 halves = Words4In(codes).at[lane * (row_code_bytes / 16u)];
      words = mix(words, halves, own);
    }
  }
  if (format == PAGE_FORMAT_F32) {
    low = uintBitsToFloat(words);
    high = uintBitsToFloat(more);
  } else if (format == PAGE_FORMAT_Q8) {
    const float scale_of_lane = unpackHalf2x16(words.z).x;
    low = scale_of_lane * signed_bytes(words.x);
    high = scale_of_lane * signed_bytes(words.y);
  } else {
    low = vec4(unpackHalf2x16(words.x), unpackHalf2x16(words.y));
    high = vec4(unpackHalf2x16(words.z), unpackHalf2x16(words.w));
  }
}
#endif

// score[h * LANE_KEYS + j] += q of head h . K of key j, for the keys in pages of the format; q_at[h] is the first element of head h's q, in vec4s.
void add_scores(uint format, Key key[LANE_KEYS], const uint q_at[GROUP_HEADS], inout float score[SCORES]) {
  const uint row_code_bytes = page_row_code_bytes(format, K_DIM);
  const uint row_scale_bytes = page_row_scale_bytes(format, K_DIM);
  bool chosen[LANE_KEYS];
  bool any_chosen = false;
  [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
    chosen[j] = key[j].present && key[j].rows.format == format;
    any_chosen = any_chosen || chosen[j];
  }
  if (!any_chosen) return;
#ifdef SUBGROUP_BROADCAST
  // For a key that is not chosen the lanes read a chosen one's rows once more: a choice inside the loop costs more.
  uvec2 codes[LANE_KEYS];
  uvec2 scales[LANE_KEYS];
  uvec2 chosen_codes = uvec2(0u);
  uvec2 chosen_scales = uvec2(0u);
  [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
    codes[j] = address_after(uvec2(key[j].rows.page), key[j].rows.codes + key[j].slot * row_code_bytes);
    scales[j] = address_after(uvec2(key[j].rows.page), key[j].rows.scales + key[j].slot * row_scale_bytes);
    chosen_codes = chosen[j] ? codes[j] : chosen_codes;
    chosen_scales = chosen[j] ? scales[j] : chosen_scales;
  }
  [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
    codes[j] = chosen[j] ? codes[j] : chosen_codes;
    scales[j] = chosen[j] ? scales[j] : chosen_scales;
  }
  const uint eighth_bytes = 8u * page_row_code_bytes(format, PAGE_GROUP) / PAGE_GROUP;
#endif
  float before[SCORES];
  [[unroll]] for (uint i = 0u; i < SCORES; ++i) before[i] = score[i];
  const uint rounds = K_DIM / (8u * EIGHTHS_AT_ONCE);
  [[dont_unroll]] for (uint at = 0u; at < rounds; ++at) {
    const uint first = index_to_load(at, rounds) * EIGHTHS_AT_ONCE;
    [[unroll]] for (uint e = 0u; e < EIGHTHS_AT_ONCE; ++e) {
      const uint d = first + e;
      vec4 low[LANE_KEYS];
      vec4 high[LANE_KEYS];
      [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
#ifdef SUBGROUP_BROADCAST
        if (PAGE_LANES > 1u) {
          const uvec2 scale = address_after(scales[j], d / (PAGE_GROUP / 8u) * 2u);
          load8_of_lanes(address_after(codes[j], d * eighth_bytes), scale, format, low[j], high[j]);
          continue;
        }
#endif
        low[j] = vec4(0.0);
        high[j] = vec4(0.0);
        if (chosen[j]) load8(key[j].rows, format, key[j].slot, d, low[j], high[j]);
      }
      [[unroll]] for (uint h = 0u; h < GROUP_HEADS; ++h) {
        const vec4 q_low = Floats4In(args.q).at[q_at[h] + 2u * d];
        const vec4 q_high = Floats4In(args.q).at[q_at[h] + 2u * d + 1u];
        [[unroll]] for (uint j = 0u; j < LANE_KEYS; ++j) {
          precise const vec4 products = fma(q_high, high[j], q_low * low[j]);
          precise const float sum = score[h * LANE_KEYS + j] + ((products.x + products.y) + (products.z + products.w));
          score[h * LANE_KEYS + j] = sum;
        }
      }
    }
  }
  if (PAGE_LANES > 1u)
    [[unroll]] for (uint i = 0u; i < SCORES; ++i) score[i] = chosen[i % LANE_KEYS] ? score[i] : before[i];
}
