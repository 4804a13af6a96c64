/* The kernels of a token that is generated: products of few rows with float32 and bfloat16 weights, attention of few queries to a
 * cache, rows put into it, each against sums in double, on every instruction set; and choosing the token, where the table does it. */
#include "kernel_tables.h"
#include "cpu/element.h"

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
        if (form < 2 || (m <= 8 && !IS_DEVICE)) check_product(m, sizes[s][0], sizes[s][1], form & 1, form & 2);
}

/* Numbers of a dtype, and the same in float32. */
typedef struct Numbers {
  void *data;
  float *wide;
} Numbers;

static uint16_t narrow(float x, HfDtype dtype) { return dtype == HF_BFLOAT16 ? hf_float_to_bf16(x) : hf_float_to_f16(x); }
static float widen(uint16_t x, HfDtype dtype) { return dtype == HF_BFLOAT16 ? hf_bf16_to_float(x) : hf_f16_to_float(x); }

static Numbers numbers(int64_t n, HfDtype dtype) {
  Numbers x = {aligned_alloc(64, (size_t)(n * 4 + 63) / 64 * 64), malloc((size_t)n * sizeof(float))};
  fill_random(x.wide, n, 1);
  for (int64_t i = 0; i < n; i++) {
    if (dtype == HF_FLOAT32) ((float *)x.data)[i] = x.wide[i];
    else ((uint16_t *)x.data)[i] = narrow(x.wide[i], dtype), x.wide[i] = widen(((uint16_t *)x.data)[i], dtype);
  }
  return x;
}
static float number_at(const Numbers *x, int64_t i, HfDtype dtype) {
  return dtype == HF_FLOAT32 ? ((float *)x->data)[i] : widen(((uint16_t *)x->data)[i], dtype);
}
static void drop(Numbers x) { free(x.data), free(x.wide); }

typedef struct Shape {
  int64_t heads, kv_heads, D, gap;
  int32_t queries, keys[2];
} Shape;

/* The row of attention of `row` and head h, in double: out (D), and log of the sum of exponentials. */
static double expect_row(double *out, const Shape *s, const HfAttention *a, int64_t row, int64_t h, const float *q, const float *k, const float *v) {
  int64_t b = row / s->queries, seen = row % s->queries + 1 + s->keys[b] - s->queries, head = h / (s->heads / s->kv_heads), width = s->kv_heads * s->D + s->gap;
  double sum = 0;
  for (int64_t d = 0; d < s->D; d++) out[d] = 0;
  for (int64_t j = 0; j < seen; j++) {
    int64_t at = (a->cu_k[b] + j) * width + head * s->D;
    double score = 0, weight;
    for (int64_t d = 0; d < s->D; d++) score += (double)q[(row * s->heads + h) * s->D + d] * k[at + d];
    sum += weight = exp(a->scale * score);
    for (int64_t d = 0; d < s->D; d++) out[d] += weight * v[at + d];
  }
  for (int64_t d = 0; d < s->D && sum > 0; d++) out[d] /= sum;
  return log(sum);
}

/* Two sequences in a cache with room between them; the last `queries` keys are those of the queries. `growing`: counts are read from
 * the device's memory, and the launch allows for more. */
static void check_attention(Shape s, HfDtype dtype, bool growing) {
  int64_t most = s.keys[0] > s.keys[1] ? s.keys[0] : s.keys[1], capacity = most + 3, width = s.kv_heads * s.D + s.gap, rows = 2 * s.queries;
  int32_t cu_q[3] = {0, s.queries, 2 * s.queries}, cu_k[2] = {(int32_t)capacity, 0}, device_keys[4] = {cu_k[0], cu_k[1], s.keys[0], s.keys[1]};
  Numbers q = numbers(rows * s.heads * s.D, dtype), k = numbers(2 * capacity * width, dtype), v = numbers(2 * capacity * width, dtype), out = numbers(rows * s.heads * s.D, dtype);
  float *lse = malloc((size_t)(rows * s.heads) * sizeof *lse);
  HfAttention a = {.dtype = dtype, .sequences = 2, .heads = s.heads, .kv_heads = s.kv_heads, .head_dim = s.D, .cu_q = cu_q, .cu_k = cu_k, .key_count = s.keys, .causal = 2,
                   .scale = 0.5f, .q = q.data, .k = k.data, .v = v.data, .q_stride = s.heads * s.D, .k_stride = width, .v_stride = width, .out_stride = s.heads * s.D,
                   .device_keys = growing ? device_keys : NULL, .most_keys = growing ? 3 * most : 0};
  assert_int_equal(K.attention(out.data, lse, &a), HF_OK);
  double expected[256], tolerance = dtype == HF_FLOAT32 ? 1e-5 : dtype == HF_FLOAT16 ? 1e-3 : 8e-3;
  for (int64_t row = 0; row < rows; row++)
    for (int64_t h = 0; h < s.heads; h++) {
      double log_sum = expect_row(expected, &s, &a, row, h, q.wide, k.wide, v.wide);
      assert_close(lse[row * s.heads + h], log_sum, 1e-5, 1e-5);
      for (int64_t d = 0; d < s.D; d++) assert_close(number_at(&out, (row * s.heads + h) * s.D + d, dtype), expected[d], tolerance, tolerance);
    }
  drop(q), drop(k), drop(v), drop(out), free(lse);
}

