/* Products, attention, activations and vector math of the CPU kernels against plain loops in double, for every
 * instruction set and product library of this machine: each pair runs in a process of its own, since both are chosen once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "cpu/vmath.h"
#include "kernels.h"

static const HfKernels *kernels;

/* ---- helpers */

static uint32_t random_state = 1;
static float next_random(void) { /* -1..1 */
  random_state = random_state * 1664525u + 1013904223u;
  return (float)(int32_t)random_state / 2147483648.0f;
}

static float *random_floats(int64_t n) {
  float *x = malloc((size_t)(n + 1) * sizeof *x);
  for (int64_t i = 0; i < n; i++) x[i] = next_random();
  return x;
}

static float *copy_floats(const float *x, int64_t n) {
  float *copy = malloc((size_t)(n + 1) * sizeof *copy);
  memcpy(copy, x, (size_t)n * sizeof *copy);
  return copy;
}

static void assert_near(float got, double expected, double tolerance, const char *what, int64_t i) {
  if (fabs(got - expected) <= tolerance * (1 + fabs(expected))) return;
  fail_msg("%s [%lld]: expected %.9g, found %.9g", what, (long long)i, expected, got);
}

/* ---- vector math */

typedef struct Sweep {
  const char *name;
  float (*ours)(float);
  double (*reference)(double);
  float low, high;
} Sweep;

static float call_exp(float x) { return hf_vexp(x); }
static float call_exp_negative(float x) { return hf_vexp_negative(x); }
static float call_tanh(float x) { return hf_vtanh(x); }
static float call_erf(float x) { return hf_verf(x); }
static float call_log(float x) { return hf_vlog(x); }

static void test_vector_math_is_close_to_libm(void **state) {
  static const Sweep sweeps[] = {{"exp", call_exp, exp, -87, 88.7f},        {"exp negative", call_exp_negative, exp, -86, 0},
                                 {"tanh", call_tanh, tanh, -10, 10},        {"tanh", call_tanh, tanh, -1e-3f, 1e-3f},
                                 {"erf", call_erf, erf, -5, 5},             {"erf", call_erf, erf, -1e-3f, 1e-3f},
                                 {"log", call_log, log, 1e-6f, 10},         {"log", call_log, log, 1, 1e38f},
                                 {"log", call_log, log, 1e-42f, 1e-37f}};
  for (size_t s = 0; s < sizeof sweeps / sizeof *sweeps; s++)
    for (int i = 0; i <= 200000; i++) {
      float x = sweeps[s].low + (sweeps[s].high - sweeps[s].low) * (float)i / 200000;
      double expected = sweeps[s].reference(x), error = fabs(sweeps[s].ours(x) - expected);
      if (error > 1.5e-7 * fabs(expected) + 1e-9 * (x > 0.9f && x < 1.1f))
        fail_msg("%s(%.9g): expected %.9g, found %.9g", sweeps[s].name, x, expected, sweeps[s].ours(x));
    }
}

static void test_vector_math_at_the_ends(void **state) {
  assert_true(isinf(hf_vexp(INFINITY)) && hf_vexp(-INFINITY) == 0 && isnan(hf_vexp(NAN)) && isnan(hf_vexp_negative(NAN)));
  assert_true(isinf(hf_vexp(89)) && hf_vexp(-104) == 0 && hf_vexp(-100) > 0 && hf_vexp(0) == 1);
  assert_true(hf_vtanh(INFINITY) == 1 && hf_vtanh(-INFINITY) == -1 && isnan(hf_vtanh(NAN)));
  assert_true(hf_verf(INFINITY) == 1 && hf_verf(-INFINITY) == -1 && isnan(hf_verf(NAN)));
  assert_true(hf_vlog(0) == -INFINITY && isnan(hf_vlog(-1)) && isinf(hf_vlog(INFINITY)) && isnan(hf_vlog(NAN)) && hf_vlog(1) == 0);
}

/* ---- products */

static double activated(double x, HfActivation activation) {
  switch (activation) {
  case HF_ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
  case HF_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
  case HF_ACT_RELU: return x > 0 ? x : 0;
  case HF_ACT_SILU: return x / (1 + exp(-x));
  case HF_ACT_TANH: return tanh(x);
  default: return x;
  }
}

