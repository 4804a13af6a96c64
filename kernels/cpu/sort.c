/* Stable sort along the middle of (outer, n, inner), all of it or the first k. Values become unsigned keys whose
 * order is the wanted one; ties go by position. A few of many are kept in a heap, else the line is radix sorted. */
#include "element.h"
#include <string.h>

typedef struct Item {
  uint64_t key;
  int64_t index;
} Item;

typedef struct Sort {
  void *values;
  int64_t *indices;
  const void *x;
  HfDtype dtype;
  int64_t outer, n, inner, k;
  bool descending;
  bool *failed;
} Sort;

enum { INSERTION_MAX = 32, HEAP_SHARE = 8 /* a heap where k <= n / 8 */ };

/* Floats in order, -0 as 0, every NaN above infinity. */
HF_FOLDED uint64_t float_key(float x) {
  if (x != x) return UINT32_MAX;
  uint32_t bits = hf_bits_of(x);
  if (bits == 0x80000000u) bits = 0;
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
HF_FOLDED uint64_t int64_key(int64_t x) { return (uint64_t)x ^ (uint64_t)1 << 63; }

/* The key of element i of a line; descending order turns keys around. */
static uint64_t key_at(const Sort *s, int64_t start, int64_t i) {
  int64_t at = start + i * s->inner;
  if (s->dtype == HF_INT64) {
    uint64_t key = int64_key(((const int64_t *)s->x)[at]);
    return s->descending ? ~key : key;
  }
  uint64_t key = float_key(((const float *)s->x)[at]);
  return s->descending ? (uint32_t)~key : key;
}

static bool precedes(Item a, Item b) { return a.key < b.key || (a.key == b.key && a.index < b.index); }

static void insertion_sort(Item *item, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    Item v = item[i];
    int64_t j = i;
    for (; j > 0 && precedes(v, item[j - 1]); j--) item[j] = item[j - 1];
    item[j] = v;
  }
}

/* One pass over byte number `byte`; false when all items share it and nothing moved. */
static bool radix_pass(Item *to, const Item *from, int64_t n, int byte) {
  int64_t start[257] = {0};
  int shift = byte * 8;
  for (int64_t i = 0; i < n; i++) start[(from[i].key >> shift & 255) + 1]++;
  if (start[(from[0].key >> shift & 255) + 1] == n) return false;
  for (int b = 0; b < 256; b++) start[b + 1] += start[b];
  for (int64_t i = 0; i < n; i++) to[start[from[i].key >> shift & 255]++] = from[i];
  return true;
}

/* Sorts the items, given in order of index; `spare` has room for n. Returns where the result lies. */
static Item *sort_items(Item *item, Item *spare, int64_t n, int bytes) {
  if (n <= INSERTION_MAX) {
    insertion_sort(item, n);
    return item;
  }
  for (int byte = 0; byte < bytes; byte++)
    if (radix_pass(spare, item, n, byte)) {
      Item *sorted = spare;
      spare = item, item = sorted;
    }
  return item;
}

/* Restores the heap (the last in order on top) below place i. */
static void sift_down(Item *heap, int64_t k, int64_t i) {
  Item v = heap[i];
  for (int64_t child; (child = 2 * i + 1) < k; i = child) {
    if (child + 1 < k && precedes(heap[child], heap[child + 1])) child++;
    if (!precedes(v, heap[child])) break;
    heap[i] = heap[child];
  }
  heap[i] = v;
}

/* The first k of the line in order, k >= 1, into heap. */
static void select_items(Item *heap, const Sort *s, int64_t start) {
  for (int64_t i = 0; i < s->k; i++) heap[i] = (Item){key_at(s, start, i), i};
  for (int64_t i = s->k / 2 - 1; i >= 0; i--) sift_down(heap, s->k, i);
  for (int64_t i = s->k; i < s->n; i++) {
    uint64_t key = key_at(s, start, i);
    if (key >= heap[0].key) continue; /* equal keys keep the earlier index */
    heap[0] = (Item){key, i};
    sift_down(heap, s->k, 0);
  }
  for (int64_t last = s->k - 1; last > 0; last--) {
    Item top = heap[0];
    heap[0] = heap[last], heap[last] = top;
    sift_down(heap, last, 0);
  }
}

static void write_line(const Sort *s, const Item *item, int64_t start, int64_t out) {
  size_t size = hf_element_size(s->dtype);
  for (int64_t i = 0; i < s->k; i++) {
    int64_t to = out + i * s->inner, from = start + item[i].index * s->inner;
    if (s->indices) s->indices[to] = item[i].index;
    if (s->values) memcpy((char *)s->values + (size_t)to * size, (const char *)s->x + (size_t)from * size, size);
  }
}

static bool takes_heap(const Sort *s) { return s->k <= s->n / HEAP_SHARE; }

static void sort_line(const Sort *s, Item *item, int64_t line) {
  int64_t o = line / s->inner, start = o * s->n * s->inner + line % s->inner, out = o * s->k * s->inner + line % s->inner;
  if (takes_heap(s)) {
    select_items(item, s, start);
    write_line(s, item, start, out);
    return;
  }
  for (int64_t i = 0; i < s->n; i++) item[i] = (Item){key_at(s, start, i), i};
  write_line(s, sort_items(item, item + s->n, s->n, s->dtype == HF_INT64 ? 8 : 4), start, out);
}

static void sort_lines(const void *context, int64_t first, int64_t last) {
  const Sort *s = context;
  size_t bytes = (size_t)(takes_heap(s) ? s->k : 2 * s->n) * sizeof(Item);
  Item *item = hf_host_alloc(bytes);
  if (!item) {
#pragma omp atomic write
    *s->failed = true;
    return;
  }
  for (int64_t line = first; line < last; line++) sort_line(s, item, line);
  hf_host_free(item, bytes);
}

static HfStatus sort(void *values, int64_t *indices, const void *x, HfDtype dtype, int64_t outer, int64_t n, int64_t inner,
                     int64_t k, bool descending) {
  if (dtype != HF_FLOAT32 && dtype != HF_INT64) return HF_UNSUPPORTED;
  bool failed = false;
  Sort s = {values, indices, x, dtype, outer, n, inner, k, descending, &failed};
  if (k > 0) hf_parallel(outer * inner, outer * n * inner, sort_lines, &s);
  return failed ? HF_NO_MEMORY : HF_OK;
}

void HF_CPU(fill_sort)(HfKernels *k) { k->sort = sort; }
