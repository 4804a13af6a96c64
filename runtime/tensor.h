/* Tensors: a shape and strides over a shared storage on a device.
 *
 *   HfError err;
 *   HfTensor *x = hf_tensor_empty(HF_FLOAT32, 2, (int64_t[]){8, 128}, hf_device_cpu(), &err);
 *   HfTensor *y = x ? hf_gelu(x, &err) : NULL;        // ops.h: returns a new reference, or NULL with err set
 *   float *numbers = hf_tensor_data(y);
 *   hf_tensor_release(y);
 *   hf_tensor_release(x);
 *
 * Ownership: _new, _empty, _view and every operation return a reference the caller owns; _retain adds one,
 * _release (NULL is fine) drops one; everything else borrows. One thread at a time uses a tensor.
 */
#ifndef HF_TENSOR_H
#define HF_TENSOR_H
#include "error.h"
#include "kernels.h"

typedef struct HfNode HfNode;       /* tape.h */
typedef struct HfLowCopy HfLowCopy; /* autocast.c */
typedef struct HfTwin HfTwin;       /* twin.h */

/* A place where tensors live. Compared by pointer. */
typedef struct HfDevice {
  const char *type;         /* "cpu", "cuda" */
  int index;                /* 0-based */
  const char *name;         /* "cpu", "cuda:0" */
  const HfKernels *kernels;
  int64_t bytes, peak_bytes; /* held by live storages, and the most ever held */
} HfDevice;

HfDevice *hf_device_cpu(void);
/* Where tensors are made when nothing else is said: the CPU until it is set. */
HfDevice *hf_device_default(void);
void hf_device_set_default(HfDevice *device);
/* "OP: device cuda:0 failed (why, as far as it is known); restart the program"; always false. */
bool hf_device_fault(const char *op, const HfDevice *device, HfError *err);
int64_t hf_device_live_bytes(void); /* held by live storages of all devices */
/* "cpu", "cuda", "cuda:1"; NULL with the reason when there is no such device. */
HfDevice *hf_device_find(const char *name, HfError *err);
bool hf_cuda_is_available(void);
int hf_cuda_device_count(void);

/* Bytes on a device, shared by tensors that are views of each other. */
typedef struct HfStorage {
  int64_t references;
  HfDevice *device;
  void *data;
  size_t size;               /* bytes */
  uint64_t version;          /* grows with each in-place change: the tape notices stale saved values */
  uint64_t recording, noted, read; /* the recordings of graphs in which it was made, changed, and read on the host (graph.h); 0: none */
  int graphs;                /* of the references, graphs that write it */
  void (*release)(struct HfStorage *storage); /* NULL: the device's pool takes the bytes back */
  void *owner;               /* for `release`: a mapped file, say */
  HfLowCopy *copies;         /* 16-bit copies of parameters in it; owned */
  HfTwin *twin;              /* the same numbers in host memory, or NULL; owned */
} HfStorage;

/* Zero references are never seen. `release` is called with the last reference; see HfStorage. */
HfStorage *hf_storage_new(HfDevice *device, size_t size, HfError *err);
HfStorage *hf_storage_wrap(HfDevice *device, void *data, size_t size, void (*release)(HfStorage *), void *owner, HfError *err);
void hf_storage_retain(HfStorage *storage);
void hf_storage_changed(HfStorage *storage); /* whoever changes its numbers in place says so */
void hf_storage_release(HfStorage *storage);
int64_t hf_storage_count(void); /* live storages: tests look for leaks with it */
/* Bytes allocated for storages since the start (never falls): the binding's collector pacing reads it. */
uint64_t hf_storage_allocated(void);

typedef struct HfTensor {
  int64_t references;
  int graphs;                  /* of these, graphs that know it as a gradient: they share nothing */
  HfStorage *storage;
  int64_t offset;              /* elements from the start of the storage */
  HfDtype dtype;
  int ndim;                    /* 0: a single value */
  int64_t shape[HF_MAX_DIMS];
  int64_t stride[HF_MAX_DIMS]; /* elements */
  bool requires_grad;          /* asked for by the user, or by an operand of the operation that made it */
  struct HfTensor *grad;       /* of a leaf, after backward; owned */
  HfNode *node;                /* the operation that made it; NULL for leaves; owned */
  int output;                  /* which result of that operation */
  int watched, open_uses;      /* of a leaf: 1 + its place in the list of a gradient exchange (0: in none); its operations still to be walked back */
} HfTensor;

