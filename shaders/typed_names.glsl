// Names that belong to the weight type at hand: a kernel of several types includes the same files once a type, with WEIGHT_TYPE defined anew.
#ifndef QUIRE_TYPED_NAMES_GLSL
#define QUIRE_TYPED_NAMES_GLSL

#define TYPED_PASTE(name, type) name##_##type
#define TYPED_PASTE_EXPANDED(name, type) TYPED_PASTE(name, type)
#define TYPED(name) TYPED_PASTE_EXPANDED(name, WEIGHT_TYPE)

// shaders/weights
#define kWeightBlock TYPED(kWeightBlock)
#define block_word TYPED(block_word)
#define block_half_pair TYPED(block_half_pair)
#define block_half TYPED(block_half)
#define quad_element TYPED(quad_element)
#define unpack_step TYPED(unpack_step)
#define unpack_scales TYPED(unpack_scales)
#define block_of TYPED(block_of)
#define run_scales TYPED(run_scales)
#define half_of_block TYPED(half_of_block)
#define odd_runs TYPED(odd_runs)
#define run_bytes TYPED(run_bytes)
// shaders/bodies
#define kDots TYPED(kDots)
#define kXSums TYPED(kXSums)
#define load_step TYPED(load_step)
#define load_step_by_element TYPED(load_step_by_element)
#define add_step TYPED(add_step)
#define add_group TYPED(add_group)
#define matmul_few_body TYPED(matmul_few_body)
#define embed_rows_body TYPED(embed_rows_body)

#endif
