/* Tensor-core products of one warp: m16n8k16 fragments of 16-bit numbers with float32 sums, matrices from shared memory, and
 * copies into it that run beside arithmetic. Layouts as in PTX: with g = lane / 4 and t = lane % 4
 *   A (16, 16): a[0] (g, 2t..2t+1), a[1] (g+8, 2t..), a[2] (g, 2t+8..), a[3] (g+8, 2t+8..)
 *   B (16, 8):  b0 (2t..2t+1, g), b1 (2t+8..2t+9, g)
 *   C (16, 8):  c[0], c[1] (g, 2t..2t+1), c[2], c[3] (g+8, 2t..2t+1)
 * On the host the same functions exchange what the lanes hold, and a queued copy is made when it is waited for, no sooner.
 */
#ifndef HF_CUDA_MMA_H
#define HF_CUDA_MMA_H
#include "element.h"

#if defined(HF_EMULATION)
static inline float hf_exp2(float x) { return exp2f(x); }

template <class T> uint32_t hf_pack(float low, float high) { return hf_put<T>(low).bits | (uint32_t)hf_put<T>(high).bits << 16; }

template <class T> float hf_half_of(uint32_t pair, int k) { return hf_get(T{(uint16_t)(pair >> 16 * (k & 1))}); }

template <class T> void hf_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  struct Operands { uint32_t a[4], b[2]; } own = {{a[0], a[1], a[2], a[3]}, {b0, b1}};
  const char *all = hf_emulated_exchange(&own, sizeof own);
  int g = hf_lane() / 4, t = hf_lane() % 4;
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 16; k++) {
      const Operands *row = (const Operands *)(all + (4 * g + k % 8 / 2) * HF_EXCHANGE_BYTES);
      const Operands *column = (const Operands *)(all + (4 * (2 * t + i % 2) + k % 8 / 2) * HF_EXCHANGE_BYTES);
      c[i] += hf_half_of<T>(row->a[k / 8 * 2 + i / 2], k) * hf_half_of<T>(column->b[k / 8], k);
    }
}

static inline void hf_load_matrices(uint32_t (&r)[4], const void *row, bool turned) {
  const char *all = hf_emulated_exchange(&row, sizeof row);
  int g = hf_lane() / 4, t = hf_lane() % 4;
  for (int m = 0; m < 4; m++) {
    uint32_t half[2];
    for (int e = 0; e < 2; e++) {
      int i = turned ? 2 * t + e : g, j = turned ? g : 2 * t + e;
      half[e] = (*(const uint16_t *const *)(all + (8 * m + i) * HF_EXCHANGE_BYTES))[j];
    }
    r[m] = half[0] | half[1] << 16;
  }
}
static inline void hf_matrices(uint32_t (&r)[4], const void *row) { hf_load_matrices(r, row, false); }
static inline void hf_matrices_turned(uint32_t (&r)[4], const void *row) { hf_load_matrices(r, row, true); }

template <int BYTES> void hf_copy_async(void *to, const void *from, bool there) { hf_emulated_queue_copy(to, there ? from : NULL, BYTES); }
static inline void hf_copy_commit(void) { hf_emulated_commit_copies(); }
template <int PENDING> void hf_copy_wait(void) { hf_emulated_wait_copies(PENDING); }

#else
static __device__ __forceinline__ float hf_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* Two numbers in the order of memory. */
template <class T> __device__ __forceinline__ uint32_t hf_pack(float low, float high);
template <> __device__ __forceinline__ uint32_t hf_pack<HfBfloat>(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
template <> __device__ __forceinline__ uint32_t hf_pack<HfHalf>(float low, float high) {
  uint32_t pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

/* c += A B */
#define HF_MMA(T, name)                                                                                                       \
  template <> __device__ __forceinline__ void hf_mma<T>(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {    \
    asm("mma.sync.aligned.m16n8k16.row.col.f32." name "." name ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};" \
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])                                                                      \
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                                                      \
  }
template <class T> __device__ __forceinline__ void hf_mma(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1);
HF_MMA(HfBfloat, "bf16")
HF_MMA(HfHalf, "f16")

static __device__ __forceinline__ uint32_t hf_shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* Four 8 x 8 matrices of shared memory: lane l points at row l % 8 of matrix l / 8 (16 bytes, aligned), and gets in r[m] what
 * row g of matrix m has at 2t and 2t+1; turned, what column g has there. */
static __device__ __forceinline__ void hf_matrices(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(hf_shared_address(row)) : "memory");
}
static __device__ __forceinline__ void hf_matrices_turned(uint32_t (&r)[4], const void *row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(hf_shared_address(row)) : "memory");
}

/* Queues BYTES (4 or 16, aligned) for shared memory; zeros where there is nothing. hf_copy_commit closes a group of copies;
 * hf_copy_wait<N> waits for this thread's groups but the last N, and the others' come with __syncthreads. */
template <int BYTES> __device__ __forceinline__ void hf_copy_async(void *to, const void *from, bool there) {
  int bytes = there ? BYTES : 0;
  if (BYTES == 16) asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(hf_shared_address(to)), "l"(from), "r"(bytes) : "memory");
  else asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(hf_shared_address(to)), "l"(from), "r"(bytes) : "memory");
}
static __device__ __forceinline__ void hf_copy_commit(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> __device__ __forceinline__ void hf_copy_wait(void) { asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory"); }
#endif

#endif
