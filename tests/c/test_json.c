/* JSON: every malformed document of the fuzz corpus gives its exact error; well-formed ones give exact values; every
 * allocation may fail. Runs in tests/. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "file.h"
#include "json.h"
#include "json_scan.h"

static const struct { const char *name, *error; } malformed[] = {
  {"bare_point", "x: line 1, column 2: expected a value or ']', found '.5'"},
  {"byte_order_mark", "x: line 1, column 1: expected a value, found a byte order mark (save it as UTF-8 without one)"},
  {"capital_true", "x: line 1, column 2: expected a value or ']', found 'True'"},
  {"comment", "x: line 1, column 5: expected nothing after the value, found '//'"},
  {"cut_word", "x: line 1, column 2: expected a value or ']', found 'nul'"},
  {"duplicate_escaped_name", "x: line 1, column 8: duplicate name \"a\""},
  {"duplicate_in_large_object", "x: line 1, column 342: duplicate name \"k7\""},
  {"duplicate_name", "x: line 1, column 14: duplicate name \"a\""},
  {"empty", "x: line 1, column 1: expected a value, found the end of the text"},
  {"empty_exponent", "x: line 1, column 4: expected a digit in the exponent, found ']'"},
  {"escape_at_end", "x: line 1, column 2: a string that begins here does not end"},
  {"hexadecimal", "x: line 1, column 3: expected ',' or ']', found 'x10'"},
  {"high_surrogate_pair_of_highs", "x: line 1, column 3: lone surrogate \\ud800"},
  {"infinity", "x: line 1, column 3: expected a digit, found 'Infinity'"},
  {"leading_zero", "x: line 1, column 2: a number may not begin with 0 before another digit"},
  {"lone_high_surrogate", "x: line 1, column 3: lone surrogate \\ud800"},
  {"lone_low_surrogate", "x: line 1, column 3: lone surrogate \\udc00"},
  {"minus_leading_zero", "x: line 1, column 3: a number may not begin with 0 before another digit"},
  {"missing_colon", "x: line 1, column 6: expected ':' after the name, found '1'"},
  {"missing_comma", "x: line 1, column 4: expected ',' or ']', found '2'"},
  {"missing_value", "x: line 1, column 6: expected a value, found '}'"},
  {"nan", "x: line 1, column 2: expected a value or ']', found 'NaN'"},
  {"nested_100000", "x: line 1, column 129: nested more than 128 deep"},
  {"nested_129", "x: line 1, column 129: nested more than 128 deep"},
  {"nul_after", "x: line 1, column 3: expected nothing after the value, found '\\x00'"},
  {"nul_in_name", "x: line 1, column 2: \\u0000 in a name"},
  {"nul_in_string", "x: line 1, column 2: \\u0000 in a string is not supported here"},
  {"number_out_of_range", "x: line 1, column 2: number out of range: 1e999"},
  {"only_space", "x: line 2, column 2: expected a value, found the end of the text"},
  {"open_array", "x: line 1, column 7: expected ',' or ']', found the end of the text"},
  {"open_object", "x: line 1, column 13: expected ',' or '}', found the end of the text"},
  {"open_string", "x: line 1, column 7: a string that begins here does not end"},
  {"overlong_utf8", "x: line 1, column 3: invalid UTF-8: byte 0xc0"},
  {"plus", "x: line 1, column 2: expected a value or ']', found '+1'"},
  {"point_at_end", "x: line 1, column 4: expected a digit after the decimal point, found ']'"},
  {"raw_newline", "x: line 1, column 4: raw control byte 0x0a in a string (write \\u000a)"},
  {"raw_nul", "x: line 1, column 4: raw control byte 0x00 in a string (write \\u0000)"},
  {"short_unicode_escape", "x: line 1, column 3: expected four hexadecimal digits after \\u"},
  {"single_quotes", "x: line 1, column 2: expected a value or ']', found ''a''"},
  {"text_after", "x: line 1, column 4: expected nothing after the value, found '{'"},
  {"trailing_comma_array", "x: line 1, column 4: expected a value, found ']'"},
  {"trailing_comma_object", "x: line 1, column 8: expected a name in quotes, found '}'"},
  {"unknown_escape", "x: line 1, column 3: unknown escape '\\x'"},
  {"unquoted_name", "x: line 1, column 2: expected a name in quotes or '}', found 'a'"},
  {"utf16", "x: line 1, column 1: expected a value, found byte 0xff"},
  {"utf8_above_10ffff", "x: line 1, column 3: invalid UTF-8: byte 0xf4"},
  {"utf8_cut", "x: line 1, column 3: invalid UTF-8: byte 0xe2"},
  {"utf8_surrogate", "x: line 1, column 3: invalid UTF-8: byte 0xed"},
  {"vertical_tab", "x: line 1, column 2: expected a value or ']', found '\\x0b1'"},
  {"wrong_close", "x: line 1, column 3: expected ',' or ']', found '}'"},
};

static HfBuffer corpus_file(const char *kind, const char *name) {
  char path[256];
  HfError err;
  HfBuffer text = {0};
  snprintf(path, sizeof path, "fuzz/corpus/fuzz_json/%s_%s.json", kind, name);
  if (!hf_file_read(path, &text, &err)) fail_msg("%s", err.message);
  return text;
}

static cJSON *parse_corpus(const char *name) {
  HfError err;
  HfBuffer text = corpus_file("good", name);
  cJSON *root = hf_json_parse(text.data, text.size, name, &err);
  if (!root) fail_msg("%s", err.message);
  hf_buffer_free(&text);
  return root;
}

static void malformed_documents_are_refused(void **state) {
  for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
    HfError err;
    HfBuffer text = corpus_file("bad", malformed[i].name);
    assert_null(hf_json_parse(text.data, text.size, "x", &err));
    if (strcmp(err.message, malformed[i].error)) fail_msg("%s:\n  expected %s\n  found    %s", malformed[i].name, malformed[i].error, err.message);
    hf_buffer_free(&text);
  }
}

static void integers_are_exact(void **state) {
  cJSON *root = parse_corpus("numbers");
  static const char *const expected[] = {"0", "0", "1", "-1", "9223372036854775807", "-9223372036854775808", NULL, NULL, "9007199254740993", NULL};
  const cJSON *item = root->child;
  for (size_t i = 0; i < 10; i++, item = item->next) {
    int64_t value;
    char found[32];
    assert_int_equal(hf_json_integer(item, &value), expected[i] != NULL);
    if (!expected[i]) continue;
    snprintf(found, sizeof found, "%lld", (long long)value);
    assert_string_equal(found, expected[i]);
  }
  uint64_t unsigned_value;
  item = cJSON_GetArrayItem(root, 6);
  assert_true(hf_json_unsigned(item, &unsigned_value));
  assert_true(unsigned_value == UINT64_MAX);
  assert_false(hf_json_unsigned(item->next, &unsigned_value));
  assert_false(hf_json_unsigned(cJSON_GetArrayItem(root, 3), &unsigned_value));
  cJSON_Delete(root);
}

static void strings_are_unescaped(void **state) {
  cJSON *root = parse_corpus("strings");
  assert_string_equal(cJSON_GetArrayItem(root, 1)->valuestring, "\"\\/\b\f\n\r\t");
  assert_string_equal(cJSON_GetArrayItem(root, 2)->valuestring, "éé");
  assert_string_equal(cJSON_GetArrayItem(root, 3)->valuestring, "😀😀");
  cJSON_Delete(root);
}

static void depth_128_is_read(void **state) { cJSON_Delete(parse_corpus("nested_128")); }

static void fields_are_checked(void **state) {
  cJSON *root = parse_corpus("config");
  HfError err;
  int64_t size = 7, absent = 7;
  double eps;
  bool flag;
  const char *type;
  const cJSON *labels;
  assert_true(hf_json_get_integer(root, "hidden_size", 1, INT32_MAX, &size, "c", &err));
  assert_int_equal(size, 32);
  assert_true(hf_json_get_integer(root, "pad", 0, 9, &absent, "c", &err) && hf_json_get_integer(root, "none", 0, 9, &absent, "c", &err));
  assert_int_equal(absent, 7);
  assert_true(hf_json_get_number(root, "layer_norm_eps", 0, 1, &eps, "c", &err) && eps == 1e-12);
  assert_true(hf_json_get_boolean(root, "tie", &flag, "c", &err) && flag);
  assert_true(hf_json_get_string(root, "model_type", &type, "c", &err));
  assert_string_equal(type, "bert");
  assert_true(hf_json_get_object(root, "id2label", &labels, "c", &err));
  assert_string_equal(labels->child->string, "0");
  cJSON_Delete(root);
}

static void wrong_fields_are_named(void **state) {
  cJSON *root = parse_corpus("config");
  HfError err;
  int64_t size;
  double eps;
  const char *text;
  const cJSON *array;
  assert_false(hf_json_get_integer(root, "layer_norm_eps", 1, 9, &size, "c.json", &err));
  assert_string_equal(err.message, "c.json: field \"layer_norm_eps\": expected a whole number from 1 to 9, found number 9.9999999999999998e-13");
  assert_false(hf_json_get_integer(root, "hidden_size", 1, 9, &size, "c.json", &err));
  assert_string_equal(err.message, "c.json: field \"hidden_size\": expected a whole number from 1 to 9, found whole number 32");
  assert_false(hf_json_get_number(root, "model_type", 0, 1, &eps, "c.json", &err));
  assert_string_equal(err.message, "c.json: field \"model_type\": expected a number from 0 to 1, found string \"bert\"");
  assert_false(hf_json_get_string(root, "tie", &text, "c.json", &err));
  assert_string_equal(err.message, "c.json: field \"tie\": expected a string, found true");
  assert_false(hf_json_get_array(root, "id2label", &array, "c.json", &err));
  assert_string_equal(err.message, "c.json: field \"id2label\": expected an array, found object");
  assert_null(hf_json_require(root, "Hidden_Size", "c.json", &err));
  assert_string_equal(err.message, "c.json: field \"Hidden_Size\" is missing");
  cJSON_Delete(root);
}

static void scanner_gives_strings_with_nul(void **state) {
  HfJsonScanner scanner;
  HfError err;
  hf_json_scan(&scanner, "[\"a\\u0000b\", 3]", 15, "x");
  assert_int_equal(hf_json_next(&scanner, &err), HF_JSON_ARRAY);
  assert_int_equal(hf_json_next(&scanner, &err), HF_JSON_STRING);
  assert_int_equal(scanner.string_size, 3);
  assert_memory_equal(scanner.string, "a\0b", 3);
  assert_int_equal(hf_json_next(&scanner, &err), HF_JSON_INTEGER);
  assert_int_equal(hf_json_next(&scanner, &err), HF_JSON_ARRAY_END);
  assert_int_equal(hf_json_next(&scanner, &err), HF_JSON_END);
  hf_json_scan_end(&scanner);
}

/* Every allocation in turn: an error that says so, nothing leaked (the address sanitizer looks). */
static void every_allocation_may_fail(void **state) {
  HfBuffer text = corpus_file("good", "vocabulary");
  cJSON *root = NULL;
  for (long n = 1; !root; n++) {
    HfError err;
    hf_memory_fail_at(n);
    root = hf_json_parse(text.data, text.size, "x", &err);
    if (!root) assert_true(err.out_of_memory);
  }
  hf_memory_fail_at(0);
  cJSON_Delete(root);
  hf_buffer_free(&text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(malformed_documents_are_refused),
    cmocka_unit_test(integers_are_exact),
    cmocka_unit_test(strings_are_unescaped),
    cmocka_unit_test(depth_128_is_read),
    cmocka_unit_test(fields_are_checked),
    cmocka_unit_test(wrong_fields_are_named),
    cmocka_unit_test(scanner_gives_strings_with_nul),
    cmocka_unit_test(every_allocation_may_fail),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
