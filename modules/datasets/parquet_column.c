/* Pages of a column into memory; see parquet_column.h. */
#include "parquet_column.h"
#include <string.h>
#include "codec.h"
#include "parquet_runs.h"

#define MISSING_HEADER 100 /* bytes a dictionary's header may take in files where chunks do not count it */

static bool append_values(const HfParquetFile *file, const HfParquetLeaf *leaf, const HfParquetValues *v, HfParquetData *data, HfError *err) {
  data->value_count += v->count;
  return hf_form_append(&leaf->form, v->fixed, v->width ? NULL : v->spans, v->count, file->page_limit, &data->values, &data->offsets, err);
}

/* ---- pages */

typedef struct Reader {
  const HfParquetFile *file;
  const HfParquetLeaf *leaf;
  const HfParquetChunk *chunk;
  HfParquetData *data;
  HfCodec codec;
  HfBuffer page, dictionary_page; /* decompressed */
  HfParquetValues values, dictionary;
  bool has_dictionary;
} Reader;

/* The bytes of a page that are being read. */
typedef struct Bytes {
  const uint8_t *at;
  size_t left;
} Bytes;

static int bits_of(int level) {
  int bits = 0;
  while (level >> bits) bits++;
  return bits;
}

/* Appends `count` levels of at most `max`; *at_max: how many have that level. */
static bool read_levels(Bytes in, bool packed, int max, int64_t count, HfBuffer *out, size_t *used, int64_t *at_max, HfError *err) {
  if (!hf_buffer_reserve(out, (size_t)count, err)) return false;
  uint8_t *levels = (uint8_t *)out->data + out->size;
  const char *problem = packed ? hf_runs_decode_packed(in.at, in.left, bits_of(max), levels, count, used)
                               : hf_runs_decode8(in.at, in.left, bits_of(max), levels, count);
  if (problem) return hf_error_set(err, "levels: %s", problem);
  uint8_t largest = 0;
  int64_t full = 0;
  for (int64_t i = 0; i < count; i++) {
    largest = levels[i] > largest ? levels[i] : largest;
    full += levels[i] == max;
  }
  if (largest > max) return hf_error_set(err, "levels: expected at most %d, found %d", max, largest);
  out->size += (size_t)count;
  *at_max = full;
  return true;
}

/* Levels of a page of version 1: runs behind their length, or the older packing. */
static bool read_levels_v1(Bytes *in, int encoding, int max, int64_t count, HfBuffer *out, int64_t *at_max, HfError *err) {
  bool packed = encoding == HF_PARQUET_BIT_PACKED;
  uint32_t length = 0;
  if (!packed && encoding != HF_PARQUET_RLE) return hf_error_set(err, "levels: unknown encoding %d", encoding);
  if (!packed && in->left >= 4) memcpy(&length, in->at, 4);
  if (!packed && (in->left < 4 || length > in->left - 4)) return hf_error_set(err, "levels: they end early");
  Bytes own = packed ? *in : (Bytes){in->at + 4, length};
  size_t used = 0;
  if (!read_levels(own, packed, max, count, out, &used, at_max, err)) return false;
  used = packed ? used : 4 + (size_t)length;
  *in = (Bytes){in->at + used, in->left - used};
  return true;
}

static bool decompress(Reader *r, Bytes *in, size_t expected, HfBuffer *out, HfError *err) {
  if (r->codec == HF_CODEC_NONE || (in->left == 0 && expected == 0))
    return in->left == expected || hf_error_set(err, "expected %zu bytes, found %zu", expected, in->left);
  if (!hf_decompress(r->codec, in->at, in->left, expected, out, err)) return false;
  *in = (Bytes){(const uint8_t *)out->data, out->size};
  return true;
}

static bool read_values(Reader *r, const HfParquetPage *p, Bytes in, int64_t present, HfError *err) {
  const HfParquetFile *file = r->file;
  size_t width = r->leaf->form.width > 16 ? (size_t)r->leaf->form.width : 16;
  if ((uint64_t)present > file->page_limit / width) return hf_error_set(err, "%lld values take more than %zu bytes", (long long)present, file->page_limit);
  r->data->entries += p->value_count;
  return hf_parquet_decode(&r->values, r->leaf, p->encoding, r->has_dictionary ? &r->dictionary : NULL, in.at, in.left, present, file->page_limit, err) &&
         append_values(file, r->leaf, &r->values, r->data, err);
}

static bool read_data_page(Reader *r, const HfParquetPage *p, Bytes in, HfError *err) {
  int64_t present = p->value_count, ignored;
  const HfParquetLeaf *leaf = r->leaf;
  if (!decompress(r, &in, (size_t)p->uncompressed_size, &r->page, err)) return false;
  if (leaf->max_rep && !read_levels_v1(&in, p->rep_encoding, leaf->max_rep, p->value_count, &r->data->reps, &ignored, err)) return false;
  if (leaf->max_def && !read_levels_v1(&in, p->def_encoding, leaf->max_def, p->value_count, &r->data->defs, &present, err)) return false;
  return read_values(r, p, in, present, err);
}

