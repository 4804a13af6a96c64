/* The words of GPT-2, Llama 3 and Qwen2.
 *
 * GPT-2:   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 * Llama 3: (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
 * Qwen2:   the same with \p{N} in place of \p{N}{1,3}
 */
#include "byte_level_words.h"
#include <string.h>
#include "unicode.h"

static const struct { const char *regex; HfWords words; } known[] = {
  {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", HF_WORDS_GPT2},
  {"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+", HF_WORDS_GPT2},
  {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", HF_WORDS_LLAMA3},
  {"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+", HF_WORDS_QWEN2},
};

HfWords hf_words_of_regex(const char *regex) {
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (!strcmp(regex, known[i].regex)) return known[i].words;
  return HF_WORDS_NONE;
}

/* ---- characters */

typedef enum Kind { LETTER, NUMBER, SPACE, OTHER, END } Kind;

/* A text with its end. */
typedef struct Reader {
  const char *text;
  size_t size;
} Reader;

/* Kind of the character at `at`, its bytes in *step; END behind the text. */
static inline Kind kind_at(Reader r, size_t at, size_t *step) {
  if (at >= r.size) return *step = 0, END;
  unsigned c = (unsigned char)r.text[at];
  *step = 1;
  if ((c | 32u) - 'a' < 26u) return LETTER;
  if (c < 0x80) return c == ' ' || c - 9u < 5u ? SPACE : c - '0' < 10 ? NUMBER : OTHER;
  uint32_t code;
  *step = hf_utf8_decode(r.text + at, &code);
  uint32_t set = hf_unicode_set(code);
  return set & HF_REGEX_L ? LETTER : set & HF_REGEX_N ? NUMBER : set & HF_SPACE ? SPACE : OTHER;
}

static size_t run_end(Reader r, size_t at, Kind kind) {
  size_t step;
  while (kind_at(r, at, &step) == kind) at += step;
  return at;
}

static bool is_newline(Reader r, size_t at) { return at < r.size && (r.text[at] == '\n' || r.text[at] == '\r'); }

/* Bytes of 's 't 'm 'd 're 've 'll at `at`, 0: none. */
static size_t contraction(Reader r, size_t at, bool any_case) {
  size_t left = r.size - at;
  const char *t = r.text + at;
  if (left < 2) return 0;
  char fold = any_case ? 32 : 0, first = t[1] | fold, second = left > 2 ? t[2] | fold : 0;
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  return any_case && left > 2 && !memcmp(t + 1, "\xC5\xBF", 2) ? 3 : 0; /* the long s */
}

/* White space from `at` to `end`: all of it at the end of the text, else without its last character unless that is all. */
static size_t space_end(Reader r, size_t at, size_t end) {
  if (end == r.size) return end;
  size_t last = hf_utf8_back(r.text, end);
  return last > at ? last : end;
}

/* ---- words */

static size_t gpt2_end(Reader r, size_t at) {
  size_t step, next = at;
  Kind kind = kind_at(r, at, &step);
  if (r.text[at] == '\'' && (next = contraction(r, at, false))) return at + next;
  next = at + step;
  if (r.text[at] == ' ') {
    Kind behind = kind_at(r, next, &step);
    if (behind != SPACE && behind != END) return run_end(r, next + step, behind);
  }
  size_t end = run_end(r, next, kind);
  return kind == SPACE ? space_end(r, at, end) : end;
}

/* Through the last line end of the white space from `at` to `end`, or as above. */
static size_t space_end_at_newline(Reader r, size_t at, size_t end) {
  for (size_t i = end; i > at; i--)
    if (is_newline(r, i - 1)) return i;
  return space_end(r, at, end);
}

static size_t number_end(Reader r, size_t at, int most) {
  size_t step;
  while (most-- > 0 && kind_at(r, at, &step) == NUMBER) at += step;
  return at;
}

static size_t others_end(Reader r, size_t at) {
  at = run_end(r, at, OTHER);
  while (is_newline(r, at)) at++;
  return at;
}

static size_t llama3_end(Reader r, size_t at, int digits) {
  size_t step, behind_step, size;
  Kind kind = kind_at(r, at, &step);
  if (r.text[at] == '\'' && (size = contraction(r, at, true))) return at + size;
  if (kind == LETTER) return run_end(r, at + step, LETTER);
  if (kind == NUMBER) return number_end(r, at, digits);
  Kind behind = kind_at(r, at + step, &behind_step);
  if (behind == LETTER && !is_newline(r, at)) return run_end(r, at + step, LETTER);
  if (kind == OTHER || (r.text[at] == ' ' && behind == OTHER)) return others_end(r, at + step);
  return space_end_at_newline(r, at, run_end(r, at, SPACE));
}

size_t hf_word_end(HfWords words, const char *text, size_t size, size_t at) {
  Reader r = {text, size};
  return words == HF_WORDS_GPT2 ? gpt2_end(r, at) : llama3_end(r, at, words == HF_WORDS_LLAMA3 ? 3 : 1);
}

size_t hf_gpt2_word_behind_space(const char *text, size_t size) {
  Reader r = {text, size};
  size_t step;
  Kind kind = kind_at(r, 0, &step);
  if (kind != SPACE) return run_end(r, 0, kind);
  size_t end = run_end(r, 0, SPACE);
  return end == size ? end : hf_utf8_back(text, end);
}
