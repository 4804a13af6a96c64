/* One value of a dtype, read and written. With `dtype` a constant of the caller these fold to one conversion, and
 * the loops around them vectorise. */
#ifndef HF_CPU_ELEMENT_H
#define HF_CPU_ELEMENT_H
#include "parallel.h"
#include "vmath.h"

#define HF_FOLDED static inline __attribute__((always_inline))

static inline size_t hf_element_size(HfDtype dtype) {
  static const uint8_t size[HF_DTYPE_COUNT] = {4, 2, 2, 8, 4, 1, 1};
  return size[dtype];
}
static inline bool hf_is_float(HfDtype dtype) { return dtype <= HF_BFLOAT16; }

/* float16: the exponent is moved from bias 15 to 127 by a product with 2^112, which also normalises subnormals. */
HF_FOLDED float hf_f16_to_float(uint16_t h) {
  uint32_t magnitude = hf_bits_of(hf_float_of((uint32_t)(h & 0x7fff) << 13) * 0x1p112f);
  uint32_t special = (h & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
  return hf_float_of(magnitude | special | (uint32_t)(h & 0x8000) << 16);
}

/* Round to nearest even. Normal results: rounding add on the bits; subnormal ones: adding 0.5 leaves them rounded in
 * the low bits of the sum; 65536 and above: infinity, NaN stays NaN. */
HF_FOLDED uint16_t hf_float_to_f16(float x) {
  uint32_t bits = hf_bits_of(x), a = bits & 0x7fffffffu;
  uint32_t normal = (a - (112u << 23) + 0xfffu + (a >> 13 & 1)) >> 13;
  uint32_t subnormal = hf_bits_of(hf_float_of(a) + 0.5f) - 0x3f000000u;
  uint32_t special = a > 0x7f800000u ? 0x7e00 : 0x7c00;
  uint32_t finite = a < 0x38800000u ? subnormal : normal;
  return (uint16_t)((a >= 0x47800000u ? special : finite) | (bits >> 16 & 0x8000));
}

/* As hf_float_to_bf16 without a branch; every NaN becomes the same one. */
HF_FOLDED uint16_t hf_round_bf16(float x) {
  uint32_t u = hf_bits_of(x), rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;
  return (uint16_t)(x != x ? 0x7fc0u : rounded);
}

HF_FOLDED float hf_load(const void *x, int64_t i, HfDtype dtype) {
  if (dtype == HF_FLOAT32) return ((const float *)x)[i];
  uint16_t h = ((const uint16_t *)x)[i];
  return dtype == HF_BFLOAT16 ? hf_bf16_to_float(h) : hf_f16_to_float(h);
}
HF_FOLDED void hf_store(void *x, int64_t i, float value, HfDtype dtype) {
  if (dtype == HF_FLOAT32) ((float *)x)[i] = value;
  else ((uint16_t *)x)[i] = dtype == HF_BFLOAT16 ? hf_round_bf16(value) : hf_float_to_f16(value);
}
/* The value as the dtype keeps it. */
HF_FOLDED float hf_rounded(float value, HfDtype dtype) {
  if (dtype == HF_FLOAT32) return value;
  return dtype == HF_BFLOAT16 ? hf_bf16_to_float(hf_round_bf16(value)) : hf_f16_to_float(hf_float_to_f16(value));
}

/* e^x for x <= 0 (or hardly above), with 0 in place of what is below 3e-38: what softmax needs. NaN stays. */
HF_FOLDED float hf_exp_or_zero(float x) { return x < -86.5f ? 0.0f : hf_vexp_negative(x); }

/* Address of element i. */
HF_FOLDED const void *hf_at(const void *x, int64_t i, HfDtype dtype) {
  return (const char *)x + i * (int64_t)(dtype == HF_FLOAT32 ? 4 : 2);
}
HF_FOLDED void *hf_at_mut(void *x, int64_t i, HfDtype dtype) {
  return (char *)x + i * (int64_t)(dtype == HF_FLOAT32 ? 4 : 2);
}

/* The body's three copies, one per float dtype, as range functions NAME_float32, NAME_float16, NAME_bfloat16; and
 * NAME_of[dtype]. The body is an HF_FOLDED function NAME(context, first, last, dtype). */
#define HF_PER_FLOAT(NAME) \
  static void NAME##_float32(const void *c, int64_t first, int64_t last) { NAME(c, first, last, HF_FLOAT32); } \
  static void NAME##_float16(const void *c, int64_t first, int64_t last) { NAME(c, first, last, HF_FLOAT16); } \
  static void NAME##_bfloat16(const void *c, int64_t first, int64_t last) { NAME(c, first, last, HF_BFLOAT16); } \
  static HfRangeFn *const NAME##_of[3] = {NAME##_float32, NAME##_float16, NAME##_bfloat16};

#endif
