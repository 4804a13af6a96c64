/* Thrift's compact protocol; see thrift.h. */
#include "thrift.h"
#include <string.h>

static void *problem(HfThrift *t, const char *what) {
  if (!t->problem) t->problem = what;
  t->at = t->end;
  return NULL;
}

static uint8_t next_byte(HfThrift *t) {
  if (t->at < t->end) return *t->at++;
  problem(t, "it ends early");
  return 0;
}

uint64_t hf_thrift_varint(HfThrift *t) {
  uint64_t value = 0;
  for (int shift = 0; shift < 70; shift += 7) {
    uint8_t byte = next_byte(t);
    if (shift == 63 && byte > 1) break;
    value |= (uint64_t)(byte & 0x7F) << shift;
    if (!(byte & 0x80)) return t->problem ? 0 : value;
  }
  problem(t, "a number has more than 64 bits");
  return 0;
}

int64_t hf_thrift_zigzag(HfThrift *t) {
  uint64_t value = hf_thrift_varint(t);
  return (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
}

bool hf_thrift_next(HfThrift *t, HfThriftField *f) {
  uint8_t head = next_byte(t);
  if (t->problem || !head) return false;
  int64_t id = head >> 4 ? f->id + (head >> 4) : hf_thrift_zigzag(t);
  f->type = (HfThriftType)(head & 15);
  if (id < INT16_MIN || id > INT16_MAX) problem(t, "a field number is out of range");
  f->id = (int)id;
  return !t->problem;
}

static void skip_value(HfThrift *t, HfThriftType type, bool in_list, int depth);

static void skip_bytes(HfThrift *t, uint64_t count) {
  if (count > (uint64_t)(t->end - t->at)) problem(t, "it ends early");
  else t->at += count;
}

static uint64_t list_head(HfThrift *t, HfThriftType *type) {
  uint8_t head = next_byte(t);
  uint64_t count = head >> 4 == 15 ? hf_thrift_varint(t) : head >> 4;
  *type = (HfThriftType)(head & 15);
  if (count > (uint64_t)(t->end - t->at)) problem(t, "a list is longer than the bytes left");
  return t->problem ? 0 : count;
}

static void skip_map(HfThrift *t, int depth) {
  uint64_t count = hf_thrift_varint(t);
  if (count > (uint64_t)(t->end - t->at)) problem(t, "a map is longer than the bytes left");
  uint8_t types = count ? next_byte(t) : 0;
  for (uint64_t i = 0; i < count && !t->problem; i++) {
    skip_value(t, (HfThriftType)(types >> 4), true, depth);
    skip_value(t, (HfThriftType)(types & 15), true, depth);
  }
}

static void skip_value(HfThrift *t, HfThriftType type, bool in_list, int depth) {
  HfThriftType item;
  if (depth > HF_THRIFT_MAX_DEPTH) return (void)problem(t, "it nests too deeply");
  switch (type) {
  case HF_THRIFT_TRUE:
  case HF_THRIFT_FALSE: return skip_bytes(t, in_list);
  case HF_THRIFT_INT8: return skip_bytes(t, 1);
  case HF_THRIFT_INT16:
  case HF_THRIFT_INT32:
  case HF_THRIFT_INT64: return (void)hf_thrift_varint(t);
  case HF_THRIFT_DOUBLE: return skip_bytes(t, 8);
  case HF_THRIFT_BINARY: return skip_bytes(t, hf_thrift_varint(t));
  case HF_THRIFT_LIST:
  case HF_THRIFT_SET:
    for (uint64_t count = list_head(t, &item); count && !t->problem; count--) skip_value(t, item, true, depth + 1);
    return;
  case HF_THRIFT_MAP: return skip_map(t, depth + 1);
  case HF_THRIFT_STRUCT:
    for (HfThriftField f = {0}; hf_thrift_next(t, &f);) skip_value(t, f.type, false, depth + 1);
    return;
  default: problem(t, "a field has an unknown type");
  }
}

void hf_thrift_skip(HfThrift *t, const HfThriftField *f) { skip_value(t, f->type, false, 0); }

static bool expect(HfThrift *t, const HfThriftField *f, HfThriftType type) {
  if (f->type != type) problem(t, "a field has another type than expected");
  return !t->problem;
}

int64_t hf_thrift_int64(HfThrift *t, const HfThriftField *f) {
  if (f->type == HF_THRIFT_INT8) return (int8_t)next_byte(t);
  if (f->type < HF_THRIFT_INT16 || f->type > HF_THRIFT_INT64) return expect(t, f, HF_THRIFT_INT64), 0;
  return hf_thrift_zigzag(t);
}

int32_t hf_thrift_int32(HfThrift *t, const HfThriftField *f) {
  int64_t value = hf_thrift_int64(t, f);
  if (value < INT32_MIN || value > INT32_MAX) return problem(t, "a number is out of range"), 0;
  return (int32_t)value;
}

bool hf_thrift_bool(HfThrift *t, const HfThriftField *f) { return f->type == HF_THRIFT_TRUE || (expect(t, f, HF_THRIFT_FALSE), false); }

HfSpan hf_thrift_text(HfThrift *t, const HfThriftField *f) {
  uint64_t size = expect(t, f, HF_THRIFT_BINARY) ? hf_thrift_varint(t) : 0;
  HfSpan text = {(const char *)t->at, (size_t)size};
  skip_bytes(t, size);
  return t->problem ? (HfSpan){"", 0} : text;
}

bool hf_thrift_struct(HfThrift *t, const HfThriftField *f) { return expect(t, f, HF_THRIFT_STRUCT); }

int64_t hf_thrift_structs(HfThrift *t, const HfThriftField *f) {
  HfThriftType item = HF_THRIFT_STRUCT;
  uint64_t count = expect(t, f, HF_THRIFT_LIST) ? list_head(t, &item) : 0;
  if (count && item != HF_THRIFT_STRUCT) problem(t, "a list has items of another type than expected");
  return t->problem ? 0 : (int64_t)count;
}

/* ---- writing */

static bool put_byte(HfBuffer *out, uint64_t byte, HfError *err) { return hf_buffer_append(out, &(uint8_t){(uint8_t)byte}, 1, err); }

bool hf_thrift_put_varint(HfBuffer *out, uint64_t value, HfError *err) {
  for (; value >= 0x80; value >>= 7)
    if (!put_byte(out, value | 0x80, err)) return false;
  return put_byte(out, value, err);
}

static bool put_zigzag(HfBuffer *out, int64_t value, HfError *err) {
  return hf_thrift_put_varint(out, (uint64_t)value << 1 ^ (uint64_t)(value >> 63), err);
}

bool hf_thrift_put_field(HfBuffer *out, int *last, int id, HfThriftType type, HfError *err) {
  int step = id - *last;
  *last = id;
  if (step > 0 && step < 16) return put_byte(out, (uint64_t)step << 4 | type, err);
  return put_byte(out, type, err) && put_zigzag(out, id, err);
}

bool hf_thrift_put_int(HfBuffer *out, int *last, int id, HfThriftType type, int64_t value, HfError *err) {
  return hf_thrift_put_field(out, last, id, type, err) && (type == HF_THRIFT_INT8 ? put_byte(out, (uint64_t)value, err) : put_zigzag(out, value, err));
}

bool hf_thrift_put_text(HfBuffer *out, int *last, int id, const char *bytes, size_t size, HfError *err) {
  return hf_thrift_put_field(out, last, id, HF_THRIFT_BINARY, err) && hf_thrift_put_varint(out, size, err) && hf_buffer_append(out, bytes, size, err);
}

bool hf_thrift_put_list(HfBuffer *out, int *last, int id, HfThriftType type, uint64_t count, HfError *err) {
  if (!hf_thrift_put_field(out, last, id, HF_THRIFT_LIST, err)) return false;
  if (count < 15) return put_byte(out, count << 4 | type, err);
  return put_byte(out, 0xF0 | type, err) && hf_thrift_put_varint(out, count, err);
}

bool hf_thrift_put_stop(HfBuffer *out, HfError *err) { return put_byte(out, HF_THRIFT_STOP, err); }
