/* Numbers of a dtype: types of their own for the 16-bit floats, loads and stores through float, and the choice of a
 * kernel's type by dtype. */
#ifndef HF_CUDA_ELEMENT_H
#define HF_CUDA_ELEMENT_H
#include "cuda.h"
#if !defined(HF_EMULATION)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#endif

struct HfHalf { uint16_t bits; };
struct HfBfloat { uint16_t bits; };

static __host__ __device__ __forceinline__ uint32_t hf_bits(float x) {
  uint32_t u;
  memcpy(&u, &x, sizeof u);
  return u;
}
static __host__ __device__ __forceinline__ float hf_from_bits(uint32_t u) {
  float x;
  memcpy(&x, &u, sizeof x);
  return x;
}

static __device__ __forceinline__ float hf_get(float x) { return x; }
static __device__ __forceinline__ float hf_get(HfBfloat x) { return hf_from_bits((uint32_t)x.bits << 16); }
static __device__ __forceinline__ float hf_get(HfHalf x) {
#if defined(HF_EMULATION)
  uint32_t magnitude = hf_bits(hf_from_bits((uint32_t)(x.bits & 0x7fff) << 13) * 0x1p112f);
  uint32_t special = (x.bits & 0x7c00) == 0x7c00 ? 0x7f800000u : 0;
  return hf_from_bits(magnitude | special | (uint32_t)(x.bits & 0x8000) << 16);
#else
  return __half2float(__ushort_as_half(x.bits));
#endif
}

template <class T> __device__ __forceinline__ T hf_put(float x);
template <> __device__ __forceinline__ float hf_put<float>(float x) { return x; }
template <> __device__ __forceinline__ HfBfloat hf_put<HfBfloat>(float x) {
#if defined(HF_EMULATION)
  uint32_t u = hf_bits(x), rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;
  return HfBfloat{(uint16_t)(x != x ? 0x7fc0u : rounded)};
#else
  return HfBfloat{(uint16_t)(x != x ? 0x7fc0u : __bfloat16_as_ushort(__float2bfloat16_rn(x)))};
#endif
}
template <> __device__ __forceinline__ HfHalf hf_put<HfHalf>(float x) {
#if defined(HF_EMULATION)
  uint32_t bits = hf_bits(x), a = bits & 0x7fffffffu;
  uint32_t normal = (a - (112u << 23) + 0xfffu + (a >> 13 & 1)) >> 13;
  uint32_t subnormal = hf_bits(hf_from_bits(a) + 0.5f) - 0x3f000000u;
  uint32_t special = a > 0x7f800000u ? 0x7e00 : 0x7c00, finite = a < 0x38800000u ? subnormal : normal;
  return HfHalf{(uint16_t)((a >= 0x47800000u ? special : finite) | (bits >> 16 & 0x8000))};
#else
  uint16_t h = __half_as_ushort(__float2half_rn(x));
  return HfHalf{(uint16_t)(x != x ? 0x7e00u | (h & 0x8000u) : h)};
#endif
}

static inline size_t hf_element_size(HfDtype dtype) {
  static const uint8_t size[HF_DTYPE_COUNT] = {4, 2, 2, 8, 4, 1, 1};
  return size[dtype];
}
static inline bool hf_is_float(HfDtype dtype) { return dtype <= HF_BFLOAT16; }

/* Runs a statement with T the type of a float dtype. */
#define HF_FLOAT_SWITCH(dtype, ...)                     \
  switch (dtype) {                                      \
  case HF_FLOAT32: { using T = float; __VA_ARGS__; } break;    \
  case HF_FLOAT16: { using T = HfHalf; __VA_ARGS__; } break;   \
  case HF_BFLOAT16: { using T = HfBfloat; __VA_ARGS__; } break; \
  default: return HF_UNSUPPORTED;                       \
  }
/* With T an unsigned type of a size in bytes. */
#define HF_SIZE_SWITCH(size, ...)                       \
  switch (size) {                                       \
  case 1: { using T = uint8_t; __VA_ARGS__; } break;    \
  case 2: { using T = uint16_t; __VA_ARGS__; } break;   \
  case 4: { using T = uint32_t; __VA_ARGS__; } break;   \
  case 8: { using T = uint64_t; __VA_ARGS__; } break;   \
  default: return HF_UNSUPPORTED;                       \
  }

/* ---- vectors: V elements of T read and written at once, where addresses are aligned */
template <class T, int V> struct alignas(sizeof(T) * V) HfVector { T v[V]; };

/* ---- the counter-based generator of kernels.h on the device */
static __device__ __forceinline__ uint32_t hf_mix(uint32_t x) {
  x ^= x >> 16; x *= 0x85ebca6bu;
  x ^= x >> 13; x *= 0xc2b2ae35u;
  return x ^ (x >> 16);
}
static __device__ __forceinline__ uint32_t hf_random_bits(uint64_t key, uint64_t i) {
  uint32_t x = hf_mix((uint32_t)i ^ (uint32_t)key) + (uint32_t)(i >> 32);
  return hf_mix(x ^ (uint32_t)(key >> 32));
}
static __device__ __forceinline__ uint64_t hf_mix_key(uint64_t x) {
  x ^= x >> 30, x *= 0xbf58476d1ce4e5b9u;
  x ^= x >> 27, x *= 0x94d049bb133111ebu;
  return x ^ x >> 31;
}
/* uniform >= p is bits24 >= ceil(p 2^24). */
struct HfDropout {
  uint64_t key;
  const uint64_t *cell; /* see HfDropoutKey; a kernel calls open() before it draws */
  uint32_t threshold;
  float scale; /* of what is kept */
  __device__ __forceinline__ void open() {
    if (cell) key = hf_mix_key(*cell + key);
  }
  __device__ __forceinline__ float operator()(float value, uint64_t i) const {
    return hf_random_bits(key, i) >> 8 >= threshold ? value * scale : 0.0f;
  }
};
static inline HfDropout hf_dropout_of(float p, HfDropoutKey key) {
  return HfDropout{key.key, key.cell, (uint32_t)ceil((double)p * 16777216.0), 1.0f / (1.0f - p)};
}
#endif
