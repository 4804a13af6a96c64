/* Means over the GPUs of several processes by NCCL, on a stream of their own beside the one of the kernels. libnccl is opened when
 * processes join; without it, and on the emulated device, the engine takes the way through the memory of the host. */
#include "cuda.h"
#if defined(HF_EMULATION)
void hf_cuda_fill_collective(HfKernels *k) { k->collectives = nullptr; }
#else
#include <dlfcn.h>
#include <stdio.h>

/* ---- what is used of NCCL's interface (version 2) */

struct NcclId { char bytes[HF_COLLECTIVE_ID_BYTES]; };
typedef struct ncclComm *NcclComm;
enum { NCCL_SUCCESS = 0, NCCL_FLOAT32 = 7, NCCL_AVG = 4 };

static struct {
  void *library;
  int (*get_id)(NcclId *);
  int (*init)(NcclComm *, int processes, NcclId id, int rank);
  int (*all_reduce)(const void *in, void *out, size_t n, int type, int op, NcclComm comm, cudaStream_t stream);
  int (*group_start)(void);
  int (*group_end)(void);
  const char *(*error)(int);
} nccl;

static bool find(void *function, const char *name) { return (*(void **)function = dlsym(nccl.library, name)) != nullptr; }

static bool open_library(char *why, size_t size) {
  if (nccl.library) return true;
  void *library = dlopen("libnccl.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!library) library = dlopen("libnccl.so", RTLD_NOW | RTLD_LOCAL);
  if (!library) return snprintf(why, size, "NCCL cannot be opened: %s", dlerror()), false;
  nccl.library = library;
  bool complete = find(&nccl.get_id, "ncclGetUniqueId") && find(&nccl.init, "ncclCommInitRank") && find(&nccl.all_reduce, "ncclAllReduce") &&
                  find(&nccl.group_start, "ncclGroupStart") && find(&nccl.group_end, "ncclGroupEnd") && find(&nccl.error, "ncclGetErrorString");
  if (!complete) nccl.library = nullptr, snprintf(why, size, "libnccl is not NCCL 2");
  return complete;
}

/* ---- the communicator */

static NcclComm comm;
static cudaStream_t exchange_stream;
static cudaEvent_t computed, exchanged;

static bool say(int result, const char *what, char *why, size_t size) {
  if (result != NCCL_SUCCESS) snprintf(why, size, "NCCL: %s: %s", what, nccl.error(result));
  return result == NCCL_SUCCESS;
}

static bool make_id(void *id, char *why, size_t size) { return open_library(why, size) && say(nccl.get_id((NcclId *)id), "ncclGetUniqueId", why, size); }

static bool open_stream(char *why, size_t size) {
  if (cudaStreamCreateWithFlags(&exchange_stream, cudaStreamNonBlocking) == cudaSuccess &&
      cudaEventCreateWithFlags(&computed, cudaEventDisableTiming) == cudaSuccess &&
      cudaEventCreateWithFlags(&exchanged, cudaEventDisableTiming) == cudaSuccess)
    return true;
  return snprintf(why, size, "the device has no room for a second stream"), false;
}

static bool join(const void *id, int rank, int processes, char *why, size_t size) {
  return open_library(why, size) && open_stream(why, size) && say(nccl.init(&comm, processes, *(const NcclId *)id, rank), "ncclCommInitRank", why, size);
}

/* ---- means */

static HfStatus average(float *const *arrays, const int64_t *sizes, int64_t count) {
  if (cudaEventRecord(computed, hf_cuda_stream()) != cudaSuccess || cudaStreamWaitEvent(exchange_stream, computed, 0) != cudaSuccess) return HF_DEVICE_FAULT;
  int result = nccl.group_start();
  for (int64_t i = 0; i < count && result == NCCL_SUCCESS; i++)
    result = nccl.all_reduce(arrays[i], arrays[i], (size_t)sizes[i], NCCL_FLOAT32, NCCL_AVG, comm, exchange_stream);
  int ended = nccl.group_end();
  return result == NCCL_SUCCESS && ended == NCCL_SUCCESS ? HF_OK : HF_DEVICE_FAULT;
}

static HfStatus wait(void) {
  bool ok = cudaEventRecord(exchanged, exchange_stream) == cudaSuccess && cudaStreamWaitEvent(hf_cuda_stream(), exchanged, 0) == cudaSuccess;
  return ok ? hf_cuda_status() : HF_DEVICE_FAULT;
}

static const HfCollectives collectives = {make_id, join, average, wait};

void hf_cuda_fill_collective(HfKernels *k) { k->collectives = &collectives; }
#endif
