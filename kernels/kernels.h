/* The contract between the engine and the numbers: one table of kernels per device. Raw pointers and sizes in,
 * numbers out. Nothing here knows tensors, Lua or files; nothing above asks which device it is on.
 *
 * Rules. Arguments go: what is written, what is read, sizes, parameters. Pointers are of the table's device.
 * Buffers do not overlap unless a comment allows it. Kernels are deterministic for a given thread count.
 * Activations are `HfDtype dtype` where a parameter says so: HF_FLOAT32 is always there, another dtype may answer
 * HF_UNSUPPORTED and the caller converts. Sums, softmax, norms and losses are computed in float32 at least.
 * An optional kernel may be NULL: the operation then uses its composed form.
 *
 * Letters: N rows (tokens), C channels, H heads, D head size, V classes, B sequences.
 */
#ifndef HF_KERNELS_H
#define HF_KERNELS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum HfDtype {
  HF_FLOAT32, HF_FLOAT16, HF_BFLOAT16, HF_INT64, HF_INT32, HF_UINT8, HF_BOOL, /* bool: one byte, 0 or 1 */
  HF_DTYPE_COUNT
} HfDtype;

typedef enum HfStatus {
  HF_OK,
  HF_UNSUPPORTED,      /* no kernel for this dtype or size: the caller uses another way */
  HF_NO_MEMORY,        /* scratch memory could not be had */
  HF_BAD_INDEX,        /* an id, label or index lies outside its table; nothing was written out of bounds */
  HF_DEVICE_FAULT,     /* the device failed; its context is spoiled */
  HF_NOT_RECORDED      /* a graph cannot hold it: graph_refusal says what */
} HfStatus;

#define HF_MAX_DIMS 8
#define HF_READ_MOST 64

/* Up to four operands walked together. shape[d] is common; stride[k][d] is operand k's step in elements (0 where it
 * is broadcast, negative allowed). Operand 0 is the one written. ndim 0 is a single element. */
typedef struct HfLayout {
  int ndim;
  int64_t shape[HF_MAX_DIMS];
  int64_t stride[4][HF_MAX_DIMS];
} HfLayout;

/* Element-wise functions of one value; p is the parameter in brackets. The golden names. */
typedef enum HfUnary {
  HF_NEG, HF_ABS, HF_SQUARE, HF_SQRT, HF_RSQRT, HF_RECIPROCAL, HF_EXP, HF_EXPM1, HF_LOG, HF_LOG1P, HF_SIN, HF_COS,
  HF_ERF, HF_TANH, HF_SIGMOID, HF_LOGSIGMOID, HF_SOFTPLUS, HF_RELU, HF_LEAKY_RELU /* slope */, HF_ELU /* alpha */,
  HF_SILU, HF_GELU /* erf form */, HF_GELU_TANH, HF_FLOOR, HF_CEIL, HF_ROUND /* half to even */, HF_TRUNC, HF_SIGN,
  HF_POW_SCALAR /* exponent */, HF_ADD_SCALAR, HF_MUL_SCALAR, HF_RSUB_SCALAR /* p - x */, HF_RDIV_SCALAR /* p / x */,
  HF_UNARY_COUNT
} HfUnary;

typedef enum HfBinary { HF_ADD, HF_SUB, HF_MUL, HF_DIV, HF_MAXIMUM, HF_MINIMUM, HF_POW, HF_BINARY_COUNT } HfBinary;
typedef enum HfCompare { HF_EQ, HF_NE, HF_LT, HF_LE, HF_GT, HF_GE, HF_COMPARE_COUNT } HfCompare;
typedef enum HfReduce {
  HF_SUM, HF_MEAN, HF_MAX, HF_MIN, HF_PROD, HF_ANY, HF_ALL, HF_SUM_SQUARES, HF_LOGSUMEXP, HF_REDUCE_COUNT
} HfReduce;
typedef enum HfActivation { HF_ACT_NONE, HF_ACT_GELU, HF_ACT_GELU_TANH, HF_ACT_RELU, HF_ACT_SILU, HF_ACT_TANH } HfActivation;

/* c = alpha * op(a) op(b) + beta * c, row-major, then + bias, then the activation. Sums, bias and activation are float32; a c of
 * 16 bits is rounded at the end, and an activation is computed from `pre` as it is stored.
 * op(a) is (m, k), op(b) is (k, n), c is (m, n); ld* is the distance between rows of the stored matrix. With
 * beta == 0 the old c is never read. `batch` products are made with the given distances between matrices (0 repeats). */
