/* Averages the gradients of a list of parameters over the processes of a group, while the backward that makes them is still going on.
 *
 *   HfGradientExchange *x = hf_gradient_exchange_new(parameters, count, bytes, &err);
 *   hf_gradient_exchange_begin(x);                    // the backward that follows is the last one before the optimizer
 *   ok = hf_backward(loss, NULL, false, &err) && hf_gradient_exchange_finish(x, &err);
 *
 * Parameters are taken in reverse order, that in which a backward finishes them, in buckets of about `bytes`. A bucket whose
 * gradients are final is exchanged at once: by the collectives of the device where it has them and the processes have joined, else
 * through a copy in host memory and a thread that calls the group's transport. Without begin, or for what the tape could not tell
 * (tape.h), finish exchanges. A parameter without a gradient counts as zeros; one that has none in any process keeps none.
 */
#ifndef HF_GRADIENT_EXCHANGE_H
#define HF_GRADIENT_EXCHANGE_H
#include "process_group.h"
#include "tensor.h"

typedef struct HfGradientExchange HfGradientExchange;

/* Keeps the parameters alive. A parameter can be in one exchange at a time. */
HfGradientExchange *hf_gradient_exchange_new(HfTensor *const *parameters, int count, size_t bucket_bytes, HfError *err);
void hf_gradient_exchange_release(HfGradientExchange *x); /* NULL is fine */

/* Called by all processes, as are all that follow. From here on finish must be called before gradients are looked at. */
void hf_gradient_exchange_begin(HfGradientExchange *x);
/* Every gradient is the mean over the processes. Errors: a gradient that changed after its exchange had begun (a second backward
 * behind begin), a device that failed. */
bool hf_gradient_exchange_finish(HfGradientExchange *x, HfError *err);

/* How many buckets there are, and how many of them the last finish found under way or done. */
int hf_gradient_exchange_buckets(const HfGradientExchange *x);
int hf_gradient_exchange_overlapped(const HfGradientExchange *x);
/* NULL when the device's own collectives are used, else why they are not. */
const char *hf_gradient_exchange_detour(const HfGradientExchange *x);

/* The mean of a tensor over the processes, in place, by the collectives of its device alone; also where there is one process. */
bool hf_average_on_device(HfTensor *t, HfError *err);

#endif
