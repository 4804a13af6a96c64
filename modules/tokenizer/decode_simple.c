/* Decoders that change each token by itself: Replace, Strip, Metaspace, BPEDecoder; and CTC, Fuse, ByteFallback. */
#include <string.h>
#include "component.h"
#include "decoder.h"
#include "json.h"
#include "unicode.h"

typedef struct Target {
  const char *text, *content;
  HfBuffer *out;
} Target;

static bool put_content(void *data, size_t before, size_t begin, size_t end, HfError *err) {
  Target *t = data;
  return hf_buffer_append(t->out, t->text + before, begin - before, err) && hf_buffer_append(t->out, t->content, strlen(t->content), err);
}

/* Appends `text` with every match made `content`. */
static bool append_replaced(HfBuffer *out, const char *text, size_t size, const HfReplace *replace, const char *content, HfError *err) {
  Target target = {text, content, out};
  size_t rest;
  return hf_replace_each(replace, text, size, put_content, &target, &rest, err) && hf_buffer_append(out, text + rest, size - rest, err);
}

/* The same for a text. */
static bool append_with(HfBuffer *out, const char *text, size_t size, const char *from, const char *to, HfError *err) {
  return append_replaced(out, text, size, &(HfReplace){.pattern = (char *)from}, to, err);
}

/* ---- Replace */

static bool read_replace(HfDecoder *self, const cJSON *json, const char *where, HfError *err) {
  return hf_replace_read(&self->replace, json, where, err);
}
static void release_replace(HfDecoder *self) { hf_replace_free(&self->replace); }

static bool apply_replace(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  for (size_t i = 0, size; i < in->count; i++) {
    const char *token = hf_strings_get(in, i, &size);
    if (!append_replaced(&out->bytes, token, size, &self->replace, self->replace.content, err) || !hf_strings_end(out, err)) return false;
  }
  return true;
}

/* ---- Strip: at most `start` and `stop` of one character at both ends */

static bool read_strip(HfDecoder *self, const cJSON *json, const char *where, HfError *err) {
  self->content = hf_component_string(json, "content", where, err);
  if (!self->content) return false;
  uint32_t code;
  size_t size = strlen(self->content);
  if (!size || hf_utf8_decode(self->content, &code) != size)
    return hf_json_mismatch(hf_json_find(json, "content"), "content", "one character", where, err);
  return hf_json_get_integer(json, "start", 0, INT64_MAX, &self->start, where, err) &&
         hf_json_get_integer(json, "stop", 0, INT64_MAX, &self->stop, where, err);
}
static void release_content(HfDecoder *self) { hf_free(self->content); }

static bool apply_strip(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  size_t mark = strlen(self->content), size;
  for (size_t i = 0; i < in->count; i++) {
    const char *token = hf_strings_get(in, i, &size);
    size_t begin = 0, end = size;
    for (int64_t n = 0; n < self->start && end - begin >= mark && !memcmp(token + begin, self->content, mark); n++) begin += mark;
    for (int64_t n = 0; n < self->stop && end - begin >= mark && !memcmp(token + end - mark, self->content, mark); n++) end -= mark;
    if (!hf_strings_add(out, token + begin, end - begin, err)) return false;
  }
  return true;
}

/* ---- Metaspace: the replacement becomes a space, or nothing in the first token */

static bool read_metaspace(HfDecoder *self, const cJSON *json, const char *where, HfError *err) {
  return hf_metaspace_read(&self->metaspace, json, where, err);
}

static bool apply_metaspace(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  char mark[5] = {0};
  hf_utf8_encode(self->metaspace.replacement, mark);
  for (size_t i = 0, size; i < in->count; i++) {
    const char *token = hf_strings_get(in, i, &size), *space = i || self->metaspace.scheme == HF_PREPEND_NEVER ? " " : "";
    if (!append_with(&out->bytes, token, size, mark, space, err) || !hf_strings_end(out, err)) return false;
  }
  return true;
}

/* ---- BPEDecoder: the suffix of words becomes a space, or nothing in the last token */

static bool read_bpe(HfDecoder *self, const cJSON *json, const char *where, HfError *err) {
  const char *suffix = "</w>";
  if (!hf_json_get_string(json, "suffix", &suffix, where, err)) return false;
  return (self->content = hf_strndup(suffix, strlen(suffix), err)) != NULL;
}

static bool apply_bpe(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  for (size_t i = 0, size; i < in->count; i++) {
    const char *token = hf_strings_get(in, i, &size);
    if (!append_with(&out->bytes, token, size, self->content, i + 1 < in->count ? " " : "", err) || !hf_strings_end(out, err)) return false;
  }
  return true;
}

