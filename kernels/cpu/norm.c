/* Layer and RMS normalisation of rows of C, with residual and dropout folded in. Statistics are computed from the
 * sum as it is stored, since the backward reads that. The weight gradients are summed in groups of rows of fixed
 * size, then over groups in order, so that they do not depend on the thread count. */
#include "dropout.h"
#include <string.h>

enum {
  BLOCK = 256,    /* elements summed in float32 before the double total */
  GROUPS = 32,    /* most groups of rows with weight sums of their own */
  GROUP_MIN = 16  /* rows of a group, at least */
};

typedef struct Norm {
  void *y, *sum;
  float *mean, *rstd;
  const void *x, *residual;
  const float *weight, *bias;
  int64_t C;
  float eps;
  bool drops;
  HfDropout dropout;
} Norm;

/* ---- forward */

/* out = residual + dropout(x) of a row that begins at element `at`; residual may be NULL. */
HF_FOLDED void add_row(void *out, const void *x, const void *residual, int64_t at, int64_t n, const Norm *c, HfDtype dtype) {
  if (!c->drops) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) hf_store(out, i, hf_load(x, i, dtype) + hf_load(residual, i, dtype), dtype);
    return;
  }
  HfDropout d = c->dropout;
  uint32_t low = (uint32_t)at, high = (uint32_t)(at >> 32);
  if (residual) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
      hf_store(out, i, hf_dropped(&d, low + (uint32_t)i, high, hf_load(x, i, dtype)) + hf_load(residual, i, dtype), dtype);
  } else {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) hf_store(out, i, hf_dropped(&d, low + (uint32_t)i, high, hf_load(x, i, dtype)), dtype);
  }
}

/* The row to normalise: x itself, or the sum once it is stored. */
HF_FOLDED const void *summed_row(const Norm *c, int64_t row, HfDtype dtype) {
  int64_t at = row * c->C;
  if (!c->sum) return hf_at(c->x, at, dtype);
  if (!c->residual && !c->drops) {
    memcpy(hf_at_mut(c->sum, at, dtype), hf_at(c->x, at, dtype), (size_t)c->C * (dtype == HF_FLOAT32 ? 4 : 2));
    return hf_at(c->sum, at, dtype);
  }
  for (int64_t i = 0, n; i < c->C; i += n) {
    n = hf_dropout_run(at + i, c->C - i);
    add_row(hf_at_mut(c->sum, at + i, dtype), hf_at(c->x, at + i, dtype),
            c->residual ? hf_at(c->residual, at + i, dtype) : NULL, at + i, n, c, dtype);
  }
  return hf_at(c->sum, at, dtype);
}

HF_FOLDED float row_mean(const void *x, int64_t C, HfDtype dtype) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < C; i++) sum += hf_load(x, i, dtype);
  return (float)(sum / (double)C);
}

/* 1 / sqrt(mean of (x - center)^2 + eps) */
HF_FOLDED float row_rstd(const void *x, float center, int64_t C, float eps, HfDtype dtype) {
  double sum = 0;
  for (int64_t b = 0; b < C; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, C);
    float block = 0;
#pragma omp simd reduction(+ : block)
    for (int64_t i = b; i < end; i++) {
      float v = hf_load(x, i, dtype) - center;
      block += v * v;
    }
    sum += block;
  }
  return (float)(1.0 / sqrt(sum / (double)C + (double)eps));
}

/* y = (x - mean) * rstd * weight + bias; weight and bias may be NULL. */
HF_FOLDED void normalize_row(void *y, const void *x, float mean, float rstd, const float *weight, const float *bias,
                             int64_t C, HfDtype dtype) {
  if (weight && bias) {
#pragma omp simd
    for (int64_t i = 0; i < C; i++)
      hf_store(y, i, (hf_load(x, i, dtype) - mean) * rstd * weight[i] + bias[i], dtype);
  } else if (weight) {
#pragma omp simd
    for (int64_t i = 0; i < C; i++) hf_store(y, i, (hf_load(x, i, dtype) - mean) * rstd * weight[i], dtype);
  } else {
    for (int64_t i = 0; i < C; i++)
      hf_store(y, i, (hf_load(x, i, dtype) - mean) * rstd + (bias ? bias[i] : 0.0f), dtype);
  }
}

