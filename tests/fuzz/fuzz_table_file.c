/* Our own table files with any bytes in them. The check sum is made right first, so that what stands behind it is tried. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "datasets/hash.h"
#include "datasets/table_file.h"

static void correct_sum(unsigned char *bytes, size_t size) {
  HfHash hash;
  hf_hash_begin(&hash);
  hf_hash_add(&hash, bytes, size - 16);
  uint64_t sum = hf_hash_end(&hash);
  memcpy(bytes + size - 16, &sum, sizeof sum);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err = {0};
  size_t room = (size + 63) / 64 * 64 + 64; /* blocks lie at multiples of 64 of an aligned mapping */
  unsigned char *bytes = aligned_alloc(64, room);
  if (!bytes) return 0;
  memcpy(bytes, data, size);
  if (size >= 16) correct_sum(bytes, size);
  HfMapping mapping = {.references = 1, .data = bytes, .size = size}; /* its own reference is never dropped */
  HfTable *table = hf_table_open(&mapping, "fuzz", &err);
  if (!table && !err.message[0]) abort();
  HfTable *copy = table ? hf_table_concat(&table, 1, &err) : NULL;
  hf_table_release(copy);
  hf_table_release(table);
  if (mapping.references != 1) abort();
  free(bytes);
  return 0;
}
