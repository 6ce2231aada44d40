#version 460
#extension GL_GOOGLE_include_directive : require
#extension GL_KHR_memory_scope_semantics : require
// persistent_step: a whole decode step in one dispatch: other kernels' bodies, one operation after the other, with waits between them.
//
// In/out args.operations StepOperation[operation_count]; args.progress, zero before; whatever the operations read and write.
// Grid   x: as many workgroups as the device runs at the same time. A workgroup takes unit after unit of an operation, then waits until all that the next
//        one needs is complete. It waits for units that others have taken, never for workgroups: one that is not running delays nobody. A wait ends
//        after spin_bound reads at the latest: then the step is abandoned, and all leave.
// Spec   workgroup = LANES, one subgroup; the rest as the kernels have it: TILES_PER_LANE, TILE_ROWS, NORM_WORKGROUP, SPLIT_SLOTS, GROUP_HEADS,
//        LANE_KEYS, LANE_PAIRS, FUNCTION, LANES_PER_LOAD, PAGE_LANES, K_DIM and V_DIM, which all layers share; WEIGHT_TYPES, bit t set where weights of
//        type t occur; KERNELS likewise: what does not occur is not compiled.
// Sums   as the kernels' own: every sum has the same order, whoever computes it.
// Memory all memory is coherent; completing a unit releases, and a wait acquires, at the scope of the device.
// Bytes  as the operations'.
#define MEMORY coherent
#include "shaders/common.glsl"
layout(constant_id = 1) const uint LANES = 8;
layout(constant_id = 2) const uint TILES_PER_LANE = 1;
layout(constant_id = 3) const uint TILE_ROWS = 8;
layout(constant_id = 4) const uint NORM_WORKGROUP = 8;
layout(constant_id = 5) const uint SPLIT_SLOTS = 128;
layout(constant_id = 6) const uint GROUP_HEADS = 1;
layout(constant_id = 7) const uint LANE_KEYS = 1;
layout(constant_id = 8) const uint LANE_PAIRS = 1;
layout(constant_id = 9) const uint FUNCTION = 0;
layout(constant_id = 10) const uint WEIGHT_TYPES = 0;
layout(constant_id = 11) const uint KERNELS = 0;
layout(constant_id = 12) const uint LANES_PER_LOAD = 1;
layout(constant_id = 13) const uint PAGE_LANES = 1;
layout(constant_id = 14) const uint K_DIM = 64;
layout(constant_id = 15) const uint V_DIM = 64;
const uint COLUMN_TILE = 1u;
const uint DST_COLUMN_TILE = 1u;
const uint COLUMNS = 1u;
const uint K_PARTS = 1u;
layout(push_constant) uniform Push { PersistentStepArgs step_args; };

