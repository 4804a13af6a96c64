/* Codecs of Parquet and Arrow files, by the libraries that define them; see codec.h. */
#include "codec.h"
#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

/* ---- the libraries. Their functions are declared here as their headers do, so that only the run-time packages are needed. */

typedef struct ZStream { /* z_stream */
  const unsigned char *next_in;
  unsigned avail_in;
  unsigned long total_in;
  unsigned char *next_out;
  unsigned avail_out;
  unsigned long total_out;
  const char *msg;
  void *state, *zalloc, *zfree, *opaque;
  int data_type;
  unsigned long adler, reserved;
} ZStream;
enum { Z_OK = 0, Z_STREAM_END = 1, Z_BUF_ERROR = -5, GZIP_OR_ZLIB = 15 + 32 };

typedef struct ZstdBuffer { /* ZSTD_inBuffer, ZSTD_outBuffer */
  void *bytes;
  size_t size, at;
} ZstdBuffer;

enum { BROTLI_ERROR, BROTLI_SUCCESS, LZ4F_VERSION = 100, ZSTD_LEVEL = 3 };

#define SNAPPY_FUNCTIONS(X) \
  X(snappy_uncompressed_length, int, (const char *, size_t, size_t *)) \
  X(snappy_uncompress, int, (const char *, size_t, char *, size_t *)) \
  X(snappy_max_compressed_length, size_t, (size_t)) \
  X(snappy_compress, int, (const char *, size_t, char *, size_t *))
#define ZLIB_FUNCTIONS(X) \
  X(inflateInit2_, int, (ZStream *, int, const char *, int)) \
  X(inflate, int, (ZStream *, int)) \
  X(inflateReset, int, (ZStream *)) \
  X(inflateEnd, int, (ZStream *)) \
  X(crc32, unsigned long, (unsigned long, const unsigned char *, unsigned))
#define BROTLI_FUNCTIONS(X) \
  X(BrotliDecoderCreateInstance, void *, (void *, void *, void *)) \
  X(BrotliDecoderDecompressStream, int, (void *, size_t *, const uint8_t **, size_t *, uint8_t **, size_t *)) \
  X(BrotliDecoderDestroyInstance, void, (void *))
#define LZ4_FUNCTIONS(X) \
  X(LZ4_decompress_safe, int, (const char *, char *, int, int)) \
  X(LZ4F_createDecompressionContext, size_t, (void **, unsigned)) \
  X(LZ4F_decompress, size_t, (void *, void *, size_t *, const void *, size_t *, const void *)) \
  X(LZ4F_freeDecompressionContext, size_t, (void *)) \
  X(LZ4F_isError, unsigned, (size_t))
#define ZSTD_FUNCTIONS(X) \
  X(ZSTD_createDCtx, void *, (void)) \
  X(ZSTD_freeDCtx, size_t, (void *)) \
  X(ZSTD_decompressStream, size_t, (void *, ZstdBuffer *, ZstdBuffer *)) \
  X(ZSTD_isError, unsigned, (size_t)) \
  X(ZSTD_compressBound, size_t, (size_t)) \
  X(ZSTD_compress, size_t, (void *, size_t, const void *, size_t, int))
#define ALL_FUNCTIONS(X) SNAPPY_FUNCTIONS(X) ZLIB_FUNCTIONS(X) BROTLI_FUNCTIONS(X) LZ4_FUNCTIONS(X) ZSTD_FUNCTIONS(X)

static struct {
#define DECLARE(name, result, arguments) result(*name) arguments;
  ALL_FUNCTIONS(DECLARE)
#undef DECLARE
} lib;

typedef struct Symbol {
  const char *name;
  size_t place; /* in `lib` */
} Symbol;
#define SYMBOL(name, result, arguments) {#name, (size_t)((char *)&lib.name - (char *)&lib)},
#define SYMBOLS(functions) ((const Symbol[]){functions(SYMBOL){NULL}})

typedef enum Library { LIBRARY_SNAPPY, LIBRARY_ZLIB, LIBRARY_BROTLI, LIBRARY_LZ4, LIBRARY_ZSTD, LIBRARY_COUNT } Library;
static const struct {
  const char *file, *package;
} libraries[LIBRARY_COUNT] = {
    [LIBRARY_SNAPPY] = {"libsnappy.so.1", "libsnappy1v5"}, [LIBRARY_ZLIB] = {"libz.so.1", "zlib1g"},
    [LIBRARY_BROTLI] = {"libbrotlidec.so.1", "libbrotli1"}, [LIBRARY_LZ4] = {"liblz4.so.1", "liblz4-1"},
    [LIBRARY_ZSTD] = {"libzstd.so.1", "libzstd1"},
};

