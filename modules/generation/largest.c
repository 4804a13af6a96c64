/* PyTorch leaves topk to the C++ standard library: partial_sort (a heap of the k best) where k is small beside n, else nth_element
 * (quickselect) and a sort of what came first. The order of equal numbers follows from these algorithms as GNU's library has
 * them, so they are written out here. `before(a, b)`: a stands before b, that is, a is larger. */
#include "largest.h"
#include <string.h>

static inline bool before(HfRanked a, HfRanked b) { return (a.value != a.value && b.value == b.value) || a.value > b.value; }

static inline void swap(HfRanked *a, HfRanked *b) {
  HfRanked t = *a;
  *a = *b, *b = t;
}

/* ---- heaps: the root is the entry that stands last */

static void sift(HfRanked *heap, int64_t hole, int64_t n, HfRanked value) {
  int64_t top = hole, child = hole;
  while (child < (n - 1) / 2) {
    child = 2 * child + 2;
    if (before(heap[child], heap[child - 1])) child--;
    heap[hole] = heap[child];
    hole = child;
  }
  if (n % 2 == 0 && child == (n - 2) / 2) {
    heap[hole] = heap[2 * child + 1];
    hole = 2 * child + 1;
  }
  for (int64_t parent = (hole - 1) / 2; hole > top && before(heap[parent], value); parent = (hole - 1) / 2) {
    heap[hole] = heap[parent];
    hole = parent;
  }
  heap[hole] = value;
}

/* The root goes to *out, whose entry takes its place in the heap of n. */
static void pop_to(HfRanked *heap, int64_t n, HfRanked *out) {
  HfRanked value = *out;
  *out = heap[0];
  sift(heap, 0, n, value);
}

/* The k first of n in the heap at the front. */
static void select_heap(HfRanked *x, int64_t k, int64_t n) {
  for (int64_t parent = (k - 2) / 2; k > 1 && parent >= 0; parent--) sift(x, parent, k, x[parent]);
  for (int64_t i = k; i < n; i++)
    if (before(x[i], x[0])) pop_to(x, k, x + i);
}

static void sort_heap(HfRanked *x, int64_t n) {
  while (--n > 0) pop_to(x, n, x + n);
}

/* ---- quicksort and quickselect */

static void median_to_first(HfRanked *first, HfRanked *a, HfRanked *b, HfRanked *c) {
  if (before(*a, *b)) swap(first, before(*b, *c) ? b : before(*a, *c) ? c : a);
  else swap(first, before(*a, *c) ? a : before(*b, *c) ? c : b);
}

/* Cuts x (n > 3) around the median of three; the start of the second part. */
static int64_t partition(HfRanked *x, int64_t n) {
  median_to_first(x, x + 1, x + n / 2, x + n - 1);
  int64_t low = 1, high = n;
  for (;;) {
    while (before(x[low], x[0])) low++;
    high--;
    while (before(x[0], x[high])) high--;
    if (low >= high) return low;
    swap(x + low++, x + high);
  }
}

static void insertion_sort(HfRanked *x, int64_t n) {
  for (int64_t i = 1; i < n; i++) {
    HfRanked value = x[i];
    int64_t hole = i;
    if (before(value, x[0])) hole = 0, memmove(x + 1, x, (size_t)i * sizeof *x);
    else
      for (; before(value, x[hole - 1]); hole--) x[hole] = x[hole - 1];
    x[hole] = value;
  }
}

static int depth_limit(int64_t n) {
  int log2 = 0;
  while (n >>= 1) log2++;
  return 2 * log2;
}

/* Leaves parts of at most 16 unsorted. */
static void rough_sort(HfRanked *x, int64_t n, int depth) {
  while (n > 16) {
    if (depth-- == 0) {
      select_heap(x, n, n);
      sort_heap(x, n);
      return;
    }
    int64_t cut = partition(x, n);
    rough_sort(x + cut, n - cut, depth);
    n = cut;
  }
}

static void sort(HfRanked *x, int64_t n) {
  if (n < 2) return;
  rough_sort(x, n, depth_limit(n));
  insertion_sort(x, n);
}

/* Puts the entry that belongs at `place` there, those before it in front. */
static void select_place(HfRanked *x, int64_t place, int64_t n) {
  for (int depth = depth_limit(n); n > 3;) {
    if (depth-- == 0) {
      select_heap(x, place + 1, n);
      swap(x, x + place);
      return;
    }
    int64_t cut = partition(x, n);
    if (cut > place) n = cut;
    else x += cut, place -= cut, n -= cut;
  }
  insertion_sort(x, n);
}

void hf_largest(HfRanked *entry, const float *x, int64_t n, int64_t k) {
  for (int64_t i = 0; i < n; i++) entry[i] = (HfRanked){x[i], i};
  if (k <= n / 64) {
    select_heap(entry, k, n);
    sort_heap(entry, k);
  } else {
    select_place(entry, k - 1, n);
    sort(entry, k - 1);
  }
}

void hf_sort_ascending(HfRanked *entry, HfRanked *spare, int64_t n) {
  HfRanked *from = entry, *to = spare;
  for (int64_t width = 1; width < n; width *= 2) {
    for (int64_t start = 0; start < n; start += 2 * width) {
      int64_t middle = start + width < n ? start + width : n, end = middle + width < n ? middle + width : n;
      for (int64_t a = start, b = middle, out = start; out < end; out++)
        to[out] = b >= end || (a < middle && !(from[b].value < from[a].value)) ? from[a++] : from[b++];
    }
    HfRanked *t = from;
    from = to, to = t;
  }
  if (from != entry) memcpy(entry, from, (size_t)n * sizeof *entry);
}
