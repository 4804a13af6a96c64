/* The register tile of our own products and the packing of its operands; used by product.c and attention.c.
 *
 * A tile of C is HF_TILE_ROWS x HF_TILE_COLUMNS: as many vector accumulators as the registers hold. B comes in panels
 * of HF_TILE_COLUMNS columns, (k, HF_TILE_COLUMNS) each, zeros beyond the matrix. A is read through two strides:
 * packed panels (k, HF_TILE_ROWS), a row-major matrix or a transposed one all serve. */
#ifndef HF_PRODUCT_H
#define HF_PRODUCT_H
#include "cpu.h"
#include <string.h>

#if defined(__AVX512F__)
#define HF_LANES 16
#define HF_TILE_ROWS 12
#elif defined(__AVX__)
#define HF_LANES 8
#define HF_TILE_ROWS 6
#else
#define HF_LANES 4
#define HF_TILE_ROWS 6
#endif
#define HF_TILE_COLUMNS (2 * HF_LANES)

typedef float HfVector __attribute__((vector_size(HF_LANES * 4), aligned(4), may_alias));
typedef float HfVector4 __attribute__((vector_size(16), aligned(4), may_alias));
typedef struct HfTile {
  HfVector sum[HF_TILE_ROWS][2];
} HfTile;

static inline int64_t hf_round_up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

/* sum += x * y. Written out where gcc, left alone, picks the form of the instruction that needs copies. */
static inline __attribute__((always_inline)) void hf_add_product(HfVector *sum, HfVector x, HfVector y) {
#if defined(__FMA__)
  __asm__("vfmadd231ps %2, %1, %0" : "+v"(*sum) : "v"(x), "v"(y));
#else
  *sum += x * y;
#endif
}

/* The sum over p < k of a[i * row + p * step] * b[p][j]. */
static inline __attribute__((always_inline)) HfTile hf_tile_product(const float *a, int64_t row, int64_t step, const float *b, int64_t k) {
  HfTile t = {{{{0}}}};
  for (int64_t p = 0; p < k; p++, a += step, b += HF_TILE_COLUMNS) {
    HfVector b0 = *(const HfVector *)b, b1 = *(const HfVector *)(b + HF_LANES);
#pragma GCC unroll 16
    for (int i = 0; i < HF_TILE_ROWS; i++) {
      HfVector x = a[i * row] - (HfVector){0};
      hf_add_product(&t.sum[i][0], x, b0);
      hf_add_product(&t.sum[i][1], x, b1);
    }
  }
  return t;
}

/* Where a tile goes: c = alpha * tile + beta * c, rows ldc apart; the old c is not read when beta is 0. */
typedef struct HfTileTarget {
  float *c;
  int64_t ldc;
  float alpha, beta;
} HfTileTarget;

static inline __attribute__((always_inline)) void hf_tile_store(HfTileTarget to, const HfTile *t) {
  HfVector alpha = to.alpha - (HfVector){0}, beta = to.beta - (HfVector){0};
#pragma GCC unroll 16
  for (int i = 0; i < HF_TILE_ROWS; i++)
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) {
      HfVector *c = (HfVector *)(to.c + i * to.ldc + j * HF_LANES);
      if (to.beta == 0) *c = alpha * t->sum[i][j];
      else *c = alpha * t->sum[i][j] + beta * *c;
    }
}

/* The same for a tile that reaches over the edge: only rows x columns of it are written. Not inlined, and given a copy
 * of the tile, so that the tile itself can live in registers. */
static __attribute__((noinline, unused)) void hf_tile_store_part(HfTileTarget to, const HfTile *t, int64_t rows, int64_t columns) {
  for (int64_t i = 0; i < rows; i++) {
    const float *sum = (const float *)t->sum[i];
    float *c = to.c + i * to.ldc;
    if (to.beta == 0)
      for (int64_t j = 0; j < columns; j++) c[j] = to.alpha * sum[j];
    else
      for (int64_t j = 0; j < columns; j++) c[j] = to.alpha * sum[j] + to.beta * c[j];
  }
}

/* Stores a tile; rows x columns of the matrix remain from its first entry on. */
static inline __attribute__((always_inline)) void hf_tile_store_any(HfTileTarget to, HfTile tile, int64_t rows, int64_t columns) {
  if (rows >= HF_TILE_ROWS && columns >= HF_TILE_COLUMNS) {
    hf_tile_store(to, &tile);
  } else {
    HfTile copy = tile;
    hf_tile_store_part(to, &copy, hf_min(rows, HF_TILE_ROWS), hf_min(columns, HF_TILE_COLUMNS));
  }
}

/* Four rows of four numbers, p..p+3 of each, turned: out[q * width + r] = row[r][q]. */
static inline void hf_pack_4x4(float *out, int64_t width, const float *const row[4]) {
  HfVector4 r0 = *(const HfVector4 *)row[0], r1 = *(const HfVector4 *)row[1];
  HfVector4 r2 = *(const HfVector4 *)row[2], r3 = *(const HfVector4 *)row[3];
  HfVector4 low01 = __builtin_shufflevector(r0, r1, 0, 4, 1, 5), high01 = __builtin_shufflevector(r0, r1, 2, 6, 3, 7);
  HfVector4 low23 = __builtin_shufflevector(r2, r3, 0, 4, 1, 5), high23 = __builtin_shufflevector(r2, r3, 2, 6, 3, 7);
  *(HfVector4 *)out = __builtin_shufflevector(low01, low23, 0, 1, 4, 5);
  *(HfVector4 *)(out + width) = __builtin_shufflevector(low01, low23, 2, 3, 6, 7);
  *(HfVector4 *)(out + 2 * width) = __builtin_shufflevector(high01, high23, 0, 1, 4, 5);
  *(HfVector4 *)(out + 3 * width) = __builtin_shufflevector(high01, high23, 2, 3, 6, 7);
}

/* One panel (k, width) from `count` <= width lines whose k numbers are contiguous, ld apart. Lines beyond count are
 * zeros. Lines go in fours, the last ones first: where width is no multiple of four they spill into the next row of the
 * panel, which is written after. May write HF_PACK_SPILL floats behind the panel. */
#define HF_PACK_SPILL 4
static inline __attribute__((always_inline)) void hf_pack_lines(float *out, int64_t width, const float *in, int64_t ld, int64_t count, int64_t k) {
  static const float zeros[4];
  int64_t p = 0;
  for (; p + 4 <= k; p += 4)
    for (int64_t group = (width - 1) / 4 * 4; group >= 0; group -= 4) {
      const float *row[4];
      for (int64_t r = 0; r < 4; r++) row[r] = group + r < count ? in + (group + r) * ld + p : zeros;
      hf_pack_4x4(out + p * width + group, width, row);
    }
  for (; p < k; p++)
    for (int64_t r = 0; r < width; r++) out[p * width + r] = r < count ? in[r * ld + p] : 0;
}

/* One panel (k, width) from k rows ld apart, of which `count` <= width contiguous numbers are taken. */
static inline __attribute__((always_inline)) void hf_pack_rows(float *out, int64_t width, const float *in, int64_t ld, int64_t count, int64_t k) {
  if (count == width)
    for (int64_t p = 0; p < k; p++) memcpy(out + p * width, in + p * ld, (size_t)width * sizeof(float));
  else
    for (int64_t p = 0; p < k; p++)
      for (int64_t r = 0; r < width; r++) out[p * width + r] = r < count ? in[p * ld + r] : 0;
}

#endif
