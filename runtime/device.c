/* The list of devices. The CPU is always there; the CUDA back end adds its own when it is opened. */
#include "tensor.h"
#include <string.h>

static HfDevice cpu = {.type = "cpu", .index = 0, .name = "cpu"};

HfDevice *hf_device_cpu(void) {
  if (!cpu.kernels) cpu.kernels = hf_cpu_kernels();
  return &cpu;
}

bool hf_cuda_is_available(void) { return hf_cuda_device_count() > 0; }
int hf_cuda_device_count(void) { return 0; }

HfDevice *hf_device_find(const char *name, HfError *err) {
  if (!strcmp(name, "cpu") || !strcmp(name, "cpu:0")) return hf_device_cpu();
  if (!strncmp(name, "cuda", 4))
    hf_error_set(err, "device '%s': this build has no CUDA back end; use 'cpu'", name);
  else
    hf_error_set(err, "device '%s': expected 'cpu', 'cuda' or 'cuda:N'", name);
  return NULL;
}
