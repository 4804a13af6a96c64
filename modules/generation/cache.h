/* The keys and values of tokens that were computed before, so that a new token is one row of work.
 *
 *   HfKvCache *cache = hf_kv_cache_new(rows, err);
 *   HfTensor *out = hf_kv_cache_attend(cache, layer, q, k, v, cu, scale, err);   // adds k and v, then attends to all of them
 *
 * Each layer holds two tensors (slots, capacity, kv_heads, D) that grow by doubling, on the device of the keys and in their dtype (float32
 * where the device's kernels prefer it). Only real tokens are stored: row b of the batch has length[slot[b]] of them in slot[b],
 * whatever padding stood in front. Beam search reorders rows by changing slots; only a row that two beams continue is copied.
 *
 * Lengths are known on the host. What kernels read of them, the table of the step, lies on the device too: where each new token goes, and
 * which keys each row has. All layers of a step share it, and after a step of one token a row it is made from the last one there,
 * so that the step can be replayed: hf_kv_cache_advance tells the host that it was.
 */
#ifndef HF_GENERATION_CACHE_H
#define HF_GENERATION_CACHE_H
#include "tensor.h"

typedef struct HfKvLayer {
  HfTensor *k, *v;    /* owned; NULL until the first tokens */
  int32_t *length;    /* (slots) tokens in each */
} HfKvLayer;

/* int32 lists one behind the other: first row and number of keys of each row of the batch, place of each new token. */
typedef struct HfKvStep {
  int32_t *host;      /* what `device` holds */
  HfTensor *device;   /* (room) int32; NULL until the first step */
  int64_t count;      /* of numbers; 0: none that count */
} HfKvStep;

typedef struct HfKvCache {
  int64_t rows, layers;
  int32_t *slot;      /* (rows) */
  HfKvLayer *layer;   /* (layers), more as they are first used */
  HfKvStep step;
  int64_t reserved;   /* tokens that a layer has room for from the start */
  bool fixed;         /* launches allow for as many keys as there is room for */
} HfKvCache;

HfKvCache *hf_kv_cache_new(int64_t rows, HfError *err);
void hf_kv_cache_free(HfKvCache *cache);

/* Adds the new tokens of row b, cu[b] .. cu[b+1]-1 of k and v (N, kv_heads, D), to its slot; gives attention of the queries
 * q (N, heads, D), one for each new token, over all keys up to their own, in q's dtype. layer counts from 0. No history is recorded. */
HfTensor *hf_kv_cache_attend(HfKvCache *cache, int64_t layer, HfTensor *q, HfTensor *k, HfTensor *v, const int32_t *cu, double scale, HfError *err);

/* Row i goes on from what row index[i] was; `rows` may be another number of rows than before. */
bool hf_kv_cache_reorder(HfKvCache *cache, const int64_t *index, int64_t rows, HfError *err);

/* Layers get room for `tokens` tokens at least; with `fixed`, what a step queues on the device stays right until one outgrows it. */
void hf_kv_cache_reserve(HfKvCache *cache, int64_t tokens, bool fixed);
/* The device has added one more token to every row of every layer, as the last step did. */
void hf_kv_cache_advance(HfKvCache *cache);
/* How many tokens every row can still take without more room. */
int64_t hf_kv_cache_room(const HfKvCache *cache);

/* Tokens of a row in the first layer. */
int64_t hf_kv_cache_length(const HfKvCache *cache, int64_t row);
/* Takes away what every row has, in any layer, beyond length[row] tokens; also what the host took for done and the device did not do. */
void hf_kv_cache_cut(HfKvCache *cache, const int64_t *length);
/* Takes the last `count` tokens of every row away (no more than there are). */
void hf_kv_cache_drop(HfKvCache *cache, int64_t count);

#endif
