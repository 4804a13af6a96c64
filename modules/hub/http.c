/* HTTP through libcurl: see http.h. */
#include "hub/http.h"
#include <string.h>
#include "hub/url.h"
#include "interrupt.h"
#include "sandbox.h"

#ifdef HF_HAVE_CURL
#include <curl/curl.h>
#include <dlfcn.h>
#include <stdlib.h>

#define HF_ENDPOINT "https://huggingface.co"
enum { REDIRECTS = 5, CONNECT_SECONDS = 10, STALL_SECONDS = 30, RECEIVE_BYTES = 256 << 10, IGNORED_BYTES = 1 << 20 };

#define CURL_FUNCTIONS(X) \
  X(curl_global_init) X(curl_easy_init) X(curl_easy_reset) X(curl_easy_setopt) X(curl_easy_perform) X(curl_easy_getinfo) \
  X(curl_easy_strerror) X(curl_slist_append) X(curl_slist_free_all)

static struct {
#define DECLARE(name) __typeof__(&name) name;
  CURL_FUNCTIONS(DECLARE)
#undef DECLARE
  CURL *handle; /* kept from request to request: connections stay open */
} lib;

/* curl.h checks the types of these calls with macros of the functions' names. */
#undef curl_easy_setopt
#undef curl_easy_getinfo

static bool find_functions(void *library) {
#define FIND(name) lib.name = (__typeof__(&name))dlsym(library, #name);
  CURL_FUNCTIONS(FIND)
#undef FIND
#define MISSING(name) || !lib.name
  return !(false CURL_FUNCTIONS(MISSING));
#undef MISSING
}

/* Opens libcurl once; stays open. */
static bool open_library(HfError *err) {
  static const char *const names[] = {"libcurl.so.4", "libcurl-gnutls.so.4"};
  if (lib.handle) return true;
  void *library = NULL;
  for (size_t i = 0; i < sizeof names / sizeof *names && !library; i++) library = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
  if (!library) return hf_error_set(err, "downloads need libcurl, which cannot be opened; install the package libcurl4, or copy the files and give their folder");
  if (!find_functions(library) || lib.curl_global_init(CURL_GLOBAL_DEFAULT)) return hf_error_set(err, "libcurl: cannot be used: too old a version?");
  lib.handle = lib.curl_easy_init();
  return lib.handle || hf_error_set(err, "libcurl: cannot be started");
}

/* One request on its way, over all redirects. */
typedef struct Transfer {
  const HfHttpRequest *request;
  HfHttpAnswer *answer;
  HfUrl url;
  bool with_token;
  uint64_t ignored; /* bytes of a body that nobody wants */
  HfHttpEnd end;    /* other than HF_HTTP_ANSWERED: ended by us, err is set */
  HfError *err;
} Transfer;

/* ---- what curl calls */

static bool is_redirect(int status) { return status == 301 || status == 302 || status == 303 || status == 307 || status == 308; }

static size_t on_header(char *line, size_t one, size_t size, void *context) {
  Transfer *transfer = context;
  if (hf_headers_add(&transfer->answer->headers, line, size, transfer->err)) return size;
  transfer->end = HF_HTTP_FAILED;
  return 0;
}

static int status_of_answer(void) {
  long status = 0;
  lib.curl_easy_getinfo(lib.handle, CURLINFO_RESPONSE_CODE, &status);
  return (int)status;
}

static size_t on_body(char *bytes, size_t one, size_t size, void *context) {
  Transfer *transfer = context;
  const HfHttpRequest *request = transfer->request;
  transfer->answer->status = status_of_answer();
  if (transfer->answer->status / 100 != 2 || !request->take) {
    transfer->ignored += size;
    return transfer->ignored > IGNORED_BYTES ? 0 : size;
  }
  if (request->take(request->context, transfer->answer, bytes, size, transfer->err)) return size;
  transfer->end = HF_HTTP_FAILED;
  return 0;
}

/* Not zero ends the request. */
static int on_progress(void *context, curl_off_t total, curl_off_t now, curl_off_t upload_total, curl_off_t upload_now) {
  Transfer *transfer = context;
  const HfHttpRequest *request = transfer->request;
  bool go_on = hf_interrupt_pending() ? hf_error_set(transfer->err, "interrupted!") : !request->progress || request->progress(request->context, transfer->err);
  if (!go_on) transfer->end = HF_HTTP_STOPPED;
  return !go_on;
}

/* ---- one exchange */