static void attention_to_a_cache(void) {
  static const Shape shapes[] = {
      {1, 1, 8, 0, 1, {1, 40}},   {4, 2, 24, 0, 1, {17, 5}},    {6, 2, 64, 0, 3, {33, 4}}, /* few queries: no packing, on a device split keys */
      {4, 4, 16, 0, 12, {40, 12}} /* the general form */,       {2, 2, 64, 0, 1, {128, 129}}, {7, 1, 128, 0, 1, {300, 257}}, {4, 2, 20, 3, 2, {140, 2}},
      {2, 1, 256, 0, 1, {130, 1}}};
  for (int i = 0; i < COUNT(shapes); i++)
    for (HfDtype dtype = HF_FLOAT32; dtype <= HF_BFLOAT16; dtype++)
      for (int growing = 0; growing < 2; growing++)
        if (!growing || shapes[i].queries == 1) check_attention(shapes[i], dtype, growing);
}

/* The numbers of a launch that allows for more keys are the same to the bit. */
static void launches_for_more_keys(void) {
  enum { HEADS = 2, D = 64, KEYS = 200 };
  Numbers q = numbers(HEADS * D, HF_FLOAT32), k = numbers(KEYS * HEADS * D, HF_FLOAT32), v = numbers(KEYS * HEADS * D, HF_FLOAT32);
  for (int32_t keys = 1; keys < KEYS; keys += 31) {
    int32_t cu_q[2] = {0, 1}, cu_k[1] = {0}, device_keys[2] = {0, keys};
    float out[2][HEADS * D], lse[2][HEADS];
    HfAttention a = {.sequences = 1, .heads = HEADS, .kv_heads = HEADS, .head_dim = D, .cu_q = cu_q, .cu_k = cu_k, .key_count = &keys, .causal = 2, .scale = 0.1f, .q = q.data,
                     .k = k.data, .v = v.data, .q_stride = HEADS * D, .k_stride = HEADS * D, .v_stride = HEADS * D, .out_stride = HEADS * D, .device_keys = device_keys};
    assert_int_equal(K.attention(out[0], lse[0], &a), HF_OK);
    a.most_keys = 1000;
    assert_int_equal(K.attention(out[1], lse[1], &a), HF_OK);
    assert_memory_equal(out[0], out[1], sizeof out[0]);
    assert_memory_equal(lse[0], lse[1], sizeof lse[0]);
  }
  drop(q), drop(k), drop(v);
}

static void rows_of_a_cache(void) {
  enum { N = 3, WIDTH = 10, STRIDE = 13, ROWS = 6 };
  static const int32_t place[N] = {4, 0, 5};
  uint16_t in[2][N * STRIDE], out[2][ROWS * WIDTH];
  int32_t counts[5] = {0, 7, -1, 100, 2};
  for (int i = 0; i < N * STRIDE; i++) in[0][i] = (uint16_t)i, in[1][i] = (uint16_t)(1000 + i);
  memset(out, 0xff, sizeof out);
  assert_int_equal(K.cache_put(out[0], out[1], in[0], in[1], HF_BFLOAT16, place, N, WIDTH, STRIDE, STRIDE), HF_OK);
  for (int t = 0; t < 2; t++)
    for (int row = 0; row < ROWS; row++) {
      int from = -1;
      for (int i = 0; i < N; i++)
        if (place[i] == row) from = i;
      for (int c = 0; c < WIDTH; c++) assert_int_equal(out[t][row * WIDTH + c], from < 0 ? 0xffff : in[t][from * STRIDE + c]);
    }
  assert_int_equal(K.advance(counts, 4), HF_OK);
  assert_memory_equal(counts, ((int32_t[]){1, 8, 0, 101, 2}), sizeof counts);
}

/* ---- choosing tokens */

static HfSampling no_rules(void) { return (HfSampling){.repetition_penalty = 1, .temperature = 1, .top_p = 1, .draw = true, .key = 77}; }

