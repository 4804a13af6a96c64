/* Gradients averaged over processes, bucket by bucket, behind the backward. */
#include "gradient_exchange.h"
#include "memory.h"
#include "tape.h"
#include <pthread.h>
#include <stdio.h>
#include <string.h>

/* Parameters first .. last of the list (reversed: the first bucket holds the last parameters). */
typedef struct Bucket {
  int first, last;
  int open;        /* parameters whose gradient is not final */
  int64_t numbers; /* of the gradients */
  float *flat;     /* in `memory`: the gradients, then for each parameter whether it has one; NULL on a device with collectives */
} Bucket;

struct HfGradientExchange {
  const HfProcessGroup *group;
  HfTensor **parameters; /* (count), owned */
  int *bucket_of;        /* (count) */
  bool *is_final;        /* (count), since begin */
  uint8_t *present;      /* (count) with collectives: has a gradient, in some process */
  Bucket *buckets;
  float *memory;
  int count, bucket_count;
  int sent, overlapped;  /* buckets handed on; those of the last step that were before finish */
  bool registered; /* in the parameters' `watched` */
  bool watching, touched_twice, failed;
  const HfCollectives *collectives; /* NULL: through the host */
  char detour[256];
  HfError error;         /* when failed */
  /* the thread */
  pthread_t thread;
  pthread_mutex_t lock;
  pthread_cond_t changed;
  bool has_thread, ends;
  int queued, done; /* buckets that the thread may sum, and has summed */
};

/* ---- making */

static void lay_out(HfGradientExchange *x, size_t bucket_bytes) {
  Bucket *b = NULL;
  for (int i = x->count - 1; i >= 0; i--) {
    if (!b || (size_t)b->numbers * sizeof(float) >= bucket_bytes) {
      b = &x->buckets[x->bucket_count++];
      b->last = i;
    }
    b->first = i, b->numbers += hf_tensor_numel(x->parameters[i]);
    x->bucket_of[i] = x->bucket_count - 1;
  }
}

static int64_t flat_size(const Bucket *b) { return b->numbers + b->last - b->first + 1; }

static bool make_flat(HfGradientExchange *x, HfError *err) {
  int64_t at = 0, total = 0;
  if (x->collectives) return true;
  for (int k = 0; k < x->bucket_count; k++) total += flat_size(&x->buckets[k]);
  if (!(x->memory = hf_malloc((size_t)total * sizeof(float), "gradient exchange", err))) return false;
  for (int k = 0; k < x->bucket_count; at += flat_size(&x->buckets[k++])) x->buckets[k].flat = x->memory + at;
  return true;
}

/* The one device of all parameters, or NULL. */
static HfDevice *common_device(const HfGradientExchange *x) {
  HfDevice *device = hf_tensor_device(x->parameters[0]);
  for (int i = 1; i < x->count; i++)
    if (hf_tensor_device(x->parameters[i]) != device) return NULL;
  return device;
}

/* ok in every process? */
static bool everywhere(const HfProcessGroup *group, bool ok) {
  uint8_t all = ok;
  if (group->transport) group->transport->all_reduce(HF_CHANNEL_MAIN, &all, 1, HF_UINT8, HF_MIN);
  return all;
}

/* Joins the device's collectives, in all processes or in none; once in a process. */
static bool join_collectives(const HfProcessGroup *group, const HfCollectives *c, char *why, size_t size) {
  static const HfCollectives *joined;
  uint8_t id[HF_COLLECTIVE_ID_BYTES] = {0};
  if (everywhere(group, joined && joined == c)) return true;
  if (!everywhere(group, c != NULL)) return snprintf(why, size, "the device has none"), false;
  if (!everywhere(group, c->make_id(id, why, size))) return false;
  if (group->transport) group->transport->broadcast(id, sizeof id, 0);
  if (!everywhere(group, c->join(id, group->rank, group->size, why, size))) return false;
  return joined = c, true;
}

