/* Footer and page headers of Parquet, by the field numbers of parquet.thrift; see parquet_meta.h. */
#include "parquet_meta.h"
#include <stdio.h>
#include <string.h>

#define MAX_FOOTER (64u << 20)

/* ---- schema */

/* TimeUnit: a union of empty structs, MILLIS, MICROS and NANOS */
static void read_unit(HfThrift *t, const HfThriftField *field, HfParquetElement *e) {
  hf_thrift_struct(t, field);
  for (HfThriftField f = {0}; hf_thrift_next(t, &f); hf_thrift_skip(t, &f))
    if (f.id >= 1 && f.id <= 3) e->digits = 3 * f.id;
}

/* TimeType and TimestampType */
static void read_time(HfThrift *t, HfParquetElement *e) {
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);)
    if (f.id == 1) e->utc = hf_thrift_bool(t, &f);
    else if (f.id == 2) read_unit(t, &f, e);
    else hf_thrift_skip(t, &f);
}

static void read_decimal(HfThrift *t, HfParquetElement *e) {
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);)
    if (f.id == 1) e->scale = hf_thrift_int32(t, &f);
    else if (f.id == 2) e->precision = hf_thrift_int32(t, &f);
    else hf_thrift_skip(t, &f);
}

static void read_integer(HfThrift *t, HfParquetElement *e) {
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);)
    if (f.id == 1) e->bits = hf_thrift_int32(t, &f);
    else if (f.id == 2) e->is_signed = hf_thrift_bool(t, &f);
    else hf_thrift_skip(t, &f);
}

/* LogicalType: a union; an unknown member leaves the physical type. */
static void read_logical(HfThrift *t, const HfThriftField *field, HfParquetElement *e) {
  static const HfParquetLogical meanings[] = {
      [1] = HF_PARQUET_STRING, [2] = HF_PARQUET_MAP,     [3] = HF_PARQUET_LIST, [4] = HF_PARQUET_STRING,   [5] = HF_PARQUET_DECIMAL,
      [6] = HF_PARQUET_DATE,   [7] = HF_PARQUET_TIME,    [8] = HF_PARQUET_TIMESTAMP, [10] = HF_PARQUET_INTEGER, [11] = HF_PARQUET_NULL,
      [12] = HF_PARQUET_STRING, [14] = HF_PARQUET_UUID,  [15] = HF_PARQUET_FLOAT16};
  hf_thrift_struct(t, field);
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    HfParquetLogical meaning = f.id > 0 && (size_t)f.id < sizeof meanings / sizeof *meanings ? meanings[f.id] : HF_PARQUET_NO_LOGICAL;
    e->logical = meaning;
    if (f.type != HF_THRIFT_STRUCT) hf_thrift_skip(t, &f);
    else if (meaning == HF_PARQUET_DECIMAL) read_decimal(t, e);
    else if (meaning == HF_PARQUET_TIME || meaning == HF_PARQUET_TIMESTAMP) read_time(t, e);
    else if (meaning == HF_PARQUET_INTEGER) read_integer(t, e);
    else hf_thrift_skip(t, &f);
  }
}