static double product_entry(const HfMatmul *m, int64_t batch, int64_t i, int64_t j) {
  const float *a = (const float *)m->a + batch * m->stride_a, *b = (const float *)m->b + batch * m->stride_b;
  double sum = 0;
  for (int64_t p = 0; p < m->k; p++)
    sum += (double)(m->transpose_a ? a[p * m->lda + i] : a[i * m->lda + p]) * (m->transpose_b ? b[j * m->ldb + p] : b[p * m->ldb + j]);
  return sum * m->alpha;
}

/* Checks c and pre against loops; old_c is c before the call. */
static void check_product(const HfMatmul *m, const float *old_c) {
  double tolerance = 1e-6 * (4 + sqrt((double)m->k));
  for (int64_t batch = 0; batch < m->batch; batch++)
    for (int64_t i = 0; i < m->m; i++)
      for (int64_t j = 0; j < m->n; j++) {
        int64_t at = batch * m->stride_c + i * m->ldc + j;
        double x = product_entry(m, batch, i, j);
        if (m->beta != 0) x += m->beta * old_c[at];
        if (m->bias) x += ((const float *)m->bias)[j];
        if (m->pre) assert_near(((float *)m->pre)[at], x, tolerance, "pre", at);
        assert_near(((float *)m->c)[at], activated(x, m->activation), tolerance, "c", at);
      }
}

/* The floats between the used columns of c must stay as they were. */
static void check_gaps(const HfMatmul *m, const float *old_c, int64_t size) {
  for (int64_t at = 0; at < size; at++) {
    int64_t within = at % m->stride_c;
    if (within / m->ldc < m->m && within % m->ldc < m->n) continue;
    assert_true(((float *)m->c)[at] == old_c[at]);
  }
}

/* Runs the product that `m` describes on random operands, with `gap` unused floats behind every row. */
static void run_product(HfMatmul m, int64_t gap, bool with_bias, bool with_pre) {
  m.dtype = HF_FLOAT32;
  m.lda = (m.transpose_a ? m.m : m.k) + gap;
  m.ldb = (m.transpose_b ? m.k : m.n) + gap;
  m.ldc = m.n + gap;
  m.stride_a = m.lda * (m.transpose_a ? m.k : m.m);
  m.stride_b = m.ldb * (m.transpose_b ? m.n : m.k);
  m.stride_c = m.ldc * m.m;
  int64_t size = m.stride_c * m.batch;
  float *a = random_floats(m.stride_a * m.batch), *b = random_floats(m.stride_b * m.batch), *c = random_floats(size);
  float *old_c = copy_floats(c, size), *bias = random_floats(m.n), *pre = random_floats(size);
  if (m.beta == 0 && size) c[0] = NAN; /* must not be read */
  m.a = a, m.b = b, m.c = c, m.bias = with_bias ? bias : NULL, m.pre = with_pre ? pre : NULL;
  assert_int_equal(kernels->matmul(&m), HF_OK);
  check_product(&m, old_c);
  if (size) check_gaps(&m, old_c, size);
  free(a), free(b), free(c), free(old_c), free(bias), free(pre);
}

static void test_product_shapes(void **state) {
  static const int64_t shapes[][3] = {{1, 1, 1},    {2, 3, 4},     {5, 7, 3},     {6, 16, 4},   {12, 32, 8},  {13, 33, 9},   {1, 100, 17},
                                      {100, 1, 17}, {17, 31, 259}, {53, 53, 64},  {64, 48, 96}, {7, 400, 30}, {150, 70, 520}, {300, 20, 5}};
  for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
    for (int transposes = 0; transposes < 4; transposes++)
      for (int gap = 0; gap < 4; gap += 3) {
        HfMatmul m = {.transpose_a = transposes & 1, .transpose_b = transposes & 2, .m = shapes[s][0], .n = shapes[s][1], .k = shapes[s][2], .batch = 1, .alpha = 1};
        run_product(m, gap, false, false);
      }
}

static void test_product_alpha_beta(void **state) {
  static const float factors[][2] = {{1, 1}, {0.5f, 0}, {-2, 1}, {1, 0.25f}, {0, 3}};
  for (size_t f = 0; f < sizeof factors / sizeof *factors; f++)
    for (int64_t k = 1; k < 700; k += 299) {
      HfMatmul m = {.transpose_a = true, .m = 37, .n = 45, .k = k, .batch = 1, .alpha = factors[f][0], .beta = factors[f][1]};
      run_product(m, 2, false, false);
    }
}

