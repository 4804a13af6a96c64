/* Functions of one value and element-wise operations of strided operands, against libm in double. */
#include "kernel_tables.h"

/* ---- functions of one value */

static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double normal_cdf(double x) { return 0.5 * erfc(-x * M_SQRT1_2); }
static double gelu_tanh_inner(double x) { return sqrt(2 / M_PI) * (x + 0.044715 * x * x * x); }

static double expected_unary(HfUnary op, double x, double p) {
  switch (op) {
  case HF_NEG: return -x;
  case HF_ABS: return fabs(x);
  case HF_SQUARE: return x * x;
  case HF_SQRT: return sqrt(x);
  case HF_RSQRT: return 1 / sqrt(x);
  case HF_RECIPROCAL: return 1 / x;
  case HF_EXP: return exp(x);
  case HF_EXPM1: return expm1(x);
  case HF_LOG: return log(x);
  case HF_LOG1P: return log1p(x);
  case HF_SIN: return sin(x);
  case HF_COS: return cos(x);
  case HF_ERF: return erf(x);
  case HF_TANH: return tanh(x);
  case HF_SIGMOID: return logistic(x);
  case HF_LOGSIGMOID: return x < 0 ? x - log1p(exp(x)) : -log1p(exp(-x));
  case HF_SOFTPLUS: return x > 20 ? x : log1p(exp(x));
  case HF_RELU: return x <= 0 ? 0 : x;
  case HF_LEAKY_RELU: return x > 0 ? x : p * x;
  case HF_ELU: return x > 0 ? x : p * expm1(x);
  case HF_SILU: return x * logistic(x);
  case HF_GELU: return x * normal_cdf(x);
  case HF_GELU_TANH: return 0.5 * x * (1 + tanh(gelu_tanh_inner(x)));
  case HF_FLOOR: return floor(x);
  case HF_CEIL: return ceil(x);
  case HF_ROUND: return nearbyint(x);
  case HF_TRUNC: return trunc(x);
  case HF_SIGN: return (x > 0) - (x < 0);
  case HF_POW_SCALAR: return pow(x, p);
  case HF_ADD_SCALAR: return x + p;
  case HF_MUL_SCALAR: return x * p;
  case HF_RSUB_SCALAR: return p - x;
  default: return p / x;
  }
}

static bool is_step(HfUnary op) { return op >= HF_FLOOR && op <= HF_SIGN; }
static bool needs_positive(HfUnary op) { return op == HF_SQRT || op == HF_RSQRT || op == HF_LOG || op == HF_POW_SCALAR; }

enum { N = 20011 }; /* odd, and enough for more than one thread */
static float x[N], y[N], dout[N], dx[N];

static void unary_values(void) {
  for (int op = 0; op < HF_UNARY_COUNT; op++) {
    fill_random(x, N, 6);
    for (int i = 0; i < N && needs_positive(op); i++) x[i] = fabsf(x[i]) + 0.01f;
    if (op == HF_LOG1P)
      for (int i = 0; i < N; i++) x[i] = fabsf(x[i]) - 0.9f;
    x[0] = 2.5f, x[1] = 3.5f, x[2] = 20.5f;
    assert_int_equal(K.unary(y, x, N, op, 1.3f), HF_OK);
    for (int i = 0; i < N; i++) {
      double want = expected_unary(op, x[i], 1.3f);
      if (!is_close(y[i], want, 2e-6, 1e-6)) fail_msg("%s: function %d of %.9g: expected %.9g, found %.9g", K.name, op, x[i], want, y[i]);
    }
  }
}

static void unary_gradients(void) {
  for (int op = 0; op < HF_UNARY_COUNT; op++) {
    fill_random(x, N, 4);
    fill_random(dout, N, 1);
    bool positive = needs_positive(op) || op == HF_LOG1P;
    for (int i = 0; i < N; i++) /* away from kinks and poles */
      x[i] = positive ? fabsf(x[i]) + 0.3f : x[i] + (x[i] < 0 ? -0.3f : 0.3f);
    K.unary(y, x, N, op, 1.3f);
    assert_int_equal(K.unary_backward(dx, dout, x, y, N, op, 1.3f), HF_OK);
    for (int i = 0; i < N; i++) {
      double h = 1e-5, slope = (expected_unary(op, x[i] + h, 1.3f) - expected_unary(op, x[i] - h, 1.3f)) / (2 * h);
      double want = is_step(op) ? 0 : slope * dout[i];
      if (!is_close(dx[i], want, 5e-6, 2e-6)) fail_msg("%s: gradient %d at %.9g: expected %.9g, found %.9g", K.name, op, x[i], want, dx[i]);
    }
  }
}

