/* Parquet's encodings of values; see parquet_values.h. */
#include "parquet_values.h"
#include <string.h>
#include "parquet_runs.h"

typedef struct Input {
  const uint8_t *in;
  size_t size;
  int64_t count;
  size_t limit;
} Input;

static bool fail(HfError *err, const char *what) { return hf_error_set(err, "values: %s", what); }
static bool too_few(HfError *err) { return fail(err, "fewer bytes than the values take"); }

/* Room for `count` items in a buffer that is used again; NULL with err set when there is none. */
static void *room(HfBuffer *buffer, int64_t count, size_t size, HfError *err) {
  buffer->size = 0;
  return hf_buffer_reserve(buffer, (size_t)count * size, err) ? buffer->data : NULL;
}

static HfSpan *room_for_spans(HfParquetValues *v, int64_t count, HfError *err) {
  v->width = 0;
  return v->spans = room(&v->store, count, sizeof *v->spans, err);
}

/* ---- PLAIN */

static bool plain_texts(HfParquetValues *v, Input in, HfError *err) {
  if (in.count > (int64_t)(in.size / 4)) return too_few(err);
  HfSpan *spans = room_for_spans(v, in.count, err);
  const uint8_t *at = in.in, *end = in.in + in.size;
  for (int64_t i = 0; spans && i < in.count; i++) {
    uint32_t length;
    if (end - at < 4) return too_few(err);
    memcpy(&length, at, 4);
    at += 4;
    if (length > (size_t)(end - at)) return fail(err, "a text is longer than the bytes left");
    spans[i] = (HfSpan){(const char *)at, length};
    at += length;
  }
  return spans;
}

static bool plain_booleans(HfParquetValues *v, Input in, HfError *err) {
  if ((uint64_t)(in.count + 7) / 8 > in.size) return too_few(err);
  uint8_t *out = room(&v->store, in.count, 1, err);
  for (int64_t i = 0; out && i < in.count; i++) out[i] = in.in[i >> 3] >> (i & 7) & 1;
  v->fixed = out;
  return out;
}

static bool decode_plain(HfParquetValues *v, const HfParquetLeaf *leaf, Input in, HfError *err) {
  if (!leaf->form.width) return plain_texts(v, in, err);
  v->width = leaf->form.width;
  if (leaf->element->type == HF_PARQUET_BOOLEAN) return plain_booleans(v, in, err);
  v->fixed = in.in;
  return (uint64_t)in.count <= in.size / (size_t)leaf->form.width || too_few(err);
}

/* ---- dictionaries */

static bool gather_spans(HfParquetValues *v, const HfParquetValues *dictionary, const uint32_t *at, int64_t count, HfError *err) {
  HfSpan *spans = room_for_spans(v, count, err);
  for (int64_t i = 0; spans && i < count; i++) spans[i] = dictionary->spans[at[i]];
  return spans;
}

static void gather_fixed(uint8_t *out, const uint8_t *from, const uint32_t *at, int64_t count, size_t width) {
  if (width == 4)
    for (int64_t i = 0; i < count; i++) memcpy(out + i * 4, from + (size_t)at[i] * 4, 4);
  else if (width == 8)
    for (int64_t i = 0; i < count; i++) memcpy(out + i * 8, from + (size_t)at[i] * 8, 8);
  else
    for (int64_t i = 0; i < count; i++) memcpy(out + (size_t)i * width, from + (size_t)at[i] * width, width);
}

static bool decode_dictionary(HfParquetValues *v, const HfParquetValues *dictionary, Input in, HfError *err) {
  if (!dictionary) return fail(err, "the page needs a dictionary, and there is none before it");
  if (!in.size || in.in[0] > 32) return fail(err, "dictionary indices of an impossible width");
  uint32_t *at = room(&v->numbers, in.count, sizeof *at, err);
  if (!at) return false;
  const char *problem = hf_runs_decode32(in.in + 1, in.size - 1, in.in[0], at, in.count);
  if (problem) return fail(err, problem);
  uint32_t largest = 0;
  for (int64_t i = 0; i < in.count; i++) largest = at[i] > largest ? at[i] : largest;
  if (in.count && largest >= (uint64_t)dictionary->count)
    return hf_error_set(err, "values: dictionary index %u is outside of the %lld entries", largest, (long long)dictionary->count);
  if (!dictionary->width) return gather_spans(v, dictionary, at, in.count, err);
  v->width = dictionary->width;
  uint8_t *out = room(&v->store, in.count, (size_t)v->width, err);
  if (out) gather_fixed(out, dictionary->fixed, at, in.count, (size_t)v->width);
  v->fixed = out;
  return out;
}

