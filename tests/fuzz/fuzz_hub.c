/* Any bytes as the headers of an answer, and as URLs: either an error, or a URL that reads back as itself. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "hub/headers.h"
#include "hub/url.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool condition) { if (!condition) __builtin_trap(); }

/* What was read is written and read again: the same URL. */
static void check_url(HfUrl *url) {
  HfError err;
  HfUrl again = {0};
  HfBuffer text = {0}, once_more = {0};
  require(hf_url_write(url, &text, &err) && hf_url_parse(text.data, &again, &err));
  require(hf_url_same_origin(url, &again) && hf_url_write(&again, &once_more, &err) && !strcmp(text.data, once_more.data));
  for (const char *c = text.data; *c; c++) require(*c > ' ' && *c < 127);
  hf_buffer_free(&text);
  hf_buffer_free(&once_more);
  hf_url_free(&again);
  hf_url_free(url);
}

static void use(void *context, const char *name, const char *value) {
  char etag[65];
  uint64_t number;
  HfError err;
  HfUrl base = {0}, url = {0};
  (void)hf_parse_etag(value, etag);
  (void)hf_is_commit(value);
  if (hf_parse_content_range(value, 10, &number)) require(number < 10);
  (void)hf_parse_size(value, &number);
  if (hf_url_parse(value, &url, &err)) check_url(&url);
  require(hf_url_parse("https://host/a/b?c", &base, &err));
  if (hf_url_resolve(&base, value, &url, &err)) check_url(&url);
  hf_url_free(&base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err;
  HfHeaders headers = {0};
  const char *text = (const char *)data;
  for (size_t at = 0; at < size;) {
    const char *end = memchr(text + at, '\n', size - at);
    size_t length = end ? (size_t)(end - text) + 1 - at : size - at;
    if (!hf_headers_add(&headers, text + at, length, &err)) break;
    at += length;
  }
  hf_headers_each(&headers, use, NULL);
  (void)hf_headers_get(&headers, "location");
  hf_headers_free(&headers);
  return 0;
}
