/* Tables: named columns of one length. A table is immutable; choosing rows or columns makes another table that
 * shares the columns, each seen through a list of row numbers (or none: all rows in order).
 *
 *   HfTable *some = hf_table_select(table, (int64_t[]){4, 2}, 2, err);   // rows 4 and 2, counted from 0
 *   const HfField *field = hf_table_find(some, "label");
 *   int64_t label = hf_column_int(field->column, hf_field_row(field, 0));
 *   hf_table_release(some);
 */
#ifndef HF_TABLE_H
#define HF_TABLE_H
#include "builder.h"

/* Row numbers of a column, shared by the fields of a table. */
typedef struct HfRows {
  int64_t references, count;
  int64_t at[];
} HfRows;

typedef struct HfField {
  char *name;       /* owned */
  HfColumn *column; /* a reference */
  HfRows *rows;     /* a reference; NULL: row i of the table is row i of the column */
} HfField;

typedef struct HfTable {
  int64_t references, length;
  int count;
  HfField *fields; /* (count) */
} HfTable;

HfTable *hf_table_new(int64_t length, HfError *err); /* without columns */
void hf_table_retain(HfTable *table);
void hf_table_release(HfTable *table); /* NULL is fine */

/* Adds a field while a table is being made; `column` and `rows` are retained on success. */
bool hf_table_add(HfTable *table, const char *name, HfColumn *column, HfRows *rows, HfError *err);
const HfField *hf_table_find(const HfTable *table, const char *name); /* NULL: none */

/* The row of the column behind row `row` of the table. */
static inline int64_t hf_field_row(const HfField *field, int64_t row) { return field->rows ? field->rows->at[row] : row; }

/* ---- new tables; NULL with err set on failure */
/* The rows at[0..count), each 0 <= at < length; any order, repeats allowed. */
HfTable *hf_table_select(const HfTable *table, const int64_t *at, int64_t count, HfError *err);
/* The fields of these positions, in this order, under these names. */
HfTable *hf_table_pick(const HfTable *table, const int *fields, const char *const *names, int count, HfError *err);
/* The columns of `other`, which has as many rows, replace those of the same name or come behind. */
HfTable *hf_table_merge(const HfTable *table, const HfTable *other, HfError *err);
/* The rows of all tables, one after another; they have the same column names and types that go together. */
HfTable *hf_table_concat(HfTable *const *tables, int count, HfError *err);
/* The same rows as plain columns, without lists of row numbers. */
HfTable *hf_table_flatten(const HfTable *table, HfError *err);

/* ---- sorting (table_sort.c) */
typedef struct HfSortKey {
  int field;
  bool descending;
} HfSortKey;
/* Row numbers in order, ties as they were; nulls last (or first), NaN beside them. The caller frees `*out`. */
bool hf_table_sort(const HfTable *table, const HfSortKey *keys, int count, bool nulls_first, int64_t **out, HfError *err);

#endif