/* ConvertedType, the older form, where there is no logical type. */
static void apply_converted(HfParquetElement *e, int32_t converted) {
  static const struct {
    HfParquetLogical logical;
    int digits, bits;
    bool is_signed;
  } meanings[] = {[0] = {HF_PARQUET_STRING},          [1] = {HF_PARQUET_MAP},
                  [2] = {HF_PARQUET_MAP},             [3] = {HF_PARQUET_LIST},
                  [4] = {HF_PARQUET_STRING},          [5] = {HF_PARQUET_DECIMAL},
                  [6] = {HF_PARQUET_DATE},            [7] = {HF_PARQUET_TIME, .digits = 3},
                  [8] = {HF_PARQUET_TIME, .digits = 6}, [9] = {HF_PARQUET_TIMESTAMP, .digits = 3},
                  [10] = {HF_PARQUET_TIMESTAMP, .digits = 6},
                  [11] = {HF_PARQUET_INTEGER, .bits = 8}, [12] = {HF_PARQUET_INTEGER, .bits = 16},
                  [13] = {HF_PARQUET_INTEGER, .bits = 32}, [14] = {HF_PARQUET_INTEGER, .bits = 64},
                  [15] = {HF_PARQUET_INTEGER, .bits = 8, .is_signed = true},
                  [16] = {HF_PARQUET_INTEGER, .bits = 16, .is_signed = true},
                  [17] = {HF_PARQUET_INTEGER, .bits = 32, .is_signed = true},
                  [18] = {HF_PARQUET_INTEGER, .bits = 64, .is_signed = true},
                  [19] = {HF_PARQUET_STRING}};
  if (converted < 0 || (size_t)converted >= sizeof meanings / sizeof *meanings) return;
  e->logical = meanings[converted].logical;
  e->digits = meanings[converted].digits;
  e->bits = meanings[converted].bits;
  e->is_signed = meanings[converted].is_signed;
  e->utc = e->logical == HF_PARQUET_TIME || e->logical == HF_PARQUET_TIMESTAMP;
}

static void read_element(HfThrift *t, void *item) {
  HfParquetElement *e = item;
  *e = (HfParquetElement){.type = -1};
  int32_t converted = -1, scale = 0, precision = 0;
  bool has_logical = false;
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    switch (f.id) {
    case 1: e->type = hf_thrift_int32(t, &f); break;
    case 2: e->type_length = hf_thrift_int32(t, &f); break;
    case 3: e->repetition = hf_thrift_int32(t, &f); break;
    case 4: e->name = hf_thrift_text(t, &f); break;
    case 5: e->child_count = hf_thrift_int32(t, &f); break;
    case 6: converted = hf_thrift_int32(t, &f); break;
    case 7: scale = hf_thrift_int32(t, &f); break;
    case 8: precision = hf_thrift_int32(t, &f); break;
    case 10: has_logical = true, read_logical(t, &f, e); break;
    default: hf_thrift_skip(t, &f);
    }
  }
  if (!has_logical) apply_converted(e, converted);
  if (e->logical == HF_PARQUET_DECIMAL && !has_logical) e->scale = scale, e->precision = precision;
  if (!t->problem && !e->name.bytes) t->problem = "a column of the schema has no name";
}

/* Appends the structs of a list, growing as they are read: each takes some bytes of the footer. */
static bool read_structs(HfThrift *t, const HfThriftField *f, HfBuffer *out, size_t size, void (*read)(HfThrift *t, void *item), HfError *err) {
  for (int64_t left = hf_thrift_structs(t, f); left && !t->problem; left--) {
    if (!hf_buffer_reserve(out, size, err)) return false;
    read(t, out->data + out->size);
    out->size += size;
  }
  return true;
}

/* ---- row groups */

static void read_chunk_meta(HfThrift *t, HfParquetChunk *c) {
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    switch (f.id) {
    case 1: c->type = hf_thrift_int32(t, &f); break;
    case 4: c->codec = hf_thrift_int32(t, &f); break;
    case 5: c->value_count = hf_thrift_int64(t, &f); break;
    case 7: c->compressed_size = hf_thrift_int64(t, &f); break;
    case 9: c->data_offset = hf_thrift_int64(t, &f); break;
    case 11: c->dictionary_offset = hf_thrift_int64(t, &f); break;
    default: hf_thrift_skip(t, &f);
    }
  }
}

static void read_chunk(HfThrift *t, void *item) {
  HfParquetChunk *c = item;
  *c = (HfParquetChunk){.type = -1};
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    if (f.id == 3 && hf_thrift_struct(t, &f)) {
      read_chunk_meta(t, c);
    } else {
      c->elsewhere |= f.id == 1 || f.id == 8 || f.id == 9; /* file path, crypto metadata, encrypted metadata */
      hf_thrift_skip(t, &f);
    }
  }
}

