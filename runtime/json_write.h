/* JSON text as Python's json module writes it: pieces appended to a buffer. */
#ifndef HF_JSON_WRITE_H
#define HF_JSON_WRITE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "memory.h"

/* Python's repr of a finite double: the shortest digits that read back equal, "1e-05", "0.1", "1.0". */
#define HF_REPR_SIZE 32
const char *hf_double_repr(double value, char out[HF_REPR_SIZE]);

/* An error for NaN and infinities, which JSON does not have. */
bool hf_json_write_number(HfBuffer *out, double value, HfError *err);
bool hf_json_write_integer(HfBuffer *out, int64_t value, HfError *err);
/* In quotes, escaped; with ascii also everything above U+007E. Invalid UTF-8 is an error. */
bool hf_json_write_string(HfBuffer *out, const char *text, size_t size, bool ascii, HfError *err);

#endif
