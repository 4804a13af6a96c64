#include "kernels.h"
typedef int hf_no_empty_unit;
