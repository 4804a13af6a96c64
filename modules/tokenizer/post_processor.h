/* Post-processors of tokenizer.json: which special tokens stand around one sequence and around a pair, and the type ids. */
#ifndef HF_POST_PROCESSOR_H
#define HF_POST_PROCESSOR_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/* One part of a template: a sequence, or a special token. */
typedef struct HfTemplatePart {
  int32_t sequence; /* 0: A, 1: B, -1: a special token */
  int32_t id;       /* of the special token */
  uint8_t type_id;
} HfTemplatePart;

typedef struct HfTemplate {
  HfTemplatePart *parts;
  size_t count, capacity;
  size_t special; /* parts that are special tokens */
} HfTemplate;

/* Offsets lose the white space of their tokens, as ByteLevel and RobertaProcessing have it. */
typedef struct HfTrim {
  bool add_prefix_space; /* the space that was put in front of the text is not counted */
  bool behind_special;   /* the special tokens are there already: none of the text's tokens is the first */
} HfTrim;

typedef struct HfPostProcessor {
  HfTemplate single, pair;
  HfTrim *trims; /* one after the other */
  size_t trim_count, trim_capacity;
} HfPostProcessor;

/* Whether an id has a token. */
typedef bool (*HfKnownId)(const void *data, int64_t id);

/* json: NULL or null gives A, and A B with types 0 and 1. The ids of special tokens must be `known`. Free also after an
 * error. */
bool hf_post_processor_read(HfPostProcessor *post, const cJSON *json, HfKnownId known, const void *data, const char *where, HfError *err);
void hf_post_processor_free(HfPostProcessor *post);

#endif
