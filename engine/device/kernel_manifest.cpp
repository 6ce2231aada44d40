#include "engine/device/kernel_manifest.hpp"

#include <cstddef>
#include <iterator>

#include "shaders/interface/kernel_args.h"

namespace quire {
namespace {

constexpr auto kRead = AccessMode::read;
constexpr auto kWrite = AccessMode::write;

#define FIELD(Struct, field, mode, optional) AddressField{#field, offsetof(Struct, field), mode, optional}
#define REQUIRED(Struct, field, mode) FIELD(Struct, field, mode, false)
#define OPTIONAL(Struct, field, mode) FIELD(Struct, field, mode, true)

constexpr WeightType kWeightTypes[] = {WeightType::f32, WeightType::f16, WeightType::q4_1, WeightType::q8_0};

constexpr AddressField kEmbedRows[] = {REQUIRED(EmbedRowsArgs, weights, kRead), REQUIRED(EmbedRowsArgs, columns, kRead),
                                       REQUIRED(EmbedRowsArgs, dst, kWrite)};
constexpr AddressField kRmsNorm[] = {REQUIRED(RmsNormArgs, src, kRead), REQUIRED(RmsNormArgs, weight, kRead), REQUIRED(RmsNormArgs, dst, kWrite)};
constexpr AddressField kMatmul[] = {REQUIRED(MatmulArgs, weights, kRead), REQUIRED(MatmulArgs, src, kRead), REQUIRED(MatmulArgs, dst, kWrite),
                                    OPTIONAL(MatmulArgs, residual, kRead), OPTIONAL(MatmulArgs, bias, kRead)};
constexpr AddressField kRopePageWrite[] = {REQUIRED(RopePageWriteArgs, qkv, kRead), REQUIRED(RopePageWriteArgs, rope, kRead),
                                           REQUIRED(RopePageWriteArgs, columns, kRead), REQUIRED(RopePageWriteArgs, sequences, kRead),
                                           REQUIRED(RopePageWriteArgs, q, kWrite)};
constexpr AddressField kAttendPrefill[] = {REQUIRED(AttendPrefillArgs, q, kRead), REQUIRED(AttendPrefillArgs, columns, kRead),
                                           REQUIRED(AttendPrefillArgs, sequences, kRead), REQUIRED(AttendPrefillArgs, dst, kWrite)};
constexpr AddressField kAttendDecode[] = {REQUIRED(AttendDecodeArgs, q, kRead), REQUIRED(AttendDecodeArgs, columns, kRead),
                                          REQUIRED(AttendDecodeArgs, sequences, kRead), REQUIRED(AttendDecodeArgs, partials, kWrite)};
constexpr AddressField kAttendMerge[] = {REQUIRED(AttendMergeArgs, partials, kRead), REQUIRED(AttendMergeArgs, columns, kRead),
                                         REQUIRED(AttendMergeArgs, dst, kWrite)};
constexpr AddressField kSwiglu[] = {REQUIRED(SwigluArgs, gate_up, kRead), REQUIRED(SwigluArgs, dst, kWrite)};
constexpr AddressField kGatherColumns[] = {REQUIRED(GatherColumnsArgs, src, kRead), REQUIRED(GatherColumnsArgs, selection, kRead),
                                           REQUIRED(GatherColumnsArgs, dst, kWrite)};
constexpr AddressField kArgmax[] = {REQUIRED(ArgmaxArgs, logits, kRead), REQUIRED(ArgmaxArgs, results, kWrite)};
constexpr AddressField kTopK[] = {REQUIRED(TopKArgs, logits, kRead), REQUIRED(TopKArgs, results, kWrite)};

// Specialization constants by name. `workgroup` is local_size_x; `lanes` is how many rows lie side by side, one a lane; `tile_rows` is the height of a weight tile; `column_tile` is the
// tile width of the activations; `tiles_per_lane` is how many weight tiles one lane owns; `columns` how many columns it accumulates;
// `k_parts` how many lanes share one row's sum (workgroup = lanes * k_parts); `split_slots` the slots of one attention split; `group_heads` how many
// query heads of a K/V head one reading of K and V serves; `lane_keys` and `lane_pairs` the keys and pairs of dimensions a lane works on at once.
constexpr std::string_view kSpecEmbed[] = {"workgroup", "tile_rows", "column_tile"};
constexpr std::string_view kSpecNorm[] = {"workgroup", "column_tile"};
constexpr std::string_view kSpecMany[] = {"workgroup", "lanes", "column_tile", "tiles_per_lane", "k_parts", "tile_rows"};
constexpr std::string_view kSpecFew[] = {"workgroup", "lanes", "columns", "tiles_per_lane", "k_parts", "tile_rows"};
constexpr std::string_view kSpecTiled[] = {"workgroup", "column_tile"};
constexpr std::string_view kSpecDecode[] = {"workgroup", "split_slots", "group_heads", "lane_keys", "lane_pairs"};
constexpr std::string_view kSpecMerge[] = {"workgroup", "split_slots"};
constexpr std::string_view kSpecPlain[] = {"workgroup"};

constexpr KernelInfo kKernels[] = {
    {KernelId::embed_rows, "embed_rows", sizeof(EmbedRowsArgs), kEmbedRows, kSpecEmbed, kWeightTypes},
    {KernelId::rms_norm, "rms_norm", sizeof(RmsNormArgs), kRmsNorm, kSpecNorm, {}},
    {KernelId::matmul_many, "matmul_many", sizeof(MatmulArgs), kMatmul, kSpecMany, kWeightTypes},
    {KernelId::matmul_few, "matmul_few", sizeof(MatmulArgs), kMatmul, kSpecFew, kWeightTypes},
    {KernelId::rope_page_write, "rope_page_write", sizeof(RopePageWriteArgs), kRopePageWrite, kSpecTiled, {}},
    {KernelId::attend_prefill, "attend_prefill", sizeof(AttendPrefillArgs), kAttendPrefill, kSpecTiled, {}},
    {KernelId::attend_decode, "attend_decode", sizeof(AttendDecodeArgs), kAttendDecode, kSpecDecode, {}},
    {KernelId::attend_merge, "attend_merge", sizeof(AttendMergeArgs), kAttendMerge, kSpecMerge, {}},
    {KernelId::swiglu, "swiglu", sizeof(SwigluArgs), kSwiglu, kSpecTiled, {}},
    {KernelId::gather_columns, "gather_columns", sizeof(GatherColumnsArgs), kGatherColumns, kSpecTiled, {}},
    {KernelId::argmax, "argmax", sizeof(ArgmaxArgs), kArgmax, kSpecPlain, {}},
    {KernelId::top_k, "top_k", sizeof(TopKArgs), kTopK, kSpecPlain, {}},
};
static_assert(std::size(kKernels) == kKernelCount);

constexpr bool manifest_is_consistent() {
  for (uint32_t i = 0; i < kKernelCount; ++i) {
    const KernelInfo& kernel = kKernels[i];
    if (static_cast<uint32_t>(kernel.id) != i || kernel.args_bytes > 128 || kernel.spec_constants.size() > kMaxSpecConstants ||
        kernel.addresses.size() > kMaxAddressFields)
      return false;
    for (size_t f = 0; f < kernel.addresses.size(); ++f)
      if (kernel.addresses[f].offset_bytes != 8 * f) return false;
  }
  return true;
}
static_assert(manifest_is_consistent(), "kernels are listed in the order of KernelId, with at most 128 bytes of arguments, addresses first");

}  // namespace

const KernelInfo& kernel_info(KernelId id) { return kKernels[static_cast<uint32_t>(id)]; }

std::string_view weight_type_name(WeightType type) {
  switch (type) {
    case WeightType::f32: return "f32";
    case WeightType::f16: return "f16";
    case WeightType::q4_1: return "q4_1";
    case WeightType::q8_0: return "q8_0";
    case WeightType::none: return "none";
  }
  return "unknown";
}

std::optional<WeightType> weight_type_from_ggml(uint32_t ggml_type) {
  for (WeightType type : kWeightTypes)
    if (static_cast<uint32_t>(type) == ggml_type) return type;
  return std::nullopt;
}

}  // namespace quire
