/* What generation keeps beside the model: rows of a cache, counts that grow. Tokens are chosen by the host path of generation. */
#include "element.h"
#include "parallel.h"
#include <string.h>

typedef struct Put {
  char *k_cache, *v_cache;
  const char *k, *v;
  const int32_t *place;
  int64_t width, k_stride, v_stride; /* bytes */
} Put;

static void put_rows(const void *context, int64_t first, int64_t last) {
  const Put *p = context;
  for (int64_t i = first; i < last; i++) {
    memcpy(p->k_cache + p->place[i] * p->width, p->k + i * p->k_stride, (size_t)p->width);
    memcpy(p->v_cache + p->place[i] * p->width, p->v + i * p->v_stride, (size_t)p->width);
  }
}

static HfStatus cache_put(void *k_cache, void *v_cache, const void *k, const void *v, HfDtype dtype, const int32_t *place, int64_t N, int64_t width, int64_t k_stride, int64_t v_stride) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  int64_t size = dtype == HF_FLOAT32 ? 4 : 2;
  hf_parallel(N, 2 * N * width, put_rows, &(Put){k_cache, v_cache, k, v, place, width * size, k_stride * size, v_stride * size});
  return HF_OK;
}

static HfStatus advance(int32_t *x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i]++;
  return HF_OK;
}

void HF_CPU(fill_decode)(HfKernels *k) {
  k->cache_put = cache_put;
  k->advance = advance;
  k->wide_cache = true;
}
