// The reference twin of every kernel: the plainest correct loop over host memory, accumulating in double. The oracle of the conformance tests.
// Arguments are described in shaders/interface/kernel_args.h; every address is a host pointer, and weights lie in the model file's blocks.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/device/encoder.hpp"
#include "engine/device/kernel_manifest.hpp"
#include "shaders/interface/kernel_args.h"

namespace quire {

/// Runs one recorded dispatch to its end. The grid is ignored: a kernel's arguments say what it computes.
/// Requires: command.kind is dispatch; its addresses are host pointers that stay valid during the call.
void run_reference_kernel(const Command& command);

namespace reference {

void embed_rows(const EmbedRowsArgs& args, const KernelVariant& kernel);
void rms_norm(const RmsNormArgs& args, const KernelVariant& kernel);
void head_norm(const HeadNormArgs& args, const KernelVariant& kernel);
void quantize_columns(const QuantizeColumnsArgs& args, const KernelVariant& kernel);
void matmul_many(const MatmulArgs& args, const KernelVariant& kernel);
void matmul_int8(const MatmulArgs& args, const KernelVariant& kernel);
void matmul_cooperative(const MatmulArgs& args, const KernelVariant& kernel);
void matmul_few(const MatmulArgs& args, const KernelVariant& kernel);
void rope_page_write(const RopePageWriteArgs& args, const KernelVariant& kernel);
void attend_prefill(const AttendPrefillArgs& args, const KernelVariant& kernel);
void attend_decode(const AttendDecodeArgs& args, const KernelVariant& kernel);
void attend_merge(const AttendMergeArgs& args, const KernelVariant& kernel);
void gated_activation(const GatedActivationArgs& args, const KernelVariant& kernel);
void gather_columns(const GatherColumnsArgs& args, const KernelVariant& kernel);
void argmax(const ArgmaxArgs& args, const KernelVariant& kernel);
void sample(const SampleArgs& args, const KernelVariant& kernel);
/// The operations one after the other: nothing waits, nothing is abandoned.
void persistent_step(const PersistentStepArgs& args, const KernelVariant& kernel);

/// GATE_SILU or GATE_GELU.
double gate_function(uint32_t function, double x);

/// A specialization constant by its name in the manifest. Requires: the kernel has it.
uint32_t spec_value(const KernelVariant& kernel, std::string_view name);

template <class T>
T* host_pointer(ADDRESS address) {
  return reinterpret_cast<T*>(static_cast<uintptr_t>(address));
}

}  // namespace reference
}  // namespace quire
