/* Tokens and their ids: a hash table from bytes to id, and an array from id to bytes. */
#ifndef HF_VOCAB_H
#define HF_VOCAB_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "error.h"
#include "memory.h"

typedef struct HfVocabEntry {
  size_t offset;   /* of the bytes in `text` */
  uint32_t size;   /* bytes */
  bool present;    /* ids may have holes */
} HfVocabEntry;

typedef struct HfVocabSlot {
  uint32_t tag; /* high half of the hash */
  int32_t id;   /* -1: free */
} HfVocabSlot;

typedef struct HfVocab {
  HfBuffer text;         /* the bytes of all tokens, one after the other */
  HfVocabEntry *entries; /* (limit) by id */
  HfVocabSlot *slots;    /* (mask + 1), open addressing */
  size_t mask;
  size_t count;          /* tokens */
  size_t limit;          /* largest id + 1 */
  size_t capacity;       /* of entries */
  uint32_t longest;      /* bytes of the longest token */
} HfVocab;

/* The hash runs over the bytes from the front, so that one pass gives the hashes of all prefixes of a word. */
#define HF_HASH_START 0xcbf29ce484222325u
static inline uint64_t hf_hash_byte(uint64_t hash, unsigned char byte) { return (hash ^ byte) * 0x100000001b3u; }
static inline uint64_t hf_hash_bytes(uint64_t hash, const char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++) hash = hf_hash_byte(hash, (unsigned char)bytes[i]);
  return hash;
}
static inline uint64_t hf_hash_finish(uint64_t hash) { return (hash ^ hash >> 29) * 0x9E3779B97F4A7C15u; }

void hf_vocab_free(HfVocab *vocab);
/* Room for `count` tokens at once. */
bool hf_vocab_reserve(HfVocab *vocab, size_t count, HfError *err);
/* False with an error that names the token when the id or the token is there already. */
bool hf_vocab_add(HfVocab *vocab, const char *token, size_t size, int32_t id, HfError *err);

/* The id of prefix + word, whose running hash is `hash`; -1 when there is none. */
static inline int32_t hf_vocab_find_hashed(const HfVocab *vocab, uint64_t hash, const char *prefix, size_t prefix_size,
                                           const char *word, size_t size) {
  if (!vocab->slots) return -1;
  uint64_t mixed = hf_hash_finish(hash);
  uint32_t tag = (uint32_t)(mixed >> 32);
  for (size_t at = tag & vocab->mask;; at = (at + 1) & vocab->mask) {
    HfVocabSlot slot = vocab->slots[at];
    if (slot.id < 0) return -1;
    if (slot.tag != tag) continue;
    const HfVocabEntry *entry = &vocab->entries[slot.id];
    const char *bytes = vocab->text.data + entry->offset;
    if (entry->size == prefix_size + size && !memcmp(bytes, prefix, prefix_size) && !memcmp(bytes + prefix_size, word, size))
      return slot.id;
  }
}
static inline int32_t hf_vocab_find(const HfVocab *vocab, const char *token, size_t size) {
  return hf_vocab_find_hashed(vocab, hf_hash_bytes(HF_HASH_START, token, size), "", 0, token, size);
}
/* The bytes of a token (not NUL-terminated), NULL when the id has none. */
static inline const char *hf_vocab_token(const HfVocab *vocab, int64_t id, size_t *size) {
  if (id < 0 || (uint64_t)id >= vocab->limit || !vocab->entries[id].present) return NULL;
  *size = vocab->entries[id].size;
  return vocab->text.data + vocab->entries[id].offset;
}

#endif
