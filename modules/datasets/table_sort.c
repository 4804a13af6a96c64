/* Sorting the rows of a table by one or more columns: a stable merge sort of row numbers. */
#include <math.h>
#include <string.h>
#include "table.h"

typedef struct Sorter {
  const HfTable *table;
  const HfSortKey *keys;
  int count;
  bool nulls_first;
} Sorter;

/* 0 for a value, 1 for NaN, 2 for null: these come behind the values in this order, whatever the direction. */
static int absence(const HfColumn *c, int64_t row) {
  if (hf_column_is_null(c, row)) return 2;
  return hf_column_type_is_float(c->type) && isnan(hf_column_number(c, row));
}

static int compare_text(const HfColumn *c, int64_t a, int64_t b) {
  size_t a_size, b_size;
  const char *a_text = hf_column_text(c, a, &a_size), *b_text = hf_column_text(c, b, &b_size);
  int order = memcmp(a_text, b_text, a_size < b_size ? a_size : b_size);
  return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_values(const HfColumn *c, int64_t a, int64_t b) {
  if (c->type == HF_COLUMN_STRING) return compare_text(c, a, b);
  if (hf_column_type_is_float(c->type)) {
    double x = hf_column_number(c, a), y = hf_column_number(c, b);
    return (x > y) - (x < y);
  }
  int64_t x = hf_column_int(c, a), y = hf_column_int(c, b);
  return (x > y) - (x < y);
}

static int compare_rows(const Sorter *s, int64_t a, int64_t b) {
  for (int i = 0; i < s->count; i++) {
    const HfField *field = &s->table->fields[s->keys[i].field];
    int64_t x = hf_field_row(field, a), y = hf_field_row(field, b);
    int order = absence(field->column, x) - absence(field->column, y);
    if (order && s->nulls_first) order = -order;
    if (!order && !absence(field->column, x)) {
      order = compare_values(field->column, x, y);
      if (s->keys[i].descending) order = -order;
    }
    if (order) return order;
  }
  return 0;
}

/* Sorts at[0..count) with scratch[0..count). */
static void merge_sort(const Sorter *s, int64_t *at, int64_t *scratch, int64_t count) {
  if (count < 2) return;
  int64_t half = count / 2;
  merge_sort(s, at, scratch, half);
  merge_sort(s, at + half, scratch, count - half);
  memcpy(scratch, at, (size_t)half * sizeof *at);
  int64_t left = 0, right = half, out = 0;
  while (left < half && right < count)
    at[out++] = compare_rows(s, scratch[left], at[right]) <= 0 ? scratch[left++] : at[right++];
  while (left < half) at[out++] = scratch[left++];
}

static bool check_keys(const Sorter *s, HfError *err) {
  for (int i = 0; i < s->count; i++) {
    const HfField *field = &s->table->fields[s->keys[i].field];
    if (field->column->type == HF_COLUMN_LIST || field->column->type == HF_COLUMN_STRUCT)
      return hf_error_set(err, "column '%s' cannot be sorted by: its values are %ss", field->name,
                          hf_column_type_name(field->column->type));
  }
  return true;
}

bool hf_table_sort(const HfTable *table, const HfSortKey *keys, int count, bool nulls_first, int64_t **out, HfError *err) {
  Sorter sorter = {table, keys, count, nulls_first};
  size_t bytes = (size_t)table->length * sizeof **out;
  if (!check_keys(&sorter, err)) return false;
  int64_t *at = hf_malloc(bytes, "sorted row numbers", err);
  int64_t *scratch = at ? hf_malloc(bytes, "sorting", err) : NULL;
  if (!scratch) {
    hf_free(at);
    return false;
  }
  for (int64_t i = 0; i < table->length; i++) at[i] = i;
  merge_sort(&sorter, at, scratch, table->length);
  hf_free(scratch);
  *out = at;
  return true;
}
