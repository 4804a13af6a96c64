/* Streams, events and graphs of the emulation. Work is done when it is queued, so that only a capture has anything to keep: a
 * list, which each launch goes through in order. The rules are CUDA's for a capture: what waits for the capturing stream fails
 * and spoils the capture, events recorded in it cannot be waited for, a spoiled capture ends without a graph. */
#include "emulation.h"
#include <memory>
#include <vector>

typedef std::vector<HfEmulatedWork> Work;

struct HfEmulatedStream {
  std::unique_ptr<Work> recorded; /* while it captures */
  cudaStreamCaptureMode mode;
  bool is_spoiled;
};
struct HfEmulatedEvent {
  bool is_captured;
};
struct HfEmulatedGraph {
  Work work;
};
struct HfEmulatedExec {
  Work work;
};

static HfEmulatedStream *capturing; /* one at a time is enough */
static cudaError_t last_error;
static int replaying;

cudaError_t hf_emulated_fail(cudaError_t error) { return last_error = error; }
cudaError_t cudaPeekAtLastError(void) { return last_error; }
cudaError_t cudaGetLastError(void) {
  cudaError_t error = last_error;
  return last_error = cudaSuccess, error;
}

bool hf_emulated_is_replaying(void) { return replaying > 0; }
bool hf_emulated_is_capturing(cudaStream_t s) { return s && s->recorded; }

void hf_emulated_keep(cudaStream_t s, HfEmulatedWork work) {
  if (s->is_spoiled) hf_emulated_fail(cudaErrorStreamCaptureInvalidated);
  else s->recorded->push_back(std::move(work));
}

static cudaError_t spoil(HfEmulatedStream *s, cudaError_t error) {
  s->is_spoiled = true;
  return hf_emulated_fail(error);
}

cudaError_t hf_emulated_forbidden(cudaStream_t s) {
  return hf_emulated_is_capturing(s) ? spoil(s, cudaErrorStreamCaptureUnsupported) : cudaSuccess;
}

cudaError_t hf_emulated_unsafe(void) {
  bool is_allowed = !capturing || capturing->mode == cudaStreamCaptureModeRelaxed;
  return is_allowed ? cudaSuccess : spoil(capturing, cudaErrorStreamCaptureUnsupported);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned) { return *s = new HfEmulatedStream{}, cudaSuccess; }
cudaError_t cudaStreamSynchronize(cudaStream_t s) { return hf_emulated_forbidden(s); }
cudaError_t cudaDeviceSynchronize(void) { return hf_emulated_forbidden(capturing); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned) { return *e = new HfEmulatedEvent{}, cudaSuccess; }
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s) { return e->is_captured = hf_emulated_is_capturing(s), cudaSuccess; }
cudaError_t cudaEventSynchronize(cudaEvent_t e) {
  if (!e->is_captured) return cudaSuccess;
  return capturing ? spoil(capturing, cudaErrorCapturedEvent) : hf_emulated_fail(cudaErrorCapturedEvent);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t s, cudaStreamCaptureMode mode) {
  if (capturing) return hf_emulated_fail(cudaErrorIllegalState);
  s->recorded.reset(new Work), s->mode = mode, s->is_spoiled = false;
  return capturing = s, cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *out) {
  *out = nullptr;
  if (!hf_emulated_is_capturing(s)) return hf_emulated_fail(cudaErrorIllegalState);
  std::unique_ptr<Work> recorded = std::move(s->recorded);
  capturing = nullptr;
  if (s->is_spoiled) return hf_emulated_fail(cudaErrorStreamCaptureInvalidated);
  return *out = new HfEmulatedGraph{std::move(*recorded)}, cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *nodes, size_t *count) {
  if (nodes) return hf_emulated_fail(cudaErrorInvalidValue);
  return *count = g->work.size(), cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t g, unsigned long long) { return *out = new HfEmulatedExec{g->work}, cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t g) { return delete g, cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e) { return delete e, cudaSuccess; }

cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s) {
  if (hf_emulated_forbidden(s) != cudaSuccess) return cudaErrorStreamCaptureUnsupported;
  replaying++;
  for (const HfEmulatedWork &work : e->work) work();
  replaying--;
  return cudaSuccess;
}
