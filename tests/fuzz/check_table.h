/* What every reader of tables owes a fuzzer: a table whose columns all have every row, or an error. */
#ifndef CHECK_TABLE_H
#define CHECK_TABLE_H
#include <stdlib.h>
#include "datasets/table.h"

/* Takes the table (NULL: the reader failed with err). */
static inline void check_table(HfTable *table, HfError *err) {
  if (!table && !err->message[0]) abort();
  for (int i = 0; table && i < table->count; i++)
    if (table->fields[i].column->length != table->length) abort();
  HfTable *copy = table ? hf_table_concat(&table, 1, err) : NULL; /* every cell is read */
  if (table && (!copy || copy->length != table->length)) abort();
  hf_table_release(copy);
  hf_table_release(table);
}

#endif
