/* Parquet files from anywhere: a table whose columns all have every row, or an error. */
#include <stdint.h>
#include <stdlib.h>
#include "datasets/parquet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err = {0};
  HfBuffer features = {0};
  HfTable *table = hf_parquet_parse(data, size, "fuzz", &(HfParquetOptions){.page_limit = 1 << 16}, &features, &err);
  if (!table && !err.message[0]) abort();
  for (int i = 0; table && i < table->count; i++)
    if (table->fields[i].column->length != table->length) abort();
  HfTable *copy = table ? hf_table_concat(&table, 1, &err) : NULL; /* every cell is read */
  if (table && (!copy || copy->length != table->length)) abort();
  hf_table_release(copy);
  hf_table_release(table);
  hf_buffer_free(&features);
  return 0;
}
