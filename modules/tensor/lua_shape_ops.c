/* Operations on shapes and positions for Lua: views, joining, repeating, indexing. Dims and positions count from 0. */
#include "lua_call.h"
#include "ops.h"

/* ---- views */

static bool run_reshape(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  int ndim = hf_call_sizes(c, 1, shape);
  HfTensor *x = hf_call_tensor(c, 0);
  return hf_call_return(c, c->op->code ? hf_view(x, ndim, shape, err) : hf_reshape(x, ndim, shape, err));
}

static bool run_permute(HfCall *c, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, dims);
  return hf_call_return(c, hf_permute(hf_call_tensor(c, 0), count, dims, err));
}

/* transpose(x, a, b), or {dims = {a, b}}. */
static bool run_transpose(HfCall *c, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  if (hf_call_sizes(c, 1, dims) != 2) hf_call_error(c, 1, "expected two dims");
  return hf_call_return(c, hf_transpose(hf_call_tensor(c, 0), dims[0], dims[1], err));
}

/* The matrix transposed; a vector or single value stays. */
static bool run_t(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0);
  char text[HF_DESCRIPTION_SIZE];
  if (x->ndim > 2) return hf_error_set(err, "t: expected at most 2 dims, found %s", hf_tensor_describe(x, text));
  if (x->ndim < 2) return hf_tensor_retain(x), hf_call_return(c, x);
  return hf_call_return(c, hf_transpose(x, 0, 1, err));
}

static bool run_expand(HfCall *c, HfError *err) {
  int64_t shape[HF_MAX_DIMS];
  int ndim = hf_call_sizes(c, 1, shape);
  return hf_call_return(c, hf_expand(hf_call_tensor(c, 0), ndim, shape, err));
}

static bool run_squeeze(HfCall *c, HfError *err) {
  int64_t dim = hf_call_integer_or(c, 1, 0);
  return hf_call_return(c, hf_squeeze(hf_call_tensor(c, 0), hf_call_given(c, 1) ? &dim : NULL, err));
}

static bool run_unsqueeze(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_unsqueeze(hf_call_tensor(c, 0), hf_call_integer(c, 1), err));
}

static bool run_flatten(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_flatten(hf_call_tensor(c, 0), hf_call_integer_or(c, 1, 0), hf_call_integer_or(c, 2, -1), err));
}

/* ---- pieces */

/* A Python bound: negative counts from the end, then cut to 0..size. */
static int64_t clip_bound(int64_t bound, int64_t size) {
  if (bound < 0) bound += size;
  return bound < 0 ? 0 : bound > size ? size : bound;
}

static bool run_slice(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0);
  int64_t dim = hf_call_integer_or(c, 1, 0), step = hf_call_integer_or(c, 4, 1);
  if (!hf_check_dim("slice", &dim, x->ndim, err)) return false;
  if (x->ndim == 0) return hf_error_set(err, "slice: a 0-dim tensor has nothing to slice");
  if (step < 1) hf_call_error(c, 4, "expected 1 or more, found %lld", (long long)step);
  int64_t size = x->shape[dim], start = clip_bound(hf_call_integer_or(c, 2, 0), size);
  int64_t stop = clip_bound(hf_call_integer_or(c, 3, size), size);
  return hf_call_return(c, hf_slice(x, dim, start, stop < start ? start : stop, step, err));
}

static bool run_narrow(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0);
  int64_t dim = hf_call_integer(c, 1), start = hf_call_integer(c, 2), length = hf_call_integer(c, 3);
  if (!hf_check_dim("narrow", &dim, x->ndim, err)) return false;
  int64_t size = x->ndim ? x->shape[dim] : 0;
  if (start < 0) start += size;
  if (start < 0 || length < 0 || start > size || length > size - start)
    return hf_error_set(err, "narrow: %lld from %lld on does not fit into dim %lld of size %lld", (long long)length,
                        (long long)hf_call_integer(c, 2), (long long)dim, (long long)size);
  return hf_call_return(c, hf_slice(x, dim, start, start + length, 1, err));
}

static bool run_select(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_select(hf_call_tensor(c, 0), hf_call_integer(c, 1), hf_call_integer(c, 2), err));
}

/* ---- moving, joining, repeating */

