/* Adam and AdamW over all parameters in one pass, in PyTorch's order of operations, and the sum of squares of all gradients, with
 * what follows from it for the step.
 * Work is cut into chunks of fixed size over the tensors laid end to end; a block finds its chunk by bisection. */
#include "warp.h"

enum { CHUNK = 8192, THREADS = 256 };

/* The first chunk of each tensor, and their number at the end: found by a block with a bisection. */
static __device__ int64_t tensor_of(const int64_t *first, int64_t count, int64_t chunk) {
  int64_t low = 0, high = count - 1;
  while (low < high) {
    int64_t middle = (low + high + 1) / 2;
    if (first[middle] <= chunk) low = middle;
    else high = middle - 1;
  }
  return low;
}

/* ---- adam */

struct Adam {
  float beta2, one_minus_beta1, one_minus_beta2, eps, step_size, bias2_root, gradient_scale;
  const float *device_scale;
  double lr;
  bool decoupled, amsgrad;
};

static __device__ __forceinline__ void adam_element(const Adam &a, const HfAdamParameter &q, int64_t i, float scale, float decay) {
  float g = q.gradient[i] * scale, w = q.parameter[i];
  if (a.decoupled) w *= decay;
  else g += decay * w;
  float first = q.exp_avg[i], second = q.exp_avg_sq[i];
  first = first + a.one_minus_beta1 * (g - first);
  second = second * a.beta2 + a.one_minus_beta2 * g * g;
  float bound = second;
  if (a.amsgrad) q.max_exp_avg_sq[i] = bound = second > q.max_exp_avg_sq[i] || second != second ? second : q.max_exp_avg_sq[i];
  q.exp_avg[i] = first;
  q.exp_avg_sq[i] = second;
  q.parameter[i] = w - a.step_size * first / (sqrtf(bound) / a.bias2_root + a.eps);
}

__global__ void adam_kernel(const HfAdamParameter *parameters, const int64_t *first, int64_t count, Adam a) {
  int64_t t = tensor_of(first, count, blockIdx.x), start = (blockIdx.x - first[t]) * CHUNK;
  HfAdamParameter q = parameters[t];
  float scale = a.device_scale ? a.gradient_scale * *a.device_scale : a.gradient_scale;
  if (scale != scale) return;
  float decay = a.decoupled ? (float)(1.0 - a.lr * (double)q.weight_decay) : q.weight_decay;
  for (int64_t i = start + threadIdx.x; i < hf_min(q.n, start + CHUNK); i += THREADS) adam_element(a, q, i, scale, decay);
}

/* first (count): chunks before each tensor; returns their number. The sizes lie `step` bytes apart. */
static int64_t count_chunks(int64_t *first, const int64_t *size, size_t step, int64_t count) {
  int64_t chunks = 0;
  for (int64_t i = 0; i < count; i++) {
    first[i] = chunks;
    chunks += hf_ceil_div(*(const int64_t *)((const char *)size + (size_t)i * step), CHUNK);
  }
  return chunks;
}

enum { AT_ONCE = 512 }; /* tensors of one launch */

static HfStatus adam_some(const HfAdamParameter *parameters, int64_t count, const Adam &a) {
  int64_t first[AT_ONCE], chunks = count_chunks(first, &parameters->n, sizeof *parameters, count);
  if (chunks == 0) return HF_OK;
  const void *list = hf_cuda_upload(parameters, (size_t)count * sizeof *parameters), *starts = hf_cuda_upload(first, (size_t)count * sizeof *first);
  if (!list || !starts) return HF_NO_MEMORY;
  HF_LAUNCH(adam_kernel, (unsigned)chunks, THREADS, 0, hf_cuda_stream(), (const HfAdamParameter *)list, (const int64_t *)starts, count, a);
  return hf_cuda_status();
}

static HfStatus adam(const HfAdamParameter *parameters, int64_t count, const HfAdam *s) {
  double bias1 = 1.0 - pow(s->beta1, (double)s->step), bias2 = 1.0 - pow(s->beta2, (double)s->step);
  Adam a = {(float)s->beta2, (float)(1.0 - s->beta1), (float)(1.0 - s->beta2), (float)s->eps, (float)(s->lr / bias1), (float)sqrt(bias2),
            s->maximize ? -s->gradient_scale : s->gradient_scale, s->device_scale, s->lr, s->decoupled, s->amsgrad};
  HfStatus status = HF_OK;
  for (int64_t at = 0; at < count && status == HF_OK; at += AT_ONCE)
    status = adam_some(parameters + at, hf_min(AT_ONCE, count - at), a);
  return status;
}

/* ---- sum of squares: chunk by chunk, then over chunks in order, by one block */

struct Tensor {
  const float *data;
  int64_t n;
};

