/* Tables to Parquet: every field optional, values PLAIN, pages of about a mebibyte, one codec for all; see parquet.h.
 *
 * The fields of the structs written here are numbered as in parquet.thrift.
 */
#include <string.h>
#include "file.h"
#include "parquet.h"
#include "parquet_meta.h"

#define GROUP_ROWS 100000
#define PAGE_BYTES (1 << 20)
#define PAGE_ENTRIES (1 << 20)
#define MAX_PAGE (1 << 30) /* what readers may refuse beyond */

typedef struct Leaf {
  const HfColumn *path[HF_COLUMN_MAX_DEPTH + 1]; /* from the column down to the leaf */
  int depth;                                     /* of the leaf in the path */
  int max_def, max_rep;
  HfBuffer names; /* "a", "list", "element": each ends with NUL */
} Leaf;

typedef struct Writer {
  HfFileWriter file;
  const HfTable *table;
  const HfParquetWriteOptions *options;
  Leaf *leaves;
  int leaf_count;
  HfBuffer schema, groups; /* Thrift lists without their heads */
  int element_count, group_count;
  HfBuffer defs, reps, values; /* of the page being made */
  int64_t bits;                /* truth values in `values`; they are packed by eight */
  HfBuffer page, packed;
} Writer;

/* ---- schema */

/* Parquet's type, converted type (-1: none) and logical type of a leaf. */
typedef struct LeafType {
  HfParquetType type;
  int converted, logical;
} LeafType;

enum { CONVERTED_UTF8 = 0, CONVERTED_LIST = 3, LOGICAL_STRING = 1, LOGICAL_LIST = 3, LOGICAL_NULL = 11 };

static LeafType leaf_type(const HfColumn *c) {
  static const LeafType types[HF_COLUMN_TYPE_COUNT] = {
      [HF_COLUMN_NULL] = {HF_PARQUET_INT32, -1, LOGICAL_NULL}, [HF_COLUMN_BOOL] = {HF_PARQUET_BOOLEAN, -1, 0},
      [HF_COLUMN_INT8] = {HF_PARQUET_INT32, 15, 0},            [HF_COLUMN_INT16] = {HF_PARQUET_INT32, 16, 0},
      [HF_COLUMN_INT32] = {HF_PARQUET_INT32, -1, 0},           [HF_COLUMN_INT64] = {HF_PARQUET_INT64, -1, 0},
      [HF_COLUMN_UINT8] = {HF_PARQUET_INT32, 11, 0},           [HF_COLUMN_FLOAT32] = {HF_PARQUET_FLOAT, -1, 0},
      [HF_COLUMN_FLOAT64] = {HF_PARQUET_DOUBLE, -1, 0},        [HF_COLUMN_STRING] = {HF_PARQUET_BYTE_ARRAY, CONVERTED_UTF8, LOGICAL_STRING}};
  LeafType t = types[c->type];
  if (c->type == HF_COLUMN_STRING && !hf_column_is_utf8(c)) t.converted = -1, t.logical = 0;
  return t;
}

/* One SchemaElement. type: -1 for a group. */
static bool put_element(Writer *w, const char *name, int repetition, int type, int converted, int logical, int children, HfError *err) {
  int last = 0, inner = 0;
  HfBuffer *out = &w->schema;
  w->element_count++;
  bool ok = (type < 0 || hf_thrift_put_int(out, &last, 1, HF_THRIFT_INT32, type, err)) &&
            (repetition < 0 || hf_thrift_put_int(out, &last, 3, HF_THRIFT_INT32, repetition, err)) &&
            hf_thrift_put_text(out, &last, 4, name, strlen(name), err) &&
            (children < 0 || hf_thrift_put_int(out, &last, 5, HF_THRIFT_INT32, children, err)) &&
            (converted < 0 || hf_thrift_put_int(out, &last, 6, HF_THRIFT_INT32, converted, err));
  if (ok && logical) /* a union of empty structs */
    ok = hf_thrift_put_field(out, &last, 10, HF_THRIFT_STRUCT, err) && hf_thrift_put_field(out, &inner, logical, HF_THRIFT_STRUCT, err) &&
         hf_thrift_put_stop(out, err) && hf_thrift_put_stop(out, err);
  return ok && hf_thrift_put_stop(out, err);
}

