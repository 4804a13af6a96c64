/* Packed whole numbers of Parquet: the hybrid of runs and bit-packed groups (levels, dictionary indices, booleans), the older
 * bit-packed levels, and blocks of differences. Each function decodes exactly `count` numbers or gives a problem in words;
 * NULL is success. Nothing is read outside of the bytes.
 */
#ifndef HF_PARQUET_RUNS_H
#define HF_PARQUET_RUNS_H
#include <stddef.h>
#include <stdint.h>

/* RLE: numbers of `width` bits, 0 to 8 and 0 to 32. */
const char *hf_runs_decode8(const uint8_t *in, size_t size, int width, uint8_t *out, int64_t count);
const char *hf_runs_decode32(const uint8_t *in, size_t size, int width, uint32_t *out, int64_t count);

/* BIT_PACKED: numbers of 0 to 8 bits, the first in the highest bits. *used: bytes taken. */
const char *hf_runs_decode_packed(const uint8_t *in, size_t size, int width, uint8_t *out, int64_t count, size_t *used);

/* DELTA_BINARY_PACKED. *used: bytes taken. */
const char *hf_runs_decode_delta(const uint8_t *in, size_t size, int64_t *out, int64_t count, size_t *used);

#endif
