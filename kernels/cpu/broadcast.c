/* Element-wise functions of strided operands: binary arithmetic, comparisons, where. One row function per operation
 * and dtype, with loops of their own for rows that are contiguous or have one operand fixed. */
#include "element.h"
#include "layout.h"

typedef struct Operands {
  void *out;
  const void *a, *b, *condition;
} Operands;

/* The row function NAME: out[i] = value of (x, y), TOUT and T the types. The cases are the common strides. */
#define DEFINE_ROW(NAME, TOUT, T, value) \
  static void NAME(const HfRow *row, const void *context) { \
    const Operands *o = context; \
    TOUT *out = (TOUT *)o->out + row->offset[0]; \
    const T *a = (const T *)o->a + row->offset[1], *b = (const T *)o->b + row->offset[2]; \
    int64_t n = row->n, so = row->step[0], sa = row->step[1], sb = row->step[2]; \
    if (so == 1 && sa == 1 && sb == 1) { \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) { \
        T x = a[i], y = b[i]; \
        out[i] = value; \
      } \
    } else if (so == 1 && sa == 1 && sb == 0) { \
      T y = *b; \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) { \
        T x = a[i]; \
        out[i] = value; \
      } \
    } else if (so == 1 && sa == 0 && sb == 1) { \
      T x = *a; \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) { \
        T y = b[i]; \
        out[i] = value; \
      } \
    } else { \
      for (int64_t i = 0; i < n; i++) { \
        T x = a[i * sa], y = b[i * sb]; \
        out[i * so] = value; \
      } \
    } \
  }

/* Wrapping 64-bit arithmetic, as PyTorch's; division truncates, by 0 gives 0. */
static inline int64_t divide(int64_t x, int64_t y) {
  if (y == 0) return 0;
  return y == -1 ? (int64_t)(0 - (uint64_t)x) : x / y;
}

/* A negative exponent leaves the truncated quotient: 1 for 1, +-1 for -1, else 0. */
static int64_t power(int64_t x, int64_t y) {
  if (y < 0) return x == 1 ? 1 : x == -1 ? (y & 1 ? -1 : 1) : 0;
  uint64_t result = 1, factor = (uint64_t)x;
  for (; y; y >>= 1, factor *= factor)
    if (y & 1) result *= factor;
  return (int64_t)result;
}

#define WRAP(op) (int64_t)((uint64_t)x op (uint64_t)y)

DEFINE_ROW(add_float, float, float, x + y)
DEFINE_ROW(sub_float, float, float, x - y)
DEFINE_ROW(mul_float, float, float, x *y)
DEFINE_ROW(div_float, float, float, x / y)
DEFINE_ROW(maximum_float, float, float, x > y || x != x ? x : y)
DEFINE_ROW(minimum_float, float, float, x < y || x != x ? x : y)
DEFINE_ROW(pow_float, float, float, powf(x, y))
DEFINE_ROW(add_int64, int64_t, int64_t, WRAP(+))
DEFINE_ROW(sub_int64, int64_t, int64_t, WRAP(-))
DEFINE_ROW(mul_int64, int64_t, int64_t, WRAP(*))
DEFINE_ROW(div_int64, int64_t, int64_t, divide(x, y))
DEFINE_ROW(maximum_int64, int64_t, int64_t, x > y ? x : y)
DEFINE_ROW(minimum_int64, int64_t, int64_t, x < y ? x : y)
DEFINE_ROW(pow_int64, int64_t, int64_t, power(x, y))

