/* Indexing: rows by index, gather and scatter, masks, embeddings. Indices are int64, checked by the kernels.
 */
#include "ops_internal.h"
#include "twin.h"
#include <inttypes.h>

static HfTensor *index_operand(const char *op, HfTensor *index, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (!index) return NULL;
  if (hf_dtype_is_float(index->dtype) || index->dtype == HF_BOOL)
    return hf_error_set(err, "%s: index: expected int64, found %s", op, hf_tensor_describe(index, text)),
           NULL;
  HfTensor *wide = hf_cast(index, HF_INT64, err);
  return hf_then(wide, hf_contiguous(wide, err));
}

/* ---- index_select; back by adding rows */

static bool index_select_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  int64_t dim = *(int64_t *)node->context, outer, n, inner, bad;
  HfTensor *dx = hf_zeros_edge(node, 0, err), *g = hf_float_contiguous(dout[0], err), *index = node->saved[0];
  bool ok = dx && g;
  if (ok) {
    hf_split_at(dx, dim, &outer, &n, &inner);
    ok = hf_check(hf_tensor_kernels(dx)->index_add(hf_tensor_data(dx), hf_tensor_data(g),
                                                   hf_tensor_data(index), hf_tensor_numel(index), outer, n,
                                                   inner, &bad),
                  "index_select", dx, err);
  }
  hf_tensor_release(g);
  return dinp[0] = ok ? dx : hf_then(dx, NULL), ok;
}
static const HfOperation index_select_operation = {"index_select", index_select_backward, NULL};

HfTensor *hf_index_select(HfTensor *x, int64_t dim, HfTensor *index, HfError *err) {
  int64_t outer, n, inner, bad = 0, shape[HF_MAX_DIMS];
  char text[HF_DESCRIPTION_SIZE];
  if (!x || !index || !hf_check_dim("index_select", &dim, x->ndim, err) ||
      !hf_same_device("index_select", x, index, err))
    return NULL;
  if (index->ndim > 1)
    return hf_error_set(err, "index_select: index: expected 1 dim, found %s",
                        hf_tensor_describe(index, text)),
           NULL;
  HfTensor *i = index_operand("index_select", index, err), *c = i ? hf_contiguous(x, err) : NULL;
  if (!c) return hf_then(i, NULL);
  hf_split_at(c, dim, &outer, &n, &inner);
  memcpy(shape, x->shape, sizeof shape);
  if (x->ndim) shape[dim] = hf_tensor_numel(i);
  HfTensor *out = hf_empty_as(x, x->dtype, x->ndim, shape, err);
  if (out && !hf_check_index(hf_tensor_kernels(x)->index_select(hf_tensor_data(out), hf_tensor_data(c),
                                                                hf_dtype_size(x->dtype), hf_tensor_data(i),
                                                                hf_tensor_numel(i), outer, n, inner, &bad),
                             "index_select", &bad, n, x, err))
    out = hf_then(out, NULL);
  out = hf_recorded(out, HF_OK,
                    &(HfRecord){&index_select_operation, HF_INPUTS(x), HF_SAVED(i), HF_CONTEXT(dim)}, err);
  hf_tensor_release(i), hf_tensor_release(c);
  return out;
}

/* ---- gather and scatter_add: each the other's way back */

/* Layout over index's shape: operand 0 and 1 as given by the kernel's comment; the table steps by `step`
 * along dim. */
static bool index_layout(HfLayout *l, const HfTensor *table, int table_operand, const HfTensor *other,
                         int other_operand, const HfTensor *index, int64_t dim, int64_t *step) {
  *l = (HfLayout){.ndim = index->ndim};
  for (int d = 0; d < index->ndim; d++) {
    l->shape[d] = index->shape[d];
    l->stride[table_operand][d] = d == dim ? 0 : table->stride[d];
    l->stride[other_operand][d] = other->stride[d];
    l->stride[2][d] = index->stride[d];
    if (d != dim && index->shape[d] > table->shape[d]) return false;
    if (index->shape[d] > other->shape[d]) return false;
  }
  *step = index->ndim ? table->stride[dim] : 1;
  return true;
}

