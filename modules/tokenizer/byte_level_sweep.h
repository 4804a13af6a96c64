/* The pipelines of GPT-2, RoBERTa, Llama 3 and Qwen2 in one sweep over the text, for ids alone: each word is looked up, as
 * it stands, in a cache from bytes to ids; what is not there goes through the model. */
#ifndef HF_BYTE_LEVEL_SWEEP_H
#define HF_BYTE_LEVEL_SWEEP_H
#include <stdbool.h>
#include <stddef.h>
#include "byte_level_words.h"
#include "error.h"

typedef struct HfByteSweep {
  HfWords words;         /* HF_WORDS_NONE: the pipeline is another one */
  bool add_prefix_space;
  bool ascii_only;       /* a normal form leaves ASCII alone, but not other text */
} HfByteSweep;

struct HfTokenizer;
struct HfWorkspace;

HfByteSweep hf_byte_sweep_of(const struct HfTokenizer *t);
bool hf_byte_sweep_takes(const struct HfTokenizer *t, const char *text, size_t size);
/* The ids of a piece of text without added tokens, at the end of w->tokens. */
bool hf_byte_sweep_run(const struct HfTokenizer *t, struct HfWorkspace *w, const char *text, size_t size, HfError *err);

#endif
