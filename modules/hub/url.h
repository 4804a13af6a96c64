/* URLs of http and https, read strictly: what is sent is written anew from the parts, so that nobody reads them otherwise.
 *
 *   HfUrl url = {0}, next = {0};
 *   if (!hf_url_parse("https://huggingface.co/bert-base-uncased", &url, err)) return false;
 *   if (hf_url_resolve(&url, location, &next, err) && !hf_url_same_origin(&url, &next)) token = NULL;
 *   hf_url_free(&url);
 */
#ifndef HF_URL_H
#define HF_URL_H
#include <stdbool.h>
#include <stdint.h>
#include "error.h"
#include "memory.h"

enum { HF_URL_LIMIT = 16384 }; /* bytes of a URL; those of signed downloads have a few thousand */

typedef struct HfUrl {
  bool secure;     /* https */
  uint16_t port;
  char host[256];  /* lower case: a name, an IPv4 address, or an IPv6 address in brackets */
  HfBuffer target; /* path and query, from "/" on; no fragment */
} HfUrl;

/* Refused: other schemes, user names, hosts with characters of their own, control bytes. Spaces and bytes above 126 of the
 * target are percent-encoded. `out` is zero-initialised or freed by the caller first; errors leave nothing in it. */
bool hf_url_parse(const char *text, HfUrl *out, HfError *err);

/* Where the Location header of an answer from `base` points. */
bool hf_url_resolve(const HfUrl *base, const char *location, HfUrl *out, HfError *err);

bool hf_url_same_origin(const HfUrl *a, const HfUrl *b); /* scheme, host and port */

/* Appends the whole URL; only scheme, host and port (what messages may show: targets carry signatures). */
bool hf_url_write(const HfUrl *url, HfBuffer *out, HfError *err);
bool hf_url_write_origin(const HfUrl *url, HfBuffer *out, HfError *err);
void hf_url_free(HfUrl *url);

#endif
