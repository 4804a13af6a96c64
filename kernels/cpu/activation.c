/* Activations behind a product: forward in the product's epilogue, backward together with the bias gradient. */
#include "element.h"
#include "product_own.h"
#include <string.h>

#define GELU_SLOPE 1.595769122f /* 2 sqrt(2 / pi) */
#define GELU_CUBIC 0.044715f
#define INLINE static inline __attribute__((always_inline))

/* gelu is x Phi(x); its tanh form is x sigmoid(2 y), since 1 + tanh(y) = 2 sigmoid(2 y). */
INLINE float activate(float x, HfActivation activation) {
  float density;
  switch (activation) {
  case HF_ACT_GELU: return x * hf_vnormal(x, &density);
  case HF_ACT_GELU_TANH: return x * hf_vsigmoid(GELU_SLOPE * x * (1.0f + GELU_CUBIC * x * x));
  case HF_ACT_RELU: return x < 0 ? 0 : x;
  case HF_ACT_SILU: return x * hf_vsigmoid(x);
  case HF_ACT_TANH: return hf_vtanh(x);
  case HF_ACT_NONE: break;
  }
  return x;
}

/* d x s(y(x)) with s the sigmoid: s + x s (1 - s) y'. */
INLINE float sigmoid_derivative(float x, float y, float dy) {
  float s = hf_vsigmoid(y);
  return s + x * s * (1.0f - s) * dy;
}

/* The derivative of `activate` at x. */
INLINE float derivative(float x, HfActivation activation) {
  float density, phi, t;
  switch (activation) {
  case HF_ACT_GELU: phi = hf_vnormal(x, &density); return phi + x * density;
  case HF_ACT_GELU_TANH: return sigmoid_derivative(x, GELU_SLOPE * x * (1.0f + GELU_CUBIC * x * x), GELU_SLOPE * (1.0f + 3.0f * GELU_CUBIC * x * x));
  case HF_ACT_RELU: return x > 0 ? 1.0f : 0.0f;
  case HF_ACT_SILU: return sigmoid_derivative(x, x, 1.0f);
  case HF_ACT_TANH: t = hf_vtanh(x); return 1.0f - t * t;
  case HF_ACT_NONE: break;
  }
  return 1.0f;
}

/* Calls `function` with the activation as a constant, so that each gets loops of its own. */
#define FOR_ACTIVATION(activation, function, ...)                     \
  switch (activation) {                                               \
  case HF_ACT_NONE: function(__VA_ARGS__, HF_ACT_NONE); break;           \
  case HF_ACT_GELU: function(__VA_ARGS__, HF_ACT_GELU); break;           \
  case HF_ACT_GELU_TANH: function(__VA_ARGS__, HF_ACT_GELU_TANH); break; \
  case HF_ACT_RELU: function(__VA_ARGS__, HF_ACT_RELU); break;           \
  case HF_ACT_SILU: function(__VA_ARGS__, HF_ACT_SILU); break;           \
  case HF_ACT_TANH: function(__VA_ARGS__, HF_ACT_TANH); break;           \
  }

/* ---- forward */

INLINE void activate_row(float *restrict c, const float *restrict bias, int64_t columns, HfActivation activation) {
  if (bias)
    for (int64_t j = 0; j < columns; j++) c[j] = activate(c[j] + bias[j], activation);
  else
    for (int64_t j = 0; j < columns; j++) c[j] = activate(c[j], activation);
}

INLINE void activate_row_keeping(float *restrict c, float *restrict pre, const float *restrict bias, int64_t columns, HfActivation activation) {
  if (bias)
    for (int64_t j = 0; j < columns; j++) pre[j] = c[j] + bias[j], c[j] = activate(pre[j], activation);
  else
    for (int64_t j = 0; j < columns; j++) pre[j] = c[j], c[j] = activate(pre[j], activation);
}

INLINE void activate_rows(float *c, float *pre, int64_t ld, int64_t rows, int64_t columns, const float *bias, HfActivation activation) {
  for (int64_t i = 0; i < rows; i++, c += ld) {
    if (pre) activate_row_keeping(c, pre + i * ld, bias, columns, activation);
    else activate_row(c, bias, columns, activation);
  }
}

void HF_CPU(epilogue)(float *c, float *pre, int64_t ld, int64_t rows, int64_t columns, const float *bias, HfActivation activation) {
  if (!bias && !pre && activation == HF_ACT_NONE) return;
  FOR_ACTIVATION(activation, activate_rows, c, pre, ld, rows, columns, bias)
}

/* ---- forward of 16-bit numbers */

typedef struct Half {
  void *c;
  const void *pre;
  int64_t ld, columns;
  HfDtype dtype;
  HfActivation activation;
} Half;

INLINE void activate_half_rows(const Half *h, int64_t first, int64_t last, HfDtype dtype, HfActivation activation) {
  for (int64_t i = first; i < last; i++) {
    void *c = hf_at_mut(h->c, i * h->ld, dtype);
    const void *pre = hf_at(h->pre, i * h->ld, dtype);
#pragma omp simd
    for (int64_t j = 0; j < h->columns; j++) hf_store(c, j, activate(hf_load(pre, j, dtype), activation), dtype);
  }
}

