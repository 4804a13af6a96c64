/* safetensors: every malformed file of the fuzz corpus gives its exact error; tensors lie over the mapping, writes never
 * reach the file; saving is complete or not at all; every allocation may fail. Runs in tests/. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "safetensors.h"

static const struct { const char *name, *error; } malformed[] = {
  {"begins_late", "x: tensor \"a\": data_offsets: expected to begin at 0, where the tensor before it ends, found 1"},
  {"bytes_after", "x: data: expected the 1 bytes that the tensors take, found 2"},
  {"bytes_without_tensors", "x: data: expected the 0 bytes that the tensors take, found 1"},
  {"dtype_lower_case", "x: tensor \"a\": dtype: unknown type \"f32\""},
  {"dtype_missing", "x: tensor \"a\": dtype: expected one, found none"},
  {"dtype_number", "x: tensor \"a\": dtype: expected a string, found a whole number"},
  {"dtype_unknown", "x: tensor \"a\": dtype: unknown type \"F33\""},
  {"empty", "x: expected a safetensors file, found an empty file (an interrupted copy or download? fetch it again)"},
  {"entry_array", "x: tensor \"a\": header entry: expected an object, found an array"},
  {"entry_number", "x: tensor \"a\": header entry: expected an object, found a whole number"},
  {"git_lfs_pointer", "x: expected a safetensors file, found a Git LFS pointer, not the file itself (run `git lfs pull`)"},
  {"header_array", "x: header: expected an object, found an array"},
  {"header_cut", "x: header: line 1, column 32: a string that begins here does not end"},
  {"header_duplicate_name", "x: header: line 1, column 54: duplicate name \"a\""},
  {"header_length_0", "x: expected a safetensors file, found a file of zero bytes only (an interrupted copy or download? fetch it again)"},
  {"header_length_1", "x: header length: expected 2 to 100000000, found 1"},
  {"header_length_above_limit", "x: header length: expected 2 to 100000000, found 100000001"},
  {"header_length_huge", "x: header length: expected 2 to 100000000, found 18446744073709551615"},
  {"header_length_past_end", "x: header length: expected at most the 2 bytes that follow it, found 3 (an interrupted copy or download?)"},
  {"header_not_json", "x: header: line 1, column 1: expected a value, found 'hello!'"},
  {"header_nul_padding", "x: header: line 1, column 3: expected nothing after the value, found '\\x00'"},
  {"hole", "x: tensor \"b\": data_offsets: expected to begin at 1, where the tensor before it ends, found 2"},
  {"html", "x: expected a safetensors file, found an HTML page (a login or error page was saved in its place)"},
  {"metadata_array", "x: __metadata__: expected an object, found an array"},
  {"metadata_nul", "x: __metadata__: \"a\": \\u0000 in a string"},
  {"metadata_null", "x: __metadata__: expected an object, found null"},
  {"metadata_number", "x: __metadata__: \"a\": expected a string, found a whole number"},
  {"offsets_backwards", "x: tensor \"a\": data_offsets: expected begin <= end, found [1,0]"},
  {"offsets_huge", "x: tensor \"a\": shape: expected a size below 2^61 bytes, found U8 [4611686018427387904]"},
  {"offsets_long", "x: tensor \"a\": data_offsets: expected 8 bytes for F32 [2], found 12"},
  {"offsets_missing", "x: tensor \"a\": data_offsets: expected one, found none"},
  {"offsets_negative", "x: tensor \"a\": data_offsets: expected whole numbers from 0 to 9223372036854775807, found -1"},
  {"offsets_of_unknown_use", "x: tensor \"a\": data_offsets: expected 8 bytes for F64 [1], found 4"},
  {"offsets_one", "x: tensor \"a\": data_offsets: expected two numbers, found 1"},
  {"offsets_past_end", "x: tensor \"a\": data_offsets: expected an end within the 4 bytes of data, found 8"},
  {"offsets_short", "x: tensor \"a\": data_offsets: expected 4096 bytes for F32 [32,32], found 4000"},
  {"offsets_three", "x: tensor \"a\": data_offsets: expected two numbers, found 3"},
  {"overlap", "x: tensor \"b\": data_offsets: expected to begin at 2, where the tensor before it ends, found 1"},
  {"same_place", "x: tensor \"b\": data_offsets: expected to begin at 2, where the tensor before it ends, found 0"},
  {"seven_bytes", "x: file: expected at least 8 bytes, found 7"},
  {"shape_beyond_int64", "x: tensor \"a\": shape: expected whole numbers from 0 to 9223372036854775807, found 9223372036854775808"},
  {"shape_bits_wrap", "x: tensor \"a\": shape: expected a size below 2^61 bytes, found F32 [576460752303423488]"},
  {"shape_float", "x: tensor \"a\": shape: expected whole numbers from 0 to 9223372036854775807, found 1.0"},
  {"shape_fraction", "x: tensor \"a\": shape: expected whole numbers from 0 to 9223372036854775807, found 1.5"},
  {"shape_half_byte", "x: tensor \"a\": shape: expected whole bytes, found 12 bits for F4 [3]"},
  {"shape_missing", "x: tensor \"a\": shape: expected one, found none"},
  {"shape_negative", "x: tensor \"a\": shape: expected whole numbers from 0 to 9223372036854775807, found -1"},
  {"shape_nested", "x: tensor \"a\": shape: expected whole numbers from 0 to 9223372036854775807, found an array"},
  {"shape_number", "x: tensor \"a\": shape: expected an array, found a whole number"},
  {"shape_six_bits", "x: tensor \"a\": shape: expected whole bytes, found 12 bits for F6_E2M3 [2]"},
  {"shape_string", "x: tensor \"a\": shape: expected whole numbers from 0 to 9223372036854775807, found a string"},
  {"shape_wraps_before_0", "x: tensor \"a\": shape: expected a size below 2^61 bytes, found F32 [1099511627776,1099511627776,0]"},
  {"shape_wraps_to_0", "x: tensor \"a\": shape: expected a size below 2^61 bytes, found F32 [4294967296,4294967296]"},
  {"utf16", "x: expected a safetensors file, found UTF-16 text (save it as UTF-8)"},
  {"zeros", "x: expected a safetensors file, found a file of zero bytes only (an interrupted copy or download? fetch it again)"},
  {"zip", "x: expected a safetensors file, found a zip archive (a PyTorch .bin checkpoint is one; convert it to safetensors)"},
};

static const char *corpus_path(const char *name) {
  static char path[256];
  snprintf(path, sizeof path, "fuzz/corpus/fuzz_safetensors/%s.safetensors", name);
  return path;
}

static HfSafetensors *open_corpus(const char *name) {
  HfError err;
  HfSafetensors *file = hf_safetensors_open(corpus_path(name), &err);
  if (!file) fail_msg("%s", err.message);
  return file;
}

static HfTensor *load(const HfSafetensors *file, const char *name) {
  HfError err;
  HfTensor *t = hf_safetensors_tensor(file, hf_safetensors_find(file, name), &err);
  if (!t) fail_msg("%s", err.message);
  return t;
}

static void malformed_files_are_refused(void **state) {
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
    char name[128];
    HfError err;
    HfBuffer bytes = {0};
    snprintf(name, sizeof name, "bad_%s", malformed[i].name);
    assert_true(hf_file_read(corpus_path(name), &bytes, &err));
    assert_null(hf_safetensors_parse(bytes.data, bytes.size, "x", &err));
    if (strcmp(err.message, malformed[i].error)) fail_msg("%s:\n  expected %s\n  found    %s", name, malformed[i].error, err.message);
    hf_buffer_free(&bytes);
  }
}

static void all_kinds_of_entries_are_read(void **state) {
  HfSafetensors *file = open_corpus("good_mixed");
  assert_int_equal(file->count, 9);
  HfTensor *a = load(file, "a"), *b = load(file, "b"), *empty = load(file, "e1"), *scalar = load(file, "s"), *mask = load(file, "m");
  assert_memory_equal(hf_tensor_data(a), ((float[]){1, 2, 3, 4}), 16);
  assert_memory_equal(hf_tensor_data(b), ((int64_t[]){7, -7}), 16);
  assert_int_equal(hf_tensor_numel(empty), 0);
  assert_int_equal(scalar->ndim, 0);
  assert_memory_equal(hf_tensor_data(mask), "\0\1\1", 3);
  assert_null(hf_safetensors_find(file, "A"));
  HfTensor *all[] = {a, b, empty, scalar, mask};
  for (size_t i = 0; i < 5; i++) hf_tensor_release(all[i]);
  hf_safetensors_close(file);
}

static void types_without_tensors_are_listed_only(void **state) {
  HfError err;
  HfSafetensors *file = open_corpus("good_mixed");
  assert_string_equal(hf_safetensors_find(file, "x")->type->name, "F64");
  assert_null(hf_safetensors_tensor(file, hf_safetensors_find(file, "x"), &err));
  assert_string_equal(err.message, "fuzz/corpus/fuzz_safetensors/good_mixed.safetensors: tensor \"x\": dtype: F64 cannot be computed with; convert the file to F32, F16, BF16, I64, I32, U8 or BOOL");
  hf_safetensors_close(file);
}

static void metadata_and_other_fields(void **state) {
  HfSafetensors *file = open_corpus("good_metadata");
  assert_int_equal(file->metadata_count, 2);
  assert_string_equal(file->metadata[1].name, "é");
  hf_safetensors_close(file);
  hf_safetensors_close(open_corpus("good_none"));
  hf_safetensors_close(open_corpus("good_space_around"));
  hf_safetensors_close(open_corpus("good_extra_fields"));
}

static void a_tensor_outlives_its_file_and_never_changes_it(void **state) {
  HfSafetensors *file = open_corpus("good_metadata");
  HfTensor *t = load(file, "a");
  hf_safetensors_close(file);
  ((float *)hf_tensor_data(t))[0] = 99;
  file = open_corpus("good_metadata");
  HfTensor *again = load(file, "a");
  assert_true(((float *)hf_tensor_data(again))[0] == 1.5f && ((float *)hf_tensor_data(t))[0] == 99);
  hf_tensor_release(t);
  hf_tensor_release(again);
  hf_safetensors_close(file);
  assert_int_equal(hf_storage_count(), 0);
}

static void data_that_is_not_aligned_is_copied(void **state) {
  HfSafetensors *file = open_corpus("good_unaligned");
  HfTensor *t = load(file, "a");
  assert_int_equal((uintptr_t)hf_tensor_data(t) % sizeof(float), 0);
  assert_true(*(float *)hf_tensor_data(t) == 2.5f);
  hf_tensor_release(t);
  hf_safetensors_close(file);
}

/* ---- saving */