/* ---- RLE of booleans: runs behind their length */

static bool decode_rle(HfParquetValues *v, const HfParquetLeaf *leaf, Input in, HfError *err) {
  uint32_t length;
  if (leaf->element->type != HF_PARQUET_BOOLEAN) return fail(err, "encoding RLE is for booleans alone");
  if (in.size < 4) return too_few(err);
  memcpy(&length, in.in, 4);
  if (length > in.size - 4) return too_few(err);
  uint8_t *out = room(&v->store, in.count, 1, err);
  const char *problem = out ? hf_runs_decode8(in.in + 4, length, 1, out, in.count) : NULL;
  v->fixed = out;
  v->width = 1;
  return out && (!problem || fail(err, problem));
}

/* ---- differences */

static bool decode_delta(HfParquetValues *v, const HfParquetLeaf *leaf, Input in, HfError *err) {
  size_t used;
  bool narrow = leaf->element->type == HF_PARQUET_INT32;
  if (!narrow && leaf->element->type != HF_PARQUET_INT64) return fail(err, "encoding DELTA_BINARY_PACKED is for whole numbers alone");
  int64_t *numbers = room(narrow ? &v->numbers : &v->store, in.count, sizeof *numbers, err);
  if (!numbers) return false;
  const char *problem = hf_runs_decode_delta(in.in, in.size, numbers, in.count, &used);
  if (problem) return fail(err, problem);
  int32_t *out = narrow ? room(&v->store, in.count, sizeof *out, err) : NULL;
  for (int64_t i = 0; out && i < in.count; i++) out[i] = (int32_t)numbers[i];
  v->fixed = narrow ? (uint8_t *)out : (uint8_t *)numbers;
  v->width = leaf->form.width;
  return v->fixed;
}

/* Lengths in differences, which must not be negative and end before `*in`'s texts; `*in` is moved behind them. */
static bool read_lengths(int64_t *lengths, Input *in, HfError *err) {
  size_t used = 0;
  const char *problem = hf_runs_decode_delta(in->in, in->size, lengths, in->count, &used);
  if (problem) return fail(err, problem);
  for (int64_t i = 0; i < in->count; i++)
    if (lengths[i] < 0 || lengths[i] > INT32_MAX) return fail(err, "a text has an impossible length");
  in->in += used;
  in->size -= used;
  return true;
}

static bool spans_of_lengths(HfSpan *spans, const int64_t *lengths, Input in, HfError *err) {
  size_t at = 0;
  for (int64_t i = 0; i < in.count; i++) {
    if ((size_t)lengths[i] > in.size - at) return too_few(err);
    spans[i] = (HfSpan){(const char *)in.in + at, (size_t)lengths[i]};
    at += (size_t)lengths[i];
  }
  return true;
}

static bool decode_delta_lengths(HfParquetValues *v, const HfParquetLeaf *leaf, Input in, HfError *err) {
  if (leaf->element->type != HF_PARQUET_BYTE_ARRAY) return fail(err, "encoding DELTA_LENGTH_BYTE_ARRAY is for texts alone");
  int64_t *lengths = room(&v->numbers, in.count, sizeof *lengths, err);
  HfSpan *spans = room_for_spans(v, in.count, err);
  return lengths && spans && read_lengths(lengths, &in, err) && spans_of_lengths(spans, lengths, in, err);
}