static bool read_data_page_v2(Reader *r, const HfParquetPage *p, Bytes in, HfError *err) {
  int64_t present = p->value_count, ignored;
  const HfParquetLeaf *leaf = r->leaf;
  if (p->rep_size < 0 || p->def_size < 0 || (uint64_t)p->rep_size + (uint64_t)p->def_size > in.left || p->rep_size + p->def_size > p->uncompressed_size)
    return hf_error_set(err, "levels: they take more bytes than the page has");
  size_t rep_size = (size_t)p->rep_size, def_size = (size_t)p->def_size, expected = (size_t)p->uncompressed_size - rep_size - def_size, used;
  Bytes reps = {in.at, rep_size}, defs = {in.at + rep_size, def_size}, rest = {defs.at + def_size, in.left - rep_size - def_size};
  if (leaf->max_rep && !read_levels(reps, false, leaf->max_rep, p->value_count, &r->data->reps, &used, &ignored, err)) return false;
  if (leaf->max_def && !read_levels(defs, false, leaf->max_def, p->value_count, &r->data->defs, &used, &present, err)) return false;
  if (p->is_compressed && !decompress(r, &rest, expected, &r->page, err)) return false;
  return read_values(r, p, rest, present, err);
}

static bool read_dictionary(Reader *r, const HfParquetPage *p, Bytes in, HfError *err) {
  if (r->has_dictionary) return hf_error_set(err, "a second dictionary");
  if (p->encoding != HF_PARQUET_PLAIN && p->encoding != HF_PARQUET_PLAIN_DICTIONARY) return hf_error_set(err, "dictionary: unknown encoding %d", (int)p->encoding);
  r->has_dictionary = true;
  return decompress(r, &in, (size_t)p->uncompressed_size, &r->dictionary_page, err) &&
         hf_parquet_decode(&r->dictionary, r->leaf, HF_PARQUET_PLAIN, NULL, in.at, in.left, p->value_count, r->file->page_limit, err);
}

static bool check_page(const Reader *r, const HfParquetPage *p, size_t left, HfError *err) {
  size_t limit = r->file->page_limit;
  bool data = p->type == HF_PARQUET_DATA_PAGE || p->type == HF_PARQUET_DATA_PAGE_V2;
  if (p->compressed_size < 0 || (size_t)p->compressed_size > left)
    return hf_error_set(err, "page size: expected at most %zu bytes left in the chunk, found %d", left, (int)p->compressed_size);
  if (p->uncompressed_size < 0 || (size_t)p->uncompressed_size > limit)
    return hf_error_set(err, "page size: expected at most %zu bytes after decompression, found %d", limit, (int)p->uncompressed_size);
  if ((data || p->type == HF_PARQUET_DICTIONARY_PAGE) && (p->value_count < 0 || (size_t)p->value_count > limit))
    return hf_error_set(err, "page: impossible number of values: %d", (int)p->value_count);
  return true;
}

/* The sum is over the page as it lies in the file. */
static bool check_crc(const HfParquetPage *p, const uint8_t *bytes, HfError *err) {
  uint32_t sum;
  if (!p->has_crc) return true;
  if (!hf_crc32(bytes, (size_t)p->compressed_size, &sum, err)) return false;
  return sum == p->crc || hf_error_set(err, "the check sum differs: the file is damaged");
}

static bool read_page(Reader *r, HfThrift *t, HfError *err) {
  HfParquetPage p;
  hf_parquet_page_read(&p, t);
  if (t->problem) return hf_error_set(err, "page header: %s", t->problem);
  if (!check_page(r, &p, (size_t)(t->end - t->at), err) || !check_crc(&p, t->at, err)) return false;
  Bytes in = {t->at, (size_t)p.compressed_size};
  t->at += p.compressed_size;
  switch (p.type) {
  case HF_PARQUET_DATA_PAGE: return read_data_page(r, &p, in, err);
  case HF_PARQUET_DATA_PAGE_V2: return read_data_page_v2(r, &p, in, err);
  case HF_PARQUET_DICTIONARY_PAGE: return read_dictionary(r, &p, in, err);
  case HF_PARQUET_INDEX_PAGE: return true;
  default: return hf_error_set(err, "unknown page type %d", (int)p.type);
  }
}

/* ---- chunks */

/* Parquet's codec numbers; LZO (3) has no library of this kind. */
static bool find_codec(int32_t number, HfCodec *out, HfError *err) {
  static const HfCodec codecs[] = {HF_CODEC_NONE, HF_CODEC_SNAPPY, HF_CODEC_GZIP, HF_CODEC_COUNT, HF_CODEC_BROTLI, HF_CODEC_LZ4, HF_CODEC_ZSTD, HF_CODEC_LZ4_RAW};
  *out = number >= 0 && (size_t)number < sizeof codecs / sizeof *codecs ? codecs[number] : HF_CODEC_COUNT;
  if (*out != HF_CODEC_COUNT) return true;
  return hf_error_set(err, number == 3 ? "compression LZO is not supported" : "unknown compression %d", (int)number);
}

