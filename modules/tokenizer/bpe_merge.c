/* Merging the symbols of a word: short words by looking for the best pair each time, long ones by a heap. */
#include <string.h>
#include "bpe.h"
#include "memory.h"

#define SHORT_WORD 48 /* symbols; above, a heap costs less */

/* ---- short words */

static inline void look_up(const HfBpe *bpe, const HfSymbol *symbols, size_t i, uint32_t *ranks, int32_t *ids) {
  const HfMergeSlot *slot = hf_bpe_find(bpe, symbols[i].id, symbols[i + 1].id);
  ranks[i] = slot ? slot->rank : HF_NO_RANK;
  ids[i] = slot ? slot->id : -1;
}

static void merge_short(const HfBpe *bpe, HfSymbol *symbols, size_t *count) {
  uint32_t ranks[SHORT_WORD]; /* of the pair of i and i + 1 */
  int32_t ids[SHORT_WORD];
  size_t n = *count;
  for (size_t i = 0; i + 1 < n; i++) look_up(bpe, symbols, i, ranks, ids);
  while (n > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < n; i++)
      if (ranks[i] < ranks[best]) best = i;
    if (ranks[best] == HF_NO_RANK) break;
    symbols[best] = (HfSymbol){ids[best], symbols[best].size + symbols[best + 1].size};
    n--;
    for (size_t i = best + 1; i < n; i++) symbols[i] = symbols[i + 1];
    for (size_t i = best + 1; i + 1 < n; i++) ranks[i] = ranks[i + 1], ids[i] = ids[i + 1];
    if (best + 1 < n) look_up(bpe, symbols, best, ranks, ids);
    if (best > 0) look_up(bpe, symbols, best - 1, ranks, ids);
  }
  *count = n;
}

/* ---- long words */

typedef struct Candidate {
  uint64_t order; /* rank << 32 | position: the smallest comes first */
  int32_t id;     /* what the pair would become: another id now means that it is gone */
} Candidate;

typedef struct Link { uint32_t previous, next; } Link;
#define NOTHING UINT32_MAX

typedef struct LongWord {
  const HfBpe *bpe;
  HfSymbol *symbols;
  Link *links;
  Candidate *heap;
  size_t heap_size;
} LongWord;

static void push(LongWord *w, Candidate candidate) {
  size_t at = w->heap_size++;
  for (size_t parent; at > 0 && w->heap[parent = (at - 1) / 2].order > candidate.order; at = parent) w->heap[at] = w->heap[parent];
  w->heap[at] = candidate;
}

static Candidate pop(LongWord *w) {
  Candidate top = w->heap[0], last = w->heap[--w->heap_size];
  size_t at = 0;
  for (size_t child; (child = 2 * at + 1) < w->heap_size; at = child) {
    if (child + 1 < w->heap_size && w->heap[child + 1].order < w->heap[child].order) child++;
    if (w->heap[child].order >= last.order) break;
    w->heap[at] = w->heap[child];
  }
  w->heap[at] = last;
  return top;
}

/* The pair that begins at `at` joins the candidates. */
static void offer(LongWord *w, uint32_t at) {
  uint32_t next = w->links[at].next;
  const HfMergeSlot *slot = next == NOTHING ? NULL : hf_bpe_find(w->bpe, w->symbols[at].id, w->symbols[next].id);
  if (slot) push(w, (Candidate){(uint64_t)slot->rank << 32 | at, slot->id});
}

/* Merges the pair of a candidate unless it is not there any more. */
static void merge_candidate(LongWord *w, Candidate candidate) {
  uint32_t at = (uint32_t)candidate.order, next = w->links[at].next;
  if (w->symbols[at].id < 0 || next == NOTHING) return;
  const HfMergeSlot *slot = hf_bpe_find(w->bpe, w->symbols[at].id, w->symbols[next].id);
  if (!slot || slot->id != candidate.id) return;
  w->symbols[at].id = candidate.id;
  w->symbols[at].size += w->symbols[next].size;
  w->symbols[next].id = -1;
  w->links[at].next = w->links[next].next;
  if (w->links[at].next != NOTHING) w->links[w->links[at].next].previous = at;
  if (w->links[at].previous != NOTHING) offer(w, w->links[at].previous);
  offer(w, at);
}

/* Every merge takes one candidate and brings two at most, and there are fewer than n merges. */
static bool merge_long(const HfBpe *bpe, HfSymbol *symbols, size_t *count, HfError *err) {
  size_t n = *count, kept = 0;
  if (n > UINT32_MAX / 4) return hf_error_set(err, "BPE: a word of %zu symbols is too long", n);
  LongWord w = {bpe, symbols, hf_malloc(n * sizeof(Link), "word", err), NULL, 0};
  w.heap = w.links ? hf_malloc(3 * n * sizeof(Candidate), "word", err) : NULL;
  for (size_t i = 0; w.heap && i < n; i++) w.links[i] = (Link){i ? (uint32_t)i - 1 : NOTHING, i + 1 < n ? (uint32_t)i + 1 : NOTHING};
  for (size_t i = 0; w.heap && i < n; i++) offer(&w, (uint32_t)i);
  while (w.heap && w.heap_size) merge_candidate(&w, pop(&w));
  for (size_t i = 0; i < n; i++)
    if (symbols[i].id >= 0) symbols[kept++] = symbols[i];
  bool done = w.heap != NULL;
  hf_free(w.links);
  hf_free(w.heap);
  *count = kept;
  return done;
}

bool hf_bpe_merge(const HfBpe *bpe, HfSymbol *symbols, size_t *count, HfError *err) {
  if (*count > SHORT_WORD) return merge_long(bpe, symbols, count, err);
  if (*count > 1) merge_short(bpe, symbols, count);
  return true;
}
