/* Files of torch.save, as pytorch_model.bin is one: tensors in dicts, lists and tuples. Both formats are read: the zip of stored
 * members, and the older row of pickles with the numbers behind them. No code of a file is ever run (pickle.h).
 *
 *   HfTorchFile *file = hf_torch_open("pytorch_model.bin", err);
 *   const HfPickleValue *root = file ? &file->pickle.values[file->pickle.root] : NULL;
 *   hf_torch_close(file);    // tensors keep the mapping alive
 */
#ifndef HF_TORCH_FILE_H
#define HF_TORCH_FILE_H
#include "file.h"
#include "pickle.h"
#include "zip_members.h"

typedef struct HfTorchFile {
  char *where;
  HfMapping *mapping; /* NULL when only bytes were parsed */
  const uint8_t *bytes;
  size_t size;
  HfPickle pickle;      /* the object */
  HfZip zip;
  const uint8_t **data; /* for each value of the pickle that is a storage: its first byte */
} HfTorchFile;

HfTorchFile *hf_torch_open(const char *path, HfError *err);
/* The same rules over bytes that stay the caller's and outlive the result. */
HfTorchFile *hf_torch_parse(const void *bytes, size_t size, const char *where, HfError *err);
void hf_torch_close(HfTorchFile *file); /* NULL is fine */

/* A new contiguous tensor on the CPU, over the mapped bytes where they lie so. Numbers of 64-bit floats become 32-bit ones, 8- and
 * 16-bit whole numbers with a sign become int32. Needs a file from hf_torch_open. */
HfTensor *hf_torch_tensor(const HfTorchFile *file, const HfPickleValue *tensor, HfError *err);

#endif
