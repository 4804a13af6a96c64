/* Cross entropy and its gradient, Adam, the sum of squares and the check of gradients, against loops in double. */
#include "kernel_tables.h"

enum { MOST = 160000 };
static float logits[MOST], weight[60000], loss[1000], lse[1000], dloss[1000], gradient[MOST], third[MOST], fourth[MOST];
static int64_t labels[1000], bad;
static float total;

typedef struct Case {
  int64_t N, V, ld;
  bool weighted;
  float smoothing;
} Case;
static const Case cases[] = {
    {11, 6, 6, false, 0}, {11, 6, 6, true, 0}, {40, 1000, 1003, false, 0}, {40, 1000, 1003, true, 0.1f}, {3, 50257, 50257, false, 0.1f},
    {7, 2, 2, true, 0.3f}, {100, 33, 40, false, 0.2f}, {5, 1, 1, false, 0}, {0, 4, 4, false, 0}};

static void set_up(const Case *c) {
  fill_random(logits, c->N * c->ld, 10);
  fill_random(weight, c->V, 1);
  fill_random(dloss, c->N, 1);
  for (int64_t v = 0; v < c->V; v++) weight[v] = fabsf(weight[v]);
  for (int64_t i = 0; i < c->N; i++) labels[i] = i % 5 == 3 ? -100 : (int64_t)((next_random() + 1) / 2 * (double)c->V);
}

static double class_weight(const Case *c, int64_t v) { return c->weighted ? weight[v] : 1; }

static double row_logsum(const Case *c, int64_t i) {
  const float *x = logits + i * c->ld;
  double top = -INFINITY, sum = 0;
  for (int64_t v = 0; v < c->V; v++) top = fmax(top, x[v]);
  for (int64_t v = 0; v < c->V; v++) sum += exp(x[v] - top);
  return top + log(sum);
}

static double expected_loss(const Case *c, int64_t i) {
  const float *x = logits + i * c->ld;
  double z = row_logsum(c, i), all = 0;
  for (int64_t v = 0; v < c->V; v++) all += class_weight(c, v) * (z - x[v]);
  return (1 - (double)c->smoothing) * class_weight(c, labels[i]) * (z - x[labels[i]]) + c->smoothing / (double)c->V * all;
}

static double expected_gradient(const Case *c, int64_t i, int64_t v, double z) {
  double s = c->smoothing, p = exp(logits[i * c->ld + v] - z), weights = 0;
  for (int64_t u = 0; s > 0 && u < c->V; u++) weights += class_weight(c, u);
  double own = class_weight(c, labels[i]) * (1 - s);
  return dloss[i] * (p * (own + s / (double)c->V * weights) - s / (double)c->V * class_weight(c, v) - (v == labels[i] ? own : 0));
}

static void check_gradients(const Case *c, const float *found) {
  for (int64_t i = 0; i < c->N; i++) {
    double z = row_logsum(c, i);
    for (int64_t v = 0; v < c->V; v += 1 + c->V / 100)
      assert_close(found[i * c->ld + v], labels[i] == -100 ? 0 : expected_gradient(c, i, v, z), 3e-5, 2e-6);
    if (labels[i] != -100) assert_close(found[i * c->ld + labels[i]], expected_gradient(c, i, labels[i], z), 3e-6, 1e-6);
  }
}

static void cross_entropies(void) {
  for (int k = 0; k < COUNT(cases); k++) {
    const Case *c = cases + k;
    const float *w = c->weighted ? weight : NULL;
    set_up(c);
    total = 2;
    assert_int_equal(K.cross_entropy(loss, lse, &total, logits, labels, w, HF_FLOAT32, c->N, c->V, c->ld, -100, c->smoothing, &bad), HF_OK);
    double counted = 2;
    for (int64_t i = 0; i < c->N; i++) {
      if (labels[i] != -100) counted += class_weight(c, labels[i]);
      assert_close(loss[i], labels[i] == -100 ? 0 : expected_loss(c, i), 2e-6, 1e-6);
      if (labels[i] != -100) assert_close(lse[i], row_logsum(c, i), 1e-6, 1e-6);
    }
    assert_close(total, counted, 1e-6, 0);
    memset(gradient, 0x7f, sizeof gradient);
    K.cross_entropy_backward(gradient, dloss, logits, lse, labels, w, HF_FLOAT32, c->N, c->V, c->ld, -100, c->smoothing);
    check_gradients(c, gradient);
    memcpy(third, logits, sizeof logits);
    K.cross_entropy_backward(third, dloss, third, lse, labels, w, HF_FLOAT32, c->N, c->V, c->ld, -100, c->smoothing);
    for (int64_t i = 0; i < c->N; i++) assert_memory_equal(third + i * c->ld, gradient + i * c->ld, (size_t)c->V * sizeof *third);
  }
}

