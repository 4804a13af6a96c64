/* Vocabularies: growth and insertion. */
#include "vocab.h"
#include <stdio.h>

void hf_vocab_free(HfVocab *vocab) {
  hf_buffer_free(&vocab->text);
  hf_free(vocab->entries);
  hf_free(vocab->slots);
  *vocab = (HfVocab){0};
}

static void put_slot(HfVocab *vocab, int32_t id) {
  const HfVocabEntry *entry = &vocab->entries[id];
  uint64_t hash = hf_hash_bytes(HF_HASH_START, vocab->text.data + entry->offset, entry->size);
  uint32_t tag = (uint32_t)(hf_hash_finish(hash) >> 32);
  size_t at = tag & vocab->mask;
  while (vocab->slots[at].id >= 0) at = (at + 1) & vocab->mask;
  vocab->slots[at] = (HfVocabSlot){tag, id};
}

/* A table of twice `count` slots or more, filled again. */
static bool grow_slots(HfVocab *vocab, size_t count, HfError *err) {
  size_t size = 64;
  while (size < 2 * count) size *= 2;
  if (vocab->slots && size <= vocab->mask + 1) return true;
  HfVocabSlot *slots = hf_malloc(size * sizeof *slots, "vocabulary", err);
  if (!slots) return false;
  memset(slots, 0xFF, size * sizeof *slots);
  hf_free(vocab->slots);
  vocab->slots = slots;
  vocab->mask = size - 1;
  for (size_t id = 0; id < vocab->limit; id++)
    if (vocab->entries[id].present) put_slot(vocab, (int32_t)id);
  return true;
}

static bool grow_entries(HfVocab *vocab, size_t limit, HfError *err) {
  if (limit <= vocab->capacity) return true;
  size_t capacity = limit + limit / 2;
  HfVocabEntry *entries = hf_realloc(vocab->entries, capacity * sizeof *entries, "vocabulary", err);
  if (!entries) return false;
  memset(entries + vocab->capacity, 0, (capacity - vocab->capacity) * sizeof *entries);
  vocab->entries = entries;
  vocab->capacity = capacity;
  return true;
}

bool hf_vocab_reserve(HfVocab *vocab, size_t count, HfError *err) {
  return grow_entries(vocab, count, err) && grow_slots(vocab, count, err) && hf_buffer_reserve(&vocab->text, 8 * count, err);
}

bool hf_vocab_add(HfVocab *vocab, const char *token, size_t size, int32_t id, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  if (size > UINT32_MAX / 2) return hf_error_set(err, "token of %zu bytes is too long", size);
  if ((size_t)id < vocab->limit && vocab->entries[id].present)
    return hf_error_set(err, "token \"%s\": id %d belongs to another token already", hf_excerpt(shown, token, size), id);
  int32_t there = hf_vocab_find(vocab, token, size);
  if (there >= 0) return hf_error_set(err, "token \"%s\" has two ids, %d and %d", hf_excerpt(shown, token, size), there, id);
  if (!grow_entries(vocab, (size_t)id + 1, err) || !grow_slots(vocab, vocab->count + 1, err)) return false;
  size_t offset = vocab->text.size;
  if (!hf_buffer_append(&vocab->text, token, size, err)) return false;
  vocab->entries[id] = (HfVocabEntry){offset, (uint32_t)size, true};
  if ((size_t)id >= vocab->limit) vocab->limit = (size_t)id + 1;
  if (size > vocab->longest) vocab->longest = (uint32_t)size;
  vocab->count++;
  put_slot(vocab, id);
  return true;
}
