/* HfTable: columns under names, chosen rows, and what combines tables. */
#include "table.h"
#include <string.h>

HfTable *hf_table_new(int64_t length, HfError *err) {
  HfTable *t = hf_calloc(sizeof *t, "table", err);
  if (t) *t = (HfTable){.references = 1, .length = length};
  return t;
}

void hf_table_retain(HfTable *table) { table->references++; }

static void rows_release(HfRows *rows) {
  if (rows && --rows->references == 0) hf_free(rows);
}

void hf_table_release(HfTable *t) {
  if (!t || --t->references) return;
  for (int i = 0; i < t->count; i++) {
    hf_free(t->fields[i].name);
    hf_column_release(t->fields[i].column);
    rows_release(t->fields[i].rows);
  }
  hf_free(t->fields);
  hf_free(t);
}

bool hf_table_add(HfTable *t, const char *name, HfColumn *column, HfRows *rows, HfError *err) {
  HfField *fields = hf_realloc(t->fields, ((size_t)t->count + 1) * sizeof *fields, "table", err);
  if (!fields) return false;
  t->fields = fields;
  char *copy = hf_strndup(name, strlen(name), err);
  if (!copy) return false;
  hf_column_retain(column);
  if (rows) rows->references++;
  fields[t->count++] = (HfField){copy, column, rows};
  return true;
}

const HfField *hf_table_find(const HfTable *t, const char *name) {
  for (int i = 0; i < t->count; i++)
    if (!strcmp(t->fields[i].name, name)) return &t->fields[i];
  return NULL;
}

/* Ends a function that makes a table: drops it unless everything went well. */
static HfTable *finished(HfTable *t, bool ok) {
  if (ok) return t;
  hf_table_release(t);
  return NULL;
}

/* The chosen rows seen through `before` (NULL: all rows). */
static HfRows *compose(const HfRows *before, const int64_t *at, int64_t count, HfError *err) {
  HfRows *rows = hf_malloc(sizeof *rows + (size_t)count * sizeof *at, "row numbers", err);
  if (!rows) return NULL;
  *rows = (HfRows){.references = 1, .count = count};
  for (int64_t i = 0; i < count; i++) rows->at[i] = before ? before->at[at[i]] : at[i];
  return rows;
}

HfTable *hf_table_select(const HfTable *t, const int64_t *at, int64_t count, HfError *err) {
  HfTable *out = hf_table_new(count, err);
  bool ok = out;
  for (int i = 0; ok && i < t->count; i++) {
    const HfField *field = &t->fields[i];
    int same = 0; /* the first field with the same row numbers: theirs are shared */
    while (t->fields[same].rows != field->rows) same++;
    HfRows *rows = same < i ? out->fields[same].rows : compose(field->rows, at, count, err);
    ok = rows && hf_table_add(out, field->name, field->column, rows, err);
    if (same == i) rows_release(rows);
  }
  return finished(out, ok);
}

HfTable *hf_table_pick(const HfTable *t, const int *fields, const char *const *names, int count, HfError *err) {
  HfTable *out = hf_table_new(t->length, err);
  bool ok = out;
  for (int i = 0; ok && i < count; i++) {
    const HfField *field = &t->fields[fields[i]];
    ok = hf_table_add(out, names[i], field->column, field->rows, err);
  }
  return finished(out, ok);
}

HfTable *hf_table_merge(const HfTable *t, const HfTable *other, HfError *err) {
  HfTable *out = hf_table_new(t->length, err);
  bool ok = out;
  for (int i = 0; ok && i < t->count; i++) {
    const HfField *newer = hf_table_find(other, t->fields[i].name);
    const HfField *field = newer ? newer : &t->fields[i];
    ok = hf_table_add(out, field->name, field->column, field->rows, err);
  }
  for (int i = 0; ok && i < other->count; i++) {
    const HfField *field = &other->fields[i];
    if (!hf_table_find(t, field->name)) ok = hf_table_add(out, field->name, field->column, field->rows, err);
  }
  return finished(out, ok);
}