static void test_product_epilogues(void **state) {
  for (int activation = HF_ACT_NONE; activation <= HF_ACT_TANH; activation++)
    for (int options = 0; options < 8; options++) {
      HfMatmul m = {.transpose_b = true, .m = 29, .n = 67, .k = 300, .batch = 1, .alpha = 0.1f, .beta = options & 4 ? 1 : 0, .activation = (HfActivation)activation};
      run_product(m, options & 1, options & 1, options & 2);
    }
}

static void test_product_batches(void **state) {
  for (int64_t batch = 0; batch < 6; batch++)
    for (int transposes = 0; transposes < 4; transposes++) {
      HfMatmul m = {.transpose_a = transposes & 1, .transpose_b = transposes & 2, .m = 19, .n = 23, .k = 40, .batch = batch, .alpha = 1};
      run_product(m, 1, true, false);
    }
}

static void test_product_repeats_an_operand(void **state) {
  float *a = random_floats(3 * 8), *b = random_floats(4 * 8 * 5), *c = random_floats(4 * 15), *old_c = copy_floats(c, 60);
  HfMatmul m = {.dtype = HF_FLOAT32, .m = 3, .n = 5, .k = 8, .batch = 4, .alpha = 1, .a = a, .lda = 8, .b = b, .ldb = 5, .stride_b = 40, .c = c, .ldc = 5, .stride_c = 15};
  assert_int_equal(kernels->matmul(&m), HF_OK);
  check_product(&m, old_c);
  free(a), free(b), free(c), free(old_c);
}

static void test_product_empty_sizes(void **state) {
  HfMatmul none = {.m = 0, .n = 4, .k = 3, .batch = 1, .alpha = 1};
  run_product(none, 0, true, false);
  HfMatmul no_inner = {.m = 3, .n = 4, .k = 0, .batch = 2, .alpha = 1, .beta = 0, .activation = HF_ACT_RELU};
  run_product(no_inner, 1, true, true);
  no_inner.beta = 0.5f;
  run_product(no_inner, 0, false, false);
}

static void test_product_is_the_same_twice(void **state) {
  enum { SIZE = 200 };
  float *a = random_floats(SIZE * SIZE), *b = random_floats(SIZE * SIZE), *c = random_floats(SIZE * SIZE), *d = random_floats(SIZE * SIZE);
  HfMatmul m = {.dtype = HF_FLOAT32, .m = SIZE, .n = SIZE, .k = SIZE, .batch = 1, .alpha = 1, .a = a, .lda = SIZE, .b = b, .ldb = SIZE, .c = c, .ldc = SIZE};
  assert_int_equal(kernels->matmul(&m), HF_OK);
  m.c = d;
  assert_int_equal(kernels->matmul(&m), HF_OK);
  assert_memory_equal(c, d, SIZE * SIZE * sizeof(float));
  free(a), free(b), free(c), free(d);
}

/* ---- products of 16-bit operands, against those of the same numbers in float32 */

static uint16_t *halves_of(const float *x, int64_t n) {
  uint16_t *h = malloc((size_t)n * sizeof *h);
  for (int64_t i = 0; i < n; i++) h[i] = hf_float_to_bf16(x[i]);
  return h;
}

static float *floats_of(const uint16_t *h, int64_t n) {
  float *x = malloc((size_t)n * sizeof *x);
  for (int64_t i = 0; i < n; i++) x[i] = hf_bf16_to_float(h[i]);
  return x;
}

