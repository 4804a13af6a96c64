/* Sorting positions by target: pieces in shared memory, then merges (as in sort.cu, with target and position as the key). */
#include "ordered.h"

enum { PIECE = 1024, THREADS = 256 };

static __device__ __forceinline__ bool precedes(const HfOrderItem &a, const HfOrderItem &b) {
  return a.target < b.target || (a.target == b.target && a.from < b.from);
}

static __device__ __forceinline__ HfOrderItem read_item(const int64_t *index, int64_t i, int64_t n, int64_t skip, int kind, HfFault *fault) {
  int64_t target = index[i];
  bool inside = target >= 0 && target < n;
  if (!inside && kind != HF_FAULT_NONE) hf_report(fault, kind, target, n);
  return HfOrderItem{inside && target != skip ? target : -1, i};
}

__global__ void order_pieces_kernel(HfOrderItem *out, const int64_t *index, int64_t count, int64_t n, int64_t skip, int kind, HfFault *fault) {
  __shared__ HfOrderItem item[PIECE];
  int64_t first = (int64_t)blockIdx.x * PIECE;
  for (int i = (int)threadIdx.x; i < PIECE; i += THREADS) {
    HfOrderItem none = {INT64_MAX, INT64_MAX};
    item[i] = first + i < count ? read_item(index, first + i, n, skip, kind, fault) : none;
  }
  for (int run = 2; run <= PIECE; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int t = (int)threadIdx.x; t < PIECE / 2; t += THREADS) {
        int a = t / step * 2 * step + t % step, b = a + step;
        if (precedes(item[b], item[a]) == ((a & run) == 0)) {
          HfOrderItem swap = item[a];
          item[a] = item[b], item[b] = swap;
        }
      }
    }
  __syncthreads();
  for (int i = (int)threadIdx.x; i < PIECE && first + i < count; i += THREADS) out[first + i] = item[i];
}

__global__ void order_merge_kernel(HfOrderItem *out, const HfOrderItem *in, int64_t count, int64_t run) {
  HF_EACH(i, count) {
    int64_t own = i / run * run, pair = own / (2 * run) * 2 * run, other = own == pair ? own + run : pair;
    int64_t low = 0, high = hf_max(0, hf_min(run, count - other));
    while (low < high) {
      int64_t middle = (low + high) / 2;
      if (precedes(in[other + middle], in[i])) low = middle + 1;
      else high = middle;
    }
    out[pair + (i - own) + low] = in[i];
  }
}

HfOrdered::HfOrdered(const int64_t *index, int64_t count, int64_t n, int64_t skip, int fault)
    : first((size_t)count * sizeof(HfOrderItem)), second(count > PIECE ? (size_t)count * sizeof(HfOrderItem) : 0), order{nullptr, count} {
  if (!first.data || (count > PIECE && !second.data)) return;
  HfOrderItem *from = (HfOrderItem *)first.data, *to = (HfOrderItem *)second.data;
  HF_LAUNCH(order_pieces_kernel, (unsigned)hf_ceil_div(count, PIECE), THREADS, 0, hf_cuda_stream(), from, index, count, n, skip, fault, hf_cuda_fault());
  for (int64_t run = PIECE; run < count; run *= 2) {
    HF_LAUNCH(order_merge_kernel, hf_grid(count), HF_BLOCK, 0, hf_cuda_stream(), to, from, count, run);
    HfOrderItem *swap = from;
    from = to, to = swap;
  }
  order.item = from;
}
