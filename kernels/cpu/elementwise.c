/* Functions of one float, forward and backward, and the in-place helpers of the same shape: flat arrays cut into
 * pieces. Formulas are one line each in the two lists below; PyTorch's conventions at kinks, NaN and infinities. */
#include "element.h"

enum { PIECE = 4096 }; /* elements of one task */

typedef struct Unary {
  float *out;
  const float *dout, *x, *y;
  int64_t n;
  float p;
} Unary;

/* ---- pieces of formulas */

/* log(1 + x) and e^x - 1 where the rounded 1 + x or e^x is u: log(u) / (u - 1) varies so slowly around 1 that its
 * value at u serves for x (Kahan). */
HF_FOLDED float log1p_of(float x) {
  float u = 1.0f + x, d = u - 1.0f, value = hf_vlog(u) * (x / d);
  return d == 0 ? x : u == INFINITY ? u : value;
}
HF_FOLDED float expm1_of(float x) {
  float u = hf_vexp(x), d = u - 1.0f, value = d * (x / hf_vlog(u));
  return d == 0 ? x : d == -1.0f || u > 3e38f ? d : value;
}

/* sigmoid(-x) without overflow for either sign. */
HF_FOLDED float sigmoid_of_negative(float x) {
  float z = hf_exp_or_zero(-fabsf(x));
  return (x < 0 ? 1.0f : z) / (1.0f + z);
}

HF_FOLDED float sign(float x) { return (float)(x > 0) - (float)(x < 0); }

#define SQRT_1_2 0.70710678118654752f
#define SQRT_2_PI 0.79788456080286536f /* sqrt(2 / pi) */
#define INV_SQRT_2PI 0.39894228040143268f
#define TWO_BY_SQRT_PI 1.1283791670955126f

HF_FOLDED float gelu(float x) { return 0.5f * x * (1.0f + hf_verf(x * SQRT_1_2)); }
HF_FOLDED float gelu_slope(float x) {
  return 0.5f * (1.0f + hf_verf(x * SQRT_1_2)) + x * INV_SQRT_2PI * hf_exp_or_zero(-0.5f * x * x);
}

HF_FOLDED float gelu_tanh(float x) {
  return 0.5f * x * (1.0f + hf_vtanh(SQRT_2_PI * (x + 0.044715f * x * x * x)));
}
HF_FOLDED float gelu_tanh_slope(float x) {
  float t = hf_vtanh(SQRT_2_PI * (x + 0.044715f * x * x * x));
  float inner = SQRT_2_PI * (1.0f + 3.0f * 0.044715f * x * x);
  return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * inner;
}

HF_FOLDED float silu_slope(float x) {
  float s = hf_vsigmoid(x);
  return s * (1.0f + x * (1.0f - s));
}

/* x to the power p as PyTorch computes it: common exponents by products and roots. */
HF_FOLDED float power(float x, float p) {
  if (p == 2.0f) return x * x;
  if (p == 3.0f) return x * x * x;
  if (p == 0.5f) return sqrtf(x);
  if (p == -0.5f) return 1.0f / sqrtf(x);
  if (p == -1.0f) return 1.0f / x;
  if (p == -2.0f) return 1.0f / (x * x);
  return powf(x, p);
}
HF_FOLDED float power_slope(float x, float p) { return p == 0.0f ? 0.0f : p * power(x, p - 1.0f); }

/* ---- the functions: F(NAME, function, value of (v, p), gradient of (g, v, y, p) with y the value) */

#define UNARY_FUNCTIONS(F) \
  F(NEG, neg, -v, -g) \
  F(ABS, abs, fabsf(v), g * sign(v)) \
  F(SQUARE, square, v * v, g * (2.0f * v)) \
  F(SQRT, sqrt, sqrtf(v), g / (2.0f * y)) \
  F(RSQRT, rsqrt, 1.0f / sqrtf(v), -0.5f * g * (y * y * y)) \
  F(RECIPROCAL, reciprocal, 1.0f / v, -g * (y * y)) \
  F(EXP, exp, hf_vexp(v), g * y) \
  F(EXPM1, expm1, expm1_of(v), g * (y + 1.0f)) \
  F(LOG, log, hf_vlog(v), g / v) \
  F(LOG1P, log1p, log1p_of(v), g / (v + 1.0f)) \
  F(SIN, sin, sinf(v), g * cosf(v)) \
  F(COS, cos, cosf(v), -g * sinf(v)) \
  F(ERF, erf, hf_verf(v), g * (TWO_BY_SQRT_PI * hf_exp_or_zero(-v * v))) \
  F(TANH, tanh, hf_vtanh(v), g * (1.0f - y * y)) \
  F(SIGMOID, sigmoid, hf_vsigmoid(v), g * ((1.0f - y) * y)) \
  F(LOGSIGMOID, logsigmoid, (v > 0 ? 0.0f : v) - log1p_of(hf_exp_or_zero(-fabsf(v))), g * sigmoid_of_negative(v)) \
  F(SOFTPLUS, softplus, v > 20.0f ? v : log1p_of(hf_vexp(v > 20.0f ? 20.0f : v)), \
    v > 20.0f ? g : g * sigmoid_of_negative(-v)) \
  F(RELU, relu, v <= 0 ? 0.0f : v, v <= 0 ? 0.0f : g) \
  F(LEAKY_RELU, leaky_relu, v > 0 ? v : v * p, v > 0 ? g : g * p) \
  F(ELU, elu, v > 0 ? v : p * expm1_of(v), v > 0 ? g : g * (p * hf_vexp(v))) \
  F(SILU, silu, v / (1.0f + hf_vexp(-v)), g * silu_slope(v)) \
  F(GELU, gelu, gelu(v), g * gelu_slope(v)) \
  F(GELU_TANH, gelu_tanh, gelu_tanh(v), g * gelu_tanh_slope(v)) \
  F(FLOOR, floor, floorf(v), 0.0f) \
  F(CEIL, ceil, ceilf(v), 0.0f) \
  F(ROUND, round, rintf(v), 0.0f) \
  F(TRUNC, trunc, truncf(v), 0.0f) \
  F(SIGN, sign, sign(v), 0.0f) \
  F(POW_SCALAR, pow_scalar, power(v, p), g * power_slope(v, p)) \
  F(ADD_SCALAR, add_scalar, v + p, g) \
  F(MUL_SCALAR, mul_scalar, v * p, g * p) \
  F(RSUB_SCALAR, rsub_scalar, p - v, -g) \
  F(RDIV_SCALAR, rdiv_scalar, p / v, -g * (p / v / v))

