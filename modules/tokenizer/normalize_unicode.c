/* The normal forms NFD, NFKD, NFC and NFKC, and StripAccents.
 *
 * A normal form is a list of characters, each with a change: 0 takes the place of the next character of the input, 1 was
 * inserted and shares the origin of the one before, -n replaces the next one and removes n more. Origins follow the
 * changes in the order of the output, after marks were reordered, as they do in Hugging Face's tokenizers.
 */
#include <string.h>
#include "memory.h"
#include "normalizer.h"
#include "unicode.h"

/* Characters after the last starter, waiting for their order. */
#define MARKS_INLINE 64
typedef struct Mark {
  uint32_t code;
  int change, combining;
} Mark;

typedef struct Former {
  HfSpan in;
  HfDecomposition how;
  bool compose;
  HfText *out;
  size_t consumed;      /* bytes of the input that the output already stands for */
  uint32_t last_origin; /* of the character consumed last */
  Mark *marks, inline_marks[MARKS_INLINE];
  size_t count, capacity;
} Former;

/* Moves over one character of the input; returns its origin. */
static uint32_t consume(Former *f) {
  if (f->consumed >= f->in.size) return f->last_origin;
  f->last_origin = hf_span_origin(f->in, f->consumed);
  f->consumed += hf_utf8_size((unsigned char)f->in.bytes[f->consumed]);
  return f->last_origin;
}

static bool emit(Former *f, uint32_t code, int change, HfError *err) {
  uint32_t origin = change > 0 ? f->last_origin : consume(f);
  for (; change < 0; change++) consume(f);
  if (f->how.drop && (hf_unicode_set(code) & f->how.drop)) return true;
  return f->how.lowercase ? hf_text_put_lower(f->out, code, origin, err) : hf_text_put(f->out, code, origin, err);
}

/* Stable and in linear time: a hostile text may hold a million marks in a row. */
static bool sort_many(Mark *marks, size_t count, HfError *err) {
  Mark *copy = hf_malloc(count * sizeof *copy, "combining marks", err);
  if (!copy) return false;
  size_t place[257] = {0};
  for (size_t i = 0; i < count; i++) place[marks[i].combining + 1]++;
  for (int c = 0; c < 256; c++) place[c + 1] += place[c];
  for (size_t i = 0; i < count; i++) copy[place[marks[i].combining]++] = marks[i];
  memcpy(marks, copy, count * sizeof *copy);
  hf_free(copy);
  return true;
}

static bool sort_marks(Former *f, HfError *err) {
  size_t first = f->count && !f->marks[0].combining;
  if (f->count > MARKS_INLINE) return sort_many(f->marks + first, f->count - first, err);
  for (size_t i = first + 1; i < f->count; i++) {
    Mark mark = f->marks[i];
    size_t j = i;
    for (; j > first && f->marks[j - 1].combining > mark.combining; j--) f->marks[j] = f->marks[j - 1];
    f->marks[j] = mark;
  }
  return true;
}

/* Composes the starter in front with the marks that are not blocked. */
static void compose_marks(Former *f) {
  if (!f->count || f->marks[0].combining) return;
  size_t kept = 1;
  int last = -1;
  for (size_t i = 1; i < f->count; i++) {
    Mark mark = f->marks[i];
    uint32_t composite = last < mark.combining ? hf_unicode_compose(f->marks[0].code, mark.code) : 0;
    if (composite) {
      f->marks[0].code = composite;
      f->marks[0].change += mark.change - 1;
    } else {
      last = mark.combining;
      f->marks[kept++] = mark;
    }
  }
  f->count = kept;
}

static bool flush(Former *f, HfError *err) {
  for (size_t i = 0; i < f->count; i++)
    if (!emit(f, f->marks[i].code, f->marks[i].change, err)) return false;
  f->count = 0;
  return true;
}

/* Orders and composes what waits behind the last starter. */
static bool settle(Former *f, HfError *err) {
  if (!sort_marks(f, err)) return false;
  if (f->compose) compose_marks(f);
  return true;
}

