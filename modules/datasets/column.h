/* Columns of a dataset: immutable typed values with nulls, shared by reference count, in memory of their own or in
 * a mapped file.
 *
 *   if (hf_column_is_null(c, row)) ...
 *   size_t size;
 *   const char *text = hf_column_text(c, row, &size);   // STRING; borrowed from the column
 *
 * Rows count from 0 here. A LIST keeps the items of all rows in one child; a STRUCT has one child for each field.
 */
#ifndef HF_COLUMN_H
#define HF_COLUMN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "file.h"
#include "memory.h"

typedef enum HfColumnType {
  HF_COLUMN_NULL, /* nothing but nulls so far */
  HF_COLUMN_BOOL,
  HF_COLUMN_INT8,
  HF_COLUMN_INT16,
  HF_COLUMN_INT32,
  HF_COLUMN_INT64,
  HF_COLUMN_UINT8,
  HF_COLUMN_FLOAT32,
  HF_COLUMN_FLOAT64,
  HF_COLUMN_STRING, /* UTF-8 when it was read as text from a file; any bytes when it came from Lua or as binary */
  HF_COLUMN_LIST,
  HF_COLUMN_STRUCT,
  HF_COLUMN_TYPE_COUNT
} HfColumnType;

#define HF_COLUMN_MAX_DEPTH 64 /* lists in lists in structs ... */

typedef struct HfColumn {
  int64_t references;
  HfColumnType type;
  int64_t length;
  const uint8_t *valid;   /* (length) 1, or 0 for a null; NULL when there are no nulls */
  const void *values;     /* (length) numbers or bools; STRING: the bytes of all rows */
  const int64_t *offsets; /* (length + 1) STRING: into values; LIST: rows of children[0] */
  int child_count;
  struct HfColumn **children; /* owned references */
  char **names;               /* STRUCT: (child_count), owned */
  HfMapping *mapping;         /* holds valid, values and offsets; NULL: they are hf_malloc's, and owned */
} HfColumn;

HfColumn *hf_column_new(HfColumnType type, int64_t length, int child_count, HfError *err);
void hf_column_retain(HfColumn *column);
void hf_column_release(HfColumn *column); /* NULL is fine */

const char *hf_column_type_name(HfColumnType type); /* "int64", "string", "list" ... */
bool hf_column_type_find(const char *name, HfColumnType *out);
size_t hf_column_type_size(HfColumnType type); /* bytes of a number or bool; 0 for the others */
static inline bool hf_column_type_is_int(HfColumnType t) { return t >= HF_COLUMN_INT8 && t <= HF_COLUMN_UINT8; }
static inline bool hf_column_type_is_float(HfColumnType t) { return t == HF_COLUMN_FLOAT32 || t == HF_COLUMN_FLOAT64; }

/* A name that stands among these twice, or NULL; sorts them. */
const char *hf_column_name_twice(const char **names, int count);

/* The type in words, "list<int32>"; appended to `out`. */
bool hf_column_describe(const HfColumn *column, HfBuffer *out, HfError *err);

/* The rows of several columns of one type, one after another (column_concat.c). False for columns that have to be joined value by
 * value: their types differ, or their blocks hold more than their rows. */
bool hf_column_can_concat(HfColumn *const *parts, int64_t count);
HfColumn *hf_column_concat(HfColumn *const *parts, int64_t count, HfError *err);

/* All texts in it and below are UTF-8. */
bool hf_column_is_utf8(const HfColumn *column);

static inline bool hf_column_is_null(const HfColumn *c, int64_t row) {
  return c->type == HF_COLUMN_NULL || (c->valid && !c->valid[row]);
}
int64_t hf_column_int(const HfColumn *column, int64_t row);   /* bool and whole number types */
double hf_column_number(const HfColumn *column, int64_t row); /* these and float32, float64 */
static inline const char *hf_column_text(const HfColumn *c, int64_t row, size_t *size) {
  *size = (size_t)(c->offsets[row + 1] - c->offsets[row]);
  return (const char *)c->values + c->offsets[row];
}

#endif
