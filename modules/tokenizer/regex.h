/* Regular expressions of tokenizer.json: Oniguruma's syntax, as Hugging Face's tokenizers read it, run by PCRE2 with every
 * class written out from our own tables.
 *
 *   HfRegex *regex = hf_regex_new("\\s+", 3, "tokenizer.json: Split", err);
 *   HfRegexWalk walk;
 *   bool found = hf_regex_walk(&walk, regex, text, size, err);
 *   while (found && hf_regex_next(&walk, &found, err) && found) use(walk.begin, walk.end);
 *   hf_regex_walk_end(&walk);
 *   hf_regex_free(regex);
 */
#ifndef HF_REGEX_H
#define HF_REGEX_H
#include <stdbool.h>
#include <stddef.h>
#include "error.h"
#include "memory.h"

typedef struct HfRegex HfRegex;

/* NULL with err set for a pattern that is wrong or uses what is not supported. Caller: hf_regex_free. */
HfRegex *hf_regex_new(const char *pattern, size_t size, const char *where, HfError *err);
void hf_regex_free(HfRegex *regex);

/* The matches in one text from left to right. Several walks may use one regex at the same time. */
typedef struct HfRegexWalk {
  const HfRegex *regex;
  const char *text; /* borrowed, well-formed UTF-8 */
  size_t size;
  size_t begin, end; /* of the match found last */
  size_t at;
  bool matched;
  void *data;
} HfRegexWalk;

/* End it also after an error. */
bool hf_regex_walk(HfRegexWalk *walk, const HfRegex *regex, const char *text, size_t size, HfError *err);
/* The next match; an empty one behind the last match is left out. An error when the text takes too many steps. */
bool hf_regex_next(HfRegexWalk *walk, bool *found, HfError *err);
void hf_regex_walk_end(HfRegexWalk *walk);

/* For regex.c: appends the pattern in PCRE2's syntax. */
bool hf_regex_rewrite(const char *pattern, size_t size, HfBuffer *out, HfError *err);

#endif
