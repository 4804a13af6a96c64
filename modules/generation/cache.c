/* The cache of keys and values; see cache.h. */
#include "cache.h"
#include <inttypes.h>
#include <string.h>
#include "memory.h"
#include "ops.h"

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
  hf_tensor_release(cache->step.device), hf_free(cache->step.host);
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

/* The bytes of a slot, and of a token in it. */
static size_t token_bytes(const HfTensor *t) { return (size_t)(t->shape[2] * t->shape[3]) * hf_dtype_size(t->dtype); }
static char *slot_data(const HfTensor *t, int64_t slot) { return (char *)hf_tensor_data(t) + (size_t)(slot * t->shape[1]) * token_bytes(t); }

/* The first tokens of a slot into a slot of another tensor, or of the same. */
static bool copy_tokens(HfTensor *to, int64_t to_slot, const HfTensor *from, int64_t slot, int64_t tokens, HfError *err) {
  if (!tokens || !hf_tensor_kernels(to)->copy(slot_data(to, to_slot), slot_data(from, slot), (size_t)tokens * token_bytes(to))) return true;
  return hf_error_set(err, "cache: copying failed on %s", hf_tensor_device(to)->name);
}

/* A larger tensor with the tokens of the old one. */
static HfTensor *larger(const HfTensor *old, const int32_t *length, HfDtype dtype, const int64_t shape[4], HfDevice *device, HfError *err) {
  HfTensor *t = hf_tensor_empty(dtype, 4, shape, device, err);
  for (int64_t s = 0; t && old && s < old->shape[0]; s++)
    if (!copy_tokens(t, s, old, s, length[s], err)) hf_tensor_release(t), t = NULL;
  return t;
}

/* Room for `slots` slots of `tokens` tokens, heads_dim: kv_heads, D. On failure the layer is as it was. */
static bool want_room(HfKvLayer *l, int64_t slots, int64_t tokens, const int64_t heads_dim[2], HfDtype dtype, HfDevice *device, HfError *err) {
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
  HfTensor *k = larger(l->k, length, dtype, shape, device, err), *v = k ? larger(l->v, length, dtype, shape, device, err) : NULL;
  if (!v) return hf_tensor_release(k), false;
  hf_tensor_release(l->k), hf_tensor_release(l->v);
  l->k = k, l->v = v;
  return true;
}

/* ---- operands, and room for them */

static bool check_operands(const HfKvCache *cache, const HfKvLayer *l, const HfTensor *q, const HfTensor *k, const HfTensor *v, const int32_t *cu, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  bool fits = q->ndim == 3 && k->ndim == 3 && hf_tensor_same_shape(k, v) && q->shape[0] == k->shape[0] && k->shape[0] == cu[cache->rows] &&
              q->shape[2] == k->shape[2] && k->shape[1] && q->shape[1] % k->shape[1] == 0;
  fits = fits && hf_tensor_device(q) == hf_tensor_device(k) && hf_tensor_device(v) == hf_tensor_device(k);
  if (fits && l->k) fits = l->k->shape[2] == k->shape[1] && l->k->shape[3] == k->shape[2] && hf_tensor_device(l->k) == hf_tensor_device(k);
  if (fits) return true;
  return hf_error_set(err, "cache: expected q (N, heads, D) and k, v (N, kv_heads, D) of %d tokens that go with what it holds: q %s, k %s", cu[cache->rows],
                      hf_tensor_describe(q, a), hf_tensor_describe(k, b));
}

/* Room for the new tokens of every row. */
static bool make_room(HfKvCache *cache, HfKvLayer *l, const HfTensor *k, const int32_t *cu, HfError *err) {
  int64_t most = cache->reserved, slots = cache->rows;
  for (int64_t b = 0; b < cache->rows; b++) {
    int64_t held = cache->slot[b] < slots_of(l) ? l->length[cache->slot[b]] : 0, tokens = held + cu[b + 1] - cu[b];
    most = tokens > most ? tokens : most;
    slots = cache->slot[b] + 1 > slots ? cache->slot[b] + 1 : slots;
  }
  return want_room(l, slots, most ? most : 1, k->shape + 1, k->dtype, hf_tensor_device(k), err);
}

