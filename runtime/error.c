/* HfError: messages of the engine, excerpts of file text, nearest names. */
#include "error.h"
#include "memory.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool hf_error_set(HfError *err, const char *format, ...) {
  if (!err) return false;
  va_list args;
  va_start(args, format);
  vsnprintf(err->message, sizeof err->message, format, args);
  va_end(args);
  err->out_of_memory = false;
  return false;
}

bool hf_error_memory(HfError *err, const char *what, size_t bytes) {
  const char *limit = hf_memory_limit_name();
  hf_error_set(err, "%s: out of memory for %zu bytes%s%s", what, bytes, limit ? ": the limit is " : "", limit ? limit : "");
  if (err) err->out_of_memory = true;
  return false;
}

bool hf_error_prefix(HfError *err, const char *format, ...) {
  if (!err) return false;
  char old[sizeof err->message], prefix[512];
  memcpy(old, err->message, sizeof old);
  va_list args;
  va_start(args, format);
  vsnprintf(prefix, sizeof prefix, format, args);
  va_end(args);
  size_t used = (size_t)snprintf(err->message, sizeof err->message, "%s: ", prefix);
  if (used < sizeof err->message) snprintf(err->message + used, sizeof err->message - used, "%s", old);
  return false;
}

const char *hf_excerpt(char out[HF_EXCERPT_SIZE], const char *text, size_t length) {
  size_t shown = length < 80 ? length : 80, at = 0;
  for (size_t i = 0; i < shown; i++) {
    unsigned char c = (unsigned char)text[i];
    if (c < 0x20 || c == 0x7f) at += (size_t)sprintf(out + at, "\\x%02x", c);
    else out[at++] = (char)c;
  }
  while (shown < length && at && (out[at - 1] & 0xC0) == 0x80) at--; /* do not cut a character in two */
  if (shown < length && at && (unsigned char)out[at - 1] >= 0xC0) at--;
  strcpy(out + at, shown < length ? "..." : "");
  return out;
}

/* Levenshtein distance of two short names; names above 63 bytes count as far. */
static size_t edit_distance(const char *a, const char *b) {
  size_t row[64], la = strlen(a), lb = strlen(b);
  if (la > 63 || lb > 63) return 64;
  for (size_t j = 0; j <= lb; j++) row[j] = j;
  for (size_t i = 1; i <= la; i++) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= lb; j++) {
      size_t best = diagonal + (a[i - 1] != b[j - 1]);
      diagonal = row[j];
      if (row[j] + 1 < best) best = row[j] + 1;
      if (row[j - 1] + 1 < best) best = row[j - 1] + 1;
      row[j] = best;
    }
  }
  return row[lb];
}

const char *hf_nearest_name(const char *name, const char *const *names) {
  const char *nearest = NULL;
  size_t best = strlen(name) / 3 + 2;
  for (; *names; names++) {
    size_t distance = edit_distance(name, *names);
    if (distance < best) best = distance, nearest = *names;
  }
  return nearest;
}
