/* Recording work of a device, and launching it. */
#include "graph.h"
#include "layout.h"
#include "memory.h"
#include <string.h>

/* What became of the gradient of a leaf. Tensors are held without counting as holders (HfTensor.graphs). */
typedef struct GradientNote {
  HfTensor *leaf;   /* owned */
  HfTensor *before; /* held while recording, or NULL */
  HfTensor *after;  /* held by the replay, or NULL */
  const void *found; /* the numbers of `before`: the launch must find them */
  const void *numbers; /* of the leaf: the launch reads them there */
  bool is_cleared;   /* whatever the launch finds is replaced */
} GradientNote;

struct HfReplay {
  HfDevice *device;
  HfGraph *graph;
  uint64_t keys; /* of dropout, drawn by a launch */
  GradientNote *notes;
  int note_count;
  HfStorage **written; /* owned; results, and what was there before and is changed in place */
  int written_count;
};

static struct {
  HfDevice *device; /* NULL: nothing is recorded */
  uint64_t number;
  bool is_strict;
  GradientNote *notes;
  int count, capacity;
  HfStorage **changed; /* held, as gradients are */
  int changed_count, changed_capacity;
  const char *refusal; /* the engine's own; NULL: none */
} now;
static uint64_t recordings;

uint64_t hf_graph_recording(void) { return now.device ? now.number : 0; }

const char *hf_graph_refusal(void) { return now.refusal ? now.refusal : now.device ? now.device->kernels->graph_refusal() : ""; }

void hf_graph_refuse(const char *why) {
  if (now.device && !now.refusal) now.refusal = why;
}

void hf_graph_note_read(HfStorage *s) {
  if (now.device) s->read = now.number;
}
bool hf_graph_was_read(const HfStorage *s) { return s->read && s->read == recordings; }

static const char *const NO_ROOM = "changes more than there is memory to remember";

/* ---- gradients */

static HfTensor *hold(HfTensor *t) {
  if (t) hf_tensor_retain(t), t->graphs++;
  return t;
}

static void let_go(HfTensor *t) {
  if (!t) return;
  t->graphs--;
  hf_tensor_release(t);
}

static bool is_noted(const HfTensor *leaf) {
  for (int i = 0; i < now.count; i++)
    if (now.notes[i].leaf == leaf) return true;
  return false;
}

static bool grow_notes(void) {
  int capacity = now.capacity ? 2 * now.capacity : 64;
  GradientNote *notes = hf_realloc(now.notes, (size_t)capacity * sizeof *notes, "graph", NULL);
  if (!notes) return false;
  now.notes = notes, now.capacity = capacity;
  return true;
}

void hf_graph_note_gradient(HfTensor *leaf, bool clears) {
  if (!now.device || is_noted(leaf)) return;
  if (now.count == now.capacity && !grow_notes()) {
    hf_graph_refuse(NO_ROOM);
    return;
  }
  now.notes[now.count++] = (GradientNote){.leaf = leaf, .before = hold(leaf->grad), .is_cleared = clears};
  hf_tensor_retain(leaf);
}

static void set_gradient(HfTensor *leaf, HfTensor *g) {
  if (g == leaf->grad) return;
  if (g) hf_tensor_retain(g);
  hf_tensor_release(leaf->grad);
  leaf->grad = g;
}

static void drop_notes(GradientNote *notes, int count) {
  for (int i = 0; i < count; i++) {
    let_go(notes[i].before), let_go(notes[i].after);
    hf_tensor_release(notes[i].leaf);
  }
  hf_free(notes);
}

/* Keeps for the launches what was found and what is left, and puts back what was found. A leaf that nothing else knows any more was
 * made by the work itself. */
static void finish_notes(void) {
  int kept = 0;
  for (int i = 0; i < now.count; i++) {
    GradientNote n = now.notes[i];
    bool is_own = n.leaf->references == 1;
    n.found = n.before ? hf_tensor_data(n.before) : NULL;
    n.numbers = hf_tensor_data(n.leaf);
    n.after = is_own ? NULL : hold(n.leaf->grad);
    set_gradient(n.leaf, n.before);
    let_go(n.before), n.before = NULL;
    if (is_own) hf_tensor_release(n.leaf);
    else now.notes[kept++] = n;
  }
  now.count = kept;
}

static void restore_gradients(void) {
  for (int i = 0; i < now.count; i++) set_gradient(now.notes[i].leaf, now.notes[i].before);
}

/* ---- changes in place */

bool hf_graph_recording_is_strict(void) { return now.device && now.is_strict; }

