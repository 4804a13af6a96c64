/* Normalizers of tokenizer.json: what is done to a text before it is cut. Sequences are flattened into a list of steps.
 * A new kind is one HfNormalizerKind in its own file and one line in normalizer.c. */
#ifndef HF_NORMALIZER_H
#define HF_NORMALIZER_H
#include <cjson/cJSON.h>
#include "replace.h"
#include "text.h"

typedef struct HfNormalizer HfNormalizer;

typedef struct HfNormalizerKind {
  const char *type; /* as in tokenizer.json */
  /* Reads the options; `self` is zeroed. NULL: there are none. */
  bool (*read)(HfNormalizer *self, const cJSON *json, const char *where, HfError *err);
  /* Appends the normalized text to `out`; `scratch` is free to use. */
  bool (*apply)(const HfNormalizer *self, HfSpan in, HfText *out, HfText *scratch, HfError *err);
  void (*release)(HfNormalizer *self); /* NULL: nothing is owned */
} HfNormalizerKind;

struct HfNormalizer {
  const HfNormalizerKind *kind;
  union {
    struct { bool clean_text, handle_chinese_chars, strip_accents, lowercase; } bert;
    struct { bool left, right; } strip;
    struct { char *content; } prepend;
    HfReplace replace;
    struct {
      uint32_t *units; /* (unit_count) a double array */
      size_t unit_count;
      char *texts;     /* (texts_size) each ended by NUL */
      size_t texts_size;
    } precompiled;
  };
};

typedef struct HfNormalizers {
  HfNormalizer *steps;
  size_t count, capacity;
} HfNormalizers;

/* json: the normalizer, NULL or null: none. Free also after an error. */
bool hf_normalizers_read(HfNormalizers *list, const cJSON *json, const char *where, HfError *err);
void hf_normalizers_free(HfNormalizers *list);

typedef struct HfNormalizerScratch { HfText texts[3]; } HfNormalizerScratch;
void hf_normalizer_scratch_free(HfNormalizerScratch *scratch);
/* Appends the normalized text to `out`. */
bool hf_normalizers_apply(const HfNormalizers *list, HfSpan in, HfText *out, HfNormalizerScratch *scratch, HfError *err);

extern const HfNormalizerKind hf_normalizer_byte_level, hf_normalizer_bert, hf_normalizer_lowercase, hf_normalizer_strip, hf_normalizer_strip_accents,
  hf_normalizer_nmt, hf_normalizer_prepend, hf_normalizer_replace, hf_normalizer_precompiled, hf_normalizer_nfc,
  hf_normalizer_nfd, hf_normalizer_nfkc, hf_normalizer_nfkd;

/* Appends the decomposition of `in` in canonical order, without the characters whose property set meets `drop`, in lower
 * case when asked for. */
typedef struct HfDecomposition {
  bool compatibility, lowercase;
  uint32_t drop;
} HfDecomposition;
bool hf_text_append_decomposed(HfText *out, HfSpan in, HfDecomposition how, HfError *err);
/* Appends one character in lower case. */
bool hf_text_put_lower(HfText *out, uint32_t code, uint32_t origin, HfError *err);

#endif
