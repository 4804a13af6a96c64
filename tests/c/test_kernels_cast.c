/* Strided copies and conversions between all dtypes, fill and arange. */
#include "kernel_tables.h"

/* ---- conversions: the value of one element, in exact steps of its own */

static double half_value(uint16_t h) {
  int exponent = h >> 10 & 31, mantissa = h & 1023;
  double magnitude = exponent == 0 ? ldexp(mantissa, -24) : exponent == 31 ? (mantissa ? NAN : INFINITY) : ldexp(1024 + mantissa, exponent - 25);
  return h >> 15 ? -magnitude : magnitude;
}
static double bfloat_value(uint16_t h) {
  uint32_t bits = (uint32_t)h << 16;
  float f;
  memcpy(&f, &bits, 4);
  return f;
}

static double element(const void *x, int64_t i, HfDtype dtype) {
  switch (dtype) {
  case HF_FLOAT32: return ((const float *)x)[i];
  case HF_FLOAT16: return half_value(((const uint16_t *)x)[i]);
  case HF_BFLOAT16: return bfloat_value(((const uint16_t *)x)[i]);
  case HF_INT64: return (double)((const int64_t *)x)[i];
  case HF_INT32: return ((const int32_t *)x)[i];
  default: return ((const uint8_t *)x)[i];
  }
}

static void cast_flat(void *out, HfDtype to, const void *in, HfDtype from, int64_t n) {
  HfLayout l = contiguous_layout(2, 1, &n);
  assert_int_equal(K.cast(out, to, in, from, &l), HF_OK);
}

/* Every 16-bit pattern goes to float32 and back. */
static void all_patterns(void) {
  static uint16_t patterns[65536], back[65536];
  static float wide[65536];
  const HfDtype halves[] = {HF_FLOAT16, HF_BFLOAT16};
  for (int i = 0; i < 65536; i++) patterns[i] = (uint16_t)i;
  for (int h = 0; h < 2; h++) {
    cast_flat(wide, HF_FLOAT32, patterns, halves[h], 65536);
    cast_flat(back, halves[h], wide, HF_FLOAT32, 65536);
    for (int i = 0; i < 65536; i++) {
      double want = element(patterns, i, halves[h]);
      assert_close(wide[i], want, 0, 0);
      if (!isnan(want)) assert_int_equal(back[i], patterns[i]);
      else assert_true(isnan(element(back, i, halves[h])));
    }
  }
}

/* Between two neighbours of a 16-bit type: the middle goes to the even one, either side of it to the nearer one. */
static void rounding_of(HfDtype dtype, uint16_t largest) {
  for (int i = 0; i < largest; i++) {
    uint16_t pair[2] = {(uint16_t)i, (uint16_t)(i + 1)}, rounded[6];
    float low = (float)element(pair, 0, dtype), high = (float)element(pair, 1, dtype), middle = (float)(((double)low + high) / 2);
    float value[6] = {middle, nextafterf(middle, 0), nextafterf(middle, INFINITY), -middle, low, high};
    if (middle == low || middle == high) continue; /* float32 has nothing between */
    cast_flat(rounded, dtype, value, HF_FLOAT32, 6);
    uint16_t even = i % 2 == 0 ? pair[0] : pair[1];
    assert_int_equal(rounded[0], even);
    assert_int_equal(rounded[1], pair[0]);
    assert_int_equal(rounded[2], pair[1]);
    assert_int_equal(rounded[3], even | 0x8000);
  }
}

static void rounding(void) {
  rounding_of(HF_FLOAT16, 0x7bff);
  rounding_of(HF_BFLOAT16, 0x7f7f);
  float large[] = {65504, 65519.996f, 65520, 1e30f, -65520, INFINITY, 3.4e38f};
  uint16_t half[COUNT(large)], brain[COUNT(large)];
  cast_flat(half, HF_FLOAT16, large, HF_FLOAT32, COUNT(large));
  const uint16_t expected[] = {0x7bff, 0x7bff, 0x7c00, 0x7c00, 0xfc00, 0x7c00, 0x7c00};
  assert_memory_equal(half, expected, sizeof expected);
  cast_flat(brain, HF_BFLOAT16, large, HF_FLOAT32, COUNT(large));
  assert_int_equal(brain[6], 0x7f80);
}

static void to_integers(void) {
  float x[] = {1.9f, -1.9f, 0, -0.0f, NAN, 255, 3e9f, 1e30f, -1e30f, INFINITY, 0.25f};
  enum { M = COUNT(x) };
  int64_t wide[M];
  int32_t narrow[M];
  uint8_t truth[M], bytes[M];
  cast_flat(wide, HF_INT64, x, HF_FLOAT32, M);
  cast_flat(narrow, HF_INT32, x, HF_FLOAT32, M);
  cast_flat(truth, HF_BOOL, x, HF_FLOAT32, M);
  cast_flat(bytes, HF_UINT8, x, HF_FLOAT32, M);
  const int64_t expected[M] = {1, -1, 0, 0, INT64_MIN, 255, 3000000000, INT64_MIN, INT64_MIN, INT64_MIN, 0};
  const uint8_t nonzero[M] = {1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1};
  for (int i = 0; i < M; i++) {
    assert_int_equal(wide[i], expected[i]);
    assert_int_equal(truth[i], nonzero[i]);
  }
  assert_int_equal(narrow[1], -1);
  assert_int_equal(bytes[5], 255);
  int64_t integers[] = {256, -1, 0, 7};
  cast_flat(truth, HF_BOOL, integers, HF_INT64, 4);
  cast_flat(bytes, HF_UINT8, integers, HF_INT64, 4);
  assert_memory_equal(truth, ((uint8_t[]){1, 1, 0, 1}), 4);
  assert_memory_equal(bytes, ((uint8_t[]){0, 255, 0, 7}), 4);
}

