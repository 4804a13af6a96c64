/* HfWriter: rows in, table out. */
#include "writer.h"
#include <string.h>

HfWriter *hf_writer_new(HfTable *old, HfError *err) {
  HfWriter *w = hf_calloc(sizeof *w, "table writer", err);
  if (w && old) hf_table_retain(w->old = old);
  return w;
}

void hf_writer_free(HfWriter *w) {
  if (!w) return;
  for (int i = 0; i < w->count; i++) {
    hf_free(w->names[i]);
    hf_builder_free(w->builders[i]);
  }
  hf_free(w->names);
  hf_free(w->builders);
  hf_table_release(w->old);
  hf_free(w);
}

/* The types HF stores these columns in. */
static HfColumnType int_type_of(const char *name) {
  if (!strcmp(name, "input_ids")) return HF_COLUMN_INT32;
  if (!strcmp(name, "attention_mask") || !strcmp(name, "token_type_ids") || !strcmp(name, "special_tokens_mask"))
    return HF_COLUMN_INT8;
  return HF_COLUMN_INT64;
}

bool hf_writer_add(HfWriter *w, const char *name, HfBuilder *b, HfError *err) {
  size_t slots = (size_t)w->count + 1;
  char **names = hf_realloc(w->names, slots * sizeof *names, "table writer", err);
  if (names) w->names = names;
  HfBuilder **builders = names ? hf_realloc(w->builders, slots * sizeof *builders, "table writer", err) : NULL;
  if (builders) w->builders = builders;
  char *copy = builders ? hf_strndup(name, strlen(name), err) : NULL;
  if (!copy) {
    hf_builder_free(b);
    return false;
  }
  names[w->count] = copy;
  builders[w->count++] = b;
  return true;
}

/* Brings the column to `rows` values. */
static bool fill(HfWriter *w, int column, int64_t rows, HfError *err) {
  HfBuilder *b = w->builders[column];
  const HfField *old = w->old ? hf_table_find(w->old, w->names[column]) : NULL;
  while (b->length < rows) {
    bool known = old && b->length < w->old->length;
    bool ok = known ? hf_builder_add_cell(b, old->column, hf_field_row(old, b->length), err) : hf_builder_add_null(b, err);
    if (!ok) return hf_error_prefix(err, "column '%s'", w->names[column]);
  }
  return true;
}

HfBuilder *hf_writer_column(HfWriter *w, const char *name, HfError *err) {
  for (int i = 0; i < w->count; i++)
    if (!strcmp(w->names[i], name)) return w->builders[i];
  HfBuilder *b = hf_builder_new(int_type_of(name), err);
  if (!b || !hf_writer_add(w, name, b, err) || !fill(w, w->count - 1, w->rows, err)) return NULL;
  return b;
}

bool hf_writer_end_rows(HfWriter *w, int64_t count, HfError *err) {
  for (int i = 0; i < w->count; i++) {
    HfBuilder *b = w->builders[i];
    if (b->length == w->rows && !fill(w, i, w->rows + count, err)) return false;
    if (b->length != w->rows + count)
      return hf_error_set(err, "column '%s': expected %lld values, found %lld", w->names[i], (long long)count,
                          (long long)(b->length - w->rows));
  }
  w->rows += count;
  return true;
}

HfTable *hf_writer_finish(HfWriter *w, HfError *err) {
  HfTable *table = hf_table_new(w->rows, err);
  bool ok = table;
  for (int i = 0; ok && i < w->count; i++) {
    HfColumn *column = hf_builder_finish(w->builders[i], err);
    ok = column && hf_table_add(table, w->names[i], column, NULL, err);
    hf_column_release(column);
  }
  w->rows = 0;
  if (ok) return table;
  hf_table_release(table);
  return NULL;
}