static bool add_leaf(Writer *w, Leaf leaf, HfError *err) {
  Leaf *leaves = hf_realloc(w->leaves, ((size_t)w->leaf_count + 1) * sizeof *leaves, "parquet columns", err);
  if (!leaves) return false;
  w->leaves = leaves;
  HfBuffer names = leaf.names;
  leaf.names = (HfBuffer){0};
  if (!hf_buffer_append(&leaf.names, names.data, names.size, err)) return false;
  leaves[w->leaf_count++] = leaf;
  return true;
}

/* The elements of a column and what is below it; adds its leaves. at: the path so far, whose names are cut again. */
static bool put_column(Writer *w, Leaf *at, const char *name, const HfColumn *c, HfError *err) {
  size_t names = at->names.size;
  Leaf here = *at;
  here.path[here.depth] = c;
  here.max_def++;
  bool ok = hf_buffer_append(&here.names, name, strlen(name) + 1, err);
  if (c->type == HF_COLUMN_LIST) {
    ok = ok && put_element(w, name, HF_PARQUET_OPTIONAL, -1, CONVERTED_LIST, LOGICAL_LIST, 1, err) &&
         put_element(w, "list", HF_PARQUET_REPEATED, -1, -1, 0, 1, err) && hf_buffer_append(&here.names, "list", 5, err);
    here.max_def++;
    here.max_rep++;
  } else if (c->type == HF_COLUMN_STRUCT) {
    ok = ok && (c->child_count || hf_error_set(err, "Parquet has no structs without fields")) &&
         put_element(w, name, HF_PARQUET_OPTIONAL, -1, -1, 0, c->child_count, err);
  } else {
    LeafType t = leaf_type(c);
    ok = ok && put_element(w, name, HF_PARQUET_OPTIONAL, (int)t.type, t.converted, t.logical, -1, err) && add_leaf(w, here, err);
  }
  here.depth++;
  for (int i = 0; ok && i < c->child_count; i++) ok = put_column(w, &here, c->names[i] ? c->names[i] : "element", c->children[i], err);
  at->names = here.names;
  at->names.size = names;
  return ok;
}

static bool put_schema(Writer *w, HfError *err) {
  Leaf at = {0};
  bool ok = put_element(w, "schema", -1, -1, -1, 0, w->table->count, err);
  for (int i = 0; ok && i < w->table->count; i++) {
    const HfField *field = &w->table->fields[i];
    ok = put_column(w, &at, field->name, field->column, err) || hf_error_prefix(err, "column '%.80s'", field->name);
  }
  hf_buffer_free(&at.names);
  return ok;
}

/* ---- values and levels */

static bool put_text(Writer *w, const HfColumn *c, int64_t row, HfError *err) {
  size_t size;
  const char *text = hf_column_text(c, row, &size);
  if (size > MAX_PAGE) return hf_error_set(err, "a text of %zu bytes is too long for Parquet", size);
  return hf_buffer_append(&w->values, &(uint32_t){(uint32_t)size}, 4, err) && hf_buffer_append(&w->values, text, size, err);
}

static bool put_bool(Writer *w, bool value, HfError *err) {
  int bit = (int)(w->bits++ & 7);
  if (bit == 0 && !hf_buffer_append(&w->values, "", 1, err)) return false;
  w->values.data[w->values.size - 1] |= (char)(value << bit);
  return true;
}

static bool put_value(Writer *w, const HfColumn *c, int64_t row, HfError *err) {
  size_t size = hf_column_type_size(c->type);
  if (c->type == HF_COLUMN_STRING) return put_text(w, c, row, err);
  if (c->type == HF_COLUMN_BOOL) return put_bool(w, hf_column_int(c, row), err);
  if (hf_column_type_is_int(c->type) && size < 4) return hf_buffer_append(&w->values, &(int32_t){(int32_t)hf_column_int(c, row)}, 4, err);
  return hf_buffer_append(&w->values, (const char *)c->values + (size_t)row * size, size, err);
}

