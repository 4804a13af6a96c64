/* The WordPiece decoder, and the tidying of spaces that it shares with clean_up_tokenization_spaces. */
#include <string.h>
#include "component.h"
#include "decoder.h"
#include "json.h"

typedef struct Replacement { const char *from, *to; } Replacement;

/* The order counts: each is done over the whole text before the next one. */
static const Replacement in_word_piece[] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
  {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}, {NULL, NULL}};
static const Replacement in_text[] = {{" .", "."}, {" ?", "?"}, {" !", "!"}, {" ,", ","}, {" ' ", "'"}, {" n't", "n't"},
  {" 'm", "'m"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}, {NULL, NULL}};

/* Replaces in place: nothing here gets longer. Returns the new size. */
static size_t replace_all(char *text, size_t size, const Replacement *r) {
  size_t from = strlen(r->from), to = strlen(r->to), out = 0;
  for (size_t at = 0; at < size;) {
    if (text[at] == ' ' && size - at >= from && !memcmp(text + at, r->from, from)) {
      memcpy(text + out, r->to, to);
      out += to;
      at += from;
    } else {
      text[out++] = text[at++];
    }
  }
  return out;
}

bool hf_clean_up_spaces(const char *text, size_t size, bool word_piece, HfBuffer *out, HfError *err) {
  size_t begin = out->size;
  if (!hf_buffer_append(out, text, size, err)) return false;
  if (!memchr(text, ' ', size)) return true;
  for (const Replacement *r = word_piece ? in_word_piece : in_text; r->from; r++) size = replace_all(out->data + begin, size, r);
  out->size = begin + size;
  out->data[out->size] = 0;
  return true;
}

static bool read_word_piece(HfDecoder *self, const cJSON *json, const char *where, HfError *err) {
  const char *prefix = "##";
  self->cleanup = true;
  if (!hf_json_get_string(json, "prefix", &prefix, where, err) || !hf_json_get_boolean(json, "cleanup", &self->cleanup, where, err)) return false;
  self->prefix = hf_strndup(prefix, strlen(prefix), err);
  return self->prefix != NULL;
}

static void release_word_piece(HfDecoder *self) { hf_free(self->prefix); }

static bool apply_word_piece(const HfDecoder *self, const HfStrings *in, HfStrings *out, HfError *err) {
  HfBuffer word = {0};
  size_t prefix = strlen(self->prefix), size;
  bool done = true;
  for (size_t i = 0; done && i < in->count; i++) {
    const char *token = hf_strings_get(in, i, &size);
    bool continues = size >= prefix && !memcmp(token, self->prefix, prefix);
    word.size = 0;
    done = i == 0 ? hf_buffer_append(&word, token, size, err)
         : continues ? hf_buffer_append(&word, token + prefix, size - prefix, err)
                     : hf_buffer_append(&word, " ", 1, err) && hf_buffer_append(&word, token, size, err);
    done = done && (self->cleanup ? hf_clean_up_spaces(word.data, word.size, true, &out->bytes, err)
                                  : hf_buffer_append(&out->bytes, word.data, word.size, err)) && hf_strings_end(out, err);
  }
  hf_buffer_free(&word);
  return done;
}

const HfDecoderKind hf_decoder_word_piece = {"WordPiece", read_word_piece, apply_word_piece, release_word_piece};