/* ---- the table of a step */

static const int32_t *first_keys(const HfKvCache *cache) { return cache->step.host; }
static const int32_t *key_counts(const HfKvCache *cache) { return cache->step.host + cache->rows; }

/* What the step needs at this layer: first rows and numbers of keys, places of the new tokens. */
static void fill_step(int32_t *list, const HfKvCache *cache, const HfKvLayer *l, const int32_t *cu) {
  int32_t *count = list + cache->rows, *place = count + cache->rows, capacity = (int32_t)capacity_of(l);
  for (int64_t b = 0; b < cache->rows; b++) {
    int32_t slot = cache->slot[b], held = l->length[slot], added = cu[b + 1] - cu[b];
    list[b] = slot * capacity, count[b] = held + added;
    for (int32_t i = 0; i < added; i++) *place++ = slot * capacity + held + i;
  }
}

/* Is `list` that of the last step with one token more in each row? */
static bool is_next_step(const HfKvStep *step, const int32_t *list, int64_t count, int64_t rows) {
  if (step->count != count || count != 3 * rows || memcmp(step->host, list, (size_t)rows * sizeof *list)) return false;
  for (int64_t i = rows; i < count; i++)
    if (list[i] != step->host[i] + 1) return false;
  return true;
}

static bool advance_step(const HfKvStep *step, int64_t rows, HfError *err) {
  HfDevice *device = hf_tensor_device(step->device);
  return !device->kernels->advance((int32_t *)hf_tensor_data(step->device) + rows, 2 * rows) || hf_error_set(err, "cache: advancing failed on %s", device->name);
}

static bool put_step(HfKvStep *step, const int32_t *list, int64_t count, HfDevice *device, HfError *err) {
  if (!step->device || hf_tensor_device(step->device) != device || step->device->shape[0] < count) {
    HfTensor *more = hf_tensor_empty(HF_INT32, 1, &count, device, err);
    if (!more) return false;
    hf_tensor_release(step->device);
    step->device = more;
  }
  if (!device->kernels->copy_in(hf_tensor_data(step->device), list, (size_t)count * sizeof *list)) return true;
  return hf_error_set(err, "cache: copying failed on %s", device->name);
}

/* Makes the device's table that of this layer: usually it is the last layer's, or the last step's grown by one. */
static bool make_step(HfKvCache *cache, const HfKvLayer *l, const int32_t *cu, HfError *err) {
  HfKvStep *step = &cache->step;
  HfDevice *device = hf_tensor_device(l->k);
  int64_t rows = cache->rows, count = 2 * rows + cu[rows];
  int32_t *list = hf_malloc((size_t)count * sizeof *list, "cache", err);
  bool here = step->device && hf_tensor_device(step->device) == device, ok = true;
  if (!list) return false;
  fill_step(list, cache, l, cu);
  if (here && step->count == count && !memcmp(list, step->host, (size_t)count * sizeof *list)) return hf_free(list), true;
  if (here && is_next_step(step, list, count, rows)) ok = advance_step(step, rows, err);
  else ok = put_step(step, list, count, device, err);
  hf_free(step->host);
  step->host = list, step->count = ok ? count : 0;
  return ok;
}

/* ---- attention */

/* The new tokens go where the table says. */
static bool append(HfKvCache *cache, HfKvLayer *l, const HfTensor *k, const HfTensor *v, const int32_t *cu, HfError *err) {
  const int32_t *place = (int32_t *)hf_tensor_data(cache->step.device) + 2 * cache->rows;
  int64_t width = l->k->shape[2] * l->k->shape[3];
  if (hf_tensor_kernels(k)->cache_put(hf_tensor_data(l->k), hf_tensor_data(l->v), hf_tensor_data(k), hf_tensor_data(v), k->dtype, place, cu[cache->rows], width, k->stride[0], v->stride[0]))
    return hf_error_set(err, "cache: copying failed on %s", hf_tensor_device(k)->name);
  for (int64_t b = 0; b < cache->rows; b++) l->length[cache->slot[b]] += cu[b + 1] - cu[b];
  return true;
}

