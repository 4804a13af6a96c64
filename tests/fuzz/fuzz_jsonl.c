/* JSON Lines and JSON arrays from anywhere: a table, or an error that names the place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "datasets/readers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err = {0};
  HfTable *table = hf_jsonl_parse((const char *)data, size, "fuzz", &err);
  if (!table) {
    if (!err.message[0]) abort();
    return 0;
  }
  HfTable *copy = hf_table_concat(&table, 1, &err);
  if (!copy || copy->length != table->length) abort();
  hf_table_release(copy);
  hf_table_release(table);
  return 0;
}
