/* Products, and what of bias, `pre` and activation the library leaves over; HFLUA_CUDA_PRODUCTS=plain does without the library. */
#include "element.h"
#include "functions.h"
#include "product.h"
#include "warp.h"
#include <stdlib.h>

/* ---- bias and activation of a result */

struct Epilogue {
  int64_t m, n, batch, ldc, stride_c;
  HfActivation activation;
};

/* c = activation(in + bias), the sum stored in pre; in may be c or pre. A block a row. */
template <class T, int V> __global__ void epilogue_kernel(T *c, T *pre, const T *in, const T *bias, Epilogue e) {
  HF_EACH_ROW(row, e.batch * e.m) {
    int64_t start = row / e.m * e.stride_c + row % e.m * e.ldc;
    for (int64_t j = (int64_t)threadIdx.x * V; j < e.n; j += (int64_t)blockDim.x * V) {
      float x[V], b[V];
      hf_load(x, in + start + j);
      if (bias) {
        hf_load(b, bias + j);
        HF_UNROLL for (int v = 0; v < V; v++) x[v] += b[v];
      }
      if (pre) {
        HF_UNROLL for (int v = 0; v < V; v++) x[v] = hf_get(hf_put<T>(x[v]));
        if (pre != in || bias) hf_store(pre + start + j, x);
      }
      HF_UNROLL for (int v = 0; v < V; v++) x[v] = hf_activate(x[v], e.activation);
      hf_store(c + start + j, x);
    }
  }
}

static HfStatus finish(const HfMatmul *m, const void *in, HfProductDone done) {
  const void *bias = done.bias ? nullptr : m->bias;
  void *pre = done.activation ? nullptr : m->pre;
  Epilogue e = {m->m, m->n, m->batch, m->ldc, m->stride_c, done.activation ? HF_ACT_NONE : m->activation};
  if (!bias && !pre && e.activation == HF_ACT_NONE) return hf_cuda_status();
  bool wide = e.n % 8 == 0 && e.ldc % 8 == 0 && e.stride_c % 8 == 0 && hf_is_aligned(m->c, pre, in, bias);
  HF_FLOAT_SWITCH(hf_result_dtype(m), HF_VECTOR_SWITCH(wide, HF_LAUNCH((epilogue_kernel<T, V>), hf_row_grid(e.m * e.batch), hf_row_block(e.n / V, 256), 0,
                                                                       hf_cuda_stream(), (T *)m->c, (T *)pre, (const T *)in, (const T *)bias, e)))
  return hf_cuda_status();
}

/* ---- products that the library has no algorithm for: a thread an element, sums in the order of k; k == 0 leaves beta c */

template <class C, class T> __global__ void product_kernel(C *c, const T *a, const T *b, HfMatmul m) {
  int64_t a_row = m.transpose_a ? 1 : m.lda, a_step = m.transpose_a ? m.lda : 1, b_column = m.transpose_b ? m.ldb : 1, b_step = m.transpose_b ? 1 : m.ldb;
  HF_EACH(i, m.batch * m.m * m.n) {
    int64_t j = i % m.n, row = i / m.n % m.m, batch = i / m.n / m.m;
    const T *x = a + batch * m.stride_a + row * a_row, *y = b + batch * m.stride_b + j * b_column;
    C *to = c + batch * m.stride_c + row * m.ldc + j;
    float sum = 0;
    for (int64_t p = 0; p < m.k; p++) sum += hf_get(x[p * a_step]) * hf_get(y[p * b_step]);
    sum *= m.alpha;
    *to = hf_put<C>(m.beta == 0 ? sum : sum + m.beta * hf_get(*to));
  }
}

template <class C> static HfStatus plain_product(const HfMatmul *m) {
  HF_FLOAT_SWITCH(m->dtype, HF_LAUNCH((product_kernel<C, T>), hf_grid(m->batch * m->m * m->n), HF_BLOCK, 0, hf_cuda_stream(), (C *)m->c,
                                      (const T *)m->a, (const T *)m->b, *m))
  return HF_OK;
}

static bool is_set(const char *name, const char *value) {
  const char *found = getenv(name);
  return found && !strcmp(found, value);
}

static bool &tf32(void) {
  static bool allowed = is_set("HFLUA_TF32", "1");
  return allowed;
}
bool hf_cuda_tf32(void) { return tf32(); }
void hf_cuda_allow_tf32(bool allowed) { tf32() = allowed; }

static HfStatus product(const HfMatmul *m, HfProductDone *done) {
  static bool plain = is_set("HFLUA_CUDA_PRODUCTS", "plain");
  HfStatus status = plain || m->k == 0 ? HF_UNSUPPORTED : hf_cuda_product(m, done);
  if (status != HF_UNSUPPORTED) return status;
  *done = HfProductDone{false, false};
  HF_FLOAT_SWITCH(hf_result_dtype(m), return plain_product<T>(m))
}

static HfStatus matmul(const HfMatmul *m) {
  HfProductDone done = {false, false};
  HfMatmul own = *m;
  if (!hf_is_float(m->dtype) || m->b_dtype != HF_FLOAT32) return HF_UNSUPPORTED;
  if (m->m == 0 || m->n == 0 || m->batch == 0) return HF_OK;
  /* an activation that is left over reads its argument where it is to be kept */
  if (m->pre && m->beta == 0 && m->activation != HF_ACT_GELU_TANH) own.c = m->pre, own.pre = nullptr, own.activation = HF_ACT_NONE;
  HfStatus status = product(&own, &done);
  return status == HF_OK ? finish(m, own.c, done) : status;
}

void hf_cuda_fill_matmul(HfKernels *k) { k->matmul = matmul; }