bool hf_average_on_device(HfTensor *t, HfError *err) {
  const HfProcessGroup *group = hf_process_group(err);
  const HfCollectives *c = hf_tensor_kernels(t)->collectives;
  char why[256] = "another process cannot use them";
  if (!group) return false;
  if (t->dtype != HF_FLOAT32 || !hf_tensor_is_contiguous(t)) return hf_error_set(err, "average on the device: expected contiguous float32 numbers");
  if (!join_collectives(group, c, why, sizeof why)) return hf_error_set(err, "collectives of %s: %s", hf_tensor_device(t)->name, why);
  float *numbers = hf_tensor_data(t);
  bool ok = c->average(&numbers, &(int64_t){hf_tensor_numel(t)}, 1) == HF_OK && c->wait() == HF_OK;
  hf_storage_changed(t->storage);
  return ok || hf_error_set(err, "collectives of %s: the device failed", hf_tensor_device(t)->name);
}

static void choose_way(HfGradientExchange *x) {
  HfDevice *device = common_device(x);
  const HfCollectives *c = device ? device->kernels->collectives : NULL;
  snprintf(x->detour, sizeof x->detour, "another process cannot use them");
  if (x->group->size > 1 && join_collectives(x->group, c, x->detour, sizeof x->detour)) x->collectives = c;
}

static bool check_parameters(const HfGradientExchange *x, HfError *err) {
  for (int i = 0; i < x->count; i++)
    if (x->parameters[i]->watched) return hf_error_set(err, "gradient exchange: parameter %d is in another one already", i + 1);
  return true;
}

HfGradientExchange *hf_gradient_exchange_new(HfTensor *const *parameters, int count, size_t bucket_bytes, HfError *err) {
  const HfProcessGroup *group = hf_process_group(err);
  if (!group) return NULL;
  if (count < 1) return hf_error_set(err, "gradient exchange: there is no parameter"), NULL;
  size_t n = (size_t)count;
  HfGradientExchange *x = hf_calloc(sizeof *x + n * (sizeof(HfTensor *) + sizeof(Bucket) + sizeof(int) + 2), "gradient exchange", err);
  if (!x) return NULL;
  x->group = group, x->count = count;
  x->buckets = (Bucket *)(x + 1);
  x->parameters = (HfTensor **)(x->buckets + n);
  x->bucket_of = (int *)(x->parameters + n);
  x->present = (uint8_t *)(x->bucket_of + n);
  x->is_final = (bool *)(x->present + n);
  memcpy(x->parameters, parameters, n * sizeof *parameters);
  for (int i = 0; i < count; i++) hf_tensor_retain(parameters[i]);
  pthread_mutex_init(&x->lock, NULL);
  pthread_cond_init(&x->changed, NULL);
  lay_out(x, bucket_bytes);
  choose_way(x);
  if (!check_parameters(x, err) || !make_flat(x, err)) return hf_gradient_exchange_release(x), NULL;
  for (int i = 0; i < count; i++) parameters[i]->watched = i + 1;
  x->registered = true;
  return x;
}

/* ---- the thread: sums what is queued, in order */

static void sum_bucket(HfGradientExchange *x, Bucket *b, HfChannel channel) {
  x->group->transport->all_reduce(channel, b->flat, flat_size(b), HF_FLOAT32, HF_SUM);
  float share = 1.0f / (float)x->group->size;
  for (int64_t i = 0; i < b->numbers; i++) b->flat[i] *= share;
}

static void *run_thread(void *data) {
  HfGradientExchange *x = data;
  pthread_mutex_lock(&x->lock);
  while (!x->ends) {
    if (x->done == x->queued) {
      pthread_cond_wait(&x->changed, &x->lock);
      continue;
    }
    pthread_mutex_unlock(&x->lock);
    sum_bucket(x, &x->buckets[x->done], HF_CHANNEL_BACKGROUND);
    pthread_mutex_lock(&x->lock);
    x->done++;
    pthread_cond_broadcast(&x->changed);
  }
  pthread_mutex_unlock(&x->lock);
  return NULL;
}

static void queue_bucket(HfGradientExchange *x) {
  if (!x->has_thread) x->has_thread = x->group->transport->threaded && !pthread_create(&x->thread, NULL, run_thread, x);
  pthread_mutex_lock(&x->lock);
  x->queued++;
  pthread_cond_broadcast(&x->changed);
  pthread_mutex_unlock(&x->lock);
}

