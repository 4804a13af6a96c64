/* The parts under the Parquet and Arrow readers: Thrift, packed numbers, FlatBuffers, codecs, values as text, columns joined; and
 * that a failed allocation anywhere in writing and reading leaves an error and no leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "datasets/codec.h"
#include "datasets/column_values.h"
#include "datasets/flatbuffer.h"
#include "datasets/parquet.h"
#include "datasets/parquet_runs.h"
#include "datasets/readers.h"
#include "datasets/scalar_text.h"
#include "datasets/thrift.h"

/* ---- Thrift */

static void test_thrift_reads_what_it_writes(void **state) {
  HfError err;
  HfBuffer out = {0};
  int last = 0;
  assert_true(hf_thrift_put_int(&out, &last, 1, HF_THRIFT_INT32, -7, &err) && hf_thrift_put_text(&out, &last, 3, "name", 4, &err));
  assert_true(hf_thrift_put_int(&out, &last, 40, HF_THRIFT_INT64, INT64_MIN, &err) && hf_thrift_put_list(&out, &last, 41, HF_THRIFT_INT32, 20, &err));
  for (int i = 0; i < 20; i++) assert_true(hf_thrift_put_varint(&out, (uint64_t)i, &err));
  assert_true(hf_thrift_put_field(&out, &last, 42, HF_THRIFT_TRUE, &err) && hf_thrift_put_stop(&out, &err));
  HfThrift t = hf_thrift_over(out.data, out.size);
  HfThriftField f = {0};
  assert_true(hf_thrift_next(&t, &f) && f.id == 1 && hf_thrift_int32(&t, &f) == -7);
  assert_true(hf_thrift_next(&t, &f) && f.id == 3);
  HfSpan text = hf_thrift_text(&t, &f);
  assert_true(text.size == 4 && !memcmp(text.bytes, "name", 4));
  assert_true(hf_thrift_next(&t, &f) && f.id == 40 && hf_thrift_int64(&t, &f) == INT64_MIN);
  assert_true(hf_thrift_next(&t, &f) && f.id == 41);
  hf_thrift_skip(&t, &f);
  assert_true(hf_thrift_next(&t, &f) && f.id == 42 && hf_thrift_bool(&t, &f));
  assert_false(hf_thrift_next(&t, &f));
  assert_true(!t.problem && t.at == t.end);
  hf_buffer_free(&out);
}

static const char *skip_problem(const void *bytes, size_t size) {
  HfThrift t = hf_thrift_over(bytes, size);
  for (HfThriftField f = {0}; hf_thrift_next(&t, &f);) hf_thrift_skip(&t, &f);
  return t.problem;
}

