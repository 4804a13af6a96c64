/* Reductions over the middle of (outer, n, inner). A block takes a contiguous line, a thread one of the lines that lie side
 * by side; where lines are few they are cut into parts, reduced alone and joined in order. Float sums are made in double,
 * in an order that depends on the sizes alone. */
#include "warp.h"

/* What a thread knows of its share of a line. */
struct FloatState {
  typedef float Element;
  typedef float Result;
  double sum; /* or product; of exponentials less top in LOGSUMEXP */
  float top;  /* largest, smallest */
  __device__ void start(HfReduce op) {
    sum = op == HF_PROD ? 1 : 0;
    top = op == HF_MIN ? INFINITY : -INFINITY;
  }
  __device__ void join(const FloatState &o, HfReduce op) {
    if (op == HF_MAX) top = o.top > top || o.top != o.top ? o.top : top;
    else if (op == HF_MIN) top = o.top < top || o.top != o.top ? o.top : top;
    else if (op == HF_PROD) sum *= o.sum;
    else if (op == HF_LOGSUMEXP) join_exponentials(o);
    else sum += o.sum;
  }
  __device__ void join_exponentials(const FloatState &o) {
    float larger = o.top > top || o.top != o.top ? o.top : top;
    if (isinf(larger)) { /* nothing yet, or infinity: the sum is not needed */
      top = larger;
      return;
    }
    sum = sum * exp((double)(top - larger)) + o.sum * exp((double)(o.top - larger));
    top = larger;
  }
  __device__ void add(float x, HfReduce op) {
    FloatState one = {op == HF_LOGSUMEXP ? 1 : op == HF_SUM_SQUARES ? (double)x * x : x, x};
    join(one, op);
  }
  __device__ float result(int64_t n, HfReduce op) const {
    if (op == HF_MAX || op == HF_MIN) return top;
    if (op == HF_LOGSUMEXP) return isinf(top) || top != top ? top : (float)(top + log(sum));
    return (float)(op == HF_MEAN ? sum / (double)n : sum);
  }
  __device__ FloatState shuffled(int mask) const {
    return FloatState{__shfl_xor_sync(0xffffffffu, sum, mask), __shfl_xor_sync(0xffffffffu, top, mask)};
  }
};

/* int64; and booleans, whose ANY is MAX of != 0 and whose ALL is MIN. */
template <class E> struct IntegerState {
  typedef E Element;
  typedef E Result;
  int64_t value;
  __device__ void start(HfReduce op) {
    value = op == HF_PROD || op == HF_ALL ? 1 : op == HF_MAX ? INT64_MIN : op == HF_MIN ? INT64_MAX : 0;
  }
  __device__ void join(const IntegerState &o, HfReduce op) {
    if (op == HF_MAX || op == HF_ANY) value = o.value > value ? o.value : value;
    else if (op == HF_MIN || op == HF_ALL) value = o.value < value ? o.value : value;
    else if (op == HF_PROD) value = (int64_t)((uint64_t)value * (uint64_t)o.value);
    else value = (int64_t)((uint64_t)value + (uint64_t)o.value);
  }
  __device__ void add(E x, HfReduce op) {
    IntegerState one = {op == HF_ANY || op == HF_ALL ? (int64_t)(x != 0) : (int64_t)x};
    join(one, op);
  }
  __device__ E result(int64_t, HfReduce) const { return (E)value; }
  __device__ IntegerState shuffled(int mask) const { return IntegerState{__shfl_xor_sync(0xffffffffu, value, mask)}; }
};

template <class S> static __device__ S block_join(S s, HfReduce op) {
  __shared__ S partial[32];
  int lane = (int)(threadIdx.x & 31), warp = (int)(threadIdx.x >> 5), warps = (int)(blockDim.x >> 5);
  for (int mask = 16; mask > 0; mask >>= 1) s.join(s.shuffled(mask), op);
  if (warps == 1) return s;
  if (lane == 0) partial[warp] = s;
  __syncthreads();
  s.start(op);
  if (lane < warps) s = partial[lane];
  for (int mask = 16; mask > 0; mask >>= 1) s.join(s.shuffled(mask), op);
  __syncthreads();
  return s;
}

/* Lines cut into `parts`; with one part the result is written, else the states. */
struct Cut {
  int64_t outer, n, inner, parts, part; /* part: elements of one */
};

template <class S> static __device__ void finish(void *out, S *states, int64_t line, int64_t part, const S &s, const Cut &c, HfReduce op) {
  if (c.parts == 1) ((typename S::Result *)out)[line] = s.result(c.n, op);
  else states[line * c.parts + part] = s;
}