typedef struct Footer {
  HfBuffer elements, rows, starts, chunks;
  bool encrypted;
} Footer; /* lists as they are read */

static bool read_group(HfThrift *t, Footer *footer, HfError *err) {
  int64_t rows = -1, start = (int64_t)(footer->chunks.size / sizeof(HfParquetChunk));
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    if (f.id == 1) {
      if (!read_structs(t, &f, &footer->chunks, sizeof(HfParquetChunk), read_chunk, err)) return false;
    } else if (f.id == 3) {
      rows = hf_thrift_int64(t, &f);
    } else {
      hf_thrift_skip(t, &f);
    }
  }
  if (!t->problem && rows < 0) t->problem = "a row group has no number of rows";
  return hf_buffer_append(&footer->rows, &rows, sizeof rows, err) && hf_buffer_append(&footer->starts, &start, sizeof start, err);
}

static void read_key_value(HfThrift *t, HfParquetMeta *meta) {
  HfSpan key = {"", 0}, value = {"", 0};
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);)
    if (f.id == 1) key = hf_thrift_text(t, &f);
    else if (f.id == 2) value = hf_thrift_text(t, &f);
    else hf_thrift_skip(t, &f);
  if (key.size == 11 && !memcmp(key.bytes, "huggingface", 11)) meta->huggingface = value;
}

/* parquet-mr before 1.2.9 (IMPALA-694). */
static bool has_short_chunks(HfSpan created_by) {
  char text[64];
  int major, minor, patch;
  snprintf(text, sizeof text, "%.*s", (int)(created_by.size < 63 ? created_by.size : 63), created_by.bytes);
  if (strncmp(text, "parquet-mr", 10)) return false;
  return sscanf(text, "parquet-mr version %d.%d.%d", &major, &minor, &patch) < 3 || (major == 1 && (minor < 2 || (minor == 2 && patch < 9)));
}

static bool read_groups(HfThrift *t, const HfThriftField *f, Footer *footer, HfError *err) {
  for (int64_t left = hf_thrift_structs(t, f); left && !t->problem; left--)
    if (!read_group(t, footer, err)) return false;
  return true;
}

static bool read_footer(HfThrift *t, HfParquetMeta *meta, Footer *footer, HfError *err) {
  bool ok = true;
  for (HfThriftField f = {0}; ok && hf_thrift_next(t, &f);) {
    switch (f.id) {
    case 2: ok = read_structs(t, &f, &footer->elements, sizeof(HfParquetElement), read_element, err); break;
    case 4: ok = read_groups(t, &f, footer, err); break;
    case 5:
      for (int64_t left = hf_thrift_structs(t, &f); left && !t->problem; left--) read_key_value(t, meta);
      break;
    case 6: meta->short_chunks = has_short_chunks(hf_thrift_text(t, &f)); break;
    default:
      footer->encrypted |= f.id == 8;
      hf_thrift_skip(t, &f);
    }
  }
  int64_t end = (int64_t)(footer->chunks.size / sizeof(HfParquetChunk));
  return ok && hf_buffer_append(&footer->starts, &end, sizeof end, err);
}

/* Where the footer lies: its length and the magic stand at the end of the file. */
static bool find_footer(const uint8_t *file, size_t size, const char *where, uint32_t *length, HfError *err) {
  if (size >= 12 && (!memcmp(file + size - 4, "PARE", 4) || !memcmp(file, "PARE", 4)))
    return hf_error_set(err, "%s: the file is encrypted, which is not supported", where);
  if (size < 12 || memcmp(file, HF_PARQUET_MAGIC, 4) || memcmp(file + size - 4, HF_PARQUET_MAGIC, 4))
    return hf_error_set(err, "%s: expected a Parquet file, with PAR1 at both ends (an incomplete download?)", where);
  memcpy(length, file + size - 8, 4);
  if (*length <= size - 12 && *length <= MAX_FOOTER) return true;
  return hf_error_set(err, "%s: footer: expected at most %zu bytes, found a length of %u", where, size - 12 < MAX_FOOTER ? size - 12 : MAX_FOOTER, *length);
}