/* ---- CTC: without repetitions and padding; tokens that become empty go */

static bool read_ctc(HfDecoder *self, const cJSON *json, const char *where, HfError *err) {
  const char *pad = "<pad>", *delimiter = "|";
  self->cleanup = true;
  if (!hf_json_get_string(json, "pad_token", &pad, where, err) || !hf_json_get_string(json, "word_delimiter_token", &delimiter, where, err) ||
      !hf_json_get_boolean(json, "cleanup", &self->cleanup, where, err))
    return false;
  return (self->content = hf_strndup(pad, strlen(pad), err)) && (self->delimiter = hf_strndup(delimiter, strlen(delimiter), err));
}
static void release_ctc(HfDecoder *self) {
  hf_free(self->content);
  hf_free(self->delimiter);
}

static bool is_repeated(const HfStrings *in, size_t i) {
  size_t size, before;
  const char *token = hf_strings_get(in, i, &size), *last = i ? hf_strings_get(in, i - 1, &before) : NULL;
  return last && size == before && !memcmp(token, last, size);
}

/* One token into `out`; `spare` is working room. */
static bool put_ctc(const HfDecoder *self, const char *token, size_t size, HfBuffer spare[2], HfBuffer *out, HfError *err) {
  spare[0].size = spare[1].size = 0;
  if (!self->cleanup) return append_with(out, token, size, self->content, "", err);
  return append_with(&spare[0], token, size, self->content, "", err) &&
         hf_clean_up_spaces(spare[0].data, spare[0].size, true, &spare[1], err) &&
         append_with(out, spare[1].data, spare[1].size, self->delimiter, " ", err);
}

static bool apply_ctc(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  HfBuffer spare[2] = {0};
  bool done = true;
  for (size_t i = 0, size; done && i < in->count; i++) {
    if (is_repeated(in, i)) continue;
    const char *token = hf_strings_get(in, i, &size);
    size_t begin = out->bytes.size;
    done = put_ctc(self, token, size, spare, &out->bytes, err) && (out->bytes.size == begin || hf_strings_end(out, err));
  }
  hf_buffer_free(&spare[0]);
  hf_buffer_free(&spare[1]);
  return done;
}

/* ---- Fuse: all tokens become one */

static bool apply_fuse(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  return hf_strings_add(out, in->bytes.data, in->bytes.size, err);
}

/* ---- ByteFallback: runs of <0x41> become the text of these bytes, or a replacement character for each */

static int hex_digit(char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

/* The byte of "<0x41>", -1: another token. */
static int fallback_byte(const char *token, size_t size) {
  if (size != 6 || memcmp(token, "<0x", 3) || token[5] != '>') return -1;
  int high = token[3] == '+' ? 0 : hex_digit(token[3]), low = hex_digit(token[4]);
  return high < 0 || low < 0 ? -1 : 16 * high + low;
}

static bool put_bytes(HfBuffer *bytes, HfStrings *out, HfError *err) {
  size_t bad, count = bytes->size;
  bytes->size = 0;
  if (!count) return true;
  if (hf_utf8_valid(bytes->data, count, &bad)) return hf_strings_add(out, bytes->data, count, err);
  for (size_t i = 0; i < count; i++)
    if (!hf_strings_add(out, "\xEF\xBF\xBD", 3, err)) return false;
  return true;
}

static bool apply_byte_fallback(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  HfBuffer bytes = {0};
  bool done = true;
  for (size_t i = 0, size; done && i < in->count; i++) {
    const char *token = hf_strings_get(in, i, &size);
    int value = fallback_byte(token, size);
    char byte = (char)value;
    done = value >= 0 ? hf_buffer_append(&bytes, &byte, 1, err) : put_bytes(&bytes, out, err) && hf_strings_add(out, token, size, err);
  }
  done = done && put_bytes(&bytes, out, err);
  hf_buffer_free(&bytes);
  return done;
}

const HfDecoderKind hf_decoder_replace = {"Replace", read_replace, apply_replace, release_replace};
const HfDecoderKind hf_decoder_strip = {"Strip", read_strip, apply_strip, release_content};
const HfDecoderKind hf_decoder_metaspace = {"Metaspace", read_metaspace, apply_metaspace, NULL};
const HfDecoderKind hf_decoder_bpe = {"BPEDecoder", read_bpe, apply_bpe, release_content};
const HfDecoderKind hf_decoder_ctc = {"CTC", read_ctc, apply_ctc, release_ctc};
const HfDecoderKind hf_decoder_fuse = {"Fuse", NULL, apply_fuse, NULL};
const HfDecoderKind hf_decoder_byte_fallback = {"ByteFallback", NULL, apply_byte_fallback, NULL};
