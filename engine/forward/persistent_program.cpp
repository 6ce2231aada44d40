#include "engine/forward/persistent_program.hpp"

#include <algorithm>
#include <cstring>
#include <optional>

#include "engine/base/checked.hpp"

namespace quire {
namespace {

/// Units of an operation that computes element by element.
constexpr uint32_t kElementUnits = 4;

/// How the invocations of a kernel's workgroup become those of persistent_step's.
enum class Sharing : uint8_t {
  same,      ///< they share memory: the workgroups must be equal
  norm,      ///< an invocation of persistent_step does the work of several
  elements,  ///< they do not depend on each other: several workgroups of persistent_step make one
};

std::optional<Sharing> sharing_of(KernelId kernel) {
  switch (kernel) {
    case KernelId::matmul_few:
    case KernelId::attend_decode:
    case KernelId::argmax: return Sharing::same;
    case KernelId::rms_norm:
    case KernelId::head_norm: return Sharing::norm;
    case KernelId::embed_rows:
    case KernelId::rope_page_write:
    case KernelId::attend_merge:
    case KernelId::gated_activation:
    case KernelId::gather_columns: return Sharing::elements;
    case KernelId::quantize_columns:
    case KernelId::matmul_many:
    case KernelId::matmul_int8:
    case KernelId::matmul_cooperative:
    case KernelId::attend_prefill:
    case KernelId::sample:
    case KernelId::persistent_step:
    case KernelId::count: break;
  }
  return std::nullopt;
}

std::span<const std::string_view> names_of(KernelId kernel) { return kernel_info(kernel).spec_constants; }

/// The place of a specialization constant of persistent_step; its number of constants if it has none of that name.
size_t place_of(std::string_view name) {
  const auto names = names_of(KernelId::persistent_step);
  return static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
}

Error differs(const KernelInfo& kernel, std::string_view constant, uint32_t value, uint32_t wanted) {
  return make_error(Code::unsupported, "%.*s has %.*s %u where a persistent step needs %u", static_cast<int>(kernel.name.size()), kernel.name.data(),
                    static_cast<int>(constant.size()), constant.data(), value, wanted);
}

/// persistent_step's constants, collected from the kernels that it carries out: where two have one of the same name they must agree on it.
class Specialization {
 public:
  explicit Specialization(uint32_t lanes) {
    kernel_.id = KernelId::persistent_step;
    kernel_.spec.fill(1);
    for (size_t i = names_of(kernel_.id).size(); i < kernel_.spec.size(); ++i) kernel_.spec[i] = 0;
    kernel_.spec[place_of("workgroup")] = kernel_.spec[place_of("lanes")] = kernel_.spec[place_of("norm_workgroup")] = lanes;
    for (const std::string_view name : {"weight_types", "kernels", "function"}) kernel_.spec[place_of(name)] = 0;
    known_[place_of("lanes")] = true;
  }

  Status add(const KernelVariant& kernel, Sharing sharing) {
    const KernelInfo& info = kernel_info(kernel.id);
    const uint32_t lanes = kernel_.spec[0];
    if (sharing == Sharing::same && kernel.spec[0] != lanes) return differs(info, "workgroup", kernel.spec[0], lanes);
    if (kernel.spec[0] % lanes != 0)
      return make_error(Code::unsupported, "%.*s has workgroups of %u, no multiple of %u", static_cast<int>(info.name.size()), info.name.data(), kernel.spec[0], lanes);
    if (sharing == Sharing::norm) QUIRE_TRY(set(info, "norm_workgroup", kernel.spec[0]));
    for (size_t i = 1; i < info.spec_constants.size(); ++i) QUIRE_TRY(set(info, info.spec_constants[i], kernel.spec[i]));
    kernel_.spec[place_of("kernels")] |= 1U << static_cast<uint32_t>(kernel.id);
    if (kernel.weight != WeightType::none) kernel_.spec[place_of("weight_types")] |= 1U << static_cast<uint32_t>(kernel.weight);
    return {};
  }
  const KernelVariant& kernel() const { return kernel_; }

