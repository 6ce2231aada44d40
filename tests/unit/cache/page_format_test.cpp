#include <doctest/doctest.h>

#include "cache/cache_group.hpp"
#include "cache/page_format.hpp"
#include "engine/base/checked.hpp"

namespace quire {
namespace {

CacheGroup group_of(uint32_t layer_count, uint32_t kv_heads, uint32_t k_dim, uint32_t v_dim) {
  CacheGroup group;
  for (uint32_t i = 0; i < layer_count; ++i) group.layers.push_back(i);
  group.kv_heads = kv_heads;
  group.k_dim = k_dim;
  group.v_dim = v_dim;
  return group;
}

}  // namespace

TEST_CASE("page_format: every format has a name that leads back to it, and no other text does") {
  for (const PageFormat format : all_page_formats()) CHECK(page_format_from_name(page_format_name(format)) == format);
  CHECK(page_format_from_name("f16") == PageFormat::f16);
  CHECK(page_format_from_name("f32") == PageFormat::f32);
  CHECK(page_format_from_name("q8") == PageFormat::q8);
  for (const char* text : {"", "F16", "f16 ", "f", "unknown", "bf16", "q8_0"}) CHECK_FALSE(page_format_from_name(text));
}

TEST_CASE("page_format: the word of a table entry holds K's format below V's") {
  for (const PageFormat k : all_page_formats()) {
    for (const PageFormat v : all_page_formats()) {
      const uint32_t word = PageFormats{k, v}.word();
      CHECK(page_k_format(word) == static_cast<uint32_t>(k));
      CHECK(page_v_format(word) == static_cast<uint32_t>(v));
    }
  }
}

TEST_CASE("page_format: a page's bytes are the sum of its rows") {
  const PageShape smollm2 = {30, 3, 64, 64, 64};
  CHECK(*checked_page_bytes(smollm2, {PageFormat::f16, PageFormat::f16}) == 1474560u);
  CHECK(*checked_page_bytes(smollm2, {PageFormat::f32, PageFormat::f32}) == 2949120u);
  CHECK(*checked_page_bytes(smollm2, {PageFormat::q8, PageFormat::q8}) == 783360u);  // 8.5 bits an element
  CHECK(*checked_page_bytes(smollm2, {PageFormat::q8, PageFormat::f16}) == (783360u + 1474560u) / 2);
  CHECK(*checked_page_bytes({2, 1, 8, 24, 16}, {PageFormat::f32, PageFormat::f16}) == 2u * 16 * (8 * 4 + 24 * 2));
}

TEST_CASE("page_format: q8's groups restart at each head, the last may be shorter, and regions of scales do not overlap others") {
  CHECK(page_row_scale_bytes(PAGE_FORMAT_Q8, 32) == 2);
  CHECK(page_row_scale_bytes(PAGE_FORMAT_Q8, 40) == 4);
  CHECK(page_row_scale_bytes(PAGE_FORMAT_Q8, 80) == 6);
  CHECK(page_row_scale_bytes(PAGE_FORMAT_F16, 80) == 0);
  for (const PageFormat k : all_page_formats()) {
    for (const PageFormat v : all_page_formats()) {
      const PageShape shape = {2, 3, 40, 80, 16};
      const uint32_t word = PageFormats{k, v}.word();
      // Every row of both kinds, in the order of the page: each begins where the one before ended, or up to 15 bytes of padding later.
      uint32_t end = 0;
      const auto follows = [&](uint32_t begin, uint32_t bytes) {
        CHECK(begin >= end);
        CHECK(begin < end + 16);
        end = begin + bytes;
      };
      for (uint32_t layer = 0; layer < shape.layers; ++layer) {
        const auto rows = [&](auto offset, uint32_t bytes) {
          for (uint32_t row = 0; bytes != 0 && row < shape.kv_heads * shape.tokens; ++row) follows(offset(shape, word, layer, row / shape.tokens, row % shape.tokens), bytes);
        };
        rows(page_k_codes, page_row_code_bytes(page_k_format(word), shape.k_dim));
        rows(page_k_scales, page_row_scale_bytes(page_k_format(word), shape.k_dim));
        rows(page_v_codes, page_row_code_bytes(page_v_format(word), shape.v_dim));
        rows(page_v_scales, page_row_scale_bytes(page_v_format(word), shape.v_dim));
      }
      CHECK(page_bytes(shape, word) >= end);
      CHECK(page_bytes(shape, word) < end + 16);
    }
  }
}

TEST_CASE("page_format: no format makes a page larger than the widest") {
  const PageShape shape = {3, 5, 40, 96, 32};
  const uint32_t widest = *checked_page_bytes(shape, kWidestPageFormats);
  for (const PageFormat k : all_page_formats()) {
    for (const PageFormat v : all_page_formats()) CHECK(*checked_page_bytes(shape, {k, v}) <= widest);
  }
}

TEST_CASE("page_format: shapes that a page cannot have are refused, those whose size wraps 32 bits too") {
  const PageFormats f32 = kWidestPageFormats;
  CHECK(checked_page_bytes({0, 1, 8, 8, 16}, f32).code() == Code::invalid_argument);
  CHECK(checked_page_bytes({1, 0, 8, 8, 16}, f32).code() == Code::invalid_argument);
  CHECK(checked_page_bytes({1, 1, 0, 8, 16}, f32).code() == Code::invalid_argument);
  CHECK(checked_page_bytes({1, 1, 8, 0, 16}, f32).code() == Code::invalid_argument);
  CHECK(checked_page_bytes({1, 1, 8, 8, 0}, f32).code() == Code::invalid_argument);
  CHECK(checked_page_bytes({1, 1, 12, 8, 16}, f32).code() == Code::invalid_argument);
  CHECK(checked_page_bytes({1, 1, 8, 9, 16}, f32).code() == Code::invalid_argument);
  // 2^32 bytes and more in a row, a region, a layer and a page: the 32-bit functions would answer 0 or little.
  CHECK(checked_page_bytes({1, 1, 1u << 30, 8, 16}, f32).code() == Code::unsupported);
  CHECK(checked_page_bytes({1, 1u << 28, 8, 8, 16}, f32).code() == Code::unsupported);
  CHECK(checked_page_bytes({1, 1u << 22, 32, 32, 16}, f32).code() == Code::unsupported);
  CHECK(checked_page_bytes({1u << 22, 1, 32, 32, 16}, f32).code() == Code::unsupported);
  CHECK(checked_page_bytes({0xffffffffu, 0xffffffffu, 0xfffffff8u, 0xfffffff8u, 0xffffffffu}, f32).code() == Code::unsupported);
  // 8 MiB exactly, and one layer more.
  CHECK(*checked_page_bytes({128, 8, 64, 64, 16}, f32) == kMaxPageBytes);
  CHECK(checked_page_bytes({129, 8, 64, 64, 16}, f32).code() == Code::unsupported);
}

TEST_CASE("cache_group: a page has 64 tokens, halved until the widest format fits 8 MiB") {
  CHECK(*choose_tokens_per_page(group_of(30, 3, 64, 64)) == 64);
  CHECK(*choose_tokens_per_page(group_of(32, 8, 64, 64)) == 64);   // 8 MiB exactly
  CHECK(*choose_tokens_per_page(group_of(33, 8, 64, 64)) == 32);
  CHECK(*choose_tokens_per_page(group_of(32, 8, 128, 128)) == 32);
  CHECK(*choose_tokens_per_page(group_of(80, 8, 128, 64)) == 16);
  CHECK(choose_tokens_per_page(group_of(80, 8, 128, 128)).code() == Code::unsupported);
  CHECK(choose_tokens_per_page(group_of(0, 8, 128, 128)).code() == Code::invalid_argument);
}

TEST_CASE("cache_group: a model layer is found by what it writes or borrows") {
  CacheGroup group = group_of(0, 1, 64, 64);
  group.layers = {5, 11, 17};
  group.borrowed_layers = {{.model_layer = 20, .cache_layer = 1}};
  CHECK(group.cache_layer(5) == 0u);
  CHECK(group.cache_layer(17) == 2u);
  CHECK(group.cache_layer(20) == 1u);
  CHECK_FALSE(group.cache_layer(6));
  group.tokens_per_page = 64;
  CHECK(check_cache_group(group).ok());
  group.borrowed_layers[0].cache_layer = 3;
  CHECK(check_cache_group(group).code() == Code::invalid_argument);
  group.borrowed_layers.clear();
  group.tokens_per_page = 48;
  CHECK(check_cache_group(group).code() == Code::invalid_argument);
}

TEST_CASE("cache_group: a window holds the pages of the slots that the next query sees, at most ceil(window / page) + 1") {
  CacheGroup group = group_of(1, 1, 8, 8);
  for (const uint32_t tokens : {16u, 32u, 64u}) {
    group.tokens_per_page = tokens;
    for (const uint32_t window : {0u, 1u, 2u, 15u, 16u, 17u, 40u, 64u, 100u, 512u}) {
      group.window = window;
      uint32_t most = 0;
      for (uint32_t length = 0; length < 1500; ++length) {
        // The query in slot `length` sees slot s if s + window > length.
        uint32_t first = page_count(group, length);
        for (uint32_t page = 0; page < page_count(group, length); ++page) {
          if (window == 0 || (page + 1) * tokens - 1 + window > length) {
            first = page;
            break;
          }
        }
        CHECK(page_count(group, length) - first == held_pages(group, length));
        most = std::max(most, held_pages(group, length));
      }
      if (window != 0) CHECK(most <= ceil_div(window, tokens) + 1);
    }
  }
}

}  // namespace quire