static bool put_levels(Writer *w, int rep, int def, HfError *err) {
  return hf_buffer_append(&w->reps, &(uint8_t){(uint8_t)rep}, 1, err) && hf_buffer_append(&w->defs, &(uint8_t){(uint8_t)def}, 1, err);
}

/* What row `row` of the column at `depth` of the path becomes. rep: the level of its first entry; lists: how many are around. */
static bool put_entries(Writer *w, const Leaf *leaf, int depth, int64_t row, int rep, int lists, int def, HfError *err) {
  const HfColumn *c = leaf->path[depth];
  if (hf_column_is_null(c, row)) return put_levels(w, rep, def, err);
  if (c->type == HF_COLUMN_STRUCT) return put_entries(w, leaf, depth + 1, row, rep, lists, def + 1, err);
  if (c->type != HF_COLUMN_LIST) return put_levels(w, rep, def + 1, err) && put_value(w, c, row, err);
  if (c->offsets[row] == c->offsets[row + 1]) return put_levels(w, rep, def + 1, err);
  for (int64_t i = c->offsets[row]; i < c->offsets[row + 1]; i++)
    if (!put_entries(w, leaf, depth + 1, i, i == c->offsets[row] ? rep : lists + 1, lists + 1, def + 2, err)) return false;
  return true;
}

/* ---- pages */

/* Appends levels behind their length: one run when all are the same, else bit-packed. */
static bool put_packed_levels(HfBuffer *out, const HfBuffer *levels, int max, HfError *err) {
  const uint8_t *level = (const uint8_t *)levels->data;
  size_t count = levels->size, same = 1, start = out->size;
  int width = 0;
  while (max >> width) width++;
  while (same < count && level[same] == level[0]) same++;
  if (!hf_buffer_append(out, "\0\0\0\0", 4, err)) return false;
  if (same == count) {
    if (!hf_thrift_put_varint(out, (uint64_t)count << 1, err) || !hf_buffer_append(out, level, 1, err)) return false;
  } else {
    size_t groups = (count + 7) / 8, bytes = groups * (size_t)width;
    if (!hf_thrift_put_varint(out, (uint64_t)groups << 1 | 1, err) || !hf_buffer_reserve(out, bytes, err)) return false;
    uint8_t *bits = (uint8_t *)out->data + out->size;
    memset(bits, 0, bytes);
    for (size_t i = 0; i < count; i++)
      for (int bit = 0; bit < width; bit++) bits[(i * (size_t)width + (size_t)bit) >> 3] |= (uint8_t)((level[i] >> bit & 1) << ((i * (size_t)width + (size_t)bit) & 7));
    out->size += bytes;
  }
  memcpy(out->data + start, &(uint32_t){(uint32_t)(out->size - start - 4)}, 4);
  return true;
}

static bool put_page_header(HfBuffer *out, size_t whole, size_t packed, size_t count, HfError *err) {
  int last = 0, inner = 0;
  return hf_thrift_put_int(out, &last, 1, HF_THRIFT_INT32, HF_PARQUET_DATA_PAGE, err) &&
         hf_thrift_put_int(out, &last, 2, HF_THRIFT_INT32, (int64_t)whole, err) &&
         hf_thrift_put_int(out, &last, 3, HF_THRIFT_INT32, (int64_t)packed, err) && hf_thrift_put_field(out, &last, 5, HF_THRIFT_STRUCT, err) &&
         hf_thrift_put_int(out, &inner, 1, HF_THRIFT_INT32, (int64_t)count, err) &&
         hf_thrift_put_int(out, &inner, 2, HF_THRIFT_INT32, HF_PARQUET_PLAIN, err) &&
         hf_thrift_put_int(out, &inner, 3, HF_THRIFT_INT32, HF_PARQUET_RLE, err) &&
         hf_thrift_put_int(out, &inner, 4, HF_THRIFT_INT32, HF_PARQUET_RLE, err) && hf_thrift_put_stop(out, err) && hf_thrift_put_stop(out, err);
}

/* What a chunk came to. */
typedef struct Chunk {
  uint64_t start, whole; /* whole: bytes without compression */
  int64_t entries;
} Chunk;

