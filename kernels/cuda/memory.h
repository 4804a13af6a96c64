/* What the files of the device's memory, stream and graphs know of each other, and what cuda.cu offers of them to the program. */
#ifndef HF_CUDA_MEMORY_H
#define HF_CUDA_MEMORY_H
#include "cuda_backend.h"

/* ---- blocks.cu */
HfCudaMemory hf_cuda_memory(void);
void hf_cuda_reset_peak(void);
void hf_cuda_empty_cache(void); /* nothing while a graph is recorded: it may not wait */
/* A block that no kernel of the recording has written or will write, unless it is given this address. */
void *hf_cuda_alloc_whole(size_t bytes);

/* The blocks of one graph: all that are given out from open to close, until drop. */
typedef struct HfPool HfPool;
HfPool *hf_cuda_pool_open(void); /* NULL without memory */
void hf_cuda_pool_close(HfPool *pool);
void hf_cuda_pool_drop(HfPool *pool);

/* ---- memory.cu */
/* The stream and all that goes with it; the device is chosen. */
bool hf_cuda_open_memory(void);
HfStatus hf_cuda_synchronize(void);

/* ---- graph.cu */
bool hf_cuda_is_recording(void);
/* For what a graph cannot hold, before it does anything: HF_OK when nothing is recorded. Else the recording is spoiled, and
 * `what`, which ends "graph: the function ...", is kept as the reason. */
HfStatus hf_cuda_refuse(const char *what);
/* hf_cuda_upload while a graph is recorded: the table is the graph's. */
const void *hf_cuda_graph_upload(const void *host, size_t bytes);
/* copy_in while a graph is recorded. */
HfStatus hf_cuda_graph_copy_in(void *device, const void *host, size_t bytes);
#endif
