/* One HTTP request through libcurl, which is opened at the first. Redirects are followed here, not by curl:
 *   - at most 5 of them;
 *   - the token goes to the scheme, host and port of the first URL, and no further once a redirect has left them;
 *   - from https only to https.
 * Certificates are always checked. A signal (interrupt.h) ends a request. Proxies are taken from the environment, as curl does.
 *
 *   HfHttpAnswer answer = {0};
 *   HfHttpRequest request = {.url = url, .token = token, .head = true};
 *   if (hf_http_request(&request, &answer, err) != HF_HTTP_ANSWERED) ...
 *   hf_http_answer_free(&answer);
 */
#ifndef HF_HTTP_H
#define HF_HTTP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "hub/headers.h"

typedef enum HfHttpEnd {
  HF_HTTP_ANSWERED, /* any status; the whole body was taken */
  HF_HTTP_OFFLINE,  /* the name of the host is not found: there is no network, or no such host */
  HF_HTTP_BROKEN,   /* no connection, a timeout, a body cut short: another try may help */
  HF_HTTP_FAILED,   /* nothing that another try would change; also an error of `take` */
  HF_HTTP_STOPPED   /* by a signal, or by `progress` */
} HfHttpEnd;

typedef struct HfHttpAnswer {
  int status;
  HfHeaders headers;
  char commit[41];    /* the first X-Repo-Commit on the way, or "" */
  double retry_after; /* seconds the server asks to wait, or 0 */
} HfHttpAnswer;

typedef struct HfHttpRequest {
  const char *url;
  const char *token;      /* or NULL */
  const char *user_agent; /* or NULL */
  const char *ca_file;    /* certificates to trust instead of the system's, or NULL */
  const char *range;      /* "BYTES-", or NULL */
  const char *if_range;   /* the ETag that the range is of, as the server wrote it */
  bool head;              /* HEAD; ends at a redirect that says X-Linked-Etag, for it describes the file itself */
  int stall_seconds;      /* without a byte for so long it is a timeout; 0: 30 */
  /* The body of a 2xx answer as it comes. False, with err set, ends the request as HF_HTTP_FAILED. May be NULL. */
  bool (*take)(void *context, const HfHttpAnswer *answer, const void *bytes, size_t size, HfError *err);
  /* Called now and then. False, with err set, ends the request as HF_HTTP_STOPPED. May be NULL. */
  bool (*progress)(void *context, HfError *err);
  void *context;
} HfHttpRequest;

/* `answer` is zero-initialised or freed; the caller frees it whatever comes. Not HF_HTTP_ANSWERED: err says why. */
HfHttpEnd hf_http_request(const HfHttpRequest *request, HfHttpAnswer *answer, HfError *err);
void hf_http_answer_free(HfHttpAnswer *answer);

#endif