static void labels_and_extremes(void) {
  const int64_t wrong[] = {-1, 6, INT64_MAX, -101};
  for (int w = 0; w < COUNT(wrong); w++) {
    set_up(cases);
    labels[10] = wrong[w];
    loss[0] = 42, total = 7;
    assert_int_equal(K.cross_entropy(loss, lse, &total, logits, labels, NULL, HF_FLOAT32, 11, 6, 6, -100, 0, &bad), HF_BAD_INDEX);
    assert_int_equal(bad, wrong[w]);
    if (IS_DEVICE) continue;
    assert_close(loss[0], 42, 0, 0);
    assert_close(total, 7, 0, 0);
  }
  float sharp[] = {1000, -1000, -INFINITY}, slope[3], one = 1;
  int64_t label = 1;
  K.cross_entropy(loss, lse, &total, sharp, &label, NULL, HF_FLOAT32, 1, 3, 3, -100, 0, &bad);
  assert_close(loss[0], 2000, 0, 0);
  K.cross_entropy_backward(slope, &one, sharp, lse, &label, NULL, HF_FLOAT32, 1, 3, 3, -100, 0);
  assert_close(slope[0], 1, 0, 0);
  assert_close(slope[1], -1, 0, 0);
  assert_close(slope[2], 0, 0, 0);
}

static void half_logits(void) {
  const Case c = {40, 1000, 1000, false, 0.1f};
  static uint16_t half[40000];
  int64_t n = c.N * c.V;
  HfLayout l = contiguous_layout(2, 1, &n);
  set_up(&c);
  K.cast(half, HF_BFLOAT16, logits, HF_FLOAT32, &l);
  K.cast(logits, HF_FLOAT32, half, HF_BFLOAT16, &l);
  assert_int_equal(K.cross_entropy(loss, lse, &total, half, labels, NULL, HF_BFLOAT16, c.N, c.V, c.ld, -100, c.smoothing, &bad), HF_OK);
  for (int64_t i = 0; i < c.N; i++)
    if (labels[i] != -100) assert_close(loss[i], expected_loss(&c, i), 2e-6, 1e-6);
  K.cross_entropy_backward(half, dloss, half, lse, labels, NULL, HF_BFLOAT16, c.N, c.V, c.ld, -100, c.smoothing);
  K.cast(gradient, HF_FLOAT32, half, HF_BFLOAT16, &l);
  for (int64_t i = 0; i < c.N; i++)
    for (int64_t v = 0; v < c.V; v++)
      assert_close(gradient[i * c.ld + v], labels[i] == -100 ? 0 : expected_gradient(&c, i, v, lse[i]), 1.0 / 128, 1e-6);
}

/* ---- adam: several tensors, an empty one among them, three steps */

static const int64_t sizes[] = {1, 0, 40001, 17, 0, 30000};
enum { TENSORS = 6, ALL = 70019 };
typedef struct Reference { double p, m, v, top; } Reference;
static Reference reference[ALL];

static void reference_step(Reference *r, double g, const HfAdam *s, double decay) {
  g *= s->gradient_scale * (s->maximize ? -1 : 1);
  if (s->decoupled) r->p *= 1 - s->lr * decay;
  else g += decay * r->p;
  r->m += (1 - s->beta1) * (g - r->m);
  r->v = s->beta2 * r->v + (1 - s->beta2) * g * g;
  r->top = fmax(r->top, r->v);
  double bias1 = 1 - pow(s->beta1, (double)s->step), bias2 = 1 - pow(s->beta2, (double)s->step);
  r->p -= s->lr / bias1 * r->m / (sqrt(s->amsgrad ? r->top : r->v) / sqrt(bias2) + s->eps);
}

