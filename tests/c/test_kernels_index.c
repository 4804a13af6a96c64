/* Selecting, gathering, scattering, embedding and rotary positions; bad indices are refused before any write. */
#include "kernel_tables.h"

enum { MOST = 200000 };
static float x[MOST], src[MOST], out[MOST], want[MOST];
static int64_t indices[MOST], wide[MOST], wide_out[MOST];
static int64_t bad;

static void random_indices(int64_t count, int64_t n) {
  for (int64_t i = 0; i < count; i++) indices[i] = (int64_t)((next_random() + 1) / 2 * (double)n);
}

static const int64_t shapes[][4] = { /* outer, n, inner, count */
    {1, 5, 1, 6}, {1, 1000, 48, 700}, {3, 5, 7, 11}, {40, 9, 33, 20}, {1, 7, 3, 0}, {0, 4, 2, 3}, {1, 50, 3000, 60}, {2, 3, 0, 4}};

static void selecting(void) {
  for (int c = 0; c < COUNT(shapes); c++) {
    const int64_t *s = shapes[c];
    int64_t inner = s[2];
    fill_random(x, MOST, 1);
    for (int64_t i = 0; i < MOST; i++) wide[i] = i * 3;
    random_indices(s[3], s[1]);
    assert_int_equal(K.index_select(out, x, 4, indices, s[3], s[0], s[1], inner, &bad), HF_OK);
    assert_int_equal(K.index_select(wide_out, wide, 8, indices, s[3], s[0], s[1], inner, &bad), HF_OK);
    for (int64_t o = 0; o < s[0]; o++)
      for (int64_t j = 0; j < s[3]; j++)
        for (int64_t i = 0; i < inner; i++) {
          int64_t from = (o * s[1] + indices[j]) * inner + i, to = (o * s[3] + j) * inner + i;
          assert_close(out[to], x[from], 0, 0);
          assert_int_equal(wide_out[to], wide[from]);
        }
  }
}

static void adding(void) {
  for (int c = 0; c < COUNT(shapes); c++) {
    const int64_t *s = shapes[c];
    fill_random(x, MOST, 1);
    fill_random(src, MOST, 1);
    random_indices(s[3], s[1]);
    memcpy(want, x, sizeof x);
    for (int64_t o = 0; o < s[0]; o++)
      for (int64_t j = 0; j < s[3]; j++)
        for (int64_t i = 0; i < s[2]; i++) want[(o * s[1] + indices[j]) * s[2] + i] += src[(o * s[3] + j) * s[2] + i];
    assert_int_equal(K.index_add(x, src, indices, s[3], s[0], s[1], s[2], &bad), HF_OK);
    assert_memory_equal(x, want, sizeof x);
  }
}

/* x (4, 6, 9) gathered along dim 1 by index (4, 50, 9), and along dim 0 with a transposed index. */
static const HfLayout gathers[] = {
    {3, {4, 50, 9}, {{450, 9, 1}, {54, 0, 1}, {450, 9, 1}}},
    {2, {60, 70}, {{70, 1}, {0, 1}, {1, 60}}},
    {1, {20000}, {{1}, {0}, {1}}},
    {2, {0, 4}, {{4, 1}, {0, 1}, {4, 1}}},
};
static const int64_t gather_sizes[][2] = {{6, 9}, {33, 70}, {90, 1}, {5, 4}}; /* n, x_step */

static void gathering(void) {
  for (int c = 0; c < COUNT(gathers); c++) {
    const HfLayout *l = gathers + c;
    int64_t n = gather_sizes[c][0], step = gather_sizes[c][1];
    fill_random(x, MOST, 1);
    random_indices(layout_count(l), n);
    assert_int_equal(K.gather(out, x, 4, indices, l, n, step, &bad), HF_OK);
    for (int64_t i = 0; i < layout_count(l); i++)
      assert_close(out[layout_offset(l, 0, i)], x[layout_offset(l, 1, i) + indices[layout_offset(l, 2, i)] * step], 0, 0);
  }
}

static void scattering(void) {
  for (int c = 0; c < COUNT(gathers); c++) {
    HfLayout l = gathers[c];
    for (int d = 0; d < l.ndim; d++) { /* operand 0 is x, 1 the source */
      int64_t step = l.stride[0][d];
      l.stride[0][d] = l.stride[1][d], l.stride[1][d] = step;
    }
    int64_t n = gather_sizes[c][0], step = gather_sizes[c][1];
    fill_random(x, MOST, 1);
    fill_random(src, MOST, 1);
    random_indices(layout_count(&l), n);
    memcpy(want, x, sizeof x);
    for (int64_t i = 0; i < layout_count(&l); i++)
      want[layout_offset(&l, 0, i) + indices[layout_offset(&l, 2, i)] * step] += src[layout_offset(&l, 1, i)];
    assert_int_equal(K.scatter_add(x, src, indices, &l, n, step, &bad), HF_OK);
    for (int i = 0; i < MOST; i++) assert_close(x[i], want[i], 1e-5, 1e-5); /* merged dims change no order of sums */
  }
}

