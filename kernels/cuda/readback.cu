/* Reading a few bytes while the device goes on: a copy into pinned memory with an event behind it, and a copy of the record of bad
 * indices with it. Each reading has its own place; places are kept for the next ones. */
#include "cuda.h"
#include "memory.h"
#include <stdlib.h>

struct Landing { /* pinned */
  char bytes[HF_READ_MOST];
  HfFault fault;
};

struct Reading {
  cudaEvent_t done;
  Landing *landing;
  size_t size;
  int64_t reports; /* of bad indices when it began */
  Reading *next;   /* while it is free */
};

enum { AT_ONCE = 64 };

static Reading *free_readings;
static int64_t late_reads;

int64_t hf_cuda_late_reads(void) { return late_reads; }

static bool make_readings(void) {
  Landing *landing = nullptr;
  Reading *more = (Reading *)calloc(AT_ONCE, sizeof *more);
  if (!more || cudaMallocHost((void **)&landing, AT_ONCE * sizeof *landing) != cudaSuccess) return free(more), false;
  for (int i = 0; i < AT_ONCE; i++) {
    if (cudaEventCreateWithFlags(&more[i].done, cudaEventDisableTiming) != cudaSuccess) break;
    more[i].landing = landing + i, more[i].next = free_readings, free_readings = more + i;
  }
  return free_readings != nullptr;
}

static void give_back(Reading *r) { r->next = free_readings, free_readings = r; }

static void *read_begin(const void *device, size_t bytes) {
  cudaStream_t s = hf_cuda_stream();
  if (hf_cuda_is_recording() || bytes > HF_READ_MOST || (!free_readings && !make_readings())) return nullptr;
  Reading *r = free_readings;
  free_readings = r->next;
  r->size = bytes, r->reports = hf_cuda_fault_reports();
  bool ok = cudaMemcpyAsync(r->landing->bytes, device, bytes, cudaMemcpyDeviceToHost, s) == cudaSuccess &&
            cudaMemcpyAsync(&r->landing->fault, hf_cuda_fault(), sizeof(HfFault), cudaMemcpyDeviceToHost, s) == cudaSuccess &&
            cudaEventRecord(r->done, s) == cudaSuccess;
  if (ok) return r;
  return give_back(r), nullptr;
}

/* The readings under way when a bad index is reported hold it too: it is told once. */
static HfStatus fault_of(const Reading *r) {
  return r->reports == hf_cuda_fault_reports() ? hf_cuda_report_fault(&r->landing->fault) : HF_OK;
}

static HfStatus read_end(void *host, void *reading) {
  Reading *r = (Reading *)reading;
  HfStatus status = host ? hf_cuda_refuse_waiting() : HF_OK;
  if (host && status == HF_OK) {
    late_reads++;
    status = cudaEventSynchronize(r->done) == cudaSuccess ? fault_of(r) : HF_DEVICE_FAULT;
    memcpy(host, r->landing->bytes, r->size);
  }
  return give_back(r), status;
}

void hf_cuda_fill_readback(HfKernels *k) {
  k->read_begin = read_begin;
  k->read_end = read_end;
}
