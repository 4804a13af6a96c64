/* JSON documents as cJSON trees, made by the strict scanner, and typed reading of their fields.
 *
 *   cJSON *config = hf_json_parse_file("config.json", err);
 *   int64_t heads = 12;
 *   bool done = config && hf_json_get_integer(config, "num_attention_heads", 1, 1 << 20, &heads, "config.json", err);
 *   cJSON_Delete(config);
 *
 * Trees are walked by ->child and ->next; members are found by hf_json_find (case counts).
 */
#ifndef HF_JSON_H
#define HF_JSON_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/* Bit in cJSON.type: a number written without fraction and exponent. Its exact value is read by hf_json_integer. */
#define HF_JSON_WHOLE (1 << 10)

/* A whole document. `where` (a file, "file: line 3") begins every error message. Strings that hold U+0000 are refused, since
 * C readers would stop there; the scanner of json_scan.h gives them. Caller: cJSON_Delete. */
cJSON *hf_json_parse(const char *text, size_t size, const char *where, HfError *err);
/* Also names common wrong files (a Git LFS pointer, an HTML page ...). */
cJSON *hf_json_parse_file(const char *path, HfError *err);

/* The member of an object, NULL when it is absent or `object` is none. */
const cJSON *hf_json_find(const cJSON *object, const char *field);
/* "object", "array", "string", "whole number", "number", "true", "false", "null". */
const char *hf_json_kind(const cJSON *item);

/* The exact value; false for everything that is not a whole number in range. */
bool hf_json_integer(const cJSON *item, int64_t *out);
bool hf_json_unsigned(const cJSON *item, uint64_t *out);

/* ---- fields with their type and range checked. An absent or null field leaves *out as it was and is fine. Errors read
 * "WHERE: field "NAME": expected ..., found ...". What *out points at is borrowed from the tree. */
bool hf_json_get_integer(const cJSON *object, const char *field, int64_t min, int64_t max, int64_t *out, const char *where, HfError *err);
bool hf_json_get_number(const cJSON *object, const char *field, double min, double max, double *out, const char *where, HfError *err);
bool hf_json_get_boolean(const cJSON *object, const char *field, bool *out, const char *where, HfError *err);
bool hf_json_get_string(const cJSON *object, const char *field, const char **out, const char *where, HfError *err);
bool hf_json_get_object(const cJSON *object, const char *field, const cJSON **out, const char *where, HfError *err);
bool hf_json_get_array(const cJSON *object, const char *field, const cJSON **out, const char *where, HfError *err);
/* The field itself, or NULL with the error that it is missing. */
const cJSON *hf_json_require(const cJSON *object, const char *field, const char *where, HfError *err);
/* "WHERE: field "NAME": expected EXPECTED, found KIND"; always false. */
bool hf_json_mismatch(const cJSON *item, const char *field, const char *expected, const char *where, HfError *err);

#endif
