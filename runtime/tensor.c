/* Tensors: making, sharing, looking, reading and writing numbers. */
#include "tape.h"
#include "memory.h"
#include "layout.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static void set_contiguous(HfTensor *t, int ndim, const int64_t *shape) {
  int64_t step = 1;
  t->ndim = ndim;
  for (int d = ndim - 1; d >= 0; d--) {
    t->shape[d] = shape[d];
    t->stride[d] = step;
    step *= shape[d] > 1 ? shape[d] : 1;
  }
}

bool hf_shape_numel(int ndim, const int64_t *shape, int64_t *out, HfError *err) {
  int64_t n = 1, bytes;
  char text[HF_DESCRIPTION_SIZE];
  for (int d = 0; d < ndim; d++) {
    if (shape[d] < 0)
      return hf_error_set(err, "shape %s: sizes must be 0 or more", hf_shape_describe(ndim, shape, text));
    if (__builtin_mul_overflow(n, shape[d], &n) || __builtin_mul_overflow(n, (int64_t)8, &bytes))
      return hf_error_set(err, "shape %s: too many elements", hf_shape_describe(ndim, shape, text));
  }
  *out = n;
  return true;
}

HfTensor *hf_tensor_over(HfStorage *storage, int64_t offset, HfDtype dtype, int ndim, const int64_t *shape,
                         HfError *err) {
  HfTensor *t = hf_calloc(sizeof *t, "tensor", err);
  if (!t) return NULL;
  hf_storage_retain(storage);
  *t = (HfTensor){.references = 1, .storage = storage, .offset = offset, .dtype = dtype};
  set_contiguous(t, ndim, shape);
  return t;
}

HfTensor *hf_tensor_empty(HfDtype dtype, int ndim, const int64_t *shape, HfDevice *device, HfError *err) {
  int64_t n;
  if (ndim > HF_MAX_DIMS)
    return hf_error_set(err, "tensor: at most %d dims, found %d", HF_MAX_DIMS, ndim), NULL;
  if (!hf_shape_numel(ndim, shape, &n, err)) return NULL;
  HfStorage *storage = hf_storage_new(device, (size_t)n * hf_dtype_size(dtype), err);
  if (!storage) return NULL;
  HfTensor *t = hf_tensor_over(storage, 0, dtype, ndim, shape, err);
  hf_storage_release(storage);
  return t;
}

HfTensor *hf_tensor_zeros(HfDtype dtype, int ndim, const int64_t *shape, HfDevice *device, HfError *err) {
  HfTensor *t = hf_tensor_empty(dtype, ndim, shape, device, err);
  if (t) hf_tensor_kernels(t)->zero(t->storage->data, t->storage->size);
  return t;
}

HfTensor *hf_tensor_full(HfDtype dtype, int ndim, const int64_t *shape, double value, HfDevice *device,
                         HfError *err) {
  HfTensor *t = hf_tensor_empty(dtype, ndim, shape, device, err);
  if (t && !hf_tensor_fill_(t, value, err)) return hf_tensor_release(t), NULL;
  return t;
}

HfTensor *hf_tensor_from(HfDtype dtype, int ndim, const int64_t *shape, const void *host, HfDevice *device,
                         HfError *err) {
  HfTensor *t = hf_tensor_empty(dtype, ndim, shape, device, err);
  if (t && !hf_check(hf_tensor_kernels(t)->copy_in(t->storage->data, host, hf_tensor_bytes(t)),
                     "copy to device", t, err))
    return hf_tensor_release(t), NULL;
  return t;
}

HfTensor *hf_tensor_view(const HfTensor *t, int64_t offset, int ndim, const int64_t *shape,
                         const int64_t *stride, HfError *err) {
  if (ndim > HF_MAX_DIMS)
    return hf_error_set(err, "view: at most %d dims, found %d", HF_MAX_DIMS, ndim), NULL;
  HfTensor *v = hf_tensor_over(t->storage, offset, t->dtype, ndim, shape, err);
  if (v) memcpy(v->stride, stride, (size_t)ndim * sizeof *stride);
  return v;
}

HfTensor *hf_tensor_detach(const HfTensor *t, HfError *err) {
  return hf_tensor_view(t, t->offset, t->ndim, t->shape, t->stride, err);
}

void hf_tensor_retain(HfTensor *t) { t->references++; }

