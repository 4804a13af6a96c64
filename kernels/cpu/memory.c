/* Host memory of tensors: 64-byte aligned blocks, kept in free lists by size class so that a loop which repeats its
 * shapes asks the system for nothing (fresh pages cost more than most kernels). Classes are an eighth of an octave
 * apart. The cache never holds more than keeps live and free bytes together within 9/8 of the most bytes ever live. */
#include "cpu.h"
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define CACHE_BLOCKS 0 /* every block is fresh, so that the sanitizer sees stale uses */
#else
#define CACHE_BLOCKS 1
#endif
#define ALIGNMENT 64
#define CLASS_COUNT (64 * 8)
#define HUGE_PAGE ((size_t)2 << 20)
#define SPARE_BYTES ((size_t)64 << 20) /* may be cached beside a small program's peak */

typedef struct Block {
  struct Block *next;
} Block;

static struct {
  pthread_mutex_t lock;
  Block *free[CLASS_COUNT];
  size_t live, cached, peak; /* bytes, in class sizes */
} cache = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* The class of a size: octave * 8 + the three bits below the leading one, rounded up. */
static int class_of(size_t bytes) {
  if (bytes < 512) bytes = 512;
  int octave = 63 - __builtin_clzl(bytes - 1);
  size_t step = (size_t)1 << (octave - 3);
  return octave * 8 + (int)((bytes - 1 - ((size_t)1 << octave)) / step);
}

static size_t class_size(int class) {
  size_t step = (size_t)1 << (class / 8 - 3);
  return ((size_t)8 + (size_t)(class % 8) + 1) * step;
}

/* Blocks of two huge pages or more are mapped, so that the system can back them with huge pages and gets them back. */
static bool is_mapped(size_t size) { return size >= 2 * HUGE_PAGE; }

static void *map_block(size_t size) {
  char *start = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (start == MAP_FAILED) return NULL;
  size_t before = (HUGE_PAGE - (uintptr_t)start % HUGE_PAGE) % HUGE_PAGE;
  if (before) munmap(start, before);
  munmap(start + before + size, HUGE_PAGE - before);
#ifdef MADV_HUGEPAGE
  madvise(start + before, size, MADV_HUGEPAGE); /* advice only */
#endif
  return start + before;
}

static void *system_alloc(size_t size) { return is_mapped(size) ? map_block(size) : aligned_alloc(ALIGNMENT, size); }

static void system_free(void *block, size_t size) {
  if (is_mapped(size)) munmap(block, size);
  else free(block);
}

/* Gives free blocks back to the system, the largest first, until `extra` more bytes fit the bound. */
static void trim(size_t extra) {
  size_t bound = cache.peak + cache.peak / 8 + SPARE_BYTES;
  for (int class = CLASS_COUNT - 1; class >= 0; class--)
    while (cache.free[class] && cache.live + cache.cached + extra > bound) {
      Block *block = cache.free[class];
      cache.free[class] = block->next;
      cache.cached -= class_size(class);
      system_free(block, class_size(class));
    }
}

static void *take_cached(int class) {
  Block *block = cache.free[class];
  if (!block) return NULL;
  cache.free[class] = block->next;
  cache.cached -= class_size(class);
  return block;
}

static void *alloc_fresh(size_t size) {
  if (cache.live + size > cache.peak) cache.peak = cache.live + size;
  trim(size);
  void *block = system_alloc(size);
  if (block || !cache.cached) return block;
  trim(SIZE_MAX / 2);
  return system_alloc(size);
}

void *hf_host_alloc(size_t bytes) {
  if (bytes > PTRDIFF_MAX / 2) return NULL;
  int class = class_of(bytes);
  size_t size = class_size(class);
  pthread_mutex_lock(&cache.lock);
  void *block = take_cached(class);
  if (!block) block = alloc_fresh(size);
  if (block) cache.live += size;
  if (cache.live > cache.peak) cache.peak = cache.live;
  pthread_mutex_unlock(&cache.lock);
  return block;
}

void hf_host_free(void *block, size_t bytes) {
  if (!block) return;
  int class = class_of(bytes);
  size_t size = class_size(class);
  pthread_mutex_lock(&cache.lock);
  cache.live -= size;
  if (CACHE_BLOCKS) {
    ((Block *)block)->next = cache.free[class];
    cache.free[class] = block;
    cache.cached += size;
    trim(0);
  } else {
    system_free(block, size);
  }
  pthread_mutex_unlock(&cache.lock);
}

/* ---- copies: a share of cache lines for each thread */

enum { COPY_MINIMUM = 1 << 20 }; /* bytes below which one thread is as fast */

static HfStatus host_copy(void *out, const void *in, size_t bytes) {
#pragma omp parallel if (bytes >= COPY_MINIMUM)
  {
    size_t share = (bytes / (size_t)hf_team_size() + 64) & ~(size_t)63;
    size_t start = share * (size_t)hf_thread_index();
    if (start < bytes) memcpy((char *)out + start, (const char *)in + start, share < bytes - start ? share : bytes - start);
  }
  return HF_OK;
}

static HfStatus host_zero(void *out, size_t bytes) {
#pragma omp parallel if (bytes >= COPY_MINIMUM)
  {
    size_t share = (bytes / (size_t)hf_team_size() + 64) & ~(size_t)63;
    size_t start = share * (size_t)hf_thread_index();
    if (start < bytes) memset((char *)out + start, 0, share < bytes - start ? share : bytes - start);
  }
  return HF_OK;
}

void hf_host_fill_table(HfKernels *k) {
  k->alloc = hf_host_alloc;
  k->free = hf_host_free;
  k->copy_in = k->copy_out = k->copy = host_copy;
  k->zero = host_zero;
}
