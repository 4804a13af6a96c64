/* The kernels of a token that is generated: products of few rows with float32 and bfloat16 weights, attention of few queries to a
 * cache. Each against sums in double, on every instruction set. */
#include "kernel_tables.h"

static void check_product(int64_t m, int64_t n, int64_t k, bool transposed, bool half) {
  float *a = malloc((size_t)(m * k) * sizeof *a), *b = malloc((size_t)(n * k) * sizeof *b), *c = malloc((size_t)(m * n) * sizeof *c), *bias = malloc((size_t)n * sizeof *bias);
  uint16_t *packed = malloc((size_t)(n * k) * sizeof *packed);
  fill_random(a, m * k, 1), fill_random(b, n * k, 1), fill_random(bias, n, 1);
  for (int64_t i = 0; i < n * k && half; i++) packed[i] = hf_float_to_bf16(b[i]), b[i] = hf_bf16_to_float(packed[i]);
  HfMatmul p = {.transpose_b = transposed, .m = m, .n = n, .k = k, .batch = 1, .alpha = 1, .a = a, .lda = k, .b = half ? (void *)packed : b,
                .ldb = transposed ? k : n, .c = c, .ldc = n, .bias = bias, .activation = HF_ACT_RELU, .b_dtype = half ? HF_BFLOAT16 : HF_FLOAT32};
  assert_int_equal(K.matmul(&p), HF_OK);
  for (int64_t i = 0; i < m; i++)
    for (int64_t j = 0; j < n; j++) {
      double sum = bias[j];
      for (int64_t q = 0; q < k; q++) sum += (double)a[i * k + q] * b[transposed ? j * k + q : q * n + j];
      assert_close(c[i * n + j], sum > 0 ? sum : 0, 1e-5, 1e-5);
    }
  free(a), free(b), free(c), free(bias), free(packed);
}

static void products_of_few_rows(void) {
  static const int64_t sizes[][2] = {{1, 1}, {3, 5}, {16, 16}, {31, 33}, {67, 130}, {300, 129}};
  for (int64_t m = 1; m <= 9; m++)
    for (int s = 0; s < COUNT(sizes); s++)
      for (int form = 0; form < 4; form++)
        if (m <= 8 || form < 2) check_product(m, sizes[s][0], sizes[s][1], form & 1, form & 2);
}

/* Two sequences in a cache with room between them; the last `queries` keys are those of the queries. */
static void check_attention(int64_t heads, int64_t kv_heads, int64_t D, int32_t queries, int32_t first_keys, int32_t second_keys) {
  int64_t capacity = 40, width = kv_heads * D;
  int32_t cu_q[3] = {0, queries, 2 * queries}, cu_k[2] = {(int32_t)capacity, 0}, count[2] = {first_keys, second_keys};
  float *q = malloc((size_t)(2 * queries * heads * D) * sizeof *q), *out = malloc((size_t)(2 * queries * heads * D) * sizeof *out), *lse = malloc((size_t)(2 * queries * heads) * sizeof *lse);
  float *k = malloc((size_t)(2 * capacity * width) * sizeof *k), *v = malloc((size_t)(2 * capacity * width) * sizeof *v);
  fill_random(q, 2 * queries * heads * D, 1), fill_random(k, 2 * capacity * width, 1), fill_random(v, 2 * capacity * width, 1);
  HfAttention a = {.sequences = 2, .heads = heads, .kv_heads = kv_heads, .head_dim = D, .cu_q = cu_q, .cu_k = cu_k, .key_count = count, .causal = 2, .scale = 0.5f,
                   .q = q, .k = k, .v = v, .q_stride = heads * D, .k_stride = width, .v_stride = width, .out_stride = heads * D};
  assert_int_equal(K.attention(out, lse, &a), HF_OK);
  for (int64_t row = 0; row < 2 * queries; row++)
    for (int64_t h = 0; h < heads; h++) {
      int64_t b = row / queries, seen = row % queries + 1 + count[b] - queries, key_head = h / (heads / kv_heads);
      double sum = 0, weight[64];
      for (int64_t j = 0; j < seen; j++) {
        double score = 0;
        for (int64_t d = 0; d < D; d++) score += (double)q[(row * heads + h) * D + d] * k[(cu_k[b] + j) * width + key_head * D + d];
        sum += weight[j] = exp(0.5 * score);
      }
      assert_close(lse[row * heads + h], log(sum), 1e-5, 1e-5);
      for (int64_t d = 0; d < D; d++) {
        double expected = 0;
        for (int64_t j = 0; j < seen; j++) expected += weight[j] / sum * v[(cu_k[b] + j) * width + key_head * D + d];
        assert_close(out[(row * heads + h) * D + d], expected, 1e-5, 1e-5);
      }
    }
  free(q), free(out), free(lse), free(k), free(v);
}

static void attention_to_a_cache(void) {
  check_attention(1, 1, 8, 1, 1, 40);
  check_attention(4, 2, 24, 1, 17, 5);
  check_attention(6, 2, 64, 3, 33, 4);  /* few queries: no packing */
  check_attention(4, 4, 16, 12, 40, 12); /* the general form */
}

static void test_products_of_few_rows(void **state) { (void)state, for_each_table(products_of_few_rows); }
static void test_attention_to_a_cache(void **state) { (void)state, for_each_table(attention_to_a_cache); }

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_products_of_few_rows), cmocka_unit_test(test_attention_to_a_cache)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