/* Until everything queued is summed. */
static void wait_for_thread(HfGradientExchange *x) {
  pthread_mutex_lock(&x->lock);
  while (x->has_thread && x->done < x->queued) pthread_cond_wait(&x->changed, &x->lock);
  pthread_mutex_unlock(&x->lock);
}

static void sum_all(HfGradientExchange *x) {
  wait_for_thread(x);
  for (int k = 0; k < x->bucket_count && !x->has_thread; k++) sum_bucket(x, &x->buckets[k], HF_CHANNEL_MAIN);
}

/* ---- handing buckets on */

static bool fail(HfGradientExchange *x, const char *what) {
  if (!x->failed) hf_error_set(&x->error, "gradient exchange: %s", what);
  x->failed = true;
  return false;
}

static bool is_plain(const HfTensor *g, const HfTensor *p) {
  return g->dtype == HF_FLOAT32 && hf_tensor_is_contiguous(g) && hf_tensor_numel(g) == hf_tensor_numel(p) && hf_tensor_device(g) == hf_tensor_device(p);
}

/* Copies the gradients of a bucket into its host memory; this waits for the device. */
static void fill_flat(HfGradientExchange *x, Bucket *b) {
  float *at = b->flat;
  for (int i = b->first; i <= b->last; i++) {
    HfTensor *p = x->parameters[i], *g = p->grad;
    size_t bytes = (size_t)hf_tensor_numel(p) * sizeof(float);
    if (!g) memset(at, 0, bytes);
    else if (!is_plain(g, p)) fail(x, "a gradient is not plain float32 numbers on its parameter's device");
    else if (hf_tensor_kernels(g)->copy_out(at, hf_tensor_data(g), bytes) != HF_OK) fail(x, "the device failed");
    at += hf_tensor_numel(p);
  }
  for (int i = b->first; i <= b->last; i++) *at++ = x->parameters[i]->grad != NULL;
}

/* Parameters without a gradient get zeros, so that the processes add up arrays of equal sizes. */
static bool have_gradients(HfGradientExchange *x, const Bucket *b) {
  for (int i = b->first; i <= b->last; i++) {
    HfTensor *p = x->parameters[i];
    x->present[i] = p->grad != NULL;
    if (!p->grad) p->grad = hf_tensor_zeros(HF_FLOAT32, p->ndim, p->shape, hf_tensor_device(p), &x->error);
    if (!p->grad) return x->failed = true, false;
    if (!is_plain(p->grad, p)) return fail(x, "a gradient is not plain float32 numbers on its parameter's device");
  }
  return true;
}

static void average_on_device(HfGradientExchange *x, Bucket *b) {
  float *arrays[64];
  int64_t sizes[64], n = 0;
  if (!have_gradients(x, b)) return;
  for (int i = b->first; i <= b->last; i++) {
    arrays[n] = hf_tensor_data(x->parameters[i]->grad), sizes[n++] = hf_tensor_numel(x->parameters[i]);
    if (n < 64 && i < b->last) continue;
    if (x->collectives->average(arrays, sizes, n) != HF_OK) fail(x, "the device failed");
    n = 0;
  }
}

static void send(HfGradientExchange *x) {
  Bucket *b = &x->buckets[x->sent++];
  if (x->collectives) average_on_device(x, b);
  else fill_flat(x, b), queue_bucket(x);
}

/* The watcher: buckets go in order, the same in all processes. */
static void on_final(void *data, HfTensor *leaf) {
  HfGradientExchange *x = data;
  int i = leaf->watched - 1;
  if (i < 0 || i >= x->count || x->parameters[i] != leaf) return;
  if (x->is_final[i]) {
    x->touched_twice |= x->bucket_of[i] < x->sent;
    return;
  }
  x->is_final[i] = true;
  x->buckets[x->bucket_of[i]].open--;
  while (x->sent < x->bucket_count && !x->buckets[x->sent].open) send(x);
}

static void reset(HfGradientExchange *x) {
  wait_for_thread(x);
  pthread_mutex_lock(&x->lock);
  x->queued = x->done = 0;
  pthread_mutex_unlock(&x->lock);
  x->sent = 0;
  for (int k = 0; k < x->bucket_count; k++) x->buckets[k].open = x->buckets[k].last - x->buckets[k].first + 1;
  memset(x->is_final, 0, (size_t)x->count);
  x->watching = x->touched_twice = x->failed = false;
}

