/* Embedding: rows looked up in one or several tables and summed, and the gradient added into a table in a fixed order. */
#include "element.h"
#include "ordered.h"

enum { TABLES_MAX = 8 };

struct Tables {
  const void *table[TABLES_MAX];
  const int64_t *ids[TABLES_MAX];
  int64_t rows[TABLES_MAX];
  int count;
};

template <class T> __global__ void embedding_kernel(T *out, Tables t, int64_t N, int64_t C, HfFault *fault) {
  HF_EACH(i, N * C) {
    int64_t row = i / C, c = i % C;
    T sum = hf_put<T>(0);
    for (int k = 0; k < t.count; k++) {
      int64_t id = t.ids[k][row];
      if (!hf_checked(fault, HF_FAULT_EMBEDDING, id, t.rows[k])) continue;
      T value = ((const T *)t.table[k])[id * C + c];
      sum = k == 0 ? value : hf_put<T>(hf_get(sum) + hf_get(value));
    }
    out[i] = sum;
  }
}

static HfStatus embedding(void *out, const void *const *table, const int64_t *const *ids, const int64_t *rows, int tables, HfDtype dtype, int64_t N, int64_t C, int64_t *bad) {
  if (!hf_is_float(dtype) || tables < 1 || tables > TABLES_MAX) return HF_UNSUPPORTED;
  if (N * C == 0) return HF_OK;
  Tables t = {};
  t.count = tables;
  for (int k = 0; k < tables; k++) t.table[k] = table[k], t.ids[k] = ids[k], t.rows[k] = rows[k];
  HF_FLOAT_SWITCH(dtype, HF_LAUNCH(embedding_kernel<T>, hf_grid(N * C), HF_BLOCK, 0, hf_cuda_stream(), (T *)out, t, N, C, hf_cuda_fault()))
  return hf_cuda_checked_status(bad);
}

/* A frequent id (a pad, a comma) would leave one thread adding thousands of rows one after another: its rows are cut into
 * runs of RUN places; each run is summed alone, then the runs of an id are added in order. */
enum { RUN = 32 };

/* part (count / RUN rounded up, C): the sum of the rows in the run of places that begins at its first, as far as they share
 * the run's first target. */
template <class T> __global__ void run_sums_kernel(float *part, const T *dout, HfOrder order, int64_t runs, int64_t C) {
  HF_EACH(i, runs * C) {
    int64_t run = i / C, c = i % C, first = run * RUN, end = hf_min(first + RUN, order.count), target = order.item[first].target;
    float sum = 0;
    if (target >= 0)
      for (int64_t p = first; p < end && order.item[p].target == target; p++) sum += hf_get(dout[order.item[p].from * C + c]);
    part[i] = sum;
  }
}

template <class T> __global__ void embedding_backward_kernel(float *dtable, const T *dout, const float *part, HfOrder order, int64_t C) {
  HF_EACH(i, order.count * C) {
    int64_t place = i / C, c = i % C, target = order.item[place].target, p = place;
    if (target < 0 || (place > 0 && order.item[place - 1].target == target)) continue;
    float sum = dtable[target * C + c];
    for (; p < order.count && p % RUN && order.item[p].target == target; p++) sum += hf_get(dout[order.item[p].from * C + c]);
    for (; p < order.count && order.item[p].target == target; p += RUN) sum += part[p / RUN * C + c];
    dtable[target * C + c] = sum;
  }
}

template <class T> static HfStatus add_rows(float *dtable, const T *dout, const HfOrder &order, int64_t C) {
  int64_t runs = hf_ceil_div(order.count, RUN);
  HfScratch part((size_t)(runs * C) * sizeof(float));
  if (!part.data) return HF_NO_MEMORY;
  HF_LAUNCH(run_sums_kernel<T>, hf_grid(runs * C), HF_BLOCK, 0, hf_cuda_stream(), (float *)part.data, dout, order, runs, C);
  HF_LAUNCH(embedding_backward_kernel<T>, hf_grid(order.count * C), HF_BLOCK, 0, hf_cuda_stream(), dtable, dout, (const float *)part.data, order, C);
  return hf_cuda_status();
}

static HfStatus embedding_backward(float *dtable, const void *dout, const int64_t *ids, HfDtype dtype, int64_t N, int64_t C, int64_t rows, int64_t skip) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  if (N * C == 0) return HF_OK;
  HfOrdered ordered(ids, N, rows, skip, HF_FAULT_NONE); /* the forward refused ids outside the table */
  if (!ordered.ok()) return HF_NO_MEMORY;
  HF_FLOAT_SWITCH(dtype, return add_rows(dtable, (const T *)dout, ordered.order, C))
}

void hf_cuda_fill_embedding(HfKernels *k) {
  k->embedding = embedding;
  k->embedding_backward = embedding_backward;
}
