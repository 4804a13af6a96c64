/* Functions of one value and their slopes, with PyTorch's conventions at kinks, NaN and infinities. The choice of function is
 * the same for all threads, so that a switch costs nothing beside the memory traffic. */
#ifndef HF_CUDA_FUNCTIONS_H
#define HF_CUDA_FUNCTIONS_H
#include "cuda.h"

#define HF_SQRT_1_2 0.70710678118654752f
#define HF_SQRT_2_PI 0.79788456080286536f
#define HF_INV_SQRT_2PI 0.39894228040143268f
#define HF_TWO_BY_SQRT_PI 1.1283791670955126f
#define HF_INLINE static __device__ __forceinline__

HF_INLINE float hf_sigmoid(float x) { return 1.0f / (1.0f + expf(-x)); }
/* sigmoid(-x) without overflow for either sign */
HF_INLINE float hf_sigmoid_of_negative(float x) {
  float z = expf(-fabsf(x));
  return (x < 0 ? 1.0f : z) / (1.0f + z);
}
HF_INLINE float hf_sign(float x) { return (float)(x > 0) - (float)(x < 0); }

HF_INLINE float hf_gelu(float x) { return 0.5f * x * (1.0f + erff(x * HF_SQRT_1_2)); }
HF_INLINE float hf_gelu_slope(float x) {
  return 0.5f * (1.0f + erff(x * HF_SQRT_1_2)) + x * HF_INV_SQRT_2PI * expf(-0.5f * x * x);
}
HF_INLINE float hf_gelu_tanh(float x) { return 0.5f * x * (1.0f + tanhf(HF_SQRT_2_PI * (x + 0.044715f * x * x * x))); }
HF_INLINE float hf_gelu_tanh_slope(float x) {
  float t = tanhf(HF_SQRT_2_PI * (x + 0.044715f * x * x * x));
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * HF_SQRT_2_PI * (1.0f + 3.0f * 0.044715f * x * x);
}
HF_INLINE float hf_silu(float x) { return x / (1.0f + expf(-x)); }
HF_INLINE float hf_silu_slope(float x) {
  float s = hf_sigmoid(x);
  return s * (1.0f + x * (1.0f - s));
}

/* Common exponents by products and roots. */
HF_INLINE float hf_power(float x, float p) {
  if (p == 2.0f) return x * x;
  if (p == 3.0f) return x * x * x;
  if (p == 0.5f) return sqrtf(x);
  if (p == -0.5f) return 1.0f / sqrtf(x);
  if (p == -1.0f) return 1.0f / x;
  if (p == -2.0f) return 1.0f / (x * x);
  return powf(x, p);
}

HF_INLINE float hf_unary_value(HfUnary op, float v, float p) {
  switch (op) {
  case HF_NEG: return -v;
  case HF_ABS: return fabsf(v);
  case HF_SQUARE: return v * v;
  case HF_SQRT: return sqrtf(v);
  case HF_RSQRT: return 1.0f / sqrtf(v);
  case HF_RECIPROCAL: return 1.0f / v;
  case HF_EXP: return expf(v);
  case HF_EXPM1: return expm1f(v);
  case HF_LOG: return logf(v);
  case HF_LOG1P: return log1pf(v);
  case HF_SIN: return sinf(v);
  case HF_COS: return cosf(v);
  case HF_ERF: return erff(v);
  case HF_TANH: return tanhf(v);
  case HF_SIGMOID: return hf_sigmoid(v);
  case HF_LOGSIGMOID: return (v > 0 ? 0.0f : v) - log1pf(expf(-fabsf(v)));
  case HF_SOFTPLUS: return v > 20.0f ? v : log1pf(expf(v));
  case HF_RELU: return v <= 0 ? 0.0f : v;
  case HF_LEAKY_RELU: return v > 0 ? v : v * p;
  case HF_ELU: return v > 0 ? v : p * expm1f(v);
  case HF_SILU: return hf_silu(v);
  case HF_GELU: return hf_gelu(v);
  case HF_GELU_TANH: return hf_gelu_tanh(v);
  case HF_FLOOR: return floorf(v);
  case HF_CEIL: return ceilf(v);
  case HF_ROUND: return rintf(v);
  case HF_TRUNC: return truncf(v);
  case HF_SIGN: return hf_sign(v);
  case HF_POW_SCALAR: return hf_power(v, p);
  case HF_ADD_SCALAR: return v + p;
  case HF_MUL_SCALAR: return v * p;
  case HF_RSUB_SCALAR: return p - v;
  default: return p / v;
  }
}

/* g times the slope at v, where the value is y */
HF_INLINE float hf_unary_gradient(HfUnary op, float g, float v, float y, float p) {
  switch (op) {
  case HF_NEG: case HF_RSUB_SCALAR: return -g;
  case HF_ABS: return g * hf_sign(v);
  case HF_SQUARE: return g * (2.0f * v);
  case HF_SQRT: return g / (2.0f * y);
  case HF_RSQRT: return -0.5f * g * (y * y * y);
  case HF_RECIPROCAL: return -g * (y * y);
  case HF_EXP: return g * y;
  case HF_EXPM1: return g * (y + 1.0f);
  case HF_LOG: return g / v;
  case HF_LOG1P: return g / (v + 1.0f);
  case HF_SIN: return g * cosf(v);
  case HF_COS: return -g * sinf(v);
  case HF_ERF: return g * (HF_TWO_BY_SQRT_PI * expf(-v * v));
  case HF_TANH: return g * (1.0f - y * y);
  case HF_SIGMOID: return g * ((1.0f - y) * y);
  case HF_LOGSIGMOID: return g * hf_sigmoid_of_negative(v);
  case HF_SOFTPLUS: return v > 20.0f ? g : g * hf_sigmoid_of_negative(-v);
  case HF_RELU: return v <= 0 ? 0.0f : g;
  case HF_LEAKY_RELU: return v > 0 ? g : g * p;
  case HF_ELU: return v > 0 ? g : g * (p * expf(v));
  case HF_SILU: return g * hf_silu_slope(v);
  case HF_GELU: return g * hf_gelu_slope(v);
  case HF_GELU_TANH: return g * hf_gelu_tanh_slope(v);
  case HF_POW_SCALAR: return p == 0.0f ? 0.0f : g * (p * hf_power(v, p - 1.0f));
  case HF_ADD_SCALAR: return g;
  case HF_MUL_SCALAR: return g * p;
  case HF_RDIV_SCALAR: return -g * (p / v / v);
  default: return 0.0f; /* steps */
  }
}

/* Activations of products. */
HF_INLINE float hf_activate(float x, HfActivation activation) {
  switch (activation) {
  case HF_ACT_GELU: return hf_gelu(x);
  case HF_ACT_GELU_TANH: return hf_gelu_tanh(x);
  case HF_ACT_RELU: return x < 0 ? 0.0f : x;
  case HF_ACT_SILU: return hf_silu(x);
  case HF_ACT_TANH: return tanhf(x);
  default: return x;
  }
}
HF_INLINE float hf_activation_slope(float x, HfActivation activation) {
  float t;
  switch (activation) {
  case HF_ACT_GELU: return hf_gelu_slope(x);
  case HF_ACT_GELU_TANH: return hf_gelu_tanh_slope(x);
  case HF_ACT_RELU: return x > 0 ? 1.0f : 0.0f;
  case HF_ACT_SILU: return hf_silu_slope(x);
  case HF_ACT_TANH: return t = tanhf(x), 1.0f - t * t;
  default: return 1.0f;
  }
}
#endif
