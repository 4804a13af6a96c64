/* A tokenizer: the pipeline of tokenizer.json.
 *
 *   text -> added tokens -> normalizers -> added tokens -> pre-tokenizers -> model -> template, truncation, padding
 *
 *   HfTokenizer *t = hf_tokenizer_from_json(json, size, NULL, "tokenizer.json", err);
 *   HfInput text = {"Hello world", 11};
 *   HfBatchInput batch = {.texts = &text, .rows = 1, .sides = 1};
 *   HfEncodeOptions options = {.add_special_tokens = true};
 *   HfEncoding out = {0};
 *   if (t && hf_tokenizer_encode(t, &batch, &options, &out, err)) use(out.ids, out.ends[0]);
 *   hf_encoding_free(&out);
 *   hf_tokenizer_free(t);
 */
#ifndef HF_TOKENIZER_H
#define HF_TOKENIZER_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "added_tokens.h"
#include "bert_sweep.h"
#include "byte_level_sweep.h"
#include "decoder.h"
#include "model.h"
#include "normalizer.h"
#include "post_processor.h"
#include "pre_tokenizer.h"
#include "word_cache.h"

/* What one thread works with; grows to the largest text seen and stays. */
typedef struct HfWorkspace {
  HfText source;      /* the original text with its origins, when offsets are wanted */
  HfPieceList raw;    /* its pieces between added tokens */
  HfPieces pieces, spare;
  HfNormalizerScratch scratch;
  HfTokens tokens;    /* of all texts this thread encoded in the current call */
  HfWordCache cache;
  HfError err;
  int64_t failed;     /* the sequence err is about, -1: none */
} HfWorkspace;

/* Tokens of one sequence, in the workspace of the thread that made them. */
typedef struct HfSequence {
  size_t begin, count;
  int thread;
} HfSequence;

/* One row of a result: the part of each sequence it shows. */
typedef struct HfRow {
  size_t sample;
  size_t begin[2], end[2];
  size_t length; /* with special tokens and padding */
} HfRow;

typedef struct HfRows {
  HfRow *items;
  size_t count, capacity;
  size_t tokens; /* of all rows */
} HfRows;

/* One call at a time may use a tokenizer: workspaces and lists are kept between calls. */
typedef struct HfTokenizer {
  HfNormalizers normalizers;
  HfPreTokenizers pre_tokenizers;
  HfModel model;
  HfPostProcessor post_processor;
  HfDecoders decoders;
  HfAddedTokens added;
  cJSON *json;          /* the document without vocabulary and added tokens, for saving */
  HfBertSweep *sweep;   /* NULL: the pipeline is not BERT's */
  HfByteSweep byte_sweep;
  HfWorkspace *workspaces;
  size_t workspace_count;
  HfSequence *sequences;
  size_t sequence_capacity;
  HfRows rows;
} HfTokenizer;

/* The document of a tokenizer.json. files: the vocabulary of a model that has none there; NULL: none. `where` begins every
 * error message. */
HfTokenizer *hf_tokenizer_from_json(const char *text, size_t size, const HfVocabFiles *files, const char *where, HfError *err);
void hf_tokenizer_free(HfTokenizer *t);
/* Appends the document as tokenizer.json has it: two spaces per level, the vocabulary in the order of the ids. */
bool hf_tokenizer_write_json(const HfTokenizer *t, HfBuffer *out, HfError *err);

/* Appends the vocabulary as a file of its own: vocab.json for BPE, the lines of vocab.txt for WordPiece; and merges.txt. */
bool hf_tokenizer_write_vocabulary(const HfTokenizer *t, HfBuffer *out, HfError *err);
bool hf_tokenizer_write_merges(const HfTokenizer *t, HfBuffer *out, HfError *err);

/* ---- tokens and ids; added tokens win over the model's */
int32_t hf_tokenizer_id(const HfTokenizer *t, const char *token, size_t size);                 /* -1: none */
const char *hf_tokenizer_token(const HfTokenizer *t, int64_t id, size_t *size);                /* NULL: none */
size_t hf_tokenizer_vocab_size(const HfTokenizer *t, bool with_added);
int64_t hf_tokenizer_id_limit(const HfTokenizer *t);                                           /* largest id + 1 */
/* Adds tokens, or marks tokens of the vocabulary as added; their ids are filled in. *added counts the new ones. */
bool hf_tokenizer_add_tokens(HfTokenizer *t, HfAddedToken *tokens, size_t count, size_t *added, HfError *err);
/* Changes a boolean or null option of the normalizer ("lowercase"); false when there is no such option. value: -1 null. */
bool hf_tokenizer_set_normalizer_option(HfTokenizer *t, const char *type, const char *option, int value, HfError *err);