/* Where a chunk begins; its dictionary, if any, comes first. */
static int64_t chunk_start(const HfParquetChunk *c) {
  return c->dictionary_offset > 0 && c->dictionary_offset < c->data_offset ? c->dictionary_offset : c->data_offset;
}

static HfThrift chunk_bytes(const HfParquetFile *file, const HfParquetChunk *c) {
  size_t start = (size_t)chunk_start(c), size = (size_t)c->compressed_size, behind = file->size - start - size;
  if (file->meta.short_chunks) size += behind < MISSING_HEADER ? behind : MISSING_HEADER;
  return hf_thrift_over(file->bytes + start, size);
}

static bool check_chunk(const HfParquetFile *file, const HfParquetLeaf *leaf, const HfParquetChunk *c, int64_t rows, HfError *err) {
  int64_t start = chunk_start(c);
  if (c->elsewhere) return hf_error_set(err, "the values are encrypted or in another file, which is not supported");
  if (c->type != leaf->element->type) return hf_error_set(err, "the type differs from the schema's");
  if (start < 4 || c->compressed_size < 0 || start > (int64_t)file->size || c->compressed_size > (int64_t)file->size - start)
    return hf_error_set(err, "its %lld bytes at %lld lie outside of the file", (long long)c->compressed_size, (long long)start);
  if (c->value_count < 0 || (!leaf->max_rep && c->value_count != rows))
    return hf_error_set(err, "expected %lld values, one for each row, found %lld", (long long)rows, (long long)c->value_count);
  return true;
}

/* Rows begin where the repetition level is 0. */
static bool check_rows(const HfParquetData *data, int64_t first, int64_t rows, HfError *err) {
  const uint8_t *reps = (const uint8_t *)data->reps.data;
  int64_t found = 0;
  if (data->entries > first && reps[first]) return hf_error_set(err, "levels: the first value does not begin a row");
  for (int64_t i = first; i < data->entries; i++) found += reps[i] == 0;
  return found == rows || hf_error_set(err, "expected %lld rows, found %lld", (long long)rows, (long long)found);
}

static bool read_chunk(Reader *r, int64_t rows, HfError *err) {
  int64_t first = r->data->entries;
  const HfParquetChunk *c = r->chunk;
  if (c->value_count == 0 && rows == 0) return true; /* it need not be anywhere */
  if (!check_chunk(r->file, r->leaf, c, rows, err) || !find_codec(c->codec, &r->codec, err)) return false;
  HfThrift t = chunk_bytes(r->file, c);
  r->has_dictionary = false;
  while (r->data->entries - first < c->value_count)
    if (!read_page(r, &t, err)) return false;
  if (r->data->entries - first != c->value_count)
    return hf_error_set(err, "expected %lld values, found %lld in its pages", (long long)c->value_count, (long long)(r->data->entries - first));
  return !r->leaf->max_rep || check_rows(r->data, first, rows, err);
}

static const HfParquetChunk *chunk_of(const HfParquetFile *file, int64_t group, int leaf) {
  return &file->meta.chunks[file->meta.group_chunks[group] + leaf];
}

bool hf_parquet_column_open(const HfParquetFile *file, int leaf, uint64_t *bytes, HfError *err) {
  HfCodec codec;
  *bytes = 0;
  for (int64_t group = 0; group < file->meta.group_count; group++) {
    const HfParquetChunk *c = chunk_of(file, group, leaf);
    if (!find_codec(c->codec, &codec, err) || !hf_codec_open(codec, err))
      return hf_error_prefix(err, "%s: column '%s'", file->where, file->schema.leaves[leaf].path);
    *bytes += (uint64_t)(c->compressed_size > 0 ? c->compressed_size : 0);
  }
  return true;
}

bool hf_parquet_column_read(HfParquetData *data, const HfParquetFile *file, int leaf, HfError *err) {
  *data = (HfParquetData){0};
  Reader r = {.file = file, .leaf = &file->schema.leaves[leaf], .data = data};
  bool ok = true;
  for (int64_t group = 0; ok && group < file->meta.group_count; group++) {
    r.chunk = chunk_of(file, group, leaf);
    ok = read_chunk(&r, file->meta.group_rows[group], err);
    if (!ok) hf_error_prefix(err, "%s: row group %lld: column '%s'", file->where, (long long)group + 1, r.leaf->path);
  }
  hf_buffer_free(&r.page);
  hf_buffer_free(&r.dictionary_page);
  hf_parquet_values_free(&r.values);
  hf_parquet_values_free(&r.dictionary);
  return ok;
}

void hf_parquet_data_free(HfParquetData *data) {
  hf_buffer_free(&data->values);
  hf_buffer_free(&data->offsets);
  hf_buffer_free(&data->defs);
  hf_buffer_free(&data->reps);
}
