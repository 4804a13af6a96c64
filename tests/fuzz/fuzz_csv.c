/* CSV and plain lines from anywhere, under several options: a table whose rows all have every column, or an error. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "datasets/readers.h"

/* Every cell is read: sanitizers see values outside the file. */
static void walk(HfTable *table, const HfError *err) {
  if (!table) {
    if (!err->message[0]) abort();
    return;
  }
  for (int i = 0; i < table->count; i++)
    if (table->fields[i].column->length != table->length) abort();
  HfError ignored;
  HfTable *copy = hf_table_concat(&table, 1, &ignored);
  if (!copy || copy->length != table->length) abort();
  hf_table_release(copy);
  hf_table_release(table);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  const char *text = (const char *)data;
  HfError err = {0};
  HfCsvOptions options = HF_CSV_DEFAULTS;
  walk(hf_csv_parse(text, size, "fuzz", &options, &err), &err);
  options = (HfCsvOptions){.delimiter = '\t', .header = false, .skip_rows = 1};
  walk(hf_csv_parse(text, size, "fuzz", &options, &err), &err);
  options = (HfCsvOptions){.delimiter = ';', .quote = '\'', .names = (const char *const[]){"a", "b"}, .name_count = 2, .infer = true};
  walk(hf_csv_parse(text, size, "fuzz", &options, &err), &err);
  walk(hf_lines_parse(text, size, "fuzz", false, &err), &err);
  walk(hf_lines_parse(text, size, "fuzz", true, &err), &err);
  return 0;
}
