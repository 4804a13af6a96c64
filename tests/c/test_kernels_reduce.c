/* Reductions, argmax and argmin, variance, running sums, sort and softmax, against naive loops in double. */
#include "kernel_tables.h"

/* outer, n, inner */
static const int64_t shapes[][3] = {
    {1, 1, 1}, {1, 7, 1}, {3, 5, 7}, {5, 33, 1}, {2, 100, 129}, {1, 70001, 1}, {2, 40000, 1}, {300, 128, 1}, {1, 100, 300}, {4, 1, 3}, {17, 1000, 1},
};
enum { MOST = 400000 };
static float x[MOST + 16], y[MOST], dout[MOST];
static int64_t ix[MOST], iy[MOST], indices[MOST];
static double line[MOST];

/* Copies line l of (outer, n, inner) to `line`. */
static void take_line(const float *from, const int64_t *s, int64_t l) {
  for (int64_t i = 0; i < s[1]; i++) line[i] = from[(l / s[2] * s[1] + i) * s[2] + l % s[2]];
}

static double expected_reduction(int64_t n, HfReduce op) {
  double sum = 0, squares = 0, product = 1, top = -INFINITY, bottom = INFINITY, exponentials = 0;
  for (int64_t i = 0; i < n; i++) {
    sum += line[i], squares += line[i] * line[i], product *= line[i], exponentials += exp(line[i]);
    if (!(line[i] <= top)) top = line[i];
    if (!(line[i] >= bottom)) bottom = line[i];
    if (isnan(line[i])) return NAN;
  }
  switch (op) {
  case HF_SUM: return sum;
  case HF_MEAN: return sum / (double)n;
  case HF_MAX: return top;
  case HF_MIN: return bottom;
  case HF_PROD: return product;
  case HF_SUM_SQUARES: return squares;
  default: return log(exponentials);
  }
}

static const HfReduce float_reductions[] = {HF_SUM, HF_MEAN, HF_MAX, HF_MIN, HF_PROD, HF_SUM_SQUARES, HF_LOGSUMEXP};

static void check_reductions(const int64_t *s) {
  for (int r = 0; r < COUNT(float_reductions); r++) {
    HfReduce op = float_reductions[r];
    assert_int_equal(K.reduce(y, x, HF_FLOAT32, s[0], s[1], s[2], op), HF_OK);
    for (int64_t l = 0; l < s[0] * s[2]; l++) {
      take_line(x, s, l);
      double want = expected_reduction(s[1], op);
      if (!is_close(y[l], want, 1e-6, 1e-6))
        fail_msg("%s: reduction %d of (%d, %d, %d): expected %.9g, found %.9g", K.name, op, (int)s[0], (int)s[1], (int)s[2], want, y[l]);
    }
  }
}

static void float_values(void) {
  for (int c = 0; c < COUNT(shapes); c++) {
    const int64_t *s = shapes[c];
    fill_random(x, s[0] * s[1] * s[2], 2);
    check_reductions(s);
    x[s[0] * s[1] * s[2] / 2] = NAN;
    check_reductions(s);
  }
}

/* A sum of a million floats far from zero is right to one rounding, wherever the array begins. */
static void precision(void) {
  float sums[16];
  for (int at = 0; at < 16; at++) {
    random_state = 5;
    for (int i = 0; i < 300001; i++) x[at + i] = (float)(1000 + next_random());
    K.reduce(sums + at, x + at, HF_FLOAT32, 1, 300001, 1, HF_SUM);
    assert_memory_equal(sums + at, sums, sizeof(float));
  }
  double sum = 0;
  for (int i = 0; i < 300001; i++) sum += x[15 + i];
  assert_close(sums[0], sum, 1e-7, 0);
}

static void infinities(void) {
  float v[] = {-INFINITY, -INFINITY, 1, INFINITY}, out;
  K.reduce(&out, v, HF_FLOAT32, 1, 2, 1, HF_LOGSUMEXP);
  assert_close(out, -INFINITY, 0, 0);
  K.reduce(&out, v, HF_FLOAT32, 1, 4, 1, HF_LOGSUMEXP);
  assert_close(out, INFINITY, 0, 0);
  float two[4] = {-INFINITY, 1000, -INFINITY, 1000}, outs[2];
  K.reduce(outs, two, HF_FLOAT32, 1, 2, 2, HF_LOGSUMEXP);
  assert_close(outs[0], -INFINITY, 0, 0);
  assert_close(outs[1], 1000 + log(2), 1e-7, 0);
  K.reduce(&out, v, HF_FLOAT32, 1, 4, 1, HF_MIN);
  assert_close(out, -INFINITY, 0, 0);
}