/* The tokens that the rules leave, by sorting: of equals the first stands first. Their chances, 0 for the others. */
static void expected_chances(double *chance, const float *logits, int V, const HfSampling *s) {
  int *order = malloc((size_t)V * sizeof *order);
  for (int i = 0; i < V; i++) {
    int at = i;
    for (; at > 0 && logits[order[at - 1]] > logits[i]; at--) order[at] = order[at - 1];
    order[at] = i;
  }
  float top = logits[order[V - 1]];
  double total = 0, sum = 0, kept = 0;
  for (int i = 0; i < V; i++) {
    bool out = s->top_k > 0 && s->top_k < V && logits[i] < logits[order[V - s->top_k]];
    total += chance[i] = out ? 0 : exp((double)(logits[i] - top) / s->temperature);
  }
  for (int i = 0; i < V - 1 && s->top_p < 1; i++) {
    sum += chance[order[i]];
    if (sum > total * (1 - (double)s->top_p)) break;
    chance[order[i]] = 0;
  }
  for (int i = 0; i < V; i++) kept += chance[i] = chance[i] < s->min_p ? 0 : chance[i];
  for (int i = 0; i < V; i++) chance[i] /= kept;
  free(order);
}

/* Many rows of the same logits: what is drawn is what may be drawn, as often as its chance says. */
static void check_draws(const float *row, int V, HfSampling s, HfDtype dtype) {
  int64_t rows = V > 100 ? 150 : 800, column = 5, *token = malloc((size_t)rows * sizeof *token), *again = malloc((size_t)rows * sizeof *again);
  uint16_t *half = malloc((size_t)V * sizeof *half);
  float *logits = malloc((size_t)V * sizeof *logits);
  double *chance = malloc((size_t)V * sizeof *chance), *count = calloc((size_t)V, sizeof *count);
  for (int i = 0; i < V; i++) half[i] = narrow(row[i], dtype), logits[i] = dtype == HF_FLOAT32 ? row[i] : widen(half[i], dtype);
  s.column = &column;
  expected_chances(chance, logits, V, &s);
  assert_int_equal(K.sample(token, dtype == HF_FLOAT32 ? (void *)logits : half, dtype, rows, V, 0, &s), HF_OK);
  assert_int_equal(K.sample(again, dtype == HF_FLOAT32 ? (void *)logits : half, dtype, rows, V, 0, &s), HF_OK);
  assert_memory_equal(token, again, (size_t)rows * sizeof *token);
  for (int i = 0; i < rows; i++) assert_in_range(token[i], 0, V - 1), count[token[i]]++;
  double chi = 0, rest = 0, rest_count = 0;
  int cells = 0;
  for (int i = 0; i < V; i++) {
    if (chance[i] == 0 && count[i] > 0) fail_msg("token %d of %d may not come (top_k %d, top_p %g, min_p %g)", i, V, (int)s.top_k, (double)s.top_p, (double)s.min_p);
    if (chance[i] * (double)rows < 5) rest += chance[i] * (double)rows, rest_count += count[i];
    else chi += (count[i] - chance[i] * (double)rows) * (count[i] - chance[i] * (double)rows) / (chance[i] * (double)rows), cells++;
  }
  if (rest > 5) chi += (rest_count - rest) * (rest_count - rest) / rest, cells++;
  assert_true(chi < cells + 4 * sqrt(2.0 * cells) + 4);
  free(token), free(again), free(half), free(logits), free(chance), free(count);
}

static void draws(void) {
  static const int sizes[] = {1, 7, 40, 700};
  static const struct { int64_t k; float p, min_p, temperature; } rules[] = {
      {0, 1, 0, 1}, {5, 1, 0, 1}, {0, 0.7f, 0, 1}, {0, 0, 0, 1}, {20, 0.5f, 0, 0.7f}, {0, 1, 0.2f, 1}, {300, 0.9f, 0.05f, 2}, {0, 0.999f, 0, 1}};
  if (!K.sample) return;
  for (int i = 0; i < COUNT(sizes); i++)
    for (int r = 0; r < COUNT(rules); r++)
      for (int kind = 0; kind < 3; kind++) { /* all different, few values, many equal to the largest */
        float logits[700];
        fill_random(logits, sizes[i], 3);
        for (int j = 0; j < sizes[i] && kind; j++) logits[j] = kind == 1 ? roundf(logits[j]) : logits[j] > 0 ? 1 : logits[j];
        HfSampling s = no_rules();
        s.top_k = rules[r].k, s.top_p = rules[r].p, s.min_p = rules[r].min_p, s.temperature = rules[r].temperature;
        check_draws(logits, sizes[i], s, kind == 1 && r % 2 ? HF_BFLOAT16 : HF_FLOAT32);
      }
}