void hf_gradient_exchange_begin(HfGradientExchange *x) {
  if (x->group->size == 1) return;
  reset(x);
  x->watching = x->group->transport->threaded || x->collectives;
  if (x->watching) hf_tape_watch(on_final, x);
}

/* ---- the end of a step */

static HfTensor *gradient_of(HfGradientExchange *x, HfTensor *p) {
  if (!p->grad) p->grad = hf_tensor_empty(HF_FLOAT32, p->ndim, p->shape, hf_tensor_device(p), &x->error);
  x->failed |= !p->grad;
  return p->grad;
}

static void drop_gradient(HfTensor *p) {
  hf_tensor_release(p->grad);
  p->grad = NULL;
}

/* The means of a bucket go back to where the gradients are. */
static void empty_flat(HfGradientExchange *x, Bucket *b) {
  const float *at = b->flat, *present = b->flat + b->numbers;
  for (int i = b->first; i <= b->last; at += hf_tensor_numel(x->parameters[i++])) {
    HfTensor *p = x->parameters[i], *g = *present++ > 0 ? gradient_of(x, p) : NULL;
    if (!g || !is_plain(g, p)) continue;
    if (hf_tensor_kernels(g)->copy_in(hf_tensor_data(g), at, (size_t)hf_tensor_numel(p) * sizeof(float)) != HF_OK) fail(x, "the device failed");
    hf_storage_changed(g->storage);
  }
}

static void wait_for_device(HfGradientExchange *x) {
  x->group->transport->all_reduce(HF_CHANNEL_MAIN, x->present, x->count, HF_UINT8, HF_MAX);
  if (x->collectives->wait() != HF_OK) fail(x, "the device failed");
  for (int i = 0; i < x->count && !x->failed; i++) {
    if (!x->present[i]) drop_gradient(x->parameters[i]);
    else hf_storage_changed(x->parameters[i]->grad->storage);
  }
}

bool hf_gradient_exchange_finish(HfGradientExchange *x, HfError *err) {
  if (x->group->size == 1) return true;
  if (x->watching) hf_tape_watch(NULL, NULL);
  else reset(x);
  x->watching = false, x->overlapped = x->sent;
  while (x->sent < x->bucket_count) send(x);
  if (x->collectives) wait_for_device(x);
  else sum_all(x);
  for (int k = 0; k < x->bucket_count && !x->collectives; k++) empty_flat(x, &x->buckets[k]);
  if (x->touched_twice)
    fail(x, "a gradient changed after its exchange had begun: one backward a step may follow the beginning; add up the losses first");
  if (x->failed && err) *err = x->error;
  return !x->failed;
}

int hf_gradient_exchange_buckets(const HfGradientExchange *x) { return x->bucket_count; }
int hf_gradient_exchange_overlapped(const HfGradientExchange *x) { return x->overlapped; }
const char *hf_gradient_exchange_detour(const HfGradientExchange *x) { return x->collectives ? NULL : x->detour; }

/* False when the thread is in the middle of an exchange, whose other processes may never come. */
static bool end_thread(HfGradientExchange *x) {
  if (!x->has_thread) return true;
  pthread_mutex_lock(&x->lock);
  bool idle = x->done == x->queued;
  x->ends = true;
  pthread_cond_broadcast(&x->changed);
  pthread_mutex_unlock(&x->lock);
  if (idle) pthread_join(x->thread, NULL);
  else pthread_detach(x->thread);
  return idle;
}

void hf_gradient_exchange_release(HfGradientExchange *x) {
  if (!x) return;
  if (x->watching) hf_tape_watch(NULL, NULL);
  for (int i = 0; i < x->count; i++) {
    if (x->registered) x->parameters[i]->watched = 0;
    hf_tensor_release(x->parameters[i]);
  }
  if (!end_thread(x)) return; /* the thread keeps what it works on */
  pthread_mutex_destroy(&x->lock);
  pthread_cond_destroy(&x->changed);
  hf_free(x->memory);
  hf_free(x);
}