void hf_graph_note_change(HfStorage *s) {
  if (!now.device || s->recording == now.number || s->noted == now.number) return;
  if (now.changed_count == now.changed_capacity) {
    int capacity = now.changed_capacity ? 2 * now.changed_capacity : 64;
    HfStorage **changed = hf_realloc(now.changed, (size_t)capacity * sizeof *changed, "graph", NULL);
    if (!changed) {
      hf_graph_refuse(NO_ROOM);
      return;
    }
    now.changed = changed, now.changed_capacity = capacity;
  }
  s->noted = now.number;
  s->graphs++;
  hf_storage_retain(now.changed[now.changed_count++] = s);
}

static void drop_changes(HfStorage **changed, int count) {
  for (int i = 0; i < count; i++) {
    changed[i]->graphs--;
    hf_storage_release(changed[i]);
  }
  hf_free(changed);
}

/* ---- recording */

bool hf_graph_begin(HfDevice *device, bool keeps_copies, HfError *err) {
  const uint64_t *cell;
  if (now.device) return hf_error_set(err, "graph: a graph is being recorded already");
  HfStatus status = device->kernels->graph_begin(keeps_copies, &cell);
  if (status == HF_NO_MEMORY) return hf_error_memory(err, device->name, sizeof *cell);
  if (status != HF_OK) return hf_device_fault("graph", device, err);
  memset(&now, 0, sizeof now);
  now.device = device, now.number = ++recordings, now.is_strict = !keeps_copies;
  hf_dropout_record(cell);
  return true;
}

/* Ends the recording with all as it was before. */
static void undo(void) {
  restore_gradients();
  drop_notes(now.notes, now.count), drop_changes(now.changed, now.changed_count);
  memset(&now, 0, sizeof now);
}

bool hf_graph_abandon(HfError *err) {
  const char *refusal = hf_graph_refusal();
  bool was_refused = *refusal != 0;
  if (was_refused) hf_error_set(err, "graph: the function %s", refusal);
  now.device->kernels->graph_end(NULL);
  hf_dropout_recorded();
  undo();
  return was_refused;
}

HfReplay *hf_graph_end(HfError *err) {
  HfReplay *r = hf_calloc(sizeof *r, "graph", err);
  if (!r) return hf_graph_abandon(NULL), NULL;
  r->device = now.device;
  HfStatus status = now.device->kernels->graph_end(&r->graph);
  r->keys = hf_dropout_recorded();
  if (status != HF_OK || now.refusal) {
    hf_error_set(err, "graph: the function %s", hf_graph_refusal());
    hf_graph_free(r);
    return undo(), NULL;
  }
  finish_notes();
  r->notes = now.notes, r->note_count = now.count;
  r->written = now.changed, r->written_count = now.changed_count;
  memset(&now, 0, sizeof now);
  return r;
}

/* ---- launching */

bool hf_graph_fits(const HfReplay *r) {
  for (int i = 0; i < r->note_count; i++) {
    const GradientNote *n = &r->notes[i];
    const void *found = n->leaf->grad ? hf_tensor_data(n->leaf->grad) : NULL;
    if ((!n->is_cleared && found != n->found) || hf_tensor_data(n->leaf) != n->numbers) return false;
  }
  return true;
}

bool hf_graph_launch(HfReplay *r, HfError *err) {
  const HfKernels *k = r->device->kernels;
  if (now.device) return hf_error_set(err, "graph: a graph cannot be run while another is recorded");
  if (!hf_graph_fits(r)) return hf_error_set(err, "graph: leaves or their gradients are not as they were when it was recorded");
  HfStatus status = k->graph_launch(r->graph, hf_dropout_launch(r->keys));
  for (int i = 0; i < r->note_count; i++) set_gradient(r->notes[i].leaf, r->notes[i].after);
  for (int i = 0; i < r->written_count; i++) r->written[i]->version++;
  if (status == HF_OK) return true;
  if (status == HF_BAD_INDEX) return hf_error_set(err, "%s", k->late_error());
  return hf_device_fault("graph", r->device, err);
}

bool hf_graph_add_result(HfReplay *r, HfTensor *t, HfError *err) {
  HfStorage **written = hf_realloc(r->written, (size_t)(r->written_count + 1) * sizeof *written, "graph", err);
  if (!written) return false;
  r->written = written, written[r->written_count++] = t->storage;
  t->storage->graphs++;
  hf_storage_retain(t->storage);
  return true;
}

void hf_graph_free(HfReplay *r) {
  if (!r) return;
  drop_notes(r->notes, r->note_count), drop_changes(r->written, r->written_count);
  if (r->graph) r->device->kernels->graph_free(r->graph);
  hf_free(r);
}
