/* Normal values in blocks of sixteen, equal to the bit with PyTorch's vector code: single precision with fused
 * multiply-adds, logarithm, sine and cosine by the polynomials of the Cephes library (logf, sinf, cosf). */
#include "random_normal.h"
#include <math.h>
#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* log x for normal x > 0: x = m 2^e with m in [sqrt(1/2), sqrt 2), log2 in two parts. */
INLINE float cephes_log(float x) {
  union { float value; uint32_t bits; } parts = {x};
  float e = (float)((int32_t)(parts.bits >> 23) - 126);
  parts.bits = (parts.bits & 0x007fffffu) | 0x3f000000u;
  x = parts.value;
  int small = x < 0.707106781186547524f;
  float doubled = small ? x : 0.0f;
  x = x - 1.0f + doubled;
  e -= small ? 1.0f : 0.0f;
  float square = x * x, y = 7.0376836292e-2f;
  y = __builtin_fmaf(y, x, -1.1514610310e-1f);
  y = __builtin_fmaf(y, x, 1.1676998740e-1f);
  y = __builtin_fmaf(y, x, -1.2420140846e-1f);
  y = __builtin_fmaf(y, x, 1.4249322787e-1f);
  y = __builtin_fmaf(y, x, -1.6668057665e-1f);
  y = __builtin_fmaf(y, x, 2.0000714765e-1f);
  y = __builtin_fmaf(y, x, -2.4999993993e-1f);
  y = __builtin_fmaf(y, x, 3.3333331174e-1f);
  y = __builtin_fmaf(y * x, square, e * -2.12194440e-4f) - 0.5f * square;
  return __builtin_fmaf(e, 0.693359375f, x + y);
}

/* sin x and cos x for x >= 0: x less a multiple of pi/4 in three parts, one polynomial for each. */
INLINE void cephes_sincos(float x, float *sine, float *cosine) {
  int32_t octant = ((int32_t)(x * 1.27323954473516f) + 1) & ~1;
  float multiple = (float)octant;
  x = __builtin_fmaf(multiple, -0.78515625f, x);
  x = __builtin_fmaf(multiple, -2.4187564849853515625e-4f, x);
  x = __builtin_fmaf(multiple, -3.77489497744594108e-8f, x);
  float square = x * x, even = 2.443315711809948e-5f, odd = -1.9515295891e-4f;
  even = __builtin_fmaf(even, square, -1.388731625493765e-3f);
  even = __builtin_fmaf(even, square, 4.166664568298827e-2f);
  even = __builtin_fmaf(even * square, square, -0.5f * square) + 1.0f;
  odd = __builtin_fmaf(odd, square, 8.3321608736e-3f);
  odd = __builtin_fmaf(odd, square, -1.6666654611e-1f);
  odd = __builtin_fmaf(odd * square, x, x);
  float s = octant & 2 ? even : odd, c = octant & 2 ? odd : even;
  *sine = octant & 4 ? -s : s;
  *cosine = (octant + 2) & 4 ? -c : c;
}

INLINE void block(float d[16], float mean, float std) {
  for (int j = 0; j < 8; j++) {
    float radius = sqrtf(-2.0f * cephes_log(1.0f - d[j])), sine, cosine;
    cephes_sincos(6.283185307179586f * d[j + 8], &sine, &cosine);
    d[j] = __builtin_fmaf(radius * cosine, std, mean);
    d[j + 8] = __builtin_fmaf(radius * sine, std, mean);
  }
}

INLINE void blocks(float *d, size_t count, float mean, float std) {
  for (size_t i = 0; i < count; i++) block(d + 16 * i, mean, std);
}

INLINE void scale(float *d, size_t n, float width, float low) {
  for (size_t i = 0; i < n; i++) d[i] = __builtin_fmaf(d[i], width, low);
}

#if defined(__x86_64__)
#define FUSED __attribute__((target("avx2,fma"), optimize("O3", "no-trapping-math"))) static
FUSED void blocks_fused(float *d, size_t count, float mean, float std) { blocks(d, count, mean, std); }
FUSED void scale_fused(float *d, size_t n, float width, float low) { scale(d, n, width, low); }
#define IS_FUSED() (__builtin_cpu_supports("fma") && __builtin_cpu_supports("avx2"))
#else
#define IS_FUSED() 0
#define blocks_fused blocks
#define scale_fused scale
#endif

void hf_normal_blocks(float *d, size_t count, float mean, float std) {
  if (IS_FUSED()) blocks_fused(d, count, mean, std);
  else blocks(d, count, mean, std);
}

void hf_scale_uniform(float *d, size_t n, float width, float low) {
  if (IS_FUSED()) scale_fused(d, n, width, low);
  else scale(d, n, width, low);
}
