/* Models of tokenizer.json: the vocabulary, and how a word becomes tokens. A new kind is one HfModelKind in its own file
 * and one line in model.c. */
#ifndef HF_MODEL_H
#define HF_MODEL_H
#include <cjson/cJSON.h>
#include "bpe.h"
#include "json_scan.h"
#include "text.h"
#include "trie.h"
#include "vocab.h"

/* Tokens of one or more texts. With `detailed`, offsets and words are kept too. Zero-initialise; hf_tokens_free. */
typedef struct HfTokens {
  int32_t *ids;
  uint32_t (*offsets)[2]; /* begin, end: bytes of the word while a model adds them, then characters of the text */
  int32_t *words;         /* index of the word in its text */
  uint32_t (*spaces)[2];  /* with `spaced`: white space at the front and at the end of a token, in characters */
  size_t count, capacity, detail_capacity, space_capacity;
  bool detailed, spaced;
} HfTokens;
void hf_tokens_free(HfTokens *tokens);
bool hf_tokens_reserve(HfTokens *tokens, size_t extra, HfError *err);
static inline bool hf_tokens_add(HfTokens *tokens, int32_t id, size_t begin, size_t end, HfError *err) {
  if (tokens->count + 1 > tokens->capacity || (tokens->detailed && tokens->count + 1 > tokens->detail_capacity) ||
      (tokens->spaced && tokens->count + 1 > tokens->space_capacity))
    if (!hf_tokens_reserve(tokens, 1, err)) return false;
  if (tokens->detailed) tokens->offsets[tokens->count][0] = (uint32_t)begin, tokens->offsets[tokens->count][1] = (uint32_t)end;
  tokens->ids[tokens->count++] = id;
  return true;
}

typedef struct HfModel HfModel;

/* A file that holds a part of the vocabulary; `where` begins error messages about it. */
typedef struct HfVocabFile {
  const char *text; /* NULL: there is none */
  size_t size;
  const char *where;
} HfVocabFile;

/* The vocabulary of a model whose JSON has none: vocab.txt, or vocab.json and merges.txt. */
typedef struct HfVocabFiles {
  HfVocabFile vocab, merges;
  HfVocabFile merge_list; /* merges as they stand in tokenizer.json, an array; set by hf_tokenizer_from_json */
} HfVocabFiles;

typedef struct HfModelKind {
  const char *type;
  bool (*read)(HfModel *self, const cJSON *json, const char *where, HfError *err); /* the vocabulary is read already */
  /* Adds the tokens of one word. */
  bool (*tokenize)(const HfModel *self, const char *word, size_t size, HfTokens *out, HfError *err);
  void (*release)(HfModel *self); /* NULL: nothing is owned */
  /* Reads a vocabulary that is a list of tokens with scores; NULL: it is an object of ids. */
  bool (*read_vocab)(HfModel *self, const cJSON *vocab, const char *where, HfError *err);
  /* Reads merges, behind everything else: the lines of a merges.txt, or with `list` a JSON array; NULL: there are none. */
  bool (*read_merges)(HfModel *self, HfVocabFile file, bool list, HfError *err);
} HfModelKind;

struct HfModel {
  const HfModelKind *kind;
  HfVocab vocab;
  int32_t unk_id; /* -1: the vocabulary has none */
  char *unk_token;
  double *scores; /* (limit) of each token; NULL: they have none */
  struct {
    char *prefix;          /* of tokens that continue a word */
    size_t prefix_size;
    uint64_t prefix_hash;
    int64_t max_characters;
  } word_piece;
  struct {
    HfTrie trie;
    double unk_score;
    bool byte_fallback;
    int32_t byte_ids[256]; /* -1: the vocabulary has no token for this byte */
  } unigram;
  HfBpe bpe;
};

/* files: used where `json` has null; a vocabulary that is in *model already stays. Free also after an error. */
bool hf_model_read(HfModel *model, const cJSON *json, const HfVocabFiles *files, const char *where, HfError *err);
void hf_model_free(HfModel *model);

/* vocab.txt: the token of line i has id i. */
bool hf_vocab_read_lines(HfVocab *vocab, HfVocabFile file, HfError *err);
/* vocab.json: {"token": id, ...} */
bool hf_vocab_read_ids(HfVocab *vocab, HfVocabFile file, HfError *err);
/* The same behind the event HF_JSON_OBJECT. */
bool hf_vocab_scan_ids(HfVocab *vocab, HfJsonScanner *scanner, HfError *err);

extern const HfModelKind hf_model_word_piece, hf_model_word_level, hf_model_unigram, hf_model_bpe;

#endif
