/* Layer and RMS normalisation with residual and dropout, and dropout itself, against loops in double; gradients
 * against the formula's own derivative by finite differences. */
#include "kernel_tables.h"

enum { MOST = 120000 };
static float x[MOST], residual[MOST], sum[MOST], y[MOST], dy[MOST], dsum[MOST], dx[MOST], other[MOST];
static float weight[4096], bias[4096], dweight[4096], dbias[4096], mean[4096], rstd[4096];

static const int64_t shapes[][2] = {{1, 1}, {3, 7}, {2, 768}, {100, 384}, {70, 1025}, {1000, 33}}; /* N, C */

static bool is_kept(uint64_t key, int64_t i, float p) { return hf_counter_uniform(key, (uint64_t)i) >= p; }

/* ---- dropout */

static void dropping(void) {
  const float rates[] = {0, 0.1f, 0.5f, 1};
  for (int r = 0; r < COUNT(rates); r++) {
    float p = rates[r];
    int64_t n = 50021, kept = 0;
    fill_random(x, n, 1);
    assert_int_equal(K.dropout(y, x, HF_FLOAT32, n, p, (HfDropoutKey){0x123456789abcdefull}), HF_OK);
    for (int64_t i = 0; i < n; i++) {
      bool keep = is_kept(0x123456789abcdefull, i, p);
      kept += keep;
      assert_close(y[i], keep ? x[i] / (1 - (double)p) : 0, 2e-7, 0);
    }
    assert_true(fabs((double)kept / (double)n - (1 - p)) < 0.01);
    K.dropout(x, x, HF_FLOAT32, n, p, (HfDropoutKey){0x123456789abcdefull});
    assert_memory_equal(x, y, (size_t)n * sizeof *x);
  }
  uint16_t half[3] = {0x3f80, 0x4000, 0xc000}, out[3]; /* 1, 2, -2 in bfloat16 */
  K.dropout(out, half, HF_BFLOAT16, 3, 0.5f, (HfDropoutKey){9});
  for (int i = 0; i < 3; i++) assert_int_equal(out[i], is_kept(9, i, 0.5f) ? half[i] + 0x80 : 0); /* doubled */
  assert_int_equal(K.dropout(out, half, HF_INT64, 3, 0.5f, (HfDropoutKey){9}), HF_UNSUPPORTED);
}

/* ---- forward */

typedef struct Case {
  int64_t N, C;
  bool residual, has_weight, has_bias, centered; /* not centered: rms */
  float dropout;
} Case;
enum { KEY = 77 };
static const HfDropoutKey key = {KEY}, no_key;
static const double eps = 1e-5;

static double summed(const Case *c, int64_t i) {
  double v = x[i];
  if (c->dropout > 0) v = is_kept(KEY, i, c->dropout) ? v / (1 - (double)c->dropout) : 0;
  return c->residual ? v + residual[i] : v;
}

static void row_statistics(const Case *c, const double *row, double *m, double *r) {
  double total = 0, squares = 0;
  for (int64_t i = 0; i < c->C; i++) total += row[i];
  *m = c->centered ? total / (double)c->C : 0;
  for (int64_t i = 0; i < c->C; i++) squares += (row[i] - *m) * (row[i] - *m);
  *r = 1 / sqrt(squares / (double)c->C + eps);
}

static bool stores_sum(const Case *c) { return c->residual || c->dropout > 0; }

static void forward(const Case *c) {
  assert_int_equal(K.layer_norm(y, stores_sum(c) ? sum : NULL, c->centered ? mean : NULL, rstd, x, c->residual ? residual : NULL,
                                c->has_weight ? weight : NULL, c->has_bias ? bias : NULL, HF_FLOAT32, c->N, c->C, (float)eps,
                                c->dropout, key),
                   HF_OK);
}

static void check_forward(const Case *c) {
  static double row[4096];
  forward(c);
  for (int64_t n = 0; n < c->N; n++) {
    double m, r;
    for (int64_t i = 0; i < c->C; i++) row[i] = summed(c, n * c->C + i);
    row_statistics(c, row, &m, &r);
    assert_close(rstd[n], r, 3e-6, 0);
    if (c->centered) assert_close(mean[n], m, 1e-6, 1e-6);
    for (int64_t i = 0; i < c->C; i++) {
      double want = (row[i] - m) * r * (c->has_weight ? weight[i] : 1) + (c->has_bias ? bias[i] : 0);
      if (stores_sum(c)) assert_close(sum[n * c->C + i], row[i], 1e-6, 1e-7);
      assert_close(y[n * c->C + i], want, 4e-6, c->C == 1 ? 1e-3 : 4e-6);
    }
  }
}