 private:
  /// A constant that persistent_step has not is 1 in it: column_tile, dst_column_tile, columns, k_parts.
  Status set(const KernelInfo& info, std::string_view name, uint32_t value) {
    const size_t place = place_of(name);
    const bool exists = place < names_of(KernelId::persistent_step).size();
    if (exists && !known_[place]) {
      kernel_.spec[place] = value;
      known_[place] = true;
    }
    const uint32_t wanted = exists ? kernel_.spec[place] : 1;
    if (value != wanted) return differs(info, name, value, wanted);
    return {};
  }

  KernelVariant kernel_;
  std::array<bool, kMaxSpecConstants> known_{};
};

}  // namespace

Result<PersistentPlan> plan_persistent_program(std::span<const Command> commands, uint32_t lanes) {
  PersistentPlan plan;
  Specialization specialization(lanes);
  uint32_t units = 0;
  for (const Command& command : commands) {
    if (command.kind != Command::Kind::dispatch) return make_error(Code::unsupported, "a persistent step cannot copy or fill memory");
    const KernelInfo& info = kernel_info(command.kernel.id);
    const std::optional<Sharing> sharing = sharing_of(command.kernel.id);
    if (!sharing) return make_error(Code::unsupported, "a persistent step has no %.*s", static_cast<int>(info.name.size()), info.name.data());
    QUIRE_TRY(specialization.add(command.kernel, *sharing));
    StepOperation operation{};
    operation.args = plan.arguments.size();
    operation.kernel = static_cast<uint32_t>(command.kernel.id);
    operation.weight_type = static_cast<uint32_t>(command.kernel.weight);
    operation.waits = command.barrier_before && !plan.operations.empty() ? WAITS_BEFORE : WAITS_FOR_NOTHING;
    operation.row = command.groups[0];
    operation.parts = *sharing == Sharing::elements ? command.kernel.spec[0] / lanes : 1;
    operation.plane = command.groups[0] * command.groups[1];
    operation.pieces = operation.plane * command.groups[2] * operation.parts;
    // Pieces that compute a few elements are not worth taking one by one.
    operation.unit_pieces = *sharing == Sharing::elements ? ceil_div(operation.pieces, kElementUnits) : 1;
    operation.units = ceil_div(operation.pieces, operation.unit_pieces);
    operation.units_before = units;
    units += operation.units;
    plan.operations.push_back(operation);
    plan.arguments.insert(plan.arguments.end(), command.args.begin(), command.args.end());
  }
  for (StepOperation& operation : plan.operations) operation.args += plan.operations.size() * sizeof(StepOperation);
  plan.kernel = specialization.kernel();
  return plan;
}

PersistentPlan plan_waits(const KernelVariant& kernel, uint32_t operation_count, uint32_t unit_count) {
  PersistentPlan plan{.kernel = kernel, .operations = {}, .arguments = {}};
  StepOperation wait{};
  wait.kernel = kKernelCount;
  wait.waits = WAITS_TOGETHER;
  wait.units = unit_count;
  for (uint32_t i = 0; i < operation_count; ++i) {
    wait.units_before = i * unit_count;
    plan.operations.push_back(wait);
  }
  return plan;
}

Result<PersistentProgram> create_persistent_program(Device& device, PersistentPlan plan, Encoder& encoder) {
  PersistentProgram program{.kernel = plan.kernel, .operations = {}, .operation_count = static_cast<uint32_t>(plan.operations.size())};
  const size_t operation_bytes = plan.operations.size() * sizeof(StepOperation);
  QUIRE_ASSIGN(program.operations, device.create_buffer(operation_bytes + plan.arguments.size(), BufferUse::device, "persistent step"));
  for (StepOperation& operation : plan.operations) operation.args += program.operations.address();
  QUIRE_TRY(encoder.upload(program.operations.slice(0, operation_bytes), std::as_bytes(std::span(plan.operations))));
  if (!plan.arguments.empty())
    QUIRE_TRY(encoder.upload(program.operations.slice(operation_bytes, plan.arguments.size()), plan.arguments));
  return program;
}

}  // namespace quire
