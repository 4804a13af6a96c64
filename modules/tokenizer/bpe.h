/* Byte pair encoding: the merges of a vocabulary, and symbols merged by them. */
#ifndef HF_BPE_H
#define HF_BPE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "byte_level.h"
#include "error.h"
#include "vocab.h"

/* Two tokens and the one they become; the place in the list is the rank. */
typedef struct HfMerge {
  int32_t first, second, id;
} HfMerge;

typedef struct HfMergeSlot {
  uint64_t pair; /* first << 32 | second */
  uint32_t rank; /* HF_NO_RANK: the slot is free */
  int32_t id;    /* of the token that they become */
} HfMergeSlot;
#define HF_NO_RANK UINT32_MAX

/* Zero-initialise; hf_bpe_free. */
typedef struct HfBpe {
  HfMerge *merges;         /* (count) in the order of their ranks */
  size_t count, capacity;
  HfMergeSlot *slots;      /* (mask + 1), open addressing */
  size_t mask;
  char *prefix, *suffix;   /* of tokens that continue a word, of the last token of a word; never NULL */
  size_t prefix_size, suffix_size;
  bool fuse_unk, byte_fallback, ignore_merges;
  int32_t byte_ids[256];   /* "<0x0A>"; -1: none */
  int32_t char_ids[HF_BYTE_LEVEL_LIMIT]; /* of a character alone, -1: none; the byte-level alphabet lies here */
} HfBpe;

/* A part of a word on its way: its token and how many bytes of the word it stands for. */
typedef struct HfSymbol {
  int32_t id;
  uint32_t size;
} HfSymbol;

void hf_bpe_free(HfBpe *bpe);
/* Appends a merge; both parts and what they become must be in the vocabulary. */
bool hf_bpe_add_merge(HfBpe *bpe, const HfVocab *vocab, const char *first, size_t first_size, const char *second, size_t second_size, HfError *err);
/* The lines "first second" of a merges.txt. */
bool hf_bpe_read_lines(HfBpe *bpe, const HfVocab *vocab, const char *text, size_t size, const char *where, HfError *err);
/* A JSON array of "first second" or ["first", "second"]. */
bool hf_bpe_read_list(HfBpe *bpe, const HfVocab *vocab, const char *text, size_t size, const char *where, HfError *err);
/* Makes the table of pairs; needed after merges were added. */
bool hf_bpe_prepare(HfBpe *bpe, HfError *err);
/* Finds the tokens of single bytes and characters; needed once. */
void hf_bpe_find_ids(HfBpe *bpe, const HfVocab *vocab);

/* The merge of a pair, NULL: none. */
static inline const HfMergeSlot *hf_bpe_find(const HfBpe *bpe, int32_t first, int32_t second) {
  uint64_t pair = (uint64_t)(uint32_t)first << 32 | (uint32_t)second;
  for (size_t at = (pair * 0x9E3779B97F4A7C15u) >> 32 & bpe->mask;; at = (at + 1) & bpe->mask) {
    const HfMergeSlot *slot = &bpe->slots[at];
    if (slot->rank == HF_NO_RANK) return NULL;
    if (slot->pair == pair) return slot;
  }
}

/* Merges in place, lowest rank first, of equal ranks the leftmost; *count shrinks. */
bool hf_bpe_merge(const HfBpe *bpe, HfSymbol *symbols, size_t *count, HfError *err);

#endif
