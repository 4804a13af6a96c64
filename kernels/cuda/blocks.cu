/* Blocks of device memory, kept in free lists by size class; and whose they are while graphs live.
 *
 * A graph's kernels have the addresses of their blocks in them. So a block that a recording takes belongs to the graph's pool and
 * comes back to it alone; and a block that was in use when a graph was recorded is held, once it is given back, until that graph is
 * gone: the graph may read it. Without graphs a block given back is free for the next kernel at once.
 */
#include "cuda.h"
#include "memory.h"
#include <stdlib.h>

/* classes an eighth of an octave apart, at least 512 bytes */
enum { CLASS_COUNT = 64 * 8, BUCKETS = 1 << 12 };

/* What the driver gave, from then until it gets it back. */
struct Block {
  void *data;
  int size_class;
  HfPool *pool;      /* whose it is; NULL: anyone's */
  uint64_t taken;    /* how many graphs had been recorded when it was given out last */
  Block *next;       /* in a free list, or among the blocks held */
  Block *same_bucket, *same_pool;
};

struct HfPool {
  HfPool *older;
  uint64_t recorded; /* its number among the graphs; UINT64_MAX while it is recorded */
  Block *blocks;     /* all of them */
  Block *free[CLASS_COUNT];
};

static struct {
  Block *free[CLASS_COUNT];
  Block *held;
  Block *bucket[BUCKETS]; /* by address */
  HfPool *pools;          /* latest first */
  HfPool *open;           /* of the graph being recorded */
  uint64_t recorded;      /* graphs so far */
  HfCudaMemory stats;
} cache;

static int class_of(size_t bytes) {
  if (bytes < 512) bytes = 512;
  int octave = 63 - __builtin_clzl(bytes - 1);
  size_t step = (size_t)1 << (octave - 3);
  return octave * 8 + (int)((bytes - 1 - ((size_t)1 << octave)) / step);
}

static size_t class_size(int c) { return ((size_t)8 + (size_t)(c % 8) + 1) * ((size_t)1 << (c / 8 - 3)); }
static int64_t size_of(const Block *b) { return (int64_t)class_size(b->size_class); }

/* ---- by address */

static Block **bucket_of(const void *data) { return &cache.bucket[((uintptr_t)data >> 9) * 0x9e3779b97f4a7c15u >> 52]; }

static Block *find(const void *data) {
  Block *b = *bucket_of(data);
  while (b && b->data != data) b = b->same_bucket;
  return b;
}

static void forget(Block *b) {
  Block **at = bucket_of(b->data);
  while (*at != b) at = &(*at)->same_bucket;
  *at = b->same_bucket;
  free(b);
}

/* ---- the driver */

static void push(Block **list, Block *b) { b->next = *list, *list = b; }
static Block *pop(Block **list) {
  Block *b = *list;
  if (b) *list = b->next;
  return b;
}

void hf_cuda_empty_cache(void) {
  if (hf_cuda_is_recording()) return;
  cudaStreamSynchronize(hf_cuda_stream());
  for (int c = 0; c < CLASS_COUNT; c++)
    for (Block *b = pop(&cache.free[c]); b; b = pop(&cache.free[c])) {
      cudaFree(b->data);
      cache.stats.reserved -= size_of(b);
      forget(b);
    }
}

static void *driver_alloc(size_t size) {
  void *data = nullptr;
  cache.stats.driver_allocations++;
  if (cudaMalloc(&data, size) == cudaSuccess) return data;
  cudaGetLastError(); /* a failed request leaves no mark */
  return nullptr;
}

static Block *fresh_block(int c) {
  Block *b = (Block *)calloc(1, sizeof *b);
  void *data = b ? driver_alloc(class_size(c)) : nullptr;
  if (b && !data) hf_cuda_empty_cache(), data = driver_alloc(class_size(c));
  if (!data) return free(b), cache.stats.out_of_memory++, nullptr;
  b->data = data, b->size_class = c, b->same_bucket = *bucket_of(data), *bucket_of(data) = b;
  cache.stats.reserved += size_of(b);
  if (cache.stats.reserved > cache.stats.peak_reserved) cache.stats.peak_reserved = cache.stats.reserved;
  return b;
}

