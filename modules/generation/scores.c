/* Rules for the scores of the next token; see scores.h. Chances are computed as PyTorch does: exponentials and their quotient in
 * float32, running sums in double and rounded to float32. */
#include "scores.h"
#include <math.h>
#include <string.h>

/* The largest score and the sum of exponentials: chance = e^(x - largest) / sum. */
typedef struct Softmax {
  float largest, sum;
} Softmax;

static Softmax softmax_of(const float *x, int64_t n) {
  Softmax s = {-INFINITY, 0};
  double sum = 0;
  for (int64_t i = 0; i < n; i++) s.largest = x[i] > s.largest ? x[i] : s.largest;
  for (int64_t i = 0; i < n; i++)
    if (x[i] != -INFINITY) sum += (double)expf(x[i] - s.largest);
  s.sum = (float)sum;
  return s;
}

static float chance(Softmax s, float x) { return expf(x - s.largest) / s.sum; }

/* The entropy of the row in nats. */
static float entropy(HfScores s, Softmax of) {
  double sum = 0;
  float log_sum = logf(of.sum);
  for (int64_t i = 0; i < s.size; i++)
    if (s.row[i] != -INFINITY) sum -= (double)(chance(of, s.row[i]) * (s.row[i] - of.largest - log_sum));
  return (float)sum;
}

/* The k-th largest score; k is cut to the size of the row. */
static float nth_score(HfScores s, int64_t k) {
  k = k < s.size ? k : s.size;
  hf_largest(s.entry, s.row, s.size, k);
  return s.entry[k - 1].value;
}

/* The scores that are not -inf, as entries; their number. */
static int64_t possible(HfScores s) {
  int64_t n = 0;
  for (int64_t i = 0; i < s.size; i++)
    if (s.row[i] != -INFINITY) s.entry[n++] = (HfRanked){s.row[i], i};
  return n;
}

void hf_scores_top_k(HfScores s, int64_t k) {
  float least = nth_score(s, k);
  for (int64_t i = 0; i < s.size; i++)
    if (s.row[i] < least) s.row[i] = -INFINITY;
}

void hf_scores_top_p(HfScores s, double p, int64_t keep) {
  Softmax of = softmax_of(s.row, s.size);
  int64_t n = possible(s);
  double sum = 0;
  hf_sort_ascending(s.entry, s.spare, n);
  for (int64_t i = 0; i < n - keep; i++) {
    sum += (double)chance(of, s.entry[i].value);
    if (!((float)sum <= (float)(1 - p))) return;
    s.row[s.entry[i].index] = -INFINITY;
  }
}

void hf_scores_top_h(HfScores s, double h) {
  enum { CONSIDERED = 100 };
  int64_t n = s.size < CONSIDERED ? s.size : CONSIDERED, kept = 1;
  float best[CONSIDERED];
  hf_largest(s.entry, s.row, s.size, n);
  for (int64_t i = 0; i < n; i++) best[i] = s.entry[i].value;
  Softmax of = softmax_of(best, n);
  float limit = (float)((double)entropy((HfScores){best, n, NULL, NULL}, of) * h);
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    float p = chance(of, best[i]);
    sum -= (double)(p * logf(p)); /* NaN where p is 0: nothing follows */
    if (i && !((float)sum <= limit)) break;
    kept = i + 1;
  }
  for (int64_t i = 0; i < s.size; i++) s.row[i] = -INFINITY;
  for (int64_t i = 0; i < kept; i++) s.row[s.entry[i].index] = best[i];
}

void hf_scores_min_p(HfScores s, double p, int64_t keep) {
  Softmax of = softmax_of(s.row, s.size);
  float limit = (float)p * chance(of, of.largest);
  keep = keep < s.size ? keep : s.size;
  hf_largest(s.entry, s.row, s.size, keep);
  for (int64_t i = 0; i < s.size; i++)
    if (chance(of, s.row[i]) < limit) s.row[i] = -INFINITY;
  for (int64_t i = 0; i < keep; i++) s.row[s.entry[i].index] = s.entry[i].value;
}

void hf_scores_typical(HfScores s, double mass, int64_t keep) {
  Softmax of = softmax_of(s.row, s.size);
  float mean = entropy(s, of), log_sum = logf(of.sum);
  int64_t n = possible(s), last = 0;
  double sum = 0;
  for (int64_t i = 0; i < n; i++) s.entry[i].value = fabsf(-(s.entry[i].value - of.largest - log_sum) - mean);
  hf_sort_ascending(s.entry, s.spare, n);
  for (; last < n; last++) {
    sum += (double)chance(of, s.row[s.entry[last].index]);
    if (!((float)sum < (float)mass)) break;
  }
  if (last >= n) return;
  for (int64_t i = keep > last ? keep : last; i < n; i++)
    if (s.entry[i].value > s.entry[last].value) s.row[s.entry[i].index] = -INFINITY;
}

/* Removes what has less than this chance, but for the `keep` best. */
static void remove_below(HfScores s, Softmax of, float limit, int64_t keep) {
  float least = nth_score(s, keep);
  for (int64_t i = 0; i < s.size; i++)
    if (chance(of, s.row[i]) < limit && s.row[i] < least) s.row[i] = -INFINITY;
}

void hf_scores_epsilon(HfScores s, double epsilon, int64_t keep) {
  remove_below(s, softmax_of(s.row, s.size), (float)epsilon, keep);
}

void hf_scores_eta(HfScores s, double epsilon, int64_t keep) {
  Softmax of = softmax_of(s.row, s.size);
  float limit = sqrtf((float)epsilon) * expf(-entropy(s, of));
  remove_below(s, of, limit < (float)epsilon ? limit : (float)epsilon, keep);
}

void hf_scores_log_softmax(HfScores s) {
  Softmax of = softmax_of(s.row, s.size);
  float log_sum = logf(of.sum);
  for (int64_t i = 0; i < s.size; i++) s.row[i] = s.row[i] - of.largest - log_sum;
}

void hf_scores_repetition(HfScores s, double penalty, const int64_t *ids, int64_t count) {
  float factor = (float)penalty, *old = (float *)s.entry; /* as the scores were: an id may come twice */
  memcpy(old, s.row, (size_t)s.size * sizeof *old);
  for (int64_t i = 0; i < count; i++) {
    if (ids[i] < 0 || ids[i] >= s.size) continue;
    float x = old[ids[i]];
    s.row[ids[i]] = x < 0 ? x * factor : x / factor;
  }
}

void hf_scores_no_repeat_ngram(HfScores s, int64_t n, const int64_t *tail, const int64_t *text, int64_t count) {
  for (int64_t i = 0; i + n <= count; i++) {
    int64_t next = text[i + n - 1];
    if (next >= 0 && next < s.size && !memcmp(text + i, tail, (size_t)(n - 1) * sizeof *text)) s.row[next] = -INFINITY;
  }
}
