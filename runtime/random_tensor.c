/* PyTorch's random fills on tensors. */
#include "random_tensor.h"
#include <math.h>
#include "graph.h"
#include "memory.h"

/* One fill: which distribution, and its parameters. */
typedef struct Fill {
  const char *name;
  bool (*draw)(HfRandom *gen, void *out, size_t n, const struct Fill *fill, HfError *err);
  HfDtype dtype; /* of what `draw` writes */
  double a, b, low, high;
  int64_t first, last;
} Fill;

/* The generator that is drawn from. A graph's launches would not draw again. */
static HfRandom *source(HfRandom *gen) {
  hf_graph_refuse("drew random numbers on the processor");
  return gen ? gen : hf_random_global();
}

/* Straight into a contiguous tensor of the fill's dtype on the host, else through one. */
static bool apply(HfTensor *t, const Fill *fill, HfRandom *gen, HfError *err) {
  gen = source(gen);
  size_t n = (size_t)hf_tensor_numel(t);
  if (t->dtype == fill->dtype && hf_tensor_is_contiguous(t) && hf_tensor_device(t) == hf_device_cpu()) {
    hf_storage_changed(t->storage);
    return fill->draw(gen, hf_tensor_data(t), n, fill, err);
  }
  HfTensor *host = hf_tensor_empty(fill->dtype, t->ndim, t->shape, hf_device_cpu(), err);
  bool done = host && fill->draw(gen, hf_tensor_data(host), n, fill, err) && hf_tensor_copy_(t, host, err);
  hf_tensor_release(host);
  return done;
}

static bool check_float(const HfTensor *t, const Fill *fill, HfError *err) {
  return hf_dtype_is_float(t->dtype) || hf_error_set(err, "%s: expected a float tensor, found %s", fill->name, hf_dtype_name(t->dtype));
}

static bool draw_normal(HfRandom *gen, void *out, size_t n, const Fill *fill, HfError *err) {
  return hf_random_normal(gen, out, n, fill->a, fill->b), true;
}

bool hf_random_normal_(HfTensor *t, double mean, double std, HfRandom *gen, HfError *err) {
  const Fill fill = {.name = "normal_", .draw = draw_normal, .dtype = HF_FLOAT32, .a = mean, .b = std};
  if (!(std >= 0)) return hf_error_set(err, "normal_: expected std >= 0, found %g", std);
  return check_float(t, &fill, err) && apply(t, &fill, gen, err);
}

static bool draw_uniform(HfRandom *gen, void *out, size_t n, const Fill *fill, HfError *err) {
  return hf_random_uniform(gen, out, n, fill->a, fill->b), true;
}

bool hf_random_uniform_(HfTensor *t, double from, double to, HfRandom *gen, HfError *err) {
  const Fill fill = {.name = "uniform_", .draw = draw_uniform, .dtype = HF_FLOAT32, .a = from, .b = to};
  if (!(from <= to) || isinf(to - from)) return hf_error_set(err, "uniform_: expected from <= to, found %g and %g", from, to);
  return check_float(t, &fill, err) && apply(t, &fill, gen, err);
}

static bool draw_trunc_normal(HfRandom *gen, void *out, size_t n, const Fill *fill, HfError *err) {
  float *scratch = hf_malloc(n * sizeof *scratch, "trunc_normal_", err);
  bool done = scratch && hf_random_trunc_normal(gen, out, scratch, n, fill->a, fill->b, fill->low, fill->high, err);
  hf_free(scratch);
  return done;
}

bool hf_random_trunc_normal_(HfTensor *t, double mean, double std, double low, double high, HfRandom *gen, HfError *err) {
  const Fill fill = {.name = "trunc_normal_", .draw = draw_trunc_normal, .dtype = HF_FLOAT32, .a = mean, .b = std, .low = low, .high = high};
  return check_float(t, &fill, err) && apply(t, &fill, gen, err);
}

static bool draw_exponential(HfRandom *gen, void *out, size_t n, const Fill *fill, HfError *err) {
  return hf_random_exponential(gen, out, n, fill->a), true;
}

bool hf_random_exponential_(HfTensor *t, double lambda, HfRandom *gen, HfError *err) {
  const Fill fill = {.name = "exponential_", .draw = draw_exponential, .dtype = HF_FLOAT32, .a = lambda};
  if (!(lambda > 0)) return hf_error_set(err, "exponential_: expected lambda > 0, found %g", lambda);
  return check_float(t, &fill, err) && apply(t, &fill, gen, err);
}

