/* The back end: devices, and the table of the one that is opened. */
#include "cuda.h"
#include "memory.h"
#include "product.h"
#include <stdio.h>

static int opened = -1;

static int device_count(char *why, size_t size) {
  int count = 0;
  cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaSuccess && count > 0) return count;
  if (error == cudaErrorInsufficientDriver)
    snprintf(why, size, "no NVIDIA driver that this build's CUDA can use is installed (nvidia-smi shows the one there is)");
  else if (error == cudaErrorNoDevice || error == cudaSuccess)
    snprintf(why, size, "the NVIDIA driver finds no GPU (CUDA_VISIBLE_DEVICES may hide it)");
  else
    snprintf(why, size, "the NVIDIA driver answers: %s", cudaGetErrorString(error));
  return 0;
}

/* ---- the first kernel that was refused or failed */

static char failure[256];

#if !defined(HF_EMULATION)
void hf_cuda_launched(const char *kernel) {
  cudaError_t error = cudaPeekAtLastError();
  if (error == cudaSuccess && hf_cuda_status() != HF_OK) error = cudaPeekAtLastError();
  if (error != cudaSuccess && !*failure) snprintf(failure, sizeof failure, "noticed at kernel %s: %s", kernel, cudaGetErrorString(error));
}
#endif

static const char *(*bad_index)(void);
static const char *late_error(void) { return *failure ? failure : bad_index(); }

/* ---- the table */

static HfKernels table;
static char table_name[24];

static void fill_table(void) {
  snprintf(table_name, sizeof table_name, "cuda:%d", opened);
  table.name = table_name;
  hf_cuda_fill_memory(&table);
  bad_index = table.late_error, table.late_error = late_error;
  hf_cuda_fill_elementwise(&table);
  hf_cuda_fill_cast(&table);
  hf_cuda_fill_broadcast(&table);
  hf_cuda_fill_reduce(&table);
  hf_cuda_fill_statistics(&table);
  hf_cuda_fill_sort(&table);
  hf_cuda_fill_softmax(&table);
  hf_cuda_fill_index(&table);
  hf_cuda_fill_embedding(&table);
  hf_cuda_fill_loss(&table);
  hf_cuda_fill_norm(&table);
  hf_cuda_fill_dropout(&table);
  hf_cuda_fill_rotary(&table);
  hf_cuda_fill_activation(&table);
  hf_cuda_fill_attention(&table);
  hf_cuda_fill_matmul(&table);
  hf_cuda_fill_optim(&table);
}

static const HfKernels *open_device(int index, char *why, size_t size) {
  if (opened == index) return &table;
  if (opened >= 0) return snprintf(why, size, "this process uses cuda:%d already; one process drives one GPU", opened), nullptr;
  int count = device_count(why, size);
  if (!count) return nullptr;
  if (index >= count) return snprintf(why, size, "there are %d CUDA devices (cuda:0 .. cuda:%d)", count, count - 1), nullptr;
  if (cudaSetDevice(index) != cudaSuccess || !hf_cuda_open_memory())
    return snprintf(why, size, "the device cannot be opened: %s", cudaGetErrorString(cudaGetLastError())), nullptr;
  opened = index;
  fill_table();
  return &table;
}

static bool device_name(int index, char *out, size_t size) {
  cudaDeviceProp p;
  if (cudaGetDeviceProperties(&p, index) != cudaSuccess) return false;
  return snprintf(out, size, "%s", p.name), true;
}

static bool is_open(void) { return opened >= 0; }

extern "C" __attribute__((visibility("default"))) const HfCudaBackend *hf_cuda_backend(void) {
  static const HfCudaBackend backend = {HF_CUDA_BACKEND_VERSION, device_count,   open_device,        device_name, is_open, hf_cuda_tf32, hf_cuda_allow_tf32,
                                        hf_cuda_synchronize,     hf_cuda_memory, hf_cuda_reset_peak, hf_cuda_empty_cache};
  return &backend;
}