// Arguments of the operation at hand.
EmbedRowsArgs embed_rows_args;
RmsNormArgs rms_norm_args;
HeadNormArgs head_norm_args;
MatmulArgs matmul_few_args;
RopePageWriteArgs rope_page_write_args;
AttendDecodeArgs attend_decode_args;
AttendMergeArgs attend_merge_args;
GatedActivationArgs gated_activation_args;
GatherColumnsArgs gather_columns_args;
ArgmaxArgs argmax_args;
// Loaded by functions: glslang 12 takes an assignment to a whole struct, and any store, for what a `precise` value may be made of, follows its members in
// circles, and runs out of memory.
#define ARGUMENTS(Struct)                                                                            \
  layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer Struct##In { Struct value; }; \
  void load_arguments(uvec2 address, out Struct arguments) { arguments = Struct##In(address).value; }
ARGUMENTS(EmbedRowsArgs)
ARGUMENTS(RmsNormArgs)
ARGUMENTS(HeadNormArgs)
ARGUMENTS(MatmulArgs)
ARGUMENTS(RopePageWriteArgs)
ARGUMENTS(AttendDecodeArgs)
ARGUMENTS(AttendMergeArgs)
ARGUMENTS(GatedActivationArgs)
ARGUMENTS(GatherColumnsArgs)
ARGUMENTS(ArgmaxArgs)
layout(buffer_reference, std430, buffer_reference_align = 8) readonly buffer StepOperations { StepOperation at[]; };
layout(buffer_reference, std430, buffer_reference_align = 4) coherent buffer StepProgresses { StepProgress value; uint taken[]; };

#include "shaders/bodies/argmax.glsl"
#include "shaders/bodies/attend_decode.glsl"
#include "shaders/bodies/attend_merge.glsl"
#include "shaders/bodies/gated_activation.glsl"
#include "shaders/bodies/gather_columns.glsl"
#include "shaders/bodies/head_norm.glsl"
#include "shaders/bodies/rms_norm.glsl"
#include "shaders/bodies/rope_page_write.glsl"
#include "shaders/typed_names.glsl"
// Made by the build: embed_rows_body_TYPE and matmul_few_body_TYPE of every weight type, and EACH_WEIGHT_TYPE(what), which applies `what` to each.
#include "weight_types.glsl"

#define DEVICE_SCOPE gl_ScopeDevice, gl_StorageSemanticsBuffer

// Waits until `units` units are complete; false if the step is abandoned.
bool wait_for(uint units) {
  StepProgresses progress = StepProgresses(step_args.progress);
  uint done = units;
  if (gl_LocalInvocationID.x == 0u) {
    done = 0u;
    for (uint reads = 0u; done < units && reads < step_args.spin_bound; ++reads) {
      if (atomicLoad(progress.value.abandoned, DEVICE_SCOPE, gl_SemanticsAcquire) != 0u) break;
      done = atomicLoad(progress.value.done, DEVICE_SCOPE, gl_SemanticsAcquire);
    }
    if (done < units) atomicStore(progress.value.abandoned, 1u, DEVICE_SCOPE, gl_SemanticsRelease);
  }
  done = subgroupBroadcastFirst(done);
  barrier();
  memoryBarrierBuffer();
  return done >= units;
}

// The next unit of operation `index` that nobody has taken.
uint take_unit(uint index) {
  uint unit = 0u;
  if (gl_LocalInvocationID.x == 0u) unit = atomicAdd(StepProgresses(step_args.progress).taken[index], 1u, gl_ScopeDevice, 0, gl_SemanticsRelaxed);
  return subgroupBroadcastFirst(unit);
}

void complete_unit() {
  memoryBarrierBuffer();
  barrier();
  if (gl_LocalInvocationID.x == 0u) atomicAdd(StepProgresses(step_args.progress).value.done, 1u, DEVICE_SCOPE, gl_SemanticsRelease);
}

// Each piece of [begin, end) of the operation `op`.
#define EACH_PIECE for (uint at = begin, piece = index_to_load(begin, op.pieces); at < end; piece = index_to_load(++at, op.pieces))

// One weight kernel's body for its operation's weight type.
#define EMBED_ROWS(type, number) \
  if ((WEIGHT_TYPES >> number & 1u) != 0u && op.weight_type == number) embed_rows_body_##type(invocation);
#define MATMUL_FEW(type, number) \
  if ((WEIGHT_TYPES >> number & 1u) != 0u && op.weight_type == number) \
    EACH_PIECE matmul_few_body_##type(piece % op.plane, piece / op.plane);

// The kernel's invocation at a piece, counted along `length` workgroups: a row, or a plane.
uint first_invocation_of(StepOperation op, uint piece, uint length) { return (piece / op.parts % length * op.parts + piece % op.parts) * LANES; }
uint invocation_of(StepOperation op, uint piece, uint length) { return first_invocation_of(op, piece, length) + gl_LocalInvocationID.x; }

bool is_kernel(StepOperation op, uint kernel) { return (KERNELS >> kernel & 1u) != 0u && op.kernel == kernel; }

// Pieces [begin, end) of an operation.
void run_pieces(StepOperation op, uint begin, uint end) {
  if (is_kernel(op, KERNEL_matmul_few)) {
    load_arguments(op.args, matmul_few_args);
    EACH_WEIGHT_TYPE(MATMUL_FEW)
  } else if (is_kernel(op, KERNEL_rms_norm)) {
    load_arguments(op.args, rms_norm_args);
    EACH_PIECE {
      barrier();  // shared memory is used again
      rms_norm_body(piece);
    }
  } else if (is_kernel(op, KERNEL_head_norm)) {
    load_arguments(op.args, head_norm_args);
    EACH_PIECE {
      barrier();
      head_norm_body(piece % op.plane, piece / op.plane);
    }
  } else if (is_kernel(op, KERNEL_attend_decode)) {
    load_arguments(op.args, attend_decode_args);
    EACH_PIECE {
      barrier();
      attend_decode_body(uvec3(piece % op.row, piece % op.plane / op.row, piece / op.plane));
    }
  } else if (is_kernel(op, KERNEL_argmax)) {
    load_arguments(op.args, argmax_args);
    EACH_PIECE {
      barrier();
      argmax_body(piece);
    }
  } else if (is_kernel(op, KERNEL_attend_merge)) {
    load_arguments(op.args, attend_merge_args);
    EACH_PIECE {
      const uint workgroup = piece / op.parts;
      attend_merge_body(first_invocation_of(op, piece, op.row), workgroup % op.plane / op.row, workgroup / op.plane);
    }
  } else if (is_kernel(op, KERNEL_rope_page_write)) {
    load_arguments(op.args, rope_page_write_args);
    EACH_PIECE {
      const uint workgroup = piece / op.parts;
      rope_page_write_body(invocation_of(op, piece, op.row), workgroup % op.plane / op.row, workgroup / op.plane);
    }
  } else if (is_kernel(op, KERNEL_gated_activation)) {
    load_arguments(op.args, gated_activation_args);
    EACH_PIECE gated_activation_body(invocation_of(op, piece, op.plane), piece / op.parts / op.plane);
  } else if (is_kernel(op, KERNEL_gather_columns)) {
    load_arguments(op.args, gather_columns_args);
    EACH_PIECE gather_columns_body(invocation_of(op, piece, op.plane), piece / op.parts / op.plane);
  } else if (is_kernel(op, KERNEL_embed_rows)) {
    load_arguments(op.args, embed_rows_args);
    EACH_PIECE {
      const uint invocation = invocation_of(op, piece, op.plane);
      EACH_WEIGHT_TYPE(EMBED_ROWS)
    }
  }
}

void main() {
  [[dont_unroll]] for (uint i = 0u; i < step_args.operation_count; ++i) {
    StepOperation op = StepOperations(step_args.operations).at[index_to_load(i, step_args.operation_count)];
    if (op.waits != WAITS_FOR_NOTHING && !wait_for(op.units_before)) return;
    [[dont_unroll]] for (uint unit = take_unit(i); unit < op.units; unit = take_unit(i)) {
      run_pieces(op, unit * op.unit_pieces, min((unit + 1u) * op.unit_pieces, op.pieces));
      complete_unit();
      if (op.waits == WAITS_TOGETHER && !wait_for(op.units_before + op.units)) return;
    }
  }
}