static bool check_index_shape(const char *op, const HfTensor *x, const HfTensor *index, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (x->ndim == index->ndim) return hf_same_device(op, x, index, err);
  return hf_error_set(err, "%s: index %s must have as many dims as %s", op, hf_tensor_describe(index, a),
                      hf_tensor_describe(x, b));
}

static bool gather_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  HfTensor *zero = hf_zeros_edge(node, 0, err);
  dinp[0] = zero ? hf_scatter_add(zero, *(int64_t *)node->context, node->saved[0], dout[0], err) : NULL;
  hf_tensor_release(zero);
  return dinp[0] != NULL;
}
static const HfOperation gather_operation = {"gather", gather_backward, NULL};

HfTensor *hf_gather(HfTensor *x, int64_t dim, HfTensor *index, HfError *err) {
  HfLayout layout;
  int64_t step, bad = 0;
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x || !index || !hf_check_dim("gather", &dim, x->ndim, err) ||
      !check_index_shape("gather", x, index, err))
    return NULL;
  HfTensor *i = index_operand("gather", index, err),
           *out = i ? hf_empty_as(x, x->dtype, i->ndim, i->shape, err) : NULL;
  if (out && !index_layout(&layout, x, 1, out, 0, i, dim, &step)) {
    hf_error_set(err, "gather: index %s is larger than %s", hf_tensor_describe(i, a),
                 hf_tensor_describe(x, b));
    out = hf_then(out, NULL);
  }
  if (out && !hf_check_index(hf_tensor_kernels(x)->gather(hf_tensor_data(out), hf_tensor_data(x),
                                                          hf_dtype_size(x->dtype), hf_tensor_data(i), &layout,
                                                          x->ndim ? x->shape[dim] : 1, step, &bad),
                             "gather", &bad, x->ndim ? x->shape[dim] : 1, x, err))
    out = hf_then(out, NULL);
  out = hf_recorded(out, HF_OK, &(HfRecord){&gather_operation, HF_INPUTS(x), HF_SAVED(i), HF_CONTEXT(dim)},
                    err);
  return hf_then(i, out);
}

static bool scatter_add_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  if (node->wants[0]) hf_tensor_retain(dout[0]), dinp[0] = dout[0];
  if (node->wants[1] && !(dinp[1] = hf_gather(dout[0], *(int64_t *)node->context, node->saved[0], err)))
    return false;
  return true;
}
static const HfOperation scatter_add_operation = {"scatter_add", scatter_add_backward, NULL};

HfTensor *hf_scatter_add(HfTensor *x, int64_t dim, HfTensor *index, HfTensor *src, HfError *err) {
  HfLayout layout;
  int64_t step, bad = 0;
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x || !index || !src || !hf_check_dim("scatter_add", &dim, x->ndim, err) ||
      !check_index_shape("scatter_add", x, index, err) ||
      !check_index_shape("scatter_add", src, index, err) ||
      !hf_expect_dtype("scatter_add", "x", x, HF_FLOAT32, err))
    return NULL;
  HfTensor *i = index_operand("scatter_add", index, err), *s = i ? hf_float_contiguous(src, err) : NULL,
           *out = s ? hf_clone(x, err) : NULL;
  if (out && !index_layout(&layout, out, 0, s, 1, i, dim, &step)) {
    hf_error_set(err, "scatter_add: index %s is larger than %s", hf_tensor_describe(i, a),
                 hf_tensor_describe(src, b));
    out = hf_then(out, NULL);
  }
  int64_t size = x->ndim ? x->shape[dim] : 1;
  if (out && !hf_check_index(hf_tensor_kernels(x)->scatter_add(hf_tensor_data(out), hf_tensor_data(s),
                                                               hf_tensor_data(i), &layout, size, step, &bad),
                             "scatter_add", &bad, size, x, err))
    out = hf_then(out, NULL);
  if (out && out->node)
    hf_node_release(out->node), out->node = NULL, out->requires_grad = false; /* the clone's own history */
  out = hf_recorded(out, HF_OK,
                    &(HfRecord){&scatter_add_operation, HF_INPUTS(x, s), HF_SAVED(i), HF_CONTEXT(dim)}, err);
  hf_tensor_release(i), hf_tensor_release(s);
  return out;
}

