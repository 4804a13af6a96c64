/* Oniguruma's syntax to PCRE2's. Classes become lists of ranges from our own tables; what the two engines read differently
 * is written in PCRE2's way; what is not known here is an error that names it. */
#include <string.h>
#include "regex.h"
#include "regex_class.h"
#include "unicode.h"

#define MAX_GROUPS 100

typedef struct Rewriter {
  const char *begin, *at, *end; /* of the pattern */
  HfBuffer *out;
  HfError *err;
  size_t atom;           /* where the last item began in `out`; SIZE_MAX: nothing to repeat */
  size_t groups[MAX_GROUPS];
  int depth;
} Rewriter;

static bool put(Rewriter *r, const char *text, size_t size) { return hf_buffer_append(r->out, text, size, r->err); }

static bool unsupported(Rewriter *r, const char *from, size_t size) {
  char shown[HF_EXCERPT_SIZE];
  if (from + size > r->end) size = (size_t)(r->end - from);
  return hf_error_set(r->err, "\"%s\" is not supported", hf_excerpt(shown, from, size));
}

static bool take(Rewriter *r, const char *text) {
  size_t size = strlen(text);
  if ((size_t)(r->end - r->at) < size || memcmp(r->at, text, size)) return false;
  r->at += size;
  return true;
}

/* ---- characters and classes behind a backslash */

static int hex_value(char c) { return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1; }

/* Up to `most` hexadecimal digits. */
static bool read_hex(Rewriter *r, int most, uint32_t *code) {
  const char *begin = r->at;
  for (*code = 0; most-- > 0 && r->at < r->end && hex_value(*r->at) >= 0; r->at++) *code = *code * 16 + (uint32_t)hex_value(*r->at);
  bool surrogate = *code >= 0xD800 && *code < 0xE000;
  return (r->at > begin && *code < HF_CODE_LIMIT && !surrogate) || unsupported(r, begin - 2, 8);
}

/* The character of an escape, r->at behind the letter; false without an error when it is none. */
static bool escaped_character(Rewriter *r, char letter, uint32_t *code, bool *failed) {
  static const char letters[] = "tnrfvae", codes[] = "\t\n\r\f\v\a\033";
  const char *place = letter ? strchr(letters, letter) : NULL;
  *failed = false;
  if (place) return *code = (unsigned char)codes[place - letters], true;
  if (letter == 'u') return *failed = !read_hex(r, 4, code), !*failed;
  if (letter == 'x') {
    bool braces = take(r, "{");
    *failed = !read_hex(r, braces ? 8 : 2, code) || (braces && !take(r, "}") && !unsupported(r, r->at, 1));
    return !*failed;
  }
  bool plain = (unsigned char)letter < 0x80 && !((letter | 32) >= 'a' && (letter | 32) <= 'z') && !(letter >= '0' && letter <= '9');
  return plain ? (*code = (unsigned char)letter, true) : false;
}

/* \p{L}, \P{L}, \p{^L}, \s, \d, \w, \h and their capitals; r->at is behind the letter. */
static bool add_escaped_class(Rewriter *r, char letter, bool brackets, HfCodeSet *set) {
  const char *const names[] = {"sSpace", "dDigit", brackets ? "wBracketWord" : "wWord", "hXDigit"};
  bool negate = letter >= 'A' && letter <= 'Z';
  for (int i = 0; i < 4; i++)
    if (names[i][0] == (letter | 32)) return hf_code_set_add_property(set, names[i] + 1, strlen(names[i] + 1), negate, r->err);
  if (!take(r, "{")) return unsupported(r, r->at - 2, 3);
  negate ^= take(r, "^");
  const char *stop = memchr(r->at, '}', (size_t)(r->end - r->at)), *name = r->at;
  if (!stop) return unsupported(r, name - 3, 8);
  r->at = stop + 1;
  return hf_code_set_add_property(set, name, (size_t)(stop - name), negate, r->err);
}

static bool is_class_letter(char letter) { return letter && strchr("sdwhpSDWHP", letter); }

/* ---- classes in brackets */

static HfCodeSet *new_set(Rewriter *r) { return hf_calloc(sizeof(HfCodeSet), "regular expression", r->err); }

