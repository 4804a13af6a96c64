/* XXH64, the published 64-bit checksum: fingerprints of data sets, and the check of our table files.
 *
 *   HfHash hash;
 *   hf_hash_begin(&hash);
 *   hf_hash_add(&hash, bytes, size);
 *   uint64_t value = hf_hash_end(&hash);
 */
#ifndef HF_HASH_H
#define HF_HASH_H
#include <stddef.h>
#include <stdint.h>

typedef struct HfHash {
  uint64_t lane[4], total;
  unsigned char tail[32]; /* bytes that do not fill a stripe yet: total % 32 of them */
} HfHash;

void hf_hash_begin(HfHash *hash); /* seed 0 */
void hf_hash_add(HfHash *hash, const void *bytes, size_t size);
uint64_t hf_hash_end(const HfHash *hash);

#endif
