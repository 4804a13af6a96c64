/* The tape: which operation made a tensor, and the walk back.
 *
 * An operation computes its result, then calls hf_tape_record. backward functions get the gradient of each
 * output and give the gradient of each input that wants one.
 */
#ifndef HF_TAPE_H
#define HF_TAPE_H
#include "tensor.h"

#define HF_MAX_OUTPUTS 4

/* One kind of operation. `backward` sets dinp[i] (a new reference) for every i with node->wants[i]; a NULL left there
 * means zero, or that the gradient was already added through hf_grad_target. dout[j] is NULL when output j got none. */
typedef struct HfOperation {
  const char *name;
  bool (*backward)(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err);
  void (*release)(void *context); /* frees what the context owns beyond its bytes; may be NULL */
  bool opaque; /* its backward may record and walk operations of its own, on leaves that are none of its operands */
} HfOperation;

/* An operand as the backward sees it: where its gradient goes and what shape that has. */
typedef struct HfEdge {
  HfTensor *leaf;   /* owned; for leaves that want a gradient */
  bool counted;     /* among the open uses of a watched leaf */
  HfNode *node;     /* owned; for results of earlier operations */
  int output;       /* which result of `node` */
  HfDevice *device;
  HfDtype dtype;
  int ndim;
  int64_t shape[HF_MAX_DIMS];
} HfEdge;

struct HfNode {
  int64_t references;
  const HfOperation *operation;
  uint64_t order;                   /* grows with each recorded operation */
  int inputs, outputs, saved_count;
  HfEdge *edge;                     /* (inputs) */
  bool *wants;                      /* (inputs): does operand i want a gradient? */
  HfTensor **saved;                 /* (saved_count); owned, without history of this node; NULL allowed */
  uint64_t *saved_version;          /* (saved_count) */
  HfTensor *grad[HF_MAX_OUTPUTS];   /* gradients gathered for the outputs during the walk; owned */
  bool queued, released;            /* waiting in the walk; saved values were given back by an earlier one */
  bool last;                        /* this walk is the last: a backward may take what was saved (and leave NULL) */
  void *context;                    /* the operation's parameters; a copy made by hf_tape_record; owned */
};

/* What an operation hands over. Arrays may hold NULL. Nothing is retained when no input wants a gradient or the tape
 * is off. */
typedef struct HfRecord {
  const HfOperation *operation;
  HfTensor *const *inputs;  int input_count;
  HfTensor *const *saved;   int saved_count;
  const void *context;      size_t context_size;
} HfRecord;

/* Would an operation on these inputs be recorded? (To skip saving.) */
bool hf_tape_wants(HfTensor *const *inputs, int count);
/* Ties `outputs` (fresh tensors) to a new node. On failure false; the outputs stay the caller's. */
bool hf_tape_record(HfTensor *const *outputs, int output_count, const HfRecord *record, HfError *err);

bool hf_tape_enabled(void);
bool hf_tape_set_enabled(bool enabled); /* returns the old setting */

/* Walks back from `root` (gradient NULL: ones, and then root must hold one element); leaf gradients are added to. Frees the
 * nodes' saved values as it goes unless retain_graph. An error leaves gradients already written. */
bool hf_backward(HfTensor *root, HfTensor *gradient, bool retain_graph, HfError *err);

/* For backward functions that can write straight into the gradient of input i (a product with beta): a contiguous float32
 * tensor of the input's shape (borrowed), and *beta = 1 to add to it or 0 to overwrite. NULL with err set on failure.
 * Leave dinp[i] NULL afterwards. */
HfTensor *hf_grad_target(HfNode *node, int i, float *beta, HfError *err);

/* Called in a walk when the gradient of a watched leaf (HfTensor) has got all that the operations recorded so far give it. Not
 * called with retain_graph, nor while an opaque operation is still to be walked: whoever watches looks again at the end. */
typedef void HfGradientWatcher(void *data, HfTensor *leaf);
void hf_tape_watch(HfGradientWatcher *watcher, void *data); /* NULL: nobody */

void hf_node_release(HfNode *node);

#endif
