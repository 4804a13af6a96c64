/* safetensors headers from anywhere: what is accepted lies inside the bytes, without holes. */
#include <stdint.h>
#include <stdlib.h>
#include "safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err;
  HfSafetensors *file = hf_safetensors_parse((void *)(uintptr_t)data, size, "fuzz", &err);
  uint64_t end = 0;
  if (!file) return 0;
  for (size_t i = 0; i < file->count; i++) {
    const HfSafetensorsEntry *entry = &file->entries[i];
    if (entry->begin != end || entry->end < entry->begin) abort();
    if (hf_safetensors_find(file, entry->name) != entry) abort();
    end = entry->end;
  }
  if ((const uint8_t *)file->data + end != data + size) abort();
  hf_safetensors_close(file);
  return 0;
}