/* ---- x[i, j, ...] over the first dims: one flat row number per entry, then index_select on (rows, rest) */

static HfTensor *flat_index(HfTensor *x, HfTensor *const *index, int count, HfError *err) {
  HfTensor *flat = NULL;
  for (int d = 0; d < count; d++) {
    HfTensor *i = index_operand("index", index[d], err),
             *size = i ? hf_scalar_like(i, HF_INT64, (double)x->shape[d], err) : NULL;
    HfTensor *zero = i ? hf_scalar_like(i, HF_INT64, 0, err) : NULL,
             *negative = hf_compare(i, zero, HF_LT, err), *wrapped = hf_binary(i, size, HF_ADD, err);
    HfTensor *at = hf_where(negative, wrapped, i, err), *low = hf_compare(at, zero, HF_LT, err),
             *high = hf_compare(at, size, HF_GE, err);
    HfTensor *low_any = hf_reduce(low, HF_ANY, 0, NULL, false, err),
             *high_any = hf_reduce(high, HF_ANY, 0, NULL, false, err);
    double a = 0, b = 0;
    int64_t whole;
    bool ok = low_any && high_any && hf_tensor_item(low_any, &a, &whole, err) &&
              hf_tensor_item(high_any, &b, &whole, err);
    if (ok && (a != 0 || b != 0))
      ok = hf_error_set(err, "index: an index is out of range for dim %d of size %" PRId64, d, x->shape[d]);
    if (flat)
      flat = hf_then(flat, hf_binary(flat, size, HF_MUL, err)),
      flat = hf_then(flat, hf_binary(flat, at, HF_ADD, err));
    else
      flat = at ? (hf_tensor_retain(at), at) : NULL;
    hf_tensor_release(i), hf_tensor_release(size), hf_tensor_release(zero), hf_tensor_release(negative),
        hf_tensor_release(wrapped);
    hf_tensor_release(at), hf_tensor_release(low), hf_tensor_release(high), hf_tensor_release(low_any),
        hf_tensor_release(high_any);
    if (!ok || !flat) return hf_then(flat, NULL);
  }
  return flat;
}

HfTensor *hf_index(HfTensor *x, HfTensor *const *index, int count, HfError *err) {
  int64_t rows[HF_MAX_DIMS + 1] = {-1}, shape[2 * HF_MAX_DIMS], all = -1;
  if (!x) return NULL;
  if (count < 1 || count > x->ndim)
    return hf_error_set(err, "index: expected 1 .. %d index tensors, found %d", x->ndim, count), NULL;
  HfTensor *flat = flat_index(x, index, count, err);
  if (!flat) return NULL;
  int rest = x->ndim - count;
  if (flat->ndim + rest > HF_MAX_DIMS)
    return hf_error_set(err, "index: the result would have more than %d dims", HF_MAX_DIMS),
           hf_then(flat, NULL);
  memcpy(rows + 1, x->shape + count, (size_t)rest * sizeof *rows);
  rows[0] = 1;
  for (int d = 0; d < count; d++) rows[0] *= x->shape[d];
  memcpy(shape, flat->shape, (size_t)flat->ndim * sizeof *shape);
  memcpy(shape + flat->ndim, x->shape + count, (size_t)rest * sizeof *shape);
  HfTensor *table = hf_reshape(x, rest + 1, rows, err), *line = hf_reshape(flat, 1, &all, err);
  HfTensor *out = hf_index_select(table, 0, line, err);
  out = hf_then(out, hf_reshape(out, flat->ndim + rest, shape, err));
  hf_tensor_release(table), hf_tensor_release(line), hf_tensor_release(flat);
  return out;
}

