/* Argmax, argmin, variance and running sums along the middle of (outer, n, inner). */
#include "element.h"
#include "parallel.h"

typedef struct Lines {
  void *out;
  const void *x;
  float *mean; /* of variance; may be NULL */
  int64_t outer, n, inner;
  double divisor;
  bool flag; /* largest, or reverse */
} Lines;

/* Where line number i begins. */
static int64_t line_start(const Lines *l, int64_t i) { return i / l->inner * l->n * l->inner + i % l->inner; }

static HfStatus run(const Lines *l, HfRangeFn *fn) {
  hf_parallel(l->outer * l->inner, l->outer * l->n * l->inner, fn, l);
  return HF_OK;
}

/* ---- index of the extreme: the first of equals, the first NaN before all */

/* The extreme of a contiguous line is found first, then its place; NaN differs from itself. */
#define DEFINE_INDEX(NAME, T) \
  static int64_t NAME##_contiguous(const T *x, int64_t n, bool largest) { \
    T top = x[0], bottom = x[0]; \
    int has_nan = 0; \
    _Pragma("omp simd reduction(max : top) reduction(min : bottom) reduction(| : has_nan)") for (int64_t i = 0; i < n; i++) { \
      top = x[i] > top ? x[i] : top; \
      bottom = x[i] < bottom ? x[i] : bottom; \
      has_nan |= x[i] != x[i]; \
    } \
    T wanted = largest ? top : bottom; \
    int64_t i = 0; \
    while (has_nan ? x[i] == x[i] : x[i] != wanted) i++; \
    return i; \
  } \
  static int64_t NAME##_strided(const T *x, int64_t n, int64_t step, bool largest) { \
    int64_t best = 0; \
    for (int64_t i = 1; i < n && x[best * step] == x[best * step]; i++) { \
      T v = x[i * step], top = x[best * step]; \
      if ((largest ? v > top : v < top) || v != v) best = i; \
    } \
    return best; \
  } \
  static void NAME(const void *context, int64_t first, int64_t last) { \
    const Lines *l = context; \
    for (int64_t i = first; i < last; i++) { \
      const T *x = (const T *)l->x + line_start(l, i); \
      ((int64_t *)l->out)[i] = l->inner == 1 ? NAME##_contiguous(x, l->n, l->flag) : NAME##_strided(x, l->n, l->inner, l->flag); \
    } \
  }
DEFINE_INDEX(index_float, float)
DEFINE_INDEX(index_int64, int64_t)

static HfStatus reduce_index(int64_t *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner,
                             bool largest) {
  if ((dtype != HF_FLOAT32 && dtype != HF_INT64) || n == 0) return HF_UNSUPPORTED;
  Lines l = {.out = out, .x = x, .outer = outer, .n = n, .inner = inner, .flag = largest};
  return run(&l, dtype == HF_INT64 ? index_int64 : index_float);
}

/* ---- variance: the mean, then the squared distances from it, in double */

static void variance_line(const Lines *l, int64_t i) {
  const float *x = (const float *)l->x + i * l->n;
  double mean = 0, squares = 0;
#pragma omp simd reduction(+ : mean)
  for (int64_t j = 0; j < l->n; j++) mean += x[j];
  mean /= (double)l->n;
#pragma omp simd reduction(+ : squares)
  for (int64_t j = 0; j < l->n; j++) squares += (x[j] - mean) * (x[j] - mean);
  ((float *)l->out)[i] = (float)(squares / l->divisor);
  if (l->mean) l->mean[i] = (float)mean;
}

static void variance_lines(const void *context, int64_t first, int64_t last) {
  for (int64_t i = first; i < last; i++) variance_line(context, i);
}

/* `width` lines side by side from element x of the input and element `to` of the results. */
static void variance_strip(const Lines *l, const float *x, int64_t to, int64_t width) {
  double mean[HF_STRIP], squares[HF_STRIP];
  for (int64_t j = 0; j < width; j++) mean[j] = squares[j] = 0;
  for (int64_t i = 0; i < l->n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) mean[j] += x[i * l->inner + j];
  for (int64_t j = 0; j < width; j++) mean[j] /= (double)l->n;
  for (int64_t i = 0; i < l->n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) squares[j] += (x[i * l->inner + j] - mean[j]) * (x[i * l->inner + j] - mean[j]);
  for (int64_t j = 0; j < width; j++) {
    ((float *)l->out)[to + j] = (float)(squares[j] / l->divisor);
    if (l->mean) l->mean[to + j] = (float)mean[j];
  }
}

static void variance_strips(const void *context, int64_t first, int64_t last) {
  const Lines *l = context;
  int64_t width = hf_strip_width(l->outer, l->inner), strips = hf_ceil_div(l->inner, width);
  for (int64_t s = first; s < last; s++) {
    int64_t o = s / strips, j = s % strips * width;
    variance_strip(l, (const float *)l->x + o * l->n * l->inner + j, o * l->inner + j, hf_min(width, l->inner - j));
  }
}

static HfStatus variance(float *out, float *mean, const float *x, int64_t outer, int64_t n, int64_t inner,
                         double correction) {
  double divisor = (double)n - correction;
  Lines l = {.out = out, .x = x, .mean = mean, .outer = outer, .n = n, .inner = inner, .divisor = divisor > 0 ? divisor : 0};
  if (inner == 1) return run(&l, variance_lines);
  hf_parallel(outer * hf_ceil_div(inner, hf_strip_width(outer, inner)), outer * n * inner, variance_strips, &l);
  return HF_OK;
}

/* ---- running sums; floats in double */

#define DEFINE_CUMSUM(NAME, T, SUM) \
  static void NAME(const void *context, int64_t first, int64_t last) { \
    const Lines *l = context; \
    for (int64_t i = first; i < last; i++) { \
      int64_t start = line_start(l, i); \
      SUM sum = 0; \
      for (int64_t j = 0; j < l->n; j++) { \
        int64_t at = start + (l->flag ? l->n - 1 - j : j) * l->inner; \
        sum += (SUM)((const T *)l->x)[at]; \
        ((T *)l->out)[at] = (T)sum; \
      } \
    } \
  }
DEFINE_CUMSUM(cumsum_float, float, double)
DEFINE_CUMSUM(cumsum_int64, int64_t, uint64_t)

static HfStatus cumsum(void *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, bool reverse) {
  if (dtype != HF_FLOAT32 && dtype != HF_INT64) return HF_UNSUPPORTED;
  Lines l = {.out = out, .x = x, .outer = outer, .n = n, .inner = inner, .flag = reverse};
  return run(&l, dtype == HF_INT64 ? cumsum_int64 : cumsum_float);
}

void HF_CPU(fill_statistics)(HfKernels *k) {
  k->reduce_index = reduce_index;
  k->variance = variance;
  k->cumsum = cumsum;
}