#define DEFINE_FUNCTION(NAME, name, value, gradient) \
  static void name##_range(const void *context, int64_t first, int64_t last) { \
    const Unary *u = context; \
    int64_t end = hf_min(last * PIECE, u->n); \
    float p = u->p; \
    (void)p; \
    _Pragma("omp simd") for (int64_t i = first * PIECE; i < end; i++) { \
      float v = u->x[i]; \
      u->out[i] = value; \
    } \
  } \
  static void name##_backward_range(const void *context, int64_t first, int64_t last) { \
    const Unary *u = context; \
    int64_t end = hf_min(last * PIECE, u->n); \
    float p = u->p; \
    (void)p; \
    _Pragma("omp simd") for (int64_t i = first * PIECE; i < end; i++) { \
      float g = u->dout[i], v = u->x[i], y = u->y[i]; \
      (void)g, (void)v, (void)y; \
      u->out[i] = gradient; \
    } \
  }
UNARY_FUNCTIONS(DEFINE_FUNCTION)

#define FORWARD_ENTRY(NAME, name, value, gradient) [HF_##NAME] = name##_range,
static HfRangeFn *const forward[HF_UNARY_COUNT] = {UNARY_FUNCTIONS(FORWARD_ENTRY)};
#define BACKWARD_ENTRY(NAME, name, value, gradient) [HF_##NAME] = name##_backward_range,
static HfRangeFn *const backward[HF_UNARY_COUNT] = {UNARY_FUNCTIONS(BACKWARD_ENTRY)};

static HfStatus run(HfRangeFn *fn, const Unary *u) {
  hf_parallel(hf_ceil_div(u->n, PIECE), u->n, fn, u);
  return HF_OK;
}

static HfStatus unary(float *out, const float *x, int64_t n, HfUnary op, float p) {
  Unary u = {.out = out, .x = x, .n = n, .p = p};
  return run(forward[op], &u);
}

/* x or y may be NULL where the function's gradient does not read it; dout then stands in. */
static HfStatus unary_backward(float *dx, const float *dout, const float *x, const float *y, int64_t n, HfUnary op,
                               float p) {
  Unary u = {.out = dx, .dout = dout, .x = x ? x : dout, .y = y ? y : dout, .n = n, .p = p};
  return run(backward[op], &u);
}

/* ---- clamp, axpy, scale: x is the input, out the array written */

typedef struct Clamp {
  Unary u;
  float low, high;
} Clamp;

static void clamp_range(const void *context, int64_t first, int64_t last) {
  const Clamp *c = context;
  int64_t end = hf_min(last * PIECE, c->u.n);
  float low = c->low, high = c->high;
#pragma omp simd
  for (int64_t i = first * PIECE; i < end; i++) {
    float v = c->u.x[i];
    v = v < low ? low : v;
    c->u.out[i] = v > high ? high : v;
  }
}

static HfStatus clamp(float *out, const float *x, int64_t n, float low, float high) {
  Clamp c = {{.out = out, .x = x, .n = n}, low, high};
  return run(clamp_range, &c.u);
}

static void axpy_range(const void *context, int64_t first, int64_t last) {
  const Unary *u = context;
  int64_t end = hf_min(last * PIECE, u->n);
  float a = u->p;
#pragma omp simd
  for (int64_t i = first * PIECE; i < end; i++) u->out[i] += a * u->x[i];
}

static HfStatus axpy(float *y, const float *x, int64_t n, float a) {
  Unary u = {.out = y, .x = x, .n = n, .p = a};
  return run(axpy_range, &u);
}

static HfStatus scale(float *y, int64_t n, float a) {
  Unary u = {.out = y, .x = y, .n = n, .p = a};
  return run(mul_scalar_range, &u);
}

void HF_CPU(fill_elementwise)(HfKernels *k) {
  k->unary = unary;
  k->unary_backward = unary_backward;
  k->clamp = clamp;
  k->axpy = axpy;
  k->scale = scale;
}
