/* A text on its way through the pipeline of a tokenizer, and the pieces it is cut into.
 *
 * Every byte knows the character of the original text it stands for, so that tokens have offsets whatever the normalizers
 * did. An inserted character shares the origin of its neighbour. When nobody asks for offsets, origins are not kept.
 */
#ifndef HF_TEXT_H
#define HF_TEXT_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

/* A borrowed part of a text. */
typedef struct HfSpan {
  const char *bytes;      /* well-formed UTF-8 */
  size_t size;
  const uint32_t *origin; /* (size) character of the original text, or NULL: not kept */
} HfSpan;

#define HF_NO_ORIGIN UINT32_MAX /* inserted before everything: offsets (0, 0) */

/* Zero-initialise; hf_text_free. */
typedef struct HfText {
  char *bytes;
  uint32_t *origin; /* (capacity), kept when `tracked` */
  size_t size, capacity, origin_capacity;
  bool tracked;
} HfText;

void hf_text_free(HfText *text);
void hf_text_clear(HfText *text, bool tracked);
bool hf_text_reserve(HfText *text, size_t extra, HfError *err);
bool hf_text_append(HfText *text, HfSpan span, HfError *err);
/* One character with the origin given (unused when origins are not kept). */
bool hf_text_put(HfText *text, uint32_t code, uint32_t origin, HfError *err);
/* Original text: origins count characters from `first`. */
bool hf_text_append_original(HfText *text, const char *bytes, size_t size, uint32_t first, HfError *err);

static inline HfSpan hf_text_span(const HfText *text, size_t begin, size_t end) {
  return (HfSpan){text->bytes + begin, end - begin, text->tracked ? text->origin + begin : NULL};
}
static inline HfSpan hf_span_part(HfSpan span, size_t begin, size_t end) {
  return (HfSpan){span.bytes + begin, end - begin, span.origin ? span.origin + begin : NULL};
}
static inline uint32_t hf_span_origin(HfSpan span, size_t at) { return span.origin ? span.origin[at] : 0; }

/* One piece of a text: still to be worked on, or an added token. */
typedef struct HfPiece {
  size_t begin, end; /* bytes of the text */
  int32_t token;     /* id of the added token, -1: ordinary text */
} HfPiece;

typedef struct HfPieceList {
  HfPiece *items;
  size_t count, capacity;
} HfPieceList;

/* Empty pieces are left out. */
bool hf_piece_add(HfPieceList *list, size_t begin, size_t end, int32_t token, HfError *err);

/* A text with its pieces. */
typedef struct HfPieces {
  HfText text;
  HfPieceList list;
} HfPieces;
void hf_pieces_free(HfPieces *pieces);
void hf_pieces_clear(HfPieces *pieces, bool tracked);

/* Makes room for one more element of `size` bytes in a growing array; what it holds is named in errors. */
bool hf_array_grow(void **items, size_t count, size_t *capacity, size_t size, const char *what, HfError *err);

#endif