static float unary_of(HfUnary op, float value, float p) {
  float out;
  K.unary(&out, &value, 1, op, p);
  return out;
}
static float slope_of(HfUnary op, float value, float p) {
  float out, one = 1, result = unary_of(op, value, p);
  K.unary_backward(&out, &one, &value, &result, 1, op, p);
  return out;
}

static void unary_special_values(void) {
  for (int op = 0; op < HF_UNARY_COUNT; op++)
    if (op != HF_SIGN) assert_true(isnan(unary_of(op, NAN, 1.3f)));
  assert_close(unary_of(HF_EXP, INFINITY, 0), INFINITY, 0, 0);
  assert_close(unary_of(HF_EXP, -INFINITY, 0), 0, 0, 0);
  assert_close(unary_of(HF_LOG, 0, 0), -INFINITY, 0, 0);
  assert_true(isnan(unary_of(HF_LOG, -1, 0)));
  assert_close(unary_of(HF_SIGMOID, -200, 0), 0, 0, 1e-38);
  assert_close(unary_of(HF_SIGMOID, 200, 0), 1, 0, 0);
  assert_close(unary_of(HF_LOGSIGMOID, -1000, 0), -1000, 0, 0);
  assert_close(unary_of(HF_SOFTPLUS, 1000, 0), 1000, 0, 0);
  assert_close(unary_of(HF_SOFTPLUS, -30, 0), exp(-30), 1e-6, 0);
  assert_close(unary_of(HF_TANH, 50, 0), 1, 0, 0);
  assert_close(unary_of(HF_GELU, -20, 0), 0, 0, 0);
  assert_close(unary_of(HF_ROUND, 0.5f, 0), 0, 0, 0);
  assert_close(unary_of(HF_ROUND, -1.5f, 0), -2, 0, 0);
  assert_close(unary_of(HF_POW_SCALAR, -2, 3), -8, 0, 0);
  assert_close(unary_of(HF_POW_SCALAR, 0, 0), 1, 0, 0);
  const HfUnary flat_at_zero[] = {HF_ABS, HF_RELU};
  for (int i = 0; i < COUNT(flat_at_zero); i++) assert_close(slope_of(flat_at_zero[i], 0, 0), 0, 0, 0);
  assert_close(slope_of(HF_SOFTPLUS, 1000, 0), 1, 0, 0);
  assert_close(slope_of(HF_LOGSIGMOID, -1000, 0), 1, 0, 0);
  assert_close(slope_of(HF_LOGSIGMOID, 1000, 0), 0, 0, 0);
  assert_close(slope_of(HF_POW_SCALAR, 0, 0), 0, 0, 0);
  assert_close(slope_of(HF_POW_SCALAR, 0, 1), 1, 0, 0);
}

static void unary_in_place(void) {
  fill_random(x, N, 3);
  K.unary(y, x, N, HF_GELU, 0);
  memcpy(dx, x, sizeof x);
  K.unary(dx, dx, N, HF_GELU, 0);
  assert_memory_equal(dx, y, sizeof y);
  fill_random(dout, N, 1);
  K.unary_backward(y, dout, x, NULL, N, HF_GELU, 0);
  K.unary_backward(dout, dout, x, NULL, N, HF_GELU, 0);
  assert_memory_equal(dout, y, sizeof y);
}

