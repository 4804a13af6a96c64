/* MT19937: recurrence, tempering and the two ways of seeding of the published generator. */
#include "mt19937.h"

#define N HF_MT19937_WORDS
#define M 397

void hf_mt19937_seed(HfMt19937 *mt, uint32_t seed) {
  mt->word[0] = seed;
  for (uint32_t i = 1; i < N; i++) mt->word[i] = 1812433253u * (mt->word[i - 1] ^ (mt->word[i - 1] >> 30)) + i;
  mt->position = N;
}

/* word[i] mixed with its left neighbour; i wraps to 1 with word[0] copied from the end. */
static uint32_t mix(HfMt19937 *mt, uint32_t i, uint32_t factor, uint32_t added) {
  uint32_t left = mt->word[i - 1];
  mt->word[i] = (mt->word[i] ^ ((left ^ (left >> 30)) * factor)) + added;
  if (++i < N) return i;
  mt->word[0] = mt->word[N - 1];
  return 1;
}

void hf_mt19937_seed_words(HfMt19937 *mt, const uint32_t *key, size_t count) {
  uint32_t i = 1;
  hf_mt19937_seed(mt, 19650218u);
  for (size_t k = 0; k < (count > N ? count : N); k++) i = mix(mt, i, 1664525u, key[k % count] + (uint32_t)(k % count));
  for (int k = 1; k < N; k++) i = mix(mt, i, 1566083941u, 0u - i);
  mt->word[0] = 0x80000000u;
  mt->position = N;
}

/* word, its right neighbour and the one M further on. */
static uint32_t twist(uint32_t word, uint32_t right, uint32_t far) {
  uint32_t y = (word & 0x80000000u) | (right & 0x7fffffffu);
  return far ^ (y >> 1) ^ (-(right & 1) & 0x9908b0dfu);
}

static void renew(HfMt19937 *mt) {
  uint32_t *word = mt->word;
  for (int i = 0; i < N - M; i++) word[i] = twist(word[i], word[i + 1], word[i + M]);
  for (int i = N - M; i < N - 1; i++) word[i] = twist(word[i], word[i + 1], word[i + M - N]);
  word[N - 1] = twist(word[N - 1], word[0], word[M - 1]);
  mt->position = 0;
}

uint32_t hf_mt19937_next(HfMt19937 *mt) {
  if (mt->position >= N) renew(mt);
  uint32_t y = mt->word[mt->position++];
  y ^= y >> 11;
  y ^= (y << 7) & 0x9d2c5680u;
  y ^= (y << 15) & 0xefc60000u;
  return y ^ (y >> 18);
}

double hf_mt19937_double(HfMt19937 *mt) {
  uint32_t high = hf_mt19937_next(mt) >> 5, low = hf_mt19937_next(mt) >> 6;
  return (high * 67108864.0 + low) / 9007199254740992.0;
}
