// Attention kernels on one device.
#pragma once

#include "tests/conformance/support/attention_case.hpp"

namespace quire::conformance {

/// The result is dst: activation [q_heads * v_dim][columns].
Outcome run_prefill(TestDevice& device, const AttentionCase& c);

/// Splits of the case's longest column.
uint32_t case_split_count(const AttentionCase& c, const VariantSet& variants);
/// The result is the partials, f32 [columns][q_heads][split_count][v_dim + 2].
Outcome run_decode(TestDevice& device, const AttentionCase& c, uint32_t split_count);
/// The result is dst, f32 [columns][q_heads * v_dim].
Outcome run_merge(TestDevice& device, const AttentionCase& c, uint32_t split_count, const std::vector<float>& partials);
/// attend_decode, then attend_merge, in one submission.
Outcome run_decode_and_merge(TestDevice& device, const AttentionCase& c, uint32_t split_count);

}  // namespace quire::conformance
