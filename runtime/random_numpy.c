/* NumPy's generators and Python's random: seeding and the draws that datasets and scikit-learn make with them. */
#include "random_numpy.h"
#include <math.h>
#include <pthread.h>
#include <string.h>

/* ---- PCG64: a 128-bit congruential generator, output XSL-RR (O'Neill, 2014) */

static void step(HfPcg64 *gen) {
  const unsigned __int128 multiplier = (unsigned __int128)2549297995355413924u << 64 | 4865540595714422341u;
  gen->state = gen->state * multiplier + gen->increment;
}

/* NumPy's SeedSequence: the words of the seed, hashed into a pool of four and out of it again. */
static uint32_t seed_hash(uint32_t value, uint32_t *key, uint32_t factor) {
  value ^= *key;
  *key *= factor;
  value *= *key;
  return value ^ (value >> 16);
}

static uint32_t seed_mix(uint32_t x, uint32_t y) {
  uint32_t mixed = 0xca01f9ddu * x - 0x4973f715u * y;
  return mixed ^ (mixed >> 16);
}

static void seed_sequence(uint64_t seed, uint64_t out[4]) {
  uint32_t pool[4], words[8], key = 0x43b0d7e5u;
  for (int i = 0; i < 4; i++) pool[i] = seed_hash(i == 0 ? (uint32_t)seed : i == 1 ? (uint32_t)(seed >> 32) : 0, &key, 0x931e8875u);
  for (int from = 0; from < 4; from++)
    for (int to = 0; to < 4; to++)
      if (from != to) pool[to] = seed_mix(pool[to], seed_hash(pool[from], &key, 0x931e8875u));
  key = 0x8b51f9ddu;
  for (int i = 0; i < 8; i++) words[i] = seed_hash(pool[i % 4], &key, 0x58f38dedu);
  for (int i = 0; i < 4; i++) out[i] = words[2 * i] | (uint64_t)words[2 * i + 1] << 32;
}

void hf_pcg64_seed(HfPcg64 *gen, uint64_t seed) {
  uint64_t words[4];
  seed_sequence(seed, words);
  *gen = (HfPcg64){.increment = ((unsigned __int128)words[2] << 64 | words[3]) << 1 | 1};
  step(gen);
  gen->state += (unsigned __int128)words[0] << 64 | words[1];
  step(gen);
}

uint64_t hf_pcg64_u64(HfPcg64 *gen) {
  step(gen);
  uint64_t folded = (uint64_t)(gen->state >> 64) ^ (uint64_t)gen->state;
  unsigned turn = (unsigned)(gen->state >> 122);
  return folded >> turn | folded << (-turn & 63);
}

uint32_t hf_pcg64_u32(HfPcg64 *gen) {
  if (gen->has_half) return gen->has_half = false, gen->half;
  uint64_t draw = hf_pcg64_u64(gen);
  gen->has_half = true;
  gen->half = (uint32_t)(draw >> 32);
  return (uint32_t)draw;
}

double hf_pcg64_double(HfPcg64 *gen) { return (double)(hf_pcg64_u64(gen) >> 11) * 0x1p-53; }

/* 0..largest without bias: the high half of a product, redrawn while the low half is in the uneven rest (Lemire, 2019). */
static uint64_t below_or_equal(HfPcg64 *gen, uint64_t largest) {
  if (largest == 0) return 0;
  if (largest == UINT32_MAX) return hf_pcg64_u32(gen);
  if (largest == UINT64_MAX) return hf_pcg64_u64(gen);
  uint64_t range = largest + 1;
  if (range <= UINT32_MAX) {
    uint32_t uneven = (uint32_t)(-(uint32_t)range % (uint32_t)range);
    uint64_t product;
    do product = hf_pcg64_u32(gen) * range; while ((uint32_t)product < uneven);
    return product >> 32;
  }
  uint64_t uneven = (0 - range) % range;
  unsigned __int128 product;
  do product = (unsigned __int128)hf_pcg64_u64(gen) * range; while ((uint64_t)product < uneven);
  return (uint64_t)(product >> 64);
}

int64_t hf_pcg64_integer(HfPcg64 *gen, int64_t low, int64_t high) {
  return (int64_t)((uint64_t)low + below_or_equal(gen, (uint64_t)high - (uint64_t)low - 1));
}

static void swap(int64_t *values, size_t i, size_t j) {
  int64_t taken = values[i];
  values[i] = values[j];
  values[j] = taken;
}

static uint64_t mask_of(uint64_t largest) { return largest ? UINT64_MAX >> __builtin_clzll(largest) : 0; }

/* 0..largest by masking and redrawing, as both numpy shuffles do. */
static uint64_t pcg64_masked(HfPcg64 *gen, uint64_t largest) {
  uint64_t mask = mask_of(largest), draw;
  do draw = (largest <= UINT32_MAX ? hf_pcg64_u32(gen) : hf_pcg64_u64(gen)) & mask; while (draw > largest);
  return draw;
}

static void count_up(int64_t *out, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = (int64_t)i;
}

