/* Products, and what of bias, `pre` and activation the library leaves over. */
#include "element.h"
#include "functions.h"
#include "product.h"

struct Epilogue {
  int64_t m, n, batch, ldc, stride_c;
  HfActivation activation;
};

template <class T> __global__ void epilogue_kernel(T *c, T *pre, const T *bias, Epilogue e) {
  HF_EACH(i, e.batch * e.m * e.n) {
    int64_t j = i % e.n, row = i / e.n % e.m, at = i / e.n / e.m * e.stride_c + row * e.ldc + j;
    float v = hf_get(c[at]);
    if (bias) v += hf_get(bias[j]);
    if (pre) {
      pre[at] = hf_put<T>(v);
      v = hf_get(pre[at]);
    }
    c[at] = hf_put<T>(hf_activate(v, e.activation));
  }
}

static HfStatus finish(const HfMatmul *m, HfProductDone done) {
  const void *bias = done.bias ? nullptr : m->bias;
  void *pre = done.activation ? nullptr : m->pre;
  Epilogue e = {m->m, m->n, m->batch, m->ldc, m->stride_c, done.activation ? HF_ACT_NONE : m->activation};
  if (!bias && !pre && e.activation == HF_ACT_NONE) return hf_cuda_status();
  HF_FLOAT_SWITCH(hf_result_dtype(m), HF_LAUNCH(epilogue_kernel<T>, hf_grid(e.m * e.n * e.batch), HF_BLOCK, 0, hf_cuda_stream(), (T *)m->c, (T *)pre, (const T *)bias, e))
  return hf_cuda_status();
}

/* c = beta * c: what a product with k == 0 leaves. */
template <class T> __global__ void scale_kernel(T *c, Epilogue e, float beta) {
  HF_EACH(i, e.batch * e.m * e.n) {
    int64_t at = i / e.n / e.m * e.stride_c + i / e.n % e.m * e.ldc + i % e.n;
    c[at] = beta == 0 ? hf_put<T>(0) : hf_put<T>(beta * hf_get(c[at]));
  }
}

static HfStatus scale_matrix(const HfMatmul *m) {
  Epilogue e = {m->m, m->n, m->batch, m->ldc, m->stride_c, HF_ACT_NONE};
  HF_FLOAT_SWITCH(hf_result_dtype(m), HF_LAUNCH(scale_kernel<T>, hf_grid(e.m * e.n * e.batch), HF_BLOCK, 0, hf_cuda_stream(), (T *)m->c, e, m->beta))
  return HF_OK;
}

static HfStatus matmul(const HfMatmul *m) {
  HfProductDone done = {false, false};
  if (!hf_is_float(m->dtype) || m->b_dtype != HF_FLOAT32) return HF_UNSUPPORTED;
  if (m->m == 0 || m->n == 0 || m->batch == 0) return HF_OK;
  HfStatus status = m->k == 0 ? scale_matrix(m) : hf_cuda_product(m, &done);
  return status == HF_OK ? finish(m, done) : status;
}

void hf_cuda_fill_matmul(HfKernels *k) { k->matmul = matmul; }