static bool find_functions(void *handle, Library library) {
  const Symbol *symbols[LIBRARY_COUNT] = {
      [LIBRARY_SNAPPY] = SYMBOLS(SNAPPY_FUNCTIONS), [LIBRARY_ZLIB] = SYMBOLS(ZLIB_FUNCTIONS), [LIBRARY_BROTLI] = SYMBOLS(BROTLI_FUNCTIONS),
      [LIBRARY_LZ4] = SYMBOLS(LZ4_FUNCTIONS), [LIBRARY_ZSTD] = SYMBOLS(ZSTD_FUNCTIONS)};
  for (const Symbol *s = symbols[library]; s->name; s++) {
    void *function = dlsym(handle, s->name);
    if (!function) return false;
    memcpy((char *)&lib + s->place, &function, sizeof function);
  }
  return true;
}

/* Opens a library, which stays open. */
static bool open_library(Library library, HfError *err) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static bool opened[LIBRARY_COUNT];
  pthread_mutex_lock(&lock);
  if (!opened[library]) {
    void *handle = dlopen(libraries[library].file, RTLD_NOW | RTLD_LOCAL);
    opened[library] = handle && find_functions(handle, library);
  }
  bool ok = opened[library];
  pthread_mutex_unlock(&lock);
  return ok || hf_error_set(err, "%s cannot be opened; install it (Debian: apt install %s)", libraries[library].file, libraries[library].package);
}

/* ---- streams: what a decoder takes and gives in one step */

typedef struct Stream {
  const uint8_t *in;
  size_t in_left;
  uint8_t *out;
  size_t out_left;
} Stream;

typedef enum Step { STEP_FAILED, STEP_MORE, STEP_DONE } Step;

typedef struct Decoder {
  void *(*open)(void *room); /* room: 128 bytes for a state of its own */
  Step (*step)(void *state, Stream *s);
  void (*close)(void *state);
} Decoder;

static void *gzip_open(void *room) {
  memset(room, 0, sizeof(ZStream));
  return lib.inflateInit2_(room, GZIP_OR_ZLIB, "1.2.11", sizeof(ZStream)) == Z_OK ? room : NULL;
}

static Step gzip_step(void *state, Stream *s) {
  ZStream *z = state;
  z->next_in = s->in;
  z->avail_in = s->in_left < UINT_MAX ? (unsigned)s->in_left : UINT_MAX;
  z->next_out = s->out;
  z->avail_out = s->out_left < UINT_MAX ? (unsigned)s->out_left : UINT_MAX;
  int result = lib.inflate(z, 0);
  s->in_left -= (size_t)(z->next_in - s->in);
  s->out_left -= (size_t)(z->next_out - s->out);
  s->in = z->next_in;
  s->out = z->next_out;
  if (result == Z_STREAM_END && s->in_left && s->out_left) return lib.inflateReset(z) == Z_OK ? STEP_MORE : STEP_FAILED;
  if (result == Z_STREAM_END) return STEP_DONE;
  return result == Z_OK || result == Z_BUF_ERROR ? STEP_MORE : STEP_FAILED;
}

static void gzip_close(void *state) { lib.inflateEnd(state); }

static void *brotli_open(void *room) { return lib.BrotliDecoderCreateInstance(NULL, NULL, NULL); }

static Step brotli_step(void *state, Stream *s) {
  int result = lib.BrotliDecoderDecompressStream(state, &s->in_left, &s->in, &s->out_left, &s->out, NULL);
  return result == BROTLI_SUCCESS ? STEP_DONE : result == BROTLI_ERROR ? STEP_FAILED : STEP_MORE;
}

static void brotli_close(void *state) { lib.BrotliDecoderDestroyInstance(state); }

static void *zstd_open(void *room) { return lib.ZSTD_createDCtx(); }

static Step zstd_step(void *state, Stream *s) {
  ZstdBuffer out = {s->out, s->out_left, 0}, in = {(void *)s->in, s->in_left, 0};
  size_t result = lib.ZSTD_decompressStream(state, &out, &in);
  *s = (Stream){s->in + in.at, s->in_left - in.at, s->out + out.at, s->out_left - out.at};
  if (lib.ZSTD_isError(result)) return STEP_FAILED;
  return result == 0 && (!s->in_left || !s->out_left) ? STEP_DONE : STEP_MORE;
}

