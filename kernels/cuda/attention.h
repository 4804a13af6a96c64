/* What the attention kernels share: the tables a launch reads, which keys a query sees, and the dropout of a probability. */
#ifndef HF_CUDA_ATTENTION_H
#define HF_CUDA_ATTENTION_H
#include "element.h"

enum { HF_DROPOUT_KEYS = 1 << 20 /* key positions the dropout counter can tell apart */ };

/* HfAttention with its tables on the device. A tile is `tile_rows` rows of one sequence. */
struct HfAttentionTask {
  int heads, kv_heads, head_dim, causal, sequences, tile_rows;
  float scale;
  bool drops;
  HfDropout dropout;
  int64_t q_stride, k_stride, v_stride, out_stride;
  const int32_t *cu_q;               /* (sequences + 1) */
  const int32_t *key_first, *key_count; /* (sequences) */
  const int32_t *sequence_of_tile;   /* (tiles) */
  const int32_t *row_of_tile;        /* (tiles): first row within the sequence */
};

/* The tile of this block. */
struct HfAttentionTile {
  int sequence, first; /* first row within the sequence */
  int64_t query_row, key_row; /* of the sequence in the packed matrices */
  int queries, keys;
};

static __device__ __forceinline__ HfAttentionTile hf_attention_tile(const HfAttentionTask &a, int tile) {
  int s = a.sequence_of_tile[tile];
  return HfAttentionTile{s, a.row_of_tile[tile], a.cu_q[s], a.key_first[s], a.cu_q[s + 1] - a.cu_q[s], a.key_count[s]};
}

/* How many keys, from the first, query i of the sequence sees. */
static __device__ __forceinline__ int hf_visible_keys(const HfAttentionTask &a, const HfAttentionTile &t, int i) {
  if (a.causal == 0) return t.keys;
  int last = a.causal == 1 ? i : i + t.keys - t.queries;
  return last + 1 < 0 ? 0 : last + 1 < t.keys ? last + 1 : t.keys;
}

/* The first query that sees key j. */
static __device__ __forceinline__ int hf_first_query(const HfAttentionTask &a, const HfAttentionTile &t, int j) {
  if (a.causal == 0) return 0;
  int first = a.causal == 1 ? j : j - (t.keys - t.queries);
  return first < 0 ? 0 : first;
}

/* 0 or 1 / (1 - p) */
static __device__ __forceinline__ float hf_attention_factor(const HfAttentionTask &a, int64_t row, int head, int key) {
  return a.drops ? a.dropout(1.0f, ((uint64_t)(row * a.heads + head) << 20) + (uint64_t)key) : 1.0f;
}

static inline int32_t hf_key_count(const HfAttention *a, int64_t b) { return a->key_count ? a->key_count[b] : a->cu_k[b + 1] - a->cu_k[b]; }

/* ---- on the host (attention.cu): tables uploaded; tiles over queries or over keys. The number of tiles, or -1 without
 * memory. */
int64_t hf_attention_task(HfAttentionTask *out, const HfAttention *a, int tile_rows, bool over_keys);

/* Few queries to a cache (attention_few.cu): false where that does not serve. */
bool hf_attention_few(void *out, float *lse, const HfAttention *a, HfStatus *status);
/* The tensor-core kernels (attention_mma.cu), for 16-bit dtypes and head sizes they have: false where they do not serve. */
bool hf_attention_mma(void *out, float *lse, const HfAttention *a, HfStatus *status);
bool hf_attention_mma_backward(void *dq, void *dk, void *dv, const void *dout, const float *lse, const float *delta, const HfAttention *a, HfStatus *status);
#endif