static void helpers_in_place(void) {
  float v[] = {-2, -0.5f, NAN, 0.9f, INFINITY}, out[5];
  K.clamp(out, v, 5, -1, 0.8f);
  const float clamped[] = {-1, -0.5f, NAN, 0.8f, 0.8f};
  for (int i = 0; i < 5; i++) assert_close(out[i], clamped[i], 0, 0);
  K.clamp(out, v, 5, -INFINITY, INFINITY);
  for (int i = 0; i < 5; i++) assert_close(out[i], v[i], 0, 0);
  fill_random(x, N, 1);
  fill_random(y, N, 1);
  memcpy(dx, y, sizeof y);
  K.axpy(dx, x, N, 0.7f);
  for (int i = 0; i < N; i++) assert_close(dx[i], y[i] + 0.7f * (double)x[i], 1e-6, 1e-6);
  memcpy(dx, y, sizeof y);
  K.scale(dx, N, -3);
  for (int i = 0; i < N; i++) assert_close(dx[i], -3 * y[i], 0, 0);
  assert_int_equal(K.unary(NULL, NULL, 0, HF_EXP, 0), HF_OK);
}

/* ---- operands with strides: every case is checked against the row-major walk */

static const HfLayout layouts[] = {
    {0, {0}, {{0}}},
    {1, {N}, {{1}, {1}, {1}, {1}}},
    {1, {N}, {{1}, {0}, {1}, {0}}},
    {1, {N}, {{1}, {1}, {0}, {1}}},
    {1, {4999}, {{2}, {3}, {-1}, {4}}},
    {2, {3, 5}, {{5, 1}, {5, 1}, {0, 1}, {5, 1}}},
    {3, {3, 5, 7}, {{35, 7, 1}, {7, 0, 1}, {0, 1, 0}, {35, 7, 1}}},
    {2, {130, 150}, {{150, 1}, {1, 130}, {150, 1}, {1, 130}}},
    {4, {2, 1, 33, 9}, {{297, 297, 9, 1}, {9, 5, 18, 1}, {0, 0, -9, 1}, {1, 0, 2, 66}}},
    {2, {5, 0}, {{0, 1}, {0, 1}, {0, 1}, {0, 1}}},
};
enum { MIDDLE = 20100 }; /* room on both sides for negative strides */
static float fa[2 * MIDDLE], fb[2 * MIDDLE], fout[2 * MIDDLE];
static int64_t ia[2 * MIDDLE], ib[2 * MIDDLE], iout[2 * MIDDLE];
static uint8_t condition[2 * MIDDLE], bout[2 * MIDDLE];

static void fill_operands(void) {
  fill_random(fa, 2 * MIDDLE, 4);
  fill_random(fb, 2 * MIDDLE, 4);
  for (int i = 0; i < 2 * MIDDLE; i++) {
    ia[i] = (int64_t)(fa[i] * 3), ib[i] = (int64_t)(fb[i] * 2);
    condition[i] = fa[i] > fb[i];
    if (i % 101 == 0) fa[i] = NAN;
    if (i % 103 == 0) fb[i] = NAN;
    if (i % 7 == 0) fb[i] = fa[i];
  }
}

static double expected_binary(HfBinary op, double a, double b) {
  switch (op) {
  case HF_ADD: return a + b;
  case HF_SUB: return a - b;
  case HF_MUL: return a * b;
  case HF_DIV: return a / b;
  case HF_MAXIMUM: return isnan(a) || isnan(b) ? NAN : fmax(a, b);
  case HF_MINIMUM: return isnan(a) || isnan(b) ? NAN : fmin(a, b);
  default: return pow(a, b);
  }
}

static int64_t expected_integer(HfBinary op, int64_t a, int64_t b) {
  if (op == HF_DIV) return b == 0 ? 0 : a / b;
  if (op == HF_POW && a == 0 && b < 0) return 0;
  return (int64_t)expected_binary(op, (double)a, (double)b);
}

static void binary_operations(void) {
  fill_operands();
  for (int op = 0; op < HF_BINARY_COUNT; op++)
    for (int c = 0; c < COUNT(layouts); c++) {
      const HfLayout *l = layouts + c;
      assert_int_equal(K.binary(fout + MIDDLE, fa + MIDDLE, fb + MIDDLE, HF_FLOAT32, l, op), HF_OK);
      assert_int_equal(K.binary(iout + MIDDLE, ia + MIDDLE, ib + MIDDLE, HF_INT64, l, op), HF_OK);
      for (int64_t i = 0; i < layout_count(l); i++) {
        int64_t o = MIDDLE + layout_offset(l, 0, i), a = MIDDLE + layout_offset(l, 1, i), b = MIDDLE + layout_offset(l, 2, i);
        assert_close(fout[o], expected_binary(op, fa[a], fb[b]), 1e-6, 0);
        assert_int_equal(iout[o], expected_integer(op, ia[a], ib[b]));
      }
    }
  assert_int_equal(K.binary(fout, fa, fb, HF_BFLOAT16, layouts, HF_ADD), HF_UNSUPPORTED);
}

