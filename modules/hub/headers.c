/* Headers of an HTTP answer: see headers.h. */
#include "hub/headers.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* The length of the header's name at the start of a line, 0 when there is none. */
static size_t name_length(const char *line, size_t size) {
  size_t length = 0;
  while (length < size && (isalnum((unsigned char)line[length]) || (line[length] && strchr("-_.", line[length])))) length++;
  return length < size && line[length] == ':' ? length : 0;
}

static bool add_name(HfBuffer *text, const char *name, size_t size, HfError *err) {
  if (!hf_buffer_append(text, name, size, err)) return false;
  for (char *c = text->data + text->size - size; *c; c++) *c = (char)tolower((unsigned char)*c);
  return hf_buffer_append(text, "", 1, err);
}

bool hf_headers_add(HfHeaders *headers, const char *line, size_t size, HfError *err) {
  if (size >= 5 && !strncasecmp(line, "HTTP/", 5)) headers->text.size = 0;
  size_t name = name_length(line, size);
  if (!name) return true;
  const char *value = line + name + 1, *end = line + size;
  while (value < end && is_space(*value)) value++;
  while (end > value && is_space(end[-1])) end--;
  for (const char *c = value; c < end; c++)
    if (iscntrl((unsigned char)*c)) return true;
  if (headers->text.size + size > HF_HEADERS_LIMIT) return hf_error_set(err, "headers: more than %d bytes", HF_HEADERS_LIMIT);
  return add_name(&headers->text, line, name, err) && hf_buffer_append(&headers->text, value, (size_t)(end - value), err) &&
         hf_buffer_append(&headers->text, "", 1, err);
}

void hf_headers_each(const HfHeaders *headers, void (*take)(void *context, const char *name, const char *value), void *context) {
  for (size_t at = 0; at < headers->text.size;) {
    const char *name = headers->text.data + at, *value = name + strlen(name) + 1;
    take(context, name, value);
    at += (size_t)(value - name) + strlen(value) + 1;
  }
}

typedef struct Search {
  const char *name, *found;
} Search;

static void compare(void *context, const char *name, const char *value) {
  Search *search = context;
  if (!search->found && !strcmp(name, search->name)) search->found = value;
}

const char *hf_headers_get(const HfHeaders *headers, const char *name) {
  Search search = {name, NULL};
  hf_headers_each(headers, compare, &search);
  return search.found;
}

void hf_headers_free(HfHeaders *headers) { hf_buffer_free(&headers->text); }

/* The number at *text, which is moved behind it. */
static bool take_number(const char **text, uint64_t *out) {
  const char *start = *text;
  for (*out = 0; isdigit((unsigned char)**text); (*text)++)
    if (!hf_mul_u64(out, *out, 10) || !hf_add_u64(out, *out, (uint64_t)(**text - '0'))) return false;
  return *text > start;
}

bool hf_parse_size(const char *text, uint64_t *out) { return take_number(&text, out) && !*text; }

bool hf_parse_content_range(const char *text, uint64_t total, uint64_t *first) {
  uint64_t last, all;
  if (strncasecmp(text, "bytes ", 6)) return false;
  text += 6;
  if (!take_number(&text, first) || *text++ != '-' || !take_number(&text, &last) || *text++ != '/' || !hf_parse_size(text, &all)) return false;
  return all && all == total && *first <= last && last == all - 1;
}

static size_t hex_length(const char *text) { return strspn(text, "0123456789abcdef"); }

bool hf_is_commit(const char *text) { return hex_length(text) == 40 && !text[40]; }

bool hf_parse_etag(const char *text, char out[65]) {
  if (!strncmp(text, "W/", 2)) text += 2;
  bool quoted = *text == '"';
  text += quoted;
  size_t length = hex_length(text);
  if ((length != 40 && length != 64) || strcmp(text + length, quoted ? "\"" : "")) return false;
  memcpy(out, text, length);
  out[length] = 0;
  return true;
}
