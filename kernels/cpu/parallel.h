/* Work shared between threads: [0, n) is cut into one contiguous part per thread. What a part computes must not
 * depend on where it begins, so that results are the same for every thread count. */
#ifndef HF_CPU_PARALLEL_H
#define HF_CPU_PARALLEL_H
#include "cpu.h"

typedef void HfRangeFn(const void *context, int64_t first, int64_t last);

/* `work` is the number of elements touched by all of [0, n); little work stays on the calling thread. */
static inline void hf_parallel(int64_t n, int64_t work, HfRangeFn *fn, const void *context) {
  if (n <= 0) return;
  if (n == 1 || work < HF_PARALLEL_MINIMUM) {
    fn(context, 0, n);
    return;
  }
#pragma omp parallel
  {
    int64_t thread = hf_thread_index(), threads = hf_team_size(), part = n / threads, rest = n % threads;
    int64_t first = thread * part + hf_min(thread, rest), last = first + part + (thread < rest);
    if (first < last) fn(context, first, last);
  }
}

static inline int64_t hf_ceil_div(int64_t a, int64_t b) { return a / b + (a % b != 0); }

/* Lines that lie side by side, `inner` of them in each of `outer` groups, are walked in strips: this is a strip's
 * width, as wide as leaves work for every thread, whole cache lines of floats, at most HF_STRIP. */
enum { HF_STRIP = 1024 };
static inline int64_t hf_strip_width(int64_t outer, int64_t inner) {
  int64_t wanted = hf_ceil_div(4 * hf_thread_count(), outer > 0 ? outer : 1); /* strips of one group */
  int64_t width = hf_ceil_div(hf_ceil_div(inner, wanted), 16) * 16;
  return hf_min(width < 64 ? 64 : width, HF_STRIP);
}

#endif