/* Appends "name: value" to *list. */
static bool add_header(struct curl_slist **list, const char *name, const char *value, HfError *err) {
  HfBuffer line = {0};
  struct curl_slist *longer = NULL;
  if (hf_buffer_format(&line, err, "%s: %s", name, value)) longer = lib.curl_slist_append(*list, line.data);
  if (line.data) explicit_bzero(line.data, line.size);
  hf_buffer_free(&line);
  if (longer) *list = longer;
  return longer || hf_error_memory(err, "request", strlen(value));
}

static bool add_headers(const Transfer *transfer, struct curl_slist **list) {
  const HfHttpRequest *request = transfer->request;
  HfError *err = transfer->err;
  HfBuffer bearer = {0};
  bool done = add_header(list, "Accept-Encoding", "identity", err);
  if (done && transfer->with_token) done = hf_buffer_format(&bearer, err, "Bearer %s", request->token) && add_header(list, "Authorization", bearer.data, err);
  if (done && request->range && request->if_range) done = add_header(list, "If-Range", request->if_range, err);
  if (bearer.data) explicit_bzero(bearer.data, bearer.size);
  hf_buffer_free(&bearer);
  return done;
}

#define SET(option, value) (lib.curl_easy_setopt(lib.handle, CURLOPT_##option, value) == CURLE_OK)

static bool set_options(Transfer *transfer, const char *url, struct curl_slist *headers, char *message) {
  const HfHttpRequest *request = transfer->request;
  long stall = request->stall_seconds ? request->stall_seconds : STALL_SECONDS;
  bool done = SET(URL, url) && SET(HTTPHEADER, headers) && SET(ERRORBUFFER, message) && SET(NOSIGNAL, 1L) && SET(FOLLOWLOCATION, 0L) &&
              SET(UNRESTRICTED_AUTH, 0L) && SET(SSL_VERIFYPEER, 1L) && SET(SSL_VERIFYHOST, 2L) && SET(CONNECTTIMEOUT, (long)CONNECT_SECONDS) &&
              SET(LOW_SPEED_LIMIT, 1L) && SET(LOW_SPEED_TIME, stall) && SET(HEADERFUNCTION, on_header) &&
              SET(HEADERDATA, transfer) && SET(WRITEFUNCTION, on_body) && SET(WRITEDATA, transfer) && SET(NOPROGRESS, 0L) &&
              SET(XFERINFOFUNCTION, on_progress) && SET(XFERINFODATA, transfer);
  (void)SET(BUFFERSIZE, (long)RECEIVE_BYTES); /* refused while the buffer of a failed request is kept */
  if (done && request->head) done = SET(NOBODY, 1L);
  if (done && request->range) done = SET(RANGE, request->range);
  if (done && request->user_agent) done = SET(USERAGENT, request->user_agent);
  if (done && request->ca_file) done = SET(CAINFO, request->ca_file);
  return done || hf_error_set(transfer->err, "libcurl: an option is refused: too old a version?");
}

static HfHttpEnd end_of_code(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST: case CURLE_COULDNT_RESOLVE_PROXY: return HF_HTTP_OFFLINE;
    case CURLE_COULDNT_CONNECT: case CURLE_OPERATION_TIMEDOUT: case CURLE_PARTIAL_FILE: case CURLE_RECV_ERROR: case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING: case CURLE_HTTP2: case CURLE_HTTP2_STREAM: case CURLE_SSL_CONNECT_ERROR: return HF_HTTP_BROKEN;
    default: return HF_HTTP_FAILED;
  }
}

/* "https://host: what curl says", and the next step for certificates. */
static HfHttpEnd fail(Transfer *transfer, CURLcode code, const char *message) {
  HfBuffer origin = {0};
  char shown[HF_EXCERPT_SIZE];
  const char *text = *message ? message : lib.curl_easy_strerror(code);
  bool certificate = code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE;
  hf_url_write_origin(&transfer->url, &origin, NULL);
  hf_error_set(transfer->err, "%s: %s%s", origin.data ? origin.data : "request", hf_excerpt(shown, text, strlen(text)),
               certificate ? "; install the package ca-certificates, or name your certificates in SSL_CERT_FILE" : "");
  hf_buffer_free(&origin);
  return end_of_code(code);
}

static HfHttpEnd perform(Transfer *transfer, const char *url, struct curl_slist *headers) {
  char message[CURL_ERROR_SIZE] = "";
  lib.curl_easy_reset(lib.handle);
  if (!set_options(transfer, url, headers, message)) return HF_HTTP_FAILED;
  transfer->ignored = 0;
  CURLcode code = lib.curl_easy_perform(lib.handle);
  curl_off_t retry_after = 0;
  lib.curl_easy_getinfo(lib.handle, CURLINFO_RETRY_AFTER, &retry_after);
  transfer->answer->status = status_of_answer();
  transfer->answer->retry_after = (double)retry_after;
  lib.curl_easy_reset(lib.handle); /* no pointer of ours stays in it */
  if (transfer->end != HF_HTTP_ANSWERED) return transfer->end;
  return code == CURLE_OK || transfer->ignored > IGNORED_BYTES ? HF_HTTP_ANSWERED : fail(transfer, code, message);
}