__global__ void squares_kernel(double *sums, const Tensor *tensors, const int64_t *first, int64_t count) {
  int64_t t = tensor_of(first, count, blockIdx.x), start = (blockIdx.x - first[t]) * CHUNK;
  Tensor q = tensors[t];
  double sum = 0;
  for (int64_t i = start + threadIdx.x; i < hf_min(q.n, start + CHUNK); i += THREADS) sum += (double)q.data[i] * q.data[i];
  sum = hf_block_sum(sum);
  if (threadIdx.x == 0) sums[blockIdx.x] = sum;
}

/* *out += all sums */
__global__ void squares_total_kernel(double *out, const double *sums, int64_t chunks) {
  double sum = 0;
  for (int64_t i = threadIdx.x; i < chunks; i += THREADS) sum += sums[i];
  sum = hf_block_sum(sum);
  if (threadIdx.x == 0) *out += sum;
}

/* At most AT_ONCE tensors as the kernels see them. */
struct TensorList {
  const Tensor *tensors; /* (count) on the device, NULL when there was no room */
  const int64_t *first;  /* (count) likewise */
  int64_t count, chunks;
  TensorList(const float *const *data, const int64_t *sizes, int64_t n) : tensors(nullptr), first(nullptr), count(n) {
    Tensor list[AT_ONCE];
    int64_t starts[AT_ONCE];
    for (int64_t i = 0; i < n; i++) list[i] = Tensor{data[i], sizes[i]};
    chunks = count_chunks(starts, sizes, sizeof *sizes, n);
    if (chunks == 0) return;
    tensors = (const Tensor *)hf_cuda_upload(list, (size_t)n * sizeof *list);
    first = (const int64_t *)hf_cuda_upload(starts, (size_t)n * sizeof *starts);
  }
};

static HfStatus squares_some(double *out, const float *const *tensors, const int64_t *sizes, int64_t count) {
  TensorList list(tensors, sizes, count);
  if (list.chunks == 0) return HF_OK;
  HfScratch sums((size_t)list.chunks * sizeof(double));
  if (!sums.data || !list.tensors || !list.first) return HF_NO_MEMORY;
  HF_LAUNCH(squares_kernel, (unsigned)list.chunks, THREADS, 0, hf_cuda_stream(), (double *)sums.data, list.tensors, list.first, count);
  HF_LAUNCH(squares_total_kernel, 1, THREADS, 0, hf_cuda_stream(), out, (const double *)sums.data, list.chunks);
  return hf_cuda_status();
}

static HfStatus sum_squares(double *out, const float *const *tensors, const int64_t *sizes, int64_t count) {
  HfStatus status = cudaMemsetAsync(out, 0, sizeof *out, hf_cuda_stream()) == cudaSuccess ? HF_OK : HF_DEVICE_FAULT;
  for (int64_t at = 0; at < count && status == HF_OK; at += AT_ONCE)
    status = squares_some(out, tensors + at, sizes + at, hf_min(AT_ONCE, count - at));
  return status;
}

/* ---- what follows from it */

__global__ void check_kernel(HfGradientCheck *check, const float *loss, double max_norm, double loss_scale, bool stops) {
  double norm = sqrt(check->squares) / loss_scale, clip = max_norm / (norm + 1e-6);
  check->norm = norm;
  check->norm32 = (float)norm;
  check->loss = loss ? *loss : 0;
  if (stops && !(isfinite(check->loss) && isfinite(norm))) check->stopped = 1;
  check->factor = check->stopped ? NAN : (float)((clip < 1 ? clip : 1) / loss_scale);
}

static HfStatus check_gradients(HfGradientCheck *check, const float *loss, double max_norm, double loss_scale, bool stops) {
  HF_LAUNCH(check_kernel, 1, 1, 0, hf_cuda_stream(), check, loss, max_norm, loss_scale, stops);
  return hf_cuda_status();
}

__global__ void scale_all_kernel(const Tensor *tensors, const int64_t *first, int64_t count, const float *factor) {
  float f = *factor;
  if (f != f || f == 1) return;
  int64_t t = tensor_of(first, count, blockIdx.x), start = (blockIdx.x - first[t]) * CHUNK;
  float *x = (float *)tensors[t].data;
  for (int64_t i = start + threadIdx.x; i < hf_min(tensors[t].n, start + CHUNK); i += THREADS) x[i] *= f;
}

static HfStatus scale_all(float *const *tensors, const int64_t *sizes, int64_t count, const float *factor) {
  for (int64_t at = 0; at < count; at += AT_ONCE) {
    TensorList list(tensors + at, sizes + at, hf_min(AT_ONCE, count - at));
    if (list.chunks == 0) continue;
    if (!list.tensors || !list.first) return HF_NO_MEMORY;
    HF_LAUNCH(scale_all_kernel, (unsigned)list.chunks, THREADS, 0, hf_cuda_stream(), list.tensors, list.first, list.count, factor);
  }
  return hf_cuda_status();
}

void hf_cuda_fill_optim(HfKernels *k) {
  k->adam = adam;
  k->sum_squares = sum_squares;
  k->check_gradients = check_gradients;
  k->scale_all = scale_all;
}
