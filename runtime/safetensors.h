/* safetensors files: the header read with every rule checked, tensors over the mapped file, and writing.
 *
 *   HfSafetensors *file = hf_safetensors_open("model.safetensors", err);
 *   const HfSafetensorsEntry *entry = file ? hf_safetensors_find(file, "classifier.bias") : NULL;
 *   HfTensor *bias = entry ? hf_safetensors_tensor(file, entry, err) : NULL;
 *   hf_safetensors_close(file);    // tensors keep the mapping alive
 *
 * File: 8 bytes with the header's length N (little endian), N bytes of JSON, the tensors' bytes without gaps.
 */
#ifndef HF_SAFETENSORS_H
#define HF_SAFETENSORS_H
#include "file.h"
#include "tensor.h"

#define HF_SAFETENSORS_MAX_HEADER 100000000u

typedef struct HfSafetensorsType {
  const char *name; /* "F32" */
  int bits;         /* of one element */
  bool computable;  /* hflua has tensors of it: `dtype` */
  HfDtype dtype;
} HfSafetensorsType;

typedef struct HfSafetensorsEntry {
  char *name;
  const HfSafetensorsType *type;
  int64_t *shape;
  size_t ndim;
  uint64_t begin, end; /* bytes from the start of the data */
} HfSafetensorsEntry;

typedef struct HfSafetensorsPair { char *name, *value; } HfSafetensorsPair;

typedef struct HfSafetensors {
  char *where;          /* path, for messages */
  HfMapping *mapping;   /* NULL when only bytes were parsed */
  char *data;           /* first byte behind the header */
  uint64_t data_size;
  HfSafetensorsEntry *entries; /* by place in the file */
  size_t count, capacity;
  uint32_t *by_name;           /* places in entries, sorted by name */
  HfSafetensorsPair *metadata; /* in the order of the file */
  size_t metadata_count, metadata_capacity;
} HfSafetensors;

HfSafetensors *hf_safetensors_open(const char *path, HfError *err);
/* The same rules over bytes that stay the caller's and outlive the result. */
HfSafetensors *hf_safetensors_parse(void *bytes, size_t size, const char *where, HfError *err);
void hf_safetensors_close(HfSafetensors *file); /* NULL is fine */

const HfSafetensorsEntry *hf_safetensors_find(const HfSafetensors *file, const char *name); /* NULL: no such tensor */

/* A new tensor on the CPU over the mapped bytes (private: changes never reach the file); a copy where the bytes are not
 * aligned for their dtype. An error for types hflua has no tensors of. Needs a file from hf_safetensors_open. */
HfTensor *hf_safetensors_tensor(const HfSafetensors *file, const HfSafetensorsEntry *entry, HfError *err);

/* Writes tensors under their names, any device and strides; complete or not at all. Order in the file: element size,
 * larger first, then name. metadata may be NULL. */
bool hf_safetensors_save(const char *path, const char *const *names, HfTensor *const *tensors, size_t count,
                         const HfSafetensorsPair *metadata, size_t metadata_count, HfError *err);

/* The type that holds a dtype: HF_FLOAT32 -> F32. */
const HfSafetensorsType *hf_safetensors_type_of(HfDtype dtype);

#endif
