/* Byte-level text: every byte stands as one printable character, as GPT-2's vocabulary has it (a space is U+0120). */
#ifndef HF_BYTE_LEVEL_H
#define HF_BYTE_LEVEL_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "text.h"

#define HF_BYTE_LEVEL_LIMIT 0x144 /* the characters lie below */

/* The character of a byte: printable ones of Latin-1 stand for themselves, the others for 256, 257 ... in order. */
static inline uint32_t hf_byte_level_code(uint8_t byte) {
  if (byte < 0x21) return 0x100u + byte;
  if (byte < 0x7F) return byte;
  if (byte < 0xA1) return 0x121u + (byte - 0x7Fu);
  return byte == 0xAD ? 0x143 : byte;
}
/* The byte of a character, -1 when it stands for none. */
static inline int hf_byte_level_byte(uint32_t code) {
  if (code >= 0x100) return code < 0x121 ? (int)code - 0x100 : code < 0x143 ? (int)code - 0x121 + 0x7F : code == 0x143 ? 0xAD : -1;
  return code < 0x21 || (code >= 0x7F && code < 0xA1) || code == 0xAD ? -1 : (int)code;
}

/* Appends the characters of all bytes; each has the origin of its byte. */
bool hf_text_append_byte_level(HfText *out, HfSpan in, HfError *err);

#endif
