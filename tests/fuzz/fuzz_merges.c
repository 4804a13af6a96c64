/* Any bytes as a merges.txt, and as a text for the tokenizer of a small one: either an error, or ids that decode; the same ids
 * with offsets and without, since these go different ways. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char document[] =
  "{\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true},"
  " \"decoder\": {\"type\": \"ByteLevel\"}, \"model\": {\"type\": \"BPE\", \"unk_token\": \"a\"}}";
static const char ids[] =
  "{\"a\": 0, \"b\": 1, \"c\": 2, \"ab\": 3, \"abc\": 4, \"bc\": 5, \"aa\": 6, \"aaaa\": 7, \"\\u0120\": 8, \"\\u0120a\": 9}";
static const char few_merges[] = "#version: 0.2\na b\na a\nab c\naa aa\n\xC4\xA0 a\nb c\n";

static HfTokenizer *load(const char *merges, size_t size) {
  HfError err;
  HfVocabFiles files = {.vocab = {ids, sizeof ids - 1, "vocab.json"}, .merges = {merges, size, "merges.txt"}};
  return hf_tokenizer_from_json(document, sizeof document - 1, &files, "vocab.json", &err);
}

/* False when the text is not one. */
static bool encode(HfTokenizer *t, const char *text, size_t size, bool detailed, HfEncoding *out) {
  HfError err;
  HfInput input = {text, size};
  HfBatchInput batch = {&input, NULL, 1, 1};
  HfEncodeOptions options = {.add_special_tokens = true, .detailed = detailed};
  return hf_tokenizer_encode(t, &batch, &options, out, &err);
}

static void use(HfTokenizer *t, const char *text, size_t size) {
  HfEncoding plain = {0}, detailed = {0};
  bool done = encode(t, text, size, false, &plain);
  if (done != encode(t, text, size, true, &detailed)) abort();
  if (done && (plain.ends[0] != detailed.ends[0] || memcmp(plain.ids, detailed.ids, plain.ends[0] * sizeof *plain.ids))) abort();
  hf_encoding_free(&plain);
  hf_encoding_free(&detailed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfTokenizer *read = load((const char *)data, size), *few = load(few_merges, sizeof few_merges - 1);
  if (!few) abort();
  if (read) use(read, "abcabc aaaaaaa cb", 17);
  use(few, (const char *)data, size);
  hf_tokenizer_free(read);
  hf_tokenizer_free(few);
  return 0;
}
