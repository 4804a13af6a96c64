/* Functions of float32 for vectorised loops: straight-line code without calls or branches, so that the compiler can
 * turn a loop over them into vector instructions. Errors against the true value, over all floats: exp, tanh, erf and
 * log below 1.5e-7 relative (tests/c/test_kernels_products.c sweeps them). Infinities and NaN come out as from libm.
 * Polynomials: minimax by reweighted least squares on the reduced range named beside each. */
#ifndef HF_VMATH_H
#define HF_VMATH_H
#include <math.h>
#include <stdint.h>

/* a * b + c, in one rounding where the instruction exists. */
#ifdef __FMA__
#define HF_FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define HF_FMA(a, b, c) ((a) * (b) + (c))
#endif

static inline float hf_float_of(uint32_t bits) {
  union { uint32_t u; float f; } v = {bits};
  return v.f;
}
static inline uint32_t hf_bits_of(float x) {
  union { float f; uint32_t u; } v = {x};
  return v.u;
}

/* x = n ln 2 + r with |r| <= ln 2 / 2: gives e^r and n. Adding 1.5 * 2^23 rounds to an integer and leaves it in the
 * low bits. */
static inline float hf_vexp_reduced(float x, int32_t *n) {
  const float rounding = 12582912.0f;
  float shifted = HF_FMA(x, 1.44269504f, rounding), whole = shifted - rounding;
  float r = HF_FMA(whole, -0.693359375f, x);
  r = HF_FMA(whole, 2.12194440e-4f, r);
  float p = 1.38145379e-3f;
  p = HF_FMA(p, r, 8.36874532e-3f);
  p = HF_FMA(p, r, 4.16683908e-2f);
  p = HF_FMA(p, r, 0.166665204f);
  p = HF_FMA(p, r, 0.499999934f);
  *n = (int32_t)(hf_bits_of(shifted) - hf_bits_of(rounding));
  return HF_FMA(p, r * r, r) + 1.0f;
}

/* 2^n is applied in two halves, so that denormal results and infinity come out right. */
static inline float hf_vexp(float x) {
  int32_t n;
  x = x < -104.0f ? -104.0f : x;
  float p = hf_vexp_reduced(x > 89.0f ? 89.0f : x, &n);
  int32_t half = n >> 1;
  return p * hf_float_of((uint32_t)(half + 127) << 23) * hf_float_of((uint32_t)(n - half + 127) << 23);
}

/* e^x for x <= 0 (or hardly above), cheaper: results stop falling at e^least, and are never denormal with least >= -86.5. */
static inline float hf_vexp_down_to(float least, float x) {
  int32_t n;
  float p = hf_vexp_reduced(x < least ? least : x, &n);
  return p * hf_float_of((uint32_t)(n + 127) << 23);
}
static inline float hf_vexp_negative(float x) { return hf_vexp_down_to(-86.5f, x); }

/* |x| < 0.625: x + x^3 P(x^2); above: 1 - 2 / (e^2|x| + 1). */
static inline float hf_vtanh(float x) {
  float a = fabsf(x), z = x * x;
  float p = -5.71703656e-3f;
  p = HF_FMA(p, z, 2.0650579e-2f);
  p = HF_FMA(p, z, -5.37434953e-2f);
  p = HF_FMA(p, z, 0.133314912f);
  p = HF_FMA(p, z, -0.333332839f);
  float small = HF_FMA(p * z, x, x);
  float large = copysignf(1.0f - 2.0f / (hf_vexp(2.0f * a) + 1.0f), x);
  return a < 0.625f ? small : large;
}

/* |x| < 0.9275: x + x P(x^2); above: 1 - e^(|x| Q(|x|)), Q fitted to log(erfc) up to 4, where erf is 1 in float32. */
static inline float hf_verf(float x) {
  float a = fabsf(x), z = x * x;
  float p = -5.98813176e-4f;
  p = HF_FMA(p, z, 4.99315488e-3f);
  p = HF_FMA(p, z, -2.67670206e-2f);
  p = HF_FMA(p, z, 0.112818418f);
  p = HF_FMA(p, z, -0.376124979f);
  p = HF_FMA(p, z, 0.128379151f);
  float small = HF_FMA(p, x, x);
  float t = a > 4.0f ? 4.0f : a;
  float q = 2.1327691e-4f;
  q = HF_FMA(q, t, -3.20919209e-3f);
  q = HF_FMA(q, t, 2.28717403e-2f);
  q = HF_FMA(q, t, -0.105233853f);
  q = HF_FMA(q, t, -0.635739212f);
  q = HF_FMA(q, t, -1.12850829f);
  float large = copysignf(1.0f - hf_vexp_negative(q * t), x);
  return a < 0.9275f ? small : large;
}

/* x = 2^e m with m in [sqrt(1/2), sqrt(2)); log m = f - f^2/2 + f^3 P(f), f = m - 1. */
static inline float hf_vlog(float x) {
  int is_denormal = x < 1.17549435e-38f;
  float y = is_denormal ? x * 8388608.0f : x;
  uint32_t bits = hf_bits_of(y), lifted = bits + (0x3f800000u - 0x3f3504f3u);
  float e = (float)((int32_t)(lifted >> 23) - 127) - (is_denormal ? 23.0f : 0.0f);
  float f = hf_float_of((lifted & 0x7fffffu) + 0x3f3504f3u) - 1.0f, z = f * f;
  float p = -7.63442991e-2f;
  p = HF_FMA(p, f, 0.127615504f);
  p = HF_FMA(p, f, -0.131601951f);
  p = HF_FMA(p, f, 0.142017625f);
  p = HF_FMA(p, f, -0.166233565f);
  p = HF_FMA(p, f, 0.200012267f);
  p = HF_FMA(p, f, -0.250008211f);
  p = HF_FMA(p, f, 0.333333317f);
  float low = HF_FMA(p * z, f, e * -2.12194440e-4f);
  low = HF_FMA(z, -0.5f, low);
  float result = HF_FMA(e, 0.693359375f, f + low);
  result = x == INFINITY ? x : result;
  result = x == 0.0f ? -INFINITY : result;
  return x >= 0.0f ? result : NAN;
}

/* The normal distribution function at x, error below 2.5e-7, and its density. Phi(-|x|) = e^(-x^2 / 2) P(u) with
 * u = 1 / (1 + 0.31 |x|), P fitted on 0..1: one exponential serves both. gelu(x) = x Phi(x). The exponential stops at e^-70,
 * so that its products with small factors are no denormal numbers, which cost a hundred cycles each. */
static inline float hf_vnormal(float x, float *density) {
  float e = hf_vexp_down_to(-70.0f, -0.5f * x * x), u = 1.0f / HF_FMA(fabsf(x), 0.31f, 1.0f);
  float p = 3.23827826e-2f;
  p = HF_FMA(p, u, -0.127687461f);
  p = HF_FMA(p, u, 0.132328855f);
  p = HF_FMA(p, u, 4.42541662e-3f);
  p = HF_FMA(p, u, 0.101019897f);
  p = HF_FMA(p, u, 0.110090311f);
  p = HF_FMA(p, u, 0.123769758f);
  p = HF_FMA(p, u, 0.123670404f);
  float tail = p * u * e;
  *density = 0.398942280f * e;
  return x < 0.0f ? tail : 1.0f - tail;
}

static inline float hf_vsigmoid(float x) { return 1.0f / (1.0f + hf_vexp(-x)); }

#endif