/* bfloat16 operands into bfloat16 with bias and gelu, and into a float32 sum. */
static void check_half_product(int64_t m, int64_t n, int64_t k, bool transpose_a, bool transpose_b) {
  float *a = random_floats(m * k), *b = random_floats(k * n), *bias = random_floats(n), *c = random_floats(m * n), *expected = malloc((size_t)(m * n) * sizeof *c);
  uint16_t *ha = halves_of(a, m * k), *hb = halves_of(b, k * n), *hbias = halves_of(bias, n), *hc = malloc((size_t)(m * n) * 2), *hpre = malloc((size_t)(m * n) * 2);
  float *wa = floats_of(ha, m * k), *wb = floats_of(hb, k * n);
  memcpy(expected, c, (size_t)(m * n) * sizeof *c);
  HfMatmul p = {.dtype = HF_FLOAT32, .transpose_a = transpose_a, .transpose_b = transpose_b, .m = m, .n = n, .k = k, .batch = 1, .alpha = 1, .beta = 1,
                .a = wa, .lda = transpose_a ? m : k, .b = wb, .ldb = transpose_b ? k : n, .c = expected, .ldc = n};
  assert_int_equal(kernels->matmul(&p), HF_OK);
  HfMatmul h = p;
  h.dtype = HF_BFLOAT16, h.float_c = true, h.a = ha, h.b = hb, h.c = c;
  assert_int_equal(kernels->matmul(&h), HF_OK);
  for (int64_t i = 0; i < m * n; i++) assert_near(c[i], expected[i], 1e-5 * (4 + sqrt((double)k)), "float c", i);
  p.beta = 0;
  assert_int_equal(kernels->matmul(&p), HF_OK);
  h.float_c = false, h.beta = 0, h.c = hc, h.bias = hbias, h.activation = HF_ACT_GELU, h.pre = hpre;
  assert_int_equal(kernels->matmul(&h), HF_OK);
  for (int64_t i = 0; i < m * n; i++) {
    double pre = expected[i] + hf_bf16_to_float(hbias[i % n]), kept = hf_bf16_to_float(hpre[i]);
    assert_near(kept, pre, 1e-2 * (1 + fabs(pre)), "pre", i);
    assert_near(hf_bf16_to_float(hc[i]), activated(kept, HF_ACT_GELU), 1e-2 * (1 + fabs(kept)), "c", i);
  }
  free(a), free(b), free(bias), free(c), free(expected), free(ha), free(hb), free(hbias), free(hc), free(hpre), free(wa), free(wb);
}

static void test_product_of_halves(void **state) {
  static const int64_t sizes[][3] = {{1, 40, 33}, {37, 45, 51}, {64, 96, 128}, {64, 128, 96}, {12, 32, 1}};
  for (int i = 0; i < (int)(sizeof sizes / sizeof *sizes); i++)
    for (int t = 0; t < 4; t++) check_half_product(sizes[i][0], sizes[i][1], sizes[i][2], t & 1, t & 2);
}

static void test_product_refuses_other_dtypes(void **state) {
  HfMatmul m = {.dtype = HF_INT64, .m = 1, .n = 1, .k = 1, .batch = 1, .alpha = 1};
  assert_int_equal(kernels->matmul(&m), HF_UNSUPPORTED);
}

/* ---- bias and activation, backward */

static double derivative(double x, HfActivation activation) {
  if (activation == HF_ACT_RELU) return x > 0;
  return (activated(x + 1e-5, activation) - activated(x - 1e-5, activation)) / 2e-5;
}

static void check_activation_backward(int64_t rows, int64_t columns, HfActivation activation, float beta, bool in_place) {
  int64_t n = rows * columns;
  float *dout = random_floats(n), *pre = random_floats(n), *dbias = random_floats(columns), *old = copy_floats(dbias, columns);
  float *kept = copy_floats(dout, n), *dpre = in_place ? dout : random_floats(n);
  for (int64_t i = 0; i < n; i++) pre[i] *= 4;
  assert_int_equal(kernels->bias_activation_backward(dpre, dbias, dout, activation == HF_ACT_NONE ? NULL : pre, HF_FLOAT32, rows, columns, activation, beta), HF_OK);
  for (int64_t j = 0; j < columns; j++) {
    double sum = beta == 0 ? 0 : beta * old[j];
    for (int64_t i = 0; i < rows; i++) {
      double expected = kept[i * columns + j] * derivative(pre[i * columns + j], activation);
      assert_near(dpre[i * columns + j], expected, 2e-6, "dpre", i * columns + j);
      sum += expected;
    }
    assert_near(dbias[j], sum, 1e-6 * (4 + sqrt((double)rows)), "dbias", j);
  }
  if (!in_place) free(dpre);
  free(dout), free(pre), free(dbias), free(old), free(kept);
}

static void test_bias_activation_backward(void **state) {
  for (int activation = HF_ACT_NONE; activation <= HF_ACT_TANH; activation++)
    for (int options = 0; options < 4; options++) {
      check_activation_backward(7, 19, (HfActivation)activation, options & 1 ? 0.5f : 0, options & 2);
      check_activation_backward(203, 131, (HfActivation)activation, options & 1 ? 1 : 0, options & 2);
    }
  check_activation_backward(0, 5, HF_ACT_GELU, 1, false);
}

static void test_activation_backward_without_bias(void **state) {
  float dout[3] = {1, 2, 3}, pre[3] = {-1, 1, 2}, dpre[3];
  assert_int_equal(kernels->bias_activation_backward(dpre, NULL, dout, pre, HF_FLOAT32, 1, 3, HF_ACT_RELU, 0), HF_OK);
  assert_true(dpre[0] == 0 && dpre[1] == 2 && dpre[2] == 3);
}