static void zstd_close(void *state) { lib.ZSTD_freeDCtx(state); }

static void *lz4_frame_open(void *room) {
  void *state = NULL;
  return lib.LZ4F_isError(lib.LZ4F_createDecompressionContext(&state, LZ4F_VERSION)) ? NULL : state;
}

static Step lz4_frame_step(void *state, Stream *s) {
  size_t in = s->in_left, out = s->out_left;
  size_t result = lib.LZ4F_decompress(state, s->out, &out, s->in, &in, NULL);
  *s = (Stream){s->in + in, s->in_left - in, s->out + out, s->out_left - out};
  if (lib.LZ4F_isError(result)) return STEP_FAILED;
  return result == 0 ? STEP_DONE : STEP_MORE;
}

static void lz4_frame_close(void *state) { lib.LZ4F_freeDecompressionContext(state); }

static bool differs(HfCodec codec, size_t expected, HfError *err) {
  return hf_error_set(err, "%s: the block is damaged: expected it to hold %zu bytes", hf_codec_name(codec), expected);
}

/* Runs a decoder to its end. The first room is what the codecs usually make of so many bytes. */
static bool run_decoder(HfCodec codec, const Decoder *d, Stream s, size_t expected, HfBuffer *out, HfError *err) {
  char room[128] __attribute__((aligned(16)));
  void *state = d->open(room);
  if (!state) return hf_error_memory(err, hf_codec_name(codec), 0);
  size_t limit = s.in_left < SIZE_MAX / 16 && s.in_left * 8 > 1 << 16 ? s.in_left * 8 : 1 << 16, left;
  Step step = STEP_MORE;
  bool moved = true, ok = true;
  for (out->size = 0; ok && moved && step == STEP_MORE; limit *= 2) {
    limit = limit < expected ? limit : expected;
    ok = hf_buffer_reserve(out, limit - out->size, err);
    while (ok && moved && step == STEP_MORE && (out->size < limit || limit == expected)) {
      s.out = (uint8_t *)out->data + out->size;
      s.out_left = limit - out->size;
      left = s.in_left;
      step = d->step(state, &s);
      moved = left != s.in_left || limit - s.out_left != out->size;
      out->size = limit - s.out_left;
    }
  }
  d->close(state);
  return ok && ((step == STEP_DONE && out->size == expected) || differs(codec, expected, err));
}

/* ---- blocks whose codec bounds what they can become */

static bool copy_block(const void *in, size_t size, size_t expected, HfBuffer *out, HfError *err) {
  out->size = 0;
  return size == expected ? hf_buffer_append(out, in, size, err) : differs(HF_CODEC_NONE, expected, err);
}

static bool snappy_block(const void *in, size_t size, size_t expected, HfBuffer *out, HfError *err) {
  size_t made;
  if (lib.snappy_uncompressed_length(in, size, &made) || made != expected || expected / 32 > size) return differs(HF_CODEC_SNAPPY, expected, err);
  out->size = 0;
  if (!hf_buffer_reserve(out, expected, err)) return false;
  if (lib.snappy_uncompress(in, size, out->data, &made)) return differs(HF_CODEC_SNAPPY, expected, err);
  out->size = expected;
  return true;
}

/* Appends what one raw block holds, at most `room` bytes; -1 when it is no block. */
static int lz4_append(const uint8_t *in, size_t size, size_t room, HfBuffer *out) {
  if (size > INT_MAX || room > INT_MAX) return -1;
  int made = lib.LZ4_decompress_safe((const char *)in, out->data + out->size, (int)size, (int)room);
  if (made > 0) out->size += (size_t)made;
  return made;
}

static uint32_t big_endian(const uint8_t *p) { return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]; }

/* Blocks behind 8 bytes each, the sizes after and before decompression. False when they are not of that form. */
static bool lz4_hadoop(const uint8_t *in, size_t size, size_t expected, HfBuffer *out) {
  for (out->size = 0; size >= 8;) {
    size_t whole = big_endian(in), packed = big_endian(in + 4);
    if (packed > size - 8 || whole > expected - out->size) return false;
    if (lz4_append(in + 8, packed, whole, out) != (int)whole) return false;
    in += 8 + packed;
    size -= 8 + packed;
  }
  return size == 0 && out->size == expected;
}