void hf_pcg64_permutation(HfPcg64 *gen, int64_t *out, size_t n) {
  count_up(out, n);
  for (size_t i = n; i-- > 1;) swap(out, i, pcg64_masked(gen, i));
}

/* ---- normal values by the ziggurat (Marsaglia and Tsang, 2000) with 256 layers of equal area and 52-bit abscissas */

#define LAYERS 256
static const long double tail = 3.6541528853610087963519472518L, scale = 0x1p52L;
static struct { uint64_t bound; double width, height; } layers[LAYERS];

/* From the outermost layer inwards; each has the area of the outermost with the tail behind it. */
static void make_layers(void) {
  long double outer = tail, height = expl(-0.5L * tail * tail);
  const long double area = tail * height + sqrtl(acosl(-1) / 2) * erfcl(tail / sqrtl(2));
  layers[0].bound = (uint64_t)(tail * height / area * scale);
  layers[0].width = (double)(area / height / scale);
  layers[0].height = 1;
  for (int i = LAYERS - 1; i > 0; i--) {
    layers[i].width = (double)(outer / scale);
    layers[i].height = (double)height;
    long double inner = i > 1 ? sqrtl(-2 * logl(area / outer + height)) : 0;
    layers[i].bound = (uint64_t)(inner / outer * scale);
    height = expl(-0.5L * inner * inner);
    outer = inner;
  }
}

/* Behind the last layer. */
static double normal_tail(HfPcg64 *gen, bool negative) {
  double x, y;
  do {
    x = -1.0 / (double)tail * log1p(-hf_pcg64_double(gen));
    y = -log1p(-hf_pcg64_double(gen));
  } while (y + y <= x * x);
  return negative ? -((double)tail + x) : (double)tail + x;
}

double hf_pcg64_normal(HfPcg64 *gen) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, make_layers);
  for (;;) {
    uint64_t draw = hf_pcg64_u64(gen), place = draw >> 9 & 0xfffffffffffff;
    int i = draw & 0xff;
    double x = (double)place * layers[i].width;
    if (draw >> 8 & 1) x = -x;
    if (place < layers[i].bound) return x;
    if (i == 0) return normal_tail(gen, place >> 8 & 1);
    if ((layers[i - 1].height - layers[i].height) * hf_pcg64_double(gen) + layers[i].height < exp(-0.5 * x * x)) return x;
  }
}

/* ---- RandomState */

HfMt19937 *hf_numpy_global(void) {
  static HfMt19937 global;
  if (!global.position) hf_mt19937_seed(&global, 5489);
  return &global;
}

static uint64_t mt_masked(HfMt19937 *gen, uint64_t largest) {
  uint64_t mask = mask_of(largest), draw;
  do {
    draw = hf_mt19937_next(gen);
    if (largest > UINT32_MAX) draw = draw << 32 | hf_mt19937_next(gen);
  } while ((draw & mask) > largest);
  return draw & mask;
}

void hf_numpy_permutation(HfMt19937 *gen, int64_t *out, size_t n) {
  count_up(out, n);
  for (size_t i = n; i-- > 1;) swap(out, i, mt_masked(gen, i));
}

uint32_t hf_numpy_draw_seed(HfMt19937 *gen) {
  uint32_t seed = gen->word[gen->position < HF_MT19937_WORDS ? gen->position : 0];
  hf_mt19937_double(gen);
  return seed;
}

/* ---- Python */

HfMt19937 *hf_python_global(void) {
  static HfMt19937 global;
  if (!global.position) hf_python_seed(&global, 0);
  return &global;
}

void hf_python_seed(HfMt19937 *gen, uint64_t seed) {
  uint32_t words[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
  hf_mt19937_seed_words(gen, words, words[1] ? 2 : 1);
}

uint64_t hf_python_below(HfMt19937 *gen, uint64_t n) {
  int bits = 64 - __builtin_clzll(n);
  uint64_t draw;
  do {
    draw = bits > 32 ? hf_mt19937_next(gen) | (uint64_t)(hf_mt19937_next(gen) >> (64 - bits)) << 32 : hf_mt19937_next(gen) >> (32 - bits);
  } while (draw >= n);
  return draw;
}

static bool is_among(const int64_t *values, size_t count, int64_t value) {
  while (count && values[count - 1] != value) count--;
  return count > 0;
}

/* Python takes from a shrinking pool when that is smaller than a set of the chosen ones, else it redraws. */
void hf_python_sample(HfMt19937 *gen, int64_t *out, int64_t *scratch, size_t n, size_t k) {
  double set_size = 21;
  if (k > 5) set_size += pow(4, ceil(log((double)k * 3) / log(4)));
  bool pool = (double)n <= set_size;
  count_up(scratch, pool ? n : 0);
  for (size_t i = 0; i < k; i++) {
    if (pool) {
      size_t j = hf_python_below(gen, n - i);
      out[i] = scratch[j];
      scratch[j] = scratch[n - i - 1];
    } else {
      do out[i] = (int64_t)hf_python_below(gen, n); while (is_among(out, i, out[i]));
    }
  }
}
