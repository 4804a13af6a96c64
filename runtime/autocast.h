/* Autocast: while it is on for a kind of device, products there (matmul, linear, attention) run in a 16-bit dtype, whatever
 * their operands are; everything else keeps to its operands' dtypes. Operations ask hf_product_dtype, nothing else.
 *
 *   HfDtype old = hf_autocast_set(hf_device_cpu(), HF_BFLOAT16);
 *   HfTensor *y = hf_linear(x, w, b, HF_ACT_NONE, false, &err);   // bfloat16; x, w, b float32
 *   hf_autocast_set(hf_device_cpu(), old);
 */
#ifndef HF_AUTOCAST_H
#define HF_AUTOCAST_H
#include "tensor.h"

/* The dtype of products on devices of this type ("cpu", "cuda"), HF_FLOAT32 to switch autocast off; gives the old one. */
HfDtype hf_autocast_set(const HfDevice *device, HfDtype dtype);
HfDtype hf_autocast_get(const HfDevice *device);

/* The dtype a product of a and b runs in: autocast's, else their own where both have one 16-bit dtype, else float32. */
HfDtype hf_product_dtype(const HfTensor *a, const HfTensor *b);

/* The dtype normalisation of x runs in: under autocast on CUDA float32 (PyTorch's list for it), else its own. */
HfDtype hf_norm_dtype(const HfTensor *x);

/* t contiguous in `dtype`, without history; t itself where it is that already. The copy of a parameter, or of a result that has a
 * gradient, is kept with its storage until that changes or goes: one conversion a step, however many products read it. */
HfTensor *hf_low_copy(HfTensor *t, HfDtype dtype, HfError *err);

/* Frees the kept copies of a storage; called when the storage goes. */
void hf_low_copies_free(HfStorage *storage);

#endif
