/* Storages: refcounted bytes on a device. */
#include "autocast.h"
#include "graph.h"
#include "memory.h"
#include "twin.h"

static int64_t live_storages;
static uint64_t allocated_bytes;

int64_t hf_storage_count(void) { return live_storages; }
uint64_t hf_storage_allocated(void) { return allocated_bytes; }

HfStorage *hf_storage_wrap(HfDevice *device, void *data, size_t size, void (*release)(HfStorage *),
                           void *owner, HfError *err) {
  if (!hf_memory_take(size)) return hf_error_memory(err, device->name, size), NULL;
  HfStorage *s = hf_calloc(sizeof *s, "storage", err);
  if (!s) return hf_memory_give(size), NULL;
  *s = (HfStorage){
      .references = 1, .device = device, .data = data, .size = size, .release = release, .owner = owner};
  s->recording = hf_graph_recording();
  live_storages++;
  return s;
}

HfStorage *hf_storage_new(HfDevice *device, size_t size, HfError *err) {
  void *data = hf_memory_must_fail() ? NULL : device->kernels->alloc(size);
  if (!data) return hf_error_memory(err, device->name, size), NULL;
  HfStorage *s = hf_storage_wrap(device, data, size, NULL, NULL, err);
  if (!s) return device->kernels->free(data, size), NULL;
  allocated_bytes += size;
  device->bytes += (int64_t)size;
  if (device->bytes > device->peak_bytes) device->peak_bytes = device->bytes;
  return s;
}

void hf_storage_changed(HfStorage *s) {
  s->version++;
  hf_graph_note_change(s);
}

void hf_storage_retain(HfStorage *s) { s->references++; }

void hf_storage_release(HfStorage *s) {
  if (!s || --s->references) return;
  live_storages--;
  hf_memory_give(s->size);
  hf_low_copies_free(s);
  hf_twin_free(s);
  if (s->release)
    s->release(s);
  else
    s->device->kernels->free(s->data, s->size), s->device->bytes -= (int64_t)s->size;
  hf_free(s);
}