/* ---- dtypes */
size_t hf_dtype_size(HfDtype dtype);
const char *hf_dtype_name(HfDtype dtype);               /* "float32" */
bool hf_dtype_find(const char *name, HfDtype *out);     /* also "float", "half", "long", "int" ... */
bool hf_dtype_is_float(HfDtype dtype);

/* ---- making and sharing */
HfTensor *hf_tensor_empty(HfDtype dtype, int ndim, const int64_t *shape, HfDevice *device, HfError *err);
HfTensor *hf_tensor_zeros(HfDtype dtype, int ndim, const int64_t *shape, HfDevice *device, HfError *err);
HfTensor *hf_tensor_full(HfDtype dtype, int ndim, const int64_t *shape, double value, HfDevice *device, HfError *err);
/* Contiguous copy of host numbers already in `dtype`. */
HfTensor *hf_tensor_from(HfDtype dtype, int ndim, const int64_t *shape, const void *host, HfDevice *device, HfError *err);
/* A view over `storage` (retained), contiguous from `offset` elements on. The storage must be large enough. */
HfTensor *hf_tensor_over(HfStorage *storage, int64_t offset, HfDtype dtype, int ndim, const int64_t *shape, HfError *err);
/* A tensor of the same storage with another shape and strides; no history. The raw material of the view operations. */
HfTensor *hf_tensor_view(const HfTensor *t, int64_t offset, int ndim, const int64_t *shape, const int64_t *stride, HfError *err);
HfTensor *hf_tensor_detach(const HfTensor *t, HfError *err); /* shares the storage, no history, no gradient */
void hf_tensor_retain(HfTensor *t);
void hf_tensor_release(HfTensor *t);

/* ---- looking */
int64_t hf_tensor_numel(const HfTensor *t);
size_t hf_tensor_bytes(const HfTensor *t);
bool hf_tensor_is_contiguous(const HfTensor *t);
bool hf_tensor_same_shape(const HfTensor *a, const HfTensor *b);
HfDevice *hf_tensor_device(const HfTensor *t);
const HfKernels *hf_tensor_kernels(const HfTensor *t);
void *hf_tensor_data(const HfTensor *t); /* first element, on its device */
/* "[8, 128] float32 cuda:0" for messages; `out` holds HF_DESCRIPTION_SIZE bytes, returned. */
#define HF_DESCRIPTION_SIZE 256
const char *hf_tensor_describe(const HfTensor *t, char out[HF_DESCRIPTION_SIZE]);
/* Same for a bare shape: "[8, 128]". */
const char *hf_shape_describe(int ndim, const int64_t *shape, char out[HF_DESCRIPTION_SIZE]);
/* dim in -ndim..ndim-1 made 0..ndim-1; the error names `op`. A 0-dim tensor accepts -1 and 0. */
bool hf_check_dim(const char *op, int64_t *dim, int ndim, HfError *err);
/* The shape two shapes broadcast to; false when they do not. */
bool hf_shape_broadcast(int a_ndim, const int64_t *a, int b_ndim, const int64_t *b, int *out_ndim, int64_t *out);
/* Product of the sizes, checked. */
bool hf_shape_numel(int ndim, const int64_t *shape, int64_t *out, HfError *err);

/* ---- reading and writing numbers (reading waits for the device, unless the storage has a twin: twin.h) */
/* Copies the elements in row order to `host` as they are (dtype unchanged). */
bool hf_tensor_read(const HfTensor *t, void *host, HfError *err);
bool hf_tensor_item(const HfTensor *t, double *out, int64_t *integer, HfError *err); /* one element */
/* dst := src, broadcast and converted; bumps the version. No history. */
bool hf_tensor_copy_(HfTensor *dst, const HfTensor *src, HfError *err);
bool hf_tensor_fill_(HfTensor *dst, double value, HfError *err);

#endif