/* ---- masks. The number of results decides a shape, so the mask is read on the host. */

/* Row-major positions of the true entries of a bool tensor, as int64 (count). */
static HfTensor *true_positions(HfTensor *mask, HfError *err) {
  int64_t n = hf_tensor_numel(mask), count = 0;
  uint8_t *bytes = hf_malloc((size_t)n, "mask", err);
  int64_t *at = bytes ? hf_malloc((size_t)n * sizeof *at, "mask", err) : NULL;
  HfTensor *out = NULL;
  if (at && hf_tensor_read(mask, bytes, err)) {
    for (int64_t i = 0; i < n; i++)
      if (bytes[i]) at[count++] = i;
    out = hf_tensor_from(HF_INT64, 1, &count, at, hf_tensor_device(mask), err);
  }
  hf_free(bytes), hf_free(at);
  return out;
}

HfTensor *hf_masked_select(HfTensor *x, HfTensor *mask, HfError *err) {
  int64_t shape[HF_MAX_DIMS], all = -1;
  int ndim;
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  if (!x || !mask || !hf_expect_dtype("masked_select", "mask", mask, HF_BOOL, err)) return NULL;
  if (!hf_shape_broadcast(x->ndim, x->shape, mask->ndim, mask->shape, &ndim, shape))
    return hf_error_set(err, "masked_select: mask %s does not broadcast with %s", hf_tensor_describe(mask, a),
                        hf_tensor_describe(x, b)),
           NULL;
  HfTensor *m = hf_expand(mask, ndim, shape, err), *at = m ? true_positions(m, err) : NULL;
  HfTensor *wide = at ? hf_expand(x, ndim, shape, err) : NULL, *line = hf_reshape(wide, 1, &all, err),
           *out = hf_index_select(line, 0, at, err);
  hf_tensor_release(m), hf_tensor_release(at), hf_tensor_release(wide), hf_tensor_release(line);
  return out;
}

HfTensor *hf_nonzero(HfTensor *x, HfError *err) {
  HfTensor *twin = x ? hf_twin_of(x) : NULL;
  if (twin) {
    HfTensor *found = hf_then(twin, hf_nonzero(twin, err));
    return hf_then(found, hf_to_device(found, hf_tensor_device(x), err));
  }
  HfTensor *mask = x ? hf_cast(x, HF_BOOL, err) : NULL, *at = mask ? true_positions(mask, err) : NULL,
           *columns[HF_MAX_DIMS] = {NULL}, *out;
  int64_t step = 1;
  hf_tensor_release(mask);
  for (int d = x ? x->ndim - 1 : -1; d >= 0;
       step *= x->shape[d--]) { /* at / step % size, by exact integer steps */
    HfTensor *size = hf_scalar_like(at, HF_INT64, (double)x->shape[d], err),
             *one = hf_scalar_like(at, HF_INT64, (double)step, err);
    bool was = hf_tape_set_enabled(false);
    HfTensor *q = hf_integer_divide(at, one, err), *r = hf_integer_divide(q, size, err);
    r = hf_then(r, hf_binary(r, size, HF_MUL, err));
    columns[d] = hf_binary(q, r, HF_SUB, err);
    hf_tape_set_enabled(was);
    hf_tensor_release(size), hf_tensor_release(one), hf_tensor_release(q), hf_tensor_release(r);
  }
  if (x && x->ndim)
    out = columns[0] ? hf_stack(columns, x->ndim, 1, err) : NULL;
  else
    out = at ? hf_tensor_empty(HF_INT64, 2, (int64_t[]){hf_tensor_numel(at), 0}, hf_tensor_device(at), err)
             : NULL;
  for (int d = 0; d < HF_MAX_DIMS; d++) hf_tensor_release(columns[d]);
  return hf_then(at, out);
}

