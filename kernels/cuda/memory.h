/* What cuda.cu offers of memory.cu to the program. */
#ifndef HF_CUDA_MEMORY_H
#define HF_CUDA_MEMORY_H
#include "cuda_backend.h"

/* The stream and all that goes with it; the device is chosen. */
bool hf_cuda_open_memory(void);
HfStatus hf_cuda_synchronize(void);
HfCudaMemory hf_cuda_memory(void);
void hf_cuda_reset_peak(void);
void hf_cuda_empty_cache(void);
int64_t hf_cuda_late_reads(void); /* readback.cu */
#endif
