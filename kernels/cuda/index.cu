/* Rows and elements taken from, or added at, given positions. A bad index is reported and touches nothing. Sums are made in
 * the order of the index without atomics: positions are sorted by target (stable), and each target adds up its own. */
#include "ordered.h"
#include "element.h"
#include "layout.h"

/* ---- index_select */

template <class T> __global__ void select_kernel(T *out, const T *x, const int64_t *index, int64_t count, int64_t outer, int64_t n, int64_t inner, HfFault *fault) {
  HF_EACH(i, outer * count * inner) {
    int64_t row = hf_quotient(i, inner), c = i - row * inner, o = hf_quotient(row, count), at = index[row - o * count];
    if (hf_checked(fault, HF_FAULT_INDEX, at, n)) out[i] = x[(o * n + at) * inner + c];
    else out[i] = 0;
  }
}

template <class T> static HfStatus select_rows(void *out, const void *x, const int64_t *index, int64_t count, int64_t outer, int64_t n, int64_t inner, int64_t *bad) {
  int64_t total = outer * count * inner;
  if (total == 0) return HF_OK;
  HF_LAUNCH(select_kernel<T>, hf_grid(total), HF_BLOCK, 0, hf_cuda_stream(), (T *)out, (const T *)x, index, count, outer, n, inner, hf_cuda_fault());
  return hf_cuda_checked_status(bad);
}

/* Rows whose bytes allow it are moved 8 bytes at a time. */
static HfStatus index_select(void *out, const void *x, size_t element, const int64_t *index, int64_t count, int64_t outer, int64_t n, int64_t inner, int64_t *bad) {
  int64_t bytes = inner * (int64_t)element;
  if (bytes % 8 == 0 && ((uintptr_t)out | (uintptr_t)x) % 8 == 0)
    return select_rows<uint64_t>(out, x, index, count, outer, n, bytes / 8, bad);
  HF_SIZE_SWITCH(element, return select_rows<T>(out, x, index, count, outer, n, inner, bad))
}

/* ---- index_add */

__global__ void index_add_kernel(float *x, const float *src, HfOrder order, int64_t outer, int64_t n, int64_t inner) {
  HF_EACH(i, outer * order.count * inner) {
    int64_t c = i % inner, rest = i / inner, place = rest % order.count, o = rest / order.count;
    int64_t target = order.item[place].target;
    if (target < 0 || (place > 0 && order.item[place - 1].target == target)) continue; /* the first of its target adds all */
    float *to = x + (o * n + target) * inner + c, sum = *to;
    for (int64_t p = place; p < order.count && order.item[p].target == target; p++)
      sum += src[(o * order.count + order.item[p].from) * inner + c];
    *to = sum;
  }
}

static HfStatus index_add(float *x, const float *src, const int64_t *index, int64_t count, int64_t outer, int64_t n, int64_t inner, int64_t *bad) {
  int64_t total = outer * count * inner;
  if (total == 0) return HF_OK;
  HfOrdered ordered(index, count, n, -1, HF_FAULT_INDEX);
  if (!ordered.ok()) return HF_NO_MEMORY;
  HF_LAUNCH(index_add_kernel, hf_grid(total), HF_BLOCK, 0, hf_cuda_stream(), x, src, ordered.order, outer, n, inner);
  return hf_cuda_checked_status(bad);
}

/* ---- gather and scatter_add; operand 2 of the layout is the index */

template <class T> __global__ void gather_kernel(T *out, const T *x, const int64_t *index, HfLayout l, int64_t count, int64_t n, int64_t x_step, HfFault *fault) {
  HF_EACH(i, count) {
    int64_t at[3];
    hf_layout_offsets<3>(l, i, at);
    int64_t place = index[at[2]];
    out[at[0]] = hf_checked(fault, HF_FAULT_GATHER, place, n) ? x[at[1] + place * x_step] : (T)0;
  }
}

static HfStatus gather(void *out, const void *x, size_t element, const int64_t *index, const HfLayout *layout, int64_t n, int64_t x_step, int64_t *bad) {
  int64_t count = hf_layout_count(layout);
  if (count == 0) return HF_OK;
  HfLayout l = hf_layout_collapse(layout, 3);
  HF_SIZE_SWITCH(element, HF_LAUNCH(gather_kernel<T>, hf_grid(count), HF_BLOCK, 0, hf_cuda_stream(), (T *)out, (const T *)x, index, l, count, n, x_step, hf_cuda_fault()))
  return hf_cuda_checked_status(bad);
}

/* The element of x that each source adds to, or -1 for a bad index. */
__global__ void scatter_targets_kernel(int64_t *target, const int64_t *index, HfLayout l, int64_t count, int64_t n, int64_t x_step, HfFault *fault) {
  HF_EACH(i, count) {
    int64_t at[3];
    hf_layout_offsets<3>(l, i, at);
    int64_t place = index[at[2]];
    target[i] = hf_checked(fault, HF_FAULT_GATHER, place, n) ? at[0] + place * x_step : -1;
  }
}

__global__ void scatter_add_kernel(float *x, const float *src, HfOrder order, HfLayout l) {
  HF_EACH(place, order.count) {
    int64_t target = order.item[place].target;
    if (target < 0 || (place > 0 && order.item[place - 1].target == target)) continue;
    float sum = x[target];
    for (int64_t p = place; p < order.count && order.item[p].target == target; p++) {
      int64_t at[3];
      hf_layout_offsets<3>(l, order.item[p].from, at);
      sum += src[at[1]];
    }
    x[target] = sum;
  }
}

static HfStatus scatter_add(float *x, const float *src, const int64_t *index, const HfLayout *layout, int64_t n, int64_t x_step, int64_t *bad) {
  int64_t count = hf_layout_count(layout);
  if (count == 0) return HF_OK;
  HfScratch targets((size_t)count * sizeof(int64_t));
  if (!targets.data) return HF_NO_MEMORY;
  HF_LAUNCH(scatter_targets_kernel, hf_grid(count), HF_BLOCK, 0, hf_cuda_stream(), (int64_t *)targets.data, index, *layout, count, n, x_step, hf_cuda_fault());
  HfOrdered ordered((const int64_t *)targets.data, count, INT64_MAX, -1, HF_FAULT_NONE);
  if (!ordered.ok()) return HF_NO_MEMORY;
  HF_LAUNCH(scatter_add_kernel, hf_grid(count), HF_BLOCK, 0, hf_cuda_stream(), x, src, ordered.order, *layout);
  return hf_cuda_checked_status(bad);
}

void hf_cuda_fill_index(HfKernels *k) {
  k->index_select = index_select;
  k->index_add = index_add;
  k->gather = gather;
  k->scatter_add = scatter_add;
}