/* One request to transfer->url, without redirects. */
static HfHttpEnd exchange(Transfer *transfer) {
  HfBuffer url = {0};
  struct curl_slist *headers = NULL;
  HfHttpEnd end = HF_HTTP_FAILED;
  hf_headers_free(&transfer->answer->headers);
  if (hf_url_write(&transfer->url, &url, transfer->err) && add_headers(transfer, &headers)) end = perform(transfer, url.data, headers);
  lib.curl_slist_free_all(headers);
  hf_buffer_free(&url);
  return end;
}

/* ---- redirects */

/* Moves transfer->url to where the answer points. */
static bool follow(Transfer *transfer) {
  HfUrl next = {0};
  if (!hf_url_resolve(&transfer->url, hf_headers_get(&transfer->answer->headers, "location"), &next, transfer->err)) return hf_error_prefix(transfer->err, "redirect");
  bool downgrade = transfer->url.secure && !next.secure;
  transfer->with_token = transfer->with_token && hf_url_same_origin(&transfer->url, &next);
  hf_url_free(&transfer->url);
  transfer->url = next;
  return !downgrade || hf_error_set(transfer->err, "%s: a redirect from https to http is not followed", next.host);
}

static void note_commit(HfHttpAnswer *answer) {
  const char *commit = hf_headers_get(&answer->headers, "x-repo-commit");
  if (commit && !*answer->commit && hf_is_commit(commit)) strcpy(answer->commit, commit);
}

static bool is_final(const Transfer *transfer) {
  const HfHeaders *headers = &transfer->answer->headers;
  if (!is_redirect(transfer->answer->status) || !hf_headers_get(headers, "location")) return true;
  return transfer->request->head && *transfer->answer->commit && hf_headers_get(headers, "x-linked-etag");
}

static HfHttpEnd run(Transfer *transfer) {
  for (int redirects = 0; redirects <= REDIRECTS; redirects++) {
    HfHttpEnd end = exchange(transfer);
    if (end != HF_HTTP_ANSWERED) return end;
    note_commit(transfer->answer);
    if (is_final(transfer)) return HF_HTTP_ANSWERED;
    if (!follow(transfer)) return HF_HTTP_FAILED;
  }
  hf_error_set(transfer->err, "%s: more than %d redirects", transfer->url.host, REDIRECTS);
  return HF_HTTP_FAILED;
}

/* Under --sandbox: is this the configured endpoint? Where it redirects to is followed. */
static bool is_allowed(const HfUrl *url, HfError *err) {
  HfUrl endpoint = {0};
  const char *given = getenv("HF_ENDPOINT");
  if (hf_sandbox_network() == HF_NETWORK_ANY) return true;
  if (hf_sandbox_network() == HF_NETWORK_NONE) return hf_error_set(err, "the sandbox has no network (--network=none); use --network=endpoint, or files that are here");
  bool same = hf_url_parse(given && *given ? given : HF_ENDPOINT, &endpoint, err) && hf_url_same_origin(url, &endpoint);
  hf_url_free(&endpoint);
  return same || hf_error_set(err, "https://%s: the sandbox connects to the configured endpoint alone", url->host);
}

HfHttpEnd hf_http_request(const HfHttpRequest *request, HfHttpAnswer *answer, HfError *err) {
  Transfer transfer = {.request = request, .answer = answer, .with_token = request->token && hf_sandbox_may_send_token(), .err = err};
  *answer = (HfHttpAnswer){0};
  if (!open_library(err) || !hf_url_parse(request->url, &transfer.url, err)) return HF_HTTP_FAILED;
  HfHttpEnd end = is_allowed(&transfer.url, err) ? run(&transfer) : HF_HTTP_FAILED;
  hf_url_free(&transfer.url);
  return end;
}

#else
HfHttpEnd hf_http_request(const HfHttpRequest *request, HfHttpAnswer *answer, HfError *err) {
  *answer = (HfHttpAnswer){0};
  hf_error_set(err, "this hflua was built without libcurl and downloads nothing; install libcurl4-openssl-dev and build again, or copy the files and give their folder");
  return HF_HTTP_FAILED;
}
#endif

void hf_http_answer_free(HfHttpAnswer *answer) {
  hf_headers_free(&answer->headers);
  *answer = (HfHttpAnswer){0};
}
