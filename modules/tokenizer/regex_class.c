/* Sets of characters: operations, properties, and writing them as classes of PCRE2. */
#include "regex_class.h"
#include <string.h>
#include <strings.h>
#include <utf8proc.h>
#include "unicode.h"

#define WORDS (HF_CODE_LIMIT / 64)

void hf_code_set_add_range(HfCodeSet *set, uint32_t first, uint32_t last) {
  for (uint32_t code = first; code <= last && code < HF_CODE_LIMIT; code++) set->bits[code / 64] |= (uint64_t)1 << code % 64;
}
void hf_code_set_unite(HfCodeSet *set, const HfCodeSet *other) {
  for (size_t i = 0; i < WORDS; i++) set->bits[i] |= other->bits[i];
}
void hf_code_set_intersect(HfCodeSet *set, const HfCodeSet *other) {
  for (size_t i = 0; i < WORDS; i++) set->bits[i] &= other->bits[i];
}
void hf_code_set_complement(HfCodeSet *set) {
  for (size_t i = 0; i < WORDS; i++) set->bits[i] = ~set->bits[i];
}

/* ---- properties */

/* A property is a class of the tables, or a general category of utf8proc; of the last, what the tables know better is
 * taken from them: Lo is what is left of L. */
typedef struct Property {
  const char *name;
  uint32_t mask;         /* bits of unicode.h; 0: none */
  uint64_t categories;   /* bits of utf8proc_category_t */
  const char *ascii;     /* the characters, when they are few */
} Property;

#define CAT(x) ((uint64_t)1 << UTF8PROC_CATEGORY_##x)
#define REST (UINT64_C(1) << 63)         /* letters of the table in none of Lu, Ll, Lt, Lm */
#define BRACKET_WORD (UINT64_C(1) << 62) /* \w within brackets, which leaves out six superscripts and fractions */

static const Property properties[] = {
  {"L", HF_REGEX_L}, {"Letter", HF_REGEX_L}, {"Lu", HF_REGEX_LU}, {"Ll", HF_REGEX_LL}, {"Lt", 0, CAT(LT)}, {"Lm", 0, CAT(LM)}, {"Lo", 0, REST},
  {"N", HF_REGEX_N}, {"Number", HF_REGEX_N}, {"Nd", HF_REGEX_DIGIT}, {"Nl", 0, CAT(NL)}, {"No", 0, CAT(NO)},
  {"M", HF_REGEX_M}, {"Mark", HF_REGEX_M}, {"Mn", 0, CAT(MN)}, {"Mc", 0, CAT(MC)}, {"Me", 0, CAT(ME)},
  {"P", HF_REGEX_P}, {"Punctuation", HF_REGEX_P}, {"Pc", 0, CAT(PC)}, {"Pd", 0, CAT(PD)}, {"Ps", 0, CAT(PS)}, {"Pe", 0, CAT(PE)}, {"Pi", 0, CAT(PI)},
  {"Pf", 0, CAT(PF)}, {"Po", 0, CAT(PO)},
  {"S", HF_REGEX_S}, {"Symbol", HF_REGEX_S}, {"Sm", 0, CAT(SM)}, {"Sc", 0, CAT(SC)}, {"Sk", 0, CAT(SK)}, {"So", 0, CAT(SO)},
  {"Z", 0, CAT(ZS) | CAT(ZL) | CAT(ZP)}, {"Separator", 0, CAT(ZS) | CAT(ZL) | CAT(ZP)}, {"Zs", 0, CAT(ZS)}, {"Zl", 0, CAT(ZL)}, {"Zp", 0, CAT(ZP)},
  {"Cc", 0, CAT(CC)}, {"Cntrl", 0, CAT(CC)}, {"Cf", 0, CAT(CF)}, {"Co", 0, CAT(CO)},
  {"Han", HF_REGEX_HAN}, {"Space", HF_SPACE}, {"White_Space", HF_SPACE}, {"Word", HF_REGEX_WORD}, {"BracketWord", 0, BRACKET_WORD}, {"Digit", HF_REGEX_DIGIT},
  {"XDigit", 0, 0, "0123456789abcdefABCDEF"}, {"Any", 0, UINT64_MAX & ~(REST | BRACKET_WORD)},
};

/* Case, blanks, _ and - do not count in names. */
static bool same_name(const char *name, const char *given, size_t size) {
  for (size_t i = 0; i < size; i++) {
    if (strchr(" _-", given[i])) continue;
    while (*name && strchr(" _-", *name)) name++;
    if (!*name || strncasecmp(name, &given[i], 1)) return false;
    name++;
  }
  return !*name;
}

static const Property *find_property(const char *name, size_t size) {
  for (size_t i = 0; i < sizeof properties / sizeof *properties; i++)
    if (size && same_name(properties[i].name, name, size)) return &properties[i];
  return NULL;
}

static bool has_property(const Property *p, uint32_t code) {
  uint32_t set = hf_unicode_set(code);
  if (p->mask) return set & p->mask;
  if (p->ascii) return code && code < 0x80 && strchr(p->ascii, (int)code);
  uint64_t category = (uint64_t)1 << utf8proc_category((utf8proc_int32_t)code);
  if (p->categories == REST) return (set & HF_REGEX_L) && !(set & (HF_REGEX_LU | HF_REGEX_LL)) && !(category & (CAT(LT) | CAT(LM)));
  bool small = code == 0xB2 || code == 0xB3 || code == 0xB9 || (code >= 0xBC && code <= 0xBE);
  if (p->categories == BRACKET_WORD) return (set & HF_REGEX_WORD) && !small;
  return category & p->categories;
}

bool hf_code_set_add_property(HfCodeSet *set, const char *name, size_t size, bool negate, HfError *err) {
  const Property *property = find_property(name, size);
  char shown[HF_EXCERPT_SIZE];
  if (!property) return hf_error_set(err, "character property \"%s\" is not supported", hf_excerpt(shown, name, size));
  for (uint32_t code = 0; code < HF_CODE_LIMIT; code++)
    if (has_property(property, code) != negate) set->bits[code / 64] |= (uint64_t)1 << code % 64;
  return true;
}

/* ---- writing */

static bool write_range(HfBuffer *out, uint32_t first, uint32_t last, HfError *err) {
  if (!hf_buffer_format(out, err, "\\x{%x}", first)) return false;
  return first == last || hf_buffer_format(out, err, "-\\x{%x}", last);
}

/* The surrogates, which no text holds, belong to no range. */
static bool write_ranges(const HfCodeSet *set, HfBuffer *out, HfError *err) {
  for (uint32_t code = 0; code < HF_CODE_LIMIT; code++) {
    if (code == 0xD800) code = 0xE000;
    if (code % 64 == 0 && !set->bits[code / 64]) code += 63;
    if (!hf_code_set_has(set, code)) continue;
    uint32_t first = code;
    while (code + 1 < HF_CODE_LIMIT && code + 1 != 0xD800 && hf_code_set_has(set, code + 1)) code++;
    if (!write_range(out, first, code, err)) return false;
  }
  return true;
}

bool hf_code_set_write(const HfCodeSet *set, HfBuffer *out, HfError *err) {
  size_t begin = out->size;
  if (!hf_buffer_append(out, "[", 1, err) || !write_ranges(set, out, err)) return false;
  if (out->size > begin + 1) return hf_buffer_append(out, "]", 1, err);
  out->size = begin;
  return hf_buffer_append(out, "(?!)", 4, err); /* an empty set matches nothing */
}
