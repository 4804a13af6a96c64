/* Strided copies with conversion, fill and arange. Same-dtype rows are copied; a walk whose operands prefer different
 * dims (a transpose) goes in square tiles, so that both sides stay in the cache. */
#include "element.h"
#include "layout.h"
#include <string.h>

typedef struct Cast {
  void *out;
  const void *in;
} Cast;

/* ---- one row from dtype to dtype. Integers travel as int64, floats as float. */

/* The x86 conversion: what has no int64 gives the least one. */
HF_FOLDED int64_t truncate(float x) { return x >= -0x1p63f && x < 0x1p63f ? (int64_t)x : INT64_MIN; }

HF_FOLDED int64_t load_integer(const void *x, int64_t i, HfDtype dtype) {
  switch (dtype) {
  case HF_INT64: return ((const int64_t *)x)[i];
  case HF_INT32: return ((const int32_t *)x)[i];
  default: return ((const uint8_t *)x)[i];
  }
}
HF_FOLDED void store_integer(void *x, int64_t i, int64_t value, HfDtype dtype) {
  switch (dtype) {
  case HF_INT64: ((int64_t *)x)[i] = value; break;
  case HF_INT32: ((int32_t *)x)[i] = (int32_t)value; break;
  case HF_BOOL: ((uint8_t *)x)[i] = value != 0; break;
  default: ((uint8_t *)x)[i] = (uint8_t)value;
  }
}

HF_FOLDED void convert(void *out, int64_t o, HfDtype out_dtype, const void *in, int64_t i, HfDtype in_dtype) {
  bool to_float = out_dtype <= HF_BFLOAT16, from_float = in_dtype <= HF_BFLOAT16;
  if (from_float) {
    float value = hf_load(in, i, in_dtype);
    if (to_float) hf_store(out, o, value, out_dtype);
    else if (out_dtype == HF_BOOL) ((uint8_t *)out)[o] = value != 0;
    else store_integer(out, o, truncate(value), out_dtype);
  } else {
    int64_t value = load_integer(in, i, in_dtype);
    if (to_float) hf_store(out, o, (float)value, out_dtype);
    else store_integer(out, o, value, out_dtype);
  }
}

HF_FOLDED void convert_row(const HfRow *row, const Cast *c, HfDtype out_dtype, HfDtype in_dtype) {
  char *out = (char *)c->out + row->offset[0] * (int64_t)hf_element_size(out_dtype);
  const char *in = (const char *)c->in + row->offset[1] * (int64_t)hf_element_size(in_dtype);
  int64_t n = row->n, so = row->step[0], si = row->step[1];
  if (so == 1 && si == 1) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) convert(out, i, out_dtype, in, i, in_dtype);
  } else {
    for (int64_t i = 0; i < n; i++) convert(out, i * so, out_dtype, in, i * si, in_dtype);
  }
}

#define DTYPES(F, ARG) \
  F(ARG, FLOAT32) F(ARG, FLOAT16) F(ARG, BFLOAT16) F(ARG, INT64) F(ARG, INT32) F(ARG, UINT8) F(ARG, BOOL)
#define DTYPES_AGAIN(F, ARG) \
  F(ARG, FLOAT32) F(ARG, FLOAT16) F(ARG, BFLOAT16) F(ARG, INT64) F(ARG, INT32) F(ARG, UINT8) F(ARG, BOOL)
#define DEFINE_CONVERSION(OUT, IN) \
  static void IN##_to_##OUT(const HfRow *row, const void *c) { convert_row(row, c, HF_##OUT, HF_##IN); }
#define DEFINE_CONVERSIONS(_, OUT) DTYPES_AGAIN(DEFINE_CONVERSION, OUT)
DTYPES(DEFINE_CONVERSIONS, _)