static bool run_flip(HfCall *c, HfError *err) {
  int64_t dims[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, dims);
  return hf_call_return(c, hf_flip(hf_call_tensor(c, 0), count, dims, err));
}

/* Several shifts are made one after the other; without dims the flat values roll. */
static bool run_roll(HfCall *c, HfError *err) {
  int64_t shifts[HF_MAX_DIMS], dims[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, shifts), dim_count = hf_call_sizes(c, 2, dims);
  HfTensor *x = hf_call_tensor(c, 0), *out;
  if (!dim_count && count == 1) {
    HfTensor *flat = hf_flatten(x, 0, -1, err), *rolled = flat ? hf_roll(flat, shifts[0], 0, err) : NULL;
    out = rolled ? hf_reshape(rolled, x->ndim, x->shape, err) : NULL;
    hf_tensor_release(flat), hf_tensor_release(rolled);
    return hf_call_return(c, out);
  }
  if (count != dim_count) hf_call_error(c, 2, "expected as many dims as shifts (%d), found %d", count, dim_count);
  hf_tensor_retain(out = x);
  for (int i = 0; i < count && out; i++) {
    HfTensor *next = hf_roll(out, shifts[i], dims[i], err);
    hf_tensor_release(out);
    out = next;
  }
  return hf_call_return(c, out);
}

static bool run_pad(HfCall *c, HfError *err) {
  int64_t pad[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, pad);
  return hf_call_return(c, hf_pad(hf_call_tensor(c, 0), count, pad, hf_call_number_or(c, 2, 0), err));
}

static bool run_join(HfCall *c, HfError *err) {
  int count;
  HfTensor **list = hf_call_tensors(c, 0, &count);
  int64_t dim = hf_call_integer_or(c, 1, 0);
  if (!count) hf_call_error(c, 0, "expected at least one tensor");
  return hf_call_return(c, c->op->code ? hf_stack(list, count, dim, err) : hf_cat(list, count, dim, err));
}

/* Fewer numbers than dims: they are those of the last dims, as in numpy's tile. */
static bool run_repeat(HfCall *c, HfError *err) {
  int64_t times[HF_MAX_DIMS];
  int count = hf_call_sizes(c, 1, times), ndim = hf_call_tensor(c, 0)->ndim;
  for (int i = ndim - 1, missing = ndim - count; i >= 0 && missing > 0; i--) times[i] = i < missing ? 1 : times[i - missing];
  if (count < ndim) count = ndim;
  return hf_call_return(c, hf_repeat(hf_call_tensor(c, 0), count, times, err));
}

/* Without dim the flat values are repeated. */
static bool run_repeat_interleave(HfCall *c, HfError *err) {
  HfTensor *x = hf_call_tensor(c, 0);
  int64_t times = hf_call_integer(c, 1), dim = hf_call_integer_or(c, 2, 0);
  HfTensor *flat = hf_call_given(c, 2) ? NULL : hf_flatten(x, 0, -1, err);
  if (!flat && !hf_call_given(c, 2)) return false;
  HfTensor *out = hf_repeat_interleave(flat ? flat : x, times, dim, err);
  hf_tensor_release(flat);
  return hf_call_return(c, out);
}

/* ---- indexing */

/* PyTorch's order (x, dim, index, ...) made that of the names (x, index, ..., dim). */
static void put_dim_last(HfCall *c, int dim_slot) {
  if (lua_type(c->L, 2) != LUA_TNUMBER) return;
  lua_pushvalue(c->L, 2);
  lua_remove(c->L, 2);
  lua_insert(c->L, dim_slot + 1);
}

static bool run_index_select(HfCall *c, HfError *err) {
  put_dim_last(c, 2);
  return hf_call_return(c, hf_index_select(hf_call_tensor(c, 0), hf_call_integer(c, 2), hf_call_tensor(c, 1), err));
}

static bool run_gather(HfCall *c, HfError *err) {
  put_dim_last(c, 2);
  return hf_call_return(c, hf_gather(hf_call_tensor(c, 0), hf_call_integer(c, 2), hf_call_tensor(c, 1), err));
}