typedef struct HfMatmul {
  HfDtype dtype; /* of a and b, and unless float_c of c, bias, pre */
  bool float_c;  /* c, bias and pre are float32 whatever dtype is: gradients of float32 weights, straight into their sum */
  bool transpose_a, transpose_b;
  int64_t m, n, k, batch;
  float alpha, beta;
  const void *a;    int64_t lda, stride_a;
  const void *b;    int64_t ldb, stride_b;
  void *c;          int64_t ldc, stride_c;
  const void *bias; /* (n) or NULL */
  HfActivation activation;
  void *pre;        /* (m, n) rows ldc apart, or NULL: the values before the activation, kept for the backward */
  HfDtype b_dtype;  /* HF_BFLOAT16: b alone is that, the rest float32; few rows only, else HF_UNSUPPORTED. HF_FLOAT32: b is of dtype */
} HfMatmul;

/* The key of a dropout. cell NULL: `key` is it. Else, in a graph, whose steps are to come, it is hf_key_mix(*cell + key): the cell,
 * in the device's memory, holds the number that the graph was launched with. */
typedef struct HfDropoutKey {
  uint64_t key;
  const uint64_t *cell;
} HfDropoutKey;

/* Variable-length attention: sequences are packed one after another. Sequence b has query rows
 * cu_q[b] .. cu_q[b+1]-1 and key rows cu_k[b] .. cu_k[b+1]-1 (int32, B+1 entries, host memory);
 * with key_count set (a cache, whose rows have room to grow) they are cu_k[b] .. cu_k[b] + key_count[b] - 1, B entries each.
 * q (Nq, heads, D), k and v (Nk, kv_heads, D) with rows q_stride, k_stride, v_stride elements apart and heads D apart;
 * out (Nq, heads, D) with rows out_stride apart. Head h uses key head h / (heads / kv_heads). scores = scale q.k.
 * Dropout of the probabilities: keep when hf_counter_uniform(key, ((row * heads + h) << 20) + key position inside its
 * sequence) >= dropout, kept values times 1/(1-dropout); row counts query rows over the whole batch. */
typedef struct HfAttention {
  HfDtype dtype;
  int64_t sequences, heads, kv_heads, head_dim;
  const int32_t *cu_q, *cu_k;
  int causal; /* 0 none; 1 key j <= query i; 2 key j <= i + (keys - queries) of the sequence */
  float scale, dropout;
  HfDropoutKey dropout_key;
  const void *q, *k, *v;
  int64_t q_stride, k_stride, v_stride, out_stride;
  const int32_t *key_count; /* NULL: keys end where the next sequence's begin */
  /* NULL, or with key_count and one query a sequence: first rows and numbers of keys (2, sequences) in the device's memory. A device
   * reads them in place of cu_k and key_count, so that what it queued can run again when they have grown; most_keys bounds them. */
  const int32_t *device_keys;
  int64_t most_keys;
} HfAttention;

/* How the next token is chosen from a row of logits; in this order, each off at the value in brackets. The rules are those of
 * transformers' processors of the same names. */
typedef struct HfSampling {
  float repetition_penalty;             /* [1] of the tokens in `ids` */
  float temperature;                    /* [1] logits are divided by it */
  int64_t top_k;                        /* [0] scores below the k-th largest are out; its equals stay */
  float top_p;                          /* [1] the least likely tokens whose chances sum to 1 - top_p at most are out; of equals the first go first */
  float min_p;                          /* [0] tokens less likely than min_p times the likeliest one are out */
  bool draw;                            /* false: the largest score, the first of equals, is chosen; NaN counts as largest */
  uint64_t key;                         /* of the draw: token t of `row` has the number (*column * rows + row) * V + t */
  const int64_t *ids, *starts, *column; /* ids (rows, ids_stride) of which columns starts[row] (NULL: 0) .. *column - 1 are filled */
  int64_t ids_stride;
} HfSampling;

/* What generation keeps of its rows on the device; `columns` is how many ids a row has room for. */
typedef struct HfDecoding {
  int64_t rows, columns;
  int64_t *ids;       /* (rows, columns) */
  int64_t *column;    /* (1): filled columns */
  int64_t *input;     /* (rows): the model's next input */
  int64_t *position;  /* (rows): its position */
  uint8_t *done;      /* (rows): 1 where a row has ended and gets `pad` */
  const int64_t *end; /* (ends): tokens that end a row */
  int64_t ends, pad;
} HfDecoding;

