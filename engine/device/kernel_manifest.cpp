#include "engine/device/kernel_manifest.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "shaders/interface/kernel_args.h"

namespace quire {
namespace {

constexpr auto kRead = AccessMode::read;
constexpr auto kWrite = AccessMode::write;
constexpr auto kReadWrite = AccessMode::read_write;

#define FIELD(Struct, field, mode, optional) AddressField{#field, offsetof(Struct, field), mode, optional}
#define REQUIRED(Struct, field, mode) FIELD(Struct, field, mode, false)
#define OPTIONAL(Struct, field, mode) FIELD(Struct, field, mode, true)

// Name (also of its file in shaders/weights/) | elements of a block of the file | block of the tiles: elements, words, 16-bit values, byte of the file's
// block at which the words start | group. The build reads these rows, too: shaders/CMakeLists.txt.
#define WEIGHT_TYPE(name, file_elements, elements, words, halves, words_offset, group) \
  WeightTypeInfo{WeightType::name, #name, file_elements, {elements, words, halves, words_offset}, group}

constexpr WeightTypeInfo kWeightTypeInfos[] = {
    WEIGHT_TYPE(f32, 1, 4, 4, 0, 0, 4),
    WEIGHT_TYPE(f16, 1, 8, 4, 0, 0, 8),
    WEIGHT_TYPE(q4_0, 32, 32, 4, 1, 2, 32),
    WEIGHT_TYPE(q4_1, 32, 32, 4, 2, 4, 32),
    WEIGHT_TYPE(q5_0, 32, 32, 5, 1, 2, 32),
    WEIGHT_TYPE(q5_1, 32, 32, 5, 2, 4, 32),
    WEIGHT_TYPE(q8_0, 32, 32, 8, 1, 2, 32),
    WEIGHT_TYPE(q2_k, 256, 256, 20, 2, 0, 64),
    WEIGHT_TYPE(q3_k, 256, 256, 27, 1, 0, 64),
    WEIGHT_TYPE(q4_k, 256, 256, 35, 2, 4, 64),
    WEIGHT_TYPE(q5_k, 256, 256, 43, 2, 4, 64),
    WEIGHT_TYPE(q6_k, 256, 256, 52, 1, 0, 64),
    WEIGHT_TYPE(iq4_nl, 32, 32, 4, 1, 2, 32),
    WEIGHT_TYPE(iq4_xs, 256, 256, 33, 2, 4, 32),
    WEIGHT_TYPE(bf16, 1, 8, 4, 0, 0, 8),
};

constexpr auto kWeightTypes = [] {
  std::array<WeightType, std::size(kWeightTypeInfos)> types{};
  for (size_t i = 0; i < types.size(); ++i) types[i] = kWeightTypeInfos[i].type;
  return types;
}();

constexpr auto kScaledWeightTypes = [] {
  std::array<WeightType, std::ranges::count_if(kWeightTypeInfos, &WeightTypeInfo::has_scales)> types{};
  size_t count = 0;
  for (const WeightTypeInfo& info : kWeightTypeInfos)
    if (info.has_scales()) types[count++] = info.type;
  return types;
}();

constexpr bool weight_types_are_consistent() {
  for (size_t i = 0; i < std::size(kWeightTypeInfos); ++i) {
    const WeightTypeInfo& info = kWeightTypeInfos[i];
    if ((i > 0 && info.type <= kWeightTypes[i - 1]) || info.block.elements % info.file_block_elements != 0 ||
        info.block.elements % info.group_elements != 0 || info.block.halves > 2 || info.block.words_offset % 2 != 0 || info.block.words_offset > 2 * info.block.halves)
      return false;
  }
  return true;
}
static_assert(weight_types_are_consistent(), "weight types are listed by number; blocks are whole groups");

constexpr AddressField kEmbedRows[] = {REQUIRED(EmbedRowsArgs, weights, kRead), REQUIRED(EmbedRowsArgs, columns, kRead),
                                       REQUIRED(EmbedRowsArgs, dst, kWrite)};
constexpr AddressField kRmsNorm[] = {REQUIRED(RmsNormArgs, src, kRead), REQUIRED(RmsNormArgs, weight, kRead), REQUIRED(RmsNormArgs, dst, kWrite),
                                     OPTIONAL(RmsNormArgs, residual, kRead)};
constexpr AddressField kHeadNorm[] = {REQUIRED(HeadNormArgs, qkv, kReadWrite), REQUIRED(HeadNormArgs, query_weight, kRead),
                                      REQUIRED(HeadNormArgs, key_weight, kRead)};
constexpr AddressField kQuantizeColumns[] = {REQUIRED(QuantizeColumnsArgs, src, kRead), REQUIRED(QuantizeColumnsArgs, dst, kWrite)};
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
constexpr AddressField kGatedActivation[] = {REQUIRED(GatedActivationArgs, gate_up, kRead), REQUIRED(GatedActivationArgs, dst, kWrite)};
constexpr AddressField kGatherColumns[] = {REQUIRED(GatherColumnsArgs, src, kRead), REQUIRED(GatherColumnsArgs, selection, kRead),
                                           REQUIRED(GatherColumnsArgs, dst, kWrite)};
constexpr AddressField kArgmax[] = {REQUIRED(ArgmaxArgs, logits, kRead), REQUIRED(ArgmaxArgs, results, kWrite)};
constexpr AddressField kSample[] = {REQUIRED(SampleArgs, logits, kRead), REQUIRED(SampleArgs, rows, kRead), REQUIRED(SampleArgs, results, kWrite)};

constexpr AddressField kPersistentStep[] = {REQUIRED(PersistentStepArgs, operations, kRead), REQUIRED(PersistentStepArgs, progress, kReadWrite)};

// Specialization constants by name. `workgroup` is local_size_x; `lanes` is how many rows lie side by side, one a lane; `tile_rows` is the height of a weight tile; `column_tile` is the
// tile width of the activations, `dst_column_tile` of the result where it differs; `tiles_per_lane` is how many weight tiles one lane owns; `columns` how many columns it accumulates;
// `k_parts` how many lanes share one row's sum (workgroup = lanes * k_parts); `lanes_per_load` the lanes whose words one load brings, 1 or `lanes`, `page_lanes` the same of pages; `split_slots` the slots of one attention split; `group_heads` how many
// query heads of a K/V head one reading of K and V serves; `matrix_rows` and `matrix_depth` the shape of a cooperative matrix of weights, `matrix_depth` and
// `matrix_columns` of one of activations, and `subgroup` the lanes that share one; `lane_keys` and `lane_pairs` the keys and pairs of dimensions a lane works on at once; `k_dim` and `v_dim` the elements of a row; `function` is GATE_SILU or GATE_GELU.
constexpr std::string_view kSpecEmbed[] = {"workgroup", "tile_rows", "column_tile"};
constexpr std::string_view kSpecNorm[] = {"workgroup", "column_tile"};
constexpr std::string_view kSpecMany[] = {"workgroup", "lanes", "column_tile", "tiles_per_lane", "k_parts", "tile_rows", "lanes_per_load"};
constexpr std::string_view kSpecInt8[] = {"workgroup", "lanes", "column_tile", "tiles_per_lane", "tile_rows"};
constexpr std::string_view kSpecFew[] = {"workgroup", "lanes", "columns", "tiles_per_lane", "k_parts", "tile_rows", "lanes_per_load"};
constexpr std::string_view kSpecCooperative[] = {"workgroup", "subgroup", "matrix_rows", "matrix_columns", "matrix_depth", "tile_rows"};
constexpr std::string_view kSpecTiled[] = {"workgroup", "column_tile"};
constexpr std::string_view kSpecGather[] = {"workgroup", "column_tile", "dst_column_tile"};
constexpr std::string_view kSpecGated[] = {"workgroup", "column_tile", "function"};
constexpr std::string_view kSpecPrefill[] = {"workgroup", "column_tile", "lanes", "page_lanes"};
constexpr std::string_view kSpecDecode[] = {"workgroup", "split_slots", "group_heads", "lane_keys", "lane_pairs", "lanes", "page_lanes", "k_dim", "v_dim"};
constexpr std::string_view kSpecMerge[] = {"workgroup", "split_slots", "lanes", "page_lanes", "v_dim"};
constexpr std::string_view kSpecPlain[] = {"workgroup"};
constexpr std::string_view kSpecPersistent[] = {"workgroup", "lanes", "tiles_per_lane", "tile_rows", "norm_workgroup", "split_slots", "group_heads", "lane_keys",
                                                "lane_pairs", "function", "weight_types", "kernels", "lanes_per_load", "page_lanes", "k_dim", "v_dim"};

constexpr KernelInfo kKernels[] = {
    {KernelId::embed_rows, "embed_rows", sizeof(EmbedRowsArgs), kEmbedRows, kSpecEmbed, kWeightTypes},
    {KernelId::rms_norm, "rms_norm", sizeof(RmsNormArgs), kRmsNorm, kSpecNorm, {}},
    {KernelId::head_norm, "head_norm", sizeof(HeadNormArgs), kHeadNorm, kSpecNorm, {}},
    {KernelId::quantize_columns, "quantize_columns", sizeof(QuantizeColumnsArgs), kQuantizeColumns, kSpecTiled, {}},
    {KernelId::matmul_many, "matmul_many", sizeof(MatmulArgs), kMatmul, kSpecMany, kWeightTypes},
    {KernelId::matmul_int8, "matmul_int8", sizeof(MatmulArgs), kMatmul, kSpecInt8, kScaledWeightTypes},
    {KernelId::matmul_cooperative, "matmul_cooperative", sizeof(MatmulArgs), kMatmul, kSpecCooperative, kWeightTypes},
    {KernelId::matmul_few, "matmul_few", sizeof(MatmulArgs), kMatmul, kSpecFew, kWeightTypes},
    {KernelId::rope_page_write, "rope_page_write", sizeof(RopePageWriteArgs), kRopePageWrite, kSpecTiled, {}},
    {KernelId::attend_prefill, "attend_prefill", sizeof(AttendPrefillArgs), kAttendPrefill, kSpecPrefill, {}},
    {KernelId::attend_decode, "attend_decode", sizeof(AttendDecodeArgs), kAttendDecode, kSpecDecode, {}},
    {KernelId::attend_merge, "attend_merge", sizeof(AttendMergeArgs), kAttendMerge, kSpecMerge, {}},
    {KernelId::gated_activation, "gated_activation", sizeof(GatedActivationArgs), kGatedActivation, kSpecGated, {}},
    {KernelId::gather_columns, "gather_columns", sizeof(GatherColumnsArgs), kGatherColumns, kSpecGather, {}},
    {KernelId::argmax, "argmax", sizeof(ArgmaxArgs), kArgmax, kSpecPlain, {}},
    {KernelId::sample, "sample", sizeof(SampleArgs), kSample, kSpecPlain, {}},
    {KernelId::persistent_step, "persistent_step", sizeof(PersistentStepArgs), kPersistentStep, kSpecPersistent, {}},
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

std::span<const WeightTypeInfo> weight_types() { return kWeightTypeInfos; }

const WeightTypeInfo& weight_type_info(WeightType type) {
  static constexpr WeightTypeInfo kNone{WeightType::none, "none", 1, {1, 0, 0, 0}, 1};
  for (const WeightTypeInfo& info : kWeightTypeInfos)
    if (info.type == type) return info;
  return kNone;
}

std::string_view weight_type_name(WeightType type) { return weight_type_info(type).name; }

std::optional<WeightType> weight_type_from_ggml(uint32_t ggml_type) {
  for (WeightType type : kWeightTypes)
    if (static_cast<uint32_t>(type) == ggml_type) return type;
  return std::nullopt;
}

}  // namespace quire
