/* SHA-1 and SHA-256, of bytes as they come and of files. OpenSSL's libcrypto does the work where it can be opened (it uses the
 * processor's instructions for it), else the plain code here.
 *
 *   HfDigest digest;
 *   hf_digest_start(&digest, HF_SHA256);
 *   hf_digest_add(&digest, bytes, size);
 *   char hex[HF_DIGEST_HEX];
 *   hf_digest_end(&digest, hex);
 */
#ifndef HF_DIGEST_H
#define HF_DIGEST_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

typedef enum HfDigestKind { HF_SHA1, HF_SHA256 } HfDigestKind;

#define HF_DIGEST_HEX 65 /* the most digits and the final NUL */

typedef struct HfDigest {
  HfDigestKind kind;
  void *context;     /* libcrypto's, or NULL: the plain form below */
  uint32_t words[8]; /* the hash of the whole blocks so far */
  uint8_t block[64]; /* the bytes behind them */
  uint64_t size;     /* of all bytes so far */
} HfDigest;

void hf_digest_start(HfDigest *digest, HfDigestKind kind);
void hf_digest_start_plain(HfDigest *digest, HfDigestKind kind); /* without libcrypto */
/* As Git names the contents of a file of `size` bytes: SHA-1 of "blob SIZE", NUL and the bytes, which follow. */
void hf_digest_start_git(HfDigest *digest, uint64_t size);
void hf_digest_add(HfDigest *digest, const void *bytes, size_t size);
/* Lower-case hexadecimal digits, 40 or 64. */
void hf_digest_end(HfDigest *digest, char hex[HF_DIGEST_HEX]);
/* Instead of hf_digest_end, when the digest is not wanted. Fine after it, and on zero bytes. */
void hf_digest_drop(HfDigest *digest);

/* The digest of a whole file; Git's name of its contents. */
bool hf_digest_file(const char *path, HfDigestKind kind, char hex[HF_DIGEST_HEX], HfError *err);
bool hf_digest_git_file(const char *path, char hex[HF_DIGEST_HEX], HfError *err);

#endif