/* Replaces "normalizer", "pre_tokenizer", "post_processor" or "decoder" by a JSON text. The special tokens of a
 * post-processor may be added ones. */
bool hf_tokenizer_set_part(HfTokenizer *t, const char *part, const char *json, size_t size, HfError *err);
/* Appends the JSON of a part; "null" when there is none. */
bool hf_tokenizer_write_part(const HfTokenizer *t, const char *part, HfBuffer *out, HfError *err);

/* ---- text from ids; ids without a token are left out */
bool hf_tokenizer_decode(const HfTokenizer *t, const int64_t *ids, size_t count, bool skip_special, HfBuffer *out, HfError *err);
bool hf_tokenizer_join(const HfTokenizer *t, HfStrings *tokens, HfBuffer *out, HfError *err);

/* ---- ids from text */
typedef struct HfInput {
  const char *bytes;
  size_t size;
} HfInput;

/* Rows of one or two sequences each; row r has the sequences r * sides + 0..sides-1. A sequence is one text, or with
 * `starts` the words texts[starts[i]] to texts[starts[i + 1] - 1]. */
typedef struct HfBatchInput {
  const HfInput *texts;
  const size_t *starts; /* (rows * sides + 1), or NULL */
  size_t rows;
  int sides;
} HfBatchInput;

typedef enum HfTruncation { HF_TRUNCATE_NONE, HF_TRUNCATE_LONGEST_FIRST, HF_TRUNCATE_ONLY_FIRST, HF_TRUNCATE_ONLY_SECOND } HfTruncation;
typedef enum HfPadding { HF_PAD_NONE, HF_PAD_LONGEST, HF_PAD_FIXED } HfPadding;

typedef struct HfEncodeOptions {
  bool add_special_tokens;
  bool split_special_tokens; /* special tokens in the text are ordinary text */
  bool detailed;             /* fill offsets and words */
  HfTruncation truncation;
  size_t max_length, stride;
  bool truncate_left, overflow; /* overflow: what was cut off becomes rows of its own */
  HfPadding padding;
  size_t pad_length, pad_multiple; /* multiple 0: none */
  bool pad_left;
  int32_t pad_id;
  uint8_t pad_type_id;
} HfEncodeOptions;

/* Rows of different lengths, one behind the other. Zero-initialise; hf_encoding_free. */
typedef struct HfEncoding {
  void *block;               /* holds all arrays below; owned, NULL when the caller placed them elsewhere */
  size_t rows;
  size_t *ends;              /* (rows) where each row ends in the arrays below */
  size_t *samples;           /* (rows) the row of the input it comes from */
  int32_t *ids;
  uint8_t *type_ids, *special, *attention;
  int8_t *sequences;         /* 0, 1, or -1 for special tokens and padding */
  uint32_t (*offsets)[2];    /* detailed: characters of the text, or of the word for pre-split input */
  int32_t *words;            /* detailed: -1 for special tokens and padding */
} HfEncoding;
void hf_encoding_free(HfEncoding *encoding);
static inline size_t hf_encoding_begin(const HfEncoding *e, size_t row) { return row ? e->ends[row - 1] : 0; }

bool hf_tokenizer_encode(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, HfEncoding *out, HfError *err);
/* The same in two steps, for callers with memory of their own: the bytes the arrays take, then the arrays, which lie in
 * `block` (aligned for size_t). No other call on the tokenizer may come between. */
bool hf_tokenizer_encode_prepare(HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, size_t *bytes, HfError *err);
void hf_tokenizer_encode_write(const HfTokenizer *t, const HfBatchInput *in, const HfEncodeOptions *options, void *block, HfEncoding *out);
size_t hf_tokenizer_special_count(const HfTokenizer *t, bool pair);

/* ---- for encode.c: one text through the pipeline; tokens go to w->tokens. word: index given to all its tokens, -1: count */
bool hf_pipeline_run(const HfTokenizer *t, HfWorkspace *w, HfInput text, int32_t word, bool split_special, HfError *err);

#endif