#define DEFINE_COMPARE(NAME, op) \
  DEFINE_ROW(NAME##_float, uint8_t, float, x op y) \
  DEFINE_ROW(NAME##_int64, uint8_t, int64_t, x op y)
DEFINE_COMPARE(eq, ==)
DEFINE_COMPARE(ne, !=)
DEFINE_COMPARE(lt, <)
DEFINE_COMPARE(le, <=)
DEFINE_COMPARE(gt, >)
DEFINE_COMPARE(ge, >=)

static HfRowFn *const binary_rows[HF_BINARY_COUNT][2] = {
    [HF_ADD] = {add_float, add_int64},
    [HF_SUB] = {sub_float, sub_int64},
    [HF_MUL] = {mul_float, mul_int64},
    [HF_DIV] = {div_float, div_int64},
    [HF_MAXIMUM] = {maximum_float, maximum_int64},
    [HF_MINIMUM] = {minimum_float, minimum_int64},
    [HF_POW] = {pow_float, pow_int64},
};
static HfRowFn *const compare_rows[HF_COMPARE_COUNT][2] = {
    [HF_EQ] = {eq_float, eq_int64}, [HF_NE] = {ne_float, ne_int64}, [HF_LT] = {lt_float, lt_int64},
    [HF_LE] = {le_float, le_int64}, [HF_GT] = {gt_float, gt_int64}, [HF_GE] = {ge_float, ge_int64},
};

static HfStatus run(HfRowFn *const rows[2], const Operands *o, HfDtype dtype, const HfLayout *layout) {
  if (dtype != HF_FLOAT32 && dtype != HF_INT64) return HF_UNSUPPORTED;
  hf_layout_walk(layout, 3, rows[dtype == HF_INT64], o);
  return HF_OK;
}

static HfStatus binary(void *out, const void *a, const void *b, HfDtype dtype, const HfLayout *layout, HfBinary op) {
  Operands o = {.out = out, .a = a, .b = b};
  return run(binary_rows[op], &o, dtype, layout);
}

static HfStatus compare(uint8_t *out, const void *a, const void *b, HfDtype dtype, const HfLayout *layout,
                        HfCompare op) {
  Operands o = {.out = out, .a = a, .b = b};
  return run(compare_rows[op], &o, dtype, layout);
}

/* ---- where, by element size; operands out, condition, a, b */

#define DEFINE_WHERE(NAME, T) \
  static void NAME(const HfRow *row, const void *context) { \
    const Operands *o = context; \
    T *out = (T *)o->out + row->offset[0]; \
    const uint8_t *condition = (const uint8_t *)o->condition + row->offset[1]; \
    const T *a = (const T *)o->a + row->offset[2], *b = (const T *)o->b + row->offset[3]; \
    int64_t n = row->n, so = row->step[0], sc = row->step[1], sa = row->step[2], sb = row->step[3]; \
    if (so == 1 && sc == 1 && sa == 1 && sb == 1) { \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) out[i] = condition[i] ? a[i] : b[i]; \
    } else if (so == 1 && sc == 1 && sa == 0 && sb == 1) { \
      T x = *a; \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) out[i] = condition[i] ? x : b[i]; \
    } else if (so == 1 && sc == 1 && sa == 1 && sb == 0) { \
      T y = *b; \
      _Pragma("omp simd") for (int64_t i = 0; i < n; i++) out[i] = condition[i] ? a[i] : y; \
    } else { \
      for (int64_t i = 0; i < n; i++) out[i * so] = condition[i * sc] ? a[i * sa] : b[i * sb]; \
    } \
  }
DEFINE_WHERE(where_1, uint8_t)
DEFINE_WHERE(where_2, uint16_t)
DEFINE_WHERE(where_4, uint32_t)
DEFINE_WHERE(where_8, uint64_t)

static HfStatus where(void *out, const uint8_t *condition, const void *a, const void *b, HfDtype dtype,
                      const HfLayout *layout) {
  static HfRowFn *const rows[9] = {[1] = where_1, [2] = where_2, [4] = where_4, [8] = where_8};
  Operands o = {.out = out, .a = a, .b = b, .condition = condition};
  hf_layout_walk(layout, 4, rows[hf_element_size(dtype)], &o);
  return HF_OK;
}

void HF_CPU(fill_broadcast)(HfKernels *k) {
  k->binary = binary;
  k->compare = compare;
  k->where = where;
}
