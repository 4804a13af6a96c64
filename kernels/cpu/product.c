/* Our own matrix product, float32, blocked for the caches.
 *
 * C is cut into one rectangle a thread; each is made without waiting for the others, so that a thread that loses its
 * core for a while holds up nobody before the end. In a rectangle, for each block of the inner size (KC) and of columns
 * (NC), B is packed; then rows go in blocks of MC: packed A stays in the second-level cache, one panel of B in the first.
 * Sums run over k in the same order whatever the thread count. */
#include "product_own.h"
#include "product.h"

enum { KC = 256, NC = 3072 / HF_TILE_COLUMNS * HF_TILE_COLUMNS, MC = 144 / HF_TILE_ROWS * HF_TILE_ROWS };

/* Rows and columns of C that one thread makes, with its scratch memory. */
typedef struct Rectangle {
  const HfMatmul *m;
  const float *a, *b, *bias; /* of this rectangle: a begins at its first row, b and bias at its first column */
  float *c, *pre;
  int64_t rows, columns;
  int64_t kc, nc, mc; /* block sizes */
  float *packed_a, *packed_b;
} Rectangle;

static int64_t packed_a_floats(const Rectangle *r) { return r->mc * r->kc + HF_PACK_SPILL; }
static int64_t packed_b_floats(const Rectangle *r) { return hf_round_up(r->nc, HF_TILE_COLUMNS) * r->kc + HF_PACK_SPILL; }

/* The block of B at row pc, column jc. */
static void pack_b(const Rectangle *r, int64_t pc, int64_t kc, int64_t jc, int64_t nc) {
  int64_t ld = r->m->ldb;
  for (int64_t j = 0; j < nc; j += HF_TILE_COLUMNS) {
    int64_t count = hf_min(HF_TILE_COLUMNS, nc - j);
    if (r->m->transpose_b) hf_pack_lines(r->packed_b + j * kc, HF_TILE_COLUMNS, r->b + (jc + j) * ld + pc, ld, count, kc);
    else hf_pack_rows(r->packed_b + j * kc, HF_TILE_COLUMNS, r->b + pc * ld + jc + j, ld, count, kc);
  }
}

/* The block of A at row ic, column pc. */
static void pack_a(const Rectangle *r, int64_t pc, int64_t kc, int64_t ic, int64_t mc) {
  int64_t ld = r->m->lda;
  for (int64_t i = 0; i < mc; i += HF_TILE_ROWS) {
    int64_t count = hf_min(HF_TILE_ROWS, mc - i);
    if (r->m->transpose_a) hf_pack_rows(r->packed_a + i * kc, HF_TILE_ROWS, r->a + pc * ld + ic + i, ld, count, kc);
    else hf_pack_lines(r->packed_a + i * kc, HF_TILE_ROWS, r->a + (ic + i) * ld + pc, ld, count, kc);
  }
}

/* A block of C (mc, nc) from packed A and packed B. */
static void multiply_block(const float *a, const float *b, int64_t kc, int64_t mc, int64_t nc, HfTileTarget to) {
  for (int64_t j = 0; j < nc; j += HF_TILE_COLUMNS)
    for (int64_t i = 0; i < mc; i += HF_TILE_ROWS) {
      HfTileTarget at = to;
      at.c += i * to.ldc + j;
      HfTile tile = hf_tile_product(a + i * kc, 1, HF_TILE_ROWS, b + j * kc, kc);
      hf_tile_store_any(at, tile, mc - i, nc - j);
    }
}

/* All rows for one block of B; the epilogue follows the last block of the inner size. */
static void multiply_rows(const Rectangle *r, int64_t pc, int64_t kc, int64_t jc, int64_t nc) {
  const HfMatmul *m = r->m;
  for (int64_t ic = 0; ic < r->rows; ic += r->mc) {
    int64_t mc = hf_min(r->mc, r->rows - ic), at = ic * m->ldc + jc;
    pack_a(r, pc, kc, ic, mc);
    multiply_block(r->packed_a, r->packed_b, kc, mc, nc, (HfTileTarget){r->c + at, m->ldc, m->alpha, pc ? 1.0f : m->beta});
    if (pc + kc == m->k)
      HF_CPU(epilogue)(r->c + at, r->pre ? r->pre + at : NULL, m->ldc, mc, nc, r->bias ? r->bias + jc : NULL, m->activation);
  }
}

