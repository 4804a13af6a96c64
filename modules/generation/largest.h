/* The k largest numbers in the very order PyTorch's topk gives them on the CPU, equal ones included: beam search meets many equal
 * scores (every continuation of a beam that does not count has -1e9), and which of them comes first decides the next beams. */
#ifndef HF_GENERATION_LARGEST_H
#define HF_GENERATION_LARGEST_H
#include <stdbool.h>
#include <stdint.h>

typedef struct HfRanked {
  float value;
  int64_t index;
} HfRanked;

/* Fills entry[0..n-1] with the numbers of x and puts the k largest first, in descending order. 1 <= k <= n. NaN counts as
 * largest. */
void hf_largest(HfRanked *entry, const float *x, int64_t n, int64_t k);

/* Puts entries into ascending order of value, equal ones in the order they had; `spare` holds n more. */
void hf_sort_ascending(HfRanked *entry, HfRanked *spare, int64_t n);

#endif