HF_FOLDED void norm_rows(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const Norm *c = context;
  for (int64_t row = first; row < last; row++) {
    const void *x = summed_row(c, row, dtype);
    float mean = c->mean ? row_mean(x, c->C, dtype) : 0.0f, rstd = row_rstd(x, mean, c->C, c->eps, dtype);
    if (c->mean) c->mean[row] = mean;
    c->rstd[row] = rstd;
    normalize_row(hf_at_mut(c->y, row * c->C, dtype), x, mean, rstd, c->weight, c->bias, c->C, dtype);
  }
}
HF_PER_FLOAT(norm_rows)

static HfStatus layer_norm(void *y, void *sum, float *mean, float *rstd, const void *x, const void *residual,
                           const float *weight, const float *bias, HfDtype dtype, int64_t N, int64_t C, float eps,
                           float dropout, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  Norm c = {.y = y, .sum = sum, .mean = mean, .rstd = rstd, .x = x, .residual = residual, .weight = weight, .bias = bias,
            .C = C, .eps = eps, .drops = dropout > 0, .dropout = hf_dropout_of(dropout, key)};
  hf_parallel(N, N * C, norm_rows_of[dtype], &c);
  return HF_OK;
}

static HfStatus rms_norm(void *y, float *rstd, const void *x, const float *weight, HfDtype dtype, int64_t N, int64_t C,
                         float eps) {
  return layer_norm(y, NULL, NULL, rstd, x, NULL, weight, NULL, dtype, N, C, eps, 0, (HfDropoutKey){0});
}

/* ---- backward: with g = dy * weight and h = (sum - mean) * rstd,
 * dsum = rstd * (g - mean of g - h * mean of g h); without a mean (rms) the middle term is left out */

typedef struct NormBackward {
  void *dsum, *dx;
  const void *dy, *sum;
  const float *mean, *rstd, *weight;
  float *weight_sums; /* (groups, 2, C): dy h and dy of each group, or NULL */
  int64_t N, C, group_rows;
  HfDropout dropout;
} NormBackward;

typedef struct RowMeans {
  float g, gh;
} RowMeans;

HF_FOLDED float weighted(const float *weight, int64_t i, float dy, bool has_weight) {
  return has_weight ? dy * weight[i] : dy;
}

HF_FOLDED RowMeans row_means(const void *dy, const void *sum, const float *weight, float mean, float rstd, int64_t C,
                             HfDtype dtype, bool has_weight) {
  double total_g = 0, total_gh = 0;
  for (int64_t b = 0; b < C; b += BLOCK) {
    int64_t end = hf_min(b + BLOCK, C);
    float block_g = 0, block_gh = 0;
#pragma omp simd reduction(+ : block_g, block_gh)
    for (int64_t i = b; i < end; i++) {
      float g = weighted(weight, i, hf_load(dy, i, dtype), has_weight);
      block_g += g;
      block_gh += g * ((hf_load(sum, i, dtype) - mean) * rstd);
    }
    total_g += block_g, total_gh += block_gh;
  }
  RowMeans m = {(float)(total_g / (double)C), (float)(total_gh / (double)C)};
  return m;
}

HF_FOLDED void write_row(void *dsum, const void *dy, const void *sum, const float *weight, float mean, float rstd,
                         RowMeans m, int64_t C, HfDtype dtype, bool has_weight) {
#pragma omp simd
  for (int64_t i = 0; i < C; i++) {
    float h = (hf_load(sum, i, dtype) - mean) * rstd;
    hf_store(dsum, i, rstd * (weighted(weight, i, hf_load(dy, i, dtype), has_weight) - m.g - h * m.gh), dtype);
  }
}

HF_FOLDED void add_weight_sums(float *dweight, float *dbias, const void *dy, const void *sum, float mean, float rstd,
                               int64_t C, HfDtype dtype) {
#pragma omp simd
  for (int64_t i = 0; i < C; i++) {
    float d = hf_load(dy, i, dtype);
    dweight[i] += d * ((hf_load(sum, i, dtype) - mean) * rstd);
    dbias[i] += d;
  }
}

/* dx = dropout(dsum) of the row that begins at element `at`. */
HF_FOLDED void drop_row(void *dx, const void *dsum, int64_t at, int64_t C, HfDropout d, HfDtype dtype) {
  for (int64_t done = 0, n; done < C; done += n) {
    n = hf_dropout_run(at + done, C - done);
    uint32_t low = (uint32_t)(at + done), high = (uint32_t)((at + done) >> 32);
    const void *from = hf_at(dsum, done, dtype);
    void *to = hf_at_mut(dx, done, dtype);
#pragma omp simd
    for (int64_t i = 0; i < n; i++) hf_store(to, i, hf_dropped(&d, low + (uint32_t)i, high, hf_load(from, i, dtype)), dtype);
  }
}

