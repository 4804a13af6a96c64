/* SHA-1 and SHA-256 by FIPS 180-4: the message in blocks of 64 bytes, its length at the end; see digest.h. */
#include "digest.h"
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include "file.h"

static uint32_t rotate_right(uint32_t x, int n) { return x >> n | x << (32 - n); }
static uint32_t rotate_left(uint32_t x, int n) { return x << n | x >> (32 - n); }

static void read_block(uint32_t w[16], const uint8_t *block) {
  for (int i = 0; i < 16; i++)
    w[i] = (uint32_t)block[4 * i] << 24 | (uint32_t)block[4 * i + 1] << 16 | (uint32_t)block[4 * i + 2] << 8 | block[4 * i + 3];
}

/* ---- SHA-1: 80 rounds, a function and a constant for each 20 */

static uint32_t sha1_mix(int round, uint32_t b, uint32_t c, uint32_t d) {
  if (round < 20) return ((b & c) | (~b & d)) + 0x5a827999;
  if (round < 40) return (b ^ c ^ d) + 0x6ed9eba1;
  if (round < 60) return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
  return (b ^ c ^ d) + 0xca62c1d6;
}

static void sha1_block(uint32_t h[8], const uint8_t *block) {
  uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
  read_block(w, block);
  for (int i = 16; i < 80; i++) w[i] = rotate_left(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
  for (int i = 0; i < 80; i++) {
    uint32_t next = rotate_left(a, 5) + sha1_mix(i, b, c, d) + e + w[i];
    e = d, d = c, c = rotate_left(b, 30), b = a, a = next;
  }
  h[0] += a, h[1] += b, h[2] += c, h[3] += d, h[4] += e;
}

/* ---- SHA-256: 64 rounds */

static const uint32_t round_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static void expand(uint32_t w[64], const uint8_t *block) {
  read_block(w, block);
  for (int i = 16; i < 64; i++) {
    uint32_t s0 = rotate_right(w[i - 15], 7) ^ rotate_right(w[i - 15], 18) ^ w[i - 15] >> 3;
    uint32_t s1 = rotate_right(w[i - 2], 17) ^ rotate_right(w[i - 2], 19) ^ w[i - 2] >> 10;
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
}

/* s holds a..h, turned by one place a round. */
static void sha256_block(uint32_t h[8], const uint8_t *block) {
  uint32_t w[64], s[8];
  expand(w, block);
  memcpy(s, h, sizeof s);
  for (int i = 0; i < 64; i++) {
    uint32_t s1 = rotate_right(s[4], 6) ^ rotate_right(s[4], 11) ^ rotate_right(s[4], 25), choose = (s[4] & s[5]) ^ (~s[4] & s[6]);
    uint32_t t1 = s[7] + s1 + choose + round_constants[i] + w[i];
    uint32_t s0 = rotate_right(s[0], 2) ^ rotate_right(s[0], 13) ^ rotate_right(s[0], 22), most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
    memmove(s + 1, s, 7 * sizeof *s);
    s[4] += t1;
    s[0] = t1 + s0 + most;
  }
  for (int i = 0; i < 8; i++) h[i] += s[i];
}

/* ---- what both share */

static const struct {
  void (*block)(uint32_t words[8], const uint8_t *block);
  uint32_t first[8];
  int size; /* bytes of the hash */
  const char *library_name;
} kinds[] = {
  [HF_SHA1] = {sha1_block, {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0}, 20, "EVP_sha1"},
  [HF_SHA256] = {sha256_block, {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}, 32, "EVP_sha256"},
};

static void plain_add(HfDigest *digest, const uint8_t *bytes, size_t size) {
  size_t held = digest->size % 64;
  digest->size += size;
  while (size) {
    size_t part = size < 64 - held ? size : 64 - held;
    memcpy(digest->block + held, bytes, part);
    held += part, bytes += part, size -= part;
    if (held == 64) kinds[digest->kind].block(digest->words, digest->block), held = 0;
  }
}

static void plain_end(HfDigest *digest, uint8_t out[32]) {
  uint64_t bits = digest->size * 8;
  uint8_t length[8], padding[64] = {0x80};
  for (int i = 0; i < 8; i++) length[i] = (uint8_t)(bits >> (56 - 8 * i));
  plain_add(digest, padding, 1 + (119 - digest->size % 64) % 64);
  plain_add(digest, length, sizeof length);
  for (int i = 0; i < kinds[digest->kind].size; i++) out[i] = (uint8_t)(digest->words[i / 4] >> (24 - 8 * (i % 4)));
}

/* ---- libcrypto */

static struct {
  void *handle;
  void *(*new)(void);
  void (*free)(void *context);
  int (*start)(void *context, const void *method, void *engine);
  int (*add)(void *context, const void *bytes, size_t size);
  int (*end)(void *context, unsigned char *out, unsigned int *size);
} library;

/* Opened once and kept; false where it is missing. */
static bool open_library(void) {
  static bool tried, found;
  if (tried) return found;
  tried = true;
  if (!(library.handle = dlopen("libcrypto.so.3", RTLD_LAZY | RTLD_LOCAL))) return false;
  library.new = (void *(*)(void))dlsym(library.handle, "EVP_MD_CTX_new");
  library.free = (void (*)(void *))dlsym(library.handle, "EVP_MD_CTX_free");
  library.start = (int (*)(void *, const void *, void *))dlsym(library.handle, "EVP_DigestInit_ex");
  library.add = (int (*)(void *, const void *, size_t))dlsym(library.handle, "EVP_DigestUpdate");
  library.end = (int (*)(void *, unsigned char *, unsigned int *))dlsym(library.handle, "EVP_DigestFinal_ex");
  return found = library.new && library.free && library.start && library.add && library.end;
}

/* A context of libcrypto, or NULL. */
static void *library_start(HfDigestKind kind) {
  if (!open_library()) return NULL;
  const void *(*method)(void) = (const void *(*)(void))dlsym(library.handle, kinds[kind].library_name);
  void *context = method ? library.new() : NULL;
  if (!context || library.start(context, method(), NULL) == 1) return context;
  library.free(context);
  return NULL;
}

/* ---- the calls */

void hf_digest_start_plain(HfDigest *digest, HfDigestKind kind) {
  *digest = (HfDigest){.kind = kind};
  memcpy(digest->words, kinds[kind].first, sizeof digest->words);
}

void hf_digest_start(HfDigest *digest, HfDigestKind kind) {
  hf_digest_start_plain(digest, kind);
  digest->context = library_start(kind);
}

void hf_digest_start_git(HfDigest *digest, uint64_t size) {
  char head[32];
  int length = snprintf(head, sizeof head, "blob %llu", (unsigned long long)size);
  hf_digest_start(digest, HF_SHA1);
  hf_digest_add(digest, head, (size_t)length + 1);
}

void hf_digest_add(HfDigest *digest, const void *bytes, size_t size) {
  if (digest->context) library.add(digest->context, bytes, size);
  else plain_add(digest, bytes, size);
}

void hf_digest_end(HfDigest *digest, char hex[HF_DIGEST_HEX]) {
  uint8_t out[64];
  if (digest->context) library.end(digest->context, out, NULL);
  else plain_end(digest, out);
  for (int i = 0; i < kinds[digest->kind].size; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
  hf_digest_drop(digest);
}

void hf_digest_drop(HfDigest *digest) {
  if (digest->context) library.free(digest->context);
  digest->context = NULL;
}

static bool digest_mapped(HfDigest *digest, HfMapping *mapping, char hex[HF_DIGEST_HEX]) {
  hf_digest_add(digest, mapping->data, mapping->size);
  hf_digest_end(digest, hex);
  hf_mapping_release(mapping);
  return true;
}

bool hf_digest_file(const char *path, HfDigestKind kind, char hex[HF_DIGEST_HEX], HfError *err) {
  HfDigest digest;
  HfMapping *mapping = hf_file_map(path, err);
  if (!mapping) return false;
  hf_digest_start(&digest, kind);
  return digest_mapped(&digest, mapping, hex);
}

bool hf_digest_git_file(const char *path, char hex[HF_DIGEST_HEX], HfError *err) {
  HfDigest digest;
  HfMapping *mapping = hf_file_map(path, err);
  if (!mapping) return false;
  hf_digest_start_git(&digest, mapping->size);
  return digest_mapped(&digest, mapping, hex);
}