static bool lz4_block(HfCodec codec, const void *in, size_t size, size_t expected, HfBuffer *out, HfError *err) {
  if (expected / 255 > size) return differs(codec, expected, err);
  out->size = 0;
  if (!hf_buffer_reserve(out, expected, err)) return false;
  if (codec == HF_CODEC_LZ4 && lz4_hadoop(in, size, expected, out)) return true;
  out->size = 0;
  return lz4_append(in, size, expected, out) == (int)expected || differs(codec, expected, err);
}

/* ---- */

static const struct {
  const char *name;
  int library; /* -1: none */
} codecs[HF_CODEC_COUNT] = {
    [HF_CODEC_NONE] = {"uncompressed", -1},           [HF_CODEC_SNAPPY] = {"snappy", LIBRARY_SNAPPY},
    [HF_CODEC_GZIP] = {"gzip", LIBRARY_ZLIB},         [HF_CODEC_BROTLI] = {"brotli", LIBRARY_BROTLI},
    [HF_CODEC_LZ4] = {"lz4", LIBRARY_LZ4},            [HF_CODEC_LZ4_RAW] = {"lz4_raw", LIBRARY_LZ4},
    [HF_CODEC_LZ4_FRAME] = {"lz4_frame", LIBRARY_LZ4}, [HF_CODEC_ZSTD] = {"zstd", LIBRARY_ZSTD},
};

const char *hf_codec_name(HfCodec codec) { return codecs[codec].name; }

bool hf_codec_open(HfCodec codec, HfError *err) {
  if (codecs[codec].library < 0 || open_library((Library)codecs[codec].library, err)) return true;
  return hf_error_prefix(err, "compression %s", hf_codec_name(codec));
}

bool hf_decompress(HfCodec codec, const void *in, size_t size, size_t expected, HfBuffer *out, HfError *err) {
  static const Decoder decoders[HF_CODEC_COUNT] = {
      [HF_CODEC_GZIP] = {gzip_open, gzip_step, gzip_close},
      [HF_CODEC_BROTLI] = {brotli_open, brotli_step, brotli_close},
      [HF_CODEC_ZSTD] = {zstd_open, zstd_step, zstd_close},
      [HF_CODEC_LZ4_FRAME] = {lz4_frame_open, lz4_frame_step, lz4_frame_close},
  };
  if (!hf_codec_open(codec, err)) return false;
  switch (codec) {
  case HF_CODEC_NONE: return copy_block(in, size, expected, out, err);
  case HF_CODEC_SNAPPY: return snappy_block(in, size, expected, out, err);
  case HF_CODEC_LZ4:
  case HF_CODEC_LZ4_RAW: return lz4_block(codec, in, size, expected, out, err);
  default: return run_decoder(codec, &decoders[codec], (Stream){.in = in, .in_left = size}, expected, out, err);
  }
}

bool hf_compress(HfCodec codec, const void *in, size_t size, HfBuffer *out, HfError *err) {
  if (codec == HF_CODEC_NONE) return hf_buffer_append(out, in, size, err);
  if (!hf_codec_open(codec, err)) return false;
  bool snappy = codec == HF_CODEC_SNAPPY;
  size_t room = snappy ? lib.snappy_max_compressed_length(size) : lib.ZSTD_compressBound(size);
  if (!hf_buffer_reserve(out, room, err)) return false;
  bool failed = snappy ? lib.snappy_compress(in, size, out->data + out->size, &room) != 0
                       : lib.ZSTD_isError(room = lib.ZSTD_compress(out->data + out->size, room, in, size, ZSTD_LEVEL)) != 0;
  if (failed) return hf_error_set(err, "%s: compression failed", hf_codec_name(codec));
  out->size += room;
  return true;
}

bool hf_crc32(const void *bytes, size_t size, uint32_t *out, HfError *err) {
  if (!open_library(LIBRARY_ZLIB, err)) return hf_error_prefix(err, "check sum");
  unsigned long sum = 0;
  for (const unsigned char *at = bytes; size;) {
    unsigned piece = size < UINT_MAX ? (unsigned)size : UINT_MAX;
    sum = lib.crc32(sum, at, piece);
    at += piece;
    size -= piece;
  }
  *out = (uint32_t)sum;
  return true;
}