HF_FOLDED void backward_row(const NormBackward *c, int64_t row, float *sums, HfDtype dtype) {
  int64_t at = row * c->C;
  const void *dy = hf_at(c->dy, at, dtype), *sum = hf_at(c->sum, at, dtype);
  void *dsum = hf_at_mut(c->dsum, at, dtype);
  float mean = c->mean ? c->mean[row] : 0.0f, rstd = c->rstd[row];
  RowMeans m = c->weight ? row_means(dy, sum, c->weight, mean, rstd, c->C, dtype, true)
                         : row_means(dy, sum, NULL, mean, rstd, c->C, dtype, false);
  if (!c->mean) m.g = 0;
  if (sums) add_weight_sums(sums, sums + c->C, dy, sum, mean, rstd, c->C, dtype);
  if (c->weight) write_row(dsum, dy, sum, c->weight, mean, rstd, m, c->C, dtype, true);
  else write_row(dsum, dy, sum, NULL, mean, rstd, m, c->C, dtype, false);
  if (c->dx) drop_row(hf_at_mut(c->dx, at, dtype), dsum, at, c->C, c->dropout, dtype);
}

HF_FOLDED void backward_groups(const void *context, int64_t first, int64_t last, HfDtype dtype) {
  const NormBackward *c = context;
  for (int64_t group = first; group < last; group++) {
    float *sums = c->weight_sums ? c->weight_sums + group * 2 * c->C : NULL;
    if (sums) memset(sums, 0, (size_t)c->C * 2 * sizeof *sums);
    int64_t end = hf_min((group + 1) * c->group_rows, c->N);
    for (int64_t row = group * c->group_rows; row < end; row++) backward_row(c, row, sums, dtype);
  }
}
HF_PER_FLOAT(backward_groups)

/* dweight += the groups' sums in order; `sums` points at the first group's, groups 2 C apart. */
static void add_groups(float *dweight, const float *sums, int64_t groups, int64_t C) {
  for (int64_t g = 0; dweight && g < groups; g++)
#pragma omp simd
    for (int64_t i = 0; i < C; i++) dweight[i] += sums[g * 2 * C + i];
}

static HfStatus layer_norm_backward(void *dsum, void *dx, float *dweight, float *dbias, const void *dy, const void *sum,
                                    const float *mean, const float *rstd, const float *weight, HfDtype dtype, int64_t N,
                                    int64_t C, float dropout, HfDropoutKey key) {
  if (!hf_is_float(dtype)) return HF_UNSUPPORTED;
  int64_t group_rows = hf_max(GROUP_MIN, hf_ceil_div(N, GROUPS)), groups = hf_ceil_div(N, group_rows);
  NormBackward c = {.dsum = dsum, .dx = dx, .dy = dy, .sum = sum, .mean = mean, .rstd = rstd, .weight = weight,
                    .N = N, .C = C, .group_rows = group_rows, .dropout = hf_dropout_of(dropout, key)};
  int64_t scratch = dweight || dbias ? groups * 2 * C : 0;
  if (scratch > 0 && !(c.weight_sums = hf_scratch_new(scratch))) return HF_NO_MEMORY;
  hf_parallel(groups, N * C, backward_groups_of[dtype], &c);
  if (c.weight_sums) {
    add_groups(dweight, c.weight_sums, groups, C);
    add_groups(dbias, c.weight_sums + C, groups, C);
    hf_scratch_free(c.weight_sums, scratch);
  }
  return HF_OK;
}

static HfStatus rms_norm_backward(void *dx, float *dweight, const void *dy, const void *x, const float *rstd,
                                  const float *weight, HfDtype dtype, int64_t N, int64_t C) {
  return layer_norm_backward(dx, NULL, dweight, NULL, dy, x, NULL, rstd, weight, dtype, N, C, 0, (HfDropoutKey){0});
}

void HF_CPU(fill_norm)(HfKernels *k) {
  k->layer_norm = layer_norm;
  k->layer_norm_backward = layer_norm_backward;
  k->rms_norm = rms_norm;
  k->rms_norm_backward = rms_norm_backward;
}