static bool put_page(Writer *w, const Leaf *leaf, Chunk *chunk, HfError *err) {
  HfBuffer header = {0};
  size_t count = w->defs.size;
  w->page.size = w->packed.size = 0;
  bool ok = (!leaf->max_rep || put_packed_levels(&w->page, &w->reps, leaf->max_rep, err)) &&
            put_packed_levels(&w->page, &w->defs, leaf->max_def, err) && hf_buffer_append(&w->page, w->values.data, w->values.size, err) &&
            hf_compress(w->options->codec, w->page.data, w->page.size, &w->packed, err) &&
            put_page_header(&header, w->page.size, w->packed.size, count, err) && hf_file_writer_write(&w->file, header.data, header.size, err) &&
            hf_file_writer_write(&w->file, w->packed.data, w->packed.size, err);
  chunk->whole += header.size + w->page.size;
  chunk->entries += (int64_t)count;
  hf_buffer_free(&header);
  w->reps.size = w->defs.size = w->values.size = 0;
  w->bits = 0;
  return ok;
}

static bool put_chunk(Writer *w, const Leaf *leaf, int64_t first, int64_t end, Chunk *chunk, HfError *err) {
  *chunk = (Chunk){.start = w->file.written};
  for (int64_t row = first; row < end; row++) {
    if (!put_entries(w, leaf, 0, row, 0, 0, 0, err)) return hf_error_prefix(err, "row %lld", (long long)row + 1);
    if (w->values.size > MAX_PAGE) return hf_error_set(err, "row %lld: a row of %zu bytes is too long for Parquet", (long long)row + 1, w->values.size);
    bool full = w->values.size >= PAGE_BYTES || w->defs.size >= PAGE_ENTRIES || row + 1 == end;
    if (full && !put_page(w, leaf, chunk, err)) return false;
  }
  return true;
}

/* ---- footer */

static bool put_path(HfBuffer *out, int *last, const Leaf *leaf, HfError *err) {
  const char *name = leaf->names.data, *end = name + leaf->names.size;
  uint64_t count = 0;
  for (const char *at = name; at < end; at += strlen(at) + 1) count++;
  bool ok = hf_thrift_put_list(out, last, 3, HF_THRIFT_BINARY, count, err);
  for (; ok && name < end; name += strlen(name) + 1)
    ok = hf_thrift_put_varint(out, strlen(name), err) && hf_buffer_append(out, name, strlen(name), err);
  return ok;
}

/* ColumnChunk with its ColumnMetaData */
static bool put_chunk_meta(Writer *w, const Leaf *leaf, const Chunk *chunk, uint64_t end, HfError *err) {
  static const int codecs[HF_CODEC_COUNT] = {[HF_CODEC_SNAPPY] = 1, [HF_CODEC_ZSTD] = 6};
  HfBuffer *out = &w->groups;
  int last = 0, m = 0;
  return hf_thrift_put_int(out, &last, 2, HF_THRIFT_INT64, 0, err) && hf_thrift_put_field(out, &last, 3, HF_THRIFT_STRUCT, err) &&
         hf_thrift_put_int(out, &m, 1, HF_THRIFT_INT32, (int64_t)leaf_type(leaf->path[leaf->depth]).type, err) &&
         hf_thrift_put_list(out, &m, 2, HF_THRIFT_INT32, 2, err) && hf_thrift_put_varint(out, HF_PARQUET_PLAIN << 1, err) &&
         hf_thrift_put_varint(out, HF_PARQUET_RLE << 1, err) && put_path(out, &m, leaf, err) &&
         hf_thrift_put_int(out, &m, 4, HF_THRIFT_INT32, codecs[w->options->codec], err) &&
         hf_thrift_put_int(out, &m, 5, HF_THRIFT_INT64, chunk->entries, err) && hf_thrift_put_int(out, &m, 6, HF_THRIFT_INT64, (int64_t)chunk->whole, err) &&
         hf_thrift_put_int(out, &m, 7, HF_THRIFT_INT64, (int64_t)(end - chunk->start), err) &&
         hf_thrift_put_int(out, &m, 9, HF_THRIFT_INT64, (int64_t)chunk->start, err) && hf_thrift_put_stop(out, err) && hf_thrift_put_stop(out, err);
}

