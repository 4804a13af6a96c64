/* The CUDA back end, for what asks more of it than tensors do (memory statistics, names of devices). Devices themselves are
 * found by name: hf_device_find in tensor.h. */
#ifndef HF_DEVICE_H
#define HF_DEVICE_H
#include "cuda_backend.h"
#include "tensor.h"

/* The back end, opened at the first call; NULL with the reason when there is none. err may be NULL. It may have no device:
 * hf_cuda_device_count. */
const HfCudaBackend *hf_cuda(HfError *err);
/* The number of the device in use, or of the one that "cuda" means before there is one. */
int hf_cuda_current(void);

#endif
