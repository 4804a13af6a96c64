/* The device's stream and what goes to and from its memory: copies through pinned memory that return before they are made,
 * uploads of small tables, the record of bad indices.
 *
 * One stream carries everything, so a block given back is free for the next kernel at once: the device runs them in order.
 */
#include "memory.h"
#include "cuda.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- the stream, and what it came to */

static cudaStream_t stream;
static bool is_blocking;
static int64_t waits;
HfStatus hf_cuda_refuse_waiting(void) {
  return hf_cuda_refuse("waited for the device (item, tolist, print, a copy to the processor, or a result whose size depends on numbers)");
}
static bool waits_always(void) { return is_blocking && !hf_cuda_is_recording(); }

int64_t hf_cuda_waits(void) { return waits; }
cudaStream_t hf_cuda_stream(void) { return stream; }

static HfStatus status_of(cudaError_t error) {
  if (error == cudaSuccess) return HF_OK;
  return error == cudaErrorMemoryAllocation ? HF_NO_MEMORY : HF_DEVICE_FAULT;
}

HfStatus hf_cuda_status(void) {
  cudaError_t error = cudaGetLastError(); /* a launch that was refused leaves the device as it was */
  if (error == cudaSuccess && waits_always()) error = cudaStreamSynchronize(stream);
  return status_of(error);
}

HfStatus hf_cuda_synchronize(void) {
  HfStatus status = hf_cuda_refuse_waiting();
  if (status != HF_OK) return status;
  waits++;
  return status_of(cudaStreamSynchronize(stream));
}

/* ---- pinned memory in pieces, used in turn: a piece is written again when its last copy is done */

enum { PIECES = 4 };
static const size_t PIECE_BYTES = (size_t)4 << 20;

static struct {
  char *data;
  cudaEvent_t done[PIECES];
  int piece;
  size_t used; /* of the piece */
} pinned;

static bool open_pinned(void) {
  if (cudaMallocHost((void **)&pinned.data, PIECES * PIECE_BYTES) != cudaSuccess) return false;
  for (int i = 0; i < PIECES; i++)
    if (cudaEventCreateWithFlags(&pinned.done[i], cudaEventDisableTiming) != cudaSuccess) return false;
  return true;
}

/* Room for `bytes` <= PIECE_BYTES that no copy under way reads. */
static char *take_pinned(size_t bytes) {
  if (pinned.used + bytes > PIECE_BYTES) {
    cudaEventRecord(pinned.done[pinned.piece], stream);
    pinned.piece = (pinned.piece + 1) % PIECES;
    pinned.used = 0;
    cudaEventSynchronize(pinned.done[pinned.piece]);
  }
  char *at = pinned.data + (size_t)pinned.piece * PIECE_BYTES + pinned.used;
  pinned.used += (bytes + 255) / 256 * 256;
  return at;
}

/* The host's bytes are free for change when it returns; the copy is queued. */
static HfStatus copy_in(void *device, const void *host, size_t bytes) {
  if (hf_cuda_is_recording()) return hf_cuda_graph_copy_in(device, host, bytes);
  for (size_t at = 0; at < bytes;) {
    size_t part = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
    char *staged = take_pinned(part);
    memcpy(staged, (const char *)host + at, part);
    cudaError_t error = cudaMemcpyAsync((char *)device + at, staged, part, cudaMemcpyHostToDevice, stream);
    if (error != cudaSuccess) return status_of(error);
    at += part;
  }
  return HF_OK;
}

/* ---- bad indices */

static HfFault *fault_record, *fault_copy; /* on the device; pinned */
static char fault_text[256];
static int64_t fault_reports;

HfFault *hf_cuda_fault(void) { return fault_record; }
int64_t hf_cuda_fault_reports(void) { return fault_reports; }

HfStatus hf_cuda_report_fault(const HfFault *f) {
  if (f->kind == HF_FAULT_NONE) return HF_OK;
  static const char *const what[] = {"", "index_select: index", "gather: index", "embedding: id", "cross_entropy: label"};
  snprintf(fault_text, sizeof fault_text, "%s %lld is out of range; expected 0 .. %lld (found on the device; HFLUA_CUDA_BLOCKING=1 reports it at its line)",
           what[f->kind], (long long)f->value, (long long)f->limit - 1);
  cudaMemsetAsync(fault_record, 0, sizeof *fault_record, stream);
  return fault_reports++, HF_BAD_INDEX;
}

