/* What the files of operations share. For runtime/ops_*.c only. */
#ifndef HF_OPS_INTERNAL_H
#define HF_OPS_INTERNAL_H
#include <string.h>
#include "autocast.h"
#include "layout.h"
#include "ops.h"
#include "memory.h"

/* Ends an operation: checks the kernel's answer, records, and gives `out`, or releases it and gives NULL.
 * `out` may be NULL. */
HfTensor *hf_recorded(HfTensor *out, HfStatus status, const HfRecord *record, HfError *err);

/* Releases `old` and passes `next` on: t = hf_then(t, hf_unary(t, ...)) is a chain that owns one tensor at a
 * time. Every operation given a NULL operand returns NULL and leaves err as it is, so only the end of a chain
 * is checked. */
static inline HfTensor *hf_then(HfTensor *old, HfTensor *next) {
  hf_tensor_release(old);
  return next;
}

HfTensor *hf_empty_like(const HfTensor *t, HfError *err); /* contiguous, same dtype */
HfTensor *hf_empty_as(const HfTensor *t, HfDtype dtype, int ndim, const int64_t *shape,
                      HfError *err);                              /* on t's device */
HfTensor *hf_zeros_edge(const HfNode *node, int i, HfError *err); /* zeros of operand i's shape, float32 */
HfTensor *hf_scalar_like(const HfTensor *t, HfDtype dtype, double value, HfError *err); /* 0-dim */

/* The numbers of an operand that may be absent. */
static inline void *hf_data_or_null(const HfTensor *t) { return t ? hf_tensor_data(t) : NULL; }

/* float32 and contiguous; x itself, retained, when it is already. Recorded like a cast. */
HfTensor *hf_float_contiguous(HfTensor *x, HfError *err);
/* The same in another dtype. */
HfTensor *hf_contiguous_as(HfTensor *x, HfDtype dtype, HfError *err);
/* Sums x over the dims along which `shape` was broadcast. x itself, retained, when nothing was. */
HfTensor *hf_sum_to(HfTensor *x, int ndim, const int64_t *shape, HfError *err);
static inline HfTensor *hf_sum_to_edge(HfTensor *x, const HfEdge *edge, HfError *err) {
  return hf_sum_to(x, edge->ndim, edge->shape, err);
}
/* x back in its own dtype after a float32 computation: casts y to dtype and releases it. */
HfTensor *hf_back_to(HfTensor *y, HfDtype dtype, HfError *err);

bool hf_same_device(const char *op, const HfTensor *a, const HfTensor *b, HfError *err);
bool hf_expect_dtype(const char *op, const char *what, const HfTensor *t, HfDtype dtype, HfError *err);

#define HF_COUNT(array) ((int)(sizeof(array) / sizeof *(array)))
/* A record for operands, saved tensors and a context given as compound literals. */
#define HF_INPUTS(...)                                                                                       \
  .inputs = (HfTensor *[]){__VA_ARGS__}, .input_count = HF_COUNT(((HfTensor *[]){__VA_ARGS__}))
#define HF_SAVED(...)                                                                                        \
  .saved = (HfTensor *[]){__VA_ARGS__}, .saved_count = HF_COUNT(((HfTensor *[]){__VA_ARGS__}))
#define HF_CONTEXT(c) .context = &(c), .context_size = sizeof(c)

#endif
