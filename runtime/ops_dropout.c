/* Dropout by counter: where the keys come from, and the operation. */
#include "graph.h"
#include "ops_internal.h"

/* The next key belongs to (seed, step, operation + 1). In a graph the first key of the recording is number 1, and where it begins is
 * in the cell. */
static struct {
  uint64_t seed, step, operation;
  const uint64_t *cell;
  uint64_t first;
  bool was_set; /* seed or step, while a graph was recorded */
} counters;

void hf_dropout_seed(uint64_t seed) {
  counters.seed = seed, counters.step = counters.operation = 0;
  counters.was_set = true;
}
void hf_dropout_begin_step(uint64_t step) {
  counters.step = step, counters.operation = 0;
  counters.was_set = true;
}
uint64_t hf_dropout_position(void) { return counters.operation; }
void hf_dropout_set_position(uint64_t position) { counters.operation = position; }

static uint64_t number_at(uint64_t operation) {
  return hf_key_mix(counters.seed * HF_KEY_STEP + counters.step) + operation * HF_KEY_STEP;
}

HfDropoutKey hf_dropout_key(void) {
  counters.operation++;
  if (counters.cell) return (HfDropoutKey){(counters.operation - counters.first) * HF_KEY_STEP, counters.cell};
  return (HfDropoutKey){hf_key_mix(number_at(counters.operation)), NULL};
}

void hf_dropout_record(const uint64_t *cell) {
  counters.cell = cell, counters.first = counters.operation;
  counters.was_set = false;
}

bool hf_dropout_recorded(uint64_t *keys) {
  *keys = counters.operation - counters.first;
  counters.cell = NULL;
  counters.operation = counters.first; /* the launch draws the keys */
  return !counters.was_set;
}

uint64_t hf_dropout_launch(uint64_t keys) {
  uint64_t number = number_at(counters.operation);
  counters.operation += keys;
  return number;
}

typedef struct DropoutContext {
  HfDropoutKey key;
  float p;
} DropoutContext;

static HfTensor *apply_dropout(HfTensor *x, const DropoutContext *c, HfStatus *status, HfError *err) {
  HfTensor *out = hf_empty_like(x, err);
  *status = out ? hf_tensor_kernels(x)->dropout(hf_tensor_data(out), hf_tensor_data(x), x->dtype,
                                                hf_tensor_numel(x), c->p, c->key)
                : HF_OK;
  return out;
}

static bool dropout_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfStatus status;
  HfTensor *g = hf_contiguous(dout[0], err);
  dinp[0] = g ? apply_dropout(g, node->context, &status, err) : NULL;
  bool ok = dinp[0] && hf_check(status, "dropout", g, err);
  hf_tensor_release(g);
  return ok;
}
static const HfOperation dropout_operation_kind = {"dropout", dropout_backward, NULL};

HfTensor *hf_dropout(HfTensor *x, double p, bool training, HfError *err) {
  if (!x) return NULL;
  if (!(p >= 0 && p <= 1)) return hf_error_set(err, "dropout: p must be in 0 .. 1, found %g", p), NULL;
  if (!training || p == 0) return hf_tensor_retain(x), x;
  HfStatus status = HF_OK;
  DropoutContext context = {hf_dropout_key(), (float)p};
  HfTensor *c = hf_contiguous(x, err), *out = c ? apply_dropout(c, &context, &status, err) : NULL;
  out =
      hf_recorded(out, status, &(HfRecord){&dropout_operation_kind, HF_INPUTS(c), HF_CONTEXT(context)}, err);
  return hf_then(c, out);
}
