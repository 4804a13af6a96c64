/* Shared by the files of kernels/cuda. Each X.cu has the kernels of kernels/cpu/X.c, all static but one function,
 * hf_cuda_fill_X, which puts them into the table (cuda.cu calls them all). nvcc builds the files for the device; g++
 * builds the same files for the host with HF_EMULATION (emulation/emulation.h).
 *
 * Everything is queued on one stream: blocks of memory may be given back as soon as the last kernel that uses them is
 * queued. Nothing here waits for the device except copy_out and synchronize.
 */
#ifndef HF_CUDA_H
#define HF_CUDA_H
#include "kernels.h"
#include "cuda_backend.h"
#if defined(HF_EMULATION)
#include "emulation/emulation.h"
#define HF_UNROLL
#else
#include <cuda_runtime.h>
#include <math.h>
#include <string.h>
#define HF_UNROLL _Pragma("unroll")
#define HF_LAUNCH(kernel, grid, block, shared, stream, ...)            \
  do {                                                                 \
    auto *hf_kernel = kernel;                                          \
    hf_kernel<<<(grid), (block), (shared), (stream)>>>(__VA_ARGS__);   \
    hf_cuda_launched(#kernel);                                         \
  } while (0)
/* Notes for late_error at which launch the first error is noticed: a refused one's own; with HFLUA_CUDA_BLOCKING=1 the failed one's own. */
void hf_cuda_launched(const char *kernel);
/* More dynamic shared memory than every device has; once for each kernel. */
#define HF_ALLOW_SHARED(kernel, bytes)                                                                      \
  do {                                                                                                      \
    static size_t hf_allowed = 48 << 10;                                                                    \
    if ((bytes) > hf_allowed && cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes)) == cudaSuccess) \
      hf_allowed = (bytes);                                                                                 \
  } while (0)
#define HF_DYNAMIC_SHARED(T, name)           \
  extern __shared__ __align__(16) char hf_shared_memory[]; \
  T *name = (T *)hf_shared_memory
static __device__ __forceinline__ int hf_lane(void) { return (int)(threadIdx.x & 31); }
#endif

/* ---- sizes */
static inline __host__ __device__ int64_t hf_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline __host__ __device__ int64_t hf_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline __host__ __device__ int64_t hf_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

enum { HF_BLOCK = 256 }; /* threads of a block that walks elements */

/* Blocks for n elements, one a thread and turn; kernels walk with HF_EACH. */
static inline unsigned hf_grid(int64_t n, int64_t per_block = HF_BLOCK) {
  return (unsigned)hf_min(hf_max(1, hf_ceil_div(n, per_block)), 132 * 32);
}
#define HF_EACH(i, n)                                                                            \
  for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (int64_t)gridDim.x * blockDim.x)
/* Rows shared by the blocks. */
#define HF_EACH_ROW(row, n) for (int64_t row = blockIdx.x; row < (n); row += gridDim.x)
static inline unsigned hf_row_grid(int64_t rows) { return (unsigned)hf_min(hf_max(1, rows), 1 << 20); }

/* ---- the device (memory.cu) */
cudaStream_t hf_cuda_stream(void);
/* What the launches since the last call came to; with HFLUA_CUDA_BLOCKING=1 it waits for them. */
HfStatus hf_cuda_status(void);
/* The same after kernels that check indices: blocking, it says which one was bad. */
HfStatus hf_cuda_checked_status(int64_t *bad);
void *hf_cuda_alloc(size_t bytes);
void hf_cuda_free(void *bytes, size_t size);
/* `bytes` (1 MiB at most) of host memory seen by kernels queued from here on: a device pointer, valid until 64 more uploads
 * with other contents, or NULL. What was uploaded lately is not copied again. */
const void *hf_cuda_upload(const void *host, size_t bytes);

/* Device memory for the kernels of one call. */
struct HfScratch {
  void *data;
  size_t size;
  explicit HfScratch(size_t bytes) : data(bytes ? hf_cuda_alloc(bytes) : nullptr), size(bytes) {}
  ~HfScratch() { if (data) hf_cuda_free(data, size); }
  HfScratch(const HfScratch &) = delete;
  HfScratch &operator=(const HfScratch &) = delete;
};

/* ---- indices found bad by a kernel: the first is kept in a record on the device, read where the host waits anyway. */
enum HfFaultKind { HF_FAULT_NONE, HF_FAULT_INDEX, HF_FAULT_GATHER, HF_FAULT_EMBEDDING, HF_FAULT_LABEL };
struct HfFault {
  int kind, padding;
  int64_t value, limit;
};
HfFault *hf_cuda_fault(void);
static __device__ __forceinline__ void hf_report(HfFault *fault, int kind, int64_t value, int64_t limit) {
  if (atomicCAS(&fault->kind, (int)HF_FAULT_NONE, kind) == HF_FAULT_NONE) fault->value = value, fault->limit = limit;
}
/* Is 0 <= index < n? */
static __device__ __forceinline__ bool hf_checked(HfFault *fault, int kind, int64_t index, int64_t n) {
  if (index >= 0 && index < n) return true;
  hf_report(fault, kind, index, n);
  return false;
}

/* ---- the table */
void hf_cuda_fill_memory(HfKernels *k);
void hf_cuda_fill_elementwise(HfKernels *k);
void hf_cuda_fill_cast(HfKernels *k);
void hf_cuda_fill_broadcast(HfKernels *k);
void hf_cuda_fill_reduce(HfKernels *k);
void hf_cuda_fill_statistics(HfKernels *k);
void hf_cuda_fill_sort(HfKernels *k);
void hf_cuda_fill_softmax(HfKernels *k);
void hf_cuda_fill_index(HfKernels *k);
void hf_cuda_fill_embedding(HfKernels *k);
void hf_cuda_fill_loss(HfKernels *k);
void hf_cuda_fill_norm(HfKernels *k);
void hf_cuda_fill_dropout(HfKernels *k);
void hf_cuda_fill_rotary(HfKernels *k);
void hf_cuda_fill_activation(HfKernels *k);
void hf_cuda_fill_attention(HfKernels *k);
void hf_cuda_fill_matmul(HfKernels *k);
void hf_cuda_fill_optim(HfKernels *k);

#endif