static void empty_lines(void) {
  const struct { HfReduce op; double neutral; } cases[] = {
      {HF_SUM, 0}, {HF_MEAN, NAN}, {HF_MAX, -INFINITY}, {HF_MIN, INFINITY}, {HF_PROD, 1}, {HF_SUM_SQUARES, 0}, {HF_LOGSUMEXP, -INFINITY}};
  for (int c = 0; c < COUNT(cases); c++) {
    float out[6] = {0};
    K.reduce(out, x, HF_FLOAT32, 2, 0, 3, cases[c].op);
    for (int i = 0; i < 6; i++) assert_close(out[i], cases[c].neutral, 0, 0);
    K.reduce(out, x, HF_FLOAT32, 2, 0, 1, cases[c].op);
    assert_close(out[1], cases[c].neutral, 0, 0);
  }
  int64_t whole;
  K.reduce(&whole, ix, HF_INT64, 1, 0, 1, HF_MAX);
  assert_int_equal(whole, INT64_MIN);
  uint8_t truth[2] = {7, 7};
  K.reduce(truth, truth, HF_BOOL, 1, 0, 1, HF_ANY);
  K.reduce(truth + 1, truth, HF_BOOL, 1, 0, 1, HF_ALL);
  assert_memory_equal(truth, ((uint8_t[]){0, 1}), 2);
  assert_int_equal(K.reduce(y, x, HF_FLOAT32, 0, 5, 3, HF_SUM), HF_OK);
}

static void integers_and_booleans(void) {
  for (int c = 0; c < COUNT(shapes); c++) {
    const int64_t *s = shapes[c];
    static uint8_t truth[MOST], found[MOST];
    for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++) {
      ix[i] = (int64_t)(next_random() * 1e12), x[i] = (float)(ix[i] = ix[i] >> 20);
      truth[i] = next_random() > (c % 2 ? -0.999 : 0.999);
    }
    const HfReduce ops[] = {HF_SUM, HF_MAX, HF_MIN};
    for (int r = 0; r < COUNT(ops); r++) {
      assert_int_equal(K.reduce(iy, ix, HF_INT64, s[0], s[1], s[2], ops[r]), HF_OK);
      for (int64_t l = 0; l < s[0] * s[2]; l++) {
        take_line(x, s, l);
        assert_int_equal(iy[l], (int64_t)expected_reduction(s[1], ops[r]));
      }
    }
    const HfReduce logical[] = {HF_ANY, HF_ALL};
    for (int r = 0; r < 2; r++) {
      assert_int_equal(K.reduce(found, truth, HF_BOOL, s[0], s[1], s[2], logical[r]), HF_OK);
      for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++) dout[i] = truth[i];
      for (int64_t l = 0; l < s[0] * s[2]; l++) {
        take_line(dout, s, l);
        assert_int_equal(found[l], (int)expected_reduction(s[1], r == 0 ? HF_MAX : HF_MIN));
      }
    }
  }
  ix[0] = 3, ix[1] = -4, ix[2] = 5;
  K.reduce(iy, ix, HF_INT64, 1, 3, 1, HF_PROD);
  assert_int_equal(iy[0], -60);
  assert_int_equal(K.reduce(iy, ix, HF_INT64, 1, 3, 1, HF_MEAN), HF_UNSUPPORTED);
  assert_int_equal(K.reduce(y, x, HF_FLOAT32, 1, 3, 1, HF_ANY), HF_UNSUPPORTED);
}

/* ---- argmax, argmin */

static int64_t expected_index(int64_t n, bool largest) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; i++) {
    if (isnan(line[best])) break;
    if (isnan(line[i]) || (largest ? line[i] > line[best] : line[i] < line[best])) best = i;
  }
  return best;
}

static void extreme_positions(void) {
  for (int c = 0; c < COUNT(shapes); c++) {
    const int64_t *s = shapes[c], n = s[0] * s[1] * s[2];
    for (int round = 0; round < 3; round++) {
      for (int64_t i = 0; i < n; i++) ix[i] = (int64_t)(20 * next_random()), x[i] = (float)ix[i]; /* many equals */
      if (round == 2) x[n / 3] = x[n / 2] = NAN;
      assert_int_equal(K.reduce_index(indices, x, HF_FLOAT32, s[0], s[1], s[2], round != 1), HF_OK);
      assert_int_equal(K.reduce_index(iy, ix, HF_INT64, s[0], s[1], s[2], round != 1), HF_OK);
      for (int64_t l = 0; l < s[0] * s[2]; l++) {
        take_line(x, s, l);
        assert_int_equal(indices[l], expected_index(s[1], round != 1));
        if (round < 2) assert_int_equal(iy[l], indices[l]);
      }
    }
  }
}

