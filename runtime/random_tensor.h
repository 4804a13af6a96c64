/* PyTorch's random fills on tensors of any float dtype, strides and device: drawn on the host in row order, so that a seed
 * gives the same numbers everywhere. gen NULL: the global generator. No history is recorded. */
#ifndef HF_RANDOM_TENSOR_H
#define HF_RANDOM_TENSOR_H
#include "random.h"
#include "tensor.h"

bool hf_random_normal_(HfTensor *t, double mean, double std, HfRandom *gen, HfError *err);
bool hf_random_uniform_(HfTensor *t, double from, double to, HfRandom *gen, HfError *err);
bool hf_random_trunc_normal_(HfTensor *t, double mean, double std, double low, double high, HfRandom *gen, HfError *err);
bool hf_random_exponential_(HfTensor *t, double lambda, HfRandom *gen, HfError *err);
/* Ones with chance p, any dtype: the keep mask of dropout 1 - p. */
bool hf_random_bernoulli_(HfTensor *t, double p, HfRandom *gen, HfError *err);
/* low <= value < high, any dtype (randint, random_). */
bool hf_random_integers_(HfTensor *t, int64_t low, int64_t high, HfRandom *gen, HfError *err);

/* New tensors. */
HfTensor *hf_random_new_permutation(int64_t n, HfRandom *gen, HfError *err);       /* randperm: (n) int64 */
HfTensor *hf_random_new_bernoulli(const HfTensor *p, HfRandom *gen, HfError *err); /* shape and dtype of p */
/* p (columns) or (rows, columns) -> (samples) or (rows, samples) int64 */
HfTensor *hf_random_new_multinomial(const HfTensor *p, int64_t samples, bool replacement, HfRandom *gen, HfError *err);

#endif