/* Puts the shared beginning with the text before in front of each text. Spans hold the endings at first. */
static bool join_prefixes(HfParquetValues *v, const int64_t *prefixes, Input in, HfError *err) {
  size_t total = 0, before = 0;
  for (int64_t i = 0; i < in.count; i++) {
    if ((size_t)prefixes[i] > before) return fail(err, "a shared beginning is longer than the text before");
    before = (size_t)prefixes[i] + v->spans[i].size;
    if ((total += before) > in.limit) return fail(err, "texts of more than the allowed size");
  }
  char *out = room(&v->bytes, (int64_t)total, 1, err);
  const char *last = out;
  if (!out) return false;
  for (int64_t i = 0; i < in.count; i++) {
    HfSpan *span = &v->spans[i];
    if (prefixes[i]) memcpy(out, last, (size_t)prefixes[i]);
    if (span->size) memcpy(out + prefixes[i], span->bytes, span->size);
    *span = (HfSpan){last = out, (size_t)prefixes[i] + span->size};
    out += span->size;
  }
  return true;
}

static bool decode_delta_texts(HfParquetValues *v, const HfParquetLeaf *leaf, Input in, HfError *err) {
  if (leaf->element->type != HF_PARQUET_BYTE_ARRAY && leaf->element->type != HF_PARQUET_FIXED) return fail(err, "encoding DELTA_BYTE_ARRAY is for texts alone");
  int64_t *prefixes = room(&v->numbers, 2 * in.count, sizeof *prefixes, err), *lengths = prefixes + in.count;
  if (!prefixes || !room_for_spans(v, in.count, err) || !read_lengths(prefixes, &in, err) || !read_lengths(lengths, &in, err)) return false;
  if (!spans_of_lengths(v->spans, lengths, in, err) || !join_prefixes(v, prefixes, in, err)) return false;
  if (!leaf->form.width) return true;
  for (int64_t i = 0; i < in.count; i++)
    if (v->spans[i].size != (size_t)leaf->form.width) return fail(err, "a text of another length than the type has");
  v->fixed = (const uint8_t *)v->bytes.data;
  v->width = leaf->form.width;
  return true;
}

/* ---- BYTE_STREAM_SPLIT: first bytes of all values, then second bytes ... */

static bool decode_split(HfParquetValues *v, const HfParquetLeaf *leaf, Input in, HfError *err) {
  size_t width = (size_t)leaf->form.width;
  if (!width || leaf->element->type == HF_PARQUET_BOOLEAN) return fail(err, "encoding BYTE_STREAM_SPLIT is for values of one width alone");
  if ((uint64_t)in.count > in.size / width) return too_few(err);
  uint8_t *out = room(&v->store, in.count, width, err);
  size_t stream = in.size / width; /* padding, if any, is at the end of each */
  for (size_t byte = 0; out && byte < width; byte++)
    for (int64_t i = 0; i < in.count; i++) out[(size_t)i * width + byte] = in.in[byte * stream + (size_t)i];
  v->fixed = out;
  v->width = leaf->form.width;
  return out;
}

bool hf_parquet_decode(HfParquetValues *v, const HfParquetLeaf *leaf, int32_t encoding, const HfParquetValues *dictionary, const uint8_t *bytes,
                       size_t size, int64_t count, size_t limit, HfError *err) {
  Input in = {bytes, size, count, limit};
  v->count = count;
  v->width = leaf->form.width;
  if (count == 0) return true;
  switch (encoding) {
  case HF_PARQUET_PLAIN: return decode_plain(v, leaf, in, err);
  case HF_PARQUET_PLAIN_DICTIONARY:
  case HF_PARQUET_RLE_DICTIONARY: return decode_dictionary(v, dictionary, in, err);
  case HF_PARQUET_RLE: return decode_rle(v, leaf, in, err);
  case HF_PARQUET_DELTA_BINARY_PACKED: return decode_delta(v, leaf, in, err);
  case HF_PARQUET_DELTA_LENGTH_BYTE_ARRAY: return decode_delta_lengths(v, leaf, in, err);
  case HF_PARQUET_DELTA_BYTE_ARRAY: return decode_delta_texts(v, leaf, in, err);
  case HF_PARQUET_BYTE_STREAM_SPLIT: return decode_split(v, leaf, in, err);
  default: return hf_error_set(err, "values: unknown encoding %d", (int)encoding);
  }
}

void hf_parquet_values_free(HfParquetValues *v) {
  hf_buffer_free(&v->store);
  hf_buffer_free(&v->bytes);
  hf_buffer_free(&v->numbers);
}
