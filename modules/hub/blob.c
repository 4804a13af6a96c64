/* A file of the Hub cache on its way: see blob.h. */
#include "hub/blob.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>
#include "digest.h"
#include "file.h"
#include "memory.h"
#include "sandbox_path.h"

struct HfBlob {
  char etag[65];
  char *path, *incomplete;
  int fd;
  uint64_t size, received;
  HfDigest digest;
  char validator[128]; /* the strong ETag of the answer that the bytes are of, or "": no resuming */
  bool accepted, misplaced; /* the bytes of this request follow those on the disk, or do not */
  const HfHttpRequest *request; /* the caller's, while one runs */
};

/* ---- opening and closing */

static void start_digest(HfBlob *blob) {
  hf_digest_drop(&blob->digest);
  if (strlen(blob->etag) == 64) hf_digest_start(&blob->digest, HF_SHA256);
  else hf_digest_start_git(&blob->digest, blob->size == HF_SIZE_UNKNOWN ? 0 : blob->size);
}

static bool check_space(const char *folder, uint64_t size, HfError *err) {
  uint64_t space;
  if (size == HF_SIZE_UNKNOWN) return true;
  if (!hf_file_free_space(folder, &space, err)) return false;
  return space >= size || hf_error_set(err, "%s: the file takes %llu bytes, but %llu are free; make room, or set HF_HOME to a folder on another disk", folder,
                                       (unsigned long long)size, (unsigned long long)space);
}

static bool set_paths(HfBlob *blob, const char *folder, HfError *err) {
  uint64_t random;
  HfBuffer path = {0}, incomplete = {0};
  if (getrandom(&random, sizeof random, 0) != sizeof random) return hf_file_fail(err, folder, "no random name");
  bool done = hf_buffer_format(&path, err, "%s/%s", folder, blob->etag) &&
              hf_buffer_format(&incomplete, err, "%s/%s.%016llx.incomplete", folder, blob->etag, (unsigned long long)random);
  blob->path = path.data;
  blob->incomplete = incomplete.data;
  return done;
}

