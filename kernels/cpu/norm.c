#include "cpu.h"
void HF_CPU(fill_norm)(HfKernels *k) { (void)k; }