/* One parameter of a multi-tensor optimizer step; all float32, n elements, updated in place. */
typedef struct HfAdamParameter {
  float *parameter, *exp_avg, *exp_avg_sq, *max_exp_avg_sq; /* the last NULL unless amsgrad */
  const float *gradient;
  int64_t n;
  float weight_decay;
} HfAdamParameter;

typedef struct HfAdam {
  double lr, beta1, beta2, eps;
  int64_t step;         /* counted from 1 */
  bool decoupled;       /* AdamW: p *= 1 - lr * decay; else the decay is added to the gradient */
  bool amsgrad, maximize;
  float gradient_scale; /* every gradient is multiplied by this first: clipping, unscaling */
  const float *device_scale; /* NULL, or one more such factor, read by the kernel in the device's memory; NaN: nothing changes */
} HfAdam;

/* What the gradients of a step came to, in the device's memory: the host need not know before the step goes on. */
typedef struct HfGradientCheck {
  double squares;    /* set by sum_squares */
  double norm;       /* its root divided by the scale of the loss */
  float loss;
  float norm32;      /* norm, for a tensor to show */
  float factor;      /* what the step multiplies gradients by; NaN once it has stopped */
  int32_t stopped;   /* a loss or a norm was not finite, in this step or an earlier one */
} HfGradientCheck;

typedef struct HfGraph HfGraph; /* of a device */

/* Means over processes that drive one device each, without a way through the host. */
enum { HF_COLLECTIVE_ID_BYTES = 128 };
typedef struct HfCollectives {
  /* What the processes find each other by: all make one, that of the first is handed to all. false with the reason in one sentence. */
  bool (*make_id)(void *id, char *why, size_t size);
  bool (*join)(const void *id, int rank, int processes, char *why, size_t size); /* once; returns when all have called it */
  /* The mean of each of `count` arrays of sizes[i] numbers, in place, behind the kernels queued so far; later kernels do not wait for it. */
  HfStatus (*average)(float *const *arrays, const int64_t *sizes, int64_t count);
  HfStatus (*wait)(void); /* kernels queued from here on see the means; the host does not wait */
} HfCollectives;