static void integer_edges(void) {
  int64_t a = INT64_MIN, b = -1, out;
  K.binary(&out, &a, &b, HF_INT64, layouts, HF_DIV);
  assert_int_equal(out, INT64_MIN);
  K.binary(&out, &a, &b, HF_INT64, layouts, HF_ADD);
  assert_int_equal(out, INT64_MAX);
  a = 2, b = 62;
  K.binary(&out, &a, &b, HF_INT64, layouts, HF_POW);
  assert_int_equal(out, (int64_t)1 << 62);
}

static bool expected_compare(HfCompare op, double a, double b) {
  return op == HF_EQ ? a == b : op == HF_NE ? a != b : op == HF_LT ? a < b : op == HF_LE ? a <= b : op == HF_GT ? a > b : a >= b;
}

static void comparisons_and_where(void) {
  fill_operands();
  for (int op = 0; op < HF_COMPARE_COUNT; op++)
    for (int c = 0; c < COUNT(layouts); c++) {
      const HfLayout *l = layouts + c;
      int64_t n = layout_count(l);
      K.compare(bout + MIDDLE, fa + MIDDLE, fb + MIDDLE, HF_FLOAT32, l, op);
      for (int64_t i = 0; i < n; i++)
        assert_int_equal(bout[MIDDLE + layout_offset(l, 0, i)],
                         expected_compare(op, fa[MIDDLE + layout_offset(l, 1, i)], fb[MIDDLE + layout_offset(l, 2, i)]));
      K.compare(bout + MIDDLE, ia + MIDDLE, ib + MIDDLE, HF_INT64, l, op);
      for (int64_t i = 0; i < n; i++)
        assert_int_equal(bout[MIDDLE + layout_offset(l, 0, i)],
                         expected_compare(op, (double)ia[MIDDLE + layout_offset(l, 1, i)], (double)ib[MIDDLE + layout_offset(l, 2, i)]));
    }
  for (int c = 0; c < COUNT(layouts); c++) {
    const HfLayout *l = layouts + c;
    K.where(iout + MIDDLE, condition + MIDDLE, ia + MIDDLE, ib + MIDDLE, HF_INT64, l);
    K.where(bout + MIDDLE, condition + MIDDLE, condition + MIDDLE, condition + 7, HF_BOOL, l);
    for (int64_t i = 0; i < layout_count(l); i++) {
      int64_t o = MIDDLE + layout_offset(l, 0, i), s = MIDDLE + layout_offset(l, 1, i);
      int64_t a = layout_offset(l, 2, i), b = layout_offset(l, 3, i);
      assert_int_equal(iout[o], condition[s] ? ia[MIDDLE + a] : ib[MIDDLE + b]);
      if (c != 4 && c != 8) assert_int_equal(bout[o], condition[s] ? condition[MIDDLE + a] : condition[7 + b]);
    }
  }
}

static void test_unary_values(void **state) { for_each_table(unary_values); }
static void test_unary_gradients(void **state) { for_each_table(unary_gradients); }
static void test_unary_special_values(void **state) { for_each_table(unary_special_values); }
static void test_in_place(void **state) { for_each_table(unary_in_place); for_each_table(helpers_in_place); }
static void test_binary(void **state) { for_each_table(binary_operations); for_each_table(integer_edges); }
static void test_compare_where(void **state) { for_each_table(comparisons_and_where); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_unary_values), cmocka_unit_test(test_unary_gradients),
      cmocka_unit_test(test_unary_special_values), cmocka_unit_test(test_in_place),
      cmocka_unit_test(test_binary), cmocka_unit_test(test_compare_where),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
