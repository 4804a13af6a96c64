/* CUDA's language on the host, so that g++ builds the .cu files and every kernel can be tested without a GPU: thread
 * coordinates, __syncthreads and warp shuffles by fibers, atomics, shared memory, and as much of the runtime's interface as
 * the back end calls. Device memory is a region that the host may touch only inside a launch: anything above the kernels
 * that reads or writes a device pointer faults at once.
 */
#ifndef HF_EMULATION_H
#define HF_EMULATION_H
#include <functional>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define __global__ static
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __shared__ static
#define __constant__ static
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
extern dim3 threadIdx, blockIdx, blockDim, gridDim;
enum { warpSize = 32 };

/* ---- threads of a block, and what they wait for (fibers.cpp) */
typedef void HfEmulatedKernel(void *context);
void hf_emulate(HfEmulatedKernel *kernel, void *context, dim3 grid, dim3 block, size_t shared, const char *name);
void *hf_emulated_shared(void); /* the dynamic shared memory of the running block */
void __syncthreads(void);
/* Every lane of the warp leaves 16 bytes at most and gets lane `from`'s. */
void hf_emulated_shuffle(void *out, const void *in, size_t size, int from);
/* Every lane leaves `size` bytes (64 at most) and sees those of all 32: valid until its next exchange. */
const char *hf_emulated_exchange(const void *in, size_t size);
enum { HF_EXCHANGE_BYTES = 64 };
static inline int hf_lane(void) { return (int)((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32); }

template <class T> T hf_shuffle(T value, int from) {
  T out;
  hf_emulated_shuffle(&out, &value, sizeof value, from);
  return out;
}
template <class T> T __shfl_sync(unsigned, T v, int from) { return hf_shuffle(v, from & 31); }
template <class T> T __shfl_xor_sync(unsigned, T v, int mask) { return hf_shuffle(v, hf_lane() ^ mask); }
template <class T> T __shfl_up_sync(unsigned, T v, int by) { int l = hf_lane(); return hf_shuffle(v, l >= by ? l - by : l); }
template <class T> T __shfl_down_sync(unsigned, T v, int by) { int l = hf_lane(); return hf_shuffle(v, l + by < 32 ? l + by : l); }
static inline void __syncwarp(unsigned = ~0u) { hf_shuffle(0, 0); }
static inline unsigned __ballot_sync(unsigned, int predicate) {
  const char *all = hf_emulated_exchange(&predicate, sizeof predicate);
  unsigned bits = 0;
  for (int l = 0; l < 32; l++) bits |= (unsigned)(*(const int *)(all + l * HF_EXCHANGE_BYTES) != 0) << l;
  return bits;
}
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline void __threadfence(void) {}

/* Copies that a thread queues in groups and waits for: the target holds NaN until the wait that ends the copy. from NULL: zeros. */
void hf_emulated_queue_copy(void *to, const void *from, size_t size);
void hf_emulated_commit_copies(void);
void hf_emulated_wait_copies(int pending);

/* ---- atomics: threads take turns only where they wait, so plain operations will do */
template <class T> T atomicAdd(T *at, T value) { T old = *at; *at = old + value; return old; }
template <class T> T atomicMax(T *at, T value) { T old = *at; if (value > old) *at = value; return old; }
template <class T> T atomicCAS(T *at, T expected, T value) { T old = *at; if (old == expected) *at = value; return old; }

static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }

