/* Counter-based dropout of a run of elements: element i is kept when its 24 random bits reach the threshold. */
#ifndef HF_CPU_DROPOUT_H
#define HF_CPU_DROPOUT_H
#include "element.h"

typedef struct HfDropout {
  uint32_t key_low, key_high, threshold;
  float scale; /* of what is kept */
} HfDropout;

/* uniform >= p, with uniform = bits24 / 2^24, is bits24 >= ceil(p 2^24). */
static inline HfDropout hf_dropout_of(float p, HfDropoutKey key) {
  HfDropout d = {(uint32_t)key.key, (uint32_t)(key.key >> 32), (uint32_t)ceil((double)p * 16777216.0), 1.0f / (1.0f - p)};
  return d;
}

/* value, dropped or scaled; the element's number is high * 2^32 + low. */
HF_FOLDED float hf_dropped(const HfDropout *d, uint32_t low, uint32_t high, float value) {
  uint32_t bits = hf_counter_mix((hf_counter_mix(low ^ d->key_low) + high) ^ d->key_high);
  return bits >> 8 >= d->threshold ? value * d->scale : 0.0f;
}

/* How many of the elements from number `at` on, at most n, share the high half of their number. */
static inline int64_t hf_dropout_run(int64_t at, int64_t n) {
  return hf_min(n, ((at >> 32) + 1) * ((int64_t)1 << 32) - at);
}

#endif
