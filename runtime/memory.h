/* Host memory and checked sizes. Every allocation of the engine goes through these functions, so that a test
 * can make the n-th one fail (HFLUA_FAIL_ALLOC=n, or hf_memory_fail_at). */
#ifndef HF_MEMORY_H
#define HF_MEMORY_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/* Caller owns the bytes; hf_free. A size of 0 gives a valid pointer. NULL with err set on failure. */
void *hf_malloc(size_t bytes, const char *what, HfError *err);
void *hf_calloc(size_t bytes, const char *what, HfError *err);
void *hf_realloc(void *old, size_t bytes, const char *what, HfError *err); /* on failure `old` stays valid */
void hf_free(void *bytes);
char *hf_strndup(const char *text, size_t length, HfError *err); /* adds the final NUL */

/* The n-th allocation from now fails (1 = the next); 0 turns it off. For tests. */
void hf_memory_fail_at(long n);
/* Counts one allocation made elsewhere (a device's) and tells whether it is the one to fail. */
bool hf_memory_must_fail(void);

/* ---- a limit (--max-memory)
 * Counted are the functions above, Lua's own allocator, and the bytes of storages. `name` is how errors call the limit; it is
 * kept. Set once, before anything is allocated; 0 bytes: no limit, nothing is counted. */
void hf_memory_limit(uint64_t bytes, const char *name);
const char *hf_memory_limit_name(void); /* NULL without a limit */
bool hf_memory_take(size_t bytes);      /* counts them; false when they do not fit */
bool hf_memory_take_last(size_t bytes); /* for Lua: the last 1/32 too, so that a script can go on after an error of the engine's */
void hf_memory_give(size_t bytes);      /* counts them off */

/* *out = a * b, a + b; false when it does not fit. */
static inline bool hf_mul_u64(uint64_t *out, uint64_t a, uint64_t b) { return !__builtin_mul_overflow(a, b, out); }
static inline bool hf_add_u64(uint64_t *out, uint64_t a, uint64_t b) { return !__builtin_add_overflow(a, b, out); }

/* Growing byte buffer. Zero-initialise; hf_buffer_free when done. */
typedef struct HfBuffer {
  char *data; /* NUL-terminated after every append */
  size_t size, capacity;
} HfBuffer;
bool hf_buffer_reserve(HfBuffer *buffer, size_t extra, HfError *err);
bool hf_buffer_append(HfBuffer *buffer, const void *bytes, size_t size, HfError *err);
bool hf_buffer_format(HfBuffer *buffer, HfError *err, const char *format, ...) __attribute__((format(printf, 3, 4)));
void hf_buffer_free(HfBuffer *buffer);

#endif
