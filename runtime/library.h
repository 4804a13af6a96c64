/* Parts of hflua that are libraries of their own beside the program, opened when they are first needed. */
#ifndef HF_LIBRARY_H
#define HF_LIBRARY_H
#include <stddef.h>

typedef struct HfLibrary {
  const char *what;     /* "the CUDA back end", for messages */
  const char *file;     /* "hflua_cuda.so" */
  const char *variable; /* of the environment, naming another file */
  const char *symbol;   /* of the function wanted */
  const char *absent;   /* why there may be none */
} HfLibrary;

/* The function, or NULL with the reason in `why`. The library stays open. */
void *hf_library_open(const HfLibrary *library, char *why, size_t size);

#endif
