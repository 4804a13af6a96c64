/* The generated tables of unicode_tables.c: property sets of all code points (two stages) and the places where
 * Hugging Face's tokenizers and utf8proc differ. Use them through unicode.h. */
#ifndef HF_UNICODE_TABLES_H
#define HF_UNICODE_TABLES_H
#include <stddef.h>
#include <stdint.h>

#define HF_UNICODE_BLOCK 128 /* code points per block */

typedef struct HfCodeMapping {
  uint32_t code;
  uint32_t count;
  uint32_t to[3];
} HfCodeMapping;

typedef struct HfCodeValue {
  uint32_t code;
  int value;
} HfCodeValue;

extern const uint32_t hf_unicode_sets[];   /* distinct property sets, bits of unicode.h */
extern const uint16_t hf_unicode_blocks[]; /* block of each HF_UNICODE_BLOCK code points */
extern const uint8_t hf_unicode_values[];  /* set of each code point of each block */

/* Sorted by code. */
extern const HfCodeMapping hf_unicode_nfd[], hf_unicode_nfkd[], hf_unicode_lowercase[];
extern const size_t hf_unicode_nfd_count, hf_unicode_nfkd_count, hf_unicode_lowercase_count;
extern const HfCodeValue hf_unicode_ccc[];
extern const size_t hf_unicode_ccc_count;

#endif