/* ---- backward: loss = sum of dy * y; its derivative by each input is known in closed form only through the row,
 * so rows are differentiated numerically in double */

static double row_loss(const Case *c, const double *row, int64_t n) {
  double m, r, loss = 0;
  row_statistics(c, row, &m, &r);
  for (int64_t i = 0; i < c->C; i++)
    loss += dy[n * c->C + i] * ((row[i] - m) * r * (c->has_weight ? weight[i] : 1) + (c->has_bias ? bias[i] : 0));
  return loss;
}

static void check_row_gradient(const Case *c, int64_t n) {
  static double row[4096];
  const float *summed_row = (stores_sum(c) ? sum : x) + n * c->C;
  for (int64_t i = 0; i < c->C; i++) row[i] = summed_row[i];
  for (int64_t i = 0; i < c->C; i += 1 + c->C / 40) {
    double h = 1e-4, keep = row[i];
    row[i] = keep + h;
    double above = row_loss(c, row, n);
    row[i] = keep - h;
    double below = row_loss(c, row, n);
    row[i] = keep;
    assert_close(dsum[n * c->C + i], (above - below) / (2 * h), 1e-5, 2e-5);
  }
}

static void check_weight_gradient(const Case *c) {
  const float *s = stores_sum(c) ? sum : x;
  for (int64_t i = 0; i < c->C; i++) {
    double w = 0.5, b = -0.25; /* what was there before */
    for (int64_t n = 0; n < c->N; n++) {
      double m = c->centered ? mean[n] : 0;
      w += dy[n * c->C + i] * ((s[n * c->C + i] - m) * rstd[n]), b += dy[n * c->C + i];
    }
    assert_close(dweight[i], w, 3e-6, 2e-5);
    assert_close(dbias[i], b, 3e-6, 2e-5);
  }
}

static void backward(const Case *c, float *to) {
  for (int64_t i = 0; i < c->C; i++) dweight[i] = 0.5f, dbias[i] = -0.25f;
  assert_int_equal(K.layer_norm_backward(to, c->dropout > 0 ? dx : NULL, dweight, dbias, dy, stores_sum(c) ? sum : x,
                                         c->centered ? mean : NULL, rstd, c->has_weight ? weight : NULL, HF_FLOAT32, c->N,
                                         c->C, c->dropout, key),
                   HF_OK);
}

static void check_backward(const Case *c) {
  backward(c, dsum);
  for (int64_t n = 0; n < c->N; n += 1 + c->N / 7) check_row_gradient(c, n);
  check_weight_gradient(c);
  for (int64_t i = 0; c->dropout > 0 && i < c->N * c->C; i++)
    assert_close(dx[i], is_kept(KEY, i, c->dropout) ? dsum[i] / (1 - (double)c->dropout) : 0, 1e-6, 0);
  memcpy(other, dy, sizeof dy);
  backward(c, dy); /* in place */
  assert_memory_equal(dy, dsum, (size_t)(c->N * c->C) * sizeof *dy);
  memcpy(dy, other, sizeof dy);
}

static void normalising(void) {
  for (int s = 0; s < COUNT(shapes); s++)
    for (int variant = 0; variant < 8; variant++) {
      Case c = {shapes[s][0], shapes[s][1], variant & 1, variant != 4, variant != 4 && variant != 6, !(variant & 2), variant & 4 ? 0.3f : 0};
      if (!c.centered) c.has_bias = false;
      int64_t n = c.N * c.C;
      fill_random(x, n, 1), fill_random(residual, n, 1), fill_random(dy, n, 1);
      fill_random(weight, c.C, 1), fill_random(bias, c.C, 1);
      for (int64_t i = 0; i < n; i++) x[i] += 3;
      check_forward(&c);
      if (c.C > 1) check_backward(&c);
    }
}

