/* Attention by tensor cores, emulated, against the processor's float32 kernels on the same 16-bit numbers: lengths around the
 * tiles, causal forms, grouped heads, dropout, gaps between rows; and the float32 form for operands that are not aligned. */
#include "cpu/element.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "emulated_table.h"

typedef struct Case {
  int64_t sequences, heads, kv_heads, D;
  int32_t queries[3], keys[3];
  int causal;
  float dropout;
  int64_t gap;
} Case;

static uint32_t state = 1;
static float next_random(void) { return (float)(int32_t)(state = state * 1664525u + 1013904223u) / 2147483648.0f; }

static float widen(uint16_t h, HfDtype dtype) { return dtype == HF_BFLOAT16 ? hf_bf16_to_float(h) : hf_f16_to_float(h); }
static uint16_t narrow(float x, HfDtype dtype) { return dtype == HF_BFLOAT16 ? hf_float_to_bf16(x) : hf_float_to_f16(x); }

/* The same numbers twice. */
typedef struct Numbers {
  uint16_t *half;
  float *wide;
  int64_t n;
} Numbers;

static Numbers numbers(int64_t n, HfDtype dtype) {
  Numbers x = {aligned_alloc(64, (size_t)(n * 2 + 127) / 64 * 64), malloc((size_t)(n + 1) * sizeof(float)), n};
  for (int64_t i = 0; i < n; i++) x.half[i] = narrow(next_random(), dtype), x.wide[i] = widen(x.half[i], dtype);
  return x;
}
static void drop(Numbers *x) { free(x->half), free(x->wide); }

static void compare(const Numbers *x, HfDtype dtype, float tolerance, const char *what, const Case *c) {
  for (int64_t i = 0; i < x->n; i++) {
    float found = widen(x->half[i], dtype), expected = x->wide[i];
    if (!(fabsf(found - expected) <= tolerance * (1 + fabsf(expected))))
      fail_msg("%s [%lld] of %d x %d, D %d, causal %d: expected %g, found %g", what, (long long)i, (int)c->queries[0], (int)c->keys[0],
               (int)c->D, c->causal, (double)expected, (double)found);
  }
}

static void check(const Case *c, HfDtype dtype) {
  int32_t cu_q[4] = {0}, cu_k[4] = {0};
  for (int s = 0; s < c->sequences; s++) cu_q[s + 1] = cu_q[s] + c->queries[s], cu_k[s + 1] = cu_k[s] + c->keys[s];
  int64_t rows = cu_q[c->sequences], keys = cu_k[c->sequences], wide = c->heads * c->D + c->gap, narrow_ = c->kv_heads * c->D + c->gap;
  Numbers q = numbers(rows * wide, dtype), k = numbers(keys * narrow_, dtype), v = numbers(keys * narrow_, dtype), dout = numbers(rows * wide, dtype),
          out = numbers(rows * wide, dtype), dq = numbers(rows * wide, dtype), dk = numbers(keys * narrow_, dtype), dv = numbers(keys * narrow_, dtype);
  float *lse = calloc((size_t)(rows * c->heads + 1), sizeof *lse), *expected_lse = calloc((size_t)(rows * c->heads + 1), sizeof *lse);
  HfAttention a = {dtype, c->sequences, c->heads, c->kv_heads, c->D, cu_q, cu_k, c->causal, 1 / sqrtf((float)c->D), c->dropout, {.key = 77}, q.half, k.half, v.half,
                   wide, narrow_, narrow_, wide, NULL}, w = a;
  w.dtype = HF_FLOAT32, w.q = q.wide, w.k = k.wide, w.v = v.wide;
  const HfKernels *device = emulated_table(), *cpu = hf_cpu_kernels();
  float tolerance = dtype == HF_BFLOAT16 ? 0.03f : 0.004f;
  assert_int_equal(device->attention(out.half, lse, &a), HF_OK);
  assert_int_equal(cpu->attention(out.wide, expected_lse, &w), HF_OK);
  compare(&out, dtype, tolerance, "out", c);
  for (int64_t i = 0; i < rows * c->heads; i++)
    if (isfinite(expected_lse[i])) assert_true(fabsf(lse[i] - expected_lse[i]) < 1e-4f);
  assert_int_equal(device->attention_backward(dq.half, dk.half, dv.half, dout.half, out.half, lse, &a), HF_OK);
  assert_int_equal(cpu->attention_backward(dq.wide, dk.wide, dv.wide, dout.wide, out.wide, expected_lse, &w), HF_OK);
  compare(&dq, dtype, tolerance, "dq", c), compare(&dk, dtype, tolerance, "dk", c), compare(&dv, dtype, tolerance, "dv", c);
  drop(&q), drop(&k), drop(&v), drop(&dout), drop(&out), drop(&dq), drop(&dk), drop(&dv);
  free(lse), free(expected_lse);
}

static void test_against_the_processor(void **unused) {
  (void)unused;
  static const Case cases[] = {
      {1, 1, 1, 64, {1}, {1}, 0, 0, 0},          {3, 2, 2, 64, {17, 64, 3}, {17, 64, 3}, 0, 0, 0}, {1, 2, 1, 64, {65}, {130}, 0, 0, 8},
      {2, 2, 1, 64, {70, 5}, {70, 5}, 1, 0, 0},  {2, 1, 1, 64, {1, 66}, {40, 131}, 2, 0, 8},       {1, 1, 1, 64, {20}, {7}, 2, 0, 0},
      {2, 2, 2, 64, {33, 0}, {33, 4}, 0, 0.2f, 0}, {1, 2, 1, 64, {67}, {67}, 1, 0.1f, 0},          {1, 1, 1, 128, {66}, {97}, 2, 0, 0},
      {2, 2, 1, 128, {31, 34}, {31, 34}, 1, 0.1f, 8}, {2, 4, 2, 32, {65, 2}, {65, 2}, 1, 0, 0},    {1, 1, 1, 64, {9}, {9}, 0, 0, 3}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) check(&cases[i], HF_BFLOAT16), check(&cases[i], HF_FLOAT16);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_the_processor)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
