/* Reductions over the middle of (outer, n, inner). With inner == 1 a line is contiguous; else lines lie side by side
 * and a strip of them is walked together. Float sums are made in double, in blocks of fixed size, so that the
 * result depends on nothing but the values. */
#include "element.h"

enum {
  BLOCK = 1024,     /* elements summed at once on one line */
  PARTS = 256,      /* most parts a long line is cut into, to share it between threads */
  PART_MIN = 16384  /* elements of a part, at least */
};

typedef struct Reduce {
  void *out;
  const void *x;
  int64_t outer, n, inner, width; /* width: of a strip */
  HfReduce op;
} Reduce;

/* ---- a contiguous line, or a part of one, to a double; MEAN counts as SUM, LOGSUMEXP is below */

static double sum_line(const float *x, int64_t n) {
  double sum = 0;
  for (int64_t b = 0; b < n; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, n);
    double block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t i = b; i < end; i++) block += x[i];
    sum += block;
  }
  return sum;
}

static double sum_squares_line(const float *x, int64_t n) {
  double sum = 0;
  for (int64_t b = 0; b < n; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, n);
    double block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t i = b; i < end; i++) block += (double)x[i] * x[i];
    sum += block;
  }
  return sum;
}

static double product_line(const float *x, int64_t n) {
  double product = 1;
#pragma omp simd reduction(* : product)
  for (int64_t i = 0; i < n; i++) product *= x[i];
  return product;
}

/* The largest of s * x[i], NaN if one is NaN; s is 1 or -1. */
static float extreme_line(const float *x, int64_t n, float s) {
  float best = -INFINITY;
  int has_nan = 0;
#pragma omp simd reduction(max : best) reduction(| : has_nan)
  for (int64_t i = 0; i < n; i++) {
    float v = s * x[i];
    best = v > best ? v : best;
    has_nan |= v != v;
  }
  return has_nan ? NAN : best;
}

static double logsumexp_line(const float *x, int64_t n) {
  float top = extreme_line(x, n, 1);
  if (!isfinite(top)) return top;
  double sum = 0;
  for (int64_t b = 0; b < n; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, n);
    float block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t i = b; i < end; i++) block += hf_exp_or_zero(x[i] - top);
    sum += block;
  }
  return top + log(sum);
}

static double reduce_line(const float *x, int64_t n, HfReduce op) {
  switch (op) {
  case HF_SUM: case HF_MEAN: return sum_line(x, n);
  case HF_SUM_SQUARES: return sum_squares_line(x, n);
  case HF_PROD: return product_line(x, n);
  case HF_MAX: return extreme_line(x, n, 1);
  case HF_MIN: return -extreme_line(x, n, -1);
  default: return logsumexp_line(x, n);
  }
}

static void float_lines(const void *context, int64_t first, int64_t last) {
  const Reduce *r = context;
  double divisor = r->op == HF_MEAN ? (double)r->n : 1;
  for (int64_t i = first; i < last; i++)
    ((float *)r->out)[i] = (float)(reduce_line((const float *)r->x + i * r->n, r->n, r->op) / divisor);
}

/* ---- few long lines: parts of fixed size are reduced by all threads, then combined in order */

typedef struct Parts {
  const float *x;
  int64_t n, size;
  HfReduce op;
  double *result;
} Parts;

static void reduce_parts(const void *context, int64_t first, int64_t last) {
  const Parts *p = context;
  for (int64_t i = first; i < last; i++)
    p->result[i] = reduce_line(p->x + i * p->size, hf_min(p->size, p->n - i * p->size), p->op);
}

static double combine_logsumexp(const double *part, int64_t count) {
  double top = -INFINITY, sum = 0;
  for (int64_t i = 0; i < count; i++) top = fmax(top, part[i]);
  if (isinf(top)) top = 0;
  for (int64_t i = 0; i < count; i++) sum += exp(part[i] - top);
  return top + log(sum);
}

static double combine(const double *part, int64_t count, HfReduce op) {
  if (op == HF_LOGSUMEXP) return combine_logsumexp(part, count);
  double result = part[0];
  for (int64_t i = 1; i < count; i++) {
    double v = part[i];
    switch (op) {
    case HF_PROD: result *= v; break;
    case HF_MAX: result = v > result || v != v ? v : result; break;
    case HF_MIN: result = v < result || v != v ? v : result; break;
    default: result += v;
    }
  }
  return result;
}

static float reduce_long_line(const float *x, int64_t n, HfReduce op) {
  double result[PARTS] = {0};
  int64_t size = hf_max(PART_MIN, hf_ceil_div(n, PARTS)), count = hf_ceil_div(n, size);
  Parts p = {x, n, size, op, result};
  hf_parallel(count, n, reduce_parts, &p);
  return (float)(combine(result, count, op) / (op == HF_MEAN ? (double)n : 1));
}

/* ---- strips of lines that lie side by side: `width` lines from x, their elements `inner` apart */

static void strip_extremes(float *best, const float *x, int64_t n, int64_t inner, int64_t width, float s) {
  for (int64_t j = 0; j < width; j++) best[j] = -INFINITY;
  for (int64_t i = 0; i < n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
      float v = s * x[i * inner + j];
      best[j] = v > best[j] || v != v ? v : best[j];
    }
#pragma omp simd
  for (int64_t j = 0; j < width; j++) best[j] *= s;
}

static void strip_logsumexp(double *result, const float *x, int64_t n, int64_t inner, int64_t width) {
  float top[HF_STRIP];
  strip_extremes(top, x, n, inner, width, 1);
  for (int64_t j = 0; j < width; j++) result[j] = 0;
  for (int64_t i = 0; i < n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) result[j] += hf_exp_or_zero(x[i * inner + j] - top[j]);
  for (int64_t j = 0; j < width; j++) result[j] = isfinite(top[j]) ? top[j] + log(result[j]) : top[j];
}

