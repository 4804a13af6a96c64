/* Host memory: malloc with errors and a limit, a test hook that fails the n-th allocation, growing buffers. */
#include "memory.h"
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Atomic long fail_countdown = -1; /* -1: HFLUA_FAIL_ALLOC not read yet; 0: off */

bool hf_memory_must_fail(void) {
  if (fail_countdown < 0) {
    const char *text = getenv("HFLUA_FAIL_ALLOC");
    fail_countdown = text ? atol(text) : 0;
  }
  return fail_countdown && --fail_countdown == 0;
}

void hf_memory_fail_at(long n) { fail_countdown = n; }

/* ---- the limit: kept in one counter, which threads may change at once */

static uint64_t limit;
static const char *limit_name;
static int64_t used;

void hf_memory_limit(uint64_t bytes, const char *name) {
  limit = bytes;
  limit_name = name;
}

const char *hf_memory_limit_name(void) { return limit ? limit_name : NULL; }

static bool take(size_t bytes, uint64_t most) {
  if (!limit) return true;
  if (bytes > most) return false;
  int64_t now = __atomic_add_fetch(&used, (int64_t)bytes, __ATOMIC_RELAXED);
  if (now <= (int64_t)most) return true;
  hf_memory_give(bytes);
  return false;
}

bool hf_memory_take(size_t bytes) { return take(bytes, limit - limit / 32); }
bool hf_memory_take_last(size_t bytes) { return take(bytes, limit); }

void hf_memory_give(size_t bytes) {
  if (limit) __atomic_sub_fetch(&used, (int64_t)bytes, __ATOMIC_RELAXED);
}

/* What malloc set aside for a block: 0 while nothing is counted. */
static size_t block_size(void *bytes) { return limit && bytes ? malloc_usable_size(bytes) : 0; }

/* ---- blocks */

/* A block as malloc gave it: counted, or given back with an error. */
static void *counted(void *bytes, size_t size, const char *what, HfError *err) {
  if (bytes && !hf_memory_take(block_size(bytes))) free(bytes), bytes = NULL;
  if (!bytes) hf_error_memory(err, what, size);
  return bytes;
}

void *hf_malloc(size_t bytes, const char *what, HfError *err) {
  return counted(hf_memory_must_fail() ? NULL : malloc(bytes ? bytes : 1), bytes, what, err);
}

void *hf_calloc(size_t bytes, const char *what, HfError *err) {
  return counted(hf_memory_must_fail() ? NULL : calloc(1, bytes ? bytes : 1), bytes, what, err);
}

void *hf_realloc(void *old, size_t bytes, const char *what, HfError *err) {
  size_t before = block_size(old), more = bytes > before ? bytes - before : 0;
  bool fits = hf_memory_take(more);
  void *block = fits && !hf_memory_must_fail() ? realloc(old, bytes ? bytes : 1) : NULL;
  if (fits && !block) hf_memory_give(more);
  if (!block) return hf_error_memory(err, what, bytes), NULL;
  hf_memory_give(before + more - block_size(block)); /* to what malloc really set aside; may wrap, and so add */
  return block;
}

void hf_free(void *bytes) {
  hf_memory_give(block_size(bytes));
  free(bytes);
}

char *hf_strndup(const char *text, size_t length, HfError *err) {
  char *copy = hf_malloc(length + 1, "text", err);
  if (!copy) return NULL;
  memcpy(copy, text, length);
  copy[length] = 0;
  return copy;
}

bool hf_buffer_reserve(HfBuffer *buffer, size_t extra, HfError *err) {
  if (extra > SIZE_MAX / 4 - buffer->size) return hf_error_memory(err, "buffer", extra);
  size_t needed = buffer->size + extra + 1;
  if (needed <= buffer->capacity) return true;
  size_t capacity = buffer->capacity ? buffer->capacity : 64;
  while (capacity < needed) capacity *= 2;
  char *data = hf_realloc(buffer->data, capacity, "buffer", err);
  if (!data) return false;
  buffer->data = data;
  buffer->capacity = capacity;
  return true;
}

bool hf_buffer_append(HfBuffer *buffer, const void *bytes, size_t size, HfError *err) {
  if (!hf_buffer_reserve(buffer, size, err)) return false;
  if (size) memcpy(buffer->data + buffer->size, bytes, size);
  buffer->size += size;
  buffer->data[buffer->size] = 0;
  return true;
}

bool hf_buffer_format(HfBuffer *buffer, HfError *err, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int size = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (size < 0) return hf_error_set(err, "format: invalid text");
  if (!hf_buffer_reserve(buffer, (size_t)size, err)) return false;
  va_start(args, format);
  vsnprintf(buffer->data + buffer->size, (size_t)size + 1, format, args);
  va_end(args);
  buffer->size += (size_t)size;
  return true;
}

void hf_buffer_free(HfBuffer *buffer) {
  hf_free(buffer->data);
  *buffer = (HfBuffer){0};
}
