/* Times the products and the attention of the CPU table at the sizes of BERT-base (2048 tokens) and MiniLM (424 tokens),
 * after checking each against plain loops.
 *
 *   cmake --build build --target bench_kernels && build/bench_kernels [seconds per kernel] [part of a name]
 *
 * HFLUA_ISA and HFLUA_PRODUCT choose what is measured, OMP_NUM_THREADS the threads; with OMP_NUM_THREADS=1 processor
 * time is taken instead of wall time, which holds still on a machine that others use too. Every kernel runs in turn, round
 * after round, so that a machine that slows down slows all of them; the median round counts. "share" is the rate beside
 * the best product of the same run, the ceiling that hardware and library set. */
#include "kernels.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct Bench {
  const char *name;
  int64_t m, n, k;       /* product */
  const char *transpose; /* "nt": op(a) as stored, op(b) transposed */
  float beta;
  bool with_gelu;        /* bias, gelu, values before it kept */
  int64_t sequences, length, heads, head_dim; /* attention */
  bool is_backward;
  float dropout;
  int causal;
} Bench;

static const Bench benches[] = {
  {.name = "attention output", .m = 2048, .n = 768, .k = 768, .transpose = "nt"},
  {.name = "query key value", .m = 2048, .n = 2304, .k = 768, .transpose = "nt"},
  {.name = "intermediate", .m = 2048, .n = 3072, .k = 768, .transpose = "nt"},
  {.name = "intermediate, bias, gelu", .m = 2048, .n = 3072, .k = 768, .transpose = "nt", .with_gelu = true},
  {.name = "output", .m = 2048, .n = 768, .k = 3072, .transpose = "nt"},
  {.name = "dx of intermediate", .m = 2048, .n = 768, .k = 3072, .transpose = "nn"},
  {.name = "dx of output", .m = 2048, .n = 3072, .k = 768, .transpose = "nn", .beta = 1},
  {.name = "dW of attention output", .m = 768, .n = 768, .k = 2048, .transpose = "tn", .beta = 1},
  {.name = "dW of intermediate", .m = 3072, .n = 768, .k = 2048, .transpose = "tn", .beta = 1},
  {.name = "small query key value", .m = 424, .n = 1152, .k = 384, .transpose = "nt"},
  {.name = "small intermediate, gelu", .m = 424, .n = 1536, .k = 384, .transpose = "nt", .with_gelu = true},
  {.name = "small output", .m = 424, .n = 384, .k = 1536, .transpose = "nt"},
  {.name = "small dW of intermediate", .m = 1536, .n = 384, .k = 424, .transpose = "tn", .beta = 1},
  {.name = "tiny", .m = 16, .n = 32, .k = 32, .transpose = "nt"},
  {.name = "one row", .m = 1, .n = 768, .k = 768, .transpose = "nt"},
  {.name = "attention 8 x 53", .sequences = 8, .length = 53, .heads = 12, .head_dim = 32},
  {.name = "attention 8 x 53 backward", .sequences = 8, .length = 53, .heads = 12, .head_dim = 32, .is_backward = true},
  {.name = "attention 16 x 128", .sequences = 16, .length = 128, .heads = 12, .head_dim = 64},
  {.name = "attention 16 x 128 dropout", .sequences = 16, .length = 128, .heads = 12, .head_dim = 64, .dropout = 0.1f},
  {.name = "attention 16 x 128 backward", .sequences = 16, .length = 128, .heads = 12, .head_dim = 64, .is_backward = true},
  {.name = "  with dropout", .sequences = 16, .length = 128, .heads = 12, .head_dim = 64, .is_backward = true, .dropout = 0.1f},
  {.name = "attention 4 x 512", .sequences = 4, .length = 512, .heads = 12, .head_dim = 64},
  {.name = "attention 4 x 512 backward", .sequences = 4, .length = 512, .heads = 12, .head_dim = 64, .is_backward = true},
  {.name = "attention 2 x 1024 causal", .sequences = 2, .length = 1024, .heads = 12, .head_dim = 64, .causal = 1},
  {.name = "attention 2 x 1024 causal backward", .sequences = 2, .length = 1024, .heads = 12, .head_dim = 64, .causal = 1, .is_backward = true},
};
enum { BENCHES = sizeof benches / sizeof *benches, MOST_ROUNDS = 1000 };

/* The buffers of one bench, filled with random numbers, and the calls on them. */
typedef struct Run {
  const Bench *bench;
  HfMatmul product;
  HfAttention attention;
  int32_t *cu;
  float *a, *b, *c, *bias, *pre;                       /* product */
  float *qkv, *out, *lse, *dout, *dqkv;                /* attention: q, k, v side by side as a merged product leaves them */
  double seconds[MOST_ROUNDS];
  int rounds;
} Run;