/* inner == 1: a block a part */
template <class S> __global__ void lines_kernel(void *out, S *states, const void *x, Cut c, HfReduce op) {
  HF_EACH_ROW(at, c.outer * c.parts) {
    int64_t line = at / c.parts, part = at % c.parts, end = hf_min(c.n, (part + 1) * c.part);
    const typename S::Element *in = (const typename S::Element *)x + line * c.n;
    S s;
    s.start(op);
    for (int64_t i = part * c.part + threadIdx.x; i < end; i += blockDim.x) s.add(in[i], op);
    s = block_join(s, op);
    if (threadIdx.x == 0) finish(out, states, line, part, s, c, op);
  }
}

/* a thread a part of a line, neighbours side by side */
template <class S> __global__ void columns_kernel(void *out, S *states, const void *x, Cut c, HfReduce op) {
  int64_t lines = c.outer * c.inner;
  HF_EACH(at, lines * c.parts) {
    int64_t line = at % lines, part = at / lines, end = hf_min(c.n, (part + 1) * c.part);
    const typename S::Element *in = (const typename S::Element *)x + line / c.inner * c.n * c.inner + line % c.inner;
    S s;
    s.start(op);
    for (int64_t i = part * c.part; i < end; i++) s.add(in[i * c.inner], op);
    finish(out, states, line, part, s, c, op);
  }
}

template <class S> __global__ void parts_kernel(void *out, const S *states, int64_t lines, Cut c, HfReduce op) {
  HF_EACH(line, lines) {
    S s;
    s.start(op);
    for (int64_t p = 0; p < c.parts; p++) s.join(states[line * c.parts + p], op);
    ((typename S::Result *)out)[line] = s.result(c.n, op);
  }
}

enum { LINES_ENOUGH = 264, COLUMNS_ENOUGH = 32768, PART_MIN_LINE = 8192, PART_MIN_COLUMN = 64, PARTS_MAX = 256 };

/* Parts so that the device is busy, none too short to be worth a thread or block. */
static void cut_lines(Cut *c) {
  int64_t lines = c->outer * c->inner, enough = c->inner == 1 ? LINES_ENOUGH : COLUMNS_ENOUGH;
  int64_t most = c->n / (c->inner == 1 ? PART_MIN_LINE : PART_MIN_COLUMN);
  c->parts = hf_max(1, hf_min(PARTS_MAX, hf_min(most, enough / hf_max(1, lines))));
  c->part = hf_max(1, hf_ceil_div(c->n, c->parts));
  c->parts = hf_max(1, hf_ceil_div(c->n, c->part));
}

template <class S> static HfStatus run(void *out, const void *x, Cut c, HfReduce op) {
  int64_t lines = c.outer * c.inner;
  if (lines == 0) return HF_OK;
  cut_lines(&c);
  HfScratch states(c.parts > 1 ? (size_t)(lines * c.parts) * sizeof(S) : 0);
  if (c.parts > 1 && !states.data) return HF_NO_MEMORY;
  if (c.inner == 1)
    HF_LAUNCH(lines_kernel<S>, hf_row_grid(lines * c.parts), hf_row_block(c.part), 0, hf_cuda_stream(), out, (S *)states.data, x, c, op);
  else
    HF_LAUNCH(columns_kernel<S>, hf_grid(lines * c.parts), HF_BLOCK, 0, hf_cuda_stream(), out, (S *)states.data, x, c, op);
  if (c.parts > 1)
    HF_LAUNCH(parts_kernel<S>, hf_grid(lines, 64), 64, 0, hf_cuda_stream(), out, (const S *)states.data, lines, c, op);
  return hf_cuda_status();
}

static HfStatus reduce(void *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, HfReduce op) {
  Cut c = {outer, n, inner, 1, n};
  bool logical = op == HF_ANY || op == HF_ALL;
  if (logical && (dtype == HF_BOOL || dtype == HF_UINT8)) return run<IntegerState<uint8_t>>(out, x, c, op);
  if (!logical && dtype == HF_FLOAT32) return run<FloatState>(out, x, c, op);
  if (dtype == HF_INT64 && (op == HF_SUM || op == HF_MAX || op == HF_MIN || op == HF_PROD))
    return run<IntegerState<int64_t>>(out, x, c, op);
  return HF_UNSUPPORTED;
}

void hf_cuda_fill_reduce(HfKernels *k) { k->reduce = reduce; }