HfTensor *hf_one_hot(HfTensor *ids, int64_t classes, HfError *err) {
  HfTensor *i = index_operand("one_hot", ids, err);
  if (!i) return NULL;
  HfTensor *low = hf_reduce(i, HF_MIN, 0, NULL, false, err),
           *high = hf_reduce(i, HF_MAX, 0, NULL, false, err), *out = NULL;
  double lo = 0, hi = 0;
  int64_t smallest, largest;
  if (low && high && hf_tensor_item(low, &lo, &smallest, err) && hf_tensor_item(high, &hi, &largest, err)) {
    if (classes < 0) classes = largest + 1;
    if (smallest < 0 || largest >= classes) {
      hf_error_set(err, "one_hot: ids must be in 0 .. %" PRId64 ", found %" PRId64, classes - 1,
                   smallest < 0 ? smallest : largest);
    } else {
      HfTensor *line = hf_empty_as(i, HF_INT64, 1, &classes, err), *wide = hf_unsqueeze(i, -1, err);
      if (line && hf_check(hf_tensor_kernels(i)->arange(hf_tensor_data(line), HF_INT64, 0, 1, classes),
                           "one_hot", i, err))
        out = hf_compare(wide, line, HF_EQ, err);
      hf_tensor_release(line), hf_tensor_release(wide);
      out = hf_then(out, hf_cast(out, HF_INT64, err));
    }
  }
  hf_tensor_release(low), hf_tensor_release(high), hf_tensor_release(i);
  return out;
}

/* ---- embeddings */

static bool embedding_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  int64_t padding_idx = *(int64_t *)node->context;
  HfTensor *g = hf_float_contiguous(dout[0], err);
  bool ok = g != NULL;
  for (int t = 0; t < node->inputs && ok; t++) {
    float beta;
    if (!node->wants[t]) continue;
    HfTensor *dw = hf_grad_target(node, t, &beta, err), *ids = node->saved[t];
    if (dw && beta == 0) hf_tensor_kernels(dw)->zero(hf_tensor_data(dw), hf_tensor_bytes(dw));
    ok = dw && hf_check(hf_tensor_kernels(g)->embedding_backward(
                            hf_tensor_data(dw), hf_tensor_data(g), hf_tensor_data(ids), g->dtype,
                            hf_tensor_numel(ids), dw->shape[1], dw->shape[0], t ? -1 : padding_idx),
                        "embedding", g, err);
  }
  hf_tensor_release(g);
  return ok;
}
static const HfOperation embedding_operation = {"embedding", embedding_backward, NULL};

#define MAX_TABLES 4

static bool check_tables(HfTensor *const *weights, HfTensor *const *ids, int count, HfError *err) {
  char a[HF_DESCRIPTION_SIZE], b[HF_DESCRIPTION_SIZE];
  for (int t = 0; t < count; t++) {
    if (!weights[t] || !ids[t]) return false;
    if (weights[t]->ndim != 2 || weights[t]->dtype != weights[0]->dtype ||
        weights[t]->shape[1] != weights[0]->shape[1])
      return hf_error_set(err, "embedding: table %d is %s, expected 2 dims like %s", t + 1,
                          hf_tensor_describe(weights[t], a), hf_tensor_describe(weights[0], b));
    if (!hf_tensor_same_shape(ids[t], ids[0]))
      return hf_error_set(err, "embedding: ids %d are %s, expected the shape of %s", t + 1,
                          hf_tensor_describe(ids[t], a), hf_tensor_describe(ids[0], b));
    if (!hf_same_device("embedding", weights[t], ids[t], err)) return false;
  }
  return true;
}

