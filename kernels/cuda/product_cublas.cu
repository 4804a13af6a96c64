/* Products by cuBLASLt. Row-major c = op(a) op(b) is column-major c^T = op(b)^T op(a)^T, so b is the library's first operand.
 * Bias is part of the product; gelu's tanh form and relu too (the library has no other forms). Algorithms are asked for once
 * for each kind of product and kept. float32 products use tensor cores where hf_cuda_tf32 allows it. */
#include "element.h"
#include "product.h"
#include <cublasLt.h>
#include <stdlib.h>

/* What decides the algorithm. No padding inside, so that kinds compare byte by byte. */
struct Kind {
  int64_t m, n, k, batch, lda, ldb, ldc, stride_a, stride_b, stride_c;
  int32_t dtype, result_dtype, transpose_a, transpose_b, epilogue, alignment, compute, unused;
};

struct Plan {
  Kind kind;
  bool is_used, works;
  cublasLtMatmulDesc_t operation;
  cublasLtMatrixLayout_t a, b, c;
  cublasLtMatmulAlgo_t algorithm;
};

enum { PLANS = 4096, PROBES = 16 };
static const size_t WORKSPACE = (size_t)32 << 20;

static struct {
  cublasLtHandle_t handle;
  void *workspace;
  Plan *plans;
} library;

static bool open_library(void) {
  if (library.handle) return true;
  if (!library.plans) library.plans = (Plan *)calloc(PLANS, sizeof(Plan));
  if (!library.workspace) library.workspace = hf_cuda_alloc(WORKSPACE);
  if (!library.plans || !library.workspace) return false;
  return cublasLtCreate(&library.handle) == CUBLAS_STATUS_SUCCESS;
}

static cudaDataType_t type_of(HfDtype dtype) {
  return dtype == HF_FLOAT32 ? CUDA_R_32F : dtype == HF_FLOAT16 ? CUDA_R_16F : CUDA_R_16BF;
}

/* 16, 8, 4 or 2: what all addresses, those of a batch's matrices too, are multiples of */
static int32_t alignment_of(const HfMatmul *m) {
  uintptr_t all = (uintptr_t)m->a | (uintptr_t)m->b | (uintptr_t)m->c | (uintptr_t)m->bias | (uintptr_t)m->pre;
  if (m->batch > 1)
    all |= (uintptr_t)((m->stride_a | m->stride_b) * (int64_t)hf_element_size(m->dtype) | m->stride_c * (int64_t)hf_element_size(hf_result_dtype(m)));
  int32_t alignment = 16;
  while (all % (uintptr_t)alignment) alignment /= 2;
  return alignment;
}

static cublasLtEpilogue_t epilogue_of(const HfMatmul *m, HfProductDone *done) {
  bool tanh_gelu = m->activation == HF_ACT_GELU_TANH && m->bias && m->batch == 1;
  bool relu = m->activation == HF_ACT_RELU && m->bias && !m->pre && m->batch == 1;
  done->bias = m->bias && m->batch == 1 && m->beta == 0;
  bool takes_pre = !m->pre || (m->ldc % 8 == 0 && hf_is_aligned(m->pre));
  done->activation = done->bias && (relu || (tanh_gelu && takes_pre));
  if (!done->bias) return CUBLASLT_EPILOGUE_DEFAULT;
  if (!done->activation) return CUBLASLT_EPILOGUE_BIAS;
  if (relu) return CUBLASLT_EPILOGUE_RELU_BIAS;
  return m->pre ? CUBLASLT_EPILOGUE_GELU_AUX_BIAS : CUBLASLT_EPILOGUE_GELU_BIAS;
}

static Kind kind_of(const HfMatmul *m, cublasLtEpilogue_t epilogue) {
  cublasComputeType_t compute = m->dtype == HF_FLOAT32 && hf_cuda_tf32() ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  return Kind{m->m, m->n, m->k, m->batch, m->lda, m->ldb, m->ldc, m->stride_a, m->stride_b, m->stride_c,
              m->dtype, hf_result_dtype(m), m->transpose_a, m->transpose_b, (int32_t)epilogue, alignment_of(m), (int32_t)compute, 0};
}

static uint64_t hash_of(const Kind *kind) {
  const unsigned char *bytes = (const unsigned char *)kind;
  uint64_t hash = 1469598103934665603ull;
  for (size_t i = 0; i < sizeof *kind; i++) hash = (hash ^ bytes[i]) * 1099511628211ull;
  return hash;
}

template <class T> static bool set(cublasLtMatmulDesc_t d, cublasLtMatmulDescAttributes_t name, T value) {
  return cublasLtMatmulDescSetAttribute(d, name, &value, sizeof value) == CUBLAS_STATUS_SUCCESS;
}

/* A matrix stored in `rows` rows of `columns`, seen column-major. */
static bool make_layout(cublasLtMatrixLayout_t *out, const Kind *k, int32_t dtype, int64_t rows, int64_t columns, int64_t ld, int64_t stride) {
  int32_t batch = (int32_t)k->batch;
  if (cublasLtMatrixLayoutCreate(out, type_of((HfDtype)dtype), (uint64_t)columns, (uint64_t)rows, ld) != CUBLAS_STATUS_SUCCESS) return false;
  if (batch == 1) return true;
  return cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &batch, sizeof batch) == CUBLAS_STATUS_SUCCESS &&
         cublasLtMatrixLayoutSetAttribute(*out, CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &stride, sizeof stride) == CUBLAS_STATUS_SUCCESS;
}

