/* Embedding: rows looked up in one or several tables and summed, and the gradient added into a table in a fixed order. */
#include "element.h"
#include "ordered.h"
#include "warp.h"

enum { TABLES_MAX = 8 };

struct Tables {
  const void *table[TABLES_MAX];
  const int64_t *ids[TABLES_MAX];
  int64_t rows[TABLES_MAX];
  int count;
};

/* A block a row. */
template <class T, int V> __global__ void embedding_kernel(T *out, Tables t, int64_t N, int64_t C, HfFault *fault) {
  HF_EACH_ROW(row, N)
    for (int64_t c = (int64_t)threadIdx.x * V; c < C; c += (int64_t)blockDim.x * V) {
      float sum[V] = {}, value[V];
      for (int k = 0; k < t.count; k++) {
        int64_t id = t.ids[k][row];
        if (!hf_checked(fault, HF_FAULT_EMBEDDING, id, t.rows[k])) continue;
        hf_load(value, (const T *)t.table[k] + id * C + c);
        HF_UNROLL for (int v = 0; v < V; v++) sum[v] = k == 0 ? value[v] : hf_get(hf_put<T>(sum[v] + value[v]));
      }
      hf_store(out + row * C + c, sum);
    }
}

static HfStatus embedding(void *out, const void *const *table, const int64_t *const *ids, const int64_t *rows, int tables, HfDtype dtype, int64_t N, int64_t C, int64_t *bad) {
  if (!hf_is_float(dtype) || tables < 1 || tables > TABLES_MAX) return HF_UNSUPPORTED;
  if (N * C == 0) return HF_OK;
  Tables t = {};
  t.count = tables;
  bool wide = C % 8 == 0 && hf_is_aligned(out);
  for (int k = 0; k < tables; k++) t.table[k] = table[k], t.ids[k] = ids[k], t.rows[k] = rows[k], wide = wide && hf_is_aligned(table[k]);
  HF_FLOAT_SWITCH(dtype, HF_VECTOR_SWITCH(wide, HF_LAUNCH((embedding_kernel<T, V>), hf_row_grid(N), hf_row_block(4 * C / V, 256), 0, hf_cuda_stream(),
                                                          (T *)out, t, N, C, hf_cuda_fault())))
  return hf_cuda_checked_status(bad);
}

/* A frequent id (a pad, a comma) would leave one thread adding thousands of rows one after another: its rows are cut into
 * runs of RUN places; each run is summed alone, then the runs of an id are added in order. */
enum { RUN = 32 };

/* sum (V) += the rows of dout at places first .. while they have this target. */
template <int V, class T> static __device__ __forceinline__ void add_places(float (&sum)[V], const T *dout, const HfOrder &order, int64_t first, int64_t end,
                                                                            int64_t target, int64_t C) {
  for (int64_t p = first; p < end && order.item[p].target == target; p++) {
    float row[V];
    hf_load(row, dout + order.item[p].from * C);
    HF_UNROLL for (int v = 0; v < V; v++) sum[v] += row[v];
  }
}

/* part (count / RUN rounded up, C): the sum of the rows in the run of places that begins at its first, as far as they share
 * the run's first target. A block a run. */
template <class T, int V> __global__ void run_sums_kernel(float *part, const T *dout, HfOrder order, int64_t runs, int64_t C) {
  HF_EACH_ROW(run, runs) {
    int64_t first = run * RUN, target = order.item[first].target;
    for (int64_t c = (int64_t)threadIdx.x * V; c < C; c += (int64_t)blockDim.x * V) {
      float sum[V] = {};
      if (target >= 0) add_places(sum, dout + c, order, first, hf_min(first + RUN, order.count), target, C);
      hf_store(part + run * C + c, sum);
    }
  }
}

/* The block of the first place of a target adds up all of it. */
template <class T, int V> __global__ void embedding_backward_kernel(float *dtable, const T *dout, const float *part, HfOrder order, int64_t C) {
  HF_EACH_ROW(place, order.count) {
    int64_t target = order.item[place].target, run = hf_ceil_div(place, RUN);
    if (target < 0 || (place > 0 && order.item[place - 1].target == target)) continue;
    for (int64_t c = (int64_t)threadIdx.x * V; c < C; c += (int64_t)blockDim.x * V) {
      float sum[V], of_run[V];
      hf_load(sum, dtable + target * C + c);
      add_places(sum, dout + c, order, place, hf_min(run * RUN, order.count), target, C);
      for (int64_t r = run; r * RUN < order.count && order.item[r * RUN].target == target; r++) {
        hf_load(of_run, part + r * C + c);
        HF_UNROLL for (int v = 0; v < V; v++) sum[v] += of_run[v];
      }
      hf_store(dtable + target * C + c, sum);
    }
  }
}

template <class T> static HfStatus add_rows(float *dtable, const T *dout, const HfOrder &order, int64_t C) {
  int64_t runs = hf_ceil_div(order.count, RUN);
  HfScratch part((size_t)(runs * C) * sizeof(float));
  if (!part.data) return HF_NO_MEMORY;
  bool wide = C % 8 == 0 && hf_is_aligned(dtable, dout);
  unsigned block = hf_row_block(wide ? C / 2 : 4 * C, 256);
  HF_VECTOR_SWITCH(wide, {
    HF_LAUNCH((run_sums_kernel<T, V>), hf_row_grid(runs), block, 0, hf_cuda_stream(), (float *)part.data, dout, order, runs, C);
    HF_LAUNCH((embedding_backward_kernel<T, V>), hf_row_grid(order.count), block, 0, hf_cuda_stream(), dtable, dout, (const float *)part.data, order, C);
  })
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
