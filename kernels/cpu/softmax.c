/* Softmax and log-softmax over the middle of (outer, n, inner). Lines are contiguous with inner == 1; else a strip of
 * lines that lie side by side is walked together. A line of -inf gives NaN. */
#include "element.h"

enum { BLOCK = 512 };

typedef struct Softmax {
  float *out;
  const float *x, *dout, *y; /* x forward; dout and y backward */
  int64_t n, inner, width; /* width: of a strip */
  bool log;
} Softmax;

/* ---- contiguous lines */

static float line_max(const float *x, int64_t n) {
  float top = -INFINITY;
#pragma omp simd reduction(max : top)
  for (int64_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
  return top;
}

static void softmax_line(float *out, const float *x, int64_t n) {
  float top = line_max(x, n);
  double sum = 0;
  for (int64_t b = 0; b < n; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, n);
    float block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t i = b; i < end; i++) {
      float e = hf_exp_or_zero(x[i] - top);
      out[i] = e;
      block += e;
    }
    sum += block;
  }
  float factor = (float)(1.0 / sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] *= factor;
}

static void log_softmax_line(float *out, const float *x, int64_t n) {
  float top = line_max(x, n);
  double sum = 0;
  for (int64_t b = 0; b < n; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, n);
    float block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t i = b; i < end; i++) block += hf_exp_or_zero(x[i] - top);
    sum += block;
  }
  float log_sum = (float)log(sum);
#pragma omp simd
  for (int64_t i = 0; i < n; i++) out[i] = x[i] - top - log_sum;
}

static void forward_lines(const void *context, int64_t first, int64_t last) {
  const Softmax *s = context;
  for (int64_t i = first; i < last; i++)
    (s->log ? log_softmax_line : softmax_line)(s->out + i * s->n, s->x + i * s->n, s->n);
}

static void backward_line(float *dx, const float *dout, const float *y, int64_t n) {
  double dot = 0;
#pragma omp simd reduction(+ : dot)
  for (int64_t i = 0; i < n; i++) dot += dout[i] * y[i];
  float sum = (float)dot;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = (dout[i] - sum) * y[i];
}

static void log_backward_line(float *dx, const float *dout, const float *y, int64_t n) {
  double total = 0;
#pragma omp simd reduction(+ : total)
  for (int64_t i = 0; i < n; i++) total += dout[i];
  float sum = (float)total;
#pragma omp simd
  for (int64_t i = 0; i < n; i++) dx[i] = dout[i] - hf_exp_or_zero(y[i]) * sum;
}

static void backward_lines(const void *context, int64_t first, int64_t last) {
  const Softmax *s = context;
  for (int64_t i = first; i < last; i++)
    (s->log ? log_backward_line : backward_line)(s->out + i * s->n, s->dout + i * s->n, s->y + i * s->n, s->n);
}

/* ---- strips: `width` lines, elements `inner` apart */

static void softmax_strip(const Softmax *s, int64_t at, int64_t width) {
  float top[HF_STRIP], last_term[HF_STRIP];
  double sum[HF_STRIP];
  const float *x = s->x + at;
  float *out = s->out + at;
  for (int64_t j = 0; j < width; j++) top[j] = -INFINITY, sum[j] = 0;
  for (int64_t i = 0; i < s->n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) top[j] = x[i * s->inner + j] > top[j] ? x[i * s->inner + j] : top[j];
  for (int64_t i = 0; i < s->n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) sum[j] += hf_exp_or_zero(x[i * s->inner + j] - top[j]);
  if (s->log) {
    for (int64_t j = 0; j < width; j++) last_term[j] = (float)log(sum[j]);
    for (int64_t i = 0; i < s->n; i++)
#pragma omp simd
      for (int64_t j = 0; j < width; j++) out[i * s->inner + j] = x[i * s->inner + j] - top[j] - last_term[j];
  } else {
    for (int64_t j = 0; j < width; j++) last_term[j] = (float)(1.0 / sum[j]);
    for (int64_t i = 0; i < s->n; i++)
#pragma omp simd
      for (int64_t j = 0; j < width; j++)
        out[i * s->inner + j] = hf_exp_or_zero(x[i * s->inner + j] - top[j]) * last_term[j];
  }
}

static void backward_strip(const Softmax *s, int64_t at, int64_t width) {
  double sum[HF_STRIP];
  const float *dout = s->dout + at, *y = s->y + at;
  float *dx = s->out + at;
  for (int64_t j = 0; j < width; j++) sum[j] = 0;
  for (int64_t i = 0; i < s->n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
      int64_t e = i * s->inner + j;
      sum[j] += s->log ? dout[e] : dout[e] * y[e];
    }
  for (int64_t i = 0; i < s->n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
      int64_t e = i * s->inner + j;
      float total = (float)sum[j];
      dx[e] = s->log ? dout[e] - hf_exp_or_zero(y[e]) * total : (dout[e] - total) * y[e];
    }
}

/* Strips first .. last-1 of all, by the function for the direction. */
static void each_strip(const Softmax *s, int64_t first, int64_t last, void (*fn)(const Softmax *, int64_t, int64_t)) {
  int64_t strips = hf_ceil_div(s->inner, s->width);
  for (int64_t i = first; i < last; i++) {
    int64_t column = i % strips * s->width;
    fn(s, i / strips * s->n * s->inner + column, hf_min(s->width, s->inner - column));
  }
}
static void forward_strips(const void *context, int64_t first, int64_t last) {
  each_strip(context, first, last, softmax_strip);
}
static void backward_strips(const void *context, int64_t first, int64_t last) {
  each_strip(context, first, last, backward_strip);
}

static HfStatus run(Softmax *s, int64_t outer, HfRangeFn *lines, HfRangeFn *strips) {
  int64_t work = outer * s->n * s->inner;
  if (work == 0) return HF_OK;
  if (s->inner == 1) {
    hf_parallel(outer, work, lines, s);
  } else {
    s->width = hf_strip_width(outer, s->inner);
    hf_parallel(outer * hf_ceil_div(s->inner, s->width), work, strips, s);
  }
  return HF_OK;
}

static HfStatus softmax(float *out, const float *x, int64_t outer, int64_t n, int64_t inner, bool log) {
  Softmax s = {.out = out, .x = x, .n = n, .inner = inner, .log = log};
  return run(&s, outer, forward_lines, forward_strips);
}

static HfStatus softmax_backward(float *dx, const float *dout, const float *y, int64_t outer, int64_t n, int64_t inner,
                                 bool log) {
  Softmax s = {.out = dx, .dout = dout, .y = y, .n = n, .inner = inner, .log = log};
  return run(&s, outer, backward_lines, backward_strips);
}

void HF_CPU(fill_softmax)(HfKernels *k) {
  k->softmax = softmax;
  k->softmax_backward = softmax_backward;
}
