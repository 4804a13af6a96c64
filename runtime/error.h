/* Errors of the engine. A fallible function takes `HfError *err` last and returns false or NULL after
 * filling it; nothing below the Lua binding prints, exits or jumps.
 *
 *   bool read_header(const char *path, Header *out, HfError *err) {
 *     if (size < 8) return hf_error_set(err, "%s: file: expected at least 8 bytes, found %zu", path, size);
 *     ...
 *   }
 */
#ifndef HF_ERROR_H
#define HF_ERROR_H
#include <stdbool.h>
#include <stddef.h>

typedef struct HfError {
  char message[1024]; /* one line: what failed, file, field, expected, found, next step */
  bool out_of_memory; /* set by hf_error_memory: a collection and one more try may help */
} HfError;

/* Writes the message; always returns false, so that `return hf_error_set(...)` ends a function. err may be NULL. */
bool hf_error_set(HfError *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "what: out of memory for N bytes"; always returns false. */
bool hf_error_memory(HfError *err, const char *what, size_t bytes);

/* Puts "prefix: " in front of a message already set; always returns false. */
bool hf_error_prefix(HfError *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Copies text from a file for an error message: cut to 80 bytes, control bytes escaped. `out` holds 336 bytes. */
#define HF_EXCERPT_SIZE 336
const char *hf_excerpt(char out[HF_EXCERPT_SIZE], const char *text, size_t length);

/* The name nearest to `name` by edit distance, or NULL when none is near. `names` ends with NULL. */
const char *hf_nearest_name(const char *name, const char *const *names);

#endif
