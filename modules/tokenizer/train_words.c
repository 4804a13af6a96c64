/* Counting words. Each thread counts the words of its part of the texts; the parts are put together in order, so that the
 * words stand in the order in which they come. */
#include <stdlib.h>
#ifdef _OPENMP
#include <omp.h>
#endif
#include "train.h"
#include "unicode.h"

int32_t hf_vocab_put(HfVocab *vocab, const char *token, size_t size, HfError *err) {
  int32_t id = hf_vocab_find(vocab, token, size);
  if (id >= 0) return id;
  if (vocab->count >= INT32_MAX) return hf_error_set(err, "more than 2^31 different words or tokens"), -1;
  id = (int32_t)vocab->count;
  return hf_vocab_add(vocab, token, size, id, err) ? id : -1;
}

void hf_words_free(HfWordCounts *words) {
  hf_vocab_free(&words->texts);
  hf_free(words->counts);
  *words = (HfWordCounts){0};
}

bool hf_words_add(HfWordCounts *words, const char *word, size_t size, uint64_t count, HfError *err) {
  size_t before = words->texts.count;
  int32_t id = hf_vocab_put(&words->texts, word, size, err);
  if (id < 0) return false;
  if (words->texts.count > before) {
    if (!hf_array_grow((void **)&words->counts, before, &words->capacity, sizeof *words->counts, "words", err)) return false;
    words->counts[id] = 0;
  }
  words->counts[id] += count;
  return true;
}

/* What one thread works with. */
typedef struct Worker {
  HfWordCounts words;
  HfPieces pieces, spare;
  HfNormalizerScratch scratch;
  HfError err;
  size_t failed; /* the text err is about, SIZE_MAX: none */
} Worker;

static void free_worker(Worker *w) {
  hf_words_free(&w->words);
  hf_pieces_free(&w->pieces);
  hf_pieces_free(&w->spare);
  hf_normalizer_scratch_free(&w->scratch);
}

static bool cut_text(const HfTokenizer *t, Worker *w, HfInput text, HfError *err) {
  HfText source = {0};
  size_t bad;
  if (!hf_utf8_valid(text.bytes, text.size, &bad)) return hf_error_set(err, "text is not UTF-8: byte 0x%02x at %zu", (unsigned char)text.bytes[bad], bad);
  bool tracked = t->pre_tokenizers.use_origins;
  hf_text_clear(&source, tracked);
  bool done = !tracked || hf_text_append_original(&source, text.bytes, text.size, 0, err);
  HfSpan span = tracked && done ? hf_text_span(&source, 0, source.size) : (HfSpan){text.bytes, text.size, NULL};
  hf_pieces_clear(&w->pieces, tracked);
  done = done && hf_normalizers_apply(&t->normalizers, span, &w->pieces.text, &w->scratch, err) &&
         hf_piece_add(&w->pieces.list, 0, w->pieces.text.size, -1, err) && hf_pre_tokenizers_apply(&t->pre_tokenizers, &w->pieces, &w->spare, err);
  hf_text_free(&source);
  return done;
}

static bool count_text(const HfTokenizer *t, Worker *w, HfInput text, HfError *err) {
  if (!cut_text(t, w, text, err)) return false;
  for (size_t i = 0; i < w->pieces.list.count; i++) {
    HfPiece piece = w->pieces.list.items[i];
    if (!hf_words_add(&w->words, w->pieces.text.bytes + piece.begin, piece.end - piece.begin, 1, err)) return false;
  }
  return true;
}

static bool add_words(HfWordCounts *all, const HfWordCounts *part, HfError *err) {
  for (size_t id = 0; id < part->texts.count; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&part->texts, (int64_t)id, &size);
    if (!hf_words_add(all, text, size, part->counts[id], err)) return false;
  }
  return true;
}

static int thread_count(const HfInput *texts, size_t count) {
#ifdef _OPENMP
  size_t bytes = 0;
  for (size_t i = 0; i < count && bytes < 65536; i++) bytes += texts[i].size;
  if (count > 1 && bytes >= 65536) return omp_get_max_threads();
#endif
  return 1;
}

/* Part `part` of `parts` equal ones. */
static void count_part(const HfTokenizer *t, Worker *w, const HfInput *texts, size_t count, size_t part, size_t parts) {
  w->failed = SIZE_MAX;
  for (size_t i = count * part / parts; i < count * (part + 1) / parts; i++)
    if (!count_text(t, w, texts[i], &w->err)) {
      w->failed = i;
      return;
    }
}