void hf_tensor_release(HfTensor *t) {
  if (!t || --t->references) return;
  HfNode *node = t->node;
  hf_tensor_release(t->grad);
  hf_storage_release(t->storage);
  hf_free(t);
  hf_node_release(node);
}

int64_t hf_tensor_numel(const HfTensor *t) {
  int64_t n = 1;
  for (int d = 0; d < t->ndim; d++) n *= t->shape[d];
  return n;
}

size_t hf_tensor_bytes(const HfTensor *t) { return (size_t)hf_tensor_numel(t) * hf_dtype_size(t->dtype); }

bool hf_tensor_is_contiguous(const HfTensor *t) {
  int64_t step = 1;
  for (int d = t->ndim - 1; d >= 0; d--) {
    if (t->shape[d] == 0) return true;
    if (t->shape[d] != 1 && t->stride[d] != step) return false;
    step *= t->shape[d];
  }
  return true;
}

bool hf_tensor_same_shape(const HfTensor *a, const HfTensor *b) {
  return a->ndim == b->ndim && !memcmp(a->shape, b->shape, (size_t)a->ndim * sizeof *a->shape);
}

HfDevice *hf_tensor_device(const HfTensor *t) { return t->storage->device; }
const HfKernels *hf_tensor_kernels(const HfTensor *t) { return t->storage->device->kernels; }
void *hf_tensor_data(const HfTensor *t) {
  return (char *)t->storage->data + (size_t)t->offset * hf_dtype_size(t->dtype);
}

const char *hf_shape_describe(int ndim, const int64_t *shape, char out[HF_DESCRIPTION_SIZE]) {
  int at = sprintf(out, "[");
  for (int d = 0; d < ndim && d < HF_MAX_DIMS; d++)
    at += sprintf(out + at, d ? ", %" PRId64 : "%" PRId64, shape[d]);
  sprintf(out + at, "]");
  return out;
}

const char *hf_tensor_describe(const HfTensor *t, char out[HF_DESCRIPTION_SIZE]) {
  size_t at = strlen(hf_shape_describe(t->ndim, t->shape, out));
  snprintf(out + at, HF_DESCRIPTION_SIZE - at, " %s %s", hf_dtype_name(t->dtype), hf_tensor_device(t)->name);
  return out;
}

bool hf_check_dim(const char *op, int64_t *dim, int ndim, HfError *err) {
  int64_t limit = ndim ? ndim : 1;
  if (*dim < -limit || *dim >= limit)
    return hf_error_set(err, "%s: dim must be in %" PRId64 " .. %" PRId64 ", found %" PRId64, op, -limit,
                        limit - 1, *dim);
  if (*dim < 0) *dim += limit;
  return true;
}

bool hf_shape_broadcast(int a_ndim, const int64_t *a, int b_ndim, const int64_t *b, int *out_ndim,
                        int64_t *out) {
  int ndim = a_ndim > b_ndim ? a_ndim : b_ndim;
  for (int d = 0; d < ndim; d++) {
    int64_t x = d < ndim - a_ndim ? 1 : a[d - (ndim - a_ndim)];
    int64_t y = d < ndim - b_ndim ? 1 : b[d - (ndim - b_ndim)];
    if (x != y && x != 1 && y != 1) return false;
    out[d] = x == 1 ? y : x;
  }
  *out_ndim = ndim;
  return true;
}

bool hf_check(HfStatus status, const char *op, const HfTensor *t, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  switch (status) {
  case HF_OK:
    return true;
  case HF_UNSUPPORTED:
    return hf_error_set(err, "%s: no %s kernel for %s", op, hf_tensor_device(t)->name,
                        hf_tensor_describe(t, text));
  case HF_NO_MEMORY:
    hf_error_memory(err, op, hf_tensor_bytes(t));
    return hf_error_prefix(err, "%s", hf_tensor_device(t)->name);
  case HF_BAD_INDEX:
    if (hf_tensor_kernels(t)->late_error) return hf_error_set(err, "%s", hf_tensor_kernels(t)->late_error());
    return hf_error_set(err, "%s: index out of range for %s", op, hf_tensor_describe(t, text));
  default: {
    const char *what = hf_tensor_kernels(t)->late_error ? hf_tensor_kernels(t)->late_error() : "";
    return hf_error_set(err, "%s: device %s failed%s%s; restart the program", op, hf_tensor_device(t)->name, *what ? ": " : "", what);
  }
  }
}

