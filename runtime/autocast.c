/* Autocast: its dtype for each kind of device, and 16-bit copies of what products read. */
#include "autocast.h"
#include <string.h>
#include "graph.h"
#include "memory.h"
#include "ops.h"

static HfDtype cpu_dtype = HF_FLOAT32, device_dtype = HF_FLOAT32;

static HfDtype *setting_of(const HfDevice *device) { return strcmp(device->type, "cpu") ? &device_dtype : &cpu_dtype; }

HfDtype hf_autocast_get(const HfDevice *device) { return *setting_of(device); }

HfDtype hf_autocast_set(const HfDevice *device, HfDtype dtype) {
  HfDtype old = *setting_of(device);
  *setting_of(device) = dtype;
  return old;
}

HfDtype hf_product_dtype(const HfTensor *a, const HfTensor *b) {
  HfDtype set = hf_autocast_get(hf_tensor_device(a));
  if (set != HF_FLOAT32 && hf_dtype_is_float(a->dtype) && hf_dtype_is_float(b->dtype)) return set;
  return a->dtype == b->dtype && hf_dtype_is_float(a->dtype) ? a->dtype : HF_FLOAT32;
}

HfDtype hf_norm_dtype(const HfTensor *x) {
  bool is_cpu = !strcmp(hf_tensor_device(x)->type, "cpu"), is_cast = hf_autocast_get(hf_tensor_device(x)) != HF_FLOAT32;
  return hf_dtype_is_float(x->dtype) && (is_cpu || !is_cast) ? x->dtype : HF_FLOAT32;
}

/* ---- copies of parameters, and of results that several products read. A storage may hold several (a mapped file of weights), told
 * apart by offset and size. */

struct HfLowCopy {
  HfLowCopy *next;
  int64_t offset, count;
  HfDtype from;
  uint64_t version; /* of the storage when the copy was made */
  uint64_t recording; /* the last recording of a graph that makes it */
  HfTensor *copy;   /* owned */
};

/* The entry for t's numbers in dtype, or NULL. */
static HfLowCopy *find(const HfTensor *t, HfDtype dtype) {
  HfLowCopy *c = t->storage->copies;
  while (c && (c->offset != t->offset || c->count != hf_tensor_numel(t) || c->from != t->dtype || c->copy->dtype != dtype)) c = c->next;
  return c;
}

/* t's numbers in dtype, flat; a new tensor without history. */
static HfTensor *converted(HfTensor *t, HfDtype dtype, HfError *err) {
  HfTensor *out = hf_tensor_empty(dtype, t->ndim, t->shape, hf_tensor_device(t), err);
  if (out && !hf_tensor_copy_(out, t, err)) return hf_tensor_release(out), NULL;
  return out;
}

/* Is the copy t's numbers? A graph makes its copies itself, since the numbers are others at each launch; for those who do not
 * record, what a recording would make counts for nothing. */
static bool is_fresh(const HfLowCopy *c, const HfTensor *t) {
  uint64_t recording = hf_graph_recording();
  return hf_tensor_same_shape(c->copy, t) && (recording ? c->recording == recording : c->version == t->storage->version);
}

static void mark_fresh(HfLowCopy *c, const HfTensor *t) {
  uint64_t recording = hf_graph_recording();
  if (recording) c->recording = recording;
  else c->version = t->storage->version;
}

/* Keeps a copy with t's storage. */
static bool keep(HfTensor *t, HfTensor *copy, HfError *err) {
  HfLowCopy *c = hf_calloc(sizeof *c, "autocast", err);
  if (!c) return false;
  *c = (HfLowCopy){t->storage->copies, t->offset, hf_tensor_numel(t), t->dtype, UINT64_MAX, 0, copy};
  mark_fresh(c, t);
  t->storage->copies = c;
  hf_tensor_retain(copy);
  return true;
}

/* Makes the entry's copy anew, in its place unless a graph still holds the old one. */
static bool refresh(HfLowCopy *c, HfTensor *t, HfError *err) {
  if (c->copy->references == 1 && c->copy->storage->references == 1 && hf_tensor_same_shape(c->copy, t)) {
    if (!hf_tensor_copy_(c->copy, t, err)) return false;
  } else {
    HfTensor *copy = converted(t, c->copy->dtype, err);
    if (!copy) return false;
    hf_tensor_release(c->copy);
    c->copy = copy;
  }
  mark_fresh(c, t);
  return true;
}

static HfTensor *kept_copy(HfTensor *t, HfDtype dtype, HfError *err) {
  HfLowCopy *c = find(t, dtype);
  if (!c) {
    HfTensor *copy = converted(t, dtype, err);
    if (copy && !keep(t, copy, err)) return hf_tensor_release(copy), NULL;
    return copy;
  }
  if (!is_fresh(c, t) && !refresh(c, t, err)) return NULL;
  hf_tensor_retain(c->copy);
  return c->copy;
}

HfTensor *hf_low_copy(HfTensor *t, HfDtype dtype, HfError *err) {
  if (t->dtype == dtype && hf_tensor_is_contiguous(t)) return hf_tensor_detach(t, err);
  bool is_kept = t->requires_grad && hf_tensor_is_contiguous(t) && t->dtype != dtype;
  return is_kept ? kept_copy(t, dtype, err) : converted(t, dtype, err);
}

void hf_low_copies_free(HfStorage *storage) {
  while (storage->copies) {
    HfLowCopy *c = storage->copies;
    storage->copies = c->next;
    hf_tensor_release(c->copy);
    hf_free(c);
  }
}
