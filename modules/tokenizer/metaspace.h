/* Options of Metaspace, which is a pre-tokenizer and a decoder. */
#ifndef HF_METASPACE_H
#define HF_METASPACE_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include "error.h"

typedef enum HfPrependScheme { HF_PREPEND_ALWAYS, HF_PREPEND_FIRST, HF_PREPEND_NEVER } HfPrependScheme;

typedef struct HfMetaspace {
  uint32_t replacement; /* of a space: U+2581 by default */
  HfPrependScheme scheme;
  bool split;
} HfMetaspace;

bool hf_metaspace_read(HfMetaspace *out, const cJSON *json, const char *where, HfError *err);

#endif
