/* The inner loops of hf_random_normal and hf_random_uniform, with fused multiply-adds. */
#ifndef HF_RANDOM_NORMAL_H
#define HF_RANDOM_NORMAL_H
#include <stddef.h>

/* count blocks of 16 uniform values in [0, 1) become normal ones in place; j and j + 8 of a block are a Box-Muller pair:
 * sqrt(-2 log(1 - d[j])) times cos and sin of 2 pi d[j + 8]. The same bits on every processor. */
void hf_normal_blocks(float *d, size_t count, float mean, float std);

/* d[i] = d[i] * width + low, rounded once */
void hf_scale_uniform(float *d, size_t n, float width, float low);

#endif
