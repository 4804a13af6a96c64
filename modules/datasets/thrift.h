/* Thrift's compact protocol, as far as Parquet uses it. Reading: a cursor over bytes that remembers its first problem, after
 * which every function gives nothing; so callers check `problem` once, at the end. Nothing is read outside the bytes.
 *
 *   HfThrift t = hf_thrift_over(bytes, size);
 *   for (HfThriftField f = {0}; hf_thrift_next(&t, &f);)
 *     if (f.id == 1) version = hf_thrift_int32(&t, &f);
 *     else hf_thrift_skip(&t, &f);
 *   if (t.problem) return hf_error_set(err, "footer: %s", t.problem);
 */
#ifndef HF_THRIFT_H
#define HF_THRIFT_H
#include "memory.h"
#include "span.h"

#define HF_THRIFT_MAX_DEPTH 32

typedef enum HfThriftType {
  HF_THRIFT_STOP,
  HF_THRIFT_TRUE,
  HF_THRIFT_FALSE,
  HF_THRIFT_INT8,
  HF_THRIFT_INT16,
  HF_THRIFT_INT32,
  HF_THRIFT_INT64,
  HF_THRIFT_DOUBLE,
  HF_THRIFT_BINARY,
  HF_THRIFT_LIST,
  HF_THRIFT_SET,
  HF_THRIFT_MAP,
  HF_THRIFT_STRUCT
} HfThriftType;

typedef struct HfThrift {
  const uint8_t *at, *end;
  const char *problem; /* NULL: none so far */
} HfThrift;

typedef struct HfThriftField {
  int id; /* 0 before the first */
  HfThriftType type;
} HfThriftField;

static inline HfThrift hf_thrift_over(const void *bytes, size_t size) {
  return (HfThrift){.at = bytes, .end = (const uint8_t *)bytes + size};
}

/* The next field of the struct being read; false at its end, and after a problem. */
bool hf_thrift_next(HfThrift *t, HfThriftField *f);
void hf_thrift_skip(HfThrift *t, const HfThriftField *f);

/* The value of the field just read. Another type, or a number out of range, is a problem. */
int32_t hf_thrift_int32(HfThrift *t, const HfThriftField *f);
int64_t hf_thrift_int64(HfThrift *t, const HfThriftField *f);
bool hf_thrift_bool(HfThrift *t, const HfThriftField *f);
HfSpan hf_thrift_text(HfThrift *t, const HfThriftField *f);
bool hf_thrift_struct(HfThrift *t, const HfThriftField *f); /* its fields come next */
/* Begins a list; gives how many structs come next. Items are no more than bytes left. */
int64_t hf_thrift_structs(HfThrift *t, const HfThriftField *f);

/* ---- numbers of variable length, which Parquet's encodings use too */
uint64_t hf_thrift_varint(HfThrift *t);
int64_t hf_thrift_zigzag(HfThrift *t);

/* ---- writing: fields of a struct in rising order; `last` is the id of the field before, 0 at first */
bool hf_thrift_put_varint(HfBuffer *out, uint64_t value, HfError *err);
bool hf_thrift_put_field(HfBuffer *out, int *last, int id, HfThriftType type, HfError *err);
bool hf_thrift_put_int(HfBuffer *out, int *last, int id, HfThriftType type, int64_t value, HfError *err);
bool hf_thrift_put_text(HfBuffer *out, int *last, int id, const char *bytes, size_t size, HfError *err);
/* The head of a list field; its items follow. */
bool hf_thrift_put_list(HfBuffer *out, int *last, int id, HfThriftType type, uint64_t count, HfError *err);
bool hf_thrift_put_stop(HfBuffer *out, HfError *err);

#endif
