/* The cache of keys and values; see cache.h. */
#include "cache.h"
#include <inttypes.h>
#include <string.h>
#include "memory.h"

HfKvCache *hf_kv_cache_new(int64_t rows, HfError *err) {
  HfKvCache *cache = hf_calloc(sizeof *cache, "cache", err);
  if (!cache || !(cache->slot = hf_malloc((size_t)rows * sizeof *cache->slot, "cache", err))) return hf_free(cache), NULL;
  cache->rows = rows;
  for (int64_t b = 0; b < rows; b++) cache->slot[b] = (int32_t)b;
  return cache;
}

void hf_kv_cache_free(HfKvCache *cache) {
  if (!cache) return;
  for (int64_t i = 0; i < cache->layers; i++) {
    hf_tensor_release(cache->layer[i].k), hf_tensor_release(cache->layer[i].v);
    hf_free(cache->layer[i].length);
  }
  hf_free(cache->layer), hf_free(cache->slot), hf_free(cache);
}

/* ---- growing */

static bool want_layers(HfKvCache *cache, int64_t layers, HfError *err) {
  if (layers <= cache->layers) return true;
  HfKvLayer *more = hf_realloc(cache->layer, (size_t)layers * sizeof *more, "cache", err);
  if (!more) return false;
  memset(more + cache->layers, 0, (size_t)(layers - cache->layers) * sizeof *more);
  cache->layer = more, cache->layers = layers;
  return true;
}

static int64_t slots_of(const HfKvLayer *l) { return l->k ? l->k->shape[0] : 0; }
static int64_t capacity_of(const HfKvLayer *l) { return l->k ? l->k->shape[1] : 0; }

/* A plain copy of `rows` rows of `width` numbers into the slot of t at token `at`; `from` lies `stride` numbers a row. */
static bool store_rows(HfTensor *t, int64_t slot, int64_t at, const float *from, int64_t rows, int64_t stride, HfError *err) {
  int64_t width = t->shape[2] * t->shape[3];
  float *to = (float *)hf_tensor_data(t) + (slot * t->shape[1] + at) * width;
  HfLayout layout = {.ndim = 2, .shape = {rows, width}, .stride = {{width, 1}, {stride, 1}}};
  if (!rows || !hf_tensor_kernels(t)->cast(to, HF_FLOAT32, from, HF_FLOAT32, &layout)) return true;
  return hf_error_set(err, "cache: copying failed on %s", hf_tensor_device(t)->name);
}

static const float *slot_data(const HfTensor *t, int64_t slot) {
  return (const float *)hf_tensor_data(t) + slot * t->shape[1] * t->shape[2] * t->shape[3];
}

/* A larger tensor with the tokens of the old one. */
static HfTensor *larger(const HfTensor *old, const int32_t *length, const int64_t shape[4], HfDevice *device, HfError *err) {
  HfTensor *t = hf_tensor_empty(HF_FLOAT32, 4, shape, device, err);
  for (int64_t s = 0; t && old && s < old->shape[0]; s++)
    if (!store_rows(t, s, 0, slot_data(old, s), length[s], shape[2] * shape[3], err)) hf_tensor_release(t), t = NULL;
  return t;
}

/* Room for `slots` slots of `tokens` tokens of the shape of `like` (N, kv_heads, D). On failure the layer is as it was. */
static bool want_room(HfKvLayer *l, int64_t slots, int64_t tokens, const int64_t heads_dim[2], HfDevice *device, HfError *err) {
  enum { LEAST = 64 };
  int64_t old_slots = slots_of(l), capacity = capacity_of(l);
  if (slots <= old_slots && tokens <= capacity) return true;
  if (tokens > capacity) capacity = tokens > 2 * capacity ? (tokens + LEAST - 1) / LEAST * LEAST : 2 * capacity;
  if (slots < old_slots) slots = old_slots;
  if (slots > INT32_MAX / capacity) return hf_error_set(err, "cache: %" PRId64 " rows of %" PRId64 " tokens are too many", slots, capacity);
  int64_t shape[4] = {slots, capacity, heads_dim[0], heads_dim[1]};
  int32_t *length = hf_realloc(l->length, (size_t)slots * sizeof *length, "cache", err);
  if (!length) return false;
  for (int64_t s = old_slots; s < slots; s++) length[s] = 0;
  l->length = length;
  HfTensor *k = larger(l->k, length, shape, device, err), *v = k ? larger(l->v, length, shape, device, err) : NULL;
  if (!v) return hf_tensor_release(k), false;
  hf_tensor_release(l->k), hf_tensor_release(l->v);
  l->k = k, l->v = v;
  return true;
}

