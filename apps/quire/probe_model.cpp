#include "probe_model.hpp"

#include <bit>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>

namespace quire_app {
namespace {

constexpr uint32_t kLayers = 4, kWidth = 576, kHeads = 9, kHeadsKv = 3, kHeadLength = 64, kFeedForward = 1536, kVocabulary = 512, kContext = 512;
constexpr uint32_t kAlignment = 32;
// Numbers of the GGUF specification (ggml/docs/gguf.md) for the types used here.
constexpr uint32_t kU32 = 4, kI32 = 5, kF32 = 6, kString = 8, kArray = 9;
constexpr uint32_t kTensorF32 = 0, kTensorQ41 = 3;
constexpr uint64_t kQ41Weights = 32, kQ41Bytes = 20;

class Bytes {
 public:
  /// Little-endian, as the format is.
  template <class T>
  Bytes& number(T value) {
    static_assert(std::is_unsigned_v<T>);
    for (size_t byte = 0; byte < sizeof value; ++byte) bytes_.push_back(static_cast<std::byte>(uint64_t{value} >> (8 * byte) & 0xff));
    return *this;
  }
  Bytes& text(std::string_view value) { return number(uint64_t{value.size()}).append(std::as_bytes(std::span(value))); }
  Bytes& append(std::span<const std::byte> more) {
    bytes_.insert(bytes_.end(), more.begin(), more.end());
    return *this;
  }
  Bytes& pad() {
    bytes_.resize((bytes_.size() + kAlignment - 1) / kAlignment * kAlignment);
    return *this;
  }
  const std::vector<std::byte>& get() const { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

class ProbeModel {
 public:
  ProbeModel() {
    metadata();
    tensor("token_embd.weight", kWidth, kVocabulary);
    norm("output_norm.weight");
    for (uint32_t layer = 0; layer < kLayers; ++layer) {
      const std::string prefix = "blk." + std::to_string(layer) + ".";
      norm(prefix + "attn_norm.weight");
      tensor(prefix + "attn_q.weight", kWidth, kHeads * kHeadLength);
      tensor(prefix + "attn_k.weight", kWidth, kHeadsKv * kHeadLength);
      tensor(prefix + "attn_v.weight", kWidth, kHeadsKv * kHeadLength);
      tensor(prefix + "attn_output.weight", kHeads * kHeadLength, kWidth);
      norm(prefix + "ffn_norm.weight");
      tensor(prefix + "ffn_gate.weight", kWidth, kFeedForward);
      tensor(prefix + "ffn_up.weight", kWidth, kFeedForward);
      tensor(prefix + "ffn_down.weight", kFeedForward, kWidth);
    }
  }

  std::vector<std::byte> file() const {
    Bytes all;
    all.append(std::as_bytes(std::span("GGUF", 4))).number(uint32_t{3}).number(uint64_t{tensors_}).number(uint64_t{keys_});
    all.append(entries_.get()).append(directory_.get()).pad().append(data_.get());
    return all.get();
  }

 private:
  Bytes& key(std::string_view name, uint32_t type) {
    ++keys_;
    return entries_.text(name).number(type);
  }
  void word(std::string_view name, std::string_view value) { key(name, kString).text(value); }
  void u32(std::string_view name, uint32_t value) { key(name, kU32).number(value); }
  void f32(std::string_view name, float value) { key(name, kF32).number(std::bit_cast<uint32_t>(value)); }

  void metadata() {
    word("general.architecture", "llama");
    u32("llama.block_count", kLayers);
    u32("llama.context_length", kContext);
    u32("llama.embedding_length", kWidth);
    u32("llama.feed_forward_length", kFeedForward);
    u32("llama.attention.head_count", kHeads);
    u32("llama.attention.head_count_kv", kHeadsKv);
    u32("llama.rope.dimension_count", kHeadLength);
    f32("llama.rope.freq_base", 10000.0f);
    f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    word("tokenizer.ggml.model", "gpt2");
    word("tokenizer.ggml.pre", "smollm");
    u32("tokenizer.ggml.bos_token_id", kVocabulary - 1);
    u32("tokenizer.ggml.eos_token_id", kVocabulary - 1);
    key("tokenizer.ggml.tokens", kArray).number(kString).number(uint64_t{kVocabulary});
    for (uint32_t id = 0; id < kVocabulary; ++id) entries_.text(token(id));
    key("tokenizer.ggml.token_type", kArray).number(kI32).number(uint64_t{kVocabulary});
    for (uint32_t id = 0; id < kVocabulary; ++id) entries_.number(uint32_t{id + 1 == kVocabulary ? 3u : 1u});
    key("tokenizer.ggml.merges", kArray).number(kString).number(uint64_t{1}).text("a b");
  }

  /// The bytes as GPT-2's alphabet writes them, "ab", and names.
  static std::string token(uint32_t id) {
    if (id == 256) return "ab";
    if (id > 256) return "token" + std::to_string(id);
    const auto as_itself = [](uint32_t b) { return (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE; };
    uint32_t code_point = id;
    if (!as_itself(id)) {
      code_point = 0x100;
      for (uint32_t b = 0; b < id; ++b) code_point += as_itself(b) ? 0u : 1u;
    }
    if (code_point < 0x80) return std::string(1, static_cast<char>(code_point));
    return {static_cast<char>(0xC0 | code_point >> 6), static_cast<char>(0x80 | (code_point & 0x3F))};
  }

  void name_tensor(const std::string& name, std::span<const uint64_t> shape, uint32_t type) {
    ++tensors_;
    directory_.text(name).number(static_cast<uint32_t>(shape.size()));
    for (const uint64_t size : shape) directory_.number(size);
    directory_.number(type).number(uint64_t{data_.get().size()});
  }
  void norm(const std::string& name) {
    const uint64_t shape[] = {kWidth};
    name_tensor(name, shape, kTensorF32);
    for (uint32_t i = 0; i < kWidth; ++i) data_.number(std::bit_cast<uint32_t>(1.0f));
    data_.pad();
  }
  void tensor(const std::string& name, uint64_t width, uint64_t rows) {
    const uint64_t shape[] = {width, rows};
    name_tensor(name, shape, kTensorQ41);
    for (uint64_t block = 0; block < width / kQ41Weights * rows; ++block) {
      data_.number(uint16_t{0x2000}).number(uint16_t{0xAB80});  // steps of 2^-7 from -7.5 steps on
      for (uint64_t i = 4; i < kQ41Bytes; i += 4) data_.number(static_cast<uint32_t>(next_random() >> 32));
    }
    data_.pad();
  }
  uint64_t next_random() { return random_ = random_ * 6364136223846793005u + 1442695040888963407u; }

  Bytes entries_, directory_, data_;
  uint64_t keys_ = 0, tensors_ = 0, random_ = 1;
};

}  // namespace

std::vector<std::byte> make_probe_model() { return ProbeModel().file(); }

}  // namespace quire_app