/* More scores than can be gathered: none is much larger than the others. */
static void draws_from_many(void) {
  enum { V = 5000, ROWS = 40 };
  static const struct { int64_t k; float p; } rules[] = {{0, 0.95f}, {3000, 1}, {2500, 0.9f}, {50, 0.9f}};
  if (!K.sample) return;
  float *logits = malloc(V * sizeof *logits);
  double *chance = malloc(V * sizeof *chance);
  int64_t token[ROWS], column = 1;
  for (int kind = 0; kind < 2; kind++)
    for (int r = 0; r < COUNT(rules); r++) {
      fill_random(logits, V, kind ? 0 : 1); /* all equal, too */
      HfSampling s = no_rules();
      s.top_k = rules[r].k, s.top_p = rules[r].p, s.column = &column;
      expected_chances(chance, logits, V, &s);
      assert_int_equal(K.sample(token, logits, HF_FLOAT32, ROWS, V, 0, &s), HF_OK);
      for (int i = 0; i < ROWS; i++) assert_true(chance[token[i]] > 0);
    }
  free(logits), free(chance);
}

static void largest_and_penalty(void) {
  enum { V = 200 };
  if (!K.sample) return;
  float logits[2 * V];
  int64_t token[2], ids[2][4] = {{0, 3, 3, 9}, {1, 2, 50, 9}}, starts[2] = {1, 0}, column = 3;
  fill_random(logits, 2 * V, 1);
  logits[3] = 5, logits[7] = logits[30] = 4, logits[V + 1] = 6, logits[V + 2] = -0.5f, logits[V + 9] = 2;
  HfSampling s = no_rules();
  s.draw = false;
  assert_int_equal(K.sample(token, logits, HF_FLOAT32, 2, V, V, &s), HF_OK);
  assert_int_equal(token[0], 3), assert_int_equal(token[1], 1);
  s.repetition_penalty = 4, s.ids = ids[0], s.ids_stride = 4, s.starts = starts, s.column = &column;
  assert_int_equal(K.sample(token, logits, HF_FLOAT32, 2, V, V, &s), HF_OK);
  assert_int_equal(token[0], 7); /* 3 became 1.25, once; the first of equals */
  assert_int_equal(token[1], 9); /* 1 became 1.5; column 3 is not filled */
  s.draw = true, s.top_k = 1, logits[0] = NAN;
  for (int i = V; i < 2 * V; i++) logits[i] = -INFINITY;
  assert_int_equal(K.sample(token, logits, HF_FLOAT32, 2, V, V, &s), HF_OK);
  assert_int_equal(token[0], -1), assert_int_equal(token[1], -1);
}

static void tokens_are_appended(void) {
  enum { ROWS = 40, COLUMNS = 3 };
  if (!K.append_tokens) return;
  int64_t ids[ROWS * COLUMNS] = {0}, column = 1, input[ROWS], position[ROWS], token[ROWS], ends[2] = {5, 8};
  uint8_t done[ROWS] = {0};
  for (int i = 0; i < ROWS; i++) position[i] = i, token[i] = i % 10 - 1, done[i] = i == 3;
  HfDecoding t = {ROWS, COLUMNS, ids, &column, input, position, done, ends, 2, 99};
  assert_int_equal(K.append_tokens(&t, token), HF_OK);
  for (int i = 0; i < ROWS; i++) {
    int64_t expected = i == 3 ? 99 : i % 10 - 1;
    assert_int_equal(ids[i * COLUMNS + 1], expected);
    assert_int_equal(input[i], expected < 0 ? 0 : expected);
    assert_int_equal(position[i], i + 1);
    assert_int_equal(done[i], i == 3 || expected == 5 || expected == 8);
  }
  assert_int_equal(K.append_tokens(&t, token), HF_OK);
  assert_int_equal(ids[6 * COLUMNS + 2], 99);
  assert_int_equal(column, 3);
  assert_int_equal(K.append_tokens(&t, token), HF_OK); /* full */
  assert_int_equal(column, 3), assert_int_equal(position[0], 2);
}

#define TEST(body) \
  static void test_##body(void **state) { (void)state, for_each_table(body); }
TEST(products_of_few_rows)
TEST(attention_to_a_cache)
TEST(launches_for_more_keys)
TEST(rows_of_a_cache)
TEST(draws)
TEST(draws_from_many)
TEST(largest_and_penalty)
TEST(tokens_are_appended)

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_products_of_few_rows), cmocka_unit_test(test_attention_to_a_cache), cmocka_unit_test(test_launches_for_more_keys),
                                     cmocka_unit_test(test_rows_of_a_cache),      cmocka_unit_test(test_draws),                cmocka_unit_test(test_draws_from_many),
                                     cmocka_unit_test(test_largest_and_penalty),  cmocka_unit_test(test_tokens_are_appended)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
