/* The tokenizer engine: failing allocations, both ways of encoding, threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>
#include "memory.h"
#include "tokenizer/tokenizer.h"

static const char document[] =
  "{\"normalizer\": {\"type\": \"BertNormalizer\"}, \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},"
  " \"post_processor\": {\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 3], \"cls\": [\"[CLS]\", 2]},"
  " \"added_tokens\": [{\"id\": 3, \"content\": \"[SEP]\", \"special\": true, \"normalized\": false}],"
  " \"decoder\": {\"type\": \"WordPiece\"}, \"model\": {\"type\": \"WordPiece\"}}";
static const char vocabulary[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nhello\nwor\n##ld\n,\ncafe\n";

static HfTokenizer *load(HfError *err) {
  HfVocabFiles files = {.vocab = {vocabulary, sizeof vocabulary - 1, "test"}};
  return hf_tokenizer_from_json(document, sizeof document - 1, &files, "test", err);
}

static bool encode(HfTokenizer *t, const char *text, bool detailed, HfEncoding *out, HfError *err) {
  HfInput input = {text, strlen(text)};
  HfBatchInput batch = {&input, NULL, 1, 1};
  HfEncodeOptions options = {.add_special_tokens = true, .detailed = detailed};
  return hf_tokenizer_encode(t, &batch, &options, out, err);
}

static void check_ids(const HfEncoding *e, const int32_t *ids, size_t count) {
  assert_int_equal(e->ends[0], count);
  for (size_t i = 0; i < count; i++) assert_int_equal(e->ids[i], ids[i]);
}

static void test_ids(void **state) {
  HfError err;
  HfTokenizer *t = load(&err);
  assert_non_null(t);
  for (int detailed = 0; detailed < 2; detailed++) {
    HfEncoding out;
    assert_true(encode(t, "Hello, World caf\xC3\xA9 [SEP] ?", detailed, &out, &err));
    check_ids(&out, (int32_t[]){2, 4, 7, 5, 6, 8, 3, 1, 3}, 9);
    if (detailed) assert_int_equal(out.offsets[4][1], 12);
    hf_encoding_free(&out);
  }
  hf_tokenizer_free(t);
}

/* Whatever allocation fails, there is an error, and the next call works. */
static void test_failing_allocations(void **state) {
  HfError err;
  for (long n = 1;; n++) {
    HfEncoding out = {0};
    hf_memory_fail_at(n);
    HfTokenizer *t = load(&err);
    bool done = t && encode(t, "Hello, World caf\xC3\xA9", n & 1, &out, &err);
    hf_memory_fail_at(0);
    if (!done) assert_true(err.message[0]);
    hf_encoding_free(&out);
    if (t) {
      assert_true(encode(t, "hello", false, &out, &err));
      check_ids(&out, (int32_t[]){2, 4, 3}, 3);
      hf_encoding_free(&out);
    }
    hf_tokenizer_free(t);
    if (done) break;
    assert_true(n < 1000);
  }
}

/* A batch large enough for several threads gives what single calls give. */
static void test_batch(void **state) {
  enum { ROWS = 3000 };
  static char texts[ROWS][32];
  static HfInput inputs[ROWS];
  HfError err;
  HfTokenizer *t = load(&err);
  for (int i = 0; i < ROWS; i++) {
    static const char *const words[] = {"hello", "World", ",", "caf\xC3\xA9", "nothing"};
    inputs[i].bytes = texts[i];
    inputs[i].size = (size_t)snprintf(texts[i], sizeof texts[i], "%s %s %s", words[i % 5], words[i / 5 % 5], words[i / 25 % 5]);
  }
  HfBatchInput batch = {inputs, NULL, ROWS, 1};
  HfEncodeOptions options = {.add_special_tokens = true};
  HfEncoding all, one;
  assert_true(hf_tokenizer_encode(t, &batch, &options, &all, &err));
  for (size_t i = 0; i < ROWS; i += 7) {
    assert_true(encode(t, texts[i], false, &one, &err));
    size_t begin = hf_encoding_begin(&all, i);
    assert_int_equal(all.ends[i] - begin, one.ends[0]);
    assert_memory_equal(all.ids + begin, one.ids, one.ends[0] * sizeof *one.ids);
    hf_encoding_free(&one);
  }
  hf_encoding_free(&all);
  hf_tokenizer_free(t);
}

/* The first wrong row is named, whatever the threads did. */
static void test_wrong_row(void **state) {
  enum { ROWS = 2000 };
  static HfInput inputs[ROWS];
  HfError err;
  HfTokenizer *t = load(&err);
  for (int i = 0; i < ROWS; i++) inputs[i] = (HfInput){"hello hello hello", 17};
  inputs[700].bytes = inputs[1500].bytes = "hello\xFFhello hello";
  HfBatchInput batch = {inputs, NULL, ROWS, 1};
  HfEncodeOptions options = {0};
  HfEncoding out;
  assert_false(hf_tokenizer_encode(t, &batch, &options, &out, &err));
  assert_non_null(strstr(err.message, "row 701"));
  assert_non_null(strstr(err.message, "byte 0xff at 5"));
  hf_tokenizer_free(t);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_ids), cmocka_unit_test(test_failing_allocations),
                                     cmocka_unit_test(test_batch), cmocka_unit_test(test_wrong_row)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
