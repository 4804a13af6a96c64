/* NumPy's generators: default_rng (PCG64 seeded through a SeedSequence) and the older RandomState (MT19937), and Python's
 * random module. The same draws from the same seed. */
#ifndef HF_RANDOM_NUMPY_H
#define HF_RANDOM_NUMPY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "mt19937.h"

/* ---- numpy.random.default_rng(seed) */
typedef struct HfPcg64 {
  unsigned __int128 state, increment;
  bool has_half; /* the high half of the last 64-bit draw is left for the next 32-bit draw: */
  uint32_t half;
} HfPcg64;

void hf_pcg64_seed(HfPcg64 *gen, uint64_t seed);
uint64_t hf_pcg64_u64(HfPcg64 *gen);
uint32_t hf_pcg64_u32(HfPcg64 *gen);
double hf_pcg64_double(HfPcg64 *gen);                                          /* random() */
double hf_pcg64_normal(HfPcg64 *gen);                                          /* standard_normal() */
int64_t hf_pcg64_integer(HfPcg64 *gen, int64_t low, int64_t high);             /* integers(low, high), low < high */
void hf_pcg64_permutation(HfPcg64 *gen, int64_t *out, size_t n);               /* permutation(n) */

/* ---- numpy.random.RandomState(seed), also numpy's global state */
HfMt19937 *hf_numpy_global(void);
void hf_numpy_permutation(HfMt19937 *gen, int64_t *out, size_t n);
/* What Hugging Face's datasets take as the seed when none is given: the next word of the state, which moves on by one. */
uint32_t hf_numpy_draw_seed(HfMt19937 *gen);

/* ---- Python's random.Random(seed), and its global state */
HfMt19937 *hf_python_global(void);
void hf_python_seed(HfMt19937 *gen, uint64_t seed);
uint64_t hf_python_below(HfMt19937 *gen, uint64_t n); /* 0..n-1; n >= 1 */
/* sample(range(n), k), k <= n; `scratch` holds n values. */
void hf_python_sample(HfMt19937 *gen, int64_t *out, int64_t *scratch, size_t n, size_t k);

#endif