static bool has_id(const HfTensor *ids, int64_t wanted) {
  HfError err;
  size_t bytes = hf_tensor_bytes(ids);
  int64_t *host = bytes ? hf_malloc(bytes, "embedding", &err) : NULL;
  bool found = false;
  if (host && hf_tensor_read(ids, host, &err))
    for (int64_t i = 0; i < hf_tensor_numel(ids) && !found; i++) found = host[i] == wanted;
  hf_free(host);
  return found;
}

/* Which id of which table was refused: the first table that has no such row and is asked for it. */
static bool bad_id(HfTensor *const *weights, HfTensor *const *ids, int count, int64_t bad, HfError *err) {
  for (int t = 0; t < count; t++)
    if ((bad < 0 || bad >= weights[t]->shape[0]) && has_id(ids[t], bad))
      return hf_error_set(err,
                          "embedding: id %" PRId64 " is out of range; the table has %" PRId64
                          " rows (ids 0 .. %" PRId64
                          "); check that tokenizer and model belong together, or resize_token_embeddings",
                          bad, weights[t]->shape[0], weights[t]->shape[0] - 1);
  return hf_error_set(err, "embedding: id %" PRId64 " is out of range", bad);
}

static HfTensor *look_up(HfTensor *const *weights, HfTensor *const *ids, int count, HfError *err) {
  const void *tables[MAX_TABLES];
  const int64_t *id[MAX_TABLES];
  int64_t rows[MAX_TABLES], shape[HF_MAX_DIMS + 1], bad = 0, width = weights[0]->shape[1];
  memcpy(shape, ids[0]->shape, sizeof ids[0]->shape);
  shape[ids[0]->ndim] = width;
  for (int t = 0; t < count; t++)
    tables[t] = hf_tensor_data(weights[t]), id[t] = hf_tensor_data(ids[t]), rows[t] = weights[t]->shape[0];
  HfTensor *out = hf_empty_as(weights[0], weights[0]->dtype, ids[0]->ndim + 1, shape, err);
  if (!out) return NULL;
  HfStatus status = hf_tensor_kernels(out)->embedding(hf_tensor_data(out), tables, id, rows, count,
                                                      out->dtype, hf_tensor_numel(ids[0]), width, &bad);
  bool ok = status == HF_BAD_INDEX ? bad_id(weights, ids, count, bad, err)
                                   : hf_check(status, "embedding", out, err);
  return ok ? out : hf_then(out, NULL);
}

HfTensor *hf_embedding_sum(HfTensor *const *weights, HfTensor *const *ids, int count, int64_t padding_idx,
                           HfError *err) {
  HfTensor *w[MAX_TABLES] = {NULL}, *i[MAX_TABLES] = {NULL}, *out = NULL;
  if (count < 1 || count > MAX_TABLES)
    return hf_error_set(err, "embedding: expected 1 .. %d tables, found %d", MAX_TABLES, count), NULL;
  if (!check_tables(weights, ids, count, err)) return NULL;
  bool ok = true;
  for (int t = 0; t < count; t++) {
    w[t] = hf_contiguous(weights[t], err), i[t] = index_operand("embedding", ids[t], err);
    ok = ok && w[t] && i[t];
  }
  if (ok) out = look_up(w, i, count, err);
  HfRecord record = {&embedding_operation, .inputs = w,          .input_count = count,
                     .saved = i,           .saved_count = count, HF_CONTEXT(padding_idx)};
  out = hf_recorded(out, HF_OK, &record, err);
  for (int t = 0; t < count; t++) hf_tensor_release(w[t]), hf_tensor_release(i[t]);
  return out;
}

HfTensor *hf_embedding(HfTensor *weight, HfTensor *ids, int64_t padding_idx, HfError *err) {
  return hf_embedding_sum(&weight, &ids, 1, padding_idx, err);
}