static bool is_one_query_each(const HfKvCache *cache, const int32_t *cu) {
  for (int64_t b = 0; b < cache->rows; b++)
    if (cu[b + 1] - cu[b] != 1) return false;
  return true;
}

/* Attention of q over the slots. */
static HfTensor *attend(const HfKvCache *cache, const HfKvLayer *l, const HfTensor *q, const int32_t *cu, double scale, HfError *err) {
  HfDevice *device = hf_tensor_device(q);
  int64_t width = l->k->shape[2] * l->k->shape[3];
  HfTensor *out = hf_tensor_empty(q->dtype, 3, q->shape, device, err), *lse = out ? hf_tensor_empty(HF_FLOAT32, 2, q->shape, device, err) : NULL;
  if (!lse) return hf_tensor_release(out), NULL;
  HfAttention a = {.dtype = q->dtype, .sequences = cache->rows, .heads = q->shape[1], .kv_heads = l->k->shape[2], .head_dim = q->shape[2], .cu_q = cu, .cu_k = first_keys(cache),
                   .key_count = key_counts(cache), .causal = 2, .scale = (float)scale, .q = hf_tensor_data(q), .k = hf_tensor_data(l->k), .v = hf_tensor_data(l->v),
                   .q_stride = q->stride[0], .k_stride = width, .v_stride = width, .out_stride = q->shape[1] * q->shape[2],
                   .device_keys = is_one_query_each(cache, cu) ? hf_tensor_data(cache->step.device) : NULL, .most_keys = cache->fixed ? capacity_of(l) : 0};
  HfStatus status = device->kernels->attention(hf_tensor_data(out), hf_tensor_data(lse), &a);
  hf_tensor_release(lse);
  if (!status) return out;
  hf_error_set(err, "attention: the kernel of %s failed", device->name);
  return hf_tensor_release(out), NULL;
}

static HfTensor *then(HfTensor *old, HfTensor *next) {
  hf_tensor_release(old);
  return next;
}

/* Of the cache's dtype with heads D apart, in a new reference; a view of a wider matrix is used as it is. */
static HfTensor *head_operand(HfTensor *t, HfDtype dtype, HfError *err) {
  if (t->dtype == dtype && t->ndim == 3 && t->stride[2] == 1 && t->stride[1] == t->shape[2]) return hf_tensor_retain(t), t;
  HfTensor *cast = hf_cast(t, dtype, err);
  return cast ? then(cast, hf_contiguous(cast, err)) : NULL;
}

/* What the layer holds, or will hold of keys like these. */
static HfDtype dtype_of(const HfKvLayer *l, const HfTensor *k) {
  if (l->k) return l->k->dtype;
  return hf_tensor_kernels(k)->wide_cache || !hf_dtype_is_float(k->dtype) ? HF_FLOAT32 : k->dtype;
}

static HfTensor *add_and_attend(HfKvCache *cache, HfKvLayer *l, HfTensor *const in[3], const int32_t *cu, double scale, HfError *err) {
  bool ok = check_operands(cache, l, in[0], in[1], in[2], cu, err) && make_room(cache, l, in[1], cu, err) && make_step(cache, l, cu, err) && append(cache, l, in[1], in[2], cu, err);
  return ok ? attend(cache, l, in[0], cu, scale, err) : NULL;
}