static HfTensor *tensors_to_save[3];
static const char *const names_to_save[] = {"z.half", "b", "a \"q\""};

static int make_tensors(void **state) {
  HfError err;
  tensors_to_save[0] = hf_tensor_from(HF_FLOAT16, 1, (int64_t[]){3}, "abcdef", hf_device_cpu(), &err);
  tensors_to_save[1] = hf_tensor_from(HF_FLOAT32, 2, (int64_t[]){1, 2}, (float[]){1, 2}, hf_device_cpu(), &err);
  tensors_to_save[2] = hf_tensor_from(HF_FLOAT32, 1, (int64_t[]){0}, "", hf_device_cpu(), &err);
  return 0;
}

static int release_tensors(void **state) {
  for (size_t i = 0; i < 3; i++) hf_tensor_release(tensors_to_save[i]);
  return 0;
}

static bool save(const char *path, HfError *err) {
  const HfSafetensorsPair metadata = {"format", "pt"};
  return hf_safetensors_save(path, names_to_save, tensors_to_save, 3, &metadata, 1, err);
}

static void a_saved_file_has_the_published_form(void **state) {
  static const char expected[] =
      "{\"__metadata__\":{\"format\":\"pt\"},\"a \\\"q\\\"\":{\"dtype\":\"F32\",\"shape\":[0],\"data_offsets\":[0,0]},"
      "\"b\":{\"dtype\":\"F32\",\"shape\":[1,2],\"data_offsets\":[0,8]},\"z.half\":{\"dtype\":\"F16\",\"shape\":[3],\"data_offsets\":[8,14]}}";
  HfError err;
  HfBuffer bytes = {0};
  char path[] = "/tmp/hflua_test_XXXXXX";
  close(mkstemp(path));
  if (!save(path, &err)) fail_msg("%s", err.message);
  assert_true(hf_file_read(path, &bytes, &err));
  uint64_t length = 0;
  memcpy(&length, bytes.data, 8);
  assert_int_equal(length % 8, 0);
  assert_memory_equal(bytes.data + 8, expected, sizeof expected - 1);
  for (size_t i = 8 + sizeof expected - 1; i < 8 + length; i++) assert_int_equal(bytes.data[i], ' ');
  assert_int_equal(bytes.size, 8 + length + 14);
  assert_memory_equal(bytes.data + 8 + length + 8, "abcdef", 6);
  hf_buffer_free(&bytes);
  unlink(path);
}

