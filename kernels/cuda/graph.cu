/* Graphs: what is queued on the stream from begin to end is recorded, and each launch does it again with the same addresses.
 *
 * Nothing may wait for the device meanwhile. Tables that kernels read (hf_cuda_upload) are the graph's own and are filled beside
 * the stream, which is idle when a recording begins. The one number that changes from launch to launch lies in a cell of the
 * device's memory.
 */
#include "cuda.h"
#include "memory.h"
#include <stdio.h>
#include <stdlib.h>

struct Table {
  Table *next;
  void *host, *device;
  size_t size;
};

struct HfGraph {
  HfPool *pool;
  cudaGraphExec_t exec;
  uint64_t *cell;
  Table *tables;
  bool keeps_copies; /* numbers copied from the host are constants of the graph */
  HfGraph *next_dropped;
};

static HfGraph *recording, *dropped; /* dropped: while another was recorded */
static cudaStream_t beside;
static char refusal[160]; /* why the recording is spoiled; empty while it is not */

bool hf_cuda_is_recording(void) { return recording != nullptr; }
static const char *graph_refusal(void) { return refusal; }

/* The first reason is the one that is told. */
static HfStatus refuse(const char *what, const char *detail) {
  if (!*refusal) snprintf(refusal, sizeof refusal, "%s%s", what, detail);
  return HF_NOT_RECORDED;
}

HfStatus hf_cuda_refuse(const char *what) { return recording ? refuse(what, "") : HF_OK; }

/* ---- tables */

static void *fill_beside(const void *host, size_t bytes) {
  void *device = hf_cuda_alloc_whole(bytes);
  if (!device) return nullptr;
  if (cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, beside) == cudaSuccess && cudaStreamSynchronize(beside) == cudaSuccess) return device;
  return hf_cuda_free(device, bytes), nullptr;
}

const void *hf_cuda_graph_upload(const void *host, size_t bytes) {
  for (Table *t = recording->tables; t; t = t->next)
    if (t->size == bytes && !memcmp(t->host, host, bytes)) return t->device;
  Table *t = (Table *)malloc(sizeof *t);
  void *copy = malloc(bytes), *device = t && copy ? fill_beside(host, bytes) : nullptr;
  if (!device) return free(t), free(copy), nullptr;
  memcpy(copy, host, bytes);
  *t = Table{recording->tables, copy, device, bytes};
  return (recording->tables = t)->device;
}

HfStatus hf_cuda_graph_copy_in(void *device, const void *host, size_t bytes) {
  if (!recording->keeps_copies) return hf_cuda_refuse("copied numbers from the processor to the device: copy them into tensors that it reads, before each call");
  const void *table = bytes ? hf_cuda_graph_upload(host, bytes) : device;
  if (!table) return HF_NO_MEMORY;
  if (!bytes) return HF_OK;
  return cudaMemcpyAsync(device, table, bytes, cudaMemcpyDeviceToDevice, hf_cuda_stream()) == cudaSuccess ? HF_OK : HF_DEVICE_FAULT;
}

static void drop_tables(HfGraph *g) {
  while (g->tables) {
    Table *t = g->tables;
    g->tables = t->next;
    hf_cuda_free(t->device, t->size);
    free(t->host), free(t);
  }
}

/* ---- the life of a graph */

static void drop(HfGraph *g) {
  hf_cuda_synchronize(); /* it may be under way */
  if (g->exec) cudaGraphExecDestroy(g->exec);
  drop_tables(g);
  hf_cuda_free(g->cell, sizeof *g->cell);
  hf_cuda_pool_drop(g->pool);
  free(g);
}

static void graph_free(HfGraph *g) {
  if (!recording) return drop(g);
  g->next_dropped = dropped, dropped = g;
}

static void drop_waiting(void) {
  while (dropped) {
    HfGraph *g = dropped;
    dropped = g->next_dropped;
    drop(g);
  }
}

static bool open_beside(void) { return beside || cudaStreamCreateWithFlags(&beside, cudaStreamNonBlocking) == cudaSuccess; }

static HfStatus graph_begin(bool keeps_copies, const uint64_t **cell) {
  if (recording) return HF_NOT_RECORDED;
  HfStatus status = hf_cuda_synchronize();
  HfGraph *g = status == HF_OK && open_beside() ? (HfGraph *)calloc(1, sizeof *g) : nullptr;
  if (!g) return status == HF_OK ? HF_NO_MEMORY : status;
  if (!(g->pool = hf_cuda_pool_open())) return free(g), HF_NO_MEMORY;
  g->keeps_copies = keeps_copies, *refusal = 0;
  *cell = g->cell = (uint64_t *)hf_cuda_alloc_whole(sizeof *g->cell);
  bool begun = g->cell && cudaStreamBeginCapture(hf_cuda_stream(), cudaStreamCaptureModeRelaxed) == cudaSuccess;
  if (begun) return recording = g, HF_OK;
  hf_cuda_pool_close(g->pool);
  status = g->cell ? HF_DEVICE_FAULT : HF_NO_MEMORY;
  return cudaGetLastError(), drop(g), status;
}

/* The recorded work made ready; whether there is any and it was recorded whole. */
static HfStatus instantiate(HfGraph *g, cudaGraph_t work) {
  size_t count = 0;
  if (!work || *refusal) return refuse("did what the driver cannot record: ", cudaGetErrorString(cudaGetLastError()));
  if (cudaGraphGetNodes(work, nullptr, &count) == cudaSuccess && !count) return refuse("asked nothing of the device: one that works on the processor alone needs no graph", "");
  if (cudaGraphInstantiate(&g->exec, work, 0) == cudaSuccess) return HF_OK;
  return refuse("cannot be made ready to run again: ", cudaGetErrorString(cudaGetLastError()));
}

static HfStatus graph_end(HfGraph **out) {
  HfGraph *g = recording;
  cudaGraph_t work = nullptr;
  if (!g) return HF_NOT_RECORDED;
  cudaStreamEndCapture(hf_cuda_stream(), &work);
  HfStatus status = out ? instantiate(g, work) : HF_NOT_RECORDED;
  cudaGetLastError(); /* what a spoiled recording leaves */
  if (work) cudaGraphDestroy(work);
  recording = nullptr;
  hf_cuda_pool_close(g->pool);
  if (status == HF_OK) *out = g;
  else drop(g);
  drop_waiting();
  return status;
}

__global__ void cell_kernel(uint64_t *cell, uint64_t number) { *cell = number; }

static HfStatus graph_launch(HfGraph *g, uint64_t number) {
  int64_t bad;
  HfStatus status = hf_cuda_refuse("ran another graph");
  if (status != HF_OK) return status;
  HF_LAUNCH(cell_kernel, 1, 1, 0, hf_cuda_stream(), g->cell, number);
  if (cudaGraphLaunch(g->exec, hf_cuda_stream()) != cudaSuccess) return HF_DEVICE_FAULT;
  return hf_cuda_checked_status(&bad);
}

void hf_cuda_fill_graph(HfKernels *k) {
  k->graph_begin = graph_begin;
  k->graph_end = graph_end;
  k->graph_launch = graph_launch;
  k->graph_free = graph_free;
  k->graph_refusal = graph_refusal;
}
