/* All tokens of a vocabulary that begin a text, in one walk over its bytes.
 *
 *   uint32_t node = 0;
 *   for (size_t i = 0; i < size && (node = hf_trie_next(trie, node, text[i])); i++)
 *     if (trie->nodes[node].id >= 0) found(trie->nodes[node].id, i + 1);
 */
#ifndef HF_TRIE_H
#define HF_TRIE_H
#include "vocab.h"

typedef struct HfTrieNode {
  uint32_t first;  /* the children stand together, by label */
  uint16_t count;
  uint8_t label;   /* byte that leads here */
  int32_t id;      /* of the token that ends here, -1: none */
} HfTrieNode;

/* Zero-initialise; hf_trie_free. */
typedef struct HfTrie {
  HfTrieNode *nodes;   /* (count); node 0 is the root */
  size_t count, capacity;
  uint32_t root[256];  /* child of the root per byte, 0: none */
} HfTrie;

bool hf_trie_build(HfTrie *trie, const HfVocab *vocab, HfError *err);
void hf_trie_free(HfTrie *trie);

/* The child for this byte; 0: none. */
static inline uint32_t hf_trie_next(const HfTrie *trie, uint32_t node, unsigned char byte) {
  if (node == 0) return trie->root[byte];
  uint32_t low = trie->nodes[node].first, high = low + trie->nodes[node].count;
  while (high - low > 4) {
    uint32_t middle = low + (high - low) / 2;
    if (trie->nodes[middle].label <= byte) low = middle;
    else high = middle;
  }
  for (; low < high; low++)
    if (trie->nodes[low].label == byte) return low;
  return 0;
}

#endif