/* What the epilogue reads and writes. */
static bool set_pointers(Plan *p, const HfMatmul *m) {
  if (p->kind.epilogue != CUBLASLT_EPILOGUE_DEFAULT && !set(p->operation, CUBLASLT_MATMUL_DESC_BIAS_POINTER, m->bias)) return false;
  return p->kind.epilogue != CUBLASLT_EPILOGUE_GELU_AUX_BIAS || set(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, m->pre);
}

static bool make_operation(Plan *p) {
  const Kind *k = &p->kind;
  if (cublasLtMatmulDescCreate(&p->operation, (cublasComputeType_t)k->compute, CUDA_R_32F) != CUBLAS_STATUS_SUCCESS) return false;
  bool ok = set(p->operation, CUBLASLT_MATMUL_DESC_TRANSA, k->transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N) &&
            set(p->operation, CUBLASLT_MATMUL_DESC_TRANSB, k->transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N) &&
            set(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE, (cublasLtEpilogue_t)k->epilogue);
  if (ok && k->epilogue != CUBLASLT_EPILOGUE_DEFAULT) ok = set(p->operation, CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, type_of((HfDtype)k->result_dtype));
  if (ok && k->epilogue == CUBLASLT_EPILOGUE_GELU_AUX_BIAS) ok = set(p->operation, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, k->ldc);
  return ok;
}

static bool choose_algorithm(Plan *p) {
  cublasLtMatmulPreference_t preference;
  cublasLtMatmulHeuristicResult_t result;
  uint32_t alignment = (uint32_t)p->kind.alignment;
  int found = 0;
  if (cublasLtMatmulPreferenceCreate(&preference) != CUBLAS_STATUS_SUCCESS) return false;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &WORKSPACE, sizeof WORKSPACE);
  /* parts of a cut k are added up in float32, in the workspace, in a fixed order */
  uint32_t reductions = CUBLASLT_REDUCTION_SCHEME_COMPUTE_TYPE;
  cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &reductions, sizeof reductions);
  static const cublasLtMatmulPreferenceAttributes_t alignments[] = {
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
      CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES};
  for (int i = 0; i < 4; i++) cublasLtMatmulPreferenceSetAttribute(preference, alignments[i], &alignment, sizeof alignment);
  cublasStatus_t status = cublasLtMatmulAlgoGetHeuristic(library.handle, p->operation, p->b, p->a, p->c, p->c, preference, 1, &result, &found);
  cublasLtMatmulPreferenceDestroy(preference);
  if (status != CUBLAS_STATUS_SUCCESS || !found) return false;
  p->algorithm = result.algo;
  return true;
}

static void make_plan(Plan *p, const Kind *k, const HfMatmul *m) {
  *p = Plan{*k, true, false, nullptr, nullptr, nullptr, nullptr, {}};
  int64_t a_rows = k->transpose_a ? k->k : k->m, a_columns = k->transpose_a ? k->m : k->k;
  int64_t b_rows = k->transpose_b ? k->n : k->k, b_columns = k->transpose_b ? k->k : k->n;
  p->works = make_operation(p) && set_pointers(p, m) && make_layout(&p->a, k, k->dtype, a_rows, a_columns, k->lda, k->stride_a) &&
             make_layout(&p->b, k, k->dtype, b_rows, b_columns, k->ldb, k->stride_b) && make_layout(&p->c, k, k->result_dtype, k->m, k->n, k->ldc, k->stride_c) &&
             choose_algorithm(p);
}

static void drop_plan(Plan *p) {
  if (p->operation) cublasLtMatmulDescDestroy(p->operation);
  if (p->a) cublasLtMatrixLayoutDestroy(p->a);
  if (p->b) cublasLtMatrixLayoutDestroy(p->b);
  if (p->c) cublasLtMatrixLayoutDestroy(p->c);
}

static Plan *find_plan(const Kind *kind, const HfMatmul *m) {
  uint64_t at = hash_of(kind);
  Plan *p = nullptr;
  for (int i = 0; i < PROBES; i++) {
    p = &library.plans[(at + (uint64_t)i) % PLANS];
    if (!p->is_used) break;
    if (!memcmp(&p->kind, kind, sizeof *kind)) return p;
  }
  if (p->is_used) drop_plan(p); /* all places taken: the last is given up */
  make_plan(p, kind, m);
  return p;
}

/* HF_UNSUPPORTED where the library has no algorithm, or refuses the one it chose: the plan is not tried again. */
static HfStatus run(Plan *p, const HfMatmul *m) {
  p->works = p->works && set_pointers(p, m);
  if (!p->works) return HF_UNSUPPORTED;
  cublasStatus_t status = cublasLtMatmul(library.handle, p->operation, &m->alpha, m->b, p->b, m->a, p->a, &m->beta, m->c, p->c, m->c, p->c,
                                         &p->algorithm, library.workspace, WORKSPACE, hf_cuda_stream());
  if (status == CUBLAS_STATUS_SUCCESS) return HF_OK;
  if (status != CUBLAS_STATUS_NOT_SUPPORTED && status != CUBLAS_STATUS_INVALID_VALUE) return HF_DEVICE_FAULT;
  p->works = false;
  return HF_UNSUPPORTED;
}

HfStatus hf_cuda_product(const HfMatmul *m, HfProductDone *done) {
  if (!open_library()) return HF_NO_MEMORY;
  Kind kind = kind_of(m, epilogue_of(m, done));
  HfStatus status = run(find_plan(&kind, m), m);
  if (status != HF_UNSUPPORTED || kind.epilogue == CUBLASLT_EPILOGUE_DEFAULT) return status;
  *done = HfProductDone{false, false}; /* the plain product, then the rest by a kernel */
  kind.epilogue = CUBLASLT_EPILOGUE_DEFAULT;
  return run(find_plan(&kind, m), m);
}
