/* PyTorch's CPU generator: what its distributions make of MT19937 draws. */
#include "random.h"
#include <math.h>
#include <string.h>
#include "memory.h"
#include "random_normal.h"

HfRandom *hf_random_global(void) {
  static HfRandom global;
  if (!global.mt.position) hf_random_seed(&global, HF_RANDOM_DEFAULT_SEED);
  return &global;
}

void hf_random_seed(HfRandom *gen, uint64_t seed) {
  *gen = (HfRandom){.seed = seed};
  hf_mt19937_seed(&gen->mt, (uint32_t)seed);
}

uint32_t hf_random_u32(HfRandom *gen) { return hf_mt19937_next(&gen->mt); }

uint64_t hf_random_u64(HfRandom *gen) {
  uint64_t high = hf_random_u32(gen);
  return high << 32 | hf_random_u32(gen);
}

double hf_random_double(HfRandom *gen) { return (double)(hf_random_u64(gen) & ((1ull << 53) - 1)) * 0x1p-53; }

static float next_float(HfRandom *gen) { return (float)(hf_random_u32(gen) & 0xffffff) * 0x1p-24f; }

/* ---- uniform and normal */

void hf_random_uniform(HfRandom *gen, float *out, size_t n, double from, double to) {
  float low = (float)from, width = (float)to - low;
  for (size_t i = 0; i < n; i++) out[i] = next_float(gen);
  if (width != 1 || low != 0) hf_scale_uniform(out, n, width, low);
}

/* One value of a Box-Muller pair; the other is kept. */
static double next_normal(HfRandom *gen) {
  if (gen->has_normal) return gen->has_normal = false, gen->normal;
  double u1 = hf_random_double(gen), u2 = hf_random_double(gen);
  double radius = sqrt(-2.0 * log1p(-u2)), angle = 2.0 * M_PI * u1;
  gen->normal = radius * sin(angle);
  gen->has_normal = true;
  return radius * cos(angle);
}

/* Blocks of 16 from one fill; the rest at the end is drawn anew as a whole block that reaches back. */
void hf_random_normal(HfRandom *gen, float *out, size_t n, double mean, double std) {
  if (n < 16) {
    for (size_t i = 0; i < n; i++) out[i] = (float)(next_normal(gen) * std + mean);
    return;
  }
  hf_random_uniform(gen, out, n, 0, 1);
  hf_normal_blocks(out, n / 16, (float)mean, (float)std);
  if (n % 16 == 0) return;
  hf_random_uniform(gen, out + n - 16, 16, 0, 1);
  hf_normal_blocks(out + n - 16, 1, (float)mean, (float)std);
}

static double normal_cdf(double x) { return (1.0 + erf(x / M_SQRT2)) / 2.0; }

/* Takes the new value where the old one lies outside; tells whether any still does. */
static bool redraw_outside(float *out, const float *drawn, size_t n, float low, float high) {
  bool outside = false;
  for (size_t i = 0; i < n; i++) {
    if (out[i] >= low && out[i] <= high) continue;
    out[i] = drawn[i];
    outside |= out[i] < low || out[i] > high;
  }
  return outside;
}

bool hf_random_trunc_normal(HfRandom *gen, float *out, float *scratch, size_t n, double mean, double std, double low, double high, HfError *err) {
  double inside = normal_cdf((high - mean) / std) - normal_cdf((low - mean) / std);
  if (!(std > 0) || !(inside > 0.3)) return hf_error_set(err, "trunc_normal: expected more than 0.3 of the distribution between %g and %g, found %g", low, high, inside);
  hf_random_normal(gen, out, n, mean, std);
  bool again = false;
  for (size_t i = 0; i < n; i++) again |= out[i] < (float)low || out[i] > (float)high;
  while (again) {
    hf_random_normal(gen, scratch, n, mean, std);
    again = redraw_outside(out, scratch, n, (float)low, (float)high);
  }
  return true;
}

/* ---- whole numbers */

void hf_random_integers(HfRandom *gen, int64_t *out, size_t n, int64_t low, int64_t high) {
  uint64_t range = (uint64_t)high - (uint64_t)low;
  for (size_t i = 0; i < n; i++) {
    uint64_t draw = range < 1u << 28 ? hf_random_u32(gen) : hf_random_u64(gen);
    out[i] = (int64_t)((uint64_t)low + draw % range);
  }
}