/* ---- attention */

static bool check_operands(const HfKvCache *cache, const HfKvLayer *l, const HfTensor *q, const HfTensor *k, const HfTensor *v, const int32_t *cu, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  bool fits = q->ndim == 3 && k->ndim == 3 && hf_tensor_same_shape(k, v) && q->shape[0] == k->shape[0] && k->shape[0] == cu[cache->rows] &&
              q->shape[2] == k->shape[2] && k->shape[1] && q->shape[1] % k->shape[1] == 0;
  if (fits && l->k) fits = l->k->shape[2] == k->shape[1] && l->k->shape[3] == k->shape[2] && hf_tensor_device(l->k) == hf_tensor_device(k);
  if (fits) return true;
  return hf_error_set(err, "cache: expected q (N, heads, D) and k, v (N, kv_heads, D) of %d tokens that go with what it holds: q %s, k %s", cu[cache->rows],
                      hf_tensor_describe(q, a), hf_tensor_describe(k, b));
}

/* Adds the new tokens of every row. */
static bool append(HfKvCache *cache, HfKvLayer *l, HfTensor *k, HfTensor *v, const int32_t *cu, HfError *err) {
  int64_t most = 0, slots = cache->rows;
  for (int64_t b = 0; b < cache->rows; b++) {
    int64_t held = cache->slot[b] < slots_of(l) ? l->length[cache->slot[b]] : 0, tokens = held + cu[b + 1] - cu[b];
    most = tokens > most ? tokens : most;
    slots = cache->slot[b] + 1 > slots ? cache->slot[b] + 1 : slots;
  }
  if (!want_room(l, slots, most ? most : 1, k->shape + 1, hf_tensor_device(k), err)) return false;
  for (int64_t b = 0; b < cache->rows; b++) {
    int64_t s = cache->slot[b], count = cu[b + 1] - cu[b];
    const float *from_k = (const float *)hf_tensor_data(k) + cu[b] * k->stride[0], *from_v = (const float *)hf_tensor_data(v) + cu[b] * v->stride[0];
    if (!store_rows(l->k, s, l->length[s], from_k, count, k->stride[0], err) || !store_rows(l->v, s, l->length[s], from_v, count, v->stride[0], err)) return false;
    l->length[s] += (int32_t)count;
  }
  return true;
}

/* Attention of q over the slots. cu_q and the keys' first rows and counts are host lists. */
static HfTensor *attend(const HfKvCache *cache, const HfKvLayer *l, HfTensor *q, const int32_t *cu, double scale, HfError *err) {
  int64_t rows = cache->rows, width = l->k->shape[2] * l->k->shape[3], capacity = capacity_of(l);
  HfTensor *out = hf_tensor_empty(HF_FLOAT32, 3, q->shape, hf_tensor_device(q), err), *lse = out ? hf_tensor_empty(HF_FLOAT32, 2, q->shape, hf_tensor_device(q), err) : NULL;
  int32_t *list = lse ? hf_malloc(2 * (size_t)(rows + 1) * sizeof *list, "cache", err) : NULL;
  if (!list) return hf_tensor_release(out), hf_tensor_release(lse), NULL;
  for (int64_t b = 0; b < rows; b++) list[b] = (int32_t)(cache->slot[b] * capacity), list[rows + 1 + b] = l->length[cache->slot[b]];
  HfAttention a = {.dtype = HF_FLOAT32, .sequences = rows, .heads = q->shape[1], .kv_heads = l->k->shape[2], .head_dim = q->shape[2], .cu_q = cu, .cu_k = list,
                   .key_count = list + rows + 1, .causal = 2, .scale = (float)scale, .q = hf_tensor_data(q), .k = hf_tensor_data(l->k), .v = hf_tensor_data(l->v),
                   .q_stride = q->stride[0], .k_stride = width, .v_stride = width, .out_stride = q->shape[1] * q->shape[2]};
  HfStatus status = hf_tensor_kernels(q)->attention(hf_tensor_data(out), hf_tensor_data(lse), &a);
  hf_free(list), hf_tensor_release(lse);
  if (!status) return out;
  hf_error_set(err, "attention: the kernel of %s failed", hf_tensor_device(q)->name);
  return hf_tensor_release(out), NULL;
}

