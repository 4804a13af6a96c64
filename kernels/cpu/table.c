/* The table of one instruction set: calls the fill function of every kernel file. cpu_fills.def is made by CMake. */
#include "cpu.h"

#define FILL(name) void HF_CPU(fill_##name)(HfKernels *k);
#include "cpu_fills.def"
#undef FILL

void HF_CPU(fill)(HfKernels *k) {
#define FILL(name) HF_CPU(fill_##name)(k);
#include "cpu_fills.def"
#undef FILL
}