static bool draw_bernoulli(HfRandom *gen, void *out, size_t n, const Fill *fill, HfError *err) {
  return hf_random_bernoulli(gen, out, n, fill->a), true;
}

static bool check_chance(const char *name, double p, HfError *err) {
  return (p >= 0 && p <= 1) || hf_error_set(err, "%s: expected a probability from 0 to 1, found %g", name, p);
}

bool hf_random_bernoulli_(HfTensor *t, double p, HfRandom *gen, HfError *err) {
  const Fill fill = {.name = "bernoulli_", .draw = draw_bernoulli, .dtype = HF_BOOL, .a = p};
  return check_chance(fill.name, p, err) && apply(t, &fill, gen, err);
}

static bool draw_integers(HfRandom *gen, void *out, size_t n, const Fill *fill, HfError *err) {
  return hf_random_integers(gen, out, n, fill->first, fill->last), true;
}

bool hf_random_integers_(HfTensor *t, int64_t low, int64_t high, HfRandom *gen, HfError *err) {
  const Fill fill = {.name = "randint", .draw = draw_integers, .dtype = HF_INT64, .first = low, .last = high};
  if (low >= high) return hf_error_set(err, "randint: expected low < high, found %lld and %lld", (long long)low, (long long)high);
  return apply(t, &fill, gen, err);
}

/* ---- new tensors */

HfTensor *hf_random_new_permutation(int64_t n, HfRandom *gen, HfError *err) {
  if (n < 0) return hf_error_set(err, "randperm: expected n >= 0, found %lld", (long long)n), NULL;
  HfTensor *t = hf_tensor_empty(HF_INT64, 1, &n, hf_device_cpu(), err);
  if (t) hf_random_permutation(source(gen), hf_tensor_data(t), (size_t)n);
  return t;
}

/* A contiguous float32 copy on the host. */
static HfTensor *host_floats(const HfTensor *t, HfError *err) {
  HfTensor *host = hf_tensor_empty(HF_FLOAT32, t->ndim, t->shape, hf_device_cpu(), err);
  if (host && hf_tensor_copy_(host, t, err)) return host;
  hf_tensor_release(host);
  return NULL;
}

static bool draw_each(HfTensor *out, const HfTensor *p, HfRandom *gen, HfError *err) {
  const float *chance = hf_tensor_data(p);
  size_t n = (size_t)hf_tensor_numel(p);
  for (size_t i = 0; i < n; i++)
    if (!check_chance("bernoulli", chance[i], err)) return false;
  hf_random_bernoulli_each(source(gen), hf_tensor_data(out), chance, n);
  return true;
}

HfTensor *hf_random_new_bernoulli(const HfTensor *p, HfRandom *gen, HfError *err) {
  HfTensor *host = host_floats(p, err);
  HfTensor *mask = host ? hf_tensor_empty(HF_BOOL, p->ndim, p->shape, hf_device_cpu(), err) : NULL;
  HfTensor *out = mask && draw_each(mask, host, gen, err) ? hf_tensor_empty(p->dtype, p->ndim, p->shape, hf_tensor_device(p), err) : NULL;
  if (out && !hf_tensor_copy_(out, mask, err)) hf_tensor_release(out), out = NULL;
  hf_tensor_release(host);
  hf_tensor_release(mask);
  return out;
}

HfTensor *hf_random_new_multinomial(const HfTensor *p, int64_t samples, bool replacement, HfRandom *gen, HfError *err) {
  char shown[HF_DESCRIPTION_SIZE];
  if (p->ndim < 1 || p->ndim > 2 || samples < 1 || p->shape[p->ndim - 1] < 1)
    return hf_error_set(err, "multinomial: expected weights [columns] or [rows, columns] and at least one sample, found %s and %lld", hf_tensor_describe(p, shown), (long long)samples), NULL;
  int64_t shape[2] = {p->ndim == 2 ? p->shape[0] : samples, samples}, rows = p->ndim == 2 ? p->shape[0] : 1;
  HfTensor *host = host_floats(p, err);
  HfTensor *out = host ? hf_tensor_empty(HF_INT64, p->ndim, shape, hf_device_cpu(), err) : NULL;
  bool done = out && hf_random_multinomial(source(gen), hf_tensor_data(out), hf_tensor_data(host), (size_t)rows,
                                           (size_t)p->shape[p->ndim - 1], (size_t)samples, replacement, err);
  hf_tensor_release(host);
  if (done) return out;
  hf_tensor_release(out);
  return NULL;
}