HfTensor *hf_kv_cache_attend(HfKvCache *cache, int64_t layer, HfTensor *q, HfTensor *k, HfTensor *v, const int32_t *cu, double scale, HfError *err) {
  if (!q || !k || !v || !want_layers(cache, layer + 1, err)) return NULL;
  HfKvLayer *l = &cache->layer[layer];
  HfDtype dtype = dtype_of(l, k);
  HfTensor *in[3] = {head_operand(q, dtype, err), head_operand(k, dtype, err), head_operand(v, dtype, err)}, *out = NULL;
  if (in[0] && in[1] && in[2]) out = add_and_attend(cache, l, in, cu, scale, err);
  for (int i = 0; i < 3; i++) hf_tensor_release(in[i]);
  return out ? then(out, hf_cast(out, q->dtype, err)) : NULL;
}

/* ---- rows */

/* At least this many slots in every layer that has tokens. */
static bool want_slots(HfKvCache *cache, int64_t slots, HfError *err) {
  for (int64_t i = 0; i < cache->layers; i++) {
    HfKvLayer *l = &cache->layer[i];
    if (l->k && !want_room(l, slots, capacity_of(l), l->k->shape + 2, l->k->dtype, hf_tensor_device(l->k), err)) return false;
  }
  return true;
}

/* Copies slot `from` of every layer into slot `to`. */
static bool copy_slot(HfKvCache *cache, int32_t from, int32_t to, HfError *err) {
  for (int64_t i = 0; i < cache->layers; i++) {
    HfKvLayer *l = &cache->layer[i];
    if (from >= slots_of(l)) continue;
    int32_t length = l->length[from];
    if (!copy_tokens(l->k, to, l->k, from, length, err) || !copy_tokens(l->v, to, l->v, from, length, err)) return false;
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
  bool ok = taken && want_slots(cache, rows, err) && assign_slots(cache, slot, taken, index, rows, err);
  hf_free(taken);
  if (!ok) return hf_free(slot), false;
  hf_free(cache->slot);
  cache->slot = slot, cache->rows = rows;
  cache->step.count = 0; /* the lists of other rows */
  return true;
}

void hf_kv_cache_reserve(HfKvCache *cache, int64_t tokens, bool fixed) { cache->reserved = tokens, cache->fixed = fixed; }

void hf_kv_cache_advance(HfKvCache *cache) {
  for (int64_t i = 0; i < cache->layers; i++)
    for (int64_t b = 0; b < cache->rows; b++) cache->layer[i].length[cache->slot[b]]++;
  for (int64_t i = cache->rows; i < cache->step.count; i++) cache->step.host[i]++;
}

int64_t hf_kv_cache_room(const HfKvCache *cache) {
  int64_t room = cache->layers ? INT32_MAX : 0;
  for (int64_t i = 0; i < cache->layers; i++)
    for (int64_t b = 0; b < cache->rows; b++) {
      int64_t free = capacity_of(&cache->layer[i]) - (cache->slot[b] < slots_of(&cache->layer[i]) ? cache->layer[i].length[cache->slot[b]] : 0);
      room = free < room ? free : room;
    }
  return room;
}

int64_t hf_kv_cache_length(const HfKvCache *cache, int64_t row) {
  return cache->layers && cache->slot[row] < slots_of(&cache->layer[0]) ? cache->layer[0].length[cache->slot[row]] : 0;
}

void hf_kv_cache_cut(HfKvCache *cache, const int64_t *length) {
  for (int64_t i = 0; i < cache->layers; i++)
    for (int64_t b = 0; b < cache->rows; b++) {
      if (cache->slot[b] >= slots_of(&cache->layer[i])) continue;
      int32_t *held = &cache->layer[i].length[cache->slot[b]];
      if (*held > length[b]) *held = (int32_t)length[b];
    }
  cache->step.count = 0; /* the device may have another table */
}

void hf_kv_cache_drop(HfKvCache *cache, int64_t count) {
  for (int64_t i = 0; i < cache->layers; i++)
    for (int64_t s = 0; s < slots_of(&cache->layer[i]); s++) {
      int32_t *length = &cache->layer[i].length[s];
      *length = *length > count ? *length - (int32_t)count : 0;
    }
}