static void check_adam(HfAdam settings) {
  static float top[ALL];
  HfAdamParameter q[TENSORS];
  fill_random(logits, ALL, 1);
  memset(third, 0, sizeof third), memset(fourth, 0, sizeof fourth), memset(top, 0, sizeof top);
  for (int i = 0; i < ALL; i++) reference[i] = (Reference){.p = logits[i]};
  for (int64_t t = 0, at = 0; t < TENSORS; at += sizes[t++])
    q[t] = (HfAdamParameter){logits + at, third + at, fourth + at, settings.amsgrad ? top + at : NULL, gradient + at, sizes[t], t == 2 ? 0 : 0.1f};
  for (settings.step = 1; settings.step <= 3; settings.step++) {
    fill_random(gradient, ALL, settings.step == 2 ? 0.1 : 1);
    assert_int_equal(K.adam(q, TENSORS, &settings), HF_OK);
    for (int i = 0; i < ALL; i++) reference_step(reference + i, gradient[i], &settings, i >= 1 && i < 40002 ? 0 : (double)0.1f);
  }
  for (int i = 0; i < ALL; i++) {
    assert_close(logits[i], reference[i].p, 1e-5, 2e-6);
    assert_close(third[i], reference[i].m, 1e-5, 1e-6);
    assert_close(fourth[i], reference[i].v, 1e-5, 1e-7);
  }
}

static void adams(void) {
  HfAdam s = {.lr = 0.01, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decoupled = true, .gradient_scale = 1};
  for (int variant = 0; variant < 8; variant++) {
    s.decoupled = variant & 1, s.amsgrad = variant & 2, s.maximize = variant & 4, s.gradient_scale = variant & 1 ? 1 : 0.25f;
    check_adam(s);
  }
  assert_int_equal(K.adam(NULL, 0, &s), HF_OK);
}

static void squares(void) {
  const float *tensors[TENSORS];
  double sum = 0, found;
  fill_random(gradient, ALL, 3);
  for (int64_t t = 0, at = 0; t < TENSORS; at += sizes[t++]) tensors[t] = gradient + at;
  for (int i = 0; i < ALL; i++) sum += (double)gradient[i] * gradient[i];
  assert_int_equal(K.sum_squares(&found, tensors, sizes, TENSORS), HF_OK);
  assert_close(found, sum, 1e-13, 0);
  gradient[ALL - 1] = INFINITY;
  K.sum_squares(&found, tensors, sizes, TENSORS);
  assert_true(isinf(found));
  gradient[3] = NAN;
  K.sum_squares(&found, tensors, sizes, TENSORS);
  assert_true(isnan(found));
  K.sum_squares(&found, tensors, sizes, 0);
  assert_close(found, 0, 0, 0);
}

/* ---- checks of gradients, and what obeys them */

static void checks(void) {
  const float fine = 0.5f, inf = INFINITY;
  HfGradientCheck c = {.squares = 64 * 9};
  assert_int_equal(K.check_gradients(&c, &fine, 1, 4, true), HF_OK);
  assert_close(c.norm, 6, 0, 0);
  assert_close(c.norm32, 6, 0, 0);
  assert_close(c.loss, 0.5, 0, 0);
  assert_close(c.factor, (float)(1 / (6 + 1e-6) / 4), 0, 0);
  K.check_gradients(&c, NULL, INFINITY, 4, true); /* no clipping, no loss */
  assert_close(c.factor, 0.25, 0, 0);
  assert_close(c.loss, 0, 0, 0);
  c.squares = NAN;
  K.check_gradients(&c, &inf, 1, 1, false); /* clipping alone stops nothing, and a norm that is no number scales nothing */
  assert_close(c.factor, 1, 0, 0);
  assert_close(c.norm, NAN, 0, 0);
  assert_int_equal(c.stopped, 0);
  c.squares = 4;
  K.check_gradients(&c, &inf, 1, 1, true);
  assert_close(c.factor, NAN, 0, 0);
  assert_close(c.norm, 2, 0, 0);
  assert_int_equal(c.stopped, 1);
  K.check_gradients(&c, &fine, 1, 1, true); /* it stays so */
  assert_close(c.factor, NAN, 0, 0);
  assert_close(c.loss, 0.5, 0, 0);
  c = (HfGradientCheck){.squares = INFINITY};
  K.check_gradients(&c, &fine, 1, 1, true);
  assert_int_equal(c.stopped, 1);
}

