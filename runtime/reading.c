/* Readings: numbers on their way from a device. */
#include "reading.h"

static bool check(const HfReading *r, HfStatus status, HfError *err) {
  if (status == HF_OK) return true;
  if (status == HF_BAD_INDEX) return hf_error_set(err, "%s", r->device->kernels->late_error());
  return hf_device_fault("read_later", r->device, err);
}

bool hf_reading_begin(HfReading *r, HfDevice *device, const void *data, size_t size, HfError *err) {
  const HfKernels *k = device->kernels;
  *r = (HfReading){.device = device};
  if (k->read_begin && (r->pending = k->read_begin(data, size))) return true;
  return check(r, k->copy_out(r->bytes, data, size), err);
}

bool hf_reading_finish(HfReading *r, HfError *err) {
  void *pending = r->pending;
  r->pending = NULL;
  return !pending || check(r, r->device->kernels->read_end(r->bytes, pending), err);
}

void hf_reading_drop(HfReading *r) {
  if (r->pending) r->device->kernels->read_end(NULL, r->pending);
  r->pending = NULL;
}
