/* attention_few.c for attention.c of the same instruction set. */
#ifndef HF_ATTENTION_FEW_H
#define HF_ATTENTION_FEW_H
#include "cpu.h"

/* Has no sequence more than a few queries, and nothing else asks for the general form? */
bool HF_CPU(attention_is_few)(const HfAttention *a);
/* HfKernels.attention for such sequences. */
HfStatus HF_CPU(attention_few)(float *out, float *lse, const HfAttention *a);

#endif
