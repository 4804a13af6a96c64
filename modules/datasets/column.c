/* HfColumn: making, sharing and reading typed columns. */
#include "column.h"
#include <stdlib.h>
#include <string.h>
#include "utf8.h"

static const struct {
  const char *name;
  size_t size;
} types[HF_COLUMN_TYPE_COUNT] = {
    [HF_COLUMN_NULL] = {"null", 0},       [HF_COLUMN_BOOL] = {"bool", 1},       [HF_COLUMN_INT8] = {"int8", 1},
    [HF_COLUMN_INT16] = {"int16", 2},     [HF_COLUMN_INT32] = {"int32", 4},     [HF_COLUMN_INT64] = {"int64", 8},
    [HF_COLUMN_UINT8] = {"uint8", 1},     [HF_COLUMN_FLOAT32] = {"float32", 4}, [HF_COLUMN_FLOAT64] = {"float64", 8},
    [HF_COLUMN_STRING] = {"string", 0},   [HF_COLUMN_LIST] = {"list", 0},       [HF_COLUMN_STRUCT] = {"struct", 0},
};

const char *hf_column_type_name(HfColumnType type) { return types[type].name; }
size_t hf_column_type_size(HfColumnType type) { return types[type].size; }

bool hf_column_type_find(const char *name, HfColumnType *out) {
  for (int type = 0; type < HF_COLUMN_TYPE_COUNT; type++) {
    if (strcmp(types[type].name, name)) continue;
    *out = (HfColumnType)type;
    return true;
  }
  return false;
}

HfColumn *hf_column_new(HfColumnType type, int64_t length, int child_count, HfError *err) {
  HfColumn *c = hf_calloc(sizeof *c, "column", err);
  if (!c) return NULL;
  *c = (HfColumn){.references = 1, .type = type, .length = length, .child_count = child_count};
  size_t slots = (size_t)child_count;
  c->children = hf_calloc(slots * sizeof *c->children, "column", err);
  c->names = c->children ? hf_calloc(slots * sizeof *c->names, "column", err) : NULL;
  if (c->names) return c;
  hf_free(c->children);
  hf_free(c);
  return NULL;
}

void hf_column_retain(HfColumn *column) { column->references++; }

void hf_column_release(HfColumn *c) {
  if (!c || --c->references) return;
  for (int i = 0; i < c->child_count; i++) {
    hf_column_release(c->children[i]);
    hf_free(c->names[i]);
  }
  hf_free(c->children);
  hf_free(c->names);
  if (c->mapping) {
    hf_mapping_release(c->mapping);
  } else {
    hf_free((void *)c->valid);
    hf_free((void *)c->values);
    hf_free((void *)c->offsets);
  }
  hf_free(c);
}

static int compare_names(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

const char *hf_column_name_twice(const char **names, int count) {
  if (count) qsort(names, (size_t)count, sizeof *names, compare_names);
  for (int i = 1; i < count; i++)
    if (!strcmp(names[i - 1], names[i])) return names[i];
  return NULL;
}

bool hf_column_describe(const HfColumn *c, HfBuffer *out, HfError *err) {
  if (!hf_buffer_format(out, err, "%s", hf_column_type_name(c->type))) return false;
  if (c->child_count == 0) return true;
  for (int i = 0; i < c->child_count; i++) {
    if (!hf_buffer_format(out, err, "%s", i ? ", " : "<")) return false;
    if (c->names[i] && !hf_buffer_format(out, err, "%s: ", c->names[i])) return false;
    if (!hf_column_describe(c->children[i], out, err)) return false;
  }
  return hf_buffer_append(out, ">", 1, err);
}

/* The texts of a STRING column in a row are UTF-8, and none begins inside of a character. */
static bool are_texts_utf8(const HfColumn *c) {
  const char *text = c->values;
  size_t at = (size_t)c->offsets[0], end = (size_t)c->offsets[c->length];
  while (at < end) {
    uint64_t word = 0;
    if (end - at >= 8) memcpy(&word, text + at, 8);
    bool ascii = end - at >= 8 && !(word & 0x8080808080808080);
    size_t length = ascii ? 8 : hf_utf8_length(text + at, end - at);
    if (!length) return false;
    at += length;
  }
  for (int64_t row = 0; row < c->length; row++)
    if ((size_t)c->offsets[row] < end && (text[c->offsets[row]] & 0xC0) == 0x80) return false;
  return true;
}

bool hf_column_is_utf8(const HfColumn *c) {
  for (int i = 0; i < c->child_count; i++)
    if (!hf_column_is_utf8(c->children[i])) return false;
  return c->type != HF_COLUMN_STRING || are_texts_utf8(c);
}

int64_t hf_column_int(const HfColumn *c, int64_t row) {
  switch (c->type) {
  case HF_COLUMN_BOOL:
  case HF_COLUMN_UINT8: return ((const uint8_t *)c->values)[row];
  case HF_COLUMN_INT8: return ((const int8_t *)c->values)[row];
  case HF_COLUMN_INT16: return ((const int16_t *)c->values)[row];
  case HF_COLUMN_INT32: return ((const int32_t *)c->values)[row];
  case HF_COLUMN_INT64: return ((const int64_t *)c->values)[row];
  default: return 0;
  }
}

double hf_column_number(const HfColumn *c, int64_t row) {
  if (c->type == HF_COLUMN_FLOAT64) return ((const double *)c->values)[row];
  if (c->type == HF_COLUMN_FLOAT32) return ((const float *)c->values)[row];
  return (double)hf_column_int(c, row);
}