static bool open_incomplete(HfBlob *blob, HfError *err) {
  blob->fd = hf_path_open(blob->incomplete, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (blob->fd >= 0) return true;
  hf_file_fail(err, blob->path, "cannot be written");
  hf_free(blob->incomplete);
  blob->incomplete = NULL; /* not ours to remove */
  return false;
}

HfBlob *hf_blob_open(const char *folder, const char *etag, uint64_t size, HfError *err) {
  char name[65];
  if (!hf_parse_etag(etag, name)) return hf_error_set(err, "blob: expected an ETag of 40 or 64 hexadecimal digits"), NULL;
  if (strlen(name) == 40 && size == HF_SIZE_UNKNOWN) return hf_error_set(err, "blob: the server tells no size, which Git's digest needs"), NULL;
  HfBlob *blob = check_space(folder, size, err) ? hf_calloc(sizeof *blob, "download", err) : NULL;
  if (!blob) return NULL;
  blob->fd = -1;
  blob->size = size;
  strcpy(blob->etag, name);
  start_digest(blob);
  if (set_paths(blob, folder, err) && open_incomplete(blob, err)) return blob;
  hf_blob_free(blob);
  return NULL;
}

void hf_blob_free(HfBlob *blob) {
  if (!blob) return;
  if (blob->fd >= 0) close(blob->fd);
  if (blob->incomplete) hf_path_remove(blob->incomplete);
  hf_digest_drop(&blob->digest);
  hf_free(blob->incomplete);
  hf_free(blob->path);
  hf_free(blob);
}

uint64_t hf_blob_received(const HfBlob *blob) { return blob->received; }

/* ---- receiving */

static bool start_again(HfBlob *blob, HfError *err) {
  if (ftruncate(blob->fd, 0) || lseek(blob->fd, 0, SEEK_SET)) return hf_file_fail(err, blob->path, "cannot be started again");
  blob->received = 0;
  *blob->validator = 0;
  start_digest(blob);
  return true;
}

/* Keeps the answer's ETag for If-Range, when it is a strong one. */
static void note_validator(HfBlob *blob, const HfHttpAnswer *answer) {
  const char *etag = hf_headers_get(&answer->headers, "etag");
  bool strong = etag && *etag == '"' && strlen(etag) < sizeof blob->validator;
  strcpy(blob->validator, strong ? etag : "");
}

/* The first bytes of an answer: do they follow those on the disk? */
static bool accept(HfBlob *blob, const HfHttpAnswer *answer, HfError *err) {
  const char *range = hf_headers_get(&answer->headers, "content-range");
  uint64_t first;
  bool continues = answer->status == 206 && range && hf_parse_content_range(range, blob->size, &first) && first == blob->received;
  if (!continues && !start_again(blob, err)) return false;
  blob->misplaced = !continues && answer->status == 206;
  if (blob->misplaced) return hf_error_set(err, "the server went on at another byte than asked");
  note_validator(blob, answer);
  return blob->accepted = true;
}

static bool write_all(HfBlob *blob, const char *bytes, size_t size, HfError *err) {
  while (size) {
    ssize_t put = write(blob->fd, bytes, size);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return hf_file_fail(err, blob->path, "cannot be written");
    bytes += put;
    size -= (size_t)put;
  }
  return true;
}

static bool take(void *context, const HfHttpAnswer *answer, const void *bytes, size_t size, HfError *err) {
  HfBlob *blob = context;
  if (!blob->accepted && !accept(blob, answer, err)) return false;
  if (size > blob->size - blob->received) return hf_error_set(err, "the body is longer than the %llu bytes that the server told", (unsigned long long)blob->size);
  if (!write_all(blob, bytes, size, err)) return false;
  hf_digest_add(&blob->digest, bytes, size);
  blob->received += size;
  return true;
}

static bool progress(void *context, HfError *err) {
  const HfHttpRequest *request = ((HfBlob *)context)->request;
  return !request->progress || request->progress(request->context, err);
}

/* The end of a request that the server answered with 200, 206 or 416. */
static HfHttpEnd check_end(HfBlob *blob, int status, HfError *err) {
  if (!blob->accepted && !start_again(blob, err)) return HF_HTTP_FAILED; /* 416, or no body at all */
  if (status != 416 && (blob->size == HF_SIZE_UNKNOWN || blob->received == blob->size)) return HF_HTTP_ANSWERED;
  hf_error_set(err, "the body was cut short: expected %llu bytes, found %llu", (unsigned long long)blob->size, (unsigned long long)blob->received);
  return HF_HTTP_BROKEN;
}

HfHttpEnd hf_blob_fetch(HfBlob *blob, const HfHttpRequest *request, HfHttpAnswer *answer, HfError *err) {
  HfHttpRequest own = *request;
  char range[32];
  snprintf(range, sizeof range, "%llu-", (unsigned long long)blob->received);
  blob->request = request;
  blob->accepted = blob->misplaced = false;
  own.take = take;
  own.progress = progress;
  own.context = blob;
  own.range = blob->received && *blob->validator && blob->size != HF_SIZE_UNKNOWN ? range : NULL;
  own.if_range = blob->validator;
  HfHttpEnd end = hf_http_request(&own, answer, err);
  int status = answer->status;
  if (blob->misplaced) return HF_HTTP_BROKEN;
  return end == HF_HTTP_ANSWERED && (status == 200 || status == 206 || status == 416) ? check_end(blob, status, err) : end;
}

/* ---- the end */

static bool check_digest(HfBlob *blob, HfError *err) {
  char found[HF_DIGEST_HEX];
  hf_digest_end(&blob->digest, found);
  return !strcmp(found, blob->etag) || hf_error_set(err, "the bytes that came are not those of the file: digest: expected %s, found %s; try again, and look for a proxy that changes downloads",
                                                    blob->etag, found);
}

bool hf_blob_finish(HfBlob *blob, HfError *err) {
  if (!check_digest(blob, err)) return false;
  if (fsync(blob->fd)) return hf_file_fail(err, blob->path, "cannot be synced to the disk");
  int fd = blob->fd;
  blob->fd = -1;
  if (close(fd)) return hf_file_fail(err, blob->path, "cannot be closed");
  if (!hf_file_rename(blob->incomplete, blob->path, err)) return false;
  hf_free(blob->incomplete);
  blob->incomplete = NULL;
  return true;
}