#define CONVERSION_ENTRY(OUT, IN) [HF_##IN] = IN##_to_##OUT,
#define CONVERSION_ENTRIES(_, OUT) [HF_##OUT] = {DTYPES_AGAIN(CONVERSION_ENTRY, OUT)},
static HfRowFn *const conversions[HF_DTYPE_COUNT][HF_DTYPE_COUNT] = {DTYPES(CONVERSION_ENTRIES, _)};

/* ---- copies of one dtype, by element size */

#define DEFINE_COPY(NAME, T) \
  static void NAME(const HfRow *row, const void *context) { \
    const Cast *c = context; \
    T *out = (T *)c->out + row->offset[0]; \
    const T *in = (const T *)c->in + row->offset[1]; \
    int64_t n = row->n, so = row->step[0], si = row->step[1]; \
    if (so == 1 && si == 1) memcpy(out, in, (size_t)n * sizeof(T)); \
    else if (so == 1 && si == 0) { \
      T value = *in; \
      for (int64_t i = 0; i < n; i++) out[i] = value; \
    } else \
      for (int64_t i = 0; i < n; i++) out[i * so] = in[i * si]; \
  }
DEFINE_COPY(copy_1, uint8_t)
DEFINE_COPY(copy_2, uint16_t)
DEFINE_COPY(copy_4, uint32_t)
DEFINE_COPY(copy_8, uint64_t)
static HfRowFn *const copies[9] = {[1] = copy_1, [2] = copy_2, [4] = copy_4, [8] = copy_8};

/* ---- transposes: dim 0 of the two crossed dims runs along the input, dim 1 along the output. A tile is read in runs
 * along the input into a small buffer, from there its rows are written along the output. */

enum { TILE = 32 };

typedef struct Tiles {
  const HfLayout *outer; /* without the two crossed dims */
  int64_t shape[2], stride[2][2]; /* of the crossed dims: [operand][dim] */
  HfDtype in_dtype;
  HfRowFn *fn; /* from the buffer to the output */
  const Cast *cast;
} Tiles;

/* buffer[a][b] = in[b * stride[1] + a * stride[0]] */
#define DEFINE_READ_TILE(NAME, T) \
  static void NAME(void *to, const void *from, const int64_t *shape, const int64_t *stride) { \
    T *buffer = to; \
    const T *in = from; \
    for (int64_t b = 0; b < shape[1]; b++) \
      for (int64_t a = 0; a < shape[0]; a++) buffer[a * TILE + b] = in[b * stride[1] + a * stride[0]]; \
  }
DEFINE_READ_TILE(read_tile_1, uint8_t)
DEFINE_READ_TILE(read_tile_2, uint16_t)
DEFINE_READ_TILE(read_tile_4, uint32_t)
DEFINE_READ_TILE(read_tile_8, uint64_t)
typedef void ReadTileFn(void *to, const void *from, const int64_t *shape, const int64_t *stride);
static ReadTileFn *const read_tile[9] = {[1] = read_tile_1, [2] = read_tile_2, [4] = read_tile_4, [8] = read_tile_8};

static void copy_tile(const Tiles *t, const int64_t *start, int64_t a, int64_t b) {
  uint64_t buffer[TILE * TILE];
  size_t size = hf_element_size(t->in_dtype);
  int64_t shape[2] = {hf_min(TILE, t->shape[0] - a), hf_min(TILE, t->shape[1] - b)};
  int64_t from = start[1] + a * t->stride[1][0] + b * t->stride[1][1];
  read_tile[size](buffer, (const char *)t->cast->in + from * (int64_t)size, shape, t->stride[1]);
  Cast cast = {t->cast->out, buffer};
  for (int64_t i = 0; i < shape[0]; i++) {
    int64_t to = start[0] + (a + i) * t->stride[0][0] + b * t->stride[0][1];
    HfRow row = {.n = shape[1], .offset = {to, i * TILE}, .step = {t->stride[0][1], 1}};
    t->fn(&row, &cast);
  }
}

