/* Random fills of tensors: golden values of PyTorch for seed 42 (golden/rng), every dtype and layout, bad parameters. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <string.h>
#include "random_tensor.h"

static HfTensor *zeros(HfDtype dtype, int64_t rows, int64_t columns) {
  HfError err;
  HfTensor *t = hf_tensor_zeros(dtype, 2, (int64_t[]){rows, columns}, hf_device_cpu(), &err);
  assert_non_null(t);
  return t;
}

static HfRandom *seeded(HfRandom *gen) {
  hf_random_seed(gen, 42);
  return gen;
}

static void check_near(const HfTensor *t, const double *expected, size_t n, double tolerance) {
  const float *found = hf_tensor_data(t);
  for (size_t i = 0; i < n; i++)
    if (!(fabs(found[i] - expected[i]) <= tolerance)) fail_msg("%zu: expected %.9g, found %.9g", i, expected[i], (double)found[i]);
}

static void fills_are_pytorchs(void **state) {
  HfError err;
  HfRandom gen;
  HfTensor *t = zeros(HF_FLOAT32, 2, 8);
  assert_true(hf_random_uniform_(t, 0, 1, seeded(&gen), &err));
  check_near(t, (double[]){0.8822692632675171, 0.9150039553642273, 0.38286375999450684}, 3, 0);
  assert_true(hf_random_normal_(t, 0, 1, seeded(&gen), &err));
  check_near(t, (double[]){1.9269152879714966, 1.4872840642929077, 0.9007171988487244}, 3, 0);
  hf_tensor_release(t);
}

static void truncated_values_are_pytorchs(void **state) {
  static const double expected[] = {
    0.03853830322623253, 0.02974568121135235, 0.018014343455433846, -0.042110417038202286, 0.01356836874037981,
    0.021566351875662804, 0.01601601019501686, 0.033612411469221115, 0.007117197848856449, -0.013732459396123886,
    -0.009867127053439617, 0.0048297555185854435, -0.02221807651221752, 0.0008351898286491632, -0.005031505599617958,
    0.017197169363498688, -0.006194535177201033, -0.007914209738373756, 0.01606818661093712, -0.012431907467544079,
    -0.01184001099318266};
  HfError err;
  HfRandom gen;
  HfTensor *t = zeros(HF_FLOAT32, 3, 7);
  assert_true(hf_random_trunc_normal_(t, 0, 0.02, -2, 2, seeded(&gen), &err));
  check_near(t, expected, 21, 0);
  hf_tensor_release(t);
}

static void exponential_values_and_categories_are_pytorchs(void **state) {
  static const double expected[] = {
    0.05991401523351669, 0.06497612595558167, 0.13191677629947662, 0.054012950509786606, 0.7469106912612915,
    0.6477623581886292, 3.106344223022461, 2.641596794128418};
  static const int64_t drawn[] = {
    3, 3, 0, 1, 4};
  HfError err;
  HfRandom gen;
  HfTensor *t = zeros(HF_FLOAT32, 1, 8), *weights = zeros(HF_FLOAT32, 1, 5);
  assert_true(hf_random_exponential_(t, 1, seeded(&gen), &err));
  check_near(t, expected, 8, 0);
  memcpy(hf_tensor_data(weights), ((float[]){0.1f, 0.2f, 0.3f, 0.25f, 0.15f}), 5 * sizeof(float));
  seeded(&gen);
  for (int i = 0; i < 5; i++) {
    HfTensor *choice = hf_random_new_multinomial(weights, 1, false, &gen, &err);
    assert_int_equal(*(int64_t *)hf_tensor_data(choice), drawn[i]);
    hf_tensor_release(choice);
  }
  hf_tensor_release(t);
  hf_tensor_release(weights);
}

static void chances_are_pytorchs(void **state) {
  static const double expected[] = {
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0,
    1.0, 0.0, 0.0, 0.0, 0.0, 1.0};
  HfError err;
  HfRandom gen;
  HfTensor *p = zeros(HF_FLOAT32, 1, 30);
  assert_true(hf_tensor_fill_(p, 0.15, &err));
  HfTensor *t = hf_random_new_bernoulli(p, seeded(&gen), &err);
  check_near(t, expected, 30, 0);
  hf_tensor_release(t);
  hf_tensor_release(p);
}

/* The same numbers in row order, whatever the strides and dtype. */
static void layouts_and_dtypes_get_the_same_numbers(void **state) {
  HfError err;
  HfRandom gen;
  HfTensor *rows = zeros(HF_FLOAT32, 4, 6), *columns = zeros(HF_FLOAT32, 6, 4), *half = zeros(HF_BFLOAT16, 4, 6);
  HfTensor *turned = hf_tensor_view(columns, 0, 2, (int64_t[]){4, 6}, (int64_t[]){1, 4}, &err);
  assert_true(hf_random_normal_(rows, 1, 2, seeded(&gen), &err) && hf_random_normal_(turned, 1, 2, seeded(&gen), &err));
  assert_true(hf_random_normal_(half, 1, 2, seeded(&gen), &err));
  const float *r = hf_tensor_data(rows), *c = hf_tensor_data(columns);
  const uint16_t *h = hf_tensor_data(half);
  for (int i = 0; i < 24; i++) {
    assert_true(r[i] == c[i % 6 * 4 + i / 6]);
    assert_int_equal(h[i], hf_float_to_bf16(r[i]));
  }
  HfTensor *all[] = {rows, columns, half, turned};
  for (int i = 0; i < 4; i++) hf_tensor_release(all[i]);
}