static void failed_saves_leave_the_old_file(void **state) {
  HfError err;
  char folder[] = "/tmp/hflua_test_XXXXXX", path[64];
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/model.safetensors", folder);
  assert_true(hf_file_write(path, "old", 3, &err));
  bool done = false;
  for (long n = 1; !done; n++) {
    HfBuffer bytes = {0};
    HfNameList list = {0};
    hf_memory_fail_at(n);
    done = save(path, &err);
    hf_memory_fail_at(0);
    assert_true(hf_file_read(path, &bytes, NULL) && hf_folder_list(folder, &list, NULL));
    if (!done) assert_true(err.out_of_memory && bytes.size == 3);
    assert_int_equal(list.count, 1);
    hf_buffer_free(&bytes);
    hf_name_list_free(&list);
  }
  assert_true(hf_folder_remove(folder, &err));
}

static void every_allocation_of_a_load_may_fail(void **state) {
  bool done = false;
  for (long n = 1; !done; n++) {
    HfError err;
    hf_memory_fail_at(n);
    HfSafetensors *file = hf_safetensors_open(corpus_path("good_mixed"), &err);
    HfTensor *t = file ? hf_safetensors_tensor(file, hf_safetensors_find(file, "a"), &err) : NULL;
    hf_memory_fail_at(0);
    done = t != NULL;
    if (!done) assert_true(err.out_of_memory);
    hf_tensor_release(t);
    hf_safetensors_close(file);
  }
  assert_int_equal(hf_storage_count(), 3); /* of tensors_to_save */
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(malformed_files_are_refused),
    cmocka_unit_test(all_kinds_of_entries_are_read),
    cmocka_unit_test(types_without_tensors_are_listed_only),
    cmocka_unit_test(metadata_and_other_fields),
    cmocka_unit_test(a_tensor_outlives_its_file_and_never_changes_it),
    cmocka_unit_test(data_that_is_not_aligned_is_copied),
    cmocka_unit_test_setup_teardown(a_saved_file_has_the_published_form, make_tensors, release_tensors),
    cmocka_unit_test_setup_teardown(failed_saves_leave_the_old_file, make_tensors, release_tensors),
    cmocka_unit_test_setup_teardown(every_allocation_of_a_load_may_fail, make_tensors, release_tensors),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
