/* Training vocabularies: words are counted as the normalizers and pre-tokenizers of a tokenizer cut them, then a trainer
 * makes a vocabulary of them, with merges or scores.
 *
 *   HfWordCounter counter = {.tokenizer = t};
 *   while (more texts) hf_words_feed(&counter, texts, count, err);
 *   HfTrainOptions options = hf_train_defaults();
 *   HfTrained result = {0};
 *   if (hf_train_bpe(&counter.words, &options, &result, err)) use(result.vocab, result.merges);
 *   hf_trained_free(&result);
 *   hf_word_counter_free(&counter);
 *
 * The same texts give the same vocabulary, whatever the number of threads: ties are broken by ids and characters.
 */
#ifndef HF_TRAIN_H
#define HF_TRAIN_H
#include "tokenizer.h"

/* Words in the order in which they were first seen. */
typedef struct HfWordCounts {
  HfVocab texts;
  uint64_t *counts; /* (texts.count) */
  size_t capacity;
} HfWordCounts;
void hf_words_free(HfWordCounts *words);
bool hf_words_add(HfWordCounts *words, const char *word, size_t size, uint64_t count, HfError *err);

typedef struct HfWordCounter {
  const HfTokenizer *tokenizer; /* borrowed */
  HfWordCounts words;
  uint64_t texts;               /* fed so far, for errors */
} HfWordCounter;
/* Texts are cut on all cores; an error names the text. */
bool hf_words_feed(HfWordCounter *counter, const HfInput *texts, size_t count, HfError *err);
void hf_word_counter_free(HfWordCounter *counter);

/* Zero-initialise the lists. What they point at is borrowed. */
typedef struct HfTrainOptions {
  size_t vocab_size;
  uint64_t min_frequency;      /* of a pair, or of a word in WordLevel */
  const HfInput *special;      /* (special_count) the first tokens */
  size_t special_count;
  const uint32_t *alphabet;    /* (alphabet_count) characters that are tokens in any case */
  size_t alphabet_count;
  size_t limit_alphabet;       /* of the characters kept; SIZE_MAX: all */
  const char *prefix, *suffix; /* of tokens inside a word and at its end; "" none */
  size_t max_token_length;     /* characters; SIZE_MAX: any */
  /* Unigram */
  const char *unk_token;       /* NULL: none */
  double shrinking_factor;     /* share of the tokens that stays in each round */
  int64_t sub_iterations;      /* of expectation and maximization in each round */
  size_t max_piece_length;     /* characters */
  size_t seed_size;
} HfTrainOptions;
HfTrainOptions hf_train_defaults(void);

/* Zero-initialise; hf_trained_free. */
typedef struct HfTrained {
  HfVocab vocab;
  uint32_t (*merges)[2]; /* (merge_count) BPE: ids of the two sides */
  size_t merge_count, merge_capacity;
  double *scores;        /* (vocab.count) Unigram */
  size_t score_capacity;
  int64_t unk_id;        /* Unigram; -1: none */
} HfTrained;
void hf_trained_free(HfTrained *trained);

bool hf_train_bpe(const HfWordCounts *words, const HfTrainOptions *options, HfTrained *out, HfError *err);
bool hf_train_word_level(const HfWordCounts *words, const HfTrainOptions *options, HfTrained *out, HfError *err);
bool hf_train_unigram(const HfWordCounts *words, const HfTrainOptions *options, HfTrained *out, HfError *err);

/* The id of a token, which is added when it is new; -1: no memory. */
int32_t hf_vocab_put(HfVocab *vocab, const char *token, size_t size, HfError *err);

/* ---- for the trainer of Unigram */

/* Characters and how often they are seen, by code point; without NUL. */
typedef struct HfCharacters {
  struct HfCharacter { uint32_t code; uint64_t count; } *items;
  size_t count, capacity;
} HfCharacters;
bool hf_words_characters(const HfWordCounts *words, HfCharacters *out, HfError *err);

/* Pieces with scores, best first. Zero-initialise. */
typedef struct HfPieceScores {
  HfVocab texts;
  double *scores;
  size_t capacity;
} HfPieceScores;
void hf_piece_scores_free(HfPieceScores *pieces);
bool hf_piece_scores_add(HfPieceScores *pieces, const char *text, size_t size, double score, HfError *err);
/* All characters by their counts, then the substrings that are seen more than once and are followed by different
 * characters, by count x length; as log-probabilities. */
bool hf_unigram_seeds(const HfWordCounts *words, const HfTrainOptions *options, HfPieceScores *out, HfError *err);

#endif