/* Waits for the device; then whether an index was bad since the last time, and which. */
static HfStatus wait_and_check(int64_t *bad) {
  cudaMemcpyAsync(fault_copy, fault_record, sizeof *fault_copy, cudaMemcpyDeviceToHost, stream);
  HfStatus status = hf_cuda_synchronize();
  *bad = fault_copy->value;
  return status == HF_OK ? hf_cuda_report_fault(fault_copy) : status;
}

HfStatus hf_cuda_checked_status(int64_t *bad) {
  HfStatus status = hf_cuda_status();
  return status == HF_OK && waits_always() ? wait_and_check(bad) : status;
}

static const char *late_error(void) { return fault_text; }

/* ---- copies out, on the device, zeroing */

static HfStatus copy_out(void *host, const void *device, size_t bytes) {
  int64_t bad;
  HfStatus status = hf_cuda_refuse_waiting();
  if (status != HF_OK) return status;
  bool small = bytes <= 65536;
  void *to = small ? take_pinned(bytes) : host;
  if (bytes && cudaMemcpyAsync(to, device, bytes, cudaMemcpyDeviceToHost, stream) != cudaSuccess) return HF_DEVICE_FAULT;
  status = wait_and_check(&bad);
  if (small && bytes) memcpy(host, to, bytes);
  return status;
}

static HfStatus copy(void *out, const void *in, size_t bytes) {
  return bytes ? status_of(cudaMemcpyAsync(out, in, bytes, cudaMemcpyDeviceToDevice, stream)) : HF_OK;
}

static HfStatus zero(void *out, size_t bytes) { return bytes ? status_of(cudaMemsetAsync(out, 0, bytes, stream)) : HF_OK; }

/* ---- uploads: the last ones are kept, since a step asks for the same tables many times */

enum { UPLOADS = 64 };

static struct Upload {
  void *host, *device;
  size_t size, room;
  uint64_t used; /* when last asked for */
} uploads[UPLOADS];
static uint64_t upload_clock;

/* The entry longest unused gives its place. */
static Upload *oldest_upload(void) {
  Upload *oldest = uploads;
  for (int i = 1; i < UPLOADS; i++)
    if (uploads[i].used < oldest->used) oldest = &uploads[i];
  return oldest;
}

static bool make_room(Upload *u, size_t bytes) {
  if (u->room >= bytes) return true;
  hf_cuda_free(u->device, u->room);
  free(u->host);
  u->room = 0;
  u->host = malloc(bytes), u->device = hf_cuda_alloc(bytes);
  if (u->host && u->device) return u->room = bytes, true;
  if (u->device) hf_cuda_free(u->device, bytes);
  free(u->host);
  u->host = u->device = nullptr, u->size = 0;
  return false;
}

const void *hf_cuda_upload(const void *host, size_t bytes) {
  if (hf_cuda_is_recording()) return hf_cuda_graph_upload(host, bytes);
  upload_clock++;
  for (int i = 0; i < UPLOADS; i++)
    if (uploads[i].size == bytes && uploads[i].room && !memcmp(uploads[i].host, host, bytes))
      return uploads[i].used = upload_clock, uploads[i].device;
  Upload *u = oldest_upload();
  if (bytes > PIECE_BYTES || !make_room(u, bytes)) return nullptr;
  memcpy(u->host, host, bytes);
  u->size = bytes, u->used = upload_clock;
  return copy_in(u->device, host, bytes) == HF_OK ? u->device : nullptr;
}

/* ---- opening */

bool hf_cuda_open_memory(void) {
  const char *blocking = getenv("HFLUA_CUDA_BLOCKING");
  is_blocking = blocking && *blocking == '1';
  if (cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) != cudaSuccess || !open_pinned()) return false;
  if (cudaMallocHost((void **)&fault_copy, sizeof *fault_copy) != cudaSuccess) return false;
  if (!(fault_record = (HfFault *)hf_cuda_alloc(sizeof *fault_record))) return false;
  return zero(fault_record, sizeof *fault_record) == HF_OK;
}

void hf_cuda_fill_memory(HfKernels *k) {
  k->alloc = hf_cuda_alloc;
  k->free = hf_cuda_free;
  k->copy_in = copy_in;
  k->copy_out = copy_out;
  k->copy = copy;
  k->zero = zero;
  k->late_error = late_error;
}
