/* What generation does to the scores of the next token: one row of `size` numbers at a time, in place. A token that may not come
 * gets -inf. The rules are those of transformers' logits processors of the same names. */
#ifndef HF_GENERATION_SCORES_H
#define HF_GENERATION_SCORES_H
#include "largest.h"

/* Scratch: `entry` and `spare` hold `size` each. */
typedef struct HfScores {
  float *row;
  int64_t size;
  HfRanked *entry, *spare;
} HfScores;

/* `keep`: that many of the best tokens are never removed, at least 1. */
void hf_scores_top_k(HfScores s, int64_t k);
void hf_scores_top_p(HfScores s, double p, int64_t keep);       /* the smallest set of tokens whose chances sum to p */
void hf_scores_top_h(HfScores s, double h);                     /* ... of the 100 best whose entropy is h of theirs */
void hf_scores_min_p(HfScores s, double p, int64_t keep);       /* chance at least p times the best one's */
void hf_scores_typical(HfScores s, double mass, int64_t keep);  /* information nearest to its mean, up to this mass */
void hf_scores_epsilon(HfScores s, double epsilon, int64_t keep);
void hf_scores_eta(HfScores s, double epsilon, int64_t keep);   /* min(epsilon, sqrt(epsilon) e^-entropy) */
void hf_scores_log_softmax(HfScores s);

/* Tokens of ids are made less likely (penalty > 1), each once. Ids outside the row are skipped. */
void hf_scores_repetition(HfScores s, double penalty, const int64_t *ids, int64_t count);
/* Tokens that follow `tail`, the last n - 1 ids of the row, somewhere in text. */
void hf_scores_no_repeat_ngram(HfScores s, int64_t n, const int64_t *tail, const int64_t *text, int64_t count);

#endif
