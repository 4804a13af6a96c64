/* The tape: recording operations, walking back, releasing nodes without recursion. */
#include "tape.h"
#include "memory.h"
#include "graph.h"
#include "layout.h"
#include "ops.h"
#include <string.h>

static bool enabled = true;
static uint64_t next_order = 1;

bool hf_tape_enabled(void) { return enabled; }

bool hf_tape_set_enabled(bool on) {
  bool old = enabled;
  enabled = on;
  return old;
}

bool hf_tape_wants(HfTensor *const *inputs, int count) {
  for (int i = 0; i < count && enabled; i++)
    if (inputs[i] && inputs[i]->requires_grad) return true;
  return false;
}

/* ---- recording */

static void set_edge(HfEdge *edge, HfTensor *t) {
  *edge = (HfEdge){.output = t->output, .device = hf_tensor_device(t), .dtype = t->dtype, .ndim = t->ndim};
  memcpy(edge->shape, t->shape, sizeof edge->shape);
  if (!t->requires_grad) return;
  if (t->node)
    edge->node = t->node, t->node->references++;
  else
    edge->leaf = t, hf_tensor_retain(t);
}

static bool is_one_of(const HfTensor *t, HfTensor *const *list, int count) {
  for (int i = 0; i < count; i++)
    if (t == list[i]) return true;
  return false;
}

/* Saved results of this very node are kept without history, else node and tensor would hold each other. */
static bool save(HfNode *node, int i, HfTensor *t, HfTensor *const *outputs, HfError *err) {
  if (!t) return true;
  if (is_one_of(t, outputs, node->outputs))
    node->saved[i] = hf_tensor_detach(t, err);
  else
    node->saved[i] = t, hf_tensor_retain(t);
  if (node->saved[i]) node->saved_version[i] = t->storage->version;
  return node->saved[i] != NULL;
}

/* One block holds the node, its edges, saved list, versions, wants and context. */
static HfNode *new_node(const HfRecord *r, int outputs, HfError *err) {
  size_t edges = (size_t)r->input_count * sizeof(HfEdge), saved = (size_t)r->saved_count * sizeof(HfTensor *);
  size_t versions = (size_t)r->saved_count * sizeof(uint64_t), context = (r->context_size + 7) / 8 * 8;
  char *block = hf_calloc(sizeof(HfNode) + edges + saved + versions + context + (size_t)r->input_count,
                          r->operation->name, err);
  if (!block) return NULL;
  HfNode *node = (HfNode *)block;
  *node = (HfNode){.references = 1,
                   .operation = r->operation,
                   .order = next_order++,
                   .inputs = r->input_count,
                   .outputs = outputs,
                   .saved_count = r->saved_count};
  node->edge = (HfEdge *)(block += sizeof(HfNode));
  node->saved = (HfTensor **)(block += edges);
  node->saved_version = (uint64_t *)(block += saved);
  node->context = block += versions;
  node->wants = (bool *)(block + context);
  return node;
}

bool hf_tape_record(HfTensor *const *outputs, int output_count, const HfRecord *r, HfError *err) {
  if (!hf_tape_wants(r->inputs, r->input_count)) return true;
  HfNode *node = new_node(r, output_count, err);
  if (!node) return false;
  for (int i = 0; i < r->input_count; i++) {
    if (!r->inputs[i]) continue;
    set_edge(&node->edge[i], r->inputs[i]);
    node->wants[i] = r->inputs[i]->requires_grad;
  }
  for (int i = 0; i < r->saved_count; i++)
    if (!save(node, i, r->saved[i], outputs, err))
      return node->operation = NULL, hf_node_release(node), false;
  if (r->context_size) memcpy(node->context, r->context, r->context_size);
  for (int i = 0; i < output_count; i++) {
    if (!outputs[i] || !hf_dtype_is_float(outputs[i]->dtype)) continue;
    outputs[i]->requires_grad = true;
    outputs[i]->node = node;
    outputs[i]->output = i;
    node->references++;
  }
  hf_node_release(node);
  return true;
}

/* ---- releasing: a list in place of recursion, since chains of nodes are as long as the program made them */

static HfNode *pending; /* linked through ->context once a node is dead */
static bool draining;

static void release_saved(HfNode *node) {
  for (int i = 0; i < node->saved_count; i++) {
    hf_tensor_release(node->saved[i]);
    node->saved[i] = NULL;
  }
  if (!node->released && node->operation && node->operation->release) node->operation->release(node->context);
  node->released = true;
}

static void destroy(HfNode *node) {
  release_saved(node);
  for (int i = 0; i < HF_MAX_OUTPUTS; i++) hf_tensor_release(node->grad[i]);
  for (int i = 0; i < node->inputs; i++) {
    hf_tensor_release(node->edge[i].leaf);
    hf_node_release(node->edge[i].node);
  }
  hf_free(node);
}

