/* Twins: host copies of small integer tensors. A twin is a convenience: without memory for one there is none. */
#include "twin.h"
#include "graph.h"
#include "memory.h"

struct HfTwin {
  HfTensor *host; /* contiguous; owned. Element i is element i of the storage */
  uint64_t version, host_version; /* of both storages when they were equal */
};

/* A graph's launches write what was made in its recording, and nobody is told. */
static bool is_steady(const HfStorage *s) { return !s->recording || s->recording == hf_graph_recording(); }

bool hf_twin_is_wanted(const HfTensor *t) {
  return is_steady(t->storage) && t->storage->device != hf_device_cpu() && !hf_dtype_is_float(t->dtype) && t->storage->size <= HF_TWIN_MOST && t->offset == 0 &&
         hf_tensor_bytes(t) == t->storage->size && hf_tensor_is_contiguous(t);
}

void hf_twin_keep(HfTensor *t, const HfTensor *host) {
  HfError none;
  if (!hf_twin_is_wanted(t)) return;
  hf_twin_free(t->storage);
  HfTwin *twin = hf_calloc(sizeof *twin, "twin", &none);
  if (!twin) return;
  *twin = (HfTwin){hf_tensor_detach(host, &none), t->storage->version, host->storage->version};
  if (twin->host) t->storage->twin = twin;
  else hf_free(twin);
}

HfTensor *hf_twin_of(const HfTensor *t) {
  HfError none;
  const HfTwin *twin = t->storage->twin;
  if (!twin || !is_steady(t->storage) || hf_graph_recording_is_strict()) return NULL;
  if (twin->version != t->storage->version || twin->host_version != twin->host->storage->version || twin->host->dtype != t->dtype) return NULL;
  hf_graph_note_read(t->storage);
  return hf_tensor_view(twin->host, twin->host->offset + t->offset, t->ndim, t->shape, t->stride, &none);
}

void hf_twin_free(HfStorage *storage) {
  if (!storage->twin) return;
  hf_tensor_release(storage->twin->host);
  hf_free(storage->twin);
  storage->twin = NULL;
}
