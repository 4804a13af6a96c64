/* Choosing the next token of every row where the logits are: the rules, the draw and what is kept of the rows are the device's.
 *
 *   if (hf_can_choose(device)) ok = hf_choose(logits, &choice, err);
 *
 * Nothing is read by the host and nothing is told by it, so a step can be queued behind the one before. */
#ifndef HF_GENERATION_CHOOSE_H
#define HF_GENERATION_CHOOSE_H
#include "tensor.h"

/* All tensors on the device of the logits, contiguous; borrowed. */
typedef struct HfChoice {
  HfSampling rules;  /* ids, starts and column are those below */
  HfTensor *ids;     /* (rows, columns) int64 */
  HfTensor *column;  /* (1) int64: filled columns */
  HfTensor *token;   /* (rows) int64: scratch, what was chosen before padding; -1 where nothing could be */
  HfTensor *input, *position; /* (rows, 1) int64 of the next call of the model */
  HfTensor *done;    /* (rows) bool */
  HfTensor *ends;    /* (n) int64, or NULL: no end token */
  HfTensor *starts;  /* (rows) int64, or NULL: columns at the left that are padding */
  int64_t pad;
} HfChoice;

/* Has the device kernels for it? */
bool hf_can_choose(const HfDevice *device);
/* Chooses from logits (rows, V) and appends; see sample and append_tokens in kernels.h. */
bool hf_choose(HfTensor *logits, const HfChoice *c, HfError *err);

#endif
