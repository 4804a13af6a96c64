/* URLs of http and https: see url.h. */
#include "hub/url.h"
#include <ctype.h>
#include <string.h>
#include <strings.h>

static bool fail(HfUrl *out, const char *text, const char *problem, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  hf_url_free(out);
  return hf_error_set(err, "URL '%s': %s", hf_excerpt(shown, text, strcspn(text, "?#")), problem);
}

/* The length of the host at the start of `text`: a name, an IPv4 address or [an IPv6 address]; 0 when it is none of them. */
static size_t host_length(const char *text) {
  if (*text == '[') {
    size_t inner = strspn(text + 1, "0123456789abcdefABCDEF:.");
    return inner && text[inner + 1] == ']' ? inner + 2 : 0;
  }
  return strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_");
}

/* ":123" at *text, or the scheme's own port. */
static bool take_port(const char **text, HfUrl *out) {
  unsigned port = 0;
  out->port = out->secure ? 443 : 80;
  if (**text != ':') return true;
  for ((*text)++; isdigit((unsigned char)**text) && port <= UINT16_MAX; (*text)++) port = 10 * port + (unsigned)(**text - '0');
  out->port = (uint16_t)port;
  return port >= 1 && port <= UINT16_MAX;
}

/* Appends path and query up to a fragment. */
static bool add_target(const char *text, HfUrl *out, HfError *err) {
  for (; *text && *text != '#'; text++) {
    unsigned char c = (unsigned char)*text;
    if (c < ' ' || c == 127) return hf_error_set(err, "a control byte");
    if (!(c > ' ' && c < 127 ? hf_buffer_append(&out->target, text, 1, err) : hf_buffer_format(&out->target, err, "%%%02X", c))) return false;
    if (out->target.size > HF_URL_LIMIT) return hf_error_set(err, "longer than %d bytes", HF_URL_LIMIT);
  }
  return true;
}

bool hf_url_parse(const char *text, HfUrl *out, HfError *err) {
  HfError reason;
  const char *rest = text;
  *out = (HfUrl){0};
  if (!strncasecmp(text, "https://", 8)) out->secure = true, rest += 8;
  else if (!strncasecmp(text, "http://", 7)) rest += 7;
  else return fail(out, text, "expected https://HOST/PATH", err);
  size_t length = host_length(rest);
  if (length == 0 || length >= sizeof out->host) return fail(out, text, "expected the name of a host behind '://'", err);
  for (size_t i = 0; i < length; i++) out->host[i] = (char)tolower((unsigned char)rest[i]);
  rest += length;
  if (!take_port(&rest, out)) return fail(out, text, "port: expected 1 to 65535", err);
  if (*rest && !strchr("/?#", *rest)) return fail(out, text, "expected '/' behind the host (user names and passwords are not taken)", err);
  if (*rest != '/' && !hf_buffer_append(&out->target, "/", 1, err)) return fail(out, text, "out of memory", err);
  return add_target(rest, out, &reason) || fail(out, text, reason.message, err);
}

/* Starts `out` at the origin of `base`, with the first `keep` bytes of its target. */
static bool start_at(const HfUrl *base, size_t keep, HfUrl *out, HfError *err) {
  *out = (HfUrl){.secure = base->secure, .port = base->port};
  memcpy(out->host, base->host, sizeof out->host);
  return hf_buffer_append(&out->target, base->target.data, keep, err);
}

static bool has_scheme(const char *text) {
  size_t length = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+.-");
  return length > 0 && text[length] == ':';
}

/* Bytes of the base's target that a relative location keeps. */
static size_t kept_bytes(const HfUrl *base, const char *location) {
  size_t path = strcspn(base->target.data, "?");
  if (*location == '/') return 0;
  if (*location == '?' || *location == '#' || !*location) return path;
  while (path && base->target.data[path - 1] != '/') path--;
  return path;
}

bool hf_url_resolve(const HfUrl *base, const char *location, HfUrl *out, HfError *err) {
  HfError reason;
  if (has_scheme(location)) return hf_url_parse(location, out, err);
  if (location[0] == '/' && location[1] == '/') {
    HfBuffer whole = {0};
    bool done = hf_buffer_format(&whole, err, "%s:%s", base->secure ? "https" : "http", location) && hf_url_parse(whole.data, out, err);
    hf_buffer_free(&whole);
    return done;
  }
  bool done = start_at(base, kept_bytes(base, location), out, &reason) && add_target(location, out, &reason);
  return done || fail(out, location, reason.message, err);
}

bool hf_url_same_origin(const HfUrl *a, const HfUrl *b) { return a->secure == b->secure && a->port == b->port && !strcmp(a->host, b->host); }

bool hf_url_write_origin(const HfUrl *url, HfBuffer *out, HfError *err) {
  bool usual = url->port == (url->secure ? 443 : 80);
  return hf_buffer_format(out, err, "%s://%s", url->secure ? "https" : "http", url->host) && (usual || hf_buffer_format(out, err, ":%u", url->port));
}

bool hf_url_write(const HfUrl *url, HfBuffer *out, HfError *err) {
  return hf_url_write_origin(url, out, err) && hf_buffer_append(out, url->target.data, url->target.size, err);
}

void hf_url_free(HfUrl *url) {
  hf_buffer_free(&url->target);
  *url = (HfUrl){0};
}