bool hf_words_feed(HfWordCounter *counter, const HfInput *texts, size_t count, HfError *err) {
  int parts = thread_count(texts, count);
  Worker *workers = hf_calloc((size_t)parts * sizeof *workers, "words", err);
  if (!workers) return false;
#pragma omp parallel for num_threads(parts) schedule(static, 1)
  for (int i = 0; i < parts; i++) count_part(counter->tokenizer, &workers[i], texts, count, (size_t)i, (size_t)parts);
  bool done = true;
  for (int i = 0; done && i < parts; i++) {
    done = workers[i].failed == SIZE_MAX;
    if (done) done = add_words(&counter->words, &workers[i].words, err);
    else if (err) *err = workers[i].err, hf_error_prefix(err, "text %llu", (unsigned long long)(counter->texts + workers[i].failed + 1));
  }
  for (int i = 0; i < parts; i++) free_worker(&workers[i]);
  hf_free(workers);
  counter->texts += count;
  return done;
}

void hf_word_counter_free(HfWordCounter *counter) { hf_words_free(&counter->words); }

/* ---- what trainers share */

HfTrainOptions hf_train_defaults(void) {
  return (HfTrainOptions){.vocab_size = 30000, .limit_alphabet = SIZE_MAX, .prefix = "", .suffix = "", .max_token_length = SIZE_MAX,
                          .shrinking_factor = 0.75, .sub_iterations = 2, .max_piece_length = 16, .seed_size = 1000000};
}

void hf_trained_free(HfTrained *trained) {
  hf_vocab_free(&trained->vocab);
  hf_free(trained->merges);
  hf_free(trained->scores);
  *trained = (HfTrained){0};
}

bool hf_words_characters(const HfWordCounts *words, HfCharacters *out, HfError *err) {
  enum { CODES = 0x110000 };
  uint64_t *counts = hf_calloc(CODES * sizeof *counts, "characters", err);
  if (!counts) return false;
  for (size_t id = 0; id < words->texts.count; id++) {
    size_t size = 0;
    const char *text = hf_vocab_token(&words->texts, (int64_t)id, &size);
    for (size_t at = 0; at < size;) {
      uint32_t code;
      at += hf_utf8_decode(text + at, &code);
      counts[code] += words->counts[id];
    }
  }
  bool done = true;
  for (uint32_t code = 1; done && code < CODES; code++) { /* without NUL, which tokenizer.json cannot hold */
    if (!counts[code]) continue;
    done = hf_array_grow((void **)&out->items, out->count, &out->capacity, sizeof *out->items, "characters", err);
    if (done) out->items[out->count++] = (struct HfCharacter){code, counts[code]};
  }
  hf_free(counts);
  return done;
}

/* ---- WordLevel: the most frequent words */

typedef struct Ranked { const char *text; size_t size; uint64_t count; } Ranked;

static int by_rank(const void *a, const void *b) {
  const Ranked *x = a, *y = b;
  if (x->count != y->count) return x->count < y->count ? 1 : -1;
  int order = memcmp(x->text, y->text, x->size < y->size ? x->size : y->size);
  return order ? order : (x->size > y->size) - (x->size < y->size);
}

bool hf_train_word_level(const HfWordCounts *words, const HfTrainOptions *options, HfTrained *out, HfError *err) {
  size_t count = words->texts.count;
  Ranked *ranked = hf_malloc((count + 1) * sizeof *ranked, "words", err);
  if (!ranked) return false;
  for (size_t id = 0; id < count; id++) {
    ranked[id].text = hf_vocab_token(&words->texts, (int64_t)id, &ranked[id].size);
    ranked[id].count = words->counts[id];
  }
  qsort(ranked, count, sizeof *ranked, by_rank);
  bool done = true;
  for (size_t i = 0; done && i < options->special_count; i++) done = hf_vocab_put(&out->vocab, options->special[i].bytes, options->special[i].size, err) >= 0;
  for (size_t i = 0; done && i < count && ranked[i].count >= options->min_frequency && out->vocab.count < options->vocab_size; i++)
    if (!memchr(ranked[i].text, 0, ranked[i].size)) done = hf_vocab_put(&out->vocab, ranked[i].text, ranked[i].size, err) >= 0;
  hf_free(ranked);
  return done;
}
