/* Adam and AdamW over all parameters in one pass, in PyTorch's order of operations, and the sum of squares of all
 * gradients, with what follows from it for the step. Work is cut into chunks of fixed size over the tensors laid end to end. */
#include "element.h"

enum { CHUNK = 16384 };

/* ---- adam */

typedef struct Adam {
  const HfAdamParameter *parameters;
  float beta2, one_minus_beta1, one_minus_beta2, eps, step_size, bias2_root, gradient_scale;
  double lr;
  bool decoupled, amsgrad;
} Adam;

/* Elements start .. end-1 of one parameter. `decay` is 1 - lr * weight decay when decoupled, else the weight decay. */
HF_FOLDED void adam_elements(const Adam *a, const HfAdamParameter *q, int64_t start, int64_t end, bool decoupled, bool amsgrad) {
  float *p = q->parameter, *m = q->exp_avg, *v = q->exp_avg_sq, *top = q->max_exp_avg_sq;
  const float *gradient = q->gradient;
  float decay = decoupled ? (float)(1.0 - a->lr * (double)q->weight_decay) : q->weight_decay;
  float c1 = a->one_minus_beta1, beta2 = a->beta2, c2 = a->one_minus_beta2, eps = a->eps, step_size = a->step_size;
  float root = a->bias2_root, gradient_scale = a->gradient_scale;
#pragma omp simd
  for (int64_t i = start; i < end; i++) {
    float g = gradient[i] * gradient_scale, w = p[i];
    if (decoupled) w *= decay;
    else g += decay * w;
    float first = m[i] + c1 * (g - m[i]), second = v[i] * beta2 + c2 * g * g, bound = second;
    if (amsgrad) top[i] = bound = second > top[i] || second != second ? second : top[i];
    m[i] = first;
    v[i] = second;
    p[i] = w - step_size * first / (sqrtf(bound) / root + eps);
  }
}

static void adam_chunk(const Adam *a, const HfAdamParameter *q, int64_t start) {
  int64_t end = hf_min(start + CHUNK, q->n);
  if (a->decoupled && !a->amsgrad) adam_elements(a, q, start, end, true, false);
  else if (a->decoupled) adam_elements(a, q, start, end, true, true);
  else if (!a->amsgrad) adam_elements(a, q, start, end, false, false);
  else adam_elements(a, q, start, end, false, true);
}

static void adam_chunks(const void *context, int64_t first, int64_t last) {
  const Adam *a = context;
  const HfAdamParameter *q = a->parameters;
  int64_t chunk = first;
  for (int64_t i = first; i < last; i++, chunk++) {
    for (; chunk >= hf_ceil_div(q->n, CHUNK); q++) chunk -= hf_ceil_div(q->n, CHUNK);
    adam_chunk(a, q, chunk * CHUNK);
  }
}

static HfStatus adam(const HfAdamParameter *parameters, int64_t count, const HfAdam *settings) {
  const HfAdam *s = settings;
  if (s->device_scale && isnan(*s->device_scale)) return HF_OK;
  double bias1 = 1.0 - pow(s->beta1, (double)s->step), bias2 = 1.0 - pow(s->beta2, (double)s->step);
  Adam a = {.parameters = parameters, .beta2 = (float)s->beta2, .one_minus_beta1 = (float)(1.0 - s->beta1),
            .one_minus_beta2 = (float)(1.0 - s->beta2), .eps = (float)s->eps, .step_size = (float)(s->lr / bias1),
            .bias2_root = (float)sqrt(bias2), .gradient_scale = (s->maximize ? -s->gradient_scale : s->gradient_scale) * (s->device_scale ? *s->device_scale : 1),
            .lr = s->lr, .decoupled = s->decoupled, .amsgrad = s->amsgrad};
  int64_t chunks = 0, work = 0;
  for (int64_t i = 0; i < count; i++) chunks += hf_ceil_div(parameters[i].n, CHUNK), work += parameters[i].n;
  hf_parallel(chunks, work, adam_chunks, &a);
  return HF_OK;
}

/* ---- sum of squares: chunk by chunk, then over chunks in order */