typedef struct HfKernels {
  const char *name; /* "cpu", "cuda:0" */

  /* ---- memory of the device */
  void *(*alloc)(size_t bytes);            /* 64-byte aligned, or NULL */
  void (*free)(void *bytes, size_t size);  /* size as given to alloc */
  HfStatus (*copy_in)(void *device, const void *host, size_t bytes);
  HfStatus (*copy_out)(void *host, const void *device, size_t bytes); /* waits for the device */
  HfStatus (*copy)(void *out, const void *in, size_t bytes);          /* on the device */
  HfStatus (*zero)(void *out, size_t bytes);
  /* Reading while the device goes on; NULL where copy_out has nothing to wait for. read_begin queues a copy of HF_READ_MOST bytes at most
   * and gives a handle, or NULL where that cannot be had; read_end waits for this copy alone, answers as copy_out does and takes the
   * handle back (host NULL: without waiting, the numbers are dropped). */
  void *(*read_begin)(const void *device, size_t bytes);
  HfStatus (*read_end)(void *host, void *reading);
  const char *(*late_error)(void); /* NULL where kernels answer when they are done. Else a kernel that finds a bad index may answer HF_OK, and the next copy_out or read_end HF_BAD_INDEX: this says what was found */
  const char *(*device_fault)(void); /* NULL, or what is known of an HF_DEVICE_FAULT: "kernel NAME: reason", or "" */

  /* ---- graphs; all NULL where there are none. What is asked of the device from begin to end is recorded and not done; each launch
   * does all of it, with the memory and the parameters of the recording. What waits for the device meanwhile answers
   * HF_NOT_RECORDED, as copy_in does unless keeps_copies: the numbers are then those of the recording in every launch. */
  HfStatus (*graph_begin)(bool keeps_copies, const uint64_t **cell); /* *cell: the device's memory that holds the number of a launch */
  HfStatus (*graph_end)(HfGraph **out); /* HF_NOT_RECORDED: no graph, and nothing was done. out NULL: what was recorded is dropped */
  HfStatus (*graph_launch)(HfGraph *graph, uint64_t number);
  void (*graph_free)(HfGraph *graph);
  const char *(*graph_refusal)(void); /* why there is no graph: ends "the function ..." */

  /* ---- element by element. `dtype` of operands; out has the same unless said. */
  HfStatus (*cast)(void *out, HfDtype out_dtype, const void *in, HfDtype in_dtype, const HfLayout *layout); /* strided copy and conversion; float to integer truncates, to bool is != 0 */
  HfStatus (*fill)(void *out, HfDtype dtype, double value, const HfLayout *layout);
  HfStatus (*arange)(void *out, HfDtype dtype, double start, double step, int64_t n);
  HfStatus (*unary)(float *out, const float *x, int64_t n, HfUnary op, float p); /* out may be x */
  HfStatus (*unary_backward)(float *dx, const float *dout, const float *x, const float *y, int64_t n, HfUnary op, float p); /* y the forward's result; dx may be dout */
  HfStatus (*binary)(void *out, const void *a, const void *b, HfDtype dtype, const HfLayout *layout, HfBinary op); /* float32, int64; integer division truncates, by 0 gives 0 */
  HfStatus (*compare)(uint8_t *out, const void *a, const void *b, HfDtype dtype, const HfLayout *layout, HfCompare op); /* float32, int64 */
  HfStatus (*where)(void *out, const uint8_t *condition, const void *a, const void *b, HfDtype dtype, const HfLayout *layout); /* any dtype */
  HfStatus (*clamp)(float *out, const float *x, int64_t n, float low, float high);      /* NaN stays */
  HfStatus (*axpy)(float *y, const float *x, int64_t n, float a);                       /* y += a x */
  HfStatus (*scale)(float *y, int64_t n, float a);

  /* ---- reductions over the middle of (outer, n, inner), contiguous */
  HfStatus (*reduce)(void *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, HfReduce op); /* float32, int64 (SUM MAX MIN PROD), bool (ANY ALL); out (outer, inner). float sums pairwise or in double. n == 0 gives the neutral element. NaN wins in MAX and MIN */
  HfStatus (*reduce_index)(int64_t *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, bool largest); /* argmax, argmin: first of equals, NaN wins */
  HfStatus (*variance)(float *out, float *mean, const float *x, int64_t outer, int64_t n, int64_t inner, double correction); /* two passes; mean may be NULL */
  HfStatus (*cumsum)(void *out, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, bool reverse);
  HfStatus (*sort)(void *values, int64_t *indices, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner, int64_t k, bool descending); /* stable; the first k (k == n: all); float32, int64; NaN counts as largest */
  HfStatus (*softmax)(float *out, const float *x, int64_t outer, int64_t n, int64_t inner, bool log); /* out may be x; a row of -inf gives NaN as in PyTorch */
  HfStatus (*softmax_backward)(float *dx, const float *dout, const float *y, int64_t outer, int64_t n, int64_t inner, bool log); /* dx may be dout */

  /* ---- indexing; x (outer, n, inner). Every index is checked: 0 <= i < n, else HF_BAD_INDEX and *bad = the index */
  HfStatus (*index_select)(void *out, const void *x, size_t element, const int64_t *index, int64_t count, int64_t outer, int64_t n, int64_t inner, int64_t *bad); /* out (outer, count, inner); element: bytes */
  HfStatus (*index_add)(float *x, const float *src, const int64_t *index, int64_t count, int64_t outer, int64_t n, int64_t inner, int64_t *bad); /* x[:, index[j], :] += src[:, j, :], in order of j */
  HfStatus (*gather)(void *out, const void *x, size_t element, const int64_t *index, const HfLayout *layout, int64_t n, int64_t x_step, int64_t *bad); /* layout: 0 out, 1 x without the gathered dim (stride 0 there), 2 index; element offset + index * x_step */
  HfStatus (*scatter_add)(float *x, const float *src, const int64_t *index, const HfLayout *layout, int64_t n, int64_t x_step, int64_t *bad); /* layout: 0 x with stride 0 in the dim, 1 src, 2 index */

  /* ---- products */
  HfStatus (*matmul)(const HfMatmul *m);
  /* dpre = dout * activation'(pre); dbias = beta * dbias + column sums of dpre. dpre may be dout; pre NULL: no activation
   * (dpre == dout is then left alone); dbias may be NULL. (rows, columns) contiguous */
  HfStatus (*bias_activation_backward)(void *dpre, float *dbias, const void *dout, const void *pre, HfDtype dtype, int64_t rows, int64_t columns, HfActivation activation, float beta);

  /* ---- normalisation over rows of C. y = norm(sum) * weight + bias where sum = residual + dropout(x).
   * residual NULL: sum is x after dropout. sum NULL when residual is NULL and dropout 0 (x itself is kept). weight, bias may be NULL.
   * dropout keeps element i (of N*C) when hf_counter_uniform(key, i) >= dropout, times 1/(1-dropout). mean (N) NULL for rms. */
  HfStatus (*layer_norm)(void *y, void *sum, float *mean, float *rstd, const void *x, const void *residual, const float *weight, const float *bias, HfDtype dtype, int64_t N, int64_t C, float eps, float dropout, HfDropoutKey key);
  /* dsum (N, C) is the gradient of the residual; dx that of x (NULL when x had no dropout: it equals dsum). dweight, dbias += (may be NULL).
   * dsum may be dy. */
  HfStatus (*layer_norm_backward)(void *dsum, void *dx, float *dweight, float *dbias, const void *dy, const void *sum, const float *mean, const float *rstd, const float *weight, HfDtype dtype, int64_t N, int64_t C, float dropout, HfDropoutKey key);
  HfStatus (*rms_norm)(void *y, float *rstd, const void *x, const float *weight, HfDtype dtype, int64_t N, int64_t C, float eps);
  HfStatus (*rms_norm_backward)(void *dx, float *dweight, const void *dy, const void *x, const float *rstd, const float *weight, HfDtype dtype, int64_t N, int64_t C);

  /* ---- dropout by counter: keep element i when hf_counter_uniform(key, i) >= p, times 1/(1-p). Its own backward. out may be x */
  HfStatus (*dropout)(void *out, const void *x, HfDtype dtype, int64_t n, float p, HfDropoutKey key);

  /* ---- attention; lse (Nq, heads): log of the sum of exponentials, kept for the backward. A query without keys gives 0. */
  HfStatus (*attention)(void *out, float *lse, const HfAttention *a);
  /* dq, dk, dv with the strides of q, k, v and written (not added to) for every row */
  HfStatus (*attention_backward)(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a);

  /* ---- a cache of keys and values (any rows, width): row i of k and v (N, width), rows k_stride and v_stride apart, becomes row
   * place[i] of each cache; place (N) and x are in the device's memory */
  HfStatus (*cache_put)(void *k_cache, void *v_cache, const void *k, const void *v, HfDtype dtype, const int32_t *place, int64_t N, int64_t width, int64_t k_stride, int64_t v_stride);
  HfStatus (*advance)(int32_t *x, int64_t n); /* x += 1 */
  bool wide_cache; /* 16-bit keys and values are attended to faster when they are kept as float32 */

  /* ---- choosing tokens; both NULL where generation does it on the host, with PyTorch's draws */
  /* token (rows) from logits (rows, V), rows ld apart; -1 where the draw finds NaN, inf or no possible token. Chances are summed as
   * integers and ties broken by token, so that no order of work shows */
  HfStatus (*sample)(int64_t *token, const void *logits, HfDtype dtype, int64_t rows, int64_t V, int64_t ld, const HfSampling *s);
  /* Each row's token (pad where it is done) goes to its next column and becomes the input (-1: 0), its position grows by 1, an end token
   * makes it done; *column grows by 1. Nothing happens when ids are full */
  HfStatus (*append_tokens)(const HfDecoding *t, const int64_t *token);

  /* ---- rotary positions, in place on x (N, heads, D): pairs (i, i + D/2); cosine and sine (N, D/2); inverse turns back */
  HfStatus (*rotary)(void *x, HfDtype dtype, const float *cosine, const float *sine, int64_t N, int64_t heads, int64_t D, int64_t row_stride, bool inverse);

  /* ---- embedding: out (N, C) = the sum of `tables` looked-up rows; each table[t] (rows[t], C), ids[t] (N) int64 */
  HfStatus (*embedding)(void *out, const void *const *table, const int64_t *const *ids, const int64_t *rows, int tables, HfDtype dtype, int64_t N, int64_t C, int64_t *bad);
  /* dtable[ids[i]] += dout[i], in order of i (a device: in fixed groups); rows of id `skip` get nothing (-1: none) */
  HfStatus (*embedding_backward)(float *dtable, const void *dout, const int64_t *ids, HfDtype dtype, int64_t N, int64_t C, int64_t rows, int64_t skip);

  /* ---- cross entropy of logits (N, V) rows ld apart. loss[i] = 0 where label == ignore. weight (V) may be NULL. Per row
   *   (1-s) * w[y] * -logp[y] + s / V * sum_v w[v] * -logp[v]
   * total[0] += w[y] (or 1) of the counted rows (on the device). lse (N) is kept. Other labels outside 0..V-1: HF_BAD_INDEX */
  HfStatus (*cross_entropy)(float *loss, float *lse, float *total, const void *logits, const int64_t *labels, const float *weight, HfDtype dtype, int64_t N, int64_t V, int64_t ld, int64_t ignore, float smoothing, int64_t *bad);
  /* dlogits[i, :] = dloss[i] * d loss[i] / d logits[i, :]; dlogits may be logits; rows ignored get zeros */
  HfStatus (*cross_entropy_backward)(void *dlogits, const float *dloss, const void *logits, const float *lse, const int64_t *labels, const float *weight, HfDtype dtype, int64_t N, int64_t V, int64_t ld, int64_t ignore, float smoothing);

  /* ---- optimizer: one pass over all parameters */
  HfStatus (*adam)(const HfAdamParameter *parameters, int64_t count, const HfAdam *settings);
  HfStatus (*sum_squares)(double *out, const float *const *tensors, const int64_t *sizes, int64_t count); /* out on the device; fixed order of summation; not finite if any entry is not */
  /* From check->squares: norm = sqrt(squares) / loss_scale, factor = min(1, max_norm / (norm + 1e-6)) / loss_scale (infinity: no clipping).
   * stops: a loss (NULL: none) or norm that is not finite makes factor NaN from then on. */
  HfStatus (*check_gradients)(HfGradientCheck *check, const float *loss, double max_norm, double loss_scale, bool stops);
  HfStatus (*scale_all)(float *const *tensors, const int64_t *sizes, int64_t count, const float *factor); /* by *factor of the device's memory; 1 or NaN leaves them alone */

  const HfCollectives *collectives; /* NULL: processes add up copies in the memory of the host */
} HfKernels;

