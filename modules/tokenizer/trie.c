/* Building a trie: the tokens are sorted, and the nodes made level by level, so that siblings stand together. */
#include "trie.h"
#include <stdlib.h>
#include "text.h"

/* The sorted tokens that pass through a node. */
typedef struct Range { uint32_t begin, end; } Range;

typedef struct Builder {
  HfTrie *trie;
  const HfVocab *vocab;
  uint32_t *order; /* ids by the bytes of their tokens */
  uint32_t count;
  Range *ranges;   /* of each node */
  size_t capacity;
} Builder;

void hf_trie_free(HfTrie *trie) {
  hf_free(trie->nodes);
  *trie = (HfTrie){0};
}

static int by_bytes(const void *a, const void *b, void *data) {
  const HfVocab *vocab = data;
  const HfVocabEntry *x = &vocab->entries[*(const uint32_t *)a], *y = &vocab->entries[*(const uint32_t *)b];
  size_t size = x->size < y->size ? x->size : y->size;
  int order = memcmp(vocab->text.data + x->offset, vocab->text.data + y->offset, size);
  return order ? order : (x->size > y->size) - (x->size < y->size);
}

static bool sort_tokens(Builder *b, HfError *err) {
  const HfVocab *vocab = b->vocab;
  if (!(b->order = hf_malloc(vocab->count * sizeof *b->order, "trie", err))) return false;
  for (size_t id = 0; id < vocab->limit; id++)
    if (vocab->entries[id].present && vocab->entries[id].size) b->order[b->count++] = (uint32_t)id;
  qsort_r(b->order, b->count, sizeof *b->order, by_bytes, (void *)vocab);
  return true;
}

static bool add_node(Builder *b, uint8_t label, Range range, HfError *err) {
  HfTrie *trie = b->trie;
  if (trie->count > UINT32_MAX / 2) return hf_error_memory(err, "trie", SIZE_MAX);
  if (!hf_array_grow((void **)&trie->nodes, trie->count, &trie->capacity, sizeof *trie->nodes, "trie", err)) return false;
  if (!hf_array_grow((void **)&b->ranges, trie->count, &b->capacity, sizeof *b->ranges, "trie", err)) return false;
  trie->nodes[trie->count] = (HfTrieNode){.label = label, .id = -1};
  b->ranges[trie->count++] = range;
  return true;
}

static uint8_t byte_at(const Builder *b, uint32_t position, size_t depth) {
  return (uint8_t)b->vocab->text.data[b->vocab->entries[b->order[position]].offset + depth];
}

/* The token that ends at the node, and its children. */
static bool open_node(Builder *b, size_t node, size_t depth, HfError *err) {
  Range range = b->ranges[node];
  uint32_t at = range.begin;
  if (at < range.end && b->vocab->entries[b->order[at]].size == depth) b->trie->nodes[node].id = (int32_t)b->order[at++];
  size_t first = b->trie->count;
  while (at < range.end) {
    uint8_t label = byte_at(b, at, depth);
    uint32_t begin = at;
    while (at < range.end && byte_at(b, at, depth) == label) at++;
    if (!add_node(b, label, (Range){begin, at}, err)) return false;
  }
  b->trie->nodes[node].first = (uint32_t)first;
  b->trie->nodes[node].count = (uint16_t)(b->trie->count - first);
  return true;
}

static bool open_levels(Builder *b, HfError *err) {
  if (!add_node(b, 0, (Range){0, b->count}, err)) return false;
  for (size_t begin = 0, depth = 0; begin < b->trie->count; depth++) {
    size_t end = b->trie->count;
    for (size_t node = begin; node < end; node++)
      if (!open_node(b, node, depth, err)) return false;
    begin = end;
  }
  return true;
}

bool hf_trie_build(HfTrie *trie, const HfVocab *vocab, HfError *err) {
  Builder b = {.trie = trie, .vocab = vocab};
  hf_trie_free(trie);
  bool done = sort_tokens(&b, err) && open_levels(&b, err);
  for (uint32_t i = 0; done && i < trie->nodes[0].count; i++) trie->root[trie->nodes[trie->nodes[0].first + i].label] = trie->nodes[0].first + i;
  hf_free(b.order);
  hf_free(b.ranges);
  return done;
}
