/* Sets of characters for regular expressions: the classes \p{L}, \s, [^\r\n\p{N}] as Hugging Face's tokenizers mean them,
 * from the tables of unicode.h and, where these have none, from utf8proc. */
#ifndef HF_REGEX_CLASS_H
#define HF_REGEX_CLASS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "memory.h"

#define HF_CODE_LIMIT 0x110000
typedef struct HfCodeSet { uint64_t bits[HF_CODE_LIMIT / 64]; } HfCodeSet;

static inline bool hf_code_set_has(const HfCodeSet *set, uint32_t code) { return set->bits[code / 64] >> code % 64 & 1; }
void hf_code_set_add_range(HfCodeSet *set, uint32_t first, uint32_t last);
void hf_code_set_unite(HfCodeSet *set, const HfCodeSet *other);
void hf_code_set_intersect(HfCodeSet *set, const HfCodeSet *other);
void hf_code_set_complement(HfCodeSet *set);

/* Adds the characters of a property ("L", "Lu", "Nd", "Han", "space", "word", "digit", "xdigit" ...), or all others. False
 * when the name is unknown. */
bool hf_code_set_add_property(HfCodeSet *set, const char *name, size_t size, bool negate, HfError *err);

/* Appends a class of PCRE2 that matches the set. */
bool hf_code_set_write(const HfCodeSet *set, HfBuffer *out, HfError *err);

#endif
