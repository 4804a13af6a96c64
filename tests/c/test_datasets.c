/* The engine of datasets without Lua: builders, tables, hashes, and that a failed allocation anywhere leaves an error and
 * no leak. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>
#include "datasets/collate.h"
#include "datasets/hash.h"
#include "datasets/readers.h"
#include "datasets/writer.h"

static uint64_t hash_in_pieces(const char *text, size_t size, size_t piece) {
  HfHash hash;
  hf_hash_begin(&hash);
  for (size_t at = 0; at < size; at += piece) hf_hash_add(&hash, text + at, size - at < piece ? size - at : piece);
  return hf_hash_end(&hash);
}

/* Values of the published xxhsum program. */
static void test_hash_is_xxh64(void **state) {
  assert_int_equal(hash_in_pieces("", 0, 1), 0xEF46DB3751D8E999ULL);
  assert_int_equal(hash_in_pieces("abc", 3, 3), 0x44BC2CF5AD770999ULL);
  char text[100];
  for (size_t i = 0; i < sizeof text; i++) text[i] = (char)i;
  for (size_t piece = 1; piece < sizeof text; piece++)
    assert_int_equal(hash_in_pieces(text, sizeof text, piece), hash_in_pieces(text, sizeof text, sizeof text));
}

static void test_builder_widens_whole_numbers(void **state) {
  HfError err;
  HfBuilder *b = hf_builder_new(HF_COLUMN_INT8, &err);
  assert_true(hf_builder_add_null(b, &err) && hf_builder_add_int(b, 7, &err) && hf_builder_add_int(b, 1000, &err));
  assert_int_equal(b->type, HF_COLUMN_INT64);
  assert_true(hf_builder_add_float(b, 0.5, &err));
  assert_false(hf_builder_add_text(b, "x", 1, &err));
  assert_string_equal(err.message, "expected float64 as in the rows before, found text 'x'");
  HfColumn *c = hf_builder_finish(b, &err);
  assert_int_equal(c->length, 4);
  assert_true(hf_column_is_null(c, 0));
  assert_true(hf_column_number(c, 2) == 1000.0 && hf_column_number(c, 3) == 0.5);
  hf_column_release(c);
  hf_builder_free(b);
}

static HfTable *parse(const char *text, HfError *err) {
  HfCsvOptions options = HF_CSV_DEFAULTS;
  return hf_csv_parse(text, strlen(text), "test", &options, err);
}

static void test_selection_composes_and_is_shared(void **state) {
  HfError err;
  HfTable *t = parse("a,b\n0,x\n1,y\n2,z\n3,w\n", &err);
  HfTable *some = hf_table_select(t, (int64_t[]){3, 1, 2}, 3, &err);
  HfTable *fewer = hf_table_select(some, (int64_t[]){2, 0}, 2, &err);
  assert_ptr_equal(fewer->fields[0].rows, fewer->fields[1].rows);
  assert_ptr_equal(fewer->fields[0].column, t->fields[0].column);
  assert_int_equal(hf_column_int(fewer->fields[0].column, hf_field_row(&fewer->fields[0], 0)), 2);
  assert_int_equal(hf_column_int(fewer->fields[0].column, hf_field_row(&fewer->fields[0], 1)), 3);
  hf_table_release(t);
  hf_table_release(some);
  hf_table_release(fewer);
}

static void test_collate_pads_on_either_side(void **state) {
  HfError err;
  const char *text = "{\"ids\": [1, 2, 3]}\n{\"ids\": [4]}\n";
  HfTable *t = hf_jsonl_parse(text, strlen(text), "test", &err);
  const int64_t rows[] = {1, 0};
  HfTensor *right = hf_field_collate(&t->fields[0], rows, 2, &(HfPadding){.value = 9}, &err);
  assert_memory_equal(hf_tensor_data(right), ((int64_t[]){4, 9, 9, 1, 2, 3}), 6 * sizeof(int64_t));
  HfTensor *left = hf_field_collate(&t->fields[0], rows, 2, &(HfPadding){.width = 4, .left = true}, &err);
  assert_memory_equal(hf_tensor_data(left), ((int64_t[]){0, 0, 0, 4, 0, 1, 2, 3}), 8 * sizeof(int64_t));
  assert_null(hf_field_collate(&t->fields[0], rows, 2, NULL, &err));
  assert_non_null(strstr(err.message, "row 2 has 1 values, row 1 has 3"));
  hf_tensor_release(right);
  hf_tensor_release(left);
  hf_table_release(t);
}

/* Everything the engine does, once; false when something failed. */
static bool exercise(HfError *err) {
  const char *text = "{\"a\": 1, \"b\": [1, 2], \"s\": {\"t\": \"x\"}}\n{\"a\": 2.5, \"b\": null, \"s\": {\"u\": true}}\n";
  HfTable *rows = hf_jsonl_parse(text, strlen(text), "test", err), *csv = rows ? parse("a,b\n1,\"x\"\"y\"\n2,z\n", err) : NULL;
  int64_t *order = NULL;
  bool ok = csv && hf_table_sort(csv, &(HfSortKey){.field = 1, .descending = true}, 1, false, &order, err);
  HfTable *sorted = ok ? hf_table_select(csv, order, csv->length, err) : NULL;
  HfTable *merged = sorted ? hf_table_merge(sorted, rows, err) : NULL;
  HfTable *joined = merged ? hf_table_concat((HfTable *[]){merged, merged}, 2, err) : NULL;
  hf_free(order);
  hf_table_release(rows);
  hf_table_release(csv);
  hf_table_release(sorted);
  hf_table_release(merged);
  hf_table_release(joined);
  return joined;
}

/* Some failures are borne (a buffer that cannot be made smaller stays large); all others are errors. */
static void test_failed_allocations_are_errors(void **state) {
  HfError err;
  int failures = 0;
  assert_true(exercise(&err));
  for (long n = 1; n < 500; n++) {
    err = (HfError){0};
    hf_memory_fail_at(n);
    bool done = exercise(&err);
    hf_memory_fail_at(0);
    if (!done) assert_non_null(strstr(err.message, "out of memory"));
    failures += !done;
  }
  assert_true(failures > 100);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_hash_is_xxh64),
      cmocka_unit_test(test_builder_widens_whole_numbers),
      cmocka_unit_test(test_selection_composes_and_is_shared),
      cmocka_unit_test(test_collate_pads_on_either_side),
      cmocka_unit_test(test_failed_allocations_are_errors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
