/* The Mersenne Twister MT19937 (Matsumoto and Nishimura, 1998), which PyTorch's CPU generator, NumPy's RandomState and
 * Python's random all stand on; they differ in seeding and in what they make of the 32-bit draws. */
#ifndef HF_MT19937_H
#define HF_MT19937_H
#include <stddef.h>
#include <stdint.h>

#define HF_MT19937_WORDS 624

typedef struct HfMt19937 {
  uint32_t word[HF_MT19937_WORDS];
  uint32_t position; /* of the next word, 0 to 624; at 624 the words are renewed first */
} HfMt19937;

void hf_mt19937_seed(HfMt19937 *mt, uint32_t seed);
void hf_mt19937_seed_words(HfMt19937 *mt, const uint32_t *key, size_t count); /* count >= 1 */
uint32_t hf_mt19937_next(HfMt19937 *mt);
/* [0, 1) with 53 bits from two draws, as NumPy's RandomState and Python make it. */
double hf_mt19937_double(HfMt19937 *mt);

#endif