/* ---- attention */

enum { MOST_KEYS = 300 };

typedef struct Case {
  int64_t sequences, heads, kv_heads, head_dim;
  int32_t queries[4], keys[4];
  int causal;
  float dropout;
  int64_t gap; /* unused floats behind every row */
} Case;

typedef struct Buffers {
  HfAttention a;
  int32_t cu_q[5], cu_k[5];
  int64_t q_size, kv_size, out_size;
  float *q, *k, *v, *out, *lse, *dout, *dq, *dk, *dv;
} Buffers;

static void open_case(Buffers *b, const Case *c) {
  memset(b, 0, sizeof *b);
  for (int64_t s = 0; s < c->sequences; s++) b->cu_q[s + 1] = b->cu_q[s] + c->queries[s], b->cu_k[s + 1] = b->cu_k[s] + c->keys[s];
  int64_t q_stride = c->heads * c->head_dim + c->gap, kv_stride = c->kv_heads * c->head_dim + c->gap;
  int64_t rows = b->cu_q[c->sequences], keys = b->cu_k[c->sequences];
  b->q_size = rows * q_stride, b->kv_size = keys * kv_stride, b->out_size = rows * q_stride;
  b->q = random_floats(b->q_size), b->k = random_floats(b->kv_size), b->v = random_floats(b->kv_size);
  b->out = random_floats(b->out_size), b->lse = random_floats(rows * c->heads), b->dout = random_floats(b->out_size);
  b->dq = random_floats(b->q_size), b->dk = random_floats(b->kv_size), b->dv = random_floats(b->kv_size);
  b->a = (HfAttention){HF_FLOAT32, c->sequences, c->heads, c->kv_heads, c->head_dim, b->cu_q, b->cu_k, c->causal, 1 / sqrtf((float)c->head_dim),
                       c->dropout, {.key = 0x123456789abcdefull}, b->q, b->k, b->v, q_stride, kv_stride, kv_stride, q_stride};
}

static void close_case(Buffers *b) {
  free(b->q), free(b->k), free(b->v), free(b->out), free(b->lse), free(b->dout), free(b->dq), free(b->dk), free(b->dv);
}

static int64_t visible(const HfAttention *a, int64_t s, int64_t i) {
  int64_t queries = a->cu_q[s + 1] - a->cu_q[s], keys = a->cu_k[s + 1] - a->cu_k[s];
  int64_t last = a->causal == 0 ? keys - 1 : a->causal == 1 ? i : i + keys - queries;
  return last >= keys ? keys : last < 0 ? 0 : last + 1;
}

/* The numbers of one query row and head: probabilities and dropout factors. Returns how many keys it sees. */
static int64_t plain_row(const HfAttention *a, int64_t s, int64_t i, int64_t h, double *p, double *factor, double *lse) {
  int64_t row = a->cu_q[s] + i, n = visible(a, s, i), kv_head = h / (a->heads / a->kv_heads);
  const float *q = (const float *)a->q + row * a->q_stride + h * a->head_dim;
  double sum = 0;
  for (int64_t j = 0; j < n; j++) {
    const float *k = (const float *)a->k + (a->cu_k[s] + j) * a->k_stride + kv_head * a->head_dim;
    double score = 0;
    for (int64_t d = 0; d < a->head_dim; d++) score += (double)q[d] * k[d];
    sum += p[j] = exp(score * a->scale);
    uint64_t counter = ((uint64_t)(row * a->heads + h) << 20) + (uint64_t)j;
    factor[j] = a->dropout == 0 ? 1 : hf_counter_uniform(a->dropout_key.key, counter) >= a->dropout ? 1 / (1 - (double)a->dropout) : 0;
  }
  for (int64_t j = 0; j < n; j++) p[j] /= sum;
  *lse = log(sum);
  return n;
}

static void check_attention_row(const Buffers *b, int64_t s, int64_t i, int64_t h) {
  const HfAttention *a = &b->a;
  double p[MOST_KEYS], factor[MOST_KEYS], lse;
  int64_t n = plain_row(a, s, i, h, p, factor, &lse), row = a->cu_q[s] + i, kv_head = h / (a->heads / a->kv_heads);
  for (int64_t d = 0; d < a->head_dim; d++) {
    double sum = 0;
    for (int64_t j = 0; j < n; j++) sum += p[j] * factor[j] * b->v[(a->cu_k[s] + j) * a->v_stride + kv_head * a->head_dim + d];
    assert_near(b->out[row * a->out_stride + h * a->head_dim + d], sum, 3e-6, "out", row);
  }
  if (n) assert_near(b->lse[row * a->heads + h], lse, 3e-6, "lse", row);
}

