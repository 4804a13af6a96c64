/* The first pieces of a Unigram vocabulary. The suffixes of all words are sorted symbol by symbol, which shows every
 * substring together with how often it is seen; one that is followed by one symbol only says less than the longer one. */
#include <math.h>
#include <stdlib.h>
#include "train.h"
#include "unicode.h"

void hf_piece_scores_free(HfPieceScores *pieces) {
  hf_vocab_free(&pieces->texts);
  hf_free(pieces->scores);
  *pieces = (HfPieceScores){0};
}

bool hf_piece_scores_add(HfPieceScores *pieces, const char *text, size_t size, double score, HfError *err) {
  size_t before = pieces->texts.count;
  int32_t id = hf_vocab_put(&pieces->texts, text, size, err);
  if (id < 0) return false;
  if (pieces->texts.count == before) return true;
  if (!hf_array_grow((void **)&pieces->scores, before, &pieces->capacity, sizeof *pieces->scores, "pieces", err)) return false;
  pieces->scores[before] = score;
  return true;
}

/* A substring: `length` symbols at `at`. */
typedef struct Substring {
  uint64_t score;
  uint32_t at, length;
} Substring;

typedef struct Finder {
  uint32_t *symbols;  /* (symbol_count) code points of all words, each word ended by 0 */
  size_t symbol_count;
  uint32_t *suffixes; /* (suffix_count) where each begins */
  size_t suffix_count;
  size_t longest;
  struct Keyed { uint32_t symbol, suffix; } *keyed; /* (suffix_count) working room */
  Substring *found;
  size_t found_count, found_capacity;
} Finder;

static void free_finder(Finder *f) {
  hf_free(f->symbols);
  hf_free(f->suffixes);
  hf_free(f->keyed);
  hf_free(f->found);
}

static bool collect(Finder *f, const HfWordCounts *words, HfError *err) {
  size_t room = words->texts.text.size + words->texts.count + 1;
  if (room > UINT32_MAX) return hf_error_set(err, "Unigram: more than 4 GiB of different words");
  f->symbols = hf_malloc(room * sizeof *f->symbols, "suffixes", err);
  f->suffixes = hf_malloc(room * sizeof *f->suffixes, "suffixes", err);
  f->keyed = hf_malloc(room * sizeof *f->keyed, "suffixes", err);
  if (!f->symbols || !f->suffixes || !f->keyed) return false;
  for (size_t id = 0; id < words->texts.count; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&words->texts, (int64_t)id, &size);
    for (size_t at = 0; at < size;) {
      uint32_t *symbol = &f->symbols[f->symbol_count];
      at += hf_utf8_decode(text + at, symbol);
      if (*symbol) f->suffixes[f->suffix_count++] = (uint32_t)f->symbol_count;
      f->symbol_count++;
    }
    f->symbols[f->symbol_count++] = 0;
  }
  return true;
}

static int by_symbol(const void *a, const void *b) {
  const struct Keyed *x = a, *y = b;
  return (x->symbol > y->symbol) - (x->symbol < y->symbol);
}

static bool add_found(Finder *f, uint32_t at, size_t length, size_t count, HfError *err) {
  if (!hf_array_grow((void **)&f->found, f->found_count, &f->found_capacity, sizeof *f->found, "pieces", err)) return false;
  f->found[f->found_count++] = (Substring){(uint64_t)count * length, at, (uint32_t)length};
  return true;
}

/* Sorts the suffixes begin..end-1, which share `depth` symbols, by the next one. */
static void sort_group(Finder *f, size_t begin, size_t end, size_t depth) {
  for (size_t i = begin; i < end; i++) f->keyed[i] = (struct Keyed){f->symbols[f->suffixes[i] + depth], f->suffixes[i]};
  qsort(f->keyed + begin, end - begin, sizeof *f->keyed, by_symbol);
  for (size_t i = begin; i < end; i++) f->suffixes[i] = f->keyed[i].suffix;
}