static void strip_products(double *result, const float *x, int64_t n, int64_t inner, int64_t width) {
  for (int64_t j = 0; j < width; j++) result[j] = 1;
  for (int64_t i = 0; i < n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) result[j] *= x[i * inner + j];
}

static void strip_sums(double *result, const float *x, int64_t n, int64_t inner, int64_t width) {
  for (int64_t j = 0; j < width; j++) result[j] = 0;
  for (int64_t i = 0; i < n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) result[j] += x[i * inner + j];
}

static void strip_sums_of_squares(double *result, const float *x, int64_t n, int64_t inner, int64_t width) {
  for (int64_t j = 0; j < width; j++) result[j] = 0;
  for (int64_t i = 0; i < n; i++)
#pragma omp simd
    for (int64_t j = 0; j < width; j++) {
      double v = x[i * inner + j];
      result[j] += v * v;
    }
}

static void reduce_strip(float *out, const float *x, const Reduce *r, int64_t width) {
  double result[HF_STRIP];
  switch (r->op) {
  case HF_MAX: strip_extremes(out, x, r->n, r->inner, width, 1); return;
  case HF_MIN: strip_extremes(out, x, r->n, r->inner, width, -1); return;
  case HF_LOGSUMEXP: strip_logsumexp(result, x, r->n, r->inner, width); break;
  case HF_PROD: strip_products(result, x, r->n, r->inner, width); break;
  case HF_SUM_SQUARES: strip_sums_of_squares(result, x, r->n, r->inner, width); break;
  default: strip_sums(result, x, r->n, r->inner, width);
  }
  double divisor = r->op == HF_MEAN ? (double)r->n : 1;
  for (int64_t j = 0; j < width; j++) out[j] = (float)(result[j] / divisor);
}

static void float_strips(const void *context, int64_t first, int64_t last) {
  const Reduce *r = context;
  int64_t strips = hf_ceil_div(r->inner, r->width);
  for (int64_t s = first; s < last; s++) {
    int64_t o = s / strips, j = s % strips * r->width;
    reduce_strip((float *)r->out + o * r->inner + j, (const float *)r->x + o * r->n * r->inner + j, r,
                 hf_min(r->width, r->inner - j));
  }
}

static void reduce_float(Reduce *r) {
  int64_t work = r->outer * r->n * r->inner;
  if (r->inner > 1) {
    r->width = hf_strip_width(r->outer, r->inner);
    hf_parallel(r->outer * hf_ceil_div(r->inner, r->width), work, float_strips, r);
  } else if (r->n >= 2 * PART_MIN && r->outer < 16) {
    for (int64_t i = 0; i < r->outer; i++)
      ((float *)r->out)[i] = reduce_long_line((const float *)r->x + i * r->n, r->n, r->op);
  } else {
    hf_parallel(r->outer, work, float_lines, r);
  }
}

/* ---- integers and booleans, line by line */

static int64_t integer_neutral(HfReduce op) {
  return op == HF_PROD ? 1 : op == HF_MAX ? INT64_MIN : op == HF_MIN ? INT64_MAX : 0;
}

static int64_t reduce_integers(const int64_t *x, int64_t n, int64_t step, HfReduce op) {
  int64_t result = integer_neutral(op);
  for (int64_t i = 0; i < n; i++) {
    int64_t v = x[i * step];
    switch (op) {
    case HF_PROD: result = (int64_t)((uint64_t)result * (uint64_t)v); break;
    case HF_MAX: result = v > result ? v : result; break;
    case HF_MIN: result = v < result ? v : result; break;
    default: result = (int64_t)((uint64_t)result + (uint64_t)v);
    }
  }
  return result;
}

static void integer_lines(const void *context, int64_t first, int64_t last) {
  const Reduce *r = context;
  for (int64_t i = first; i < last; i++) {
    const int64_t *line = (const int64_t *)r->x + i / r->inner * r->n * r->inner + i % r->inner;
    ((int64_t *)r->out)[i] = reduce_integers(line, r->n, r->inner, r->op);
  }
}

static void boolean_lines(const void *context, int64_t first, int64_t last) {
  const Reduce *r = context;
  bool wanted = r->op == HF_ANY; /* the value that decides */
  for (int64_t i = first; i < last; i++) {
    const uint8_t *line = (const uint8_t *)r->x + i / r->inner * r->n * r->inner + i % r->inner;
    bool found = false;
    for (int64_t j = 0; j < r->n && !found; j++) found = (line[j * r->inner] != 0) == wanted;
    ((uint8_t *)r->out)[i] = found ? wanted : !wanted;
  }
}

static HfStatus reduce(void *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, HfReduce op) {
  Reduce r = {.out = out, .x = x, .outer = outer, .n = n, .inner = inner, .op = op};
  bool logical = op == HF_ANY || op == HF_ALL;
  if (logical && (dtype == HF_BOOL || dtype == HF_UINT8)) hf_parallel(outer * inner, outer * n * inner, boolean_lines, &r);
  else if (!logical && dtype == HF_FLOAT32) reduce_float(&r);
  else if (dtype == HF_INT64 && (op == HF_SUM || op == HF_MAX || op == HF_MIN || op == HF_PROD))
    hf_parallel(outer * inner, outer * n * inner, integer_lines, &r);
  else return HF_UNSUPPORTED;
  return HF_OK;
}

void HF_CPU(fill_reduce)(HfKernels *k) { k->reduce = reduce; }
