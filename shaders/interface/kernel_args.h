/* One argument struct a kernel, and the small records that kernels read from the step's device buffer.
 * GLSL reads a struct as push constants, CUDA and the reference backend as a parameter: the bytes are the same everywhere (asserted in
 * engine/device/kernel_manifest.cpp). Addresses come first and are filled in by the encoder from checked slices; every struct is at most 128 bytes.
 *
 * Words used below
 *   column        one token of the step. Activations are stored in tiles of COLUMN_TILE columns (a specialization constant, 1 in the one-token
 *                 family): element k of column n of a [width]-wide activation is at activation_index(k, n, width, COLUMN_TILE).
 *   padding       a column whose `sequence` is PADDING_COLUMN: it fills a tile, nothing is read or written for it but its own activations.
 *   slot          a token's place in its sequence's page table: page = slot / page.tokens. Separate from its position, which RoPE uses. */
#ifndef QUIRE_KERNEL_ARGS_H
#define QUIRE_KERNEL_ARGS_H

#include "shaders/interface/page_layout.h"
#include "shaders/interface/sampling_weight.h"

#ifdef __cplusplus
namespace quire {
#endif

#define PADDING_COLUMN 0xffffffffu

struct ColumnInfo {
  uint32 token;     /* vocabulary id */
  uint32 position;  /* RoPE position */
  uint32 slot;      /* where its K and V are written; it attends to slots [0, slot], less what a window cut off */
  uint32 sequence;  /* index into the group's SequenceInfo array, or PADDING_COLUMN. All real columns of a tile have the same one. */
};

struct SequenceInfo {
  REFERENCE table;   /* PageEntry[page_count], indexed by slot / page.tokens */
  uint32 page_count; /* entries that may be read */
  uint32 reserved;
};

SHARED_FN uint32 activation_index(uint32 k, uint32 n, uint32 width, uint32 column_tile) {
  return (n / column_tile) * (width * column_tile) + k * column_tile + n % column_tile;
}

/* Keys [first, slot] are what the query at `slot` may see; window 0 means all. */
SHARED_FN uint32 first_visible_slot(uint32 slot, uint32 window) { return (window == 0u || slot < window) ? 0u : slot - window + 1u; }

/* embed_rows: out[k, n] = scale * W[columns[n].token, k]. Tokens outside [row_begin, row_begin + row_count) are left alone, so that a table
 * in several pieces is one dispatch a piece; padding columns get zeros from the piece with row_begin 0. */
struct EmbedRowsArgs {
  ADDRESS weights;  /* in: [row_count][width], the device's weight layout */
  ADDRESS columns;  /* in: ColumnInfo[column_count] */
  ADDRESS dst;      /* out: f32 activation [width][column_count] */
  uint32 width;
  uint32 column_count;
  uint32 row_begin;
  uint32 row_count;
  float scale;
};

/* rms_norm: dst[k, n] = src[k, n] * weight[k] / sqrt(mean over k of src^2 + epsilon) (+ residual[k, n]). (Zhang & Sennrich 2019) */
struct RmsNormArgs {
  ADDRESS src;      /* in: f32 activation [width][column_count] */
  ADDRESS weight;   /* in: f32 [width] */
  ADDRESS dst;      /* out: like src */
  ADDRESS residual; /* in, optional (0): like src */
  uint32 width;
  uint32 column_count;
  float epsilon;
};

/* head_norm: the same norm over each head of Q and of K, in place (Henry et al. 2020). Rows from (q_heads + kv_heads) * k_dim on stay as they are. */
struct HeadNormArgs {
  ADDRESS qkv;          /* in and out: f32 activation [width][column_count]: rows of Q, of K, of V */
  ADDRESS query_weight; /* in: f32 [k_dim] */
  ADDRESS key_weight;   /* in: f32 [k_dim] */
  uint32 width;
  uint32 column_count;
  uint32 q_heads;
  uint32 kv_heads;
  uint32 k_dim;
  float epsilon;
};

/* What a feed-forward applies to its gate: silu(x) = x / (1 + exp(-x)), or gelu in its tanh form (Hendrycks & Gimpel 2016),
 * x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))). */
#define GATE_SILU 0u
#define GATE_GELU 1u

/* matmul_many, matmul_int8, matmul_cooperative, matmul_few:
 * dst[row_offset + r, n] = sum over k of W[r, k] * src[k, n] (+ bias[row_offset + r]) (+ residual[row_offset + r, n]).
 * dst and residual are [dst_width]-wide, so that several matrices (Q, K, V; gate, up) fill one activation.
 * With a gate (matmul_many, matmul_few) the matrix has dst_width rows of gate and then as many of up, and what gated_activation would make of their
 * products is stored: dst[i, n] = f(gate[i, n] (+ bias[i])) * (up[i, n] (+ bias[dst_width + i])). There is no residual then, row_offset is 0, and
 * dst_width is a multiple of LANES. It is no specialization constant, for a persistent step runs products of both kinds with one specialization. */
#define MATMUL_PLAIN 0u
#define MATMUL_GATED(function) ((function) + 1u)
struct MatmulArgs {
  ADDRESS weights;   /* in: [rows][width], the device's weight layout */
  ADDRESS src;       /* in: f32 activation [width][column_count]; matmul_int8: a quantized one */
  ADDRESS dst;       /* out: f32 activation [dst_width][column_count], rows [row_offset, row_offset + rows) written */
  ADDRESS residual;  /* in, optional (0): like dst */
  ADDRESS bias;      /* in, optional (0): f32 [dst_width]; with a gate [rows] */
  uint32 rows;
  uint32 width;
  uint32 column_count;
  uint32 row_offset;
  uint32 dst_width;
  uint32 gate;       /* MATMUL_PLAIN, or MATMUL_GATED(GATE_...); matmul_int8, matmul_cooperative: MATMUL_PLAIN */
};
/* What a workgroup of matmul_cooperative owns: rows, and tiles of this many columns. */
#define MATMUL_COOPERATIVE_ROWS 64u
#define MATMUL_COOPERATIVE_COLUMN_TILE 16u
#define MATMUL_COOPERATIVE_COLUMN_TILES 4u

/* quantize_columns: src as 8-bit codes for matmul_int8. QUANTIZED_BLOCK neighbouring elements of a column share a scale: src[k, n] is about scale * code,
 * code the integer nearest to src[k, n] / scale, ties to even. scale is the block's largest magnitude / 127, rounded up to one of 2065 to 4129 steps of a
 * power of two: twelve or thirteen bits, so that its products with a code and with a sum of sixteen codes are exact. A block whose magnitudes are all below
 * 2^-95 gets scale 0 and codes 0; one with a NaN or an infinity gets scale and sums NaN and codes 0.
 *
 * A quantized activation lies in the same tiles of COLUMN_TILE columns as the activation. In a tile its blocks follow each other, QUANTIZED_BLOCK_WORDS rows
 * of COLUMN_TILE words each: QUANTIZED_BLOCK / 4 rows of codes, a word four neighbouring elements, signed bytes, the first one lowest; a row of scales,
 * f32; and two rows of sums, f32: scale times the sum of the codes of the block's first sixteen elements, and of its others. */
#define QUANTIZED_BLOCK 32u
#define QUANTIZED_SCALE_ROW 8u
#define QUANTIZED_SUM_ROW 9u
#define QUANTIZED_BLOCK_WORDS 11u
struct QuantizeColumnsArgs {
  ADDRESS src;      /* in: f32 activation [width][column_count] */
  ADDRESS dst;      /* out: quantized activation [width][column_count] */
  uint32 width;     /* a multiple of QUANTIZED_BLOCK */
  uint32 column_count;
};
/* Place, in words, of column n's word in row `row` of block `block`. */
SHARED_FN uint32 quantized_index(uint32 block, uint32 row, uint32 n, uint32 width, uint32 column_tile) {
  return (n / column_tile * (width / QUANTIZED_BLOCK) + block) * QUANTIZED_BLOCK_WORDS * column_tile + row * column_tile + n % column_tile;
}

/* rope_page_write: turns the projected Q and K by their positions (Su et al. 2021, RoFormer) and writes K and V to their page slots.
 * qkv holds, per column, rows [0, q_heads * k_dim) of Q, then kv_heads * k_dim of K, then kv_heads * v_dim of V.
 * The first rope_dim elements of a head turn: pair i is (2i, 2i + 1) in normal order, (i, i + rope_dim / 2) in neox order. */
struct RopePageWriteArgs {
  ADDRESS qkv;        /* in: f32 activation [q_heads * k_dim + kv_heads * (k_dim + v_dim)][column_count] */
  ADDRESS rope;       /* in: f32 [column_count][rope_dim / 2][2]: cos, sin of each column's angles */
  ADDRESS columns;    /* in: ColumnInfo[column_count] */
  ADDRESS sequences;  /* in: SequenceInfo[] of the group */
  ADDRESS q;          /* out: f32 activation [q_heads * k_dim][column_count] */
  PageShape page;
  uint32 layer;       /* within the group */
  uint32 q_heads;
  uint32 rope_dim;    /* even, <= k_dim */
  uint32 rope_neox;   /* 0 normal, 1 neox */
  uint32 column_count;
};

/* attend_prefill: dst[h * v_dim + d, n] = sum over visible slots j of softmax_j(scale * q[h, n] . K[j]) V[j, d], tiled with a running softmax
 * (Milakov & Gimelshein 2018; Dao et al. 2022). Query head h reads K/V head h / (q_heads / kv_heads). Padding columns get zeros. */
struct AttendPrefillArgs {
  ADDRESS q;          /* in: f32 activation [q_heads * k_dim][column_count] */
  ADDRESS columns;    /* in: ColumnInfo[column_count] */
  ADDRESS sequences;  /* in: SequenceInfo[] of the group */
  ADDRESS dst;        /* out: f32 activation [q_heads * v_dim][column_count] */
  PageShape page;
  uint32 layer;
  uint32 q_heads;
  uint32 window;      /* 0: none */
  float scale;
  uint32 column_count;
};

/* attend_decode: the same sum over one split of the visible slots. Split s of a column holds slots [s * SPLIT_SLOTS, (s + 1) * SPLIT_SLOTS) by
 * absolute index, so that neither neighbours nor chunks move a boundary. The grid has split_count splits from the column's first visible one on;
 * splits past the column's slot are not written. A partial is v_dim unnormalised sums, then the maximum score m, then the sum of exp(score - m). */
struct AttendDecodeArgs {
  ADDRESS q;          /* in: f32 activation [q_heads * k_dim][column_count] */
  ADDRESS columns;
  ADDRESS sequences;
  ADDRESS partials;   /* out: f32 [column_count][q_heads][split_count][v_dim + 2] */
  PageShape page;
  uint32 layer;
  uint32 q_heads;
  uint32 window;
  float scale;
  uint32 column_count;
  uint32 split_count;
};

/* attend_merge: joins a column's splits, in index order, into the normalised result. */
struct AttendMergeArgs {
  ADDRESS partials;  /* in: as attend_decode wrote them */
  ADDRESS columns;
  ADDRESS dst;       /* out: f32 activation [q_heads * v_dim][column_count] */
  uint32 q_heads;
  uint32 v_dim;
  uint32 window;
  uint32 column_count;
  uint32 split_count;
};

/* gated_activation: dst[i, n] = f(gate[i, n]) * up[i, n], with f the specialization constant. (Shazeer 2020) */
struct GatedActivationArgs {
  ADDRESS gate_up;  /* in: f32 activation [2 * width][column_count]: gate rows, then up rows */
  ADDRESS dst;      /* out: f32 activation [width][column_count] */
  uint32 width;
  uint32 column_count;
};

/* gather_columns: dst column i = src column selection[i]; src is tiled by COLUMN_TILE, dst by DST_COLUMN_TILE. */
struct GatherColumnsArgs {
  ADDRESS src;        /* in: f32 activation [width][...] */
  ADDRESS selection;  /* in: uint32 [column_count] */
  ADDRESS dst;        /* out: f32 activation [width][column_count] */
  uint32 width;
  uint32 column_count;
};

struct ArgmaxResult {
  uint32 index;       /* of the largest logit; the lowest index wins a tie */
  float value;
  uint32 non_finite;  /* how many logits are NaN or infinite (then index and value count finite ones only) */
  uint32 reserved;
};

/* argmax: one result a row. */
struct ArgmaxArgs {
  ADDRESS logits;   /* in: f32 [row_count][vocabulary] */
  ADDRESS results;  /* out: ArgmaxResult[row_count] */
  uint32 vocabulary;
  uint32 row_count;
};

/* How one row's token is chosen. Filters keep a beginning of the order (largest logit first, lower index first among equals) and apply in the order of
 * the fields, each to what the one before it kept. Weights: shaders/interface/sampling_weight.h. */
struct SamplingRow {
  uint32 top_k;     /* keep this many; 0: all */
  Wide top_p;       /* keep the shortest beginning whose weights are at least this part (of 2^64) of all (Holtzman et al. 2020); 0: all */
  float min_p;      /* keep logits whose half_distance from the largest is at most this */
  float steepness;  /* 2 / temperature: weights for the draw are exp(-half_distance * steepness); finite, above 0 */
  Wide point;       /* the draw: the first at which the running sum of weights exceeds this part (of 2^64) of all */
};

struct SampleResult {
  uint32 token;       /* index of the logit drawn; 0 if not all are finite */
  uint32 non_finite;  /* how many logits are NaN or infinite */
};

/* sample: one token a row. */
struct SampleArgs {
  ADDRESS logits;   /* in: f32 [row_count][vocabulary] */
  ADDRESS rows;     /* in: SamplingRow[row_count] */
  ADDRESS results;  /* out: SampleResult[row_count] */
  uint32 vocabulary;  /* at most SAMPLING_ROW_LIMIT */
  uint32 row_count;
};

/* What an operation waits for. */
#define WAITS_FOR_NOTHING 0u
#define WAITS_BEFORE 1u  /* everything before it must be complete and visible */
#define WAITS_TOGETHER 2u  /* that, and whoever has done one unit waits for all of them: a probe of how many workgroups run at the same time */

/* One dispatch that persistent_step carries out: a kernel with its arguments, over the grid that it would have alone. Its work is cut into units, which
 * the workgroups of persistent_step take one by one. */
struct StepOperation {
  ADDRESS args;        /* the kernel's argument struct */
  uint32 kernel;       /* KernelId; kKernelCount or more: nothing is done */
  uint32 weight_type;  /* WeightType; none where the kernel has no weights */
  uint32 waits;        /* WAITS_... */
  uint32 units_before; /* units of all operations before it */
  uint32 units;        /* 1 or more */
  uint32 unit_pieces;  /* pieces of one unit; the last one may have fewer */
  uint32 pieces;       /* workgroups of persistent_step that the kernel's grid comes to: x * y * z * parts */
  uint32 parts;        /* pieces that make one workgroup of the kernel, where its invocations do not depend on each other */
  uint32 row;          /* workgroups of the kernel on x */
  uint32 plane;        /* on x times y */
};

/* What the workgroups of one persistent_step share. All zero before it; an array of uint32 follows: for each operation, how many units were taken. */
struct StepProgress {
  uint32 done;         /* units that are complete, of all operations */
  uint32 abandoned;    /* 1: a workgroup waited in vain; nothing that the step wrote counts */
};

/* persistent_step: the operations in order. A workgroup takes a unit only when what the operation waits for is complete, so that whoever runs makes
 * progress and nobody waits for a workgroup that has not begun. */
struct PersistentStepArgs {
  ADDRESS operations;  /* in: StepOperation[operation_count] */
  ADDRESS progress;    /* in and out: StepProgress, then uint32 [operation_count] */
  uint32 operation_count;
  uint32 spin_bound;   /* reads of `done` at one wait, after which the step is abandoned */
};

#ifdef __cplusplus
}  // namespace quire
#endif
#endif
