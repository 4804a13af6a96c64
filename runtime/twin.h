/* Twins: the numbers of a small integer tensor, kept in host memory beside the device's.
 *
 * Masks, labels and positions are made on the host and asked for there again (which tokens are real? which labels count?). A storage
 * that came from host memory, or was read from the device as a whole, keeps those numbers for as long as neither side is changed in
 * place (HfStorage.version): reading them then does not wait for the device.
 */
#ifndef HF_TWIN_H
#define HF_TWIN_H
#include "tensor.h"

#define HF_TWIN_MOST ((size_t)16 << 20) /* bytes */

/* Is t a whole storage of a device, of whole numbers and small enough? */
bool hf_twin_is_wanted(const HfTensor *t);
/* Keeps `host`, contiguous, as the twin of t's storage, where one is wanted. */
void hf_twin_keep(HfTensor *t, const HfTensor *host);
/* t's numbers as a view of its storage's twin (a new reference), or NULL: there is none, or a side was changed since. Not to be written to. */
HfTensor *hf_twin_of(const HfTensor *t);
/* For hf_storage_release. */
void hf_twin_free(HfStorage *storage);

#endif
