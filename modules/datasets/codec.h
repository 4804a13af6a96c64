/* Compressed blocks in the codecs of Parquet and Arrow files. The libraries are opened at first use; one that is missing is an
 * error that names its Debian package. Safe to call from several threads.
 *
 *   HfBuffer page = {0};
 *   ok = hf_decompress(HF_CODEC_SNAPPY, bytes, size, expected, &page, err);   // page.size == expected
 */
#ifndef HF_CODEC_H
#define HF_CODEC_H
#include <stdint.h>
#include "memory.h"

typedef enum HfCodec {
  HF_CODEC_NONE,
  HF_CODEC_SNAPPY,
  HF_CODEC_GZIP, /* members may follow one another */
  HF_CODEC_BROTLI,
  HF_CODEC_LZ4,        /* Parquet's deprecated one: blocks framed as Hadoop does, or one raw block */
  HF_CODEC_LZ4_RAW,    /* one block */
  HF_CODEC_LZ4_FRAME,  /* Arrow's */
  HF_CODEC_ZSTD,
  HF_CODEC_COUNT
} HfCodec;

const char *hf_codec_name(HfCodec codec);

/* Opens the library of a codec, so that a missing one is told before work begins. */
bool hf_codec_open(HfCodec codec, HfError *err);

/* Replaces the bytes of `out` by the `expected` bytes the block holds; any other number is an error. Memory grows as bytes
 * come out where a codec has no bound on how much a byte can become. */
bool hf_decompress(HfCodec codec, const void *in, size_t size, size_t expected, HfBuffer *out, HfError *err);

/* Appends the compressed block to `out`. Only HF_CODEC_NONE, HF_CODEC_SNAPPY and HF_CODEC_ZSTD. */
bool hf_compress(HfCodec codec, const void *in, size_t size, HfBuffer *out, HfError *err);

/* The CRC-32 of gzip. */
bool hf_crc32(const void *bytes, size_t size, uint32_t *out, HfError *err);

#endif
