/* The merges of BPE: reading them, and the table of pairs. */
#include <stdio.h>
#include <string.h>
#include "bpe.h"
#include "json_scan.h"
#include "memory.h"
#include "text.h"
#include "unicode.h"

void hf_bpe_free(HfBpe *bpe) {
  hf_free(bpe->merges);
  hf_free(bpe->slots);
  hf_free(bpe->prefix);
  hf_free(bpe->suffix);
  *bpe = (HfBpe){0};
}

/* ---- reading */

static bool find_part(const HfVocab *vocab, const char *token, size_t size, int32_t *id, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  *id = hf_vocab_find(vocab, token, size);
  return *id >= 0 || hf_error_set(err, "token \"%s\" is not in the vocabulary", hf_excerpt(shown, token, size));
}

/* What two tokens become: the first with the second behind it, which loses its prefix. */
static int32_t find_result(const HfBpe *bpe, const HfVocab *vocab, const char *first, size_t first_size, const char *second, size_t second_size) {
  size_t skipped = bpe->prefix_size;
  uint64_t hash = hf_hash_bytes(hf_hash_bytes(HF_HASH_START, first, first_size), second + skipped, second_size - skipped);
  return hf_vocab_find_hashed(vocab, hash, first, first_size, second + skipped, second_size - skipped);
}

bool hf_bpe_add_merge(HfBpe *bpe, const HfVocab *vocab, const char *first, size_t first_size, const char *second, size_t second_size, HfError *err) {
  HfMerge merge;
  char shown[HF_EXCERPT_SIZE], with[HF_EXCERPT_SIZE];
  if (!find_part(vocab, first, first_size, &merge.first, err) || !find_part(vocab, second, second_size, &merge.second, err)) return false;
  if (second_size < bpe->prefix_size)
    return hf_error_set(err, "token \"%s\" is shorter than continuing_subword_prefix", hf_excerpt(shown, second, second_size));
  merge.id = find_result(bpe, vocab, first, first_size, second, second_size);
  if (merge.id < 0)
    return hf_error_set(err, "\"%s\" and \"%s\": the token that they become is not in the vocabulary", hf_excerpt(shown, first, first_size),
                        hf_excerpt(with, second, second_size));
  if (!hf_array_grow((void **)&bpe->merges, bpe->count, &bpe->capacity, sizeof merge, "merges", err)) return false;
  bpe->merges[bpe->count++] = merge;
  return true;
}

/* The line [line, line + size): two tokens with one space between them. */
static bool add_line(HfBpe *bpe, const HfVocab *vocab, const char *line, size_t size, HfError *err) {
  const char *space = memchr(line, ' ', size);
  char shown[HF_EXCERPT_SIZE];
  size_t first = space ? (size_t)(space - line) : 0;
  if (!space || memchr(space + 1, ' ', size - first - 1))
    return hf_error_set(err, "expected two tokens with a space between them, found \"%s\"", hf_excerpt(shown, line, size));
  return hf_bpe_add_merge(bpe, vocab, line, first, space + 1, size - first - 1, err);
}

/* A line ends at LF or CR LF; "#version" lines are comments; empty lines at the end are nothing. */
bool hf_bpe_read_lines(HfBpe *bpe, const HfVocab *vocab, const char *text, size_t size, const char *where, HfError *err) {
  size_t bad, number = 0;
  if (!hf_utf8_valid(text, size, &bad)) return hf_error_set(err, "%s: expected UTF-8, found byte 0x%02x at %zu", where, (unsigned char)text[bad], bad);
  while (size && (text[size - 1] == '\n' || text[size - 1] == '\r')) size--;
  for (size_t at = 0; at < size;) {
    const char *line = text + at, *stop = memchr(line, '\n', size - at);
    size_t length = stop ? (size_t)(stop - line) : size - at;
    at += length + 1;
    number++;
    if (length && line[length - 1] == '\r') length--;
    if (length >= 8 && !memcmp(line, "#version", 8)) continue;
    if (!add_line(bpe, vocab, line, length, err)) return hf_error_prefix(err, "%s: line %zu", where, number);
  }
  return true;
}