static bool read_brackets(Rewriter *r, HfCodeSet *set, int depth);

/* [:space:] and the like, r->at behind "[:". */
static bool add_posix(Rewriter *r, HfCodeSet *set) {
  bool negate = take(r, "^");
  const char *name = r->at, *stop = memmem(name, (size_t)(r->end - name), ":]", 2);
  static const char *const known[] = {"space", "digit", "word", "xdigit", "cntrl"};
  static const char *const names[] = {"Space", "Digit", "BracketWord", "XDigit", "Cntrl"};
  for (int i = 0; stop && i < 5; i++) {
    size_t size = strlen(known[i]);
    if ((size_t)(stop - name) != size || memcmp(name, known[i], size)) continue;
    r->at = stop + 2;
    return hf_code_set_add_property(set, names[i], strlen(names[i]), negate, r->err);
  }
  return unsupported(r, name - 2, stop ? (size_t)(stop - name) + 4 : 8);
}

/* One character of a class, or with *whole a class that was added. */
static bool read_class_item(Rewriter *r, HfCodeSet *set, uint32_t *code, bool *whole, int depth) {
  *whole = true;
  if (take(r, "[:")) return add_posix(r, set);
  if (take(r, "[")) {
    HfCodeSet *inner = new_set(r);
    bool done = inner && read_brackets(r, inner, depth + 1);
    if (done) hf_code_set_unite(set, inner);
    hf_free(inner);
    return done;
  }
  if (*r->at != '\\') return *whole = false, r->at += hf_utf8_decode(r->at, code), true;
  if (r->at + 1 == r->end) return unsupported(r, r->at, 1);
  const char *escape = r->at;
  char letter = r->at[1];
  r->at += 2;
  if (is_class_letter(letter)) return add_escaped_class(r, letter, true, set);
  bool failed;
  *whole = false;
  if (letter == 'b') return *code = '\b', true;
  if ((unsigned char)letter >= 0x80) return r->at--, r->at += hf_utf8_decode(r->at, code), true;
  return escaped_character(r, letter, code, &failed) || (failed ? false : unsupported(r, escape, 2));
}

/* One item, or a range of two characters. */
static bool add_class_item(Rewriter *r, HfCodeSet *set, int depth) {
  uint32_t first, last;
  bool whole;
  if (!read_class_item(r, set, &first, &whole, depth)) return false;
  if (whole) return true;
  last = first;
  if (r->end - r->at >= 2 && r->at[0] == '-' && r->at[1] != ']') {
    const char *range = r->at++;
    if (!read_class_item(r, set, &last, &whole, depth)) return false;
    if (whole || last < first) return unsupported(r, range, 3);
  }
  hf_code_set_add_range(set, first, last);
  return true;
}

/* The rest of a class up to "]" or "&&"; r->at is behind "[" or "&&". */
static bool read_union(Rewriter *r, HfCodeSet *set, int depth) {
  bool first = true;
  while (r->at < r->end && (first || *r->at != ']')) {
    if (r->end - r->at >= 2 && r->at[0] == '&' && r->at[1] == '&') return true;
    first = false;
    if (!add_class_item(r, set, depth)) return false;
  }
  return r->at < r->end || hf_error_set(r->err, "a class in brackets has no end");
}

static bool read_brackets(Rewriter *r, HfCodeSet *set, int depth) {
  bool negate = take(r, "^");
  if (depth > 16) return hf_error_set(r->err, "classes are nested too deep");
  if (!read_union(r, set, depth)) return false;
  while (!take(r, "]")) {
    HfCodeSet *other = take(r, "&&") ? new_set(r) : NULL;
    bool done = other && read_union(r, other, depth);
    if (done) hf_code_set_intersect(set, other);
    hf_free(other);
    if (!done) return false;
  }
  if (negate) hf_code_set_complement(set);
  return true;
}

/* ---- everything else */

static bool put_set(Rewriter *r, const HfCodeSet *set) {
  r->atom = r->out->size;
  return hf_code_set_write(set, r->out, r->err);
}

static bool put_brackets(Rewriter *r) {
  HfCodeSet *set = new_set(r);
  bool done = set && read_brackets(r, set, 0) && put_set(r, set);
  hf_free(set);
  return done;
}

