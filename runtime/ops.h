/* Operations on tensors: check, allocate, call the device's kernel, record. Each returns a new reference, or
 * NULL with err set. Names and meanings are PyTorch's; the gradient is recorded when an operand wants one.
 * dims may be negative. Element-wise results of mixed dtypes: bool < uint8 < int32 < int64 < float16,
 * bfloat16 < float32. */
#ifndef HF_OPS_H
#define HF_OPS_H
#include "tape.h"

/* ---- element by element (ops_elementwise.c) */
HfTensor *hf_unary(HfTensor *x, HfUnary op, double p, HfError *err);
HfTensor *hf_binary(HfTensor *a, HfTensor *b, HfBinary op, HfError *err);
HfTensor *hf_integer_divide(HfTensor *a, HfTensor *b, HfError *err); /* int64, truncating; by 0 gives 0 */
HfTensor *hf_compare(HfTensor *a, HfTensor *b, HfCompare op, HfError *err); /* bool */
HfTensor *hf_where(HfTensor *condition, HfTensor *a, HfTensor *b, HfError *err);
HfTensor *hf_masked_fill(HfTensor *x, HfTensor *mask, double value, HfError *err);
HfTensor *hf_clamp(HfTensor *x, double low, double high, HfError *err);
HfTensor *hf_cast(HfTensor *x, HfDtype dtype, HfError *err); /* x itself, retained, when nothing changes */
HfTensor *hf_to_device(HfTensor *x, HfDevice *device, HfError *err); /* likewise */
HfTensor *hf_contiguous(HfTensor *x, HfError *err);                  /* likewise */
HfTensor *hf_clone(HfTensor *x, HfError *err);
HfTensor *hf_dropout(HfTensor *x, double p, bool training, HfError *err); /* counter-based: hf_dropout_key */

/* ---- shapes (ops_shape.c); views share the storage */
HfTensor *hf_reshape(HfTensor *x, int ndim, const int64_t *shape,
                     HfError *err); /* one -1 allowed; copies when it must */
HfTensor *hf_view(HfTensor *x, int ndim, const int64_t *shape,
                  HfError *err); /* never copies: an error instead */
HfTensor *hf_permute(HfTensor *x, int ndim, const int64_t *dims, HfError *err);
HfTensor *hf_transpose(HfTensor *x, int64_t a, int64_t b, HfError *err);
HfTensor *hf_expand(HfTensor *x, int ndim, const int64_t *shape, HfError *err); /* -1 keeps */
HfTensor *hf_squeeze(HfTensor *x, const int64_t *dim, HfError *err);            /* dim NULL: all of size 1 */
HfTensor *hf_unsqueeze(HfTensor *x, int64_t dim, HfError *err);
HfTensor *hf_flatten(HfTensor *x, int64_t start, int64_t end, HfError *err);
HfTensor *hf_slice(HfTensor *x, int64_t dim, int64_t start, int64_t stop, int64_t step,
                   HfError *err); /* already clipped to 0..size; step >= 1 */
HfTensor *hf_select(HfTensor *x, int64_t dim, int64_t index, HfError *err);
HfTensor *hf_flip(HfTensor *x, int count, const int64_t *dims, HfError *err);
HfTensor *hf_roll(HfTensor *x, int64_t shift, int64_t dim, HfError *err);
HfTensor *hf_pad(HfTensor *x, int count, const int64_t *pad, double value,
                 HfError *err); /* PyTorch's order: last dim first, (before, after) */
HfTensor *hf_cat(HfTensor *const *x, int count, int64_t dim, HfError *err);
HfTensor *hf_stack(HfTensor *const *x, int count, int64_t dim, HfError *err);
HfTensor *hf_repeat(HfTensor *x, int ndim, const int64_t *times, HfError *err);
HfTensor *hf_repeat_interleave(HfTensor *x, int64_t times, int64_t dim, HfError *err);
HfTensor *hf_tri(HfTensor *x, int64_t diagonal, bool upper, HfError *err); /* tril, triu */

/* ---- reductions (ops_reduce.c); dim_count 0: over everything */
HfTensor *hf_reduce(HfTensor *x, HfReduce op, int dim_count, const int64_t *dims, bool keepdim, HfError *err);
HfTensor *hf_variance(HfTensor *x, int dim_count, const int64_t *dims, bool keepdim, double correction,
                      bool root, HfError *err);
HfTensor *hf_norm(HfTensor *x, int dim_count, const int64_t *dims, bool keepdim, HfError *err); /* 2-norm */
/* max and min along one dim with indices (int64, data: 0-based); also their gradient */
HfTensor *hf_extreme(HfTensor *x, bool largest, int64_t dim, bool keepdim, HfTensor **indices, HfError *err);
HfTensor *hf_arg_extreme(HfTensor *x, bool largest, const int64_t *dim, bool keepdim,
                         HfError *err); /* dim NULL: flat */