void hf_node_release(HfNode *node) {
  if (!node || --node->references) return;
  node->order = (uint64_t)(uintptr_t)pending; /* a dead node's order links the list */
  pending = node;
  if (draining) return;
  draining = true;
  while (pending) {
    HfNode *dead = pending;
    pending = (HfNode *)(uintptr_t)dead->order;
    destroy(dead);
  }
  draining = false;
}

/* ---- gradients */

static HfTensor **grad_slot(HfEdge *edge) {
  return edge->node ? &edge->node->grad[edge->output] : edge->leaf ? &edge->leaf->grad : NULL;
}

/* May the numbers be changed in place without anyone else noticing? */
static bool is_exclusive(const HfTensor *t) {
  return t->references == 1 + t->graphs && t->storage->references == 1 && hf_tensor_is_contiguous(t) &&
         t->dtype == HF_FLOAT32;
}

/* Replaces *slot by a float32 copy of its own. */
static bool make_exclusive(HfTensor **slot, HfError *err) {
  if (is_exclusive(*slot)) return true;
  HfTensor *copy = (*slot)->dtype == HF_FLOAT32 ? hf_clone(*slot, err) : hf_cast(*slot, HF_FLOAT32, err);
  if (!copy) return false;
  hf_tensor_release(*slot);
  *slot = copy;
  return true;
}

/* *slot += g; takes g. */
static bool add_to_slot(HfTensor **slot, HfTensor *g, HfError *err) {
  if (!*slot) return *slot = g, true;
  bool ok;
  if (is_exclusive(*slot) && g->dtype == HF_FLOAT32 && hf_tensor_is_contiguous(g)) {
    ok = hf_check(
        hf_tensor_kernels(g)->axpy(hf_tensor_data(*slot), hf_tensor_data(g), hf_tensor_numel(g), 1.0f),
        "backward", g, err);
  } else {
    HfTensor *sum = hf_binary(*slot, g, HF_ADD, err);
    ok = sum != NULL;
    if (ok) hf_tensor_release(*slot), *slot = sum;
  }
  hf_tensor_release(g);
  return ok;
}

/* Adds g, a new reference that is taken, to the gradient of leaf t. */
static bool add_to_leaf(HfTensor *t, HfTensor *g, HfError *err) {
  hf_graph_note_gradient(t, false);
  if (!add_to_slot(&t->grad, g, err)) return false;
  return make_exclusive(&t->grad, err);
}

static bool give_to_edge(const char *op, HfEdge *edge, HfTensor *g, HfError *err) {
  char want[HF_DESCRIPTION_SIZE], found[HF_DESCRIPTION_SIZE];
  HfTensor **slot = grad_slot(edge);
  if (!slot) return hf_tensor_release(g), true;
  if (g->ndim != edge->ndim || memcmp(g->shape, edge->shape, (size_t)g->ndim * sizeof *g->shape)) {
    hf_error_set(err, "%s: backward: expected a gradient of shape %s, found %s", op,
                 hf_shape_describe(edge->ndim, edge->shape, want), hf_tensor_describe(g, found));
    return hf_tensor_release(g), false;
  }
  HfDtype dtype = edge->leaf && hf_dtype_is_float(edge->dtype) ? HF_FLOAT32 : edge->dtype;
  if (g->dtype != dtype) {
    HfTensor *converted = hf_cast(g, dtype, err);
    hf_tensor_release(g);
    if (!(g = converted)) return false;
  }
  return edge->leaf ? add_to_leaf(edge->leaf, g, err) : add_to_slot(slot, g, err);
}

HfTensor *hf_grad_target(HfNode *node, int i, float *beta, HfError *err) {
  HfEdge *edge = &node->edge[i];
  HfTensor **slot = grad_slot(edge);
  if (edge->leaf) hf_graph_note_gradient(edge->leaf, false);
  *beta = *slot ? 1.0f : 0.0f;
  if (!*slot)
    *slot = hf_tensor_empty(HF_FLOAT32, edge->ndim, edge->shape, edge->device, err);
  else if (!make_exclusive(slot, err))
    return NULL;
  return *slot;
}

/* ---- the walk: a heap of nodes, latest first. A node is taken when every operation after it has been. */

typedef struct Walk {
  HfNode **heap;
  size_t count, capacity;
  bool retain_graph;
} Walk;