static bool put_escaped_class(Rewriter *r, char letter) {
  HfCodeSet *set = new_set(r);
  bool done = set && add_escaped_class(r, letter, false, set) && put_set(r, set);
  hf_free(set);
  return done;
}

/* \b and \B by the characters of \w. */
static bool put_boundary(Rewriter *r, bool at_boundary) {
  HfCodeSet *set = new_set(r);
  HfBuffer word = {0};
  bool done = set && hf_code_set_add_property(set, "Word", 4, false, r->err) && hf_code_set_write(set, &word, r->err) &&
              hf_buffer_format(r->out, r->err, at_boundary ? "(?:(?<=%s)(?!%s)" : "(?:(?<=%s)(?=%s)", word.data, word.data) &&
              hf_buffer_format(r->out, r->err, at_boundary ? "|(?<!%s)(?=%s))" : "|(?<!%s)(?!%s))", word.data, word.data);
  hf_buffer_free(&word);
  hf_free(set);
  r->atom = SIZE_MAX;
  return done;
}

static bool put_code(Rewriter *r, uint32_t code) {
  r->atom = r->out->size;
  return hf_buffer_format(r->out, r->err, "\\x{%x}", code);
}

static bool put_escape(Rewriter *r) {
  const char *escape = r->at;
  if (r->end - escape < 2) return hf_error_set(r->err, "a backslash stands at the end");
  char letter = escape[1];
  uint32_t code;
  bool failed;
  r->at += 2;
  if (is_class_letter(letter)) return put_escaped_class(r, letter);
  if (letter == 'b' || letter == 'B') return put_boundary(r, letter == 'b');
  if (letter && strchr("AzZG", letter)) return r->atom = SIZE_MAX, put(r, escape, 2);
  if (letter == 'R') return r->atom = r->out->size, put(r, escape, 2);
  if (letter >= '1' && letter <= '9') return r->atom = r->out->size, hf_buffer_format(r->out, r->err, "\\g{%c}", letter);
  if ((unsigned char)letter >= 0x80) return r->at--, r->at += hf_utf8_decode(r->at, &code), put_code(r, code);
  if (escaped_character(r, letter, &code, &failed)) return put_code(r, code);
  return failed ? false : unsupported(r, escape, 2);
}

/* "(?i-m:", r->at behind "(?": m is what PCRE2 calls s. */
static bool put_flags(Rewriter *r, bool *group) {
  const char *begin = r->at;
  for (; r->at < r->end && strchr("imx-", *r->at); r->at++) {
    char flag = *r->at == 'm' ? 's' : *r->at;
    if (flag == 'x') return unsupported(r, begin - 2, (size_t)(r->at - begin) + 3);
    if (!put(r, &flag, 1)) return false;
  }
  *group = r->at < r->end && *r->at == ':';
  if (r->at == r->end || (*r->at != ':' && *r->at != ')')) return unsupported(r, begin - 2, (size_t)(r->at - begin) + 3);
  return put(r, r->at++, 1);
}

static bool push_group(Rewriter *r, size_t begin) {
  if (r->depth == MAX_GROUPS) return hf_error_set(r->err, "more than %d groups are open", MAX_GROUPS);
  r->groups[r->depth++] = begin;
  r->atom = SIZE_MAX;
  return true;
}