static const HfKernels *kernels;

static double now(void) {
  struct timespec t;
  const char *threads = getenv("OMP_NUM_THREADS");
  clock_gettime(threads && !strcmp(threads, "1") ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float *random_floats(int64_t n) {
  float *x = kernels->alloc((size_t)n * sizeof *x);
  if (!x) exit(fprintf(stderr, "bench_kernels: not enough memory\n") & 1);
  for (int64_t i = 0; i < n; i++) x[i] = (float)(rand() % 2001 - 1000) / 1000;
  return x;
}

static void open_product(Run *r) {
  const Bench *b = r->bench;
  bool ta = b->transpose[0] == 't', tb = b->transpose[1] == 't';
  r->a = random_floats(b->m * b->k), r->b = random_floats(b->k * b->n), r->c = random_floats(b->m * b->n);
  r->bias = random_floats(b->n), r->pre = random_floats(b->m * b->n);
  r->product = (HfMatmul){.dtype = HF_FLOAT32, .transpose_a = ta, .transpose_b = tb, .m = b->m, .n = b->n, .k = b->k, .batch = 1, .alpha = 1, .beta = b->beta,
                          .a = r->a, .lda = ta ? b->m : b->k, .b = r->b, .ldb = tb ? b->k : b->n, .c = r->c, .ldc = b->n};
  if (b->with_gelu) r->product.bias = r->bias, r->product.pre = r->pre, r->product.activation = HF_ACT_GELU;
}

static void open_attention(Run *r) {
  const Bench *b = r->bench;
  int64_t rows = b->sequences * b->length, width = b->heads * b->head_dim;
  r->qkv = random_floats(rows * 3 * width), r->dqkv = random_floats(rows * 3 * width);
  r->out = random_floats(rows * width), r->dout = random_floats(rows * width), r->lse = random_floats(rows * b->heads);
  r->cu = malloc((size_t)(b->sequences + 1) * sizeof *r->cu);
  for (int64_t s = 0; s <= b->sequences; s++) r->cu[s] = (int32_t)(s * b->length);
  r->attention = (HfAttention){HF_FLOAT32, b->sequences, b->heads, b->heads, b->head_dim, r->cu, r->cu, b->causal, 1 / sqrtf((float)b->head_dim), b->dropout, {.key = 7},
                               r->qkv, r->qkv + width, r->qkv + 2 * width, 3 * width, 3 * width, 3 * width, width};
  kernels->attention(r->out, r->lse, &r->attention);
}

static HfStatus call(Run *r) {
  const Bench *b = r->bench;
  int64_t width = b->heads * b->head_dim;
  if (b->m) return kernels->matmul(&r->product);
  if (!b->is_backward) return kernels->attention(r->out, r->lse, &r->attention);
  return kernels->attention_backward(r->dqkv, r->dqkv + width, r->dqkv + 2 * width, r->dout, r->out, r->lse, &r->attention);
}

static double operations(const Bench *b) {
  if (b->m) return 2.0 * (double)b->m * (double)b->n * (double)b->k;
  double scores = (double)(b->sequences * b->heads * b->length) * (double)b->length * (b->causal ? 0.5 : 1);
  return scores * (double)b->head_dim * (b->is_backward ? 10 : 4);
}

/* ---- checks */

static double difference(double got, double expected) { return fabs(got - expected) / (1 + fabs(expected)); }

static double plain_entry(const HfMatmul *m, int64_t i, int64_t j, float old) {
  const float *a = m->a, *b = m->b;
  double sum = m->beta == 0 ? 0 : m->beta * old;
  for (int64_t p = 0; p < m->k; p++) sum += (double)a[m->transpose_a ? p * m->lda + i : i * m->lda + p] * b[m->transpose_b ? j * m->ldb + p : p * m->ldb + j];
  if (m->bias) sum += ((const float *)m->bias)[j];
  return m->activation == HF_ACT_GELU ? 0.5 * sum * (1 + erf(sum / sqrt(2))) : sum;
}

/* The largest error of 500 entries drawn at random. */
static double check_product(Run *r) {
  double worst = 0;
  HfMatmul *m = &r->product;
  float *old = random_floats(m->m * m->n);
  memcpy(old, r->c, (size_t)(m->m * m->n) * sizeof *old);
  call(r);
  for (int trial = 0; trial < 500; trial++) {
    int64_t i = rand() % m->m, j = rand() % m->n;
    worst = fmax(worst, difference(r->c[i * m->n + j], plain_entry(m, i, j, old[i * m->n + j])));
  }
  kernels->free(old, (size_t)(m->m * m->n) * sizeof *old);
  return worst;
}

/* Probabilities and dropout factors of query i of the first head and sequence; returns the keys it sees. */
static int64_t plain_probabilities(const HfAttention *a, int64_t i, double *p, double *factor) {
  int64_t n = a->causal ? i + 1 : a->cu_k[1];
  const float *q = (const float *)a->q + i * a->q_stride;
  double sum = 0;
  for (int64_t j = 0; j < n; j++) {
    const float *k = (const float *)a->k + j * a->k_stride;
    double score = 0;
    for (int64_t d = 0; d < a->head_dim; d++) score += (double)q[d] * k[d];
    sum += p[j] = exp(score * a->scale);
    factor[j] = hf_counter_uniform(a->dropout_key.key, ((uint64_t)(i * a->heads) << 20) + (uint64_t)j) >= a->dropout ? 1 / (1 - (double)a->dropout) : 0;
  }
  for (int64_t j = 0; j < n; j++) p[j] /= sum;
  return n;
}

/* The largest error of out, or of dq, in the first head of the first sequence. */
static double check_attention(Run *r) {
  const HfAttention *a = &r->attention;
  double worst = 0, *p = malloc(2 * (size_t)a->cu_k[1] * sizeof *p), *factor = p + a->cu_k[1];
  call(r);
  for (int64_t i = 0; i < a->cu_q[1]; i += 3) {
    int64_t n = plain_probabilities(a, i, p, factor);
    const float *dout = r->dout + i * a->out_stride, *out = r->out + i * a->out_stride, *v = a->v, *k = a->k;
    double delta = 0, row[256] = {0};
    for (int64_t d = 0; d < a->head_dim; d++) delta += (double)dout[d] * out[d];
    for (int64_t j = 0; j < n; j++) {
      double dp = 0;
      for (int64_t d = 0; d < a->head_dim; d++) dp += (double)dout[d] * v[j * a->v_stride + d];
      double weight = r->bench->is_backward ? p[j] * (dp * factor[j] - delta) * a->scale : p[j] * factor[j];
      for (int64_t d = 0; d < a->head_dim; d++) row[d] += weight * (r->bench->is_backward ? k[j * a->k_stride + d] : v[j * a->v_stride + d]);
    }
    for (int64_t d = 0; d < a->head_dim; d++) worst = fmax(worst, difference(r->bench->is_backward ? r->dqkv[i * a->q_stride + d] : out[d], row[d]));
  }
  free(p);
  return worst;
}

/* ---- timing and the table */

static int compare_doubles(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(Run *r) {
  qsort(r->seconds, (size_t)r->rounds, sizeof *r->seconds, compare_doubles);
  return r->seconds[r->rounds / 2];
}

/* Rounds over all benches until each has had its seconds. A short kernel is called several times a round. */
static void time_all(Run *runs, int count, double seconds) {
  double spent = 0;
  while (spent < seconds * count && runs[0].rounds < MOST_ROUNDS) {
    double start = now();
    for (Run *r = runs; r < runs + count; r++) {
      int calls = operations(r->bench) < 1e7 ? 50 : 1;
      double begin = now();
      for (int i = 0; i < calls; i++) call(r);
      r->seconds[r->rounds++] = (now() - begin) / calls;
    }
    spent += now() - start;
  }
}

static void print_table(Run *runs, int count) {
  double best = 0;
  for (Run *r = runs; r < runs + count; r++)
    if (r->bench->m) best = fmax(best, operations(r->bench) / median(r));
  printf("%-36s %10s %10s %7s\n", "kernel", "ms", "GFLOP/s", "share");
  for (Run *r = runs; r < runs + count; r++) {
    double seconds = median(r), rate = operations(r->bench) / seconds;
    printf("%-36s %10.3f %10.1f %6.0f%%\n", r->bench->name, seconds * 1e3, rate * 1e-9, best ? 100 * rate / best : 0);
  }
}

int main(int argc, char **argv) {
  static Run runs[BENCHES];
  int count = 0, wrong = 0;
  double seconds = argc > 1 ? atof(argv[1]) : 1;
  kernels = hf_cpu_kernels();
  printf("%s\n", hf_cpu_description());
  for (int i = 0; i < BENCHES; i++) {
    if (argc > 2 && !strstr(benches[i].name, argv[2])) continue;
    Run *r = &runs[count++];
    r->bench = &benches[i];
    (r->bench->m ? open_product : open_attention)(r);
    double error = (r->bench->m ? check_product : check_attention)(r);
    if (error < 1e-4) continue;
    printf("%s: wrong by %g\n", r->bench->name, error);
    wrong = 1;
  }
  if (wrong || !count) return 1;
  time_all(runs, count, seconds);
  print_table(runs, count);
  return 0;
}
