#include "engine/device/command_checks.hpp"

#include <algorithm>

#include "engine/base/checked.hpp"
#include "engine/device/backend.hpp"

namespace quire {
namespace {

constexpr uint64_t kAddressAlignment = 4;

unsigned long long number(uint64_t value) { return value; }

// printf's %.*s takes an int.
int width(std::string_view text) { return static_cast<int>(text.size()); }

}  // namespace

Status check_kernel_variant(const KernelVariant& kernel, const Limits& limits) {
  if (kernel.id >= KernelId::count)
    return make_error(Code::unsupported, "kernel number %u does not exist: there are %u", static_cast<unsigned>(kernel.id), kKernelCount);
  const KernelInfo& info = kernel_info(kernel.id);
  const std::string_view weight = weight_type_name(kernel.weight);
  const bool compiled = info.weight_types.empty() ? kernel.weight == WeightType::none
                                                  : std::find(info.weight_types.begin(), info.weight_types.end(), kernel.weight) !=
                                                        info.weight_types.end();
  if (!compiled)
    return make_error(Code::unsupported, "kernel %.*s has no variant for weight type %.*s", width(info.name), info.name.data(), width(weight),
                      weight.data());
  if (kernel.spec[0] == 0 || kernel.spec[0] > limits.max_workgroup_invocations)
    return make_error(Code::invalid_argument, "kernel %.*s: a workgroup of %u invocations is not within 1 and %u", width(info.name),
                      info.name.data(), kernel.spec[0], limits.max_workgroup_invocations);
  for (size_t i = info.spec_constants.size(); i < kernel.spec.size(); ++i)
    if (kernel.spec[i] != 0)
      return make_error(Code::invalid_argument, "kernel %.*s has %zu specialization constants, but number %zu is %u", width(info.name),
                        info.name.data(), info.spec_constants.size(), i, kernel.spec[i]);
  return {};
}

Status check_dispatch_shape(const Dispatch& dispatch, const Limits& limits) {
  QUIRE_TRY(check_kernel_variant(dispatch.kernel, limits));
  const KernelInfo& info = kernel_info(dispatch.kernel.id);
  if (dispatch.args.size() != info.args_bytes)
    return make_error(Code::invalid_argument, "kernel %.*s takes %u bytes of arguments, not %zu", width(info.name), info.name.data(),
                      static_cast<unsigned>(info.args_bytes), dispatch.args.size());
  if (dispatch.bindings.size() != info.addresses.size())
    return make_error(Code::invalid_argument, "kernel %.*s takes %zu bindings, not %zu", width(info.name), info.name.data(),
                      info.addresses.size(), dispatch.bindings.size());
  for (size_t axis = 0; axis < dispatch.groups.size(); ++axis)
    if (dispatch.groups[axis] > limits.max_workgroup_count[axis])
      return make_error(Code::invalid_argument, "kernel %.*s: %u workgroups on axis %zu are more than %u", width(info.name), info.name.data(),
                        dispatch.groups[axis], axis, limits.max_workgroup_count[axis]);
  return {};
}

Status check_slice(const BufferSlice& slice, const DeviceCore& device, std::string_view what, std::string_view kernel) {
  if (slice.buffer->owner != &device)
    return make_error(Code::invalid_argument, "%.*s: %.*s lies in a buffer of another device", width(kernel), kernel.data(), width(what),
                      what.data());
  const auto end = checked_add(slice.offset_bytes, slice.size_bytes);
  if (!end || *end > slice.buffer->size_bytes)
    return make_error(Code::invalid_argument, "%.*s: %.*s is %llu bytes from byte %llu on, but its buffer has %llu", width(kernel),
                      kernel.data(), width(what), what.data(), number(slice.size_bytes), number(slice.offset_bytes),
                      number(slice.buffer->size_bytes));
  if ((slice.buffer->address + slice.offset_bytes) % kAddressAlignment != 0)
    return make_error(Code::invalid_argument, "%.*s: %.*s begins at byte %llu, and its address is not a multiple of %llu", width(kernel),
                      kernel.data(), width(what), what.data(), number(slice.offset_bytes), number(kAddressAlignment));
  return {};
}

Status check_transfer_slice(const BufferSlice& slice, const DeviceCore& device, std::string_view what, std::string_view command) {
  if (slice.size_bytes % kAddressAlignment != 0)
    return make_error(Code::invalid_argument, "%.*s: %.*s has %llu bytes, which is not a multiple of %llu", width(command), command.data(),
                      width(what), what.data(), number(slice.size_bytes), number(kAddressAlignment));
  if (!slice) {
    if (slice.size_bytes == 0) return {};
    return make_error(Code::invalid_argument, "%.*s: %.*s is not bound to a buffer", width(command), command.data(), width(what), what.data());
  }
  return check_slice(slice, device, what, command);
}

}  // namespace quire