static void scalings(void) {
  float *tensors[TENSORS], factor = 0.5f;
  fill_random(gradient, ALL, 3);
  memcpy(logits, gradient, sizeof gradient);
  for (int64_t t = 0, at = 0; t < TENSORS; at += sizes[t++]) tensors[t] = gradient + at;
  assert_int_equal(K.scale_all(tensors, sizes, TENSORS, &factor), HF_OK);
  for (int i = 0; i < ALL; i++) assert_close(gradient[i], logits[i] * 0.5, 0, 0);
  factor = NAN;
  assert_int_equal(K.scale_all(tensors, sizes, TENSORS, &factor), HF_OK);
  assert_close(gradient[40000], logits[40000] * 0.5, 0, 0);
  assert_int_equal(K.scale_all(tensors, sizes, 0, &factor), HF_OK);
}

/* A factor on the device is one more factor; NaN leaves everything as it was. */
static void adam_with_a_factor(void) {
  float factor = 0.25f, p[2] = {1, 2}, m[2] = {0}, v[2] = {0}, g[2] = {4, -8}, p2[2] = {1, 2}, m2[2] = {0}, v2[2] = {0}, g2[2] = {1, -2};
  HfAdam s = {.lr = 0.1, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .decoupled = true, .gradient_scale = 1, .step = 1, .device_scale = &factor};
  HfAdamParameter q = {p, m, v, NULL, g, 2, 0.1f}, plain = {p2, m2, v2, NULL, g2, 2, 0.1f};
  assert_int_equal(K.adam(&q, 1, &s), HF_OK);
  s.device_scale = NULL;
  K.adam(&plain, 1, &s);
  assert_memory_equal(p, p2, sizeof p), assert_memory_equal(m, m2, sizeof m), assert_memory_equal(v, v2, sizeof v);
  factor = NAN, s.device_scale = &factor, s.step = 2;
  assert_int_equal(K.adam(&q, 1, &s), HF_OK);
  assert_memory_equal(p, p2, sizeof p), assert_memory_equal(m, m2, sizeof m), assert_memory_equal(v, v2, sizeof v);
}

/* What was read is what was there when the reading began; more of them at a time than places are made for. */
static void readings(void) {
  enum { MANY = 150 };
  void *pending[MANY];
  double number = 0, found;
  if (!K.read_begin) return;
  assert_null(K.read_begin(logits, HF_READ_MOST + 1));
  for (int i = 0; i < MANY; i++) {
    number = i;
    assert_non_null(pending[i] = K.read_begin(&number, sizeof number));
  }
  for (int i = 0; i < MANY; i++) {
    assert_int_equal(K.read_end(i % 7 ? &found : NULL, pending[i]), HF_OK);
    if (i % 7) assert_close(found, i, 0, 0);
  }
}

static void test_cross_entropy(void **state) { for_each_table(cross_entropies); }
static void test_labels(void **state) { for_each_table(labels_and_extremes); }
static void test_half_logits(void **state) { for_each_table(half_logits); }
static void test_adam(void **state) { for_each_table(adams); }
static void test_sum_squares(void **state) { for_each_table(squares); }
static void test_checks(void **state) { for_each_table(checks); }
static void test_scalings(void **state) { for_each_table(scalings); }
static void test_adam_factor(void **state) { for_each_table(adam_with_a_factor); }
static void test_readings(void **state) { for_each_table(readings); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_cross_entropy), cmocka_unit_test(test_labels), cmocka_unit_test(test_half_logits),
      cmocka_unit_test(test_adam), cmocka_unit_test(test_sum_squares), cmocka_unit_test(test_checks),
      cmocka_unit_test(test_scalings), cmocka_unit_test(test_adam_factor), cmocka_unit_test(test_readings),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
