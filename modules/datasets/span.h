/* A piece of text or bytes that belongs to something else. */
#ifndef HF_SPAN_H
#define HF_SPAN_H
#include <stddef.h>

typedef struct HfSpan {
  const char *bytes; /* borrowed; no final NUL */
  size_t size;
} HfSpan;

#endif
