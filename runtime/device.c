/* The list of devices: the CPU, and those of the CUDA back end, a library that is opened when a CUDA device is first asked
 * for: hflua_cuda.so beside the program, or the file that HFLUA_CUDA_BACKEND names. */
#include "device.h"
#include "graph.h"
#include "library.h"
#include "process_group.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HfDevice cpu = {.type = "cpu", .index = 0, .name = "cpu"};

HfDevice *hf_device_cpu(void) {
  if (!cpu.kernels) cpu.kernels = hf_cpu_kernels();
  return &cpu;
}

static HfDevice *chosen;
HfDevice *hf_device_default(void) { return chosen ? chosen : hf_device_cpu(); }
void hf_device_set_default(HfDevice *device) { chosen = device; }

/* ---- the back end */

enum { WHY_SIZE = 384 };

static struct {
  bool was_tried;
  const HfCudaBackend *found;
  char why[WHY_SIZE]; /* when there is none */
} backend;

static const HfCudaBackend *open_backend(char *why) {
  static const HfLibrary library = {"the CUDA back end", "hflua_cuda.so", "HFLUA_CUDA_BACKEND", "hf_cuda_backend",
                                    "no CUDA toolkit was found when it was built"};
  HfCudaBackendFn *get;
  *(void **)&get = hf_library_open(&library, why, WHY_SIZE);
  const HfCudaBackend *found = get ? get() : NULL;
  if (!found || found->version == HF_CUDA_BACKEND_VERSION) return found;
  return snprintf(why, WHY_SIZE, "hflua_cuda.so belongs to another version of hflua"), NULL;
}

const HfCudaBackend *hf_cuda(HfError *err) {
  if (!backend.was_tried) backend.found = open_backend(backend.why);
  backend.was_tried = true;
  if (!backend.found) hf_error_set(err, "%s", backend.why);
  return backend.found;
}

int hf_cuda_device_count(void) {
  char why[WHY_SIZE];
  const HfCudaBackend *cuda = hf_cuda(NULL);
  return cuda ? cuda->device_count(why, sizeof why) : 0;
}
bool hf_cuda_is_available(void) { return hf_cuda_device_count() > 0; }

/* ---- names */

enum { CUDA_MOST = 64 };
static struct {
  HfDevice device;
  char name[16];
} cuda_devices[CUDA_MOST];

/* The GPU of this process when none is named: one each, shared where there are fewer than processes on the host. */
static int own_cuda_index(void) {
  int local_rank = hf_launched_local_rank(), count = local_rank ? hf_cuda_device_count() : 0;
  return count ? local_rank % count : 0;
}

int hf_cuda_current(void) {
  for (int i = 0; i < CUDA_MOST; i++)
    if (cuda_devices[i].device.kernels) return i;
  return own_cuda_index();
}

/* The number in "cuda", "cuda:3"; -1 for anything else. */
static int cuda_index(const char *name) {
  char *end;
  if (strncmp(name, "cuda", 4)) return -1;
  if (!name[4]) return own_cuda_index();
  if (name[4] != ':' || name[5] < '0' || name[5] > '9') return -1;
  long index = strtol(name + 5, &end, 10);
  return *end || index >= CUDA_MOST ? -1 : (int)index;
}

static HfDevice *find_cuda(const char *name, int index, HfError *err) {
  char why[WHY_SIZE] = "";
  HfDevice *d = &cuda_devices[index].device;
  if (d->kernels) return d;
  const HfCudaBackend *cuda = hf_cuda(NULL);
  const HfKernels *table = cuda ? cuda->open(index, why, sizeof why) : NULL;
  if (!table) return hf_error_set(err, "device '%s': %s; use 'cpu'", name, cuda ? why : backend.why), NULL;
  snprintf(cuda_devices[index].name, sizeof cuda_devices[index].name, "cuda:%d", index);
  *d = (HfDevice){.type = "cuda", .index = index, .name = cuda_devices[index].name, .kernels = table};
  return d;
}

HfDevice *hf_device_find(const char *name, HfError *err) {
  int index = cuda_index(name);
  if (!strcmp(name, "cpu") || !strcmp(name, "cpu:0")) return hf_device_cpu();
  if (index >= 0) return find_cuda(name, index, err);
  return hf_error_set(err, "device '%s': expected 'cpu', 'cuda' or 'cuda:N'", name), NULL;
}

HfDevice *hf_graph_device(void) {
  for (int i = 0; i < CUDA_MOST; i++) {
    HfDevice *d = &cuda_devices[i].device;
    if (d->kernels && d->kernels->graph_begin) return d;
  }
  return NULL;
}

bool hf_device_fault(const char *op, const HfDevice *device, HfError *err) {
  const char *why = device->kernels->device_fault ? device->kernels->device_fault() : "";
  return hf_error_set(err, "%s: device %s failed%s%s%s; restart the program", op, device->name, *why ? " (" : "", why, *why ? ")" : "");
}

int64_t hf_device_live_bytes(void) {
  int64_t bytes = cpu.bytes;
  for (int i = 0; i < CUDA_MOST; i++) bytes += cuda_devices[i].device.bytes;
  return bytes;
}
