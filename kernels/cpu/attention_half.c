/* Attention of 16-bit operands: converted to float32 as a whole, and results rounded. Softmax and sums are float32 then, as the
 * contract asks; memory between operations is half. */
#include "attention_half.h"
#include "element.h"

/* Rows of 16-bit numbers, `stride` apart, and their dense float32 form, `width` wide. */
typedef struct Rows {
  const void *half;
  float *floats;
  int64_t rows, width, stride;
} Rows;

HF_FOLDED void widen(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Rows *r = context;
  for (int64_t i = first; i < last; i++) {
    float *out = r->floats + i * r->width;
    const void *in = hf_at(r->half, i * r->stride, dtype);
#pragma omp simd
    for (int64_t j = 0; j < r->width; j++) out[j] = hf_load(in, j, dtype);
  }
}
HF_PER_FLOAT(widen)

HF_FOLDED void narrow(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Rows *r = context;
  for (int64_t i = first; i < last; i++) {
    const float *in = r->floats + i * r->width;
    void *out = hf_at_mut((void *)r->half, i * r->stride, dtype);
#pragma omp simd
    for (int64_t j = 0; j < r->width; j++) hf_store(out, j, in[j], dtype);
  }
}
HF_PER_FLOAT(narrow)

static void convert(Rows r, HfRangeFn *const *which, HfDtype dtype) { hf_parallel(r.rows, r.rows * r.width, which[dtype], &r); }

/* One past the last row of keys that any sequence uses. */
static int64_t key_rows(const HfAttention *a) {
  if (!a->key_count) return a->cu_k[a->sequences];
  int64_t rows = 0;
  for (int64_t b = 0; b < a->sequences; b++) rows = hf_max(rows, (int64_t)a->cu_k[b] + a->key_count[b]);
  return rows;
}

/* The operands as float32, in one block of scratch memory: q, k, v, and `more` floats for the caller at `rest`. */
typedef struct Floats {
  HfAttention a;
  Rows q, k, v;
  float *block, *rest;
  int64_t floats;
} Floats;

static bool widen_operands(Floats *f, const HfAttention *a, int64_t more) {
  int64_t queries = a->cu_q[a->sequences], keys = key_rows(a), q_width = a->heads * a->head_dim, k_width = a->kv_heads * a->head_dim;
  f->floats = queries * q_width + 2 * keys * k_width + more;
  f->block = hf_scratch_new(hf_max(1, f->floats));
  if (!f->block) return false;
  f->q = (Rows){a->q, f->block, queries, q_width, a->q_stride};
  f->k = (Rows){a->k, f->q.floats + queries * q_width, keys, k_width, a->k_stride};
  f->v = (Rows){a->v, f->k.floats + keys * k_width, keys, k_width, a->v_stride};
  f->rest = f->v.floats + keys * k_width;
  convert(f->q, widen_of, a->dtype), convert(f->k, widen_of, a->dtype), convert(f->v, widen_of, a->dtype);
  f->a = *a;
  f->a.dtype = HF_FLOAT32;
  f->a.q = f->q.floats, f->a.k = f->k.floats, f->a.v = f->v.floats;
  f->a.q_stride = f->a.out_stride = q_width, f->a.k_stride = f->a.v_stride = k_width;
  return true;
}

static void release(Floats *f) { hf_scratch_free(f->block, hf_max(1, f->floats)); }

HfStatus HF_CPU(attention_half)(void *out, float *lse, const HfAttention *a, HfAttentionFn *of_floats) {
  Floats f;
  if (!hf_is_float(a->dtype)) return HF_UNSUPPORTED;
  int64_t queries = a->cu_q[a->sequences], width = a->heads * a->head_dim;
  if (!widen_operands(&f, a, queries * width)) return HF_NO_MEMORY;
  HfStatus status = of_floats(f.rest, lse, &f.a);
  if (status == HF_OK) convert((Rows){out, f.rest, queries, width, a->out_stride}, narrow_of, a->dtype);
  release(&f);
  return status;
}

HfStatus HF_CPU(attention_half_backward)(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a, HfAttentionBackwardFn *of_floats) {
  Floats f;
  if (!hf_is_float(a->dtype)) return HF_UNSUPPORTED;
  int64_t queries = a->cu_q[a->sequences], width = a->heads * a->head_dim, keys = key_rows(a) * a->kv_heads * a->head_dim;
  if (!widen_operands(&f, a, 3 * queries * width + 2 * keys)) return HF_NO_MEMORY;
  Rows given = {dout, f.rest, queries, width, a->out_stride}, forward = {out, f.rest + queries * width, queries, width, a->out_stride};
  float *gq = forward.floats + queries * width, *gk = gq + queries * width, *gv = gk + keys;
  convert(given, widen_of, a->dtype), convert(forward, widen_of, a->dtype);
  HfStatus status = of_floats(gq, gk, gv, given.floats, forward.floats, lse, &f.a);
  f.q.half = dq, f.k.half = dk, f.v.half = dv;
  f.q.floats = gq, f.k.floats = gk, f.v.floats = gv;
  if (status == HF_OK) convert(f.q, narrow_of, a->dtype), convert(f.k, narrow_of, a->dtype), convert(f.v, narrow_of, a->dtype);
  release(&f);
  return status;
}
