/* Packed whole numbers; see parquet_runs.h. */
#include "parquet_runs.h"
#include <stdbool.h>
#include <string.h>
#include "thrift.h"

static const char ends_early[] = "the packed numbers end early";

/* `width` bits (at most 64) from bit `at` on, the first lowest; they lie inside of `size` bytes. */
static inline uint64_t bits_at(const uint8_t *in, size_t size, uint64_t at, int width) {
  size_t byte = at >> 3;
  int shift = at & 7;
  uint64_t word = 0;
  memcpy(&word, in + byte, size - byte < 8 ? size - byte : 8);
  word >>= shift;
  if (shift + width > 64) word |= (uint64_t)in[byte + 8] << (64 - shift);
  return width == 64 ? word : word & ((1ULL << width) - 1);
}

typedef struct Output { /* numbers of 8 or 32 bits */
  uint8_t *narrow;
  uint32_t *wide;
} Output;

static void fill(Output out, int64_t at, int64_t count, uint32_t value) {
  if (out.narrow) memset(out.narrow + at, (int)value, (size_t)count);
  else
    for (int64_t i = 0; i < count; i++) out.wide[at + i] = value;
}

static void unpack(Output out, int64_t at, int64_t count, const uint8_t *in, size_t size, int width) {
  if (out.narrow)
    for (int64_t i = 0; i < count; i++) out.narrow[at + i] = (uint8_t)bits_at(in, size, (uint64_t)i * (uint64_t)width, width);
  else
    for (int64_t i = 0; i < count; i++) out.wide[at + i] = (uint32_t)bits_at(in, size, (uint64_t)i * (uint64_t)width, width);
}

static const char *decode_run(HfThrift *t, uint64_t length, int width, Output out, int64_t at, int64_t left, int64_t *made) {
  size_t bytes = ((size_t)width + 7) / 8;
  uint32_t value = 0;
  if (bytes > (size_t)(t->end - t->at)) return ends_early;
  memcpy(&value, t->at, bytes);
  t->at += bytes;
  if (width < 32 && value >> width) return "a run has a number of more bits than announced";
  *made = length < (uint64_t)left ? (int64_t)length : left;
  fill(out, at, *made, value);
  return NULL;
}

/* Groups of eight numbers. Bytes that only padding of the last group would need may be missing. */
static const char *decode_groups(HfThrift *t, uint64_t groups, int width, Output out, int64_t at, int64_t left, int64_t *made) {
  size_t size = (size_t)(t->end - t->at);
  *made = groups < (uint64_t)left / 8 + 1 && (int64_t)groups * 8 < left ? (int64_t)groups * 8 : left;
  if (((uint64_t)*made * (uint64_t)width + 7) / 8 > size) return ends_early;
  unpack(out, at, *made, t->at, size, width);
  t->at += groups <= size / (size_t)width ? (size_t)groups * (size_t)width : size;
  return NULL;
}

static const char *decode_hybrid(const uint8_t *in, size_t size, int width, Output out, int64_t count) {
  HfThrift t = hf_thrift_over(in, size);
  if (width == 0) return fill(out, 0, count, 0), NULL;
  for (int64_t at = 0, made = 0; at < count; at += made) {
    uint64_t head = hf_thrift_varint(&t);
    if (t.problem) return ends_early;
    const char *problem = head & 1 ? decode_groups(&t, head >> 1, width, out, at, count - at, &made)
                                   : decode_run(&t, head >> 1, width, out, at, count - at, &made);
    if (problem) return problem;
  }
  return NULL;
}

const char *hf_runs_decode8(const uint8_t *in, size_t size, int width, uint8_t *out, int64_t count) {
  return decode_hybrid(in, size, width, (Output){.narrow = out}, count);
}

const char *hf_runs_decode32(const uint8_t *in, size_t size, int width, uint32_t *out, int64_t count) {
  return decode_hybrid(in, size, width, (Output){.wide = out}, count);
}

const char *hf_runs_decode_packed(const uint8_t *in, size_t size, int width, uint8_t *out, int64_t count, size_t *used) {
  *used = ((uint64_t)count * (uint64_t)width + 7) / 8;
  if (*used > size) return ends_early;
  uint64_t at = 0;
  for (int64_t i = 0; i < count; i++) {
    unsigned value = 0;
    for (int bit = 0; bit < width; bit++, at++) value = value << 1 | (in[at >> 3] >> (7 - (at & 7)) & 1);
    out[i] = (uint8_t)value;
  }
  return NULL;
}

/* ---- differences */

typedef struct Delta {
  HfThrift t;
  uint64_t block, miniblocks, per_miniblock; /* numbers in a block and a miniblock */
  uint64_t last;                             /* the number before; differences wrap */
} Delta;

/* Up to one miniblock of differences of `width` bits. */
static const char *decode_miniblock(Delta *d, int width, uint64_t least, int64_t *out, int64_t count) {
  size_t left = (size_t)(d->t.end - d->t.at), bytes = d->per_miniblock / 8 * (size_t)width;
  if (width > 64) return "differences have more than 64 bits";
  if (((uint64_t)count * (uint64_t)width + 7) / 8 > left) return ends_early;
  for (int64_t i = 0; i < count; i++) {
    uint64_t difference = width ? bits_at(d->t.at, left, (uint64_t)i * (uint64_t)width, width) : 0;
    d->last += least + difference;
    out[i] = (int64_t)d->last;
  }
  d->t.at += bytes < left ? bytes : left;
  return NULL;
}

static const char *decode_block(Delta *d, int64_t *out, int64_t count, int64_t *made) {
  uint64_t least = (uint64_t)hf_thrift_zigzag(&d->t);
  const uint8_t *widths = d->t.at;
  if (d->t.problem || d->miniblocks > (uint64_t)(d->t.end - widths)) return ends_early;
  d->t.at += d->miniblocks;
  *made = 0;
  for (uint64_t i = 0; i < d->miniblocks && *made < count; i++) {
    int64_t some = (uint64_t)(count - *made) < d->per_miniblock ? count - *made : (int64_t)d->per_miniblock;
    const char *problem = decode_miniblock(d, widths[i], least, out + *made, some);
    if (problem) return problem;
    *made += some;
  }
  return NULL;
}

const char *hf_runs_decode_delta(const uint8_t *in, size_t size, int64_t *out, int64_t count, size_t *used) {
  Delta d = {.t = hf_thrift_over(in, size)};
  d.block = hf_thrift_varint(&d.t);
  d.miniblocks = hf_thrift_varint(&d.t);
  uint64_t total = hf_thrift_varint(&d.t);
  d.last = (uint64_t)hf_thrift_zigzag(&d.t);
  if (d.t.problem) return ends_early;
  if (!d.block || d.block > 1 << 24 || d.block % 128 || !d.miniblocks || d.block % d.miniblocks || d.block / d.miniblocks % 32)
    return "blocks of differences have an impossible size";
  d.per_miniblock = d.block / d.miniblocks;
  if (total != (uint64_t)count) return "there is another number of differences than of values";
  if (count) out[0] = (int64_t)d.last;
  for (int64_t at = 1, made = 0; at < count; at += made) {
    const char *problem = decode_block(&d, out + at, count - at, &made);
    if (problem) return problem;
  }
  *used = (size_t)(d.t.at - in);
  return NULL;
}
