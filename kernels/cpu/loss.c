/* Cross entropy of rows of logits, with class weights, label smoothing and an ignored label. */
#include "element.h"

enum { BLOCK = 512 };

typedef struct CrossEntropy {
  float *loss, *lse;
  void *dlogits;
  const float *dloss, *row_lse;
  const void *logits;
  const int64_t *labels;
  const float *weight;
  int64_t V, ld, ignore;
  float smoothing;
  double weight_sum; /* of all classes; V without weights */
} CrossEntropy;

static bool is_counted(const CrossEntropy *c, int64_t label) { return label != c->ignore && label >= 0 && label < c->V; }

static double sum_weights(const float *weight, int64_t V) {
  double sum = 0;
  for (int64_t v = 0; v < V; v++) sum += weight ? weight[v] : 1;
  return sum;
}

HF_FOLDED float row_max(const void *x, int64_t V, HfDtype dtype) {
  float top = -INFINITY;
#pragma omp simd reduction(max : top)
  for (int64_t v = 0; v < V; v++) {
    float value = hf_load(x, v, dtype);
    top = value > top ? value : top;
  }
  return top;
}

/* log of the sum of exponentials */
HF_FOLDED float row_lse(const void *x, int64_t V, HfDtype dtype) {
  float top = row_max(x, V, dtype);
  double sum = 0;
  for (int64_t b = 0; b < V; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, V);
    float block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t v = b; v < end; v++) block += hf_exp_or_zero(hf_load(x, v, dtype) - top);
    sum += block;
  }
  return (float)(top + log(sum));
}

/* sum over v of weight[v] * -logp[v] */
HF_FOLDED double smoothed_sum(const void *x, const float *weight, float lse, int64_t V, HfDtype dtype) {
  double sum = 0;
  if (weight) {
#pragma omp simd reduction(+ : sum)
    for (int64_t v = 0; v < V; v++) sum += weight[v] * (lse - hf_load(x, v, dtype));
  } else {
#pragma omp simd reduction(+ : sum)
    for (int64_t v = 0; v < V; v++) sum += lse - hf_load(x, v, dtype);
  }
  return sum;
}

HF_FOLDED void loss_rows(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const CrossEntropy *c = context;
  for (int64_t i = first; i < last; i++) {
    const void *x = hf_at(c->logits, i * c->ld, dtype);
    int64_t label = c->labels[i];
    c->loss[i] = c->lse[i] = 0;
    if (!is_counted(c, label)) continue;
    float lse = c->lse[i] = row_lse(x, c->V, dtype);
    double loss = (c->weight ? c->weight[label] : 1.0f) * (lse - hf_load(x, label, dtype));
    if (c->smoothing > 0)
      loss = (1.0 - c->smoothing) * loss + c->smoothing / (double)c->V * smoothed_sum(x, c->weight, lse, c->V, dtype);
    c->loss[i] = (float)loss;
  }
}
HF_PER_FLOAT(loss_rows)

/* Refuses labels outside the classes, and adds up the weights of the counted rows. */
static HfStatus count_labels(const CrossEntropy *c, float *total, int64_t N, int64_t *bad) {
  double sum = 0;
  for (int64_t i = 0; i < N; i++) {
    int64_t label = c->labels[i];
    if (label == c->ignore) continue;
    if (label < 0 || label >= c->V) {
      *bad = label;
      return HF_BAD_INDEX;
    }
    sum += c->weight ? c->weight[label] : 1;
  }
  *total += (float)sum;
  return HF_OK;
}

static HfStatus cross_entropy(float *loss, float *lse, float *total, const void *logits, const int64_t *labels,
                              const float *weight, HfDtype dtype, int64_t N, int64_t V, int64_t ld, int64_t ignore,
                              float smoothing, int64_t *bad) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  CrossEntropy c = {.loss = loss, .lse = lse, .logits = logits, .labels = labels, .weight = weight, .V = V, .ld = ld,
                    .ignore = ignore, .smoothing = smoothing};
  HfStatus status = count_labels(&c, total, N, bad);
  if (status == HF_OK) hf_parallel(N, N * V, loss_rows_of[dtype], &c);
  return status;
}

/* ---- backward: d loss / d x[v] = p[v] * mass - s/V * weight[v], less (1-s) * weight[y] at v = y, where
 * mass = (1-s) * weight[y] + s/V * sum of weights; all times dloss */

HF_FOLDED void gradient_row(void *dx, const void *x, const CrossEntropy *c, float lse, float mass, float share, HfDtype dtype) {
  if (c->weight && share != 0) {
#pragma omp simd
    for (int64_t v = 0; v < c->V; v++)
      hf_store(dx, v, hf_exp_or_zero(hf_load(x, v, dtype) - lse) * mass - share * c->weight[v], dtype);
  } else {
#pragma omp simd
    for (int64_t v = 0; v < c->V; v++) hf_store(dx, v, hf_exp_or_zero(hf_load(x, v, dtype) - lse) * mass - share, dtype);
  }
}

/* The same entry in float, where the label's share is taken off before rounding to the dtype. */
HF_FOLDED float gradient_at_label(float x, const CrossEntropy *c, int64_t label, float lse, float mass, float share, float own) {
  return hf_exp_or_zero(x - lse) * mass - share * (c->weight ? c->weight[label] : 1.0f) - own;
}

HF_FOLDED void gradient_rows(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const CrossEntropy *c = context;
  for (int64_t i = first; i < last; i++) {
    const void *x = hf_at(c->logits, i * c->ld, dtype);
    void *dx = hf_at_mut(c->dlogits, i * c->ld, dtype);
    int64_t label = c->labels[i];
    if (!is_counted(c, label)) {
      for (int64_t v = 0; v < c->V; v++) hf_store(dx, v, 0, dtype);
      continue;
    }
    double dloss = c->dloss[i], own = dloss * (1.0 - c->smoothing) * (c->weight ? c->weight[label] : 1);
    double share = dloss * c->smoothing / (double)c->V;
    float mass = (float)(own + share * c->weight_sum), lse = c->row_lse[i];
    float at_label = gradient_at_label(hf_load(x, label, dtype), c, label, lse, mass, (float)share, (float)own);
    gradient_row(dx, x, c, lse, mass, (float)share, dtype);
    hf_store(dx, label, at_label, dtype);
  }
}
HF_PER_FLOAT(gradient_rows)

static HfStatus cross_entropy_backward(void *dlogits, const float *dloss, const void *logits, const float *lse,
                                       const int64_t *labels, const float *weight, HfDtype dtype, int64_t N, int64_t V,
                                       int64_t ld, int64_t ignore, float smoothing) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  CrossEntropy c = {.dlogits = dlogits, .dloss = dloss, .row_lse = lse, .logits = logits, .labels = labels, .weight = weight,
                    .V = V, .ld = ld, .ignore = ignore, .smoothing = smoothing, .weight_sum = sum_weights(weight, V)};
  hf_parallel(N, N * V, gradient_rows_of[dtype], &c);
  return HF_OK;
}

void HF_CPU(fill_loss)(HfKernels *k) {
  k->cross_entropy = cross_entropy;
  k->cross_entropy_backward = cross_entropy_backward;
}
