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

/* ---- vectors: V neighbouring elements, loaded and stored 16 bytes at a time. Kernels have a V of 8 for rows whose length and
 * addresses allow it, and of 1 for the others. */
template <class T, int V> struct alignas(sizeof(T) * V < 16 ? sizeof(T) * V : 16) HfVector { T v[V]; };

template <int V, class T> __device__ __forceinline__ void hf_load(float (&to)[V], const T *from) {
  HfVector<T, V> x = *(const HfVector<T, V> *)from;
  HF_UNROLL for (int v = 0; v < V; v++) to[v] = hf_get(x.v[v]);
}
template <int V, class T> __device__ __forceinline__ void hf_store(T *to, const float (&from)[V]) {
  HfVector<T, V> x;
  HF_UNROLL for (int v = 0; v < V; v++) x.v[v] = hf_put<T>(from[v]);
  *(HfVector<T, V> *)to = x;
}
/* Are all of these multiples of 16 bytes? NULL is. */
template <class... P> static inline bool hf_is_aligned(P... p) { return (((uintptr_t)p | ...) & 15) == 0; }
/* Calls f(i, values) with the numbers of a row from i on: eight where they begin at a multiple of 16 bytes, single ones before and
 * behind them, and everywhere where not `wide`. The threads of a block share the work. f may write where it has read. */
template <class T, class F> __device__ __forceinline__ void hf_each_of_row(const T *x, int64_t n, bool wide, F f) {
  int64_t before = wide ? hf_min(n, (int64_t)((16 - ((uintptr_t)x & 15)) & 15) / (int64_t)sizeof(T)) : n, vectors = (n - before) / 8, rest = before + 8 * vectors;
  float one[1], eight[8];
  for (int64_t i = threadIdx.x; i < before + n - rest; i += blockDim.x) {
    int64_t at = i < before ? i : i - before + rest;
    hf_load(one, x + at);
    f(at, one);
  }
  for (int64_t i = threadIdx.x; i < vectors; i += blockDim.x) {
    hf_load(eight, x + before + 8 * i);
    f(before + 8 * i, eight);
  }
}
/* Runs a statement with V. */
#define HF_VECTOR_SWITCH(wide, ...)    \
  if (wide) { enum { V = 8 }; __VA_ARGS__; } \
  else { enum { V = 1 }; __VA_ARGS__; }

/* ---- dropout by the counter-based generator of kernels.h */
/* uniform >= p is bits24 >= ceil(p 2^24). */
struct HfDropout {
  uint64_t key;
  const uint64_t *cell; /* see HfDropoutKey; a kernel calls open() before it draws */
  uint32_t threshold;
  float scale; /* of what is kept */
  __device__ __forceinline__ void open() {
    if (cell) key = hf_key_mix(*cell + key);
  }
  __device__ __forceinline__ float operator()(float value, uint64_t i) const {
    return hf_counter_bits(key, i) >> 8 >= threshold ? value * scale : 0.0f;
  }
};
static inline HfDropout hf_dropout_of(float p, HfDropoutKey key) {
  return HfDropout{key.key, key.cell, (uint32_t)ceil((double)p * 16777216.0), 1.0f / (1.0f - p)};
}
#endif
