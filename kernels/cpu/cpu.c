#include "kernels.h"
const HfKernels *hf_cpu_kernels(void) { return 0; }