static void whole_numbers_fill_any_dtype(void **state) {
  HfError err;
  HfRandom gen;
  HfTensor *whole = zeros(HF_INT64, 1, 6), *single = zeros(HF_FLOAT32, 1, 6);
  assert_true(hf_random_integers_(whole, -5, 30522, seeded(&gen), &err) && hf_random_integers_(single, -5, 30522, seeded(&gen), &err));
  for (int i = 0; i < 6; i++) assert_true((float)((int64_t *)hf_tensor_data(whole))[i] == ((float *)hf_tensor_data(single))[i]);
  hf_tensor_release(whole);
  hf_tensor_release(single);
}

static void categories_without_replacement_differ(void **state) {
  HfError err;
  HfTensor *p = zeros(HF_FLOAT32, 3, 4);
  assert_true(hf_tensor_fill_(p, 0.25, &err));
  HfTensor *t = hf_random_new_multinomial(p, 4, false, NULL, &err);
  for (int row = 0; row < 3; row++) {
    int seen = 0;
    for (int i = 0; i < 4; i++) seen |= 1 << ((int64_t *)hf_tensor_data(t))[4 * row + i];
    assert_int_equal(seen, 15);
  }
  hf_tensor_release(t);
  t = hf_random_new_multinomial(p, 100, true, NULL, &err);
  assert_int_equal(t->shape[1], 100);
  hf_tensor_release(t);
  hf_tensor_release(p);
}

static void bad_parameters_are_named(void **state) {
  HfError err;
  HfTensor *t = zeros(HF_FLOAT32, 1, 4), *whole = zeros(HF_INT64, 1, 4);
  assert_false(hf_random_normal_(t, 0, -1, NULL, &err));
  assert_string_equal(err.message, "normal_: expected std >= 0, found -1");
  assert_false(hf_random_uniform_(whole, 0, 1, NULL, &err));
  assert_string_equal(err.message, "uniform_: expected a float tensor, found int64");
  assert_false(hf_random_uniform_(t, 1, 0, NULL, &err));
  assert_string_equal(err.message, "uniform_: expected from <= to, found 1 and 0");
  assert_false(hf_random_bernoulli_(t, NAN, NULL, &err));
  assert_string_equal(err.message, "bernoulli_: expected a probability from 0 to 1, found nan");
  assert_false(hf_random_integers_(t, 4, 4, NULL, &err));
  assert_string_equal(err.message, "randint: expected low < high, found 4 and 4");
  assert_false(hf_random_trunc_normal_(t, 0, 1, 5, 6, NULL, &err));
  assert_null(hf_random_new_multinomial(t, 1, false, NULL, &err));
  assert_string_equal(err.message, "multinomial: row 0: expected at least 1 weights above 0, found 0");
  assert_null(hf_random_new_permutation(-1, NULL, &err));
  assert_string_equal(err.message, "randperm: expected n >= 0, found -1");
  hf_tensor_release(t);
  hf_tensor_release(whole);
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test(fills_are_pytorchs),
    cmocka_unit_test(truncated_values_are_pytorchs),
    cmocka_unit_test(exponential_values_and_categories_are_pytorchs),
    cmocka_unit_test(chances_are_pytorchs),
    cmocka_unit_test(layouts_and_dtypes_get_the_same_numbers),
    cmocka_unit_test(whole_numbers_fill_any_dtype),
    cmocka_unit_test(categories_without_replacement_differ),
    cmocka_unit_test(bad_parameters_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