/* (...), (?:...), (?=...), (?<name>...), (?i:...), (?i), (?#...) */
static bool put_group(Rewriter *r) {
  static const char *const heads[] = {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!"};
  size_t begin = r->out->size;
  const char *from = r->at;
  for (int i = 0; i < 6; i++)
    if (take(r, heads[i])) return put(r, heads[i], strlen(heads[i])) && push_group(r, begin);
  if (take(r, "(?#")) {
    const char *stop = memchr(r->at, ')', (size_t)(r->end - r->at));
    return stop ? (r->at = stop + 1, true) : unsupported(r, from, 8);
  }
  if (take(r, "(?<")) {
    const char *stop = memchr(r->at, '>', (size_t)(r->end - r->at));
    if (!stop) return unsupported(r, from, 8);
    r->at = stop + 1;
    return put(r, from, (size_t)(r->at - from)) && push_group(r, begin);
  }
  if (take(r, "(?")) {
    bool group = false;
    if (!put(r, "(?", 2) || !put_flags(r, &group)) return false;
    if (!group && from != r->begin) return unsupported(r, from, (size_t)(r->at - from)); /* it would reach over a | */
    return group ? push_group(r, begin) : (r->atom = SIZE_MAX, true);
  }
  if (r->end - r->at > 1 && r->at[1] == '*') return unsupported(r, r->at, 8);
  r->at++;
  return put(r, "(", 1) && push_group(r, begin);
}

static bool close_group(Rewriter *r) {
  if (!r->depth) return hf_error_set(r->err, "unmatched closing parenthesis");
  r->at++;
  r->atom = r->groups[--r->depth];
  return put(r, ")", 1);
}

/* Puts the last item, with what repeats it, into a group of its own. */
static bool enclose(Rewriter *r) {
  if (!put(r, "___)", 4)) return false; /* room for "(?:" */
  char *item = r->out->data + r->atom;
  memmove(item + 3, item, r->out->size - r->atom - 4);
  memcpy(item, "(?:", 3);
  return true;
}

/* {n}, {n,}, {,m}, {n,m} at `text`: its size, 0 when it is none. */
static size_t counts_size(const char *text, const char *end) {
  const char *at = text + 1, *digits = at;
  bool any = false, comma = false;
  for (; at < end && (*at == ',' || (*at >= '0' && *at <= '9')); at++) {
    if (*at == ',' && comma) return 0;
    if (*at == ',') comma = true;
    else any = true;
  }
  return any && at < end && *at == '}' && at > digits ? (size_t)(at - text) + 1 : 0;
}

/* What repeats the last item: * + ? and counts, each with a further + or ?. A second sign after counts repeats once more. */
static bool put_repeat(Rewriter *r, size_t size) {
  const char *sign = r->at;
  bool counts = *sign == '{', any_below = counts && sign[1] == ',';
  if (r->atom == SIZE_MAX) return hf_error_set(r->err, "nothing stands before \"%c\" to be repeated", *sign);
  r->at += size;
  if (any_below ? !put(r, "{0", 2) || !put(r, sign + 1, size - 1) : !put(r, sign, size)) return false;
  bool exact = counts && !memchr(sign, ',', size), lazy = r->at < r->end && *r->at == '?', more = r->at < r->end && *r->at == '+';
  if ((more && counts) || (lazy && exact)) return enclose(r);
  if (lazy || more) return put(r, r->at++, 1) && enclose(r);
  return true;
}

static bool put_literal(Rewriter *r) {
  uint32_t code;
  size_t size = hf_utf8_decode(r->at, &code);
  if (*r->at == '{' || *r->at == '}' || *r->at == ']') return r->at++, put_code(r, code);
  r->atom = r->out->size;
  r->at += size;
  return put(r, r->at - size, size);
}

static bool put_next(Rewriter *r) {
  switch (*r->at) {
  case '\\': return put_escape(r);
  case '[': return r->at++, put_brackets(r);
  case '(': return put_group(r);
  case ')': return close_group(r);
  case '|': case '^': case '$': r->atom = SIZE_MAX; return put(r, r->at++, 1);
  case '*': case '+': case '?': return put_repeat(r, 1);
  case '{': {
    size_t size = counts_size(r->at, r->end);
    return size ? put_repeat(r, size) : put_literal(r);
  }
  default: return put_literal(r);
  }
}

bool hf_regex_rewrite(const char *pattern, size_t size, HfBuffer *out, HfError *err) {
  size_t bad;
  if (!hf_utf8_valid(pattern, size, &bad)) return hf_error_set(err, "expected UTF-8, found a wrong byte at %zu", bad);
  Rewriter r = {.begin = pattern, .at = pattern, .end = pattern + size, .out = out, .err = err, .atom = SIZE_MAX};
  if (!hf_buffer_append(out, "", 0, err)) return false;
  while (r.at < r.end)
    if (!put_next(&r)) return false;
  return !r.depth || hf_error_set(err, "a parenthesis has no end");
}