/* ---- giving out and taking back */

/* May a living graph know the block by its address? */
static bool is_seen(const Block *b) { return cache.pools && cache.pools->recorded > b->taken; }

static void into_pool(Block *b) {
  b->pool = cache.open;
  b->same_pool = cache.open->blocks, cache.open->blocks = b;
}

/* `whole`: not a block that the recording has had before, which a launch would write on its way. */
static void *take(size_t bytes, bool whole) {
  if (bytes > PTRDIFF_MAX / 2) return nullptr;
  int c = class_of(bytes);
  Block *b = cache.open && !whole ? pop(&cache.open->free[c]) : nullptr;
  if (b) {
    cache.stats.in_graphs -= size_of(b);
  } else {
    if (!(b = pop(&cache.free[c])) && !(b = fresh_block(c))) return nullptr;
    if (cache.open) into_pool(b);
  }
  b->taken = cache.recorded;
  cache.stats.allocated += size_of(b);
  if (cache.stats.allocated > cache.stats.peak_allocated) cache.stats.peak_allocated = cache.stats.allocated;
  return b->data;
}

void *hf_cuda_alloc(size_t bytes) { return take(bytes, false); }
void *hf_cuda_alloc_whole(size_t bytes) { return take(bytes, true); }

void hf_cuda_free(void *data, size_t) {
  Block *b = data ? find(data) : nullptr;
  if (!b) return;
  cache.stats.allocated -= size_of(b);
  if (b->pool && b->pool == cache.pools) b->taken = UINT64_MAX; /* no later graph saw it in use */
  bool is_general = !b->pool && !is_seen(b);
  if (!is_general) cache.stats.in_graphs += size_of(b);
  push(is_general ? &cache.free[b->size_class] : b->pool ? &b->pool->free[b->size_class] : &cache.held, b);
}

/* ---- pools */

HfPool *hf_cuda_pool_open(void) {
  HfPool *pool = (HfPool *)calloc(1, sizeof *pool);
  if (!pool) return nullptr;
  pool->older = cache.pools, pool->recorded = UINT64_MAX;
  return cache.pools = cache.open = pool;
}

void hf_cuda_pool_close(HfPool *pool) {
  pool->recorded = ++cache.recorded;
  cache.open = nullptr;
}

/* Blocks held for graphs that are gone are anyone's. */
static void release_held(void) {
  Block *kept = nullptr;
  for (Block *b = pop(&cache.held); b; b = pop(&cache.held)) {
    if (is_seen(b)) {
      push(&kept, b);
      continue;
    }
    cache.stats.in_graphs -= size_of(b);
    push(&cache.free[b->size_class], b);
  }
  cache.held = kept;
}

void hf_cuda_pool_drop(HfPool *pool) {
  HfPool **at = &cache.pools;
  while (*at != pool) at = &(*at)->older;
  *at = pool->older;
  for (int c = 0; c < CLASS_COUNT; c++)
    for (Block *b = pop(&pool->free[c]); b; b = pop(&pool->free[c])) push(&cache.held, b);
  for (Block *b = pool->blocks; b; b = b->same_pool) b->pool = nullptr; /* those in use are given back like others */
  release_held();
  free(pool);
}

/* ---- statistics */

HfCudaMemory hf_cuda_memory(void) {
  HfCudaMemory m = cache.stats;
  size_t free = 0, total = 0;
  cudaMemGetInfo(&free, &total);
  m.free_on_device = (int64_t)free, m.total_on_device = (int64_t)total;
  return m;
}

void hf_cuda_reset_peak(void) {
  cache.stats.peak_allocated = cache.stats.allocated;
  cache.stats.peak_reserved = cache.stats.reserved;
}
