/* Graphs above the kernels: work of a device that is recorded once and done again by launches, with what the engine itself keeps
 * beside the device's memory: dropout's counters, the gradients of leaves, versions of results.
 *
 *   if (!hf_graph_begin(device, false, &err)) return false;
 *   ... operations ...
 *   HfReplay *replay = hf_graph_end(&err);          // nothing was done yet
 *   if (replay && hf_graph_launch(replay, &err)) ...
 */
#ifndef HF_GRAPH_H
#define HF_GRAPH_H
#include "tensor.h"

typedef struct HfReplay HfReplay;

/* The device in use that has graphs, or NULL. */
HfDevice *hf_graph_device(void);

/* keeps_copies: numbers copied from the host while recording are the same in every launch; else such a copy is refused. */
bool hf_graph_begin(HfDevice *device, bool keeps_copies, HfError *err);
/* The recorded work, which the caller owns; NULL when something in it cannot be part of a graph, with gradients and dropout's place as
 * they were at the beginning. */
HfReplay *hf_graph_end(HfError *err);
/* Ends a recording that will not be used, everything as at the beginning. Was something refused? err then says what. */
bool hf_graph_abandon(HfError *err);

/* Are the gradients of leaves as the recorded work found them: none where it began new ones, the same ones where it added? */
bool hf_graph_fits(const HfReplay *replay);
/* Does the work, when it fits. Gradients are left as the recorded work left them. */
bool hf_graph_launch(HfReplay *replay, HfError *err);
/* The numbers of t are written by each launch: the tape will notice. */
bool hf_graph_add_result(HfReplay *replay, HfTensor *t, HfError *err);
void hf_graph_free(HfReplay *replay); /* NULL is fine */

/* Why something was refused while recording: ends "the function ...". */
const char *hf_graph_refusal(void);
/* A number of the recording under way, other than that of any before; 0 when nothing is recorded. */
uint64_t hf_graph_recording(void);

/* ---- for the tape and whoever sets a gradient: the gradient of `leaf` is about to change. clears: not by adding to it. */
void hf_graph_note_gradient(HfTensor *leaf, bool clears);

/* ---- for dropout's counters (ops_dropout.c) */
void hf_dropout_record(const uint64_t *cell); /* keys are read through the cell from here on */
bool hf_dropout_recorded(uint64_t *keys);     /* back to the beginning; how many keys were drawn. False: the seed or step was set */
uint64_t hf_dropout_launch(uint64_t keys);    /* the number for the cell; the keys are drawn */

#endif
