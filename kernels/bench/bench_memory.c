/* Time of the memory-bound kernels: milliseconds, and gigabytes a second of what each must read and write.
 *
 *   cmake --build build --target bench_memory && build/bench_memory [rows columns]
 *
 * The best of several calls counts; the first line, a plain copy, is the machine's own limit at that moment. With
 * OMP_NUM_THREADS=1 it is processor time, which holds still on a machine that others use too. */
#include "kernels.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
  struct timespec t;
  const char *threads = getenv("OMP_NUM_THREADS");
  clock_gettime(threads && !strcmp(threads, "1") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static const HfKernels *K;
static int64_t N, C, n;              /* rows, columns, their product */
static float *x, *y, *z, *u;         /* (N, C) */
static float *weight, *bias, *dweight, *mean, *rstd;
static int64_t *index_of_row;
static HfLayout flat, transposed, row_broadcast;

#define MEASURE(name, floats, call) \
  do { \
    double best = 1e9; \
    for (int round = 0; round < 7; round++) { \
      double start = now(); \
      call; \
      double time = now() - start; \
      if (time < best) best = time; \
    } \
    printf("%-36s %9.3f ms %7.1f GB/s\n", name, best * 1e3, (floats) * 4.0 * (double)n / best / 1e9); \
  } while (0)

static float *new_floats(int64_t count) {
  float *block = K->alloc((size_t)count * sizeof(float));
  if (!block) {
    fprintf(stderr, "bench_memory: no memory for %lld floats; give fewer rows\n", (long long)count);
    exit(1);
  }
  for (int64_t i = 0; i < count; i++) block[i] = (float)((i * 7919) % 20011 - 10005) / 3000.0f;
  return block;
}

static void set_up(void) {
  n = N * C;
  x = new_floats(n), y = new_floats(n), z = new_floats(n), u = new_floats(n);
  weight = new_floats(C), bias = new_floats(C), dweight = new_floats(C), mean = new_floats(N), rstd = new_floats(N);
  index_of_row = (int64_t *)new_floats(2 * N);
  for (int64_t i = 0; i < N; i++) index_of_row[i] = i * 7919 % N;
  flat = (HfLayout){1, {n}, {{1}, {1}, {1}, {1}}};
  transposed = (HfLayout){2, {N, C}, {{C, 1}, {1, N}}};
  row_broadcast = (HfLayout){2, {N, C}, {{C, 1}, {C, 1}, {0, 1}}};
}

static void measure_element_wise(void) {
  MEASURE("copy", 2, K->copy(y, x, (size_t)n * 4));
  MEASURE("cast float32 to bfloat16", 1.5, K->cast(y, HF_BFLOAT16, x, HF_FLOAT32, &flat));
  MEASURE("cast bfloat16 to float32", 1.5, K->cast(u, HF_FLOAT32, y, HF_BFLOAT16, &flat));
  MEASURE("transpose float32", 2, K->cast(y, HF_FLOAT32, x, HF_FLOAT32, &transposed));
  MEASURE("add", 3, K->binary(y, x, z, HF_FLOAT32, &flat, HF_ADD));
  MEASURE("add a row to all rows", 2, K->binary(y, x, weight, HF_FLOAT32, &row_broadcast, HF_ADD));
  MEASURE("exp", 2, K->unary(y, x, n, HF_EXP, 0));
  MEASURE("tanh", 2, K->unary(y, x, n, HF_TANH, 0));
  MEASURE("gelu", 2, K->unary(y, x, n, HF_GELU, 0));
  MEASURE("gelu backward", 3, K->unary_backward(u, z, x, y, n, HF_GELU, 0));
  MEASURE("dropout", 2, K->dropout(y, x, HF_FLOAT32, n, 0.1f, (HfDropoutKey){7}));
}

static void measure_rows(void) {
  MEASURE("sum of everything", 1, K->reduce(mean, x, HF_FLOAT32, 1, n, 1, HF_SUM));
  MEASURE("sum of columns", 1, K->reduce(dweight, x, HF_FLOAT32, 1, N, C, HF_SUM));
  MEASURE("softmax", 2, K->softmax(y, x, N, C, 1, false));
  MEASURE("softmax backward", 3, K->softmax_backward(u, z, y, N, C, 1, false));
  MEASURE("layer norm", 2, K->layer_norm(y, NULL, mean, rstd, x, NULL, weight, bias, HF_FLOAT32, N, C, 1e-5f, 0, (HfDropoutKey){0}));
  MEASURE("layer norm backward", 3, K->layer_norm_backward(u, NULL, dweight, bias, z, x, mean, rstd, weight, HF_FLOAT32, N, C, 0, (HfDropoutKey){0}));
  MEASURE("dropout, residual, layer norm", 4, K->layer_norm(y, u, mean, rstd, x, z, weight, bias, HF_FLOAT32, N, C, 1e-5f, 0.1f, (HfDropoutKey){7}));
  MEASURE("rms norm", 2, K->rms_norm(y, rstd, x, weight, HF_FLOAT32, N, C, 1e-5f));
  int64_t bad;
  const void *table = x;
  const int64_t *ids = index_of_row;
  MEASURE("embedding", 2, K->embedding(y, &table, &ids, &N, 1, HF_FLOAT32, N, C, &bad));
  MEASURE("embedding backward", 3, K->embedding_backward(y, x, index_of_row, HF_FLOAT32, N, C, N, -1));
}

static void measure_loss_and_optimizer(void) {
  int64_t bad;
  double total = 0;
  float counted = 0;
  for (int64_t i = 0; i < N; i++) index_of_row[i] %= C;
  MEASURE("cross entropy", 1, K->cross_entropy(mean, rstd, &counted, x, index_of_row, NULL, HF_FLOAT32, N, C, C, -100, 0, &bad));
  MEASURE("cross entropy backward", 2, K->cross_entropy_backward(y, mean, x, rstd, index_of_row, NULL, HF_FLOAT32, N, C, C, -100, 0));
  for (int64_t i = 0; i < n; i++) z[i] = u[i] = 0.01f;
  HfAdamParameter parameter = {x, z, u, NULL, y, n, 0.01f};
  HfAdam settings = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .step = 1, .decoupled = true, .gradient_scale = 1};
  MEASURE("adamw", 7, K->adam(&parameter, 1, &settings));
  const float *tensor = x;
  MEASURE("sum of squares", 1, K->sum_squares(&total, &tensor, &n, 1));
}

int main(int argc, char **argv) {
  N = argc > 2 ? atoll(argv[1]) : 8192;
  C = argc > 2 ? atoll(argv[2]) : 3072;
  if (N < 1 || C < 1 || N > INT32_MAX || C > INT32_MAX) {
    fprintf(stderr, "usage: bench_memory [rows columns]\n");
    return 2;
  }
  K = hf_cpu_kernels();
  set_up();
  measure_element_wise();
  measure_rows();
  measure_loss_and_optimizer();
  return 0;
}