static bool multiply(Rectangle *r) {
  int64_t a = packed_a_floats(r), b = packed_b_floats(r), k = r->m->k;
  r->packed_a = hf_scratch_new(a + b);
  if (!r->packed_a) return false;
  r->packed_b = r->packed_a + a;
  for (int64_t jc = 0; jc < r->columns; jc += r->nc)
    for (int64_t pc = 0; pc < k; pc += r->kc) {
      int64_t nc = hf_min(r->nc, r->columns - jc), kc = hf_min(r->kc, k - pc);
      pack_b(r, pc, kc, jc, nc);
      multiply_rows(r, pc, kc, jc, nc);
    }
  hf_scratch_free(r->packed_a, a + b);
  return true;
}

/* n cut into equal blocks of at most `most`, rounded up to `step`. */
static int64_t even_block(int64_t n, int64_t most, int64_t step) {
  int64_t blocks = (n + most - 1) / most;
  return hf_round_up((n + blocks - 1) / blocks, step);
}

/* The start of share i of `count` of n, in whole steps. */
static int64_t share_start(int64_t n, int64_t step, int i, int count) {
  return hf_min(n, (n + step - 1) / step * i / count * step);
}

typedef struct Grid {
  int rows, columns; /* rectangles along m and along n */
} Grid;

static Rectangle rectangle_of(const HfMatmul *m, int64_t batch, Grid grid, int cell) {
  int row = cell % grid.rows, column = cell / grid.rows;
  int64_t i = share_start(m->m, HF_TILE_ROWS, row, grid.rows), j = share_start(m->n, HF_TILE_COLUMNS, column, grid.columns);
  Rectangle r = {.m = m};
  r.rows = share_start(m->m, HF_TILE_ROWS, row + 1, grid.rows) - i;
  r.columns = share_start(m->n, HF_TILE_COLUMNS, column + 1, grid.columns) - j;
  r.a = (const float *)m->a + batch * m->stride_a + i * (m->transpose_a ? 1 : m->lda);
  r.b = (const float *)m->b + batch * m->stride_b + j * (m->transpose_b ? m->ldb : 1);
  r.c = (float *)m->c + batch * m->stride_c + i * m->ldc + j;
  r.pre = m->pre ? (float *)m->pre + batch * m->stride_c + i * m->ldc + j : NULL;
  r.bias = m->bias ? (const float *)m->bias + j : NULL;
  r.kc = even_block(m->k, KC, 4);
  r.nc = hf_min(NC, hf_max(1, r.columns));
  r.mc = even_block(hf_max(1, r.rows), MC, HF_TILE_ROWS);
  return r;
}

/* The grid of `cells` rectangles whose largest one holds the fewest tiles. */
static Grid choose_grid(int64_t m, int64_t n, int cells) {
  Grid best = {1, cells};
  int64_t least = INT64_MAX, row_tiles = (m + HF_TILE_ROWS - 1) / HF_TILE_ROWS, column_tiles = (n + HF_TILE_COLUMNS - 1) / HF_TILE_COLUMNS;
  for (int columns = 1; columns <= cells; columns++) {
    if (cells % columns) continue;
    int rows = cells / columns;
    int64_t largest = ((row_tiles + rows - 1) / rows) * ((column_tiles + columns - 1) / columns);
    if (largest < least) least = largest, best = (Grid){rows, columns};
  }
  return best;
}

HfStatus HF_CPU(product)(const HfMatmul *m) {
  enum { TEAM_MINIMUM = 64 * 64 * 64 }; /* multiplications worth waking the threads for */
  int threads = (double)m->m * (double)m->n * (double)m->k * (double)m->batch < TEAM_MINIMUM ? 1 : hf_thread_count();
  Grid grid = choose_grid(m->m, m->n, m->batch >= threads ? 1 : threads);
  int64_t cells = (int64_t)grid.rows * grid.columns;
  HfStatus status = HF_OK;
#pragma omp parallel for schedule(static) if (threads > 1)
  for (int64_t task = 0; task < m->batch * cells; task++) {
    Rectangle r = rectangle_of(m, task / cells, grid, (int)(task % cells));
    if (multiply(&r)) continue;
#pragma omp atomic write
    status = HF_NO_MEMORY;
  }
  return status;
}
