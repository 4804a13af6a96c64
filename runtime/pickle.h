/* A restricted reader of pickles, as PyTorch writes them: it builds values and runs nothing. Opcodes and globals are fixed lists
 * (those of tensors in dicts, lists and tuples); anything else is an error that names it.
 *
 *   HfPickle pickle = {0};
 *   if (hf_pickle_read(&pickle, bytes, size, "data.pkl", err)) use(&pickle.values[pickle.root]);
 *   hf_pickle_free(&pickle);
 *
 * Values refer to each other by their place in `values`; a value may be found in several places, and a list even in itself.
 */
#ifndef HF_PICKLE_H
#define HF_PICKLE_H
#include "error.h"
#include "tensor.h"

typedef enum HfPickleKind {
  HF_PICKLE_NONE, HF_PICKLE_BOOL, HF_PICKLE_INT, HF_PICKLE_FLOAT, HF_PICKLE_TEXT, HF_PICKLE_TUPLE, HF_PICKLE_LIST,
  HF_PICKLE_DICT, /* items: key, value, key, value ... */
  HF_PICKLE_GLOBAL, HF_PICKLE_STORAGE, HF_PICKLE_TENSOR, HF_PICKLE_MARK
} HfPickleKind;

/* What a global stands for. */
typedef enum HfPickleGlobal { HF_PICKLE_ORDERED_DICT, HF_PICKLE_REBUILD_TENSOR, HF_PICKLE_REBUILD_PARAMETER, HF_PICKLE_STORAGE_TYPE } HfPickleGlobal;

/* The numbers of a storage in the file. */
typedef enum HfTorchType {
  HF_TORCH_FLOAT, HF_TORCH_DOUBLE, HF_TORCH_HALF, HF_TORCH_BFLOAT16, HF_TORCH_LONG, HF_TORCH_INT, HF_TORCH_SHORT, HF_TORCH_CHAR,
  HF_TORCH_BYTE, HF_TORCH_BOOL
} HfTorchType;

typedef struct HfPickleValue {
  HfPickleKind kind;
  HfPickleGlobal global;  /* of a global */
  HfTorchType type;       /* of a storage, and of the global that names its type */
  int64_t integer;        /* int, bool; numbers in a storage; first number of a tensor in its storage */
  double number;
  const char *text;       /* text, key of a storage: `size` bytes of the stream */
  size_t size, capacity;  /* of items: how many, room for */
  uint32_t *items;        /* owned */
  uint32_t storage;       /* of a tensor */
  int64_t view;           /* of a storage: the first number it begins with */
  int ndim;               /* of a tensor */
  int64_t shape[HF_MAX_DIMS], stride[HF_MAX_DIMS];
} HfPickleValue;

typedef struct HfPickle {
  HfPickleValue *values;
  size_t count, capacity;
  uint32_t root;
  size_t used; /* bytes of the stream up to its end mark */
} HfPickle;

#define HF_PICKLE_MAX_BYTES ((size_t)1 << 26)
#define HF_PICKLE_MAX_VALUES ((size_t)1 << 22)

/* Reads one stream into a zeroed `pickle`; the bytes must outlive it. `where` begins messages. hf_pickle_free also after an error. */
bool hf_pickle_read(HfPickle *pickle, const void *bytes, size_t size, const char *where, HfError *err);
void hf_pickle_free(HfPickle *pickle);

#endif