/* Adds the gradients of one query row and head to dq, dk, dv (double, laid out as the floats). */
static void add_gradients(const Buffers *b, int64_t s, int64_t i, int64_t h, double *dq, double *dk, double *dv) {
  const HfAttention *a = &b->a;
  double p[MOST_KEYS], factor[MOST_KEYS], dp[MOST_KEYS], lse, delta = 0;
  int64_t n = plain_row(a, s, i, h, p, factor, &lse), D = a->head_dim;
  int64_t q_at = (a->cu_q[s] + i) * a->q_stride + h * D, kv_at = a->cu_k[s] * a->k_stride + h / (a->heads / a->kv_heads) * D;
  const float *dout = b->dout + (a->cu_q[s] + i) * a->out_stride + h * D;
  for (int64_t j = 0; j < n; j++) {
    dp[j] = 0;
    for (int64_t d = 0; d < D; d++) {
      dp[j] += factor[j] * dout[d] * b->v[kv_at + j * a->v_stride + d];
      dv[kv_at + j * a->v_stride + d] += p[j] * factor[j] * dout[d];
    }
    delta += p[j] * dp[j];
  }
  for (int64_t j = 0; j < n; j++)
    for (int64_t d = 0; d < D; d++) {
      double ds = p[j] * (dp[j] - delta) * a->scale;
      dq[q_at + d] += ds * b->k[kv_at + j * a->k_stride + d];
      dk[kv_at + j * a->k_stride + d] += ds * b->q[q_at + d];
    }
}

/* Every float of `got` that belongs to a head must be near `expected`, every gap as in `old`. */
static void check_rows(const float *got, const double *expected, const float *old, int64_t size, int64_t stride, int64_t used, const char *what) {
  for (int64_t i = 0; i < size; i++) {
    if (i % stride < used) assert_near(got[i], expected[i], 1e-5, what, i);
    else assert_true(got[i] == old[i]);
  }
}

static void check_attention_backward(Buffers *b) {
  const HfAttention *a = &b->a;
  double *dq = calloc((size_t)b->q_size + 1, sizeof *dq), *dk = calloc((size_t)b->kv_size + 1, sizeof *dk), *dv = calloc((size_t)b->kv_size + 1, sizeof *dv);
  float *old_dq = copy_floats(b->dq, b->q_size), *old_dk = copy_floats(b->dk, b->kv_size), *old_dv = copy_floats(b->dv, b->kv_size);
  assert_int_equal(kernels->attention_backward(b->dq, b->dk, b->dv, b->dout, b->out, b->lse, a), HF_OK);
  for (int64_t s = 0; s < a->sequences; s++)
    for (int64_t i = 0; i < a->cu_q[s + 1] - a->cu_q[s]; i++)
      for (int64_t h = 0; h < a->heads; h++) add_gradients(b, s, i, h, dq, dk, dv);
  check_rows(b->dq, dq, old_dq, b->q_size, a->q_stride, a->heads * a->head_dim, "dq");
  check_rows(b->dk, dk, old_dk, b->kv_size, a->k_stride, a->kv_heads * a->head_dim, "dk");
  check_rows(b->dv, dv, old_dv, b->kv_size, a->v_stride, a->kv_heads * a->head_dim, "dv");
  free(dq), free(dk), free(dv), free(old_dq), free(old_dk), free(old_dv);
}

static void check_attention(const Case *c) {
  Buffers b;
  open_case(&b, c);
  float *old_out = copy_floats(b.out, b.out_size);
  assert_int_equal(kernels->attention(b.out, b.lse, &b.a), HF_OK);
  for (int64_t s = 0; s < c->sequences; s++)
    for (int64_t i = 0; i < c->queries[s]; i++)
      for (int64_t h = 0; h < c->heads; h++) check_attention_row(&b, s, i, h);
  for (int64_t i = 0; i < b.out_size; i++)
    if (i % b.a.out_stride >= c->heads * c->head_dim) assert_true(b.out[i] == old_out[i]);
  check_attention_backward(&b);
  free(old_out);
  close_case(&b);
}

