/* The keys and values of tokens that were computed before, so that a new token is one row of work.
 *
 *   HfKvCache *cache = hf_kv_cache_new(rows, err);
 *   HfTensor *out = hf_kv_cache_attend(cache, layer, q, k, v, cu, scale, err);   // adds k and v, then attends to all of them
 *
 * Each layer holds two tensors (slots, capacity, kv_heads, D) that grow by doubling. Only real tokens are stored: row b of the
 * batch has length[slot[b]] of them in slot[b], whatever padding stood in front. Beam search reorders rows by changing slots;
 * only a row that two beams continue is copied.
 */
#ifndef HF_GENERATION_CACHE_H
#define HF_GENERATION_CACHE_H
#include "tensor.h"

typedef struct HfKvLayer {
  HfTensor *k, *v;    /* owned; NULL until the first tokens */
  int32_t *length;    /* (slots) tokens in each */
} HfKvLayer;

typedef struct HfKvCache {
  int64_t rows, layers;
  int32_t *slot;      /* (rows) */
  HfKvLayer *layer;   /* (layers), more as they are first used */
} HfKvCache;

HfKvCache *hf_kv_cache_new(int64_t rows, HfError *err);
void hf_kv_cache_free(HfKvCache *cache);

/* Adds the new tokens of row b, cu[b] .. cu[b+1]-1 of k and v (N, kv_heads, D), to its slot; gives attention of the queries
 * q (N, heads, D), one for each new token, over all keys up to their own. layer counts from 0. No history is recorded. */
HfTensor *hf_kv_cache_attend(HfKvCache *cache, int64_t layer, HfTensor *q, HfTensor *k, HfTensor *v, const int32_t *cu, double scale, HfError *err);

/* Row i goes on from what row index[i] was; `rows` may be another number of rows than before. */
bool hf_kv_cache_reorder(HfKvCache *cache, const int64_t *index, int64_t rows, HfError *err);

/* Tokens of a row in the first layer. */
int64_t hf_kv_cache_length(const HfKvCache *cache, int64_t row);
/* Takes the last `count` tokens of every row away (no more than there are). */
void hf_kv_cache_drop(HfKvCache *cache, int64_t count);

#endif
