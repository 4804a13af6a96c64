/* Any bytes as a tokenizer.json: either an error, or a tokenizer that encodes, decodes and can be saved and read again. */
#include <stdint.h>
#include <string.h>
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void encode(HfTokenizer *t) {
  static const char first[] = "Hello [MASK] w\xC3\xB6rld, a\xCC\x81 \xE4\xB8\xAD\xE6\x96\x87 <x> 3.14", second[] = "  \tun\xEF\xAC\x81ne!";
  HfInput inputs[] = {{first, sizeof first - 1}, {second, sizeof second - 1}};
  HfBatchInput batch = {inputs, NULL, 1, 2};
  for (int i = 0; i < 4; i++) {
    HfEncoding out = {0};
    HfError err;
    HfEncodeOptions options = {.add_special_tokens = i & 1, .detailed = i & 2, .truncation = HF_TRUNCATE_LONGEST_FIRST,
                               .max_length = 8, .overflow = true, .padding = HF_PAD_LONGEST};
    if (hf_tokenizer_encode(t, &batch, &options, &out, &err)) {
      HfBuffer text = {0};
      for (size_t j = 0; j < out.ends[0]; j++) {
        int64_t id = out.ids[j];
        if (!hf_tokenizer_decode(t, &id, 1, i & 1, &text, &err)) __builtin_trap();
      }
      hf_buffer_free(&text);
    }
    hf_encoding_free(&out);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err;
  HfTokenizer *t = hf_tokenizer_from_json((const char *)data, size, NULL, "tokenizer.json", &err);
  if (!t) return 0;
  encode(t);
  HfBuffer saved = {0};
  if (!hf_tokenizer_write_json(t, &saved, &err)) __builtin_trap();
  HfTokenizer *again = hf_tokenizer_from_json(saved.data, saved.size, NULL, "saved", &err);
  if (!again) __builtin_trap();
  hf_tokenizer_free(again);
  hf_buffer_free(&saved);
  hf_tokenizer_free(t);
  return 0;
}
