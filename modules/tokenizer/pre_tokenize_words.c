/* Pre-tokenizers that look at one character at a time: BertPreTokenizer, Whitespace, WhitespaceSplit, Punctuation,
 * Digits, CharDelimiterSplit. */
#include <string.h>
#include "component.h"
#include "json.h"
#include "memory.h"
#include "pre_tokenizer.h"
#include "unicode.h"

/* Kind of a character for one run: equal kinds stand together. */
typedef enum Run { RUN_DROP, RUN_ALONE, RUN_WORD, RUN_OTHER } Run;
typedef Run (*Classify)(uint32_t set);

/* Cuts into runs of equal kind, without those to drop; RUN_ALONE characters are pieces of their own. */
static bool split_runs(Classify classify, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  size_t begin = 0;
  Run run = RUN_DROP;
  for (size_t at = 0; at < in.size;) {
    uint32_t code;
    size_t step = hf_utf8_decode(in.bytes + at, &code);
    Run next = classify(hf_unicode_set(code));
    if (next != run || next == RUN_ALONE) {
      if (run != RUN_DROP && !hf_piece_add(out, base + begin, base + at, -1, err)) return false;
      begin = at;
      run = next;
    }
    at += step;
  }
  return run == RUN_DROP || hf_piece_add(out, base + begin, base + in.size, -1, err);
}

static Run classify_bert(uint32_t set) { return set & HF_SPACE ? RUN_DROP : set & HF_PUNCTUATION ? RUN_ALONE : RUN_WORD; }
static Run classify_space(uint32_t set) { return set & HF_SPACE ? RUN_DROP : RUN_WORD; }
static Run classify_whitespace(uint32_t set) {
  return set & HF_WHITESPACE_WORD ? RUN_WORD : set & HF_SPACE ? RUN_DROP : RUN_OTHER;
}

static bool split_bert(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  return split_runs(classify_bert, in, base, out, err);
}
static bool split_whitespace(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  return split_runs(classify_whitespace, in, base, out, err);
}
static bool split_whitespace_split(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  return split_runs(classify_space, in, base, out, err);
}

/* Cuts at characters of a class, or at one character, as the behavior says. */
static bool split_characters(uint32_t mask, uint32_t delimiter, HfSplitBehavior behavior, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  HfSplitter s = {.out = out, .base = base, .behavior = behavior};
  size_t begin = 0;
  for (size_t at = 0, step; at < in.size; at += step) {
    uint32_t code;
    step = hf_utf8_decode(in.bytes + at, &code);
    if (mask ? !(hf_unicode_set(code) & mask) : code != delimiter) continue;
    if (!hf_splitter_feed(&s, begin, at, false, err) || !hf_splitter_feed(&s, at, at + step, true, err)) return false;
    begin = at + step;
  }
  return hf_splitter_feed(&s, begin, in.size, false, err) && hf_splitter_finish(&s, err);
}

static bool read_punctuation(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  return hf_split_behavior_read(json, &self->behavior, where, err);
}
static bool split_punctuation(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  return split_characters(HF_PUNCTUATION, 0, self->behavior, in, base, out, err);
}

static bool read_digits(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  return hf_json_get_boolean(json, "individual_digits", &self->individual_digits, where, err);
}
static bool split_digits(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  return split_characters(HF_NUMERIC, 0, self->individual_digits ? HF_SPLIT_ISOLATED : HF_SPLIT_CONTIGUOUS, in, base, out, err);
}

static bool read_delimiter(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err) {
  char *text = hf_component_string(json, "delimiter", where, err);
  if (!text) return false;
  size_t size = strlen(text);
  bool single = size && hf_utf8_decode(text, &self->delimiter) == size;
  hf_free(text);
  return single || hf_json_mismatch(hf_json_find(json, "delimiter"), "delimiter", "one character", where, err);
}
static bool split_delimiter(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err) {
  return split_characters(0, self->delimiter, HF_SPLIT_REMOVED, in, base, out, err);
}

const HfPreTokenizerKind hf_pre_tokenizer_bert = {.type = "BertPreTokenizer", .split = split_bert};
const HfPreTokenizerKind hf_pre_tokenizer_whitespace = {.type = "Whitespace", .split = split_whitespace};
const HfPreTokenizerKind hf_pre_tokenizer_whitespace_split = {.type = "WhitespaceSplit", .split = split_whitespace_split};
const HfPreTokenizerKind hf_pre_tokenizer_punctuation = {.type = "Punctuation", .read = read_punctuation, .split = split_punctuation};
const HfPreTokenizerKind hf_pre_tokenizer_digits = {.type = "Digits", .read = read_digits, .split = split_digits};
const HfPreTokenizerKind hf_pre_tokenizer_char_delimiter = {.type = "CharDelimiterSplit", .read = read_delimiter, .split = split_delimiter};