static void bad_indices(void) {
  const int64_t wrong[] = {-1, 6, INT64_MAX, INT64_MIN};
  memset(want, 0x55, sizeof want);
  for (int w = 0; w < COUNT(wrong); w++) {
    random_indices(450 * 4, 6);
    indices[100] = wrong[w];
    memcpy(out, want, sizeof out);
    bad = 12345;
    assert_int_equal(K.index_select(out, x, 4, indices, 450, 1, 6, 3, &bad), HF_BAD_INDEX);
    assert_int_equal(bad, wrong[w]);
    assert_int_equal(K.index_add(out, src, indices, 450, 1, 6, 3, &bad), HF_BAD_INDEX);
    assert_int_equal(K.gather(out, x, 4, indices, gathers, 6, 9, &bad), HF_BAD_INDEX);
    assert_int_equal(K.scatter_add(out, src, indices, gathers, 6, 9, &bad), HF_BAD_INDEX);
    const void *tables[] = {x, x};
    const int64_t *ids[] = {wide, indices}, rows[] = {1000000, 6};
    assert_int_equal(K.embedding(out, tables, ids, rows, 2, HF_FLOAT32, 450, 3, &bad), HF_BAD_INDEX);
    assert_int_equal(bad, wrong[w]);
    if (!IS_DEVICE) assert_memory_equal(out, want, sizeof out);
  }
  assert_int_equal(K.gather(out, x, 3, indices, gathers, 6, 9, &bad), HF_UNSUPPORTED);
}

/* ---- embedding */

static void embeddings(void) {
  static float second[60 * 300];
  int64_t N = 333, rows[] = {100, 60};
  const int64_t widths[] = {1, 16, 17, 300};
  for (int w = 0; w < COUNT(widths); w++) {
    int64_t C = widths[w];
    const void *tables[] = {x, second};
    const int64_t *ids[] = {indices, wide};
    fill_random(x, rows[0] * C, 1), fill_random(second, rows[1] * C, 1);
    random_indices(N, rows[0]);
    for (int64_t i = 0; i < N; i++) wide[i] = i % rows[1];
    assert_int_equal(K.embedding(out, tables, ids, rows, 2, HF_FLOAT32, N, C, &bad), HF_OK);
    for (int64_t i = 0; i < N * C; i++)
      assert_close(out[i], x[indices[i / C] * C + i % C] + second[wide[i / C] * C + i % C], 0, 0);
    fill_random(src, N * C, 1), fill_random(out, rows[0] * C, 1);
    memcpy(want, out, sizeof out);
    for (int64_t i = 0; i < N * C; i++)
      if (indices[i / C] != indices[0]) want[indices[i / C] * C + i % C] += src[i];
    assert_int_equal(K.embedding_backward(out, src, indices, HF_FLOAT32, N, C, rows[0], indices[0]), HF_OK);
    for (int64_t i = 0; i < MOST && IS_DEVICE; i++) assert_close(out[i], want[i], 1e-6, 1e-6);
    if (!IS_DEVICE) assert_memory_equal(out, want, sizeof out);
  }
}

static void half_embeddings(void) {
  uint16_t table[] = {0x3f80, 0x4000, 0x4040, 0x4080}, row[2]; /* 1 2; 3 4 in bfloat16 */
  int64_t first = 0, second = 1, rows[] = {2, 2};
  const void *tables[] = {table, table};
  const int64_t *ids[] = {&first, &second};
  assert_int_equal(K.embedding(row, tables, ids, rows, 2, HF_BFLOAT16, 1, 2, &bad), HF_OK);
  assert_memory_equal(row, ((uint16_t[]){0x4080, 0x40c0}), sizeof row); /* 4 6 */
  float gradient[4] = {0};
  K.embedding_backward(gradient, row, &second, HF_BFLOAT16, 1, 2, 2, -1);
  assert_memory_equal(gradient, ((float[]){0, 0, 4, 6}), sizeof gradient);
}

/* ---- rotary */

static void turning(void) {
  int64_t N = 37, heads = 3, D = 26, stride = heads * D + 5, half = D / 2;
  static float cosine[37 * 13], sine[37 * 13];
  for (int64_t i = 0; i < N * half; i++) {
    double angle = 3 * next_random();
    cosine[i] = (float)cos(angle), sine[i] = (float)sin(angle);
  }
  fill_random(x, N * stride, 1);
  memcpy(out, x, sizeof x);
  assert_int_equal(K.rotary(out, HF_FLOAT32, cosine, sine, N, heads, D, stride, false), HF_OK);
  for (int64_t n = 0; n < N; n++)
    for (int64_t h = 0; h < heads; h++)
      for (int64_t i = 0; i < half; i++) {
        int64_t a = n * stride + h * D + i, b = a + half;
        double c = cosine[n * half + i], s = sine[n * half + i];
        assert_close(out[a], x[a] * c - x[b] * s, 1e-6, 1e-6);
        assert_close(out[b], x[b] * c + x[a] * s, 1e-6, 1e-6);
      }
  for (int64_t n = 0; n < N; n++) assert_memory_equal(out + n * stride + heads * D, x + n * stride + heads * D, 5 * sizeof *x);
  K.rotary(out, HF_FLOAT32, cosine, sine, N, heads, D, stride, true);
  for (int64_t i = 0; i < N * stride; i++) assert_close(out[i], x[i], 1e-6, 1e-6);
  assert_int_equal(K.rotary(out, HF_FLOAT32, cosine, sine, 1, 1, 3, 3, false), HF_UNSUPPORTED);
}

static void test_select(void **state) { for_each_table(selecting); for_each_table(adding); }
static void test_gather(void **state) { for_each_table(gathering); for_each_table(scattering); }
static void test_bad_indices(void **state) { for_each_table(bad_indices); }
static void test_embedding(void **state) { for_each_table(embeddings); for_each_table(half_embeddings); }
static void test_rotary(void **state) { for_each_table(turning); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_select), cmocka_unit_test(test_gather), cmocka_unit_test(test_bad_indices),
      cmocka_unit_test(test_embedding), cmocka_unit_test(test_rotary),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
