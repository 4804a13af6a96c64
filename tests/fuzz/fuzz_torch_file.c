/* Files of torch.save from anywhere: what is accepted has every tensor inside its storage, and every storage inside the file. */
#include <stdint.h>
#include <stdlib.h>
#include "torch_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensor(const HfTorchFile *file, const HfPickleValue *tensor) {
  const HfPickleValue *storage = &file->pickle.values[tensor->storage];
  const uint8_t *first = file->data[tensor->storage];
  if (storage->kind != HF_PICKLE_STORAGE || !first || first < file->bytes || first > file->bytes + file->size) abort();
  if (storage->integer > 0 && (uint64_t)storage->integer > (uint64_t)(file->bytes + file->size - first)) abort();
  int64_t last = tensor->integer;
  for (int i = 0; i < tensor->ndim; i++) {
    if (tensor->shape[i] == 0) return;
    last += (tensor->shape[i] - 1) * tensor->stride[i];
  }
  if (last >= storage->integer) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err;
  HfTorchFile *file = hf_torch_parse(data, size, "fuzz", &err);
  if (!file) return 0;
  if (file->pickle.root >= file->pickle.count) abort();
  for (size_t i = 0; i < file->pickle.count; i++) {
    const HfPickleValue *v = &file->pickle.values[i];
    for (size_t j = 0; j < v->size && v->items; j++)
      if (v->items[j] >= file->pickle.count) abort();
    if (v->kind == HF_PICKLE_TENSOR) check_tensor(file, v);
  }
  hf_torch_close(file);
  return 0;
}