/* ---- variance, running sums */

static void variances(void) {
  static float mean[MOST];
  for (int c = 0; c < COUNT(shapes); c++) {
    const int64_t *s = shapes[c];
    fill_random(x, s[0] * s[1] * s[2], 1);
    for (int64_t i = 0; i < s[0] * s[1] * s[2]; i++) x[i] += 100;
    K.variance(y, mean, x, s[0], s[1], s[2], 1);
    for (int64_t l = 0; l < s[0] * s[2]; l++) {
      take_line(x, s, l);
      double m = expected_reduction(s[1], HF_MEAN), sum = 0;
      for (int64_t i = 0; i < s[1]; i++) sum += (line[i] - m) * (line[i] - m);
      assert_close(mean[l], m, 1e-7, 0);
      assert_close(y[l], s[1] > 1 ? sum / (double)(s[1] - 1) : NAN, 1e-6, 0);
    }
  }
  K.variance(y, NULL, x, 1, 1, 1, 0);
  assert_close(y[0], 0, 0, 0);
}

static void running_sums(void) {
  for (int c = 0; c < COUNT(shapes); c++)
    for (int reverse = 0; reverse < 2; reverse++) {
      const int64_t *s = shapes[c], n = s[0] * s[1] * s[2];
      fill_random(x, n, 1);
      for (int64_t i = 0; i < n; i++) ix[i] = i % 17 - 5;
      K.cumsum(y, x, HF_FLOAT32, s[0], s[1], s[2], reverse);
      K.cumsum(iy, ix, HF_INT64, s[0], s[1], s[2], reverse);
      for (int64_t l = 0; l < s[0] * s[2]; l++) {
        double sum = 0;
        int64_t whole = 0;
        for (int64_t j = 0; j < s[1]; j++) {
          int64_t at = (l / s[2] * s[1] + (reverse ? s[1] - 1 - j : j)) * s[2] + l % s[2];
          sum += x[at], whole += ix[at];
          assert_close(y[at], sum, 1e-7, 1e-7);
          assert_int_equal(iy[at], whole);
        }
      }
    }
}

/* ---- sort */

typedef struct Pair { double value; int64_t index; } Pair;
static bool sorts_descending;

static int compare_pairs(const void *pa, const void *pb) {
  const Pair *a = pa, *b = pb;
  double va = isnan(a->value) ? INFINITY : a->value, vb = isnan(b->value) ? INFINITY : b->value;
  int order = va < vb ? -1 : va > vb ? 1 : isnan(a->value) - isnan(b->value);
  if (order != 0) return sorts_descending ? -order : order;
  return a->index < b->index ? -1 : 1;
}

static void check_sort(const int64_t *s, int64_t k, bool integers) {
  static Pair pairs[MOST];
  if (integers) assert_int_equal(K.sort(iy, indices, ix, HF_INT64, s[0], s[1], s[2], k, sorts_descending), HF_OK);
  else assert_int_equal(K.sort(y, indices, x, HF_FLOAT32, s[0], s[1], s[2], k, sorts_descending), HF_OK);
  for (int64_t l = 0; l < s[0] * s[2]; l++) {
    for (int64_t i = 0; i < s[1]; i++) {
      int64_t at = (l / s[2] * s[1] + i) * s[2] + l % s[2];
      pairs[i] = (Pair){integers ? (double)ix[at] : x[at], i};
    }
    qsort(pairs, (size_t)s[1], sizeof *pairs, compare_pairs);
    for (int64_t i = 0; i < k; i++) {
      int64_t at = (l / s[2] * k + i) * s[2] + l % s[2];
      assert_int_equal(indices[at], pairs[i].index);
      assert_close(integers ? (double)iy[at] : y[at], pairs[i].value, 0, 0);
    }
  }
}

