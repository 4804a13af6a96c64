/* Any bytes as a vocab.txt: either an error, or a vocabulary that tokenizes those bytes. */
#include <stdint.h>
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char document[] =
  "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
  " \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\"}, \"decoder\": {\"type\": \"WordPiece\"}}";

static void use(HfTokenizer *t, const char *text, size_t size) {
  HfInput input = {text, size < 2000 ? size : 2000};
  HfBatchInput batch = {&input, NULL, 1, 1};
  for (int detailed = 0; detailed < 2; detailed++) {
    HfEncoding out = {0};
    HfError err;
    HfEncodeOptions options = {.add_special_tokens = true, .detailed = detailed};
    if (hf_tokenizer_encode(t, &batch, &options, &out, &err) && out.ends[0]) {
      HfBuffer decoded = {0};
      int64_t id = out.ids[0];
      if (!hf_tokenizer_decode(t, &id, 1, false, &decoded, &err)) __builtin_trap();
      hf_buffer_free(&decoded);
    }
    hf_encoding_free(&out);
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err;
  HfVocabFiles files = {.vocab = {(const char *)data, size, "vocab.txt"}};
  HfTokenizer *t = hf_tokenizer_from_json(document, sizeof document - 1, &files, "vocab.txt", &err);
  if (!t) return 0;
  HfBuffer saved = {0};
  if (!hf_tokenizer_write_json(t, &saved, &err)) __builtin_trap();
  hf_buffer_free(&saved);
  use(t, (const char *)data, size);
  hf_tokenizer_free(t);
  return 0;
}
