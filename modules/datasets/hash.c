/* XXH64. */
#include "hash.h"
#include <string.h>

#define PRIME1 0x9E3779B185EBCA87ULL
#define PRIME2 0xC2B2AE3D27D4EB4FULL
#define PRIME3 0x165667B19E3779F9ULL
#define PRIME4 0x85EBCA77C2B2AE63ULL
#define PRIME5 0x27D4EB2F165667C5ULL

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

/* Little-endian words, whatever the processor. */
static uint64_t word(const unsigned char *p, int bytes) {
  uint64_t x = 0;
  for (int i = bytes - 1; i >= 0; i--) x = x << 8 | p[i];
  return x;
}

static uint64_t round_lane(uint64_t lane, uint64_t input) { return rotate(lane + input * PRIME2, 31) * PRIME1; }

static void add_stripe(HfHash *h, const unsigned char *p) {
  for (int i = 0; i < 4; i++) h->lane[i] = round_lane(h->lane[i], word(p + 8 * i, 8));
}

void hf_hash_begin(HfHash *h) {
  *h = (HfHash){.lane = {PRIME1 + PRIME2, PRIME2, 0, 0 - PRIME1}};
}

void hf_hash_add(HfHash *h, const void *bytes, size_t size) {
  const unsigned char *p = bytes;
  size_t held = h->total % 32;
  h->total += size;
  if (held + size < 32) {
    if (size) memcpy(h->tail + held, p, size);
    return;
  }
  if (held) {
    memcpy(h->tail + held, p, 32 - held);
    add_stripe(h, h->tail);
    p += 32 - held;
    size -= 32 - held;
  }
  for (; size >= 32; p += 32, size -= 32) add_stripe(h, p);
  if (size) memcpy(h->tail, p, size);
}

static uint64_t merge_lanes(const HfHash *h) {
  if (h->total < 32) return PRIME5;
  const uint64_t *v = h->lane;
  uint64_t x = rotate(v[0], 1) + rotate(v[1], 7) + rotate(v[2], 12) + rotate(v[3], 18);
  for (int i = 0; i < 4; i++) x = (x ^ round_lane(0, v[i])) * PRIME1 + PRIME4;
  return x;
}

uint64_t hf_hash_end(const HfHash *h) {
  uint64_t x = merge_lanes(h) + h->total;
  const unsigned char *p = h->tail, *end = p + h->total % 32;
  for (; end - p >= 8; p += 8) x = rotate(x ^ round_lane(0, word(p, 8)), 27) * PRIME1 + PRIME4;
  if (end - p >= 4) {
    x = rotate(x ^ word(p, 4) * PRIME1, 23) * PRIME2 + PRIME3;
    p += 4;
  }
  for (; p < end; p++) x = rotate(x ^ *p * PRIME5, 11) * PRIME1;
  x = (x ^ x >> 33) * PRIME2;
  x = (x ^ x >> 29) * PRIME3;
  return x ^ x >> 32;
}