/* The table of the processor; chosen from its instruction sets on the first call (HFLUA_ISA=plain|v3|v4 overrides). */
const HfKernels *hf_cpu_kernels(void);
/* Text for --version: "x86-64-v4, oneDNN 2.6.3, 2 threads". Opens the product library. */
const char *hf_cpu_description(void);

/* ---- bfloat16 and float16 as 16-bit patterns; round to nearest even */
static inline float hf_bf16_to_float(uint16_t h) {
  union { uint32_t u; float f; } v = {(uint32_t)h << 16};
  return v.f;
}
static inline uint16_t hf_float_to_bf16(float x) {
  union { float f; uint32_t u; } v = {x};
  if ((v.u & 0x7fffffffu) > 0x7f800000u) return (uint16_t)((v.u >> 16) | 0x40); /* NaN stays NaN */
  return (uint16_t)((v.u + 0x7fffu + ((v.u >> 16) & 1)) >> 16);
}

#if defined(__CUDACC__)
#define HF_EVERYWHERE __host__ __device__ /* device code calls these functions too */
#else
#define HF_EVERYWHERE
#endif

/* ---- the counter-based generator, the same on every device: 32 bits from (key, i), by two rounds of a 32-bit
 * finaliser (the one of MurmurHash3), the key's halves added before each. */
static inline HF_EVERYWHERE uint32_t hf_counter_mix(uint32_t x) {
  x ^= x >> 16; x *= 0x85ebca6bu;
  x ^= x >> 13; x *= 0xc2b2ae35u;
  return x ^ (x >> 16);
}
static inline HF_EVERYWHERE uint32_t hf_counter_bits(uint64_t key, uint64_t i) {
  uint32_t x = hf_counter_mix((uint32_t)i ^ (uint32_t)key) + (uint32_t)(i >> 32);
  return hf_counter_mix(x ^ (uint32_t)(key >> 32));
}
/* A key from counters: SplitMix64's finaliser, its step between them. */
#define HF_KEY_STEP 0x9e3779b97f4a7c15u
static inline HF_EVERYWHERE uint64_t hf_key_mix(uint64_t x) {
  x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27, x *= 0x94d049bb133111ebu;
  return x ^ x >> 31;
}
/* uniform in [0, 1): 24 bits */
static inline float hf_counter_uniform(uint64_t key, uint64_t i) {
  return (float)(hf_counter_bits(key, i) >> 8) * (1.0f / 16777216.0f);
}

#endif
