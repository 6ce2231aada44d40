#include "engine/device/reference/reference_kernels.hpp"

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace quire {
namespace {

template <class Args>
void run(void (*kernel)(const Args&, const KernelVariant&), const Command& command) {
  Args args;
  static_assert(sizeof(args) <= sizeof(command.args));
  std::memcpy(&args, command.args.data(), sizeof(args));
  kernel(args, command.kernel);
}

}  // namespace

void run_reference_kernel(const Command& command) {
  switch (command.kernel.id) {
    case KernelId::embed_rows: return run(reference::embed_rows, command);
    case KernelId::rms_norm: return run(reference::rms_norm, command);
    case KernelId::head_norm: return run(reference::head_norm, command);
    case KernelId::quantize_columns: return run(reference::quantize_columns, command);
    case KernelId::matmul_many: return run(reference::matmul_many, command);
    case KernelId::matmul_int8: return run(reference::matmul_int8, command);
    case KernelId::matmul_cooperative: return run(reference::matmul_cooperative, command);
    case KernelId::matmul_few: return run(reference::matmul_few, command);
    case KernelId::rope_page_write: return run(reference::rope_page_write, command);
    case KernelId::attend_prefill: return run(reference::attend_prefill, command);
    case KernelId::attend_decode: return run(reference::attend_decode, command);
    case KernelId::attend_merge: return run(reference::attend_merge, command);
    case KernelId::gated_activation: return run(reference::gated_activation, command);
    case KernelId::gather_columns: return run(reference::gather_columns, command);
    case KernelId::argmax: return run(reference::argmax, command);
    case KernelId::sample: return run(reference::sample, command);
    case KernelId::persistent_step: return run(reference::persistent_step, command);
    case KernelId::count: return;
  }
}

void reference::persistent_step(const PersistentStepArgs& args, const KernelVariant& kernel) {
  const StepOperation* operations = host_pointer<const StepOperation>(args.operations);
  for (uint32_t i = 0; i < args.operation_count; ++i) {
    if (operations[i].kernel >= kKernelCount) continue;
    Command command;
    command.kernel.id = static_cast<KernelId>(operations[i].kernel);
    command.kernel.weight = static_cast<WeightType>(operations[i].weight_type);
    const KernelInfo& info = kernel_info(command.kernel.id);
    for (size_t s = 0; s < info.spec_constants.size(); ++s) {
      const auto names = kernel_info(kernel.id).spec_constants;
      const bool shared = std::find(names.begin(), names.end(), info.spec_constants[s]) != names.end();
      command.kernel.spec[s] = shared ? spec_value(kernel, info.spec_constants[s]) : 1;
    }
    std::memcpy(command.args.data(), host_pointer<const std::byte>(operations[i].args), info.args_bytes);
    run_reference_kernel(command);
  }
}

uint32_t reference::spec_value(const KernelVariant& kernel, std::string_view name) {
  const auto names = kernel_info(kernel.id).spec_constants;
  for (size_t i = 0; i < names.size(); ++i)
    if (names[i] == name) return kernel.spec[i];
  return 0;
}

}  // namespace quire
