/* Stable sort along the middle of (outer, n, inner), all of it or the first k. Values become unsigned keys whose order is the
 * wanted one; ties go by position, so that any sorting network is stable. Lines up to SHARED_MAX are sorted in shared memory
 * by one block (bitonic); longer ones as pieces of that size, then merged pairwise, twice as long each time: only the first k
 * of a merge are made. */
#include "warp.h"
#include "element.h"

enum { SHARED_MAX = 2048, SORT_THREADS = 256 };

struct Item {
  uint64_t key;
  int64_t index;
};

/* Floats in order, -0 as 0, every NaN above infinity. */
static __device__ __forceinline__ uint64_t key_of(float x, bool descending) {
  uint32_t bits = hf_bits(x), key;
  if (bits == 0x80000000u) bits = 0;
  key = x != x ? UINT32_MAX : bits >> 31 ? ~bits : bits | 0x80000000u;
  return descending ? (uint32_t)~key : key;
}
static __device__ __forceinline__ uint64_t key_of(int64_t x, bool descending) {
  uint64_t key = (uint64_t)x ^ (uint64_t)1 << 63;
  return descending ? ~key : key;
}

static __device__ __forceinline__ bool precedes(const Item &a, const Item &b) {
  return a.key < b.key || (a.key == b.key && a.index < b.index);
}

struct Sort {
  int64_t lines, n, inner, k;
  bool descending;
};

static __device__ __forceinline__ int64_t line_start(const Sort &s, int64_t line) {
  return line / s.inner * s.n * s.inner + line % s.inner;
}

template <class T> static __device__ void write_item(T *values, int64_t *indices, const T *x, const Sort &s, int64_t line, int64_t place, const Item &item) {
  int64_t to = line / s.inner * s.k * s.inner + line % s.inner + place * s.inner;
  if (indices) indices[to] = item.index;
  if (values) values[to] = x[line_start(s, line) + item.index * s.inner];
}

/* Sorts `size` items (a power of two) of shared memory. */
static __device__ void bitonic_sort(Item *item, int size) {
  for (int run = 2; run <= size; run *= 2)
    for (int step = run / 2; step > 0; step /= 2) {
      __syncthreads();
      for (int t = (int)threadIdx.x; t < size / 2; t += (int)blockDim.x) {
        int a = t / step * 2 * step + t % step, b = a + step;
        bool up = (a & run) == 0;
        if (precedes(item[b], item[a]) == up) {
          Item swap = item[a];
          item[a] = item[b], item[b] = swap;
        }
      }
    }
  __syncthreads();
}

/* A block sorts one piece of a line; a lone piece is the result, others go to `pieces` (lines, n). */
template <class T> __global__ void pieces_kernel(T *values, int64_t *indices, Item *pieces, const T *x, Sort s, int size) {
  HF_DYNAMIC_SHARED(Item, item);
  int64_t per_line = hf_ceil_div(s.n, size);
  HF_EACH_ROW(at, s.lines * per_line) {
    int64_t line = at / per_line, first = at % per_line * size, count = hf_min(size, s.n - first);
    for (int i = (int)threadIdx.x; i < size; i += (int)blockDim.x) {
      Item none = {UINT64_MAX, INT64_MAX};
      if (i < count) none = Item{key_of(x[line_start(s, line) + (first + i) * s.inner], s.descending), first + i};
      item[i] = none;
    }
    bitonic_sort(item, size);
    for (int64_t i = threadIdx.x; i < count; i += blockDim.x) {
      if (per_line > 1) pieces[line * s.n + first + i] = item[i];
      else if (i < s.k) write_item(values, indices, x, s, line, i, item[i]);
    }
    __syncthreads();
  }
}

/* How many of the sorted items come before v. */
static __device__ int64_t rank_among(const Item *item, int64_t count, const Item &v) {
  int64_t low = 0, high = count;
  while (low < high) {
    int64_t middle = (low + high) / 2;
    if (precedes(item[middle], v)) low = middle + 1;
    else high = middle;
  }
  return low;
}

/* Two sorted runs of `run` items become one: each item finds its place by its rank in the other run. Of a run only the first
 * k items matter. */
__global__ void merge_kernel(Item *out, const Item *in, Sort s, int64_t run) {
  HF_EACH(at, s.lines * s.n) {
    int64_t line = at / s.n, i = at % s.n, own = i / run * run, place = i - own;
    if (place >= s.k) continue;
    int64_t pair = own / (2 * run) * 2 * run, other = own == pair ? own + run : pair;
    int64_t count = hf_max(0, hf_min(hf_min(run, s.k), s.n - other));
    const Item *row = in + line * s.n;
    int64_t to = place + (count ? rank_among(row + other, count, row[i]) : 0);
    if (to < s.k) out[line * s.n + pair + to] = row[i];
  }
}

template <class T> __global__ void write_kernel(T *values, int64_t *indices, const Item *items, const T *x, Sort s) {
  HF_EACH(at, s.lines * s.k) write_item(values, indices, x, s, at / s.k, at % s.k, items[at / s.k * s.n + at % s.k]);
}

template <class T> static HfStatus run(T *values, int64_t *indices, const T *x, const Sort &s) {
  int size = 64;
  while (size < SHARED_MAX && size < s.n) size *= 2;
  bool whole = s.n <= size;
  size_t bytes = whole ? 0 : (size_t)(s.lines * s.n) * sizeof(Item);
  HfScratch first(bytes), second(bytes);
  if (bytes && (!first.data || !second.data)) return HF_NO_MEMORY;
  Item *from = (Item *)first.data, *to = (Item *)second.data;
  HF_LAUNCH(pieces_kernel<T>, hf_row_grid(s.lines * hf_ceil_div(s.n, size)), hf_min(SORT_THREADS, size / 2), (size_t)size * sizeof(Item),
            hf_cuda_stream(), values, indices, from, x, s, size);
  if (whole) return hf_cuda_status();
  for (int64_t length = size; length < s.n; length *= 2) {
    HF_LAUNCH(merge_kernel, hf_grid(s.lines * s.n), HF_BLOCK, 0, hf_cuda_stream(), to, from, s, length);
    Item *swap = from;
    from = to, to = swap;
  }
  HF_LAUNCH(write_kernel<T>, hf_grid(s.lines * s.k), HF_BLOCK, 0, hf_cuda_stream(), values, indices, from, x, s);
  return hf_cuda_status();
}

static HfStatus sort(void *values, int64_t *indices, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, int64_t k, bool descending) {
  if (dtype != HF_FLOAT32 && dtype != HF_INT64) return HF_UNSUPPORTED;
  Sort s = {outer * inner, n, inner, k, descending};
  if (k <= 0 || s.lines == 0) return HF_OK;
  if (dtype == HF_FLOAT32) return run((float *)values, indices, (const float *)x, s);
  return run((int64_t *)values, indices, (const int64_t *)x, s);
}

void hf_cuda_fill_sort(HfKernels *k) { k->sort = sort; }