static void sorting(void) {
  for (int c = 0; c < COUNT(shapes); c++)
    for (int descending = 0; descending < 2; descending++) {
      const int64_t *s = shapes[c], n = s[0] * s[1] * s[2];
      if (n > 100000 && descending) continue; /* long enough once */
      sorts_descending = descending;
      for (int64_t i = 0; i < n; i++) {
        x[i] = next_random() > 0 ? (float)(int)(10 * next_random()) : (float)(1e3 * next_random());
        if (i % 53 == 5) x[i] = (float[]){NAN, INFINITY, -INFINITY, -0.0f}[i % 4];
        ix[i] = next_random() > 0 ? (int64_t)(10 * next_random()) : (int64_t)(1e15 * next_random());
      }
      const int64_t ks[] = {s[1], 1, s[1] / 10, s[1] / 3};
      for (int i = 0; i < COUNT(ks); i++) check_sort(s, ks[i], false), check_sort(s, ks[i], true);
    }
}

/* ---- softmax */

static void check_softmax(const int64_t *s, bool log_form) {
  int64_t n = s[0] * s[1] * s[2];
  static float p[MOST], dx[MOST];
  fill_random(x, n, 8);
  fill_random(dout, n, 1);
  for (int64_t i = 0; i < n; i++) x[i] += 300; /* must not overflow */
  if (n > 2) x[n / 2] = -INFINITY;
  K.softmax(p, x, s[0], s[1], s[2], log_form);
  K.softmax_backward(dx, dout, p, s[0], s[1], s[2], log_form);
  for (int64_t l = 0; l < s[0] * s[2]; l++) {
    take_line(x, s, l);
    double sum = 0, dot = 0, top = expected_reduction(s[1], HF_MAX);
    for (int64_t i = 0; i < s[1]; i++) sum += exp(line[i] - top);
    for (int64_t i = 0; i < s[1]; i++) {
      int64_t at = (l / s[2] * s[1] + i) * s[2] + l % s[2];
      dot += log_form ? dout[at] : dout[at] * exp(line[i] - top) / sum;
    }
    for (int64_t i = 0; i < s[1]; i++) {
      int64_t at = (l / s[2] * s[1] + i) * s[2] + l % s[2];
      double value = exp(line[i] - top) / sum;
      assert_close(p[at], log_form ? line[i] - top - log(sum) : value, 2e-6, log_form ? 2e-6 : 1e-9);
      assert_close(dx[at], log_form ? dout[at] - value * dot : value * (dout[at] - dot), 4e-6, 1e-6);
    }
  }
  memcpy(y, x, (size_t)n * sizeof *x);
  K.softmax(y, y, s[0], s[1], s[2], log_form);
  assert_memory_equal(y, p, (size_t)n * sizeof *p);
  K.softmax_backward(dout, dout, p, s[0], s[1], s[2], log_form);
  assert_memory_equal(dout, dx, (size_t)n * sizeof *dx);
}

static void softmaxes(void) {
  for (int c = 0; c < COUNT(shapes); c++) check_softmax(shapes[c], false), check_softmax(shapes[c], true);
  float dead[] = {-INFINITY, -INFINITY}, out[2];
  for (int log_form = 0; log_form < 2; log_form++) {
    K.softmax(out, dead, 1, 2, 1, log_form);
    assert_true(isnan(out[0]) && isnan(out[1]));
    K.softmax(out, dead, 1, 1, 2, log_form);
    assert_true(isnan(out[0]) && isnan(out[1]));
  }
  float spoiled[] = {1, NAN, 2}, three[3];
  K.softmax(three, spoiled, 1, 3, 1, false);
  assert_true(isnan(three[0]) && isnan(three[2]));
  assert_int_equal(K.softmax(out, x, 0, 5, 1, false), HF_OK);
}

static void test_floats(void **state) { for_each_table(float_values); for_each_table(infinities); }
static void test_precision(void **state) { for_each_table(precision); }
static void test_empty(void **state) { for_each_table(empty_lines); }
static void test_integers(void **state) { for_each_table(integers_and_booleans); }
static void test_positions(void **state) { for_each_table(extreme_positions); }
static void test_statistics(void **state) { for_each_table(variances); for_each_table(running_sums); }
static void test_sort(void **state) { for_each_table(sorting); }
static void test_softmax(void **state) { for_each_table(softmaxes); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_floats), cmocka_unit_test(test_precision), cmocka_unit_test(test_empty),
      cmocka_unit_test(test_integers), cmocka_unit_test(test_positions), cmocka_unit_test(test_statistics),
      cmocka_unit_test(test_sort), cmocka_unit_test(test_softmax),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