static void activate_half_range(const void *context, int64_t first, int64_t last) {
  const Half *h = context;
  if (h->dtype == HF_BFLOAT16) FOR_ACTIVATION(h->activation, activate_half_rows, h, first, last, HF_BFLOAT16)
  else FOR_ACTIVATION(h->activation, activate_half_rows, h, first, last, HF_FLOAT16)
}

void HF_CPU(activate_half)(void *c, const void *pre, int64_t ld, int64_t rows, int64_t columns, HfDtype dtype, HfActivation activation) {
  if (c == pre && activation == HF_ACT_NONE) return;
  hf_parallel(rows, rows * columns, activate_half_range, &(Half){c, pre, ld, columns, dtype, activation});
}

/* ---- backward */

enum { CHUNK = 64 }; /* rows summed before their sum joins the total: keeps rounding errors of long columns small */

INLINE void backward_row(void *dpre, float *restrict sum, const void *dout, const void *pre, int64_t columns, HfDtype dtype, HfActivation activation) {
#pragma omp simd
  for (int64_t j = 0; j < columns; j++) {
    float g = hf_load(dout, j, dtype) * derivative(hf_load(pre, j, dtype), activation);
    hf_store(dpre, j, g, dtype);
    sum[j] += g;
  }
}

INLINE void sum_row(float *restrict sum, const void *row, int64_t columns, HfDtype dtype) {
#pragma omp simd
  for (int64_t j = 0; j < columns; j++) sum[j] += hf_load(row, j, dtype);
}

/* Adds the column sums of a chunk to total and clears them. */
static void flush(float *restrict total, float *restrict sum, int64_t columns) {
  for (int64_t j = 0; j < columns; j++) total[j] += sum[j], sum[j] = 0;
}

typedef struct Backward {
  void *dpre;
  const void *dout, *pre;
  int64_t columns;
  HfActivation activation;
} Backward;

/* Rows first..last-1; sums[0..columns-1] gets their column sums, the next `columns` floats are scratch. */
INLINE void backward_rows(const Backward *b, float *sums, int64_t first, int64_t last, HfDtype dtype, HfActivation activation) {
  float *sum = sums + b->columns;
  memset(sums, 0, (size_t)b->columns * 2 * sizeof *sums);
  for (int64_t i = first; i < last; i++) {
    const void *dout = hf_at(b->dout, i * b->columns, dtype);
    if (b->pre) backward_row(hf_at_mut(b->dpre, i * b->columns, dtype), sum, dout, hf_at(b->pre, i * b->columns, dtype), b->columns, dtype, activation);
    else sum_row(sum, dout, b->columns, dtype);
    if ((i - first) % CHUNK == CHUNK - 1 || i == last - 1) flush(sums, sum, b->columns);
  }
}

typedef void BackwardFn(const Backward *b, float *sums, int64_t first, int64_t last);
#define DEFINE_BACKWARD(NAME, DTYPE) \
  static void NAME(const Backward *b, float *sums, int64_t first, int64_t last) { \
    FOR_ACTIVATION(b->activation, backward_rows, b, sums, first, last, DTYPE) \
  }
DEFINE_BACKWARD(backward_float32, HF_FLOAT32)
DEFINE_BACKWARD(backward_float16, HF_FLOAT16)
DEFINE_BACKWARD(backward_bfloat16, HF_BFLOAT16)
static BackwardFn *const backward_of[3] = {backward_float32, backward_float16, backward_bfloat16};

/* Adds up the sums of the threads, in their order. */
static void join_sums(float *dbias, const float *sums, int threads, int64_t columns, float beta) {
  for (int64_t j = 0; j < columns; j++) {
    float total = 0;
    for (int t = 0; t < threads; t++) total += sums[t * 2 * columns + j];
    dbias[j] = beta == 0 ? total : beta * dbias[j] + total;
  }
}

static HfStatus bias_activation_backward(void *dpre, float *dbias, const void *dout, const void *pre, HfDtype dtype, int64_t rows,
                                         int64_t columns, HfActivation activation, float beta) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  Backward b = {dpre, dout, pre, columns, activation};
  int threads = rows * columns < HF_PARALLEL_MINIMUM ? 1 : hf_thread_count();
  float *sums = hf_scratch_new(threads * 2 * columns);
  if (!sums) return HF_NO_MEMORY;
  if (!pre && dpre != dout) memcpy(dpre, dout, (size_t)(rows * columns) * hf_element_size(dtype));
  if (pre || dbias) {
#pragma omp parallel for schedule(static) if (threads > 1)
    for (int t = 0; t < threads; t++) backward_of[dtype](&b, sums + t * 2 * columns, rows * t / threads, rows * (t + 1) / threads);
  }
  if (dbias) join_sums(dbias, sums, threads, columns, beta);
  hf_scratch_free(sums, threads * 2 * columns);
  return HF_OK;
}

void HF_CPU(fill_activation)(HfKernels *k) { k->bias_activation_backward = bias_activation_backward; }