static bool is_uniform(const Finder *f, size_t begin, size_t end, size_t depth) {
  uint32_t first = f->symbols[f->suffixes[begin] + depth];
  for (size_t i = begin + 1; i < end; i++)
    if (f->symbols[f->suffixes[i] + depth] != first) return false;
  return true;
}

/* Groups of suffixes that share more and more symbols; at most `longest` deep. */
static bool open_group(Finder *f, size_t begin, size_t end, size_t depth, HfError *err) {
  while (end - begin > 1 && depth <= f->longest && is_uniform(f, begin, end, depth)) {
    if (!f->symbols[f->suffixes[begin] + depth]) return true; /* the words end */
    depth++;
  }
  if (end - begin < 2 || depth > f->longest) return true;
  if (depth > 1 && !add_found(f, f->suffixes[begin], depth, end - begin, err)) return false;
  sort_group(f, begin, end, depth);
  for (size_t from = begin, to; from < end; from = to) {
    uint32_t symbol = f->symbols[f->suffixes[from] + depth];
    for (to = from + 1; to < end && f->symbols[f->suffixes[to] + depth] == symbol; to++) {}
    if (symbol && !open_group(f, from, to, depth + 1, err)) return false;
  }
  return true;
}

static int by_score(const void *a, const void *b, void *symbols) { /* the best first, then the later text */
  const Substring *x = a, *y = b;
  if (x->score != y->score) return x->score < y->score ? 1 : -1;
  for (uint32_t i = 0; i < x->length && i < y->length; i++) {
    uint32_t p = ((uint32_t *)symbols)[x->at + i], q = ((uint32_t *)symbols)[y->at + i];
    if (p != q) return p < q ? 1 : -1;
  }
  return (x->length < y->length) - (x->length > y->length);
}

static bool add_substring(const Finder *f, const Substring *s, HfPieceScores *out, HfError *err) {
  char text[4 * 256];
  size_t size = 0;
  for (uint32_t i = 0; i < s->length; i++) size += hf_utf8_encode(f->symbols[s->at + i], text + size);
  return hf_piece_scores_add(out, text, size, (double)s->score, err);
}

static int by_frequency(const void *a, const void *b) {
  const struct HfCharacter *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  return (x->code < y->code) - (x->code > y->code);
}

static bool add_characters(const HfWordCounts *words, HfPieceScores *out, HfError *err) {
  HfCharacters list = {0};
  bool done = hf_words_characters(words, &list, err);
  if (list.count) qsort(list.items, list.count, sizeof *list.items, by_frequency);
  for (size_t i = 0; done && i < list.count; i++) {
    char text[4];
    done = hf_piece_scores_add(out, text, hf_utf8_encode(list.items[i].code, text), (double)list.items[i].count, err);
  }
  hf_free(list.items);
  return done;
}

static void to_log_probabilities(double *scores, size_t count) {
  double sum = 0;
  for (size_t i = 0; i < count; i++) sum += scores[i];
  for (size_t i = 0; i < count; i++) scores[i] = log(scores[i]) - log(sum);
}

bool hf_unigram_seeds(const HfWordCounts *words, const HfTrainOptions *options, HfPieceScores *out, HfError *err) {
  Finder f = {.longest = options->max_piece_length < 256 ? options->max_piece_length : 256};
  bool done = add_characters(words, out, err) && collect(&f, words, err) && (!f.suffix_count || open_group(&f, 0, f.suffix_count, 0, err));
  if (done && f.found_count) qsort_r(f.found, f.found_count, sizeof *f.found, by_score, f.symbols);
  for (size_t i = 0; done && i < f.found_count && out->texts.count < options->seed_size; i++) done = add_substring(&f, &f.found[i], out, err);
  if (done) to_log_probabilities(out->scores, out->texts.count);
  free_finder(&f);
  return done;
}
