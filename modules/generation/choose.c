/* Choosing tokens on the device; see choose.h. */
#include "choose.h"
#include <inttypes.h>

bool hf_can_choose(const HfDevice *device) { return device->kernels->sample && device->kernels->append_tokens; }

/* Error unless t has the dtype, `count` numbers (-1: any) and the logits' device. */
static bool check(const char *what, const HfTensor *t, HfDtype dtype, int64_t count, const HfTensor *logits, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (t->dtype == dtype && hf_tensor_is_contiguous(t) && (count < 0 || hf_tensor_numel(t) == count) && hf_tensor_device(t) == hf_tensor_device(logits)) return true;
  return hf_error_set(err, "choose: %s: expected %" PRId64 " %s on %s, found %s", what, count, hf_dtype_name(dtype), hf_tensor_device(logits)->name, hf_tensor_describe(t, text));
}

static bool check_all(const HfTensor *logits, const HfChoice *c, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (!hf_can_choose(hf_tensor_device(logits))) return hf_error_set(err, "choose: %s has no kernels for it", hf_tensor_device(logits)->name);
  if (logits->ndim != 2 || !logits->shape[1] || logits->stride[1] != 1 || !hf_dtype_is_float(logits->dtype))
    return hf_error_set(err, "choose: logits: expected (rows, V) of floats, found %s", hf_tensor_describe(logits, text));
  int64_t rows = logits->shape[0];
  if (c->ids->ndim != 2 || c->ids->shape[0] != rows) return hf_error_set(err, "choose: ids: expected (%" PRId64 ", columns), found %s", rows, hf_tensor_describe(c->ids, text));
  return check("ids", c->ids, HF_INT64, -1, logits, err) && check("column", c->column, HF_INT64, 1, logits, err) && check("token", c->token, HF_INT64, rows, logits, err) &&
         check("input", c->input, HF_INT64, rows, logits, err) && check("position", c->position, HF_INT64, rows, logits, err) && check("done", c->done, HF_BOOL, rows, logits, err) &&
         (!c->ends || check("ends", c->ends, HF_INT64, -1, logits, err)) && (!c->starts || check("starts", c->starts, HF_INT64, rows, logits, err));
}

bool hf_choose(HfTensor *logits, const HfChoice *c, HfError *err) {
  if (!check_all(logits, c, err)) return false;
  const HfKernels *k = hf_tensor_kernels(logits);
  HfSampling rules = c->rules;
  rules.ids = hf_tensor_data(c->ids), rules.ids_stride = c->ids->shape[1], rules.column = hf_tensor_data(c->column);
  rules.starts = c->starts ? hf_tensor_data(c->starts) : NULL;
  HfDecoding d = {.rows = c->ids->shape[0], .columns = c->ids->shape[1], .ids = hf_tensor_data(c->ids), .column = hf_tensor_data(c->column), .input = hf_tensor_data(c->input),
                  .position = hf_tensor_data(c->position), .done = hf_tensor_data(c->done), .end = c->ends ? hf_tensor_data(c->ends) : NULL,
                  .ends = c->ends ? hf_tensor_numel(c->ends) : 0, .pad = c->pad};
  HfTensor *const written[] = {c->ids, c->column, c->token, c->input, c->position, c->done};
  for (size_t i = 0; i < sizeof written / sizeof *written; i++) written[i]->storage->version++;
  HfStatus status = k->sample(hf_tensor_data(c->token), hf_tensor_data(logits), logits->dtype, d.rows, logits->shape[1], logits->stride[0], &rules);
  if (!status) status = k->append_tokens(&d, hf_tensor_data(c->token));
  return !status || hf_error_set(err, "choose: the kernels of %s failed", hf_tensor_device(logits)->name);
}
