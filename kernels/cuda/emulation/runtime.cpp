/* The runtime of the emulation: one device whose memory is a guarded region of this process. HFLUA_EMULATION_MEMORY sets its
 * size in MiB (default 2048); HFLUA_EMULATION_GUARD=0 leaves it open to the host. */
#include "emulation.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { PAGE = 4096, MAX_BLOCKS = 1 << 16 };

/* Blocks in order of address; free ones are taken first fit and joined with free neighbours. */
struct Block {
  size_t start, size;
  bool used;
};

static struct {
  char *base;
  size_t size, used, touched; /* touched: no block ever lay above */
  Block *blocks;
  int count, open; /* open: how many accesses are under way */
  bool guarded;
} region;

static void make_region(void) {
  const char *size = getenv("HFLUA_EMULATION_MEMORY"), *guard = getenv("HFLUA_EMULATION_GUARD");
  region.size = (size_t)(size ? atol(size) : 2048) << 20;
  region.guarded = !guard || *guard != '0';
  region.base = (char *)mmap(NULL, region.size, region.guarded ? PROT_NONE : PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  region.blocks = (Block *)calloc(MAX_BLOCKS, sizeof(Block));
  if (region.base == MAP_FAILED || !region.blocks) perror("emulation: memory"), abort();
  region.blocks[region.count++] = {0, region.size, false};
}

static void protect(int how) {
  if (region.guarded && region.touched && mprotect(region.base, region.touched, how)) perror("emulation: mprotect"), abort();
}
HfDeviceAccess::HfDeviceAccess() {
  if (!region.open++) protect(PROT_READ | PROT_WRITE);
}
HfDeviceAccess::~HfDeviceAccess() {
  if (!--region.open) protect(PROT_NONE);
}

/* Does p lie in a block that is not free? */
static bool is_used(const void *p) {
  size_t at = (size_t)((const char *)p - region.base);
  int low = 0, high = region.count; /* the last block that starts at or before it */
  while (high - low > 1) (region.blocks[(low + high) / 2].start <= at ? low : high) = (low + high) / 2;
  return region.blocks[low].used;
}

static bool is_inside(const void *p) { return (const char *)p >= region.base && (const char *)p < region.base + region.size; }

void hf_emulated_check_pointer(const void *p, const char *kernel) {
  if (!region.base || !region.guarded || !p) return;
  if (!is_inside(p)) fprintf(stderr, "emulation: %s was given the host pointer %p\n", kernel, p), abort();
  if (hf_emulated_is_replaying() && !is_used(p)) fprintf(stderr, "emulation: a graph's %s uses memory that was freed\n", kernel), abort();
}

static void insert_block(int at, Block b) {
  if (region.count == MAX_BLOCKS) fprintf(stderr, "emulation: too many blocks\n"), abort();
  memmove(region.blocks + at + 1, region.blocks + at, (size_t)(region.count++ - at) * sizeof(Block));
  region.blocks[at] = b;
}

cudaError_t cudaMalloc(void **out, size_t bytes) {
  if (hf_emulated_unsafe() != cudaSuccess) return cudaErrorStreamCaptureUnsupported;
  if (!region.base) make_region();
  bytes = (bytes + PAGE - 1) / PAGE * PAGE;
  for (int i = 0; i < region.count; i++) {
    Block *b = &region.blocks[i];
    if (b->used || b->size < bytes) continue;
    if (b->size > bytes) {
      Block rest = {b->start + bytes, b->size - bytes, false};
      b->size = bytes;
      insert_block(i + 1, rest);
      b = &region.blocks[i];
    }
    b->used = true;
    region.used += bytes;
    if (b->start + bytes > region.touched) region.touched = b->start + bytes;
    *out = region.base + b->start;
    HfDeviceAccess access;
    memset(*out, 0xff, bytes); /* NaN */
    return cudaSuccess;
  }
  return hf_emulated_fail(cudaErrorMemoryAllocation);
}

static void join(int i) {
  if (i + 1 >= region.count || region.blocks[i].used || region.blocks[i + 1].used) return;
  region.blocks[i].size += region.blocks[i + 1].size;
  memmove(region.blocks + i + 1, region.blocks + i + 2, (size_t)(--region.count - i - 1) * sizeof(Block));
}

cudaError_t cudaFree(void *bytes) {
  if (hf_emulated_unsafe() != cudaSuccess) return cudaErrorStreamCaptureUnsupported;
  for (int i = 0; i < region.count; i++) {
    if (!region.blocks[i].used || region.base + region.blocks[i].start != bytes) continue;
    {
      HfDeviceAccess access;
      memset(bytes, 0xff, region.blocks[i].size); /* whoever still reads it reads NaN */
    }
    region.blocks[i].used = false;
    region.used -= region.blocks[i].size;
    join(i);
    if (i) join(i - 1);
    return cudaSuccess;
  }
  if (bytes) fprintf(stderr, "emulation: free of %p, which is no block\n", bytes), abort();
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free, size_t *total) {
  if (!region.base) make_region();
  return *free = region.size - region.used, *total = region.size, cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int *count) { return *count = 1, cudaSuccess; }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int) {
  *p = cudaDeviceProp{"emulated device", region.size, 4, 9, 0};
  return cudaSuccess;
}

static struct {
  const char *start;
  size_t size;
} pinned[64];
static int pinned_count;

cudaError_t cudaMallocHost(void **out, size_t bytes) {
  if (hf_emulated_unsafe() != cudaSuccess) return cudaErrorStreamCaptureUnsupported;
  if (pinned_count == 64 || !(*out = malloc(bytes))) return hf_emulated_fail(cudaErrorMemoryAllocation);
  pinned[pinned_count].start = (const char *)*out, pinned[pinned_count++].size = bytes;
  return cudaSuccess;
}

static bool is_pinned(const void *p) {
  for (int i = 0; i < pinned_count; i++)
    if ((const char *)p >= pinned[i].start && (const char *)p < pinned[i].start + pinned[i].size) return true;
  return false;
}

/* A copy that goes by way of the driver's own buffers has no place in a graph. */
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  const void *host = kind == cudaMemcpyHostToDevice ? from : kind == cudaMemcpyDeviceToHost ? to : nullptr;
  if (host && !is_pinned(host) && hf_emulated_forbidden(stream) != cudaSuccess) return cudaErrorStreamCaptureUnsupported;
  hf_emulated_submit(stream, [=] {
    if (kind != cudaMemcpyDeviceToHost) hf_emulated_check_pointer(to, "cudaMemcpyAsync");
    if (kind != cudaMemcpyHostToDevice) hf_emulated_check_pointer(from, "cudaMemcpyAsync");
    HfDeviceAccess access;
    memcpy(to, from, bytes);
  });
  return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
  hf_emulated_submit(stream, [=] {
    hf_emulated_check_pointer(to, "cudaMemsetAsync");
    HfDeviceAccess access;
    memset(to, value, bytes);
  });
  return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error) { return error == cudaSuccess ? "no error" : "emulated error"; }