static void test_thrift_refuses_what_is_not_there(void **state) {
  char nested[100];
  memset(nested, 0x1C, sizeof nested); /* a struct in field 1 of a struct in field 1 ... */
  assert_string_equal(skip_problem(nested, sizeof nested), "it nests too deeply");
  assert_string_equal(skip_problem("\x18\x05" "abcd", 6), "it ends early");             /* a text of 5 bytes */
  assert_string_equal(skip_problem("\x19\xF5\xFF\xFF\x03", 5), "a list is longer than the bytes left");
  assert_string_equal(skip_problem("\x1B\xFF\xFF\x03", 4), "a map is longer than the bytes left");
  assert_string_equal(skip_problem("\x16\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 11), "a number has more than 64 bits");
  assert_string_equal(skip_problem("\x1E", 1), "a field has an unknown type");
  assert_string_equal(skip_problem("", 0), "it ends early");
  assert_null(skip_problem("\x16\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01\0", 12));
  HfThrift t = hf_thrift_over("\x16\xFE\xFF\xFF\xFF\x1F\0", 7);
  HfThriftField f = {0};
  assert_true(hf_thrift_next(&t, &f));
  hf_thrift_int32(&t, &f);
  assert_string_equal(t.problem, "a number is out of range");
}

/* ---- packed numbers */

static void test_runs_and_groups(void **state) {
  uint32_t wide[16];
  uint8_t narrow[16];
  /* four times 5, then eight numbers of three bits: 0 1 2 3 4 5 6 7, as the format's description packs them */
  const uint8_t bytes[] = {4 << 1, 5, 1 << 1 | 1, 0x88, 0xC6, 0xFA};
  assert_null(hf_runs_decode32(bytes, sizeof bytes, 3, wide, 12));
  assert_memory_equal(wide, ((uint32_t[]){5, 5, 5, 5, 0, 1, 2, 3, 4, 5, 6, 7}), 48);
  assert_null(hf_runs_decode8(bytes, sizeof bytes, 3, narrow, 10));
  assert_memory_equal(narrow, ((uint8_t[]){5, 5, 5, 5, 0, 1, 2, 3, 4, 5}), 10);
  assert_non_null(hf_runs_decode32(bytes, sizeof bytes, 3, wide, 13));
  assert_non_null(hf_runs_decode32(bytes, sizeof bytes - 1, 3, wide, 12));
  assert_null(hf_runs_decode32(bytes, sizeof bytes - 1, 3, wide, 9)); /* what is missing is padding */
  assert_non_null(hf_runs_decode8((const uint8_t[]){2 << 1, 8}, 2, 3, narrow, 2)); /* 8 has four bits */
  assert_null(hf_runs_decode8(NULL, 0, 0, narrow, 16));
  assert_int_equal(narrow[15], 0);
  const uint8_t full[] = {1 << 1 | 1, 255, 255, 255, 255, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 7, 0, 0, 0};
  assert_null(hf_runs_decode32(full, sizeof full, 32, wide, 8));
  assert_true(wide[0] == UINT32_MAX && wide[7] == 7);
}

static void test_older_packing_has_the_highest_bits_first(void **state) {
  uint8_t out[8];
  size_t used;
  assert_null(hf_runs_decode_packed((const uint8_t[]){0x05, 0x39, 0x77}, 3, 3, out, 8, &used));
  assert_memory_equal(out, ((uint8_t[]){0, 1, 2, 3, 4, 5, 6, 7}), 8);
  assert_int_equal(used, 3);
  assert_non_null(hf_runs_decode_packed((const uint8_t[]){0x05, 0x39}, 2, 3, out, 8, &used));
}

static void test_differences(void **state) {
  int64_t out[8];
  size_t used;
  /* 7 5 3 1 2 3 4 5, the example of the format's description: blocks of 128 in 4, first 7, least difference -2, 2 bits */
  uint8_t bytes[] = {0x80, 0x01, 4, 8, 14, 3, 2, 0, 0, 0, 0xC0, 0x3F, 0, 0, 0, 0, 0, 0};
  assert_null(hf_runs_decode_delta(bytes, sizeof bytes, out, 8, &used));
  assert_memory_equal(out, ((int64_t[]){7, 5, 3, 1, 2, 3, 4, 5}), sizeof out);
  assert_int_equal(used, sizeof bytes);
  assert_non_null(hf_runs_decode_delta(bytes, sizeof bytes, out, 7, &used));
  assert_non_null(hf_runs_decode_delta(bytes, 11, out, 8, &used));
  bytes[6] = 65;
  assert_non_null(hf_runs_decode_delta(bytes, sizeof bytes, out, 8, &used));
  bytes[2] = 0;
  assert_non_null(hf_runs_decode_delta(bytes, sizeof bytes, out, 8, &used));
}

/* ---- FlatBuffers */

static void test_flatbuffer_fields_and_bounds(void **state) {
  /* root at 16; its fields listed at 4: 12 bytes, a table of 16; field 0 at 4, field 1 absent, field 2 a text at 8 */
  uint8_t bytes[] = {16, 0, 0, 0, 10, 0, 12, 0, 4, 0, 0, 0, 8, 0, 0, 0, 12, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 4, 0, 0, 0, 2, 0, 0, 0, 'h', 'i', 0, 0};
  HfFlatBuffer b = hf_flat_over(bytes, sizeof bytes);
  HfFlatTable root = hf_flat_root(&b);
  assert_int_equal(hf_flat_int(root, 0, 4, 9), -2);
  assert_int_equal(hf_flat_int(root, 1, 4, 9), 9);
  assert_int_equal(hf_flat_int(root, 200, 4, 9), 9);
  HfSpan text = hf_flat_text(root, 2);
  assert_true(text.size == 2 && !memcmp(text.bytes, "hi", 2) && !b.problem);
  bytes[28] = 200; /* the text is longer than what is there */
  assert_int_equal(hf_flat_text(root, 2).size, 0);
  assert_non_null(b.problem);
  for (size_t at = 0; at < sizeof bytes; at++) { /* any one byte may be anything */
    uint8_t old = bytes[at];
    for (int value = 0; value < 256; value += 5) {
      bytes[at] = (uint8_t)value;
      b = hf_flat_over(bytes, sizeof bytes);
      root = hf_flat_root(&b);
      hf_flat_int(root, 0, 8, 0);
      hf_flat_text(hf_flat_table(root, 2), 0);
    }
    bytes[at] = old;
  }
}

/* ---- codecs */

static void test_codecs_give_exactly_what_is_expected(void **state) {
  HfError err;
  char text[1000];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)(i % 7);
  const HfCodec codecs[] = {HF_CODEC_NONE, HF_CODEC_SNAPPY, HF_CODEC_ZSTD};
  for (int c = 0; c < 3; c++) {
    if (!hf_codec_open(codecs[c], &err)) {
      assert_non_null(strstr(err.message, "apt install"));
      print_message("skipped: %s\n", err.message);
      continue;
    }
    HfBuffer packed = {0}, out = {0};
    assert_true(hf_compress(codecs[c], text, sizeof text, &packed, &err));
    assert_true(hf_decompress(codecs[c], packed.data, packed.size, sizeof text, &out, &err));
    assert_int_equal(out.size, sizeof text);
    assert_memory_equal(out.data, text, sizeof text);
    assert_false(hf_decompress(codecs[c], packed.data, packed.size, sizeof text - 1, &out, &err));
    assert_false(hf_decompress(codecs[c], packed.data, packed.size, sizeof text + 1, &out, &err));
    assert_false(hf_decompress(codecs[c], packed.data, packed.size / 2, sizeof text, &out, &err));
    assert_false(hf_decompress(codecs[c], packed.data, packed.size, (size_t)1 << 30, &out, &err)); /* nothing near it is allocated */
    hf_buffer_free(&packed);
    hf_buffer_free(&out);
  }
}

/* ---- values as text */

static const char *text_of(size_t size, char *text) {
  text[size] = 0;
  return text;
}

static void test_dates_times_and_decimals(void **state) {
  char text[HF_SCALAR_TEXT + 1];
  assert_string_equal(text_of(hf_date_text(text, 0), text), "1970-01-01");
  assert_string_equal(text_of(hf_date_text(text, -1), text), "1969-12-31");
  assert_string_equal(text_of(hf_date_text(text, 19782), text), "2024-02-29");
  assert_string_equal(text_of(hf_date_text(text, -719162), text), "0001-01-01");
  assert_string_equal(text_of(hf_date_text(text, 2932896), text), "9999-12-31");
  assert_string_equal(text_of(hf_timestamp_text(text, -1, 9, true), text), "1969-12-31 23:59:59.999999999+00:00");
  assert_string_equal(text_of(hf_timestamp_text(text, 1704070800000, 3, false), text), "2024-01-01 01:00:00");
  assert_string_equal(text_of(hf_timestamp_text(text, 1500, 3, false), text), "1970-01-01 00:00:01.500000");
  for (int digits = 0; digits <= 9; digits += 3) {
    assert_in_range(hf_timestamp_text(text, INT64_MIN, digits, true), 20, HF_SCALAR_TEXT);
    assert_in_range(hf_timestamp_text(text, INT64_MAX, digits, true), 20, HF_SCALAR_TEXT);
  }
  assert_string_equal(text_of(hf_decimal_text(text, (const uint8_t[]){0xFF, 0x85}, 2, 2), text), "-1.23");
  assert_string_equal(text_of(hf_decimal_text(text, (const uint8_t[]){5}, 1, 3), text), "0.005");
  assert_string_equal(text_of(hf_decimal_text(text, (const uint8_t[]){0}, 1, 0), text), "0");
  uint8_t least[32] = {0x80};
  assert_string_equal(text_of(hf_decimal_text(text, least, 32, 0), text), "-57896044618658097711785492504343953926634992332820282019728792003956564819968");
  assert_true(hf_half_to_float(0x3C00) == 1.0f && hf_half_to_float(0xC000) == -2.0f && hf_half_to_float(1) == 0x1p-24f && hf_half_to_float(0x7BFF) == 65504.0f);
}

/* Every kind of value written as text takes any bits: a text, or an error. */
static void test_any_bits_have_a_text_or_an_error(void **state) {
  static const uint8_t fills[] = {0x00, 0x01, 0x7F, 0x80, 0xFF};
  uint8_t bytes[32];
  for (int kind = HF_FORM_DECIMAL; kind <= HF_FORM_UUID; kind++)
    for (int i = 0; i < 25; i++) {
      HfError err = {0};
      HfBuffer values = {0}, offsets = {0};
      int widths[] = {[HF_FORM_DECIMAL] = 32, [HF_FORM_DECIMAL_LOW_FIRST] = 32, [HF_FORM_DATE] = 4, [HF_FORM_DATE_MILLISECONDS] = 8,
                      [HF_FORM_TIME] = 8, [HF_FORM_TIMESTAMP] = 8, [HF_FORM_INT96] = 12, [HF_FORM_UUID] = 16};
      HfForm form = {.kind = (HfFormKind)kind, .type = HF_COLUMN_STRING, .width = widths[kind], .digits = i % 4 * 3, .utc = i % 2, .scale = i * 3};
      memset(bytes, fills[i / 5], sizeof bytes);
      bytes[form.width - 1] = fills[i % 5]; /* the highest byte */
      if (kind == HF_FORM_INT96) bytes[7] = fills[i % 5];
      bool ok = hf_form_append(&form, bytes, NULL, 1, 1000, &values, &offsets, &err);
      assert_true(ok ? values.size > 0 && offsets.size == 16 : strstr(err.message, "out of range") != NULL);
      hf_buffer_free(&values);
      hf_buffer_free(&offsets);
    }
}

/* ---- columns joined */

static const char rows[] = "{\"a\": 1, \"b\": [1, 2], \"s\": {\"t\": \"x\", \"u\": null}}\n{\"a\": null, \"b\": null, \"s\": {\"t\": \"yy\", \"u\": true}}\n"
                           "{\"a\": 3, \"b\": [], \"s\": null}\n";

static void test_columns_are_joined_by_blocks(void **state) {
  HfError err;
  HfTable *t = hf_jsonl_parse(rows, strlen(rows), "test", &err), *three[] = {t, t, t};
  assert_true(hf_column_can_concat((HfColumn *[]){t->fields[1].column, t->fields[1].column}, 2));
  assert_false(hf_column_can_concat((HfColumn *[]){t->fields[0].column, t->fields[1].column}, 2));
  HfTable *joined = hf_table_concat(three, 3, &err);
  assert_int_equal(joined->length, 9);
  const HfColumn *a = joined->fields[0].column, *b = joined->fields[1].column, *s = joined->fields[2].column;
  size_t size;
  assert_true(hf_column_is_null(a, 7) && hf_column_int(a, 8) == 3);
  assert_true(b->offsets[6] == 4 && b->offsets[7] == 6 && hf_column_int(b->children[0], 5) == 2 && hf_column_is_null(b, 4));
  assert_true(hf_column_is_null(s, 2) && !memcmp(hf_column_text(s->children[0], 4, &size), "yy", 2) && size == 2 && hf_column_is_null(s->children[1], 0));
  hf_table_release(joined);
  hf_table_release(t);
}

/* ---- whole files */

/* Writes a table and reads it again; false when something failed. */
static bool exercise(const char *path, HfError *err) {
  HfTable *t = hf_jsonl_parse(rows, strlen(rows), "test", err), *back = NULL;
  HfBuffer features = {0};
  bool ok = t && hf_parquet_write(t, path, &(HfParquetWriteOptions){.features = "{}", .group_rows = 2}, err);
  if (ok) back = hf_parquet_read(path, &(HfParquetOptions){.columns = (const char *[]){"s", "b", "a"}, .column_count = 3}, &features, err);
  ok = back && back->length == 3 && back->count == 3 && features.size == 2;
  hf_buffer_free(&features);
  hf_table_release(t);
  hf_table_release(back);
  return ok;
}

static void test_failed_allocations_are_errors(void **state) {
  HfError err;
  char path[] = "/tmp/test_parquet_XXXXXX";
  int fd = mkstemp(path), failures = 0;
  assert_true(fd >= 0 && !close(fd) && exercise(path, &err));
  for (long n = 1; n < 400; n++) {
    err = (HfError){0};
    hf_memory_fail_at(n);
    bool done = exercise(path, &err);
    hf_memory_fail_at(0);
    if (!done) assert_non_null(strstr(err.message, "out of memory"));
    failures += !done;
  }
  assert_true(failures > 100);
  remove(path);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_thrift_reads_what_it_writes),
      cmocka_unit_test(test_thrift_refuses_what_is_not_there),
      cmocka_unit_test(test_runs_and_groups),
      cmocka_unit_test(test_older_packing_has_the_highest_bits_first),
      cmocka_unit_test(test_differences),
      cmocka_unit_test(test_flatbuffer_fields_and_bounds),
      cmocka_unit_test(test_codecs_give_exactly_what_is_expected),
      cmocka_unit_test(test_dates_times_and_decimals),
      cmocka_unit_test(test_any_bits_have_a_text_or_an_error),
      cmocka_unit_test(test_columns_are_joined_by_blocks),
      cmocka_unit_test(test_failed_allocations_are_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
