/* Added tokens: found in a text before anything else is done to it, or (normalized ones) after the normalizers. */
#ifndef HF_ADDED_TOKENS_H
#define HF_ADDED_TOKENS_H
#include <cjson/cJSON.h>
#include "normalizer.h"
#include "text.h"
#include "vocab.h"

typedef struct HfAddedToken {
  char *content; /* owned, NUL-terminated */
  size_t size;
  char *shown;   /* what its id reads as: the normalized content of a normalized token; owned */
  size_t shown_size;
  int32_t id;
  bool special;     /* left out of decoded text on request */
  bool normalized;  /* looked for in the normalized text */
  bool single_word; /* not inside a longer word */
  bool lstrip, rstrip; /* takes the white space before, behind it */
} HfAddedToken;

/* Finds the leftmost, longest of a set of texts. */
typedef struct HfMatcher {
  HfVocab patterns;      /* text -> index of the added token */
  uint32_t longest[256]; /* of the patterns that begin with a byte; 0: none does */
  int first;             /* the byte all patterns begin with, -1: several, 0: there are none */
} HfMatcher;

typedef struct HfAddedTokens {
  HfAddedToken *items;
  size_t count, capacity;
  HfVocab contents;   /* content -> place in `items` */
  uint64_t *by_id;    /* (indexed) id << 32 | place in `items`, in order */
  size_t indexed;
  HfMatcher original, normalized;
} HfAddedTokens;

void hf_added_tokens_free(HfAddedTokens *list);
/* Takes a copy of `token`, whose content is borrowed. A token of the same content is replaced. */
bool hf_added_tokens_put(HfAddedTokens *list, const HfAddedToken *token, HfError *err);
/* Makes matchers, the index by id and what ids read as; needed after tokens were put. */
bool hf_added_tokens_prepare(HfAddedTokens *list, const HfNormalizers *normalizers, HfError *err);
const HfAddedToken *hf_added_tokens_find_id(const HfAddedTokens *list, int64_t id);
const HfAddedToken *hf_added_tokens_find(const HfAddedTokens *list, const char *content, size_t size);

/* Cuts `in`, which begins at byte `base` of its text, at the tokens of `matcher`. skip_special: special tokens are left as
 * ordinary text. */
bool hf_added_tokens_split(const HfAddedTokens *list, const HfMatcher *matcher, bool skip_special, HfSpan in, size_t base,
                           HfPieceList *out, HfError *err);

#endif