static bool push(Walk *w, HfNode *node, HfError *err) {
  if (node->queued) return true;
  if (w->count == w->capacity) {
    size_t capacity = w->capacity ? 2 * w->capacity : 256;
    HfNode **heap = hf_realloc(w->heap, capacity * sizeof *heap, "backward", err);
    if (!heap) return false;
    w->heap = heap, w->capacity = capacity;
  }
  size_t at = w->count++;
  for (; at && w->heap[(at - 1) / 2]->order < node->order; at = (at - 1) / 2)
    w->heap[at] = w->heap[(at - 1) / 2];
  w->heap[at] = node;
  node->queued = true;
  node->references++;
  return true;
}

static HfNode *pop(Walk *w) {
  HfNode *top = w->heap[0], *last = w->heap[--w->count];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < w->count; at = child) {
    if (child + 1 < w->count && w->heap[child + 1]->order > w->heap[child]->order) child++;
    if (w->heap[child]->order < last->order) break;
    w->heap[at] = w->heap[child];
  }
  if (w->count) w->heap[at] = last;
  top->queued = false;
  return top;
}

static bool check_saved(HfNode *node, HfError *err) {
  const char *name = node->operation->name;
  if (node->released)
    return hf_error_set(
        err,
        "backward: the graph was already walked (at %s); call backward{retain_graph=true} the first time",
        name);
  for (int i = 0; i < node->saved_count; i++)
    if (node->saved[i] && node->saved[i]->storage->version != node->saved_version[i])
      return hf_error_set(
          err, "backward: a tensor that %s needs was changed in place after it was used; change a clone()",
          name);
  return true;
}

static bool give_inputs(Walk *w, HfNode *node, HfTensor **dinp, HfError *err) {
  bool ok = true;
  for (int i = 0; i < node->inputs; i++) {
    HfEdge *edge = &node->edge[i];
    if (!dinp[i]) continue;
    if (!node->wants[i] || !ok)
      hf_tensor_release(dinp[i]);
    else
      ok = give_to_edge(node->operation->name, edge, dinp[i], err);
  }
  for (int i = 0; i < node->inputs && ok; i++) {
    HfEdge *edge = &node->edge[i];
    if (edge->node && edge->node->grad[edge->output]) ok = push(w, edge->node, err);
  }
  return ok;
}

static bool run_node(Walk *w, HfNode *node, HfError *err) {
  HfTensor *few[8] = {0};
  HfTensor **dinp = node->inputs <= 8 ? few : hf_calloc((size_t)node->inputs * sizeof *dinp, "backward", err);
  if (!dinp) return false;
  node->last = !w->retain_graph;
  bool ok = check_saved(node, err) && node->operation->backward(node, node->grad, dinp, err);
  if (ok)
    ok = give_inputs(w, node, dinp, err);
  else
    for (int i = 0; i < node->inputs; i++) hf_tensor_release(dinp[i]);
  for (int i = 0; i < node->outputs; i++) hf_tensor_release(node->grad[i]), node->grad[i] = NULL;
  if (!w->retain_graph) release_saved(node);
  if (dinp != few) hf_free(dinp);
  return ok;
}

static bool walk(Walk *w, HfNode *root, HfError *err) {
  bool ok = push(w, root, err);
  while (w->count) {
    HfNode *node = pop(w);
    if (ok)
      ok = run_node(w, node, err);
    else
      for (int i = 0; i < node->outputs; i++) hf_tensor_release(node->grad[i]), node->grad[i] = NULL;
    hf_node_release(node);
  }
  hf_free(w->heap);
  return ok;
}

bool hf_backward(HfTensor *root, HfTensor *gradient, bool retain_graph, HfError *err) {
  char text[HF_DESCRIPTION_SIZE];
  if (!root->requires_grad)
    return hf_error_set(
        err, "backward: %s has no gradient: no tensor with requires_grad took part, or no_grad was on",
        hf_tensor_describe(root, text));
  if (!gradient && hf_tensor_numel(root) != 1)
    return hf_error_set(err,
                        "backward: expected a loss of one element, found %s; give backward{gradient=...}",
                        hf_tensor_describe(root, text));
  bool was_enabled = hf_tape_set_enabled(false);
  HfTensor *g = gradient
                    ? hf_clone(gradient, err)
                    : hf_tensor_full(root->dtype, root->ndim, root->shape, 1.0, hf_tensor_device(root), err);
  HfEdge edge = {.node = root->node,
                 .leaf = root->node ? NULL : root,
                 .output = root->output,
                 .dtype = root->dtype,
                 .ndim = root->ndim};
  memcpy(edge.shape, root->shape, sizeof edge.shape);
  bool ok = g && give_to_edge("backward", &edge, g, err);
  Walk w = {.retain_graph = retain_graph};
  if (ok && root->node) ok = walk(&w, root->node, err);
  hf_tape_set_enabled(was_enabled);
  return ok;
}
