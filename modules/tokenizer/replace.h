/* Replacing what a text or a regular expression matches, for the normalizer and the decoder Replace. */
#ifndef HF_REPLACE_H
#define HF_REPLACE_H
#include <cjson/cJSON.h>
#include "regex.h"

typedef struct HfReplace {
  char *pattern;  /* a text, or NULL: */
  HfRegex *regex;
  char *content;
} HfReplace;

/* Free also after an error. */
bool hf_replace_read(HfReplace *out, const cJSON *json, const char *where, HfError *err);
void hf_replace_free(HfReplace *replace);

/* Told of each match: begin..end, and where the one before it ended. */
typedef bool (*HfReplaceUse)(void *data, size_t before, size_t begin, size_t end, HfError *err);
/* The matches from left to right; *rest: where the last one ends. */
bool hf_replace_each(const HfReplace *replace, const char *text, size_t size, HfReplaceUse use, void *data, size_t *rest, HfError *err);

#endif