/* How many chunks tensors of these sizes have; *work: how many numbers. */
static int64_t count_chunks(const int64_t *sizes, int64_t count, int64_t *work) {
  int64_t chunks = 0;
  *work = 0;
  for (int64_t i = 0; i < count; i++) chunks += hf_ceil_div(sizes[i], CHUNK), *work += sizes[i];
  return chunks;
}

/* Moves on to the tensor that chunk number *chunk, counted from the beginning of *tensor, lies in. */
static void find_tensor(const int64_t *sizes, int64_t *tensor, int64_t *chunk) {
  while (*chunk >= hf_ceil_div(sizes[*tensor], CHUNK)) *chunk -= hf_ceil_div(sizes[(*tensor)++], CHUNK);
}

typedef struct Squares {
  const float *const *tensors;
  const int64_t *sizes;
  double *sum; /* of each chunk */
} Squares;

static double sum_squares_of(const float *x, int64_t n) {
  double sum = 0;
#pragma omp simd reduction(+ : sum)
  for (int64_t i = 0; i < n; i++) sum += (double)x[i] * x[i];
  return sum;
}

static void square_chunks(const void *context, int64_t first, int64_t last) {
  const Squares *s = context;
  int64_t tensor = 0, chunk = first;
  for (int64_t i = first; i < last; i++, chunk++) {
    find_tensor(s->sizes, &tensor, &chunk);
    s->sum[i] = sum_squares_of(s->tensors[tensor] + chunk * CHUNK, hf_min(CHUNK, s->sizes[tensor] - chunk * CHUNK));
  }
}

static HfStatus sum_squares(double *out, const float *const *tensors, const int64_t *sizes, int64_t count) {
  int64_t work, chunks = count_chunks(sizes, count, &work);
  *out = 0;
  if (chunks == 0) return HF_OK;
  double *sum = hf_host_alloc((size_t)chunks * sizeof *sum);
  if (!sum) return HF_NO_MEMORY;
  Squares s = {tensors, sizes, sum};
  hf_parallel(chunks, work, square_chunks, &s);
  for (int64_t i = 0; i < chunks; i++) *out += sum[i];
  hf_host_free(sum, (size_t)chunks * sizeof *sum);
  return HF_OK;
}

/* ---- what follows from it */

static HfStatus check_gradients(HfGradientCheck *check, const float *loss, double max_norm, double loss_scale, bool stops) {
  check->norm = sqrt(check->squares) / loss_scale;
  check->norm32 = (float)check->norm;
  check->loss = loss ? *loss : 0;
  if (stops && !(isfinite(check->loss) && isfinite(check->norm))) check->stopped = 1;
  double clip = max_norm / (check->norm + 1e-6);
  check->factor = check->stopped ? NAN : (float)((clip < 1 ? clip : 1) / loss_scale);
  return HF_OK;
}

typedef struct Scaling {
  float *const *tensors;
  const int64_t *sizes;
  float factor;
} Scaling;

static void scale_chunks(const void *context, int64_t first, int64_t last) {
  const Scaling *s = context;
  int64_t tensor = 0, chunk = first;
  for (int64_t i = first; i < last; i++, chunk++) {
    find_tensor(s->sizes, &tensor, &chunk);
    float *x = s->tensors[tensor];
    for (int64_t j = chunk * CHUNK, end = hf_min(j + CHUNK, s->sizes[tensor]); j < end; j++) x[j] *= s->factor;
  }
}

static HfStatus scale_all(float *const *tensors, const int64_t *sizes, int64_t count, const float *factor) {
  if (isnan(*factor) || *factor == 1) return HF_OK;
  Scaling s = {tensors, sizes, *factor};
  int64_t work, chunks = count_chunks(sizes, count, &work);
  hf_parallel(chunks, work, scale_chunks, &s);
  return HF_OK;
}

void HF_CPU(fill_optim)(HfKernels *k) {
  k->adam = adam;
  k->sum_squares = sum_squares;
  k->check_gradients = check_gradients;
  k->scale_all = scale_all;
}