/* A unit is one stripe of tiles: TILE indices of the first crossed dim, all of the second. */
static void copy_stripes(const void *context, int64_t first, int64_t last) {
  const Tiles *t = context;
  int64_t stripes = hf_ceil_div(t->shape[0], TILE), index[HF_MAX_DIMS], start[4];
  for (int64_t u = first; u < last; u++) {
    hf_layout_seek(t->outer, 2, u / stripes, index, start);
    for (int64_t b = 0; b < t->shape[1]; b += TILE) copy_tile(t, start, u % stripes * TILE, b);
  }
}

static int64_t magnitude(int64_t x) { return x < 0 ? -x : x; }

/* The dim along which the operand's elements lie closest. */
static int closest_dim(const HfLayout *l, int operand) {
  int best = l->ndim - 1;
  for (int d = l->ndim - 2; d >= 0; d--)
    if (l->stride[operand][d] != 0 && magnitude(l->stride[operand][d]) < magnitude(l->stride[operand][best])) best = d;
  return best;
}

static void transpose(const HfLayout *l, int along_in, int along_out, HfDtype in_dtype, HfRowFn *fn, const Cast *cast) {
  HfLayout outer = {0};
  for (int d = 0; d < l->ndim; d++)
    if (d != along_in && d != along_out) hf_layout_push(&outer, l, d, 2);
  outer.shape[outer.ndim++] = 1; /* hf_layout_seek leaves the last dim out */
  Tiles t = {.outer = &outer, .shape = {l->shape[along_in], l->shape[along_out]},
             .in_dtype = in_dtype, .fn = fn, .cast = cast};
  for (int k = 0; k < 2; k++) t.stride[k][0] = l->stride[k][along_in], t.stride[k][1] = l->stride[k][along_out];
  int64_t count = hf_layout_count(l);
  hf_parallel(hf_layout_count(&outer) * hf_ceil_div(t.shape[0], TILE), count, copy_stripes, &t);
}

static HfStatus cast(void *out, HfDtype out_dtype, const void *in, HfDtype in_dtype, const HfLayout *layout) {
  if (hf_layout_count(layout) == 0) return HF_OK;
  Cast c = {out, in};
  HfRowFn *fn = out_dtype == in_dtype ? copies[hf_element_size(in_dtype)] : conversions[out_dtype][in_dtype];
  HfLayout l = hf_layout_collapse(layout, 2);
  int along_in = closest_dim(&l, 1), along_out = closest_dim(&l, 0);
  if (along_in != along_out) transpose(&l, along_in, along_out, in_dtype, fn, &c);
  else hf_layout_walk(&l, 2, fn, &c);
  return HF_OK;
}

/* ---- fill: the value is converted once, then copied with stride 0 */

static void write_value(void *out, HfDtype dtype, double value) {
  int64_t integer = value >= -0x1p63 && value < 0x1p63 ? (int64_t)value : INT64_MIN;
  if (dtype <= HF_BFLOAT16) hf_store(out, 0, (float)value, dtype);
  else if (dtype == HF_BOOL) *(uint8_t *)out = value != 0;
  else store_integer(out, 0, integer, dtype);
}

static HfStatus fill(void *out, HfDtype dtype, double value, const HfLayout *layout) {
  uint64_t element;
  write_value(&element, dtype, value);
  HfLayout l = *layout;
  memset(l.stride[1], 0, sizeof l.stride[1]);
  Cast c = {out, &element};
  hf_layout_walk(&l, 2, copies[hf_element_size(dtype)], &c);
  return HF_OK;
}

static HfStatus arange(void *out, HfDtype dtype, double start, double step, int64_t n) {
  int64_t size = (int64_t)hf_element_size(dtype);
  for (int64_t i = 0; i < n; i++) write_value((char *)out + i * size, dtype, start + (double)i * step);
  return HF_OK;
}

void HF_CPU(fill_cast)(HfKernels *k) {
  k->cast = cast;
  k->fill = fill;
  k->arange = arange;
}
