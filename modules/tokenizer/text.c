/* Texts with origins, and lists of pieces. */
#include "text.h"
#include <string.h>
#include "memory.h"
#include "unicode.h"

bool hf_array_grow(void **items, size_t count, size_t *capacity, size_t size, const char *what, HfError *err) {
  if (count < *capacity) return true;
  size_t wanted = *capacity ? *capacity * 2 : 32;
  if (wanted < count + 1) wanted = count + 1;
  if (wanted > SIZE_MAX / 2 / size) return hf_error_memory(err, what, SIZE_MAX);
  void *grown = hf_realloc(*items, wanted * size, what, err);
  if (!grown) return false;
  *items = grown;
  *capacity = wanted;
  return true;
}

void hf_text_free(HfText *text) {
  hf_free(text->bytes);
  hf_free(text->origin);
  *text = (HfText){0};
}

void hf_text_clear(HfText *text, bool tracked) {
  text->size = 0;
  text->tracked = tracked;
}

bool hf_text_reserve(HfText *text, size_t extra, HfError *err) {
  if (extra > SIZE_MAX / 16 - text->size) return hf_error_memory(err, "text", extra);
  size_t needed = text->size + extra;
  if (needed > text->capacity || !text->bytes) {
    size_t capacity = needed + needed / 2 + 64;
    char *bytes = hf_realloc(text->bytes, capacity, "text", err);
    if (!bytes) return false;
    text->bytes = bytes;
    text->capacity = capacity;
  }
  if (text->tracked && text->origin_capacity < text->capacity) {
    uint32_t *origin = hf_realloc(text->origin, text->capacity * sizeof *origin, "text", err);
    if (!origin) return false;
    text->origin = origin;
    text->origin_capacity = text->capacity;
  }
  return true;
}

bool hf_text_append(HfText *text, HfSpan span, HfError *err) {
  if (!hf_text_reserve(text, span.size, err)) return false;
  if (!span.size) return true;
  memcpy(text->bytes + text->size, span.bytes, span.size);
  if (text->tracked) memcpy(text->origin + text->size, span.origin, span.size * sizeof *span.origin);
  text->size += span.size;
  return true;
}

bool hf_text_put(HfText *text, uint32_t code, uint32_t origin, HfError *err) {
  if (!hf_text_reserve(text, 4, err)) return false;
  size_t size = hf_utf8_encode(code, text->bytes + text->size);
  if (text->tracked)
    for (size_t i = 0; i < size; i++) text->origin[text->size + i] = origin;
  text->size += size;
  return true;
}

bool hf_text_append_original(HfText *text, const char *bytes, size_t size, uint32_t first, HfError *err) {
  if (!hf_text_reserve(text, size, err)) return false;
  if (size) memcpy(text->bytes + text->size, bytes, size);
  if (text->tracked) {
    uint32_t *origin = text->origin + text->size, at = first - 1;
    for (size_t i = 0; i < size; i++) origin[i] = at += ((unsigned char)bytes[i] & 0xC0) != 0x80;
  }
  text->size += size;
  return true;
}

bool hf_piece_add(HfPieceList *list, size_t begin, size_t end, int32_t token, HfError *err) {
  if (begin == end) return true;
  if (!hf_array_grow((void **)&list->items, list->count, &list->capacity, sizeof *list->items, "pieces of a text", err)) return false;
  list->items[list->count++] = (HfPiece){begin, end, token};
  return true;
}

void hf_pieces_free(HfPieces *pieces) {
  hf_text_free(&pieces->text);
  hf_free(pieces->list.items);
  *pieces = (HfPieces){0};
}

void hf_pieces_clear(HfPieces *pieces, bool tracked) {
  hf_text_clear(&pieces->text, tracked);
  pieces->list.count = 0;
}