HfTensor *hf_kv_cache_attend(HfKvCache *cache, int64_t layer, HfTensor *q, HfTensor *k, HfTensor *v, const int32_t *cu, double scale, HfError *err) {
  if (!q || !k || !v || !want_layers(cache, layer + 1, err)) return NULL;
  HfKvLayer *l = &cache->layer[layer];
  if (!check_operands(cache, l, q, k, v, cu, err) || !append(cache, l, k, v, cu, err)) return NULL;
  return attend(cache, l, q, cu, scale, err);
}

/* ---- rows */

/* Copies slot `from` of every layer into slot `to`. */
static bool copy_slot(HfKvCache *cache, int32_t from, int32_t to, HfError *err) {
  for (int64_t i = 0; i < cache->layers; i++) {
    HfKvLayer *l = &cache->layer[i];
    if (from >= slots_of(l)) continue;
    int32_t length = l->length[from];
    if (!want_room(l, to + 1, capacity_of(l), l->k->shape + 2, hf_tensor_device(l->k), err)) return false;
    int64_t width = l->k->shape[2] * l->k->shape[3];
    if (!store_rows(l->k, to, 0, slot_data(l->k, from), length, width, err) || !store_rows(l->v, to, 0, slot_data(l->v, from), length, width, err)) return false;
    l->length[to] = length;
  }
  return true;
}

/* The first row that goes on from a slot keeps it; the others are copied into slots that nobody goes on from. */
static bool assign_slots(HfKvCache *cache, int32_t *slot, bool *taken, const int64_t *index, int64_t rows, HfError *err) {
  for (int64_t i = 0; i < rows; i++) {
    int32_t s = cache->slot[index[i]];
    slot[i] = taken[s] ? -1 : s;
    taken[s] = true;
  }
  for (int64_t i = 0, free_slot = 0; i < rows; i++) {
    if (slot[i] >= 0) continue;
    while (taken[free_slot]) free_slot++;
    if (!copy_slot(cache, cache->slot[index[i]], (int32_t)free_slot, err)) return false;
    taken[free_slot] = true, slot[i] = (int32_t)free_slot;
  }
  return true;
}

bool hf_kv_cache_reorder(HfKvCache *cache, const int64_t *index, int64_t rows, HfError *err) {
  int64_t slots = rows;
  for (int64_t b = 0; b < cache->rows; b++) slots = cache->slot[b] + 1 > slots ? cache->slot[b] + 1 : slots;
  for (int64_t i = 0; i < rows; i++)
    if (index[i] < 0 || index[i] >= cache->rows)
      return hf_error_set(err, "cache: reorder: expected rows below %" PRId64 ", found %" PRId64, cache->rows, index[i]);
  int32_t *slot = hf_malloc((size_t)rows * sizeof *slot, "cache", err);
  bool *taken = slot ? hf_calloc((size_t)(slots + rows), "cache", err) : NULL;
  bool ok = taken && assign_slots(cache, slot, taken, index, rows, err);
  hf_free(taken);
  if (!ok) return hf_free(slot), false;
  hf_free(cache->slot);
  cache->slot = slot, cache->rows = rows;
  return true;
}

int64_t hf_kv_cache_length(const HfKvCache *cache, int64_t row) {
  return cache->layers && cache->slot[row] < slots_of(&cache->layer[0]) ? cache->layer[0].length[cache->slot[row]] : 0;
}

void hf_kv_cache_drop(HfKvCache *cache, int64_t count) {
  for (int64_t i = 0; i < cache->layers; i++)
    for (int64_t s = 0; s < slots_of(&cache->layer[i]); s++) {
      int32_t *length = &cache->layer[i].length[s];
      *length = *length > count ? *length - (int32_t)count : 0;
    }
}
