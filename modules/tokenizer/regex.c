/* Regular expressions by PCRE2, with a limit on the steps of a match. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "regex.h"
#include <pcre2.h>
#include <string.h>
#include "unicode.h"

#define STEP_LIMIT 10000000 /* as Oniguruma's */
#define HEAP_LIMIT 65536    /* KiB */

struct HfRegex {
  pcre2_general_context *memory;
  pcre2_match_context *limits;
  pcre2_code *code;
  char *where;
};

static void *allocate(size_t size, void *unused) { return hf_malloc(size, "regular expression", NULL); }
static void release(void *bytes, void *unused) { hf_free(bytes); }

void hf_regex_free(HfRegex *regex) {
  if (!regex) return;
  pcre2_code_free(regex->code);
  pcre2_match_context_free(regex->limits);
  pcre2_general_context_free(regex->memory);
  hf_free(regex->where);
  hf_free(regex);
}

static bool fail(HfError *err, const char *where, int code) {
  PCRE2_UCHAR message[160] = "unknown error";
  pcre2_get_error_message(code, message, sizeof message);
  return hf_error_set(err, "%s: regular expression: %s", where, (const char *)message);
}

/* `.` stops at line feeds alone; ^ and $ match at every line. */
static pcre2_code *compile(const HfRegex *regex, const HfBuffer *pattern, int *error) {
  PCRE2_SIZE offset;
  pcre2_compile_context *context = pcre2_compile_context_create(regex->memory);
  if (!context) return *error = PCRE2_ERROR_NOMEMORY, NULL;
  pcre2_set_newline(context, PCRE2_NEWLINE_LF);
  uint32_t options = PCRE2_UTF | PCRE2_NO_UTF_CHECK | PCRE2_MULTILINE | PCRE2_DUPNAMES | PCRE2_NEVER_BACKSLASH_C;
  pcre2_code *code = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->size, options, error, &offset, context);
  pcre2_compile_context_free(context);
  if (code) (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it matching is slower, not different */
  return code;
}

static bool make_contexts(HfRegex *regex) {
  regex->memory = pcre2_general_context_create(allocate, release, NULL);
  regex->limits = regex->memory ? pcre2_match_context_create(regex->memory) : NULL;
  if (!regex->limits) return false;
  pcre2_set_match_limit(regex->limits, STEP_LIMIT);
  pcre2_set_heap_limit(regex->limits, HEAP_LIMIT);
  return true;
}

static bool build(HfRegex *regex, const char *pattern, size_t size, HfError *err) {
  HfBuffer rewritten = {0};
  int error = PCRE2_ERROR_NOMEMORY;
  bool done = hf_regex_rewrite(pattern, size, &rewritten, err);
  if (!done) hf_error_prefix(err, "%s: regular expression", regex->where);
  if (done && make_contexts(regex)) regex->code = compile(regex, &rewritten, &error);
  if (done && !regex->code) done = fail(err, regex->where, error);
  hf_buffer_free(&rewritten);
  return done;
}

HfRegex *hf_regex_new(const char *pattern, size_t size, const char *where, HfError *err) {
  HfRegex *regex = hf_calloc(sizeof *regex, "regular expression", err);
  if (!regex) return NULL;
  regex->where = hf_strndup(where, strlen(where), err);
  if (regex->where && build(regex, pattern, size, err)) return regex;
  hf_regex_free(regex);
  return NULL;
}

bool hf_regex_walk(HfRegexWalk *walk, const HfRegex *regex, const char *text, size_t size, HfError *err) {
  *walk = (HfRegexWalk){.regex = regex, .text = text ? text : "", .size = size};
  walk->data = pcre2_match_data_create(1, regex->memory);
  return walk->data || hf_error_memory(err, "regular expression", sizeof *walk);
}

void hf_regex_walk_end(HfRegexWalk *walk) { pcre2_match_data_free(walk->data); }

/* The steps of machine code have a small stack: what does not fit there is tried again without. */
static int match(const HfRegexWalk *walk) {
  PCRE2_SPTR text = (PCRE2_SPTR)walk->text;
  const HfRegex *r = walk->regex;
  int rc = pcre2_match(r->code, text, walk->size, walk->at, PCRE2_NO_UTF_CHECK, walk->data, r->limits);
  if (rc != PCRE2_ERROR_JIT_STACKLIMIT) return rc;
  return pcre2_match(r->code, text, walk->size, walk->at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, walk->data, r->limits);
}

bool hf_regex_next(HfRegexWalk *walk, bool *found, HfError *err) {
  *found = false;
  while (walk->at <= walk->size) {
    int rc = match(walk);
    if (rc == PCRE2_ERROR_NOMATCH) return walk->at = walk->size + 1, true;
    if (rc < 0) return fail(err, walk->regex->where, rc);
    const PCRE2_SIZE *place = pcre2_get_ovector_pointer(walk->data);
    size_t begin = place[0], end = place[1], last = walk->end;
    if (begin > end) begin = end; /* \K inside a lookahead */
    if (begin == end && walk->matched && end == last) {
      walk->at += walk->at < walk->size ? hf_utf8_size((unsigned char)walk->text[walk->at]) : 1;
      continue;
    }
    walk->begin = begin;
    walk->end = walk->at = end;
    return walk->matched = *found = true;
  }
  return true;
}
