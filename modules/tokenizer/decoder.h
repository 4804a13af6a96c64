/* Decoders of tokenizer.json: how tokens become text again. Sequences are flattened into steps, each of which rewrites the
 * list of tokens; what is left is joined. A new kind is one HfDecoderKind in its own file and one line in decoder.c. */
#ifndef HF_DECODER_H
#define HF_DECODER_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include "error.h"
#include "memory.h"
#include "metaspace.h"
#include "replace.h"

/* A list of strings in one buffer. */
typedef struct HfStrings {
  HfBuffer bytes;
  size_t *ends; /* (count) where each ends in `bytes` */
  size_t count, capacity;
} HfStrings;
void hf_strings_free(HfStrings *strings);
void hf_strings_clear(HfStrings *strings);
/* Ends the string whose bytes were appended to `bytes`. */
bool hf_strings_end(HfStrings *strings, HfError *err);
bool hf_strings_add(HfStrings *strings, const char *bytes, size_t size, HfError *err);
static inline const char *hf_strings_get(const HfStrings *strings, size_t i, size_t *size) {
  size_t begin = i ? strings->ends[i - 1] : 0;
  *size = strings->ends[i] - begin;
  return strings->bytes.data + begin;
}

typedef struct HfDecoder HfDecoder;

typedef struct HfDecoderKind {
  const char *type;
  bool (*read)(HfDecoder *self, const cJSON *json, const char *where, HfError *err);
  bool (*apply)(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err);
  void (*release)(HfDecoder *self);
} HfDecoderKind;

struct HfDecoder {
  const HfDecoderKind *kind;
  char *prefix;
  bool cleanup;
  char *content, *delimiter; /* what Strip, BPEDecoder and CTC look for */
  int64_t start, stop;
  HfMetaspace metaspace;
  HfReplace replace;
};

typedef struct HfDecoders {
  HfDecoder *steps;
  size_t count, capacity;
} HfDecoders;

bool hf_decoders_read(HfDecoders *list, const cJSON *json, const char *where, HfError *err);
void hf_decoders_free(HfDecoders *list);
/* Appends the text of the tokens; without decoders they are joined by spaces. The strings are used up. */
bool hf_decoders_apply(const HfDecoders *list, HfStrings *tokens, HfBuffer *out, HfError *err);

/* Removes the spaces that tokenization put before punctuation and English contractions. */
bool hf_clean_up_spaces(const char *text, size_t size, bool word_piece, HfBuffer *out, HfError *err);

extern const HfDecoderKind hf_decoder_byte_level, hf_decoder_word_piece, hf_decoder_replace, hf_decoder_strip, hf_decoder_metaspace, hf_decoder_bpe,
  hf_decoder_ctc, hf_decoder_fuse, hf_decoder_byte_fallback;

#endif