static void test_attention(void **state) {
  static const Case cases[] = {
    {1, 1, 1, 4, {1}, {1}, 0, 0, 0},
    {2, 2, 2, 32, {53, 17}, {53, 17}, 0, 0, 0},
    {1, 2, 2, 64, {128}, {128}, 0, 0, 5},
    {3, 1, 1, 20, {7, 30, 1}, {9, 4, 40}, 0, 0, 3},
    {1, 1, 1, 64, {257}, {300}, 0, 0, 0}, /* more than one block of queries */
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_attention(&cases[i]);
}

static void test_attention_causal(void **state) {
  static const Case cases[] = {
    {1, 2, 2, 16, {33}, {33}, 1, 0, 0},  {2, 1, 1, 32, {200, 5}, {200, 9}, 1, 0, 0}, {2, 1, 1, 24, {20, 9}, {31, 4}, 1, 0, 1},
    {1, 2, 1, 16, {33}, {33}, 2, 0, 0},  {2, 1, 1, 16, {1, 6}, {40, 17}, 2, 0, 0},   {1, 1, 1, 8, {13}, {5}, 2, 0, 0}, /* first queries see nothing */
    {1, 1, 1, 64, {150}, {280}, 2, 0, 0},
  };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_attention(&cases[i]);
}

static void test_attention_grouped_heads(void **state) {
  static const Case cases[] = {{2, 8, 2, 16, {11, 20}, {11, 20}, 0, 0, 0}, {2, 6, 1, 32, {40, 3}, {40, 9}, 2, 0, 2}, {1, 4, 2, 8, {9}, {9}, 1, 0.5f, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_attention(&cases[i]);
}

static void test_attention_dropout(void **state) {
  static const Case cases[] = {{2, 2, 2, 32, {53, 40}, {53, 40}, 0, 0.1f, 0}, {1, 3, 3, 16, {120}, {120}, 1, 0.3f, 0}, {1, 1, 1, 8, {6}, {7}, 0, 0.9f, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_attention(&cases[i]);
}

static void test_attention_empty_sequences(void **state) {
  static const Case cases[] = {{3, 2, 2, 8, {0, 5, 0}, {0, 5, 4}, 0, 0, 0}, {4, 1, 1, 8, {3, 0, 2, 0}, {0, 0, 6, 0}, 2, 0, 0}, {1, 1, 1, 8, {0}, {0}, 0, 0, 0}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check_attention(&cases[i]);
}

/* The backward against differences of the forward: loss = sum(out * dout). */
static double attention_loss(Buffers *b) {
  double sum = 0;
  assert_int_equal(kernels->attention(b->out, b->lse, &b->a), HF_OK);
  for (int64_t i = 0; i < b->out_size; i++) sum += (double)b->out[i] * b->dout[i];
  return sum;
}

static void check_differences(Buffers *b, float *x, const float *gradient, int64_t size, const char *what) {
  for (int64_t i = 0; i < size; i += 7) {
    float kept = x[i];
    x[i] = kept + 0.01f;
    double up = attention_loss(b);
    x[i] = kept - 0.01f;
    double down = attention_loss(b);
    x[i] = kept;
    assert_near(gradient[i], (up - down) / 0.02, 2e-3, what, i);
  }
}

static void test_attention_backward_by_differences(void **state) {
  static const Case c = {2, 4, 2, 8, {6, 9}, {8, 9}, 2, 0.2f, 0};
  Buffers b;
  open_case(&b, &c);
  attention_loss(&b);
  assert_int_equal(kernels->attention_backward(b.dq, b.dk, b.dv, b.dout, b.out, b.lse, &b.a), HF_OK);
  check_differences(&b, b.q, b.dq, b.q_size, "dq");
  check_differences(&b, b.k, b.dk, b.kv_size, "dk");
  check_differences(&b, b.v, b.dv, b.kv_size, "dv");
  close_case(&b);
}

static void test_attention_keeps_nan(void **state) {
  static const Case c = {1, 1, 1, 16, {20}, {20}, 0, 0, 0};
  Buffers b;
  open_case(&b, &c);
  b.q[5 * 16] = NAN;
  assert_int_equal(kernels->attention(b.out, b.lse, &b.a), HF_OK);
  assert_true(isnan(b.out[5 * 16]) && isnan(b.lse[5]) && !isnan(b.out[4 * 16]));
  close_case(&b);
}

static void test_attention_large_scores(void **state) {
  static const Case c = {1, 1, 1, 16, {20}, {20}, 0, 0, 0};
  Buffers b;
  open_case(&b, &c);
  for (int64_t i = 0; i < b.q_size; i++) b.q[i] *= 1e4f;
  assert_int_equal(kernels->attention(b.out, b.lse, &b.a), HF_OK);
  for (int64_t i = 0; i < b.out_size; i++) assert_true(isfinite(b.out[i]) && fabsf(b.out[i]) <= 1.001f);
  close_case(&b);
}

/* ---- memory */

static void test_memory_is_aligned_and_reused(void **state) {
  for (size_t size = 1; size < (size_t)20 << 20; size = size * 3 + 1) {
    char *block = kernels->alloc(size);
    assert_non_null(block);
    assert_int_equal((uintptr_t)block % 64, 0);
    memset(block, 1, size);
    kernels->free(block, size);
  }
  assert_null(kernels->alloc(SIZE_MAX / 2));
}

static void test_memory_copies_and_zeroes(void **state) {
  for (size_t size = 0; size < (size_t)5 << 20; size = size * 7 + 3) {
    char *from = malloc(size + 1), *to = malloc(size + 1);
    memset(from, 7, size + 1), memset(to, 9, size + 1);
    assert_int_equal(kernels->copy(to, from, size), HF_OK);
    assert_true(!memcmp(to, from, size) && to[size] == 9);
    assert_int_equal(kernels->zero(to, size), HF_OK);
    for (size_t i = 0; i < size; i++) assert_true(to[i] == 0);
    assert_true(to[size] == 9);
    free(from), free(to);
  }
}

/* ---- every instruction set with every library */

typedef struct Pair {
  const char *isa, *isa_title, *product, *product_title; /* as asked for, and as hf_cpu_description() names them */
} Pair;

#define SHARED_TESTS \
    cmocka_unit_test(test_vector_math_is_close_to_libm), cmocka_unit_test(test_vector_math_at_the_ends),         \
    cmocka_unit_test(test_product_shapes),               cmocka_unit_test(test_product_alpha_beta),              \
    cmocka_unit_test(test_product_epilogues),            cmocka_unit_test(test_product_batches),                 \
    cmocka_unit_test(test_product_repeats_an_operand),   cmocka_unit_test(test_product_empty_sizes),             \
    cmocka_unit_test(test_product_is_the_same_twice),    cmocka_unit_test(test_product_refuses_other_dtypes),    \
    cmocka_unit_test(test_product_of_halves),    \
    cmocka_unit_test(test_bias_activation_backward),     cmocka_unit_test(test_activation_backward_without_bias), \
    cmocka_unit_test(test_attention),                    cmocka_unit_test(test_attention_causal),                \
    cmocka_unit_test(test_attention_grouped_heads),      cmocka_unit_test(test_attention_dropout),               \
    cmocka_unit_test(test_attention_empty_sequences),    cmocka_unit_test(test_attention_backward_by_differences), \
    cmocka_unit_test(test_attention_keeps_nan),          cmocka_unit_test(test_attention_large_scores),          \
    cmocka_unit_test(test_memory_is_aligned_and_reused), cmocka_unit_test(test_memory_copies_and_zeroes)

#ifdef HF_TEST_EMULATED
#include "emulated_table.h"
int main(void) {
  const struct CMUnitTest tests[] = {SHARED_TESTS};
  kernels = emulated_table();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
static int run_pair(const Pair *pair) {
  const struct CMUnitTest tests[] = {SHARED_TESTS};
  setenv("HFLUA_ISA", pair->isa, 1);
  setenv("HFLUA_PRODUCT", pair->product, 1);
  kernels = hf_cpu_kernels();
  const char *name = hf_cpu_description();
  if (strstr(name, pair->isa_title) && strstr(name, pair->product_title)) return cmocka_run_group_tests_name(name, tests, NULL, NULL);
  printf("# skip %s with %s: this machine has %s\n", pair->isa, pair->product, name);
  return 0;
}

int main(void) {
  static const Pair pairs[] = {{"v4", "x86-64-v4", "onednn", "oneDNN"},     {"v4", "x86-64-v4", "own", "own"},   {"v3", "x86-64-v3", "onednn", "oneDNN"},
                               {"v3", "x86-64-v3", "openblas", "OpenBLAS"}, {"v3", "x86-64-v3", "own", "own"},   {"plain", "", "openblas", "OpenBLAS"},
                               {"plain", "", "own", "own"}};
  int failed = 0;
  for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) exit(run_pair(&pairs[i]));
    int status = 0;
    waitpid(child, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) failed = 1;
  }
  return failed;
}
#endif