static bool run_scatter_add(HfCall *c, HfError *err) {
  put_dim_last(c, 3);
  return hf_call_return(c, hf_scatter_add(hf_call_tensor(c, 0), hf_call_integer(c, 3), hf_call_tensor(c, 1), hf_call_tensor(c, 2), err));
}

static bool run_index(HfCall *c, HfError *err) {
  int count;
  HfTensor *x = hf_call_tensor(c, 0), **list = hf_call_tensors(c, 1, &count);
  if (!count) hf_call_error(c, 1, "expected at least one index tensor");
  return hf_call_return(c, hf_index(x, list, count, err));
}

static bool run_masked_select(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_masked_select(hf_call_tensor(c, 0), hf_call_tensor(c, 1), err));
}

static bool run_nonzero(HfCall *c, HfError *err) { return hf_call_return(c, hf_nonzero(hf_call_tensor(c, 0), err)); }

static bool run_one_hot(HfCall *c, HfError *err) {
  return hf_call_return(c, hf_one_hot(hf_call_tensor(c, 0), hf_call_integer(c, 1), err));
}

/* golden order (weight, ids); PyTorch's functional order (ids, weight) is told by the dtypes. */
static bool run_embedding(HfCall *c, HfError *err) {
  HfTensor *weight = hf_call_tensor(c, 0), *ids = hf_call_tensor(c, 1), *swap = weight;
  if (!hf_dtype_is_float(weight->dtype) && hf_dtype_is_float(ids->dtype)) weight = ids, ids = swap;
  int64_t padding = hf_call_integer_or(c, 2, -1);
  if (hf_call_given(c, 2) && padding < 0 && weight->ndim) padding += weight->shape[0];
  return hf_call_return(c, hf_embedding(weight, ids, padding, err));
}

#define DIM_LIST(name, run, argument) {name, run, .names = {"x", argument}, .required = 2, .gather = 2}

const HfLuaOp hf_lua_shape_ops[] = {
    {"reshape", run_reshape, .names = {"x", "sizes"}, .gather = 2, .code = false},
    {"view", run_reshape, .names = {"x", "sizes"}, .gather = 2, .code = true},
    DIM_LIST("permute", run_permute, "dims"), DIM_LIST("transpose", run_transpose, "dims"), DIM_LIST("expand", run_expand, "sizes"),
    DIM_LIST("flip", run_flip, "dims"), DIM_LIST("tile", run_repeat, "sizes"),
    {"t", run_t, .names = {"x"}},
    {"squeeze", run_squeeze, .names = {"x", "dim"}}, {"unsqueeze", run_unsqueeze, .names = {"x", "dim"}, .required = 2},
    {"flatten", run_flatten, .names = {"x", "start_dim", "end_dim"}},
    {"slice", run_slice, .names = {"x", "dim", "start", "stop", "step"}},
    {"narrow", run_narrow, .names = {"x", "dim", "start", "length"}, .required = 4},
    {"select", run_select, .names = {"x", "dim", "index"}, .required = 3},
    {"roll", run_roll, .names = {"x", "shifts", "dims"}, .required = 2},
    {"pad", run_pad, .names = {"x", "pad", "value"}, .required = 2},
    {"cat", run_join, .names = {"tensors", "dim"}, .gather = 1, .code = false},
    {"stack", run_join, .names = {"tensors", "dim"}, .gather = 1, .code = true},
    {"repeat_interleave", run_repeat_interleave, .names = {"x", "repeats", "dim"}, .required = 2},
    {NULL},
};

const HfLuaOp hf_lua_index_ops[] = {
    {"index_select", run_index_select, .names = {"x", "index", "dim"}, .required = 3},
    {"gather", run_gather, .names = {"x", "index", "dim"}, .required = 3},
    {"scatter_add", run_scatter_add, .names = {"x", "index", "src", "dim"}, .required = 4},
    {"index", run_index, .names = {"x", "indices"}, .required = 2, .gather = 2},
    {"masked_select", run_masked_select, .names = {"x", "mask"}, .required = 2},
    {"nonzero", run_nonzero, .names = {"x"}},
    {"one_hot", run_one_hot, .names = {"ids", "num_classes"}, .required = 2},
    {"embedding", run_embedding, .names = {"weight", "ids", "padding_idx"}, .required = 2},
    {NULL},
};
