/* PyTorch's CPU generator: the same draws from the same seed.
 *
 *   hf_random_seed(hf_random_global(), 42);
 *   hf_random_normal(hf_random_global(), weights, n, 0.0, 0.02);   // what tensor.normal_(0, 0.02) gives there
 *
 * Everything is equal to the bit (PyTorch 2 on a processor with AVX2 or AVX-512).
 */
#ifndef HF_RANDOM_H
#define HF_RANDOM_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "mt19937.h"

typedef struct HfRandom {
  HfMt19937 mt;
  uint64_t seed;   /* as given */
  bool has_normal; /* the second value of the last pair is kept: */
  double normal;
} HfRandom;

#define HF_RANDOM_DEFAULT_SEED 67280421310721u /* PyTorch's */

HfRandom *hf_random_global(void); /* seeded with the default until told otherwise */
void hf_random_seed(HfRandom *gen, uint64_t seed);

uint32_t hf_random_u32(HfRandom *gen);
uint64_t hf_random_u64(HfRandom *gen);   /* first draw: the high half */
double hf_random_double(HfRandom *gen);  /* [0, 1), 53 bits */

void hf_random_uniform(HfRandom *gen, float *out, size_t n, double from, double to); /* rand, uniform_ */
void hf_random_normal(HfRandom *gen, float *out, size_t n, double mean, double std); /* randn, normal_ */
/* Redrawn until inside [low, high]: torch.nn.init.trunc_normal_ where more than 0.3 of the mass is inside (else an error).
 * `scratch` holds n floats. */
bool hf_random_trunc_normal(HfRandom *gen, float *out, float *scratch, size_t n, double mean, double std, double low, double high, HfError *err);
void hf_random_integers(HfRandom *gen, int64_t *out, size_t n, int64_t low, int64_t high); /* [low, high), low < high */
void hf_random_permutation(HfRandom *gen, int64_t *out, size_t n);                         /* of 0..n-1 */
void hf_random_exponential(HfRandom *gen, float *out, size_t n, double lambda);
void hf_random_bernoulli(HfRandom *gen, uint8_t *out, size_t n, double p);            /* bernoulli_(p), dropout's keep mask */
void hf_random_bernoulli_each(HfRandom *gen, uint8_t *out, const float *p, size_t n); /* bernoulli(tensor) */
/* `samples` categories (N) per row of weights p (rows, columns) -> out (rows, samples). Weights must be finite, >= 0 and
 * not all 0; without replacement at least `samples` of them above 0. */
bool hf_random_multinomial(HfRandom *gen, int64_t *out, const float *p, size_t rows, size_t columns, size_t samples, bool replacement, HfError *err);

#endif
