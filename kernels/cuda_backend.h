/* What hflua_cuda.so offers beside its kernel table. The library is opened at first use (runtime/device.c). */
#ifndef HF_CUDA_BACKEND_H
#define HF_CUDA_BACKEND_H
#include "kernels.h"
#ifdef __cplusplus
extern "C" {
#endif

#define HF_CUDA_BACKEND_VERSION 2

typedef struct HfCudaMemory {
  int64_t allocated, peak_allocated; /* bytes of blocks in use, and the most ever */
  int64_t reserved, peak_reserved;   /* bytes had from the driver: blocks in use and kept for use */
  int64_t in_graphs;                 /* of the reserved: kept for graphs, in no tensor */
  int64_t driver_allocations;        /* calls to the driver */
  int64_t out_of_memory;             /* requests that failed */
  int64_t free_on_device, total_on_device;
} HfCudaMemory;

typedef struct HfCudaBackend {
  int version; /* HF_CUDA_BACKEND_VERSION */
  /* How many devices there are; 0 with the reason in one sentence. */
  int (*device_count)(char *why, size_t size);
  /* The table of device `index`, or NULL with the reason. A process uses one device: asking for a second one fails. */
  const HfKernels *(*open)(int index, char *why, size_t size);
  bool (*device_name)(int index, char *out, size_t size);
  bool (*is_open)(void);
  /* These need an open device. */
  HfStatus (*synchronize)(void);
  HfCudaMemory (*memory)(void);
  void (*reset_peak)(void);
  void (*empty_cache)(void);
} HfCudaBackend;

const HfCudaBackend *hf_cuda_backend(void);
typedef const HfCudaBackend *HfCudaBackendFn(void);

#ifdef __cplusplus
}
#endif
#endif
