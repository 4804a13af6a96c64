/* FlatBuffers: offsets to tables, and in front of each table an offset to the list of its fields; see flatbuffer.h. */
#include "flatbuffer.h"
#include <string.h>

/* True when `count` bytes from `at` on are there. */
static bool inside(HfFlatBuffer *b, size_t at, size_t count) {
  if (at <= b->size && count <= b->size - at) return true;
  if (!b->problem) b->problem = "an offset leads outside of it";
  return false;
}

static uint32_t unsigned32(const HfFlatBuffer *b, size_t at) {
  uint32_t value;
  memcpy(&value, b->bytes + at, 4);
  return value;
}

static uint16_t unsigned16(const HfFlatBuffer *b, size_t at) {
  uint16_t value;
  memcpy(&value, b->bytes + at, 2);
  return value;
}

/* Where the offset at `at` leads; 0 when that is outside. */
static size_t follow(HfFlatBuffer *b, size_t at) {
  if (!inside(b, at, 4)) return 0;
  size_t to = at + unsigned32(b, at);
  return inside(b, to, 4) ? to : 0;
}

HfFlatTable hf_flat_root(HfFlatBuffer *b) { return (HfFlatTable){b, follow(b, 0)}; }

/* Where a field of `bytes` bytes is; 0 when it is absent. */
static size_t place(HfFlatTable t, int field, size_t bytes) {
  HfFlatBuffer *b = t.buffer;
  if (!t.at) return 0;
  int64_t list = (int64_t)t.at - (int32_t)unsigned32(b, t.at);
  if (list < 0 || !inside(b, (size_t)list, 4)) {
    b->problem = "an offset leads outside of it";
    return 0;
  }
  size_t list_size = unsigned16(b, (size_t)list), entry = 4 + 2 * (size_t)field;
  if (entry + 2 > list_size || !inside(b, (size_t)list, list_size)) return 0;
  size_t offset = unsigned16(b, (size_t)list + entry);
  return offset && inside(b, t.at + offset, bytes) ? t.at + offset : 0;
}

static int64_t integer(const HfFlatBuffer *b, size_t at, int bytes) {
  int64_t value = 0;
  memcpy(&value, b->bytes + at, (size_t)bytes);
  int unused = 64 - 8 * bytes;
  return (int64_t)((uint64_t)value << unused) >> unused;
}

int64_t hf_flat_int(HfFlatTable t, int field, int bytes, int64_t absent) {
  size_t at = place(t, field, (size_t)bytes);
  return at ? integer(t.buffer, at, bytes) : absent;
}

HfFlatTable hf_flat_table(HfFlatTable t, int field) {
  size_t at = place(t, field, 4);
  return (HfFlatTable){t.buffer, at ? follow(t.buffer, at) : 0};
}

HfFlatVector hf_flat_vector(HfFlatTable t, int field, size_t item_size) {
  HfFlatBuffer *b = t.buffer;
  size_t at = place(t, field, 4), vector = at ? follow(b, at) : 0;
  if (!vector) return (HfFlatVector){.buffer = b};
  uint32_t count = unsigned32(b, vector);
  if (!inside(b, vector + 4, (size_t)count * item_size)) count = 0;
  return (HfFlatVector){b, vector + 4, count};
}

HfSpan hf_flat_text(HfFlatTable t, int field) {
  HfFlatVector v = hf_flat_vector(t, field, 1);
  return v.at ? (HfSpan){(const char *)v.buffer->bytes + v.at, (size_t)v.count} : (HfSpan){0};
}

HfFlatTable hf_flat_item(HfFlatVector v, int64_t i) { return (HfFlatTable){v.buffer, follow(v.buffer, v.at + (size_t)i * 4)}; }

int64_t hf_flat_item_int64(HfFlatVector v, int64_t i, size_t item_size, size_t offset) {
  return integer(v.buffer, v.at + (size_t)i * item_size + offset, 8);
}
