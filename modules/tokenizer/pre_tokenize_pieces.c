/* Pre-tokenizers FixedLength and UnicodeScripts. */
#include <string.h>
#include "json.h"
#include "pre_tokenizer.h"
#include "unicode.h"
#include "unicode_scripts.h"

static bool read_fixed_length(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  self->length = 5;
  return hf_json_get_integer(json, "length", 1, INT32_MAX, &self->length, where, err);
}

static bool split_fixed_length(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  for (size_t at = 0, begin = 0; at < in.size; begin = at) {
    for (int64_t i = 0; i < self->length && at < in.size; i++) at += hf_utf8_size((unsigned char)in.bytes[at]);
    if (!hf_piece_add(out, base + begin, base + at, -1, err)) return false;
  }
  return true;
}

/* Pieces of one script each. Characters of no script stay with what is before them; in front of the first script they are
 * dropped, as in Hugging Face's tokenizers. */
static bool split_scripts(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  size_t begin = 0;
  int script = 0;
  for (size_t at = 0, step; at < in.size; at += step) {
    uint32_t code;
    step = hf_utf8_decode(in.bytes + at, &code);
    int next = hf_unicode_script(code);
    if (!next || next == script) continue;
    if (script && !hf_piece_add(out, base + begin, base + at, -1, err)) return false;
    begin = at;
    script = next;
  }
  return !script || hf_piece_add(out, base + begin, base + in.size, -1, err);
}

const HfPreTokenizerKind hf_pre_tokenizer_fixed_length = {.type = "FixedLength", .read = read_fixed_length, .split = split_fixed_length};
const HfPreTokenizerKind hf_pre_tokenizer_unicode_scripts = {.type = "UnicodeScripts", .split = split_scripts};
