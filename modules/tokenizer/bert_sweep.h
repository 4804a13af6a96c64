/* BERT's whole pipeline in one sweep over the text, for ids alone. Runs of ASCII letters and digits are looked up, as they
 * stand, in caches from bytes to ids; what is not there, and everything beyond ASCII up to the next ASCII space or
 * punctuation, goes through the general pipeline once. */
#ifndef HF_BERT_SWEEP_H
#define HF_BERT_SWEEP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

typedef struct HfBertSweep {
  uint8_t kind[256];   /* of a byte: what the sweep does with it */
  uint8_t lower[256];
  int32_t single[256]; /* id of one ASCII punctuation character */
} HfBertSweep;

struct HfTokenizer;
struct HfWorkspace;

/* A sweep for the tokenizer's options, NULL with *err untouched when its pipeline is another one. */
HfBertSweep *hf_bert_sweep_new(const struct HfTokenizer *t, HfError *err);
/* The ids of a piece of text without added tokens, at the end of w->tokens. */
bool hf_bert_sweep_run(const struct HfTokenizer *t, struct HfWorkspace *w, const char *text, size_t size, HfError *err);

#endif
