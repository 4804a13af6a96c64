/* Positions in the order of what they point at: the way to add many rows into few places in a fixed order without atomics.
 * Sources with the same target lie together, in the order of their positions; the thread at the first of them adds up all. */
#ifndef HF_CUDA_ORDERED_H
#define HF_CUDA_ORDERED_H
#include "cuda.h"

struct HfOrderItem {
  int64_t target; /* -1: points nowhere */
  int64_t from;
};

/* As kernels see it. */
struct HfOrder {
  const HfOrderItem *item;
  int64_t count;
};

struct HfOrdered {
  HfScratch first, second;
  HfOrder order;
  /* index (count) on the device; `skip` (-1: none) is left out, and so is what lies outside 0 .. n-1, which is reported as
   * `fault` unless that is HF_FAULT_NONE. */
  HfOrdered(const int64_t *index, int64_t count, int64_t n, int64_t skip, int fault);
  bool ok() const { return order.item != nullptr; }
};
#endif