/* ---- layouts: all pairs of dtypes over strided walks, small exact values */

static const HfLayout layouts[] = {
    {0, {0}, {{0}}},
    {1, {20000}, {{1}, {1}}},
    {1, {5000}, {{1}, {-1}}},
    {1, {5000}, {{3}, {2}}},
    {2, {130, 150}, {{150, 1}, {1, 130}}},
    {2, {33, 31}, {{31, 1}, {1, 40}}},
    {3, {3, 70, 65}, {{4550, 65, 1}, {4550, 1, 70}}},
    {3, {70, 3, 65}, {{195, 65, 1}, {1, 4550, 70}}},
    {3, {2, 40, 50}, {{2000, 50, 1}, {2000, 1, -40}}},
    {4, {2, 3, 4, 5}, {{60, 20, 5, 1}, {60, 5, 15, 1}}},
    {4, {2, 3, 4, 5}, {{60, 20, 5, 1}, {1, 40, 10, 2}}},
    {3, {6, 7, 8}, {{56, 8, 1}, {0, 1, 0}}},
    {3, {64, 1, 64}, {{1, 7, 64}, {64, 9, 1}}},
    {2, {0, 5}, {{5, 1}, {1, 1}}},
};
enum { MIDDLE = 21000 };
static uint64_t in[2 * MIDDLE], out[2 * MIDDLE];

static size_t size_of(HfDtype dtype) { return (size_t[]){4, 2, 2, 8, 4, 1, 1}[dtype]; }

static void fill_exact(HfDtype dtype) {
  static float small[2 * MIDDLE];
  for (int i = 0; i < 2 * MIDDLE; i++) small[i] = dtype == HF_BOOL ? i % 3 == 0 : (float)(i * 7919 % 127);
  cast_flat(in, dtype, small, HF_FLOAT32, 2 * MIDDLE);
}

static void check_walk(HfDtype to, HfDtype from, const HfLayout *l) {
  const char *x = (const char *)in + MIDDLE * size_of(from);
  char *y = (char *)out + MIDDLE * size_of(to);
  memset(out, 0, sizeof out);
  assert_int_equal(K.cast(y, to, x, from, l), HF_OK);
  for (int64_t i = 0; i < layout_count(l); i++) {
    double value = element(x, layout_offset(l, 1, i), from);
    assert_close(element(y, layout_offset(l, 0, i), to), to == HF_BOOL ? value != 0 : value, 0, 0);
  }
}

static void strided(void) {
  for (int from = 0; from < HF_DTYPE_COUNT; from++) {
    fill_exact(from);
    for (int to = 0; to < HF_DTYPE_COUNT; to++)
      for (int c = 0; c < COUNT(layouts); c++) check_walk(to, from, layouts + c);
  }
}

static void filling(void) {
  for (int dtype = 0; dtype < HF_DTYPE_COUNT; dtype++)
    for (int c = 0; c < COUNT(layouts); c++) {
      const HfLayout *l = layouts + c;
      char *y = (char *)out + MIDDLE * size_of(dtype);
      memset(out, 0, sizeof out);
      assert_int_equal(K.fill(y, dtype, 3.0, l), HF_OK);
      for (int64_t i = 0; i < layout_count(l); i++)
        assert_close(element(y, layout_offset(l, 0, i), dtype), dtype == HF_BOOL ? 1 : 3, 0, 0);
    }
  float special[3];
  int64_t one = 1;
  HfLayout l = contiguous_layout(1, 1, &one);
  K.fill(special, HF_FLOAT32, NAN, &l);
  K.fill(special + 1, HF_FLOAT32, -INFINITY, &l);
  assert_true(isnan(special[0]) && special[1] == -INFINITY);
}

static void counting(void) {
  int64_t whole[5];
  float part[5];
  K.arange(whole, HF_INT64, 10, -3, 5);
  assert_memory_equal(whole, ((int64_t[]){10, 7, 4, 1, -2}), sizeof whole);
  K.arange(part, HF_FLOAT32, 0, 0.1, 5);
  for (int i = 0; i < 5; i++) assert_close(part[i], (float)(0.1 * i), 0, 0);
  assert_int_equal(K.arange(part, HF_FLOAT32, 0, 1, 0), HF_OK);
}

static void test_patterns(void **state) { for_each_table(all_patterns); }
static void test_rounding(void **state) { for_each_table(rounding); }
static void test_integers(void **state) { for_each_table(to_integers); }
static void test_strided(void **state) { for_each_table(strided); }
static void test_fill_arange(void **state) { for_each_table(filling); for_each_table(counting); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_patterns), cmocka_unit_test(test_rounding), cmocka_unit_test(test_integers),
      cmocka_unit_test(test_strided), cmocka_unit_test(test_fill_arange),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
