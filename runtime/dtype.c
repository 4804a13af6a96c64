/* Names and sizes of the element types. */
#include "tensor.h"
#include <string.h>

static const struct {
  const char *name;
  size_t size;
} dtypes[HF_DTYPE_COUNT] = {
    [HF_FLOAT32] = {"float32", 4}, [HF_FLOAT16] = {"float16", 2}, [HF_BFLOAT16] = {"bfloat16", 2},
    [HF_INT64] = {"int64", 8},     [HF_INT32] = {"int32", 4},     [HF_UINT8] = {"uint8", 1},
    [HF_BOOL] = {"bool", 1},
};

static const struct {
  const char *name;
  HfDtype dtype;
} aliases[] = {
    {"float", HF_FLOAT32}, {"half", HF_FLOAT16}, {"long", HF_INT64}, {"int", HF_INT32}, {"byte", HF_UINT8}};

size_t hf_dtype_size(HfDtype dtype) { return dtypes[dtype].size; }
const char *hf_dtype_name(HfDtype dtype) { return dtypes[dtype].name; }
bool hf_dtype_is_float(HfDtype dtype) { return dtype <= HF_BFLOAT16; }

bool hf_dtype_find(const char *name, HfDtype *out) {
  for (int i = 0; i < HF_DTYPE_COUNT; i++)
    if (!strcmp(name, dtypes[i].name)) return *out = (HfDtype)i, true;
  for (size_t i = 0; i < sizeof aliases / sizeof *aliases; i++)
    if (!strcmp(name, aliases[i].name)) return *out = aliases[i].dtype, true;
  return false;
}
