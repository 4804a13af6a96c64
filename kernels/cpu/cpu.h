/* Shared by the files of kernels/cpu.
 *
 * Every file X.c of this folder is compiled once for each instruction set with -DHF_ISA=plain|v3|v4. All its functions
 * are static except one, `void HF_CPU(fill_X)(HfKernels *k)`, which puts its kernels into the table; CMake lists these
 * functions by file name, so a new file needs no other line. Exceptions: the files compiled once (`once` in
 * CMakeLists.txt: they know no instruction set), and those that others call, which fill nothing (product.c, product_small.c,
 * matmul_half.c, attention_few.c, attention_half.c, table.c).
 */
#ifndef HF_CPU_H
#define HF_CPU_H
#include "kernels.h"
#ifdef _OPENMP
#include <omp.h>
static inline int hf_thread_count(void) { return omp_get_max_threads(); }
static inline int hf_thread_index(void) { return omp_get_thread_num(); }
static inline int hf_team_size(void) { return omp_get_num_threads(); }
#else
static inline int hf_thread_count(void) { return 1; }
static inline int hf_thread_index(void) { return 0; }
static inline int hf_team_size(void) { return 1; }
#endif

/* A parallel region takes all threads or one (an `if` clause): libgomp ends threads when a team shrinks. */
/* Loops over fewer elements than this are not worth waking the threads for. */
#define HF_PARALLEL_MINIMUM 16384

#define HF_PASTE2(isa, name) hf_cpu_##isa##_##name
#define HF_PASTE(isa, name) HF_PASTE2(isa, name)
#ifdef HF_ISA
#define HF_CPU(name) HF_PASTE(HF_ISA, name)
void HF_CPU(fill)(HfKernels *k); /* table.c: all of this instruction set */
#endif

static inline int64_t hf_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t hf_max(int64_t a, int64_t b) { return a > b ? a : b; }

/* ---- memory.c: blocks from a cache of size classes; copies and zeroing by all threads. Slots of HfKernels. */
void *hf_host_alloc(size_t bytes);
void hf_host_free(void *block, size_t bytes);
void hf_host_fill_table(HfKernels *k);

/* Scratch memory of a kernel: alloc/free of the cache, in floats. NULL when it cannot be had. */
static inline float *hf_scratch_new(int64_t floats) { return hf_host_alloc((size_t)floats * sizeof(float)); }
static inline void hf_scratch_free(float *scratch, int64_t floats) { hf_host_free(scratch, (size_t)floats * sizeof(float)); }

#endif