bool hf_check_index(HfStatus status, const char *op, const int64_t *bad, int64_t size, const HfTensor *t,
                    HfError *err) {
  if (status != HF_BAD_INDEX) return hf_check(status, op, t, err);
  return hf_error_set(err, "%s: index %" PRId64 " is out of range; expected 0 .. %" PRId64, op, *bad,
                      size - 1);
}

bool hf_tensor_read(const HfTensor *t, void *host, HfError *err) {
  HfTensor *c = NULL;
  if (!hf_tensor_is_contiguous(t)) {
    c = hf_tensor_empty(t->dtype, t->ndim, t->shape, hf_tensor_device(t), err);
    if (!c || !hf_tensor_copy_(c, t, err)) return hf_tensor_release(c), false;
    t = c;
  }
  bool ok = hf_check(hf_tensor_kernels(t)->copy_out(host, hf_tensor_data(t), hf_tensor_bytes(t)),
                     "copy to host", t, err);
  hf_tensor_release(c);
  return ok;
}

bool hf_tensor_item(const HfTensor *t, double *out, int64_t *integer, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (hf_tensor_numel(t) != 1)
    return hf_error_set(err, "item: expected a tensor of one element, found %s", hf_tensor_describe(t, text));
  HfDtype wide = hf_dtype_is_float(t->dtype) ? HF_FLOAT32 : HF_INT64;
  union {
    float f;
    int64_t i;
  } value;
  HfTensor *c = hf_tensor_empty(wide, 0, NULL, hf_tensor_device(t), err);
  bool ok = c != NULL;
  if (ok) {
    HfTensor one = *t; /* the same element seen as a 0-dim tensor */
    one.ndim = 0;
    ok = hf_tensor_copy_(c, &one, err) && hf_tensor_read(c, &value, err);
  }
  hf_tensor_release(c);
  if (!ok) return false;
  *out = wide == HF_FLOAT32 ? (double)value.f : (double)value.i;
  *integer = wide == HF_FLOAT32 ? (int64_t)(isfinite(value.f) ? value.f : 0) : value.i;
  return true;
}

/* Between devices: src is copied to dst's device as it is, then broadcast and converted there. */
static bool copy_across(HfTensor *dst, const HfTensor *src, HfError *err) {
  HfDevice *to = hf_tensor_device(dst), *from = hf_tensor_device(src), *host = hf_device_cpu();
  HfTensor *near = hf_tensor_empty(src->dtype, src->ndim, src->shape, from == host ? to : host, err), *whole = NULL;
  bool ok = near != NULL;
  if (ok && from != host) {
    ok = hf_tensor_read(src, hf_tensor_data(near), err);
  } else if (ok) {
    whole = hf_tensor_empty(src->dtype, src->ndim, src->shape, from, err);
    ok = whole && hf_tensor_copy_(whole, src, err) &&
         hf_check(to->kernels->copy_in(hf_tensor_data(near), hf_tensor_data(whole), hf_tensor_bytes(whole)), "copy", dst, err);
  }
  ok = ok && hf_tensor_copy_(dst, near, err);
  hf_tensor_release(near), hf_tensor_release(whole);
  return ok;
}

bool hf_tensor_copy_(HfTensor *dst, const HfTensor *src, HfError *err) {
  HfLayout layout;
  const HfTensor *operands[] = {dst, src};
  if (!hf_layout_make(&layout, "copy", dst->ndim, dst->shape, operands, 2, err)) return false;
  if (hf_tensor_device(dst) != hf_tensor_device(src)) return copy_across(dst, src, err);
  dst->storage->version++;
  return hf_check(
      hf_tensor_kernels(dst)->cast(hf_tensor_data(dst), dst->dtype, hf_tensor_data(src), src->dtype, &layout),
      "copy", src, err);
}

bool hf_tensor_fill_(HfTensor *dst, double value, HfError *err) {
  HfLayout layout;
  const HfTensor *operands[] = {dst};
  if (!hf_layout_make(&layout, "fill", dst->ndim, dst->shape, operands, 1, err)) return false;
  dst->storage->version++;
  return hf_check(hf_tensor_kernels(dst)->fill(hf_tensor_data(dst), dst->dtype, value, &layout), "fill", dst,
                  err);
}
