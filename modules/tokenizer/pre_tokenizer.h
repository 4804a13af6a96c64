/* Pre-tokenizers of tokenizer.json: how a text is cut into the words that the model sees. Sequences are flattened. A new
 * kind is one HfPreTokenizerKind in its own file and one line in pre_tokenizer.c. */
#ifndef HF_PRE_TOKENIZER_H
#define HF_PRE_TOKENIZER_H
#include <cjson/cJSON.h>
#include "byte_level_words.h"
#include "metaspace.h"
#include "regex.h"
#include "text.h"

typedef enum HfSplitBehavior {
  HF_SPLIT_ISOLATED, HF_SPLIT_REMOVED, HF_SPLIT_MERGED_WITH_PREVIOUS, HF_SPLIT_MERGED_WITH_NEXT, HF_SPLIT_CONTIGUOUS
} HfSplitBehavior;

typedef struct HfPreTokenizer HfPreTokenizer;

typedef struct HfPreTokenizerKind {
  const char *type;
  bool (*read)(HfPreTokenizer *self, const cJSON *json, const char *where, HfError *err); /* NULL: no options */
  /* One of two. Adds the pieces of `in`, which begins at byte `base` of its text. */
  bool (*split)(const HfPreTokenizer *self, HfSpan in, size_t base, HfPieceList *out, HfError *err);
  /* Appends the changed text of `in` and its pieces. */
  bool (*rewrite)(const HfPreTokenizer *self, HfSpan in, HfPieces *out, HfError *err);
  void (*release)(HfPreTokenizer *self); /* NULL: nothing is owned */
} HfPreTokenizerKind;

struct HfPreTokenizer {
  const HfPreTokenizerKind *kind;
  HfSplitBehavior behavior;
  bool individual_digits;
  bool use_origins; /* set by read: see HfPreTokenizers */
  uint32_t delimiter;
  int64_t length;
  HfMetaspace metaspace;
  struct { bool add_prefix_space, use_regex; } byte_level;
  struct {
    char *text;      /* one of three: a text, one of the known sets of words, a regular expression */
    HfWords words;
    HfRegex *regex;
    bool invert;
  } split;
};

typedef struct HfPreTokenizers {
  HfPreTokenizer *steps;
  size_t count, capacity;
  bool use_origins; /* a step asks where its text stood: origins must be kept */
} HfPreTokenizers;

bool hf_pre_tokenizers_read(HfPreTokenizers *list, const cJSON *json, const char *where, HfError *err);
void hf_pre_tokenizers_free(HfPreTokenizers *list);

/* Cuts every piece of `pieces` that is not an added token, and may change the text; `spare` is working room. */
bool hf_pre_tokenizers_apply(const HfPreTokenizers *list, HfPieces *pieces, HfPieces *spare, HfError *err);

extern const HfPreTokenizerKind hf_pre_tokenizer_bert, hf_pre_tokenizer_whitespace, hf_pre_tokenizer_whitespace_split,
  hf_pre_tokenizer_punctuation, hf_pre_tokenizer_digits, hf_pre_tokenizer_char_delimiter, hf_pre_tokenizer_metaspace,
  hf_pre_tokenizer_fixed_length, hf_pre_tokenizer_unicode_scripts, hf_pre_tokenizer_byte_level, hf_pre_tokenizer_split;

/* Turns matches into pieces as the behavior says. Feed all parts of the text in order, then finish. */
typedef struct HfSplitter {
  HfPieceList *out;
  size_t base;
  HfSplitBehavior behavior;
  bool pending, previous; /* a piece that may still grow; whether the last part was a match */
  size_t begin, end;
} HfSplitter;
bool hf_splitter_feed(HfSplitter *s, size_t begin, size_t end, bool match, HfError *err);
bool hf_splitter_finish(HfSplitter *s, HfError *err);
bool hf_split_behavior_read(const cJSON *json, HfSplitBehavior *out, const char *where, HfError *err);

#endif