HfTensor *hf_cumsum(HfTensor *x, int64_t dim, HfError *err);
HfTensor *hf_sort(HfTensor *x, int64_t dim, bool descending, int64_t k, HfTensor **indices,
                  HfError *err); /* k < 0: all */
HfTensor *hf_softmax(HfTensor *x, int64_t dim, bool log, HfError *err);

/* ---- indexing (ops_index.c); index tensors int64 */
HfTensor *hf_index_select(HfTensor *x, int64_t dim, HfTensor *index, HfError *err);
HfTensor *hf_gather(HfTensor *x, int64_t dim, HfTensor *index, HfError *err);
HfTensor *hf_scatter_add(HfTensor *x, int64_t dim, HfTensor *index, HfTensor *src, HfError *err);
HfTensor *hf_index(HfTensor *x, HfTensor *const *index, int count,
                   HfError *err); /* x[i, j, ...] over the first dims, broadcast */
HfTensor *hf_masked_select(HfTensor *x, HfTensor *mask, HfError *err);
HfTensor *hf_nonzero(HfTensor *x, HfError *err); /* (count, ndim) int64 */
HfTensor *hf_one_hot(HfTensor *ids, int64_t classes, HfError *err);
HfTensor *hf_embedding(HfTensor *weight, HfTensor *ids, int64_t padding_idx,
                       HfError *err); /* padding_idx < 0: none */
/* The sum of several looked-up tables, one pass: BERT's word + position + type. ids (N) each. */
HfTensor *hf_embedding_sum(HfTensor *const *weights, HfTensor *const *ids, int count, int64_t padding_idx,
                           HfError *err);

/* ---- products (ops_matmul.c) */
HfTensor *hf_matmul(HfTensor *a, HfTensor *b, HfError *err); /* PyTorch's rules for 1, 2 and more dims */
/* activation(x W^T + bias): x (..., in), weight (out, in), bias (out) or NULL; in_out: x W with weight (in, out) */
HfTensor *hf_linear(HfTensor *x, HfTensor *weight, HfTensor *bias, HfActivation activation, bool in_out, HfError *err);

/* ---- fused layers (ops_layer.c) */
/* norm(residual + dropout(x)); residual, weight, bias may be NULL. Normalises over the last dims that weight
 * covers (`dims`). */
HfTensor *hf_layer_norm(HfTensor *x, HfTensor *residual, HfTensor *weight, HfTensor *bias, int dims,
                        double eps, double dropout, HfError *err);
HfTensor *hf_rms_norm(HfTensor *x, HfTensor *weight, int dims, double eps, HfError *err);
/* x (N, heads, D) with the pairs (i, i + D/2) of each head turned; cosine, sine (N, D/2) */
HfTensor *hf_rotary(HfTensor *x, HfTensor *cosine, HfTensor *sine, HfError *err);

/* Sequences packed one after another, and what attention does over them. cu_*: int32 on the host, count + 1 entries; causal as in
 * HfAttention. */
typedef struct HfSequences {
  int64_t count;
  const int32_t *cu_q, *cu_k;
  int causal;
  double scale, dropout;
} HfSequences;
/* q (Nq, heads, D), k, v (Nk, kv_heads, D), views allowed when heads are D apart */
HfTensor *hf_attention(HfTensor *q, HfTensor *k, HfTensor *v, const HfSequences *sequences, HfError *err);
/* The same of one matrix (N, 3 C) that holds q, k and v side by side: (N, C). Nothing is copied, and it gets one gradient. */
HfTensor *hf_attention_joined(HfTensor *qkv, int64_t heads, const HfSequences *sequences, HfError *err);

/* ---- losses (ops_loss.c) */
typedef enum HfReduction { HF_REDUCE_NONE, HF_REDUCE_MEAN, HF_REDUCE_SUM } HfReduction;
/* logits (..., V) flattened to (N, V), labels (N) int64, weight (V) or NULL. mean divides by the summed
 * weights of the labels that count. */
HfTensor *hf_cross_entropy(HfTensor *logits, HfTensor *labels, HfTensor *weight, int64_t ignore,
                           double smoothing, HfReduction reduction, HfError *err);
/* cross_entropy(x W^T + bias, labels), the logits made and dropped in chunks of rows; rows with label ==
 * ignore are skipped. */
HfTensor *hf_linear_cross_entropy(HfTensor *x, HfTensor *weight, HfTensor *bias, HfTensor *labels,
                                  int64_t ignore, double smoothing, HfReduction reduction, HfError *err);

/* ---- randomness of the tape: the key of the next counter-based dropout, from (seed, step, operation within
 * the step) */
void hf_dropout_seed(uint64_t seed);
void hf_dropout_begin_step(uint64_t step); /* also restarts the operation count */
HfDropoutKey hf_dropout_key(void);
/* How many keys the step has given out; going back to a position gives the same keys again, for
 * recomputation. */
uint64_t hf_dropout_position(void);
void hf_dropout_set_position(uint64_t position);

#endif