/* rms_norm equals the uncentered layer_norm; gradients may go nowhere; no rows is no work. */
static void rms_and_options(void) {
  int64_t N = 9, C = 100;
  fill_random(x, N * C, 2), fill_random(weight, C, 1), fill_random(dy, N * C, 1);
  K.layer_norm(y, NULL, NULL, rstd, x, NULL, weight, NULL, HF_FLOAT32, N, C, 1e-6f, 0, no_key);
  K.rms_norm(other, rstd, x, weight, HF_FLOAT32, N, C, 1e-6f);
  assert_memory_equal(other, y, (size_t)(N * C) * sizeof *y);
  memset(dweight, 0, sizeof dweight);
  K.layer_norm_backward(dsum, NULL, dweight, NULL, dy, x, NULL, rstd, weight, HF_FLOAT32, N, C, 0, no_key);
  memcpy(dbias, dweight, sizeof dbias);
  memset(dweight, 0, sizeof dweight);
  K.rms_norm_backward(dx, dweight, dy, x, rstd, weight, HF_FLOAT32, N, C);
  assert_memory_equal(dx, dsum, (size_t)(N * C) * sizeof *dx);
  assert_memory_equal(dweight, dbias, (size_t)C * sizeof *dweight);
  assert_int_equal(K.rms_norm_backward(dx, NULL, dy, x, rstd, NULL, HF_FLOAT32, N, C), HF_OK);
  assert_int_equal(K.layer_norm(y, NULL, mean, rstd, x, NULL, NULL, NULL, HF_FLOAT32, 0, C, 1e-6f, 0, no_key), HF_OK);
  assert_int_equal(K.layer_norm_backward(dsum, NULL, dweight, dbias, dy, x, mean, rstd, NULL, HF_FLOAT32, 0, C, 0, no_key), HF_OK);
}

/* bfloat16 and float16 rows give the float32 result of their rounded inputs. */
static void half_rows(void) {
  const HfDtype halves[] = {HF_BFLOAT16, HF_FLOAT16};
  int64_t N = 20, C = 200, n = N * C;
  HfLayout l = contiguous_layout(2, 1, &n);
  static uint16_t hx[4000], hr[4000], hs[4000], hy[4000], hd[4000];
  for (int h = 0; h < 2; h++) {
    double step = h == 0 ? 1.0 / 256 : 1.0 / 2048;
    fill_random(x, n, 1), fill_random(residual, n, 1), fill_random(dy, n, 1), fill_random(weight, C, 1), fill_random(bias, C, 1);
    K.cast(hx, halves[h], x, HF_FLOAT32, &l), K.cast(hr, halves[h], residual, HF_FLOAT32, &l), K.cast(hd, halves[h], dy, HF_FLOAT32, &l);
    K.cast(x, HF_FLOAT32, hx, halves[h], &l), K.cast(residual, HF_FLOAT32, hr, halves[h], &l), K.cast(dy, HF_FLOAT32, hd, halves[h], &l);
    assert_int_equal(K.layer_norm(hy, hs, mean, rstd, hx, hr, weight, bias, halves[h], N, C, (float)eps, 0.2f, key), HF_OK);
    K.layer_norm(y, sum, mean, rstd, x, residual, weight, bias, HF_FLOAT32, N, C, (float)eps, 0.2f, key);
    K.cast(other, HF_FLOAT32, hy, halves[h], &l);
    for (int64_t i = 0; i < n; i++) assert_close(other[i], y[i], 2 * step, 2 * step);
    memset(dweight, 0, sizeof dweight), memset(dbias, 0, sizeof dbias);
    assert_int_equal(K.layer_norm_backward(hd, hr, dweight, dbias, hd, hs, mean, rstd, weight, halves[h], N, C, 0.2f, key), HF_OK);
    K.layer_norm_backward(dsum, dx, bias, bias, dy, sum, mean, rstd, weight, HF_FLOAT32, N, C, 0.2f, key);
    K.cast(other, HF_FLOAT32, hr, halves[h], &l);
    for (int64_t i = 0; i < n; i++) assert_close(other[i], dx[i], 4 * step, 6 * step);
  }
}

static void test_dropout(void **state) { for_each_table(dropping); }
static void test_norms(void **state) { for_each_table(normalising); }
static void test_rms_and_options(void **state) { for_each_table(rms_and_options); }
static void test_half_rows(void **state) { for_each_table(half_rows); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_dropout), cmocka_unit_test(test_norms), cmocka_unit_test(test_rms_and_options), cmocka_unit_test(test_half_rows),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
