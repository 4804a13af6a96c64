/* A file of the Hub cache on its way to `blobs/<etag>`: written under a name of its own, hashed while it is written, and renamed
 * once its size and digest are those the Hub told. An ETag of 64 digits is the SHA-256 of the bytes, one of 40 Git's name of them.
 *
 *   HfBlob *blob = hf_blob_open("models--gpt2/blobs", etag, size, err);
 *   while (hf_blob_fetch(blob, &request, &answer, err) == HF_HTTP_BROKEN) wait();   // goes on where it was
 *   if (hf_blob_finish(blob, err)) ...
 *   hf_blob_free(blob);
 */
#ifndef HF_BLOB_H
#define HF_BLOB_H
#include <stdbool.h>
#include <stdint.h>
#include "error.h"
#include "hub/http.h"

#define HF_SIZE_UNKNOWN UINT64_MAX

typedef struct HfBlob HfBlob;

/* Makes `<folder>/<etag>.<random>.incomplete`. NULL when the disk has less free space than `size`. */
HfBlob *hf_blob_open(const char *folder, const char *etag, uint64_t size, HfError *err);

/* Fetches what is missing, over the take, range and if_range of `request`. Where the server does not go on at the right byte
 * (200, 416, another Content-Range) the file starts again. HF_HTTP_ANSWERED with status 200 or 206: the size is right. */
HfHttpEnd hf_blob_fetch(HfBlob *blob, const HfHttpRequest *request, HfHttpAnswer *answer, HfError *err);

uint64_t hf_blob_received(const HfBlob *blob); /* bytes on the disk */

/* Checks the digest, syncs and renames. After an error only hf_blob_free is left to call. */
bool hf_blob_finish(HfBlob *blob, HfError *err);
void hf_blob_free(HfBlob *blob); /* removes a file that was not finished; NULL is fine */

#endif
