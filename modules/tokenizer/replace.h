/* Replacing text by text, for the normalizer and the decoder of that name.
 *
 *   HfReplaceWalk walk = {.text = text, .size = size};
 *   while (hf_replace_walk(replace, &walk)) use(text from walk.before to walk.begin), use(replace->content);
 *   use(text from walk.before);
 */
#ifndef HF_REPLACE_H
#define HF_REPLACE_H
#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include "error.h"

typedef struct HfReplace {
  char *pattern, *content;
} HfReplace;

/* Free also after an error. */
bool hf_replace_read(HfReplace *out, const cJSON *json, const char *where, HfError *err);
void hf_replace_free(HfReplace *replace);

typedef struct HfReplaceWalk {
  const char *text;
  size_t size;
  size_t before;     /* where the match before ended */
  size_t begin, end; /* of the match */
  size_t from;       /* where the next search begins */
  bool found;        /* there was a match before */
} HfReplaceWalk;

/* The next match; false: there is none, and `before` is where the rest begins. */
bool hf_replace_walk(const HfReplace *replace, HfReplaceWalk *walk);

#endif
