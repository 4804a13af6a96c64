/* attention_half.c for attention.c of the same instruction set. */
#ifndef HF_ATTENTION_HALF_H
#define HF_ATTENTION_HALF_H
#include "cpu.h"

typedef HfStatus HfAttentionFn(void *out, float *lse, const HfAttention *a);
typedef HfStatus HfAttentionBackwardFn(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a);

/* HfKernels.attention and attention_backward for 16-bit operands, by those of float32. */
HfStatus HF_CPU(attention_half)(void *out, float *lse, const HfAttention *a, HfAttentionFn *of_floats);
HfStatus HF_CPU(attention_half_backward)(void *dq, void *dk, void *dv, const void *dout, const void *out, const float *lse, const HfAttention *a, HfAttentionBackwardFn *of_floats);

#endif