bool hf_parquet_meta_read(HfParquetMeta *meta, const uint8_t *file, size_t size, const char *where, HfError *err) {
  uint32_t length = 0;
  *meta = (HfParquetMeta){0};
  if (!find_footer(file, size, where, &length, err)) return false;
  Footer footer = {0};
  HfThrift t = hf_thrift_over(file + size - 8 - length, length);
  bool ok = read_footer(&t, meta, &footer, err);
  meta->elements = (HfParquetElement *)footer.elements.data;
  meta->element_count = (int64_t)(footer.elements.size / sizeof *meta->elements);
  meta->group_rows = (int64_t *)footer.rows.data;
  meta->group_count = (int64_t)(footer.rows.size / sizeof *meta->group_rows);
  meta->group_chunks = (int64_t *)footer.starts.data;
  meta->chunks = (HfParquetChunk *)footer.chunks.data;
  if (!ok) return false;
  if (t.problem) return hf_error_set(err, "%s: footer: %s", where, t.problem);
  if (footer.encrypted) return hf_error_set(err, "%s: the file is encrypted, which is not supported", where);
  return meta->element_count > 0 || hf_error_set(err, "%s: footer: there is no schema", where);
}

void hf_parquet_meta_free(HfParquetMeta *meta) {
  hf_free(meta->elements);
  hf_free(meta->group_rows);
  hf_free(meta->group_chunks);
  hf_free(meta->chunks);
}

/* ---- pages */

/* DataPageHeader and DictionaryPageHeader begin alike. */
static void read_data_page(HfThrift *t, HfParquetPage *p) {
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    switch (f.id) {
    case 1: p->value_count = hf_thrift_int32(t, &f); break;
    case 2: p->encoding = hf_thrift_int32(t, &f); break;
    case 3:
      if (p->type == HF_PARQUET_DATA_PAGE) p->def_encoding = hf_thrift_int32(t, &f);
      else hf_thrift_skip(t, &f);
      break;
    case 4: p->rep_encoding = hf_thrift_int32(t, &f); break;
    default: hf_thrift_skip(t, &f);
    }
  }
}

static void read_data_page_v2(HfThrift *t, HfParquetPage *p) {
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    switch (f.id) {
    case 1: p->value_count = hf_thrift_int32(t, &f); break;
    case 4: p->encoding = hf_thrift_int32(t, &f); break;
    case 5: p->def_size = hf_thrift_int32(t, &f); break;
    case 6: p->rep_size = hf_thrift_int32(t, &f); break;
    case 7: p->is_compressed = hf_thrift_bool(t, &f); break;
    default: hf_thrift_skip(t, &f);
    }
  }
}

void hf_parquet_page_read(HfParquetPage *p, HfThrift *t) {
  *p = (HfParquetPage){.type = -1, .value_count = -1, .is_compressed = true};
  for (HfThriftField f = {0}; hf_thrift_next(t, &f);) {
    switch (f.id) {
    case 1: p->type = hf_thrift_int32(t, &f); break;
    case 2: p->uncompressed_size = hf_thrift_int32(t, &f); break;
    case 3: p->compressed_size = hf_thrift_int32(t, &f); break;
    case 4: p->crc = (uint32_t)hf_thrift_int32(t, &f), p->has_crc = true; break;
    case 5:
    case 7:
      if (hf_thrift_struct(t, &f)) read_data_page(t, p);
      break;
    case 8:
      if (hf_thrift_struct(t, &f)) read_data_page_v2(t, p);
      break;
    default: hf_thrift_skip(t, &f);
    }
  }
}
