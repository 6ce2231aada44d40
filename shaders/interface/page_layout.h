/* Where every byte of a page is. Compiled as GLSL, C++ and CUDA: this is the only place that does address arithmetic in a page.
 *
 * A page holds `tokens` slots of every layer of one cache group. Inside a page, per layer and in this order:
 *   K codes  [kv_head][slot][row]      K scales [kv_head][slot][row]
 *   V codes  [kv_head][slot][row]      V scales [kv_head][slot][row]
 * Each of the four regions is padded to 16 bytes; a format without scales has empty scale regions. The bytes are drawn in cache/README.md.
 * All offsets fit 32 bits: a page is at most 8 MiB. */
#ifndef QUIRE_PAGE_LAYOUT_H
#define QUIRE_PAGE_LAYOUT_H

#include "shaders/interface/shared_types.h"

#ifdef __cplusplus
namespace quire {
#endif

/* Formats of K or V in a page; a page-table entry holds K's in bits 0-7 and V's in bits 8-15. */
#define PAGE_FORMAT_F16 0u
#define PAGE_FORMAT_F32 1u
#define PAGE_FORMAT_Q8 2u /* element = scale * code: signed bytes, and an f16 scale for each group of PAGE_GROUP elements of a row */

/* Groups restart at each row; a row's last group may be shorter. */
#define PAGE_GROUP 32u

/* Slots of one page never straddle pages; shapes are in elements. Requires: k_dim and v_dim are multiples of 8. */
struct PageShape {
  uint32 layers;   /* layers of the group */
  uint32 kv_heads;
  uint32 k_dim;    /* elements of one K row */
  uint32 v_dim;    /* elements of one V row */
  uint32 tokens;   /* slots a page */
};

/* One entry of a device page table: 16 bytes, so that one load brings all of it. */
struct PageEntry {
  REFERENCE page;   /* device address of the page's first byte; 0: no page */
  uint32 formats;   /* K format | V format << 8 */
  uint32 reserved;  /* 0 */
};

SHARED_FN uint32 page_align16(uint32 bytes) { return (bytes + 15u) & ~15u; }

SHARED_FN uint32 page_k_format(uint32 formats) { return formats & 255u; }
SHARED_FN uint32 page_v_format(uint32 formats) { return (formats >> 8) & 255u; }

/* Bytes of one row's codes. */
SHARED_FN uint32 page_row_code_bytes(uint32 format, uint32 dim) {
  return format == PAGE_FORMAT_F32 ? 4u * dim : (format == PAGE_FORMAT_Q8 ? dim : 2u * dim);
}

/* Bytes of one row's scales. */
SHARED_FN uint32 page_row_scale_bytes(uint32 format, uint32 dim) {
  return format == PAGE_FORMAT_Q8 ? 2u * ((dim + PAGE_GROUP - 1u) / PAGE_GROUP) : 0u;
}

SHARED_FN uint32 page_code_region_bytes(PageShape shape, uint32 format, uint32 dim) {
  return page_align16(shape.kv_heads * shape.tokens * page_row_code_bytes(format, dim));
}
SHARED_FN uint32 page_scale_region_bytes(PageShape shape, uint32 format, uint32 dim) {
  return page_align16(shape.kv_heads * shape.tokens * page_row_scale_bytes(format, dim));
}

SHARED_FN uint32 page_layer_bytes(PageShape shape, uint32 formats) {
  return page_code_region_bytes(shape, page_k_format(formats), shape.k_dim) + page_scale_region_bytes(shape, page_k_format(formats), shape.k_dim) +
         page_code_region_bytes(shape, page_v_format(formats), shape.v_dim) + page_scale_region_bytes(shape, page_v_format(formats), shape.v_dim);
}

/* Bytes of a whole page. */
SHARED_FN uint32 page_bytes(PageShape shape, uint32 formats) { return shape.layers * page_layer_bytes(shape, formats); }

/* Byte offset, from the page's start, of the codes of K's row (layer, head, slot); `layer` counts within the group. */
SHARED_FN uint32 page_k_codes(PageShape shape, uint32 formats, uint32 layer, uint32 head, uint32 slot) {
  return layer * page_layer_bytes(shape, formats) + (head * shape.tokens + slot) * page_row_code_bytes(page_k_format(formats), shape.k_dim);
}
SHARED_FN uint32 page_k_scales(PageShape shape, uint32 formats, uint32 layer, uint32 head, uint32 slot) {
  return layer * page_layer_bytes(shape, formats) + page_code_region_bytes(shape, page_k_format(formats), shape.k_dim) +
         (head * shape.tokens + slot) * page_row_scale_bytes(page_k_format(formats), shape.k_dim);
}
/* The same for V. */
SHARED_FN uint32 page_v_codes(PageShape shape, uint32 formats, uint32 layer, uint32 head, uint32 slot) {
  return layer * page_layer_bytes(shape, formats) + page_code_region_bytes(shape, page_k_format(formats), shape.k_dim) +
         page_scale_region_bytes(shape, page_k_format(formats), shape.k_dim) +
         (head * shape.tokens + slot) * page_row_code_bytes(page_v_format(formats), shape.v_dim);
}
SHARED_FN uint32 page_v_scales(PageShape shape, uint32 formats, uint32 layer, uint32 head, uint32 slot) {
  return layer * page_layer_bytes(shape, formats) + page_code_region_bytes(shape, page_k_format(formats), shape.k_dim) +
         page_scale_region_bytes(shape, page_k_format(formats), shape.k_dim) + page_code_region_bytes(shape, page_v_format(formats), shape.v_dim) +
         (head * shape.tokens + slot) * page_row_scale_bytes(page_v_format(formats), shape.v_dim);
}

#ifdef __cplusplus
}  // namespace quire
#endif
#endif
