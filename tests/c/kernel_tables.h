/* Shared by the kernel tests: the table of every instruction set this machine has, or with HF_TEST_EMULATED that of the
 * emulated CUDA back end; test values, comparisons. A test runs its body once per table: `for_each_table(body)`. */
#ifndef KERNEL_TABLES_H
#define KERNEL_TABLES_H
#include "cpu/cpu.h"
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define COUNT(array) ((int)(sizeof(array) / sizeof *(array)))

void hf_cpu_plain_fill(HfKernels *k);
#ifdef __x86_64__
void hf_cpu_v3_fill(HfKernels *k);
void hf_cpu_v4_fill(HfKernels *k);
#endif

/* The table under test. */
static HfKernels K;

static inline void use_table(const char *name, void (*fill)(HfKernels *), void (*body)(void)) {
  memset(&K, 0, sizeof K);
  K.name = name;
  fill(&K);
  body();
}

/* A device reports a bad index and leaves that row out; it may add equal targets in fixed groups. The processor refuses before
 * any write, and adds strictly in order. */
#ifdef HF_TEST_EMULATED
enum { IS_DEVICE = 1 };
#include "emulated_table.h"
static inline void for_each_table(void (*body)(void)) {
  K = *emulated_table();
  body();
}
#else
enum { IS_DEVICE = 0 };
static inline void for_each_table(void (*body)(void)) {
  use_table("plain", hf_cpu_plain_fill, body);
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) use_table("v3", hf_cpu_v3_fill, body);
  if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    use_table("v4", hf_cpu_v4_fill, body);
#endif
}
#endif

/* Repeatable numbers in [-1, 1). */
static uint32_t random_state = 1;
static inline double next_random(void) {
  random_state = random_state * 1664525u + 1013904223u;
  return (double)(random_state >> 8) / 8388608.0 - 1.0;
}
static inline void fill_random(float *x, int64_t n, double scale) {
  for (int64_t i = 0; i < n; i++) x[i] = (float)(scale * next_random());
}

static inline bool is_close(double found, double expected, double relative, double absolute) {
  if (isnan(expected)) return isnan(found);
  if (isinf(expected)) return found == expected;
  return fabs(found - expected) <= absolute + relative * fabs(expected);
}

#define assert_close(found, expected, relative, absolute) \
  do { \
    double found_ = (found), expected_ = (expected); \
    if (!is_close(found_, expected_, relative, absolute)) \
      fail_msg("%s, %s: expected %.9g, found %.9g", K.name, #found, expected_, found_); \
  } while (0)

/* A contiguous layout of `operands` operands that all have this shape. */
static inline HfLayout contiguous_layout(int operands, int ndim, const int64_t *shape) {
  HfLayout l = {.ndim = ndim};
  int64_t step = 1;
  for (int d = ndim - 1; d >= 0; d--) {
    l.shape[d] = shape[d];
    for (int k = 0; k < operands; k++) l.stride[k][d] = step;
    step *= shape[d];
  }
  return l;
}

static inline int64_t layout_count(const HfLayout *l) {
  int64_t n = 1;
  for (int d = 0; d < l->ndim; d++) n *= l->shape[d];
  return n;
}

/* Offset of operand k at element i in row-major order: the reference walk. */
static inline int64_t layout_offset(const HfLayout *l, int k, int64_t i) {
  int64_t offset = 0;
  for (int d = l->ndim - 1; d >= 0; d--) {
    offset += i % l->shape[d] * l->stride[k][d];
    i /= l->shape[d];
  }
  return offset;
}

#endif
