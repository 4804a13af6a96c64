/* Layouts of operands walked together, and how kernel answers become errors. For the runtime only. */
#ifndef HF_LAYOUT_H
#define HF_LAYOUT_H
#include "tensor.h"

/* Fills `layout` for operands broadcast to `shape`; operand 0 is the one written and has that shape. Sizes of 1 are dropped
 * and neighbouring dims that all operands step through evenly are merged. */
bool hf_layout_make(HfLayout *layout, const char *op, int ndim, const int64_t *shape, const HfTensor *const *operands, int count, HfError *err);

/* (outer, n, inner) of a contiguous tensor around `dim`. */
void hf_split_at(const HfTensor *t, int64_t dim, int64_t *outer, int64_t *n, int64_t *inner);

/* True for HF_OK; else the error of a kernel's answer about operand t. */
bool hf_check(HfStatus status, const char *op, const HfTensor *t, HfError *err);
/* The same with the offending index named, which the kernel wrote to *bad; `size` is the length of the table. */
bool hf_check_index(HfStatus status, const char *op, const int64_t *bad, int64_t size, const HfTensor *t, HfError *err);

#endif