void hf_random_permutation(HfRandom *gen, int64_t *out, size_t n) {
  bool small = n < UINT32_MAX / 20;
  for (size_t i = 0; i < n; i++) out[i] = (int64_t)i;
  for (size_t i = 0; i + 1 < n; i++) {
    size_t j = i + (small ? hf_random_u32(gen) : hf_random_u64(gen)) % (n - i);
    int64_t taken = out[i];
    out[i] = out[j];
    out[j] = taken;
  }
}

/* ---- chances */

void hf_random_exponential(HfRandom *gen, float *out, size_t n, double lambda) {
  for (size_t i = 0; i < n; i++) out[i] = (float)(-1.0 / lambda * log1p(-hf_random_double(gen)));
}

void hf_random_bernoulli(HfRandom *gen, uint8_t *out, size_t n, double p) {
  for (size_t i = 0; i < n; i++) out[i] = hf_random_double(gen) < p;
}

void hf_random_bernoulli_each(HfRandom *gen, uint8_t *out, const float *p, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = next_float(gen) < p[i];
}

/* ---- categories */

static bool check_weights(const float *p, size_t rows, size_t columns, size_t needed, HfError *err) {
  for (size_t r = 0; r < rows; r++) {
    size_t positive = 0;
    for (size_t c = 0; c < columns; c++) {
      float weight = p[r * columns + c];
      if (!(weight >= 0) || isinf(weight)) return hf_error_set(err, "multinomial: row %zu: expected weights >= 0, found %g at %zu", r, (double)weight, c);
      positive += weight > 0;
    }
    if (positive < needed) return hf_error_set(err, "multinomial: row %zu: expected at least %zu weights above 0, found %zu", r, needed, positive);
  }
  return true;
}

/* The `samples` largest scores of a row, largest first; the first of equal ones wins. Taken scores become -1. */
static void take_largest(int64_t *out, float *score, size_t columns, size_t samples) {
  for (size_t s = 0; s < samples; s++) {
    size_t best = 0;
    for (size_t c = 1; c < columns; c++)
      if (score[c] > score[best]) best = c;
    out[s] = (int64_t)best;
    score[best] = -1;
  }
}

/* Exponential races: the category with the largest weight / exponential is drawn first, and so on. */
static void race(HfRandom *gen, int64_t *out, const float *p, float *score, size_t rows, size_t columns, size_t samples) {
  hf_random_exponential(gen, score, rows * columns, 1.0);
  for (size_t i = 0; i < rows * columns; i++) score[i] = p[i] / score[i];
  for (size_t r = 0; r < rows; r++) take_largest(out + r * samples, score + r * columns, columns, samples);
}

/* The first category whose cumulated share reaches x. */
static int64_t search(const float *cumulated, size_t columns, double x) {
  size_t low = 0, high = columns;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (cumulated[middle] < x) low = middle + 1;
    else high = middle;
  }
  return (int64_t)(low < columns ? low : columns - 1);
}

static void draw_with_replacement(HfRandom *gen, int64_t *out, const float *p, float *cumulated, size_t columns, size_t samples) {
  float sum = 0;
  for (size_t c = 0; c < columns; c++) cumulated[c] = sum += p[c];
  for (size_t c = 0; c < columns; c++) cumulated[c] /= sum;
  for (size_t s = 0; s < samples; s++) out[s] = search(cumulated, columns, hf_random_double(gen));
}

bool hf_random_multinomial(HfRandom *gen, int64_t *out, const float *p, size_t rows, size_t columns, size_t samples, bool replacement, HfError *err) {
  if (!check_weights(p, rows, columns, replacement ? 1 : samples, err)) return false;
  float *scratch = hf_malloc(rows * columns * sizeof *scratch, "multinomial", err);
  if (!scratch) return false;
  if (!replacement || samples == 1) race(gen, out, p, scratch, rows, columns, samples);
  else
    for (size_t r = 0; r < rows; r++) draw_with_replacement(gen, out + r * samples, p + r * columns, scratch, columns, samples);
  hf_free(scratch);
  return true;
}