/* ---- the runtime (runtime.cpp, graphs.cpp) */
enum cudaError_t {
  cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2, cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100,
  cudaErrorInvalidResourceHandle = 400, cudaErrorIllegalState = 401, cudaErrorStreamCaptureUnsupported = 900, cudaErrorStreamCaptureInvalidated = 901,
  cudaErrorCapturedEvent = 907
};
enum cudaMemcpyKind { cudaMemcpyHostToDevice = 1, cudaMemcpyDeviceToHost = 2, cudaMemcpyDeviceToDevice = 3 };
typedef struct HfEmulatedStream *cudaStream_t;
typedef struct HfEmulatedEvent *cudaEvent_t;
enum { cudaStreamNonBlocking = 1, cudaEventDisableTiming = 2 };
struct cudaDeviceProp { char name[256]; size_t totalGlobalMem; int multiProcessorCount, major, minor; };

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int device);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *bytes);
cudaError_t cudaMemGetInfo(size_t *free, size_t *total);
cudaError_t cudaMallocHost(void **out, size_t bytes);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream);
const char *cudaGetErrorString(cudaError_t error);
static inline cudaError_t cudaSetDevice(int) { return cudaSuccess; }
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s);
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaPeekAtLastError(void);
cudaError_t cudaGetLastError(void);

/* ---- capture: what is queued on the stream is kept in place of being done, and what waits for it fails as on a device */
typedef struct HfEmulatedGraph *cudaGraph_t;
typedef struct HfEmulatedExec *cudaGraphExec_t;
typedef struct HfEmulatedNode *cudaGraphNode_t;
enum cudaStreamCaptureMode { cudaStreamCaptureModeGlobal, cudaStreamCaptureModeThreadLocal, cudaStreamCaptureModeRelaxed };
cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out);
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *count); /* nodes NULL: the count alone */
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long flags = 0);
cudaError_t cudaGraphDestroy(cudaGraph_t g);
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e);

/* Does this work at once, or keeps it for the launches of the graph that the stream is recording. Everything that stands in for
 * work on the device goes through it. */
typedef std::function<void()> HfEmulatedWork;
bool hf_emulated_is_capturing(cudaStream_t s);
void hf_emulated_keep(cudaStream_t s, HfEmulatedWork work);
template <class F> void hf_emulated_submit(cudaStream_t s, F work) {
  if (hf_emulated_is_capturing(s)) hf_emulated_keep(s, HfEmulatedWork(work));
  else work();
}
/* For runtime.cpp: an error that stays until it is read; what a call that CUDA forbids during a capture comes to. */
cudaError_t hf_emulated_fail(cudaError_t error);
cudaError_t hf_emulated_forbidden(cudaStream_t s); /* cudaSuccess when s does not capture */
cudaError_t hf_emulated_unsafe(void);              /* of calls that only a relaxed capture allows */
bool hf_emulated_is_replaying(void);

/* Host code that stands in for a library call on the device: opens the region while it lives. */
struct HfDeviceAccess {
  HfDeviceAccess();
  ~HfDeviceAccess();
};

/* Is every pointer that a kernel is given on the device? Checked at launches while the region is guarded. */
void hf_emulated_check_pointer(const void *pointer, const char *kernel);
template <class T> void hf_check_argument(const T &, const char *) {}
template <class T> void hf_check_argument(T *const &p, const char *kernel) { hf_emulated_check_pointer((const void *)p, kernel); }
template <class... A> void hf_check_arguments(const char *kernel, const A &...a) {
  int unused[] = {0, (hf_check_argument(a, kernel), 0)...};
  (void)unused;
}

/* Arguments are copied when the kernel is queued, as on a device; each thread gets them from there. */
template <class Call, class... A>
void hf_emulated_launch(const char *name, Call call, dim3 grid, dim3 block, size_t shared, cudaStream_t stream, A... a) {
  hf_emulated_submit(stream, [=] {
    hf_check_arguments(name, a...);
    auto body = [&] { call(a...); };
    hf_emulate([](void *c) { (*(decltype(body) *)c)(); }, &body, grid, block, shared, name);
  });
}
#define HF_LAUNCH(kernel, grid, block, shared, stream, ...) \
  hf_emulated_launch(#kernel, [](auto... hf_a) { kernel(hf_a...); }, grid, block, shared, stream, __VA_ARGS__)
#define HF_ALLOW_SHARED(kernel, bytes) ((void)0)
#define HF_DYNAMIC_SHARED(T, name) T *name = (T *)hf_emulated_shared()

#endif