/* Appends all rows of a field; an error names the row (counted from 1). */
static bool append_field(HfBuilder *b, const HfField *field, int64_t length, HfError *err) {
  for (int64_t row = 0; row < length; row++)
    if (!hf_builder_add_cell(b, field->column, hf_field_row(field, row), err))
      return hf_error_prefix(err, "column '%s': row %lld", field->name, (long long)row + 1);
  return true;
}

/* An empty builder that holds values of the column's type (so that columns of nulls and empty lists keep theirs). */
static HfBuilder *builder_like(const HfColumn *c, HfError *err) {
  HfBuilder *b = hf_builder_new_typed(c->type, err);
  if (!b) return NULL;
  b->fixed = false;
  for (int i = 0; i < c->child_count; i++) {
    HfBuilder *child = builder_like(c->children[i], err);
    if (child && hf_builder_adopt(b, c->names[i], child, err)) continue;
    hf_builder_free(b);
    return NULL;
  }
  return b;
}

/* The columns of all tables under one name when they can be joined block by block, else NULL with `*ok` still true. */
static HfColumn *concat_blocks(HfTable *const *tables, int count, const char *name, bool *ok, HfError *err) {
  HfColumn **parts = hf_malloc((size_t)count * sizeof *parts, "columns", err), *joined = NULL;
  bool plain = (*ok = parts);
  for (int i = 0; plain && i < count; i++) {
    const HfField *field = hf_table_find(tables[i], name);
    plain = field && !field->rows;
    if (plain) parts[i] = field->column;
  }
  if (plain && hf_column_can_concat(parts, count)) *ok = (joined = hf_column_concat(parts, count, err));
  hf_free(parts);
  return joined;
}

static bool concat_field(HfTable *out, HfTable *const *tables, int count, int index, HfError *err) {
  const HfField *first = &tables[0]->fields[index];
  bool made = true;
  HfColumn *joined = count > 1 ? concat_blocks(tables, count, first->name, &made, err) : NULL;
  if (joined) made = hf_table_add(out, first->name, joined, NULL, err);
  hf_column_release(joined);
  if (joined || !made) return made;
  HfBuilder *b = builder_like(first->column, err);
  bool ok = b;
  for (int i = 0; ok && i < count; i++) {
    const HfField *field = hf_table_find(tables[i], first->name);
    ok = field ? append_field(b, field, tables[i]->length, err)
               : hf_error_set(err, "table %d has no column '%s'", i + 1, first->name);
  }
  HfColumn *column = ok ? hf_builder_finish(b, err) : NULL;
  ok = column && hf_table_add(out, first->name, column, NULL, err);
  hf_column_release(column);
  hf_builder_free(b);
  return ok;
}

HfTable *hf_table_concat(HfTable *const *tables, int count, HfError *err) {
  int64_t length = 0;
  for (int i = 0; i < count; i++) length += tables[i]->length;
  HfTable *out = hf_table_new(length, err);
  bool ok = out;
  for (int i = 0; ok && i < count; i++)
    for (int f = 0; ok && f < tables[i]->count; f++)
      if (!hf_table_find(tables[0], tables[i]->fields[f].name))
        ok = hf_error_set(err, "table 1 has no column '%s', table %d has", tables[i]->fields[f].name, i + 1);
  for (int f = 0; ok && f < tables[0]->count; f++) ok = concat_field(out, tables, count, f, err);
  return finished(out, ok);
}

HfTable *hf_table_flatten(const HfTable *t, HfError *err) {
  HfTable *out = hf_table_new(t->length, err);
  bool ok = out;
  for (int i = 0; ok && i < t->count; i++) {
    HfTable *self = (HfTable *)t; /* only read */
    ok = t->fields[i].rows ? concat_field(out, &self, 1, i, err)
                           : hf_table_add(out, t->fields[i].name, t->fields[i].column, NULL, err);
  }
  return finished(out, ok);
}
