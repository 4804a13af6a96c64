/* ByteLevel as normalizer, pre-tokenizer and decoder. */
#include "byte_level.h"
#include "byte_level_words.h"
#include "decoder.h"
#include "json.h"
#include "normalizer.h"
#include "pre_tokenizer.h"
#include "unicode.h"

bool hf_text_append_byte_level(HfText *out, HfSpan in, HfError *err) {
  if (in.size > SIZE_MAX / 4 || !hf_text_reserve(out, 2 * in.size, err)) return false;
  for (size_t i = 0; i < in.size; i++)
    if (!hf_text_put(out, hf_byte_level_code((uint8_t)in.bytes[i]), hf_span_origin(in, i), err)) return false;
  return true;
}

/* ---- normalizer */

static bool apply_normalizer(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  return hf_text_append_byte_level(out, in, err);
}
const HfNormalizerKind hf_normalizer_byte_level = {"ByteLevel", NULL, apply_normalizer, NULL};

/* ---- pre-tokenizer */

static bool read_pre_tokenizer(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  self->byte_level.use_regex = true;
  return hf_json_require(json, "add_prefix_space", where, err) && hf_json_require(json, "trim_offsets", where, err) &&
         hf_json_get_boolean(json, "add_prefix_space", &self->byte_level.add_prefix_space, where, err) &&
         hf_json_get_boolean(json, "use_regex", &self->byte_level.use_regex, where, err);
}

static bool add_word(HfSpan word, HfPieces *out, HfError *err) {
  size_t begin = out->text.size;
  return hf_text_append_byte_level(&out->text, word, err) && hf_piece_add(&out->list, begin, out->text.size, -1, err);
}

/* The first word of `in` behind a space that the text does not have; *done: where it ends in `in`. */
static bool add_prefixed(HfSpan in, bool split, HfPieces *out, size_t *done, HfError *err) {
  static const char space = ' ';
  size_t begin = out->text.size, end = split ? hf_gpt2_word_behind_space(in.bytes, in.size) : in.size;
  *done = end;
  return hf_text_append_byte_level(&out->text, (HfSpan){&space, 1, in.origin}, err) &&
         hf_text_append_byte_level(&out->text, hf_span_part(in, 0, end), err) && hf_piece_add(&out->list, begin, out->text.size, -1, err);
}

static bool rewrite(const HfPreTokenizer *self, HfSpan in, HfPieces *out, HfError *err) {
  size_t at = 0;
  bool split = self->byte_level.use_regex;
  if (self->byte_level.add_prefix_space && in.bytes[0] != ' ' && !add_prefixed(in, split, out, &at, err)) return false;
  while (at < in.size) {
    size_t end = split ? hf_word_end(HF_WORDS_GPT2, in.bytes, in.size, at) : in.size;
    if (!add_word(hf_span_part(in, at, end), out, err)) return false;
    at = end;
  }
  return true;
}
const HfPreTokenizerKind hf_pre_tokenizer_byte_level = {.type = "ByteLevel", .read = read_pre_tokenizer, .rewrite = rewrite};

/* ---- decoder */

/* The bytes of a token; a token with a character that stands for no byte is its own bytes. */
static bool append_token(HfBuffer *out, const char *token, size_t size, HfError *err) {
  size_t begin = out->size;
  for (size_t at = 0; at < size;) {
    uint32_t code;
    at += hf_utf8_decode(token + at, &code);
    int byte = hf_byte_level_byte(code);
    if (byte < 0) return out->size = begin, hf_buffer_append(out, token, size, err);
    char c = (char)byte;
    if (!hf_buffer_append(out, &c, 1, err)) return false;
  }
  return true;
}

static bool apply_decoder(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  HfBuffer bytes = {0};
  bool done = hf_buffer_append(&bytes, "", 0, err);
  for (size_t i = 0; done && i < in->count; i++) {
    size_t size;
    const char *token = hf_strings_get(in, i, &size);
    done = append_token(&bytes, token, size, err);
  }
  done = done && hf_utf8_append_lossy(&out->bytes, bytes.data, bytes.size, err) && hf_strings_end(out, err);
  hf_buffer_free(&bytes);
  return done;
}

const HfDecoderKind hf_decoder_byte_level = {"ByteLevel", NULL, apply_decoder, NULL};