/* The two tokens of ["first", "second"], behind the event HF_JSON_ARRAY. */
static bool add_pair(HfBpe *bpe, const HfVocab *vocab, HfJsonScanner *s, HfBuffer *first, HfError *err) {
  first->size = 0;
  if (hf_json_next(s, err) != HF_JSON_STRING) return hf_error_set(err, "expected two tokens");
  if (!hf_buffer_append(first, s->string, s->string_size, err)) return false;
  if (hf_json_next(s, err) != HF_JSON_STRING) return hf_error_set(err, "expected two tokens");
  if (!hf_bpe_add_merge(bpe, vocab, first->data, first->size, s->string, s->string_size, err)) return false;
  return hf_json_next(s, err) == HF_JSON_ARRAY_END || hf_error_set(err, "expected two tokens");
}

static bool add_item(HfBpe *bpe, const HfVocab *vocab, HfJsonScanner *s, HfJsonEvent event, HfBuffer *first, HfError *err) {
  if (event == HF_JSON_STRING) return add_line(bpe, vocab, s->string, s->string_size, err);
  return event == HF_JSON_ARRAY ? add_pair(bpe, vocab, s, first, err) : hf_error_set(err, "expected two tokens");
}

bool hf_bpe_read_list(HfBpe *bpe, const HfVocab *vocab, const char *text, size_t size, const char *where, HfError *err) {
  HfJsonScanner scanner;
  HfBuffer first = {0};
  hf_json_scan(&scanner, text, size, where);
  HfJsonEvent event = hf_json_next(&scanner, err);
  bool done = event == HF_JSON_ARRAY;
  for (size_t number = 0; done && (event = hf_json_next(&scanner, err)) != HF_JSON_ARRAY_END; number++) {
    done = event != HF_JSON_FAILED && add_item(bpe, vocab, &scanner, event, &first, err);
    if (!done && event != HF_JSON_FAILED) hf_error_prefix(err, "%s: merges: number %zu", where, number);
  }
  hf_json_scan_end(&scanner);
  hf_buffer_free(&first);
  return done;
}

/* ---- the table of pairs */

static void put_slot(HfBpe *bpe, uint32_t rank) {
  HfMerge merge = bpe->merges[rank];
  uint64_t pair = (uint64_t)(uint32_t)merge.first << 32 | (uint32_t)merge.second;
  size_t at = (pair * 0x9E3779B97F4A7C15u) >> 32 & bpe->mask;
  while (bpe->slots[at].rank != HF_NO_RANK && bpe->slots[at].pair != pair) at = (at + 1) & bpe->mask;
  bpe->slots[at] = (HfMergeSlot){pair, rank, merge.id}; /* of two equal merges the later counts */
}

static bool make_slots(HfBpe *bpe, HfError *err) {
  size_t size = 16;
  if (bpe->count > UINT32_MAX / 4) return hf_error_set(err, "merges: %zu are too many", bpe->count);
  while (size < 2 * bpe->count + 1) size *= 2;
  HfMergeSlot *slots = hf_malloc(size * sizeof *slots, "merges", err);
  if (!slots) return false;
  for (size_t i = 0; i < size; i++) slots[i].rank = HF_NO_RANK;
  hf_free(bpe->slots);
  bpe->slots = slots;
  bpe->mask = size - 1;
  return true;
}

bool hf_bpe_prepare(HfBpe *bpe, HfError *err) {
  if (!make_slots(bpe, err)) return false;
  for (size_t rank = 0; rank < bpe->count; rank++) put_slot(bpe, (uint32_t)rank);
  return true;
}

void hf_bpe_find_ids(HfBpe *bpe, const HfVocab *vocab) {
  for (unsigned i = 0; i < 256; i++) {
    char name[8];
    snprintf(name, sizeof name, "<0x%02X>", i);
    bpe->byte_ids[i] = hf_vocab_find(vocab, name, 6);
  }
  for (uint32_t code = 0; code < HF_BYTE_LEVEL_LIMIT; code++) {
    char text[4];
    bpe->char_ids[code] = hf_vocab_find(vocab, text, hf_utf8_encode(code, text));
  }
}
