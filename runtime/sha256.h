/* SHA-256: of bytes and of files. Files are hashed by OpenSSL's libcrypto where it can be opened (it uses the processor's
 * instructions for it), else by the plain code here.
 *
 *   char hex[HF_SHA256_HEX];
 *   if (!hf_sha256_file("model.safetensors", hex, err)) return false;
 */
#ifndef HF_SHA256_H
#define HF_SHA256_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

#define HF_SHA256_SIZE 32
#define HF_SHA256_HEX 65 /* 64 digits and the final NUL */

/* The plain form, by FIPS 180-4. */
void hf_sha256(const void *bytes, size_t size, uint8_t out[HF_SHA256_SIZE]);

/* Lower-case hexadecimal digits of the hash of the whole file. */
bool hf_sha256_file(const char *path, char hex[HF_SHA256_HEX], HfError *err);

#endif
