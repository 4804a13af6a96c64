/* Reading FlatBuffers, as far as Arrow's metadata uses them. Every place is checked against the bytes; what lies outside is a
 * problem that the buffer remembers, and reads as absent.
 *
 *   HfFlatBuffer b = hf_flat_over(bytes, size);
 *   HfFlatTable message = hf_flat_root(&b);
 *   int64_t body = hf_flat_int(message, 3, 8, 0);
 *   if (b.problem) return hf_error_set(err, "message: %s", b.problem);
 */
#ifndef HF_FLATBUFFER_H
#define HF_FLATBUFFER_H
#include <stdbool.h>
#include <stdint.h>
#include "span.h"

typedef struct HfFlatBuffer {
  const uint8_t *bytes;
  size_t size;
  const char *problem; /* NULL: none so far */
} HfFlatBuffer;

typedef struct HfFlatTable {
  HfFlatBuffer *buffer;
  size_t at; /* 0: there is none, and its fields are absent */
} HfFlatTable;

typedef struct HfFlatVector {
  HfFlatBuffer *buffer;
  size_t at; /* of the first item */
  int64_t count;
} HfFlatVector;

static inline HfFlatBuffer hf_flat_over(const void *bytes, size_t size) { return (HfFlatBuffer){.bytes = bytes, .size = size}; }
HfFlatTable hf_flat_root(HfFlatBuffer *buffer);

/* Fields by their number in the schema. A whole number of 1, 2, 4 or 8 bytes, with sign. */
int64_t hf_flat_int(HfFlatTable table, int field, int bytes, int64_t absent);
HfFlatTable hf_flat_table(HfFlatTable table, int field);
HfSpan hf_flat_text(HfFlatTable table, int field); /* bytes NULL when absent */
HfFlatVector hf_flat_vector(HfFlatTable table, int field, size_t item_size);

/* Items, 0 <= i < count: a table of a vector of tables (item size 4), a whole number `offset` bytes into an item. */
HfFlatTable hf_flat_item(HfFlatVector vector, int64_t i);
int64_t hf_flat_item_int64(HfFlatVector vector, int64_t i, size_t item_size, size_t offset);

#endif