/* A starter right behind a starter may still be composed with it (Hangul, some Indic vowels). */
static bool compose_starters(Former *f, Mark starter) {
  if (!f->compose || f->count != 1 || f->marks[0].combining) return false;
  uint32_t composite = hf_unicode_compose(f->marks[0].code, starter.code);
  if (!composite) return false;
  f->marks[0].code = composite;
  f->marks[0].change += starter.change - 1;
  return true;
}

static bool add_mark(Former *f, Mark mark, HfError *err) {
  if (!mark.combining) {
    if (!settle(f, err)) return false;
    if (compose_starters(f, mark)) return true;
    if (!flush(f, err)) return false;
  }
  if (f->count == f->capacity) {
    Mark *grown = hf_malloc(2 * f->capacity * sizeof *grown, "combining marks", err);
    if (!grown) return false;
    memcpy(grown, f->marks, f->count * sizeof *grown);
    if (f->marks != f->inline_marks) hf_free(f->marks);
    f->marks = grown;
    f->capacity *= 2;
  }
  f->marks[f->count++] = mark;
  return true;
}

static bool add_character(Former *f, uint32_t code, HfError *err) {
  uint32_t parts[HF_MAX_DECOMPOSITION];
  size_t count = hf_unicode_decompose(code, f->how.compatibility, parts);
  for (size_t i = 0; i < count; i++)
    if (!add_mark(f, (Mark){parts[i], i > 0, hf_unicode_combining(parts[i])}, err)) return false;
  return true;
}

static bool form(HfText *out, HfSpan in, HfDecomposition how, bool compose, HfError *err) {
  Former f = {.in = in, .how = how, .compose = compose, .out = out, .last_origin = HF_NO_ORIGIN, .capacity = MARKS_INLINE};
  f.marks = f.inline_marks;
  bool done = hf_text_reserve(out, in.size, err);
  for (size_t at = 0; done && at < in.size;) {
    uint32_t code;
    at += hf_utf8_decode(in.bytes + at, &code);
    done = add_character(&f, code, err);
  }
  done = done && settle(&f, err) && flush(&f, err);
  if (f.marks != f.inline_marks) hf_free(f.marks);
  return done;
}

bool hf_text_append_decomposed(HfText *out, HfSpan in, HfDecomposition how, HfError *err) {
  return form(out, in, how, false, err);
}

bool hf_text_put_lower(HfText *out, uint32_t code, uint32_t origin, HfError *err) {
  uint32_t lower[3];
  size_t count = hf_unicode_lower(code, lower);
  for (size_t i = 0; i < count; i++)
    if (!hf_text_put(out, lower[i], origin, err)) return false;
  return true;
}

static bool apply_nfd(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  return form(out, in, (HfDecomposition){0}, false, err);
}
static bool apply_nfkd(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  return form(out, in, (HfDecomposition){.compatibility = true}, false, err);
}
static bool apply_nfc(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  return form(out, in, (HfDecomposition){0}, true, err);
}
static bool apply_nfkc(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  return form(out, in, (HfDecomposition){.compatibility = true}, true, err);
}

static bool apply_strip_accents(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err) {
  for (size_t at = 0; at < in.size;) {
    uint32_t code, origin = hf_span_origin(in, at);
    at += hf_utf8_decode(in.bytes + at, &code);
    if (!(hf_unicode_set(code) & HF_ACCENT) && !hf_text_put(out, code, origin, err)) return false;
  }
  return true;
}

const HfNormalizerKind hf_normalizer_nfd = {"NFD", NULL, apply_nfd, NULL};
const HfNormalizerKind hf_normalizer_nfkd = {"NFKD", NULL, apply_nfkd, NULL};
const HfNormalizerKind hf_normalizer_nfc = {"NFC", NULL, apply_nfc, NULL};
const HfNormalizerKind hf_normalizer_nfkc = {"NFKC", NULL, apply_nfkc, NULL};
const HfNormalizerKind hf_normalizer_strip_accents = {"StripAccents", NULL, apply_strip_accents, NULL};
