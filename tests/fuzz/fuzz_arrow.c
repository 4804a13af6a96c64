/* Arrow streams and files from anywhere: a table whose columns all have every row, or an error. */
#include <stdint.h>
#include "check_table.h"
#include "datasets/arrow.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err = {0};
  HfBuffer features = {0};
  check_table(hf_arrow_parse(data, size, "fuzz", 1 << 16, &features, &err), &err);
  hf_buffer_free(&features);
  return 0;
}