static bool put_group(Writer *w, int64_t first, int64_t end, HfError *err) {
  int last = 0;
  uint64_t whole = 0;
  w->group_count++;
  if (!hf_thrift_put_list(&w->groups, &last, 1, HF_THRIFT_STRUCT, (uint64_t)w->leaf_count, err)) return false;
  for (int i = 0; i < w->leaf_count; i++) {
    Chunk chunk;
    if (!put_chunk(w, &w->leaves[i], first, end, &chunk, err)) return hf_error_prefix(err, "column '%.80s'", w->leaves[i].names.data);
    if (!put_chunk_meta(w, &w->leaves[i], &chunk, w->file.written, err)) return false;
    whole += chunk.whole;
  }
  return hf_thrift_put_int(&w->groups, &last, 2, HF_THRIFT_INT64, (int64_t)whole, err) &&
         hf_thrift_put_int(&w->groups, &last, 3, HF_THRIFT_INT64, end - first, err) && hf_thrift_put_stop(&w->groups, err);
}

static bool put_key_value(HfBuffer *out, int *last, const char *key, const char *value, HfError *err) {
  int inner = 0;
  return hf_thrift_put_list(out, last, 5, HF_THRIFT_STRUCT, 1, err) && hf_thrift_put_text(out, &inner, 1, key, strlen(key), err) &&
         hf_thrift_put_text(out, &inner, 2, value, strlen(value), err) && hf_thrift_put_stop(out, err);
}

/* FileMetaData, then its length and the magic. */
static bool put_footer(Writer *w, HfError *err) {
  HfBuffer out = {0};
  int last = 0;
  const char *features = w->options->features;
  bool ok = hf_thrift_put_int(&out, &last, 1, HF_THRIFT_INT32, 2, err) &&
            hf_thrift_put_list(&out, &last, 2, HF_THRIFT_STRUCT, (uint64_t)w->element_count, err) &&
            hf_buffer_append(&out, w->schema.data, w->schema.size, err) && hf_thrift_put_int(&out, &last, 3, HF_THRIFT_INT64, w->table->length, err) &&
            hf_thrift_put_list(&out, &last, 4, HF_THRIFT_STRUCT, (uint64_t)w->group_count, err) &&
            hf_buffer_append(&out, w->groups.data, w->groups.size, err) && (!features || put_key_value(&out, &last, "huggingface", features, err)) &&
            hf_thrift_put_text(&out, &last, 6, "hflua", 5, err) && hf_thrift_put_stop(&out, err);
  uint32_t size = (uint32_t)out.size;
  ok = ok && hf_buffer_append(&out, &size, 4, err) && hf_buffer_append(&out, HF_PARQUET_MAGIC, 4, err) &&
       hf_file_writer_write(&w->file, out.data, out.size, err);
  hf_buffer_free(&out);
  return ok;
}

static bool put_file(Writer *w, HfError *err) {
  int64_t length = w->table->length, step = w->options->group_rows > 0 ? w->options->group_rows : GROUP_ROWS;
  if (!put_schema(w, err) || !hf_file_writer_write(&w->file, HF_PARQUET_MAGIC, 4, err)) return false;
  for (int64_t first = 0; first < length; first += step)
    if (!put_group(w, first, first + step < length ? first + step : length, err)) return false;
  return put_footer(w, err);
}

static void free_writer(Writer *w) {
  for (int i = 0; i < w->leaf_count; i++) hf_buffer_free(&w->leaves[i].names);
  hf_free(w->leaves);
  HfBuffer *buffers[] = {&w->schema, &w->groups, &w->defs, &w->reps, &w->values, &w->page, &w->packed};
  for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) hf_buffer_free(buffers[i]);
}

bool hf_parquet_write(const HfTable *table, const char *path, const HfParquetWriteOptions *options, HfError *err) {
  HfTable *flat = hf_table_flatten(table, err);
  if (!flat) return false;
  Writer w = {.table = flat, .options = options};
  bool ok = hf_codec_open(options->codec, err) && hf_file_writer_open(&w.file, path, err);
  if (ok) {
    ok = put_file(&w, err);
    if (ok) ok = hf_file_writer_commit(&w.file, err);
    else hf_file_writer_abort(&w.file);
  }
  free_writer(&w);
  hf_table_release(flat);
  return ok;
}
