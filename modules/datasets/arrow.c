/* Arrow IPC: messages of metadata and body, one after another; see arrow.h. Fields are numbered as in Message.fbs. */
#include "arrow.h"
#include <string.h>
#include "arrow_schema.h"
#include "codec.h"

#define FILE_MAGIC "ARROW1"
#define BUFFER_LIMIT ((size_t)4 << 30)
#define UNBACKED_ROWS (1 << 27) /* rows that may stand there without bytes of their own */

typedef struct Dictionary {
  int64_t id;
  HfColumn *values;
} Dictionary;

typedef struct Reader {
  const uint8_t *at, *end;
  size_t limit;
  HfBuffer *features;
  HfArrowField *schema; /* NULL until it was read */
  Dictionary *dictionaries;
  int dictionary_count;
  HfTable **batches;
  int batch_count;
} Reader;

/* One record batch while it is read: nodes and buffers are taken in order. */
typedef struct Batch {
  Reader *r;
  HfFlatVector nodes, buffers;
  int64_t node, buffer; /* the next ones */
  HfCodec codec;
  const uint8_t *body;
  size_t body_size;
} Batch;

static const char ends_early[] = "it ends early: an incomplete file, or none of Arrow";

enum { NODE_SIZE = 16, BUFFER_SIZE = 16 };

/* ---- buffers of a batch */

/* Bytes of a buffer; they are in `own` when they had to be decompressed. */
typedef struct Block {
  const uint8_t *bytes;
  size_t size;
  HfBuffer own;
} Block;

static bool decompress(Batch *b, Block *block, HfError *err) {
  int64_t expected;
  if (block->size < 8) return hf_error_set(err, "a compressed buffer is too short");
  memcpy(&expected, block->bytes, 8);
  block->bytes += 8;
  block->size -= 8;
  if (expected == -1) return true; /* left as it was */
  if (expected < 0 || (size_t)expected > b->r->limit) return hf_error_set(err, "a buffer has an impossible size: %lld", (long long)expected);
  if (!hf_decompress(b->codec, block->bytes, block->size, (size_t)expected, &block->own, err)) return false;
  block->bytes = (const uint8_t *)block->own.data;
  block->size = block->own.size;
  return true;
}

/* The next buffer of the batch; the caller frees block->own. */
static bool next_buffer(Batch *b, Block *block, HfError *err) {
  *block = (Block){0};
  if (b->buffer >= b->buffers.count) return hf_error_set(err, "the batch has too few buffers");
  int64_t offset = hf_flat_item_int64(b->buffers, b->buffer, BUFFER_SIZE, 0), size = hf_flat_item_int64(b->buffers, b->buffer, BUFFER_SIZE, 8);
  b->buffer++;
  if (offset < 0 || size < 0 || (size_t)offset > b->body_size || (size_t)size > b->body_size - (size_t)offset)
    return hf_error_set(err, "a buffer lies outside of the message");
  block->bytes = b->body + offset;
  block->size = (size_t)size;
  return b->codec == HF_CODEC_NONE || size == 0 || decompress(b, block, err);
}

static bool short_buffer(HfError *err) { return hf_error_set(err, "a buffer has fewer bytes than its values take"); }

static bool need(const Block *block, int64_t count, size_t width, HfError *err) {
  return (uint64_t)count <= block->size / width || short_buffer(err);
}

/* ---- columns. A column is made of the rows first .. first + count of its node: what a sliced list leaves out is passed over. */

typedef struct Range {
  int64_t first, count;
} Range;

static bool bit_at(const uint8_t *bits, int64_t i) { return bits[i >> 3] >> (i & 7) & 1; }

/* The validity buffer to marks; *present: rows that are not null. */
static bool read_valid(Batch *b, int64_t nulls, Range rows, HfColumn *c, int64_t *present, HfError *err) {
  Block block;
  *present = rows.count;
  bool ok = next_buffer(b, &block, err);
  if (ok && nulls && block.size) {
    ok = (uint64_t)(rows.first + rows.count + 7) / 8 <= block.size || short_buffer(err);
    uint8_t *valid = ok ? hf_malloc((size_t)rows.count, "column", err) : NULL;
    for (int64_t i = 0; valid && i < rows.count; i++) *present -= !(valid[i] = bit_at(block.bytes, rows.first + i));
    c->valid = valid;
    ok = valid;
  }
  hf_buffer_free(&block.own);
  return ok;
}

static bool read_bits(Batch *b, Range rows, HfColumn *c, HfError *err) {
  Block block;
  bool ok = next_buffer(b, &block, err) && ((uint64_t)(rows.first + rows.count + 7) / 8 <= block.size || short_buffer(err));
  uint8_t *values = ok ? hf_malloc((size_t)rows.count, "column", err) : NULL;
  for (int64_t i = 0; values && i < rows.count; i++) values[i] = bit_at(block.bytes, rows.first + i);
  c->values = values;
  hf_buffer_free(&block.own);
  return values;
}

/* The values of rows that are not null, side by side; NULL with err set for want of memory. `bytes` itself when there are no nulls. */
static const uint8_t *only_present(const uint8_t *bytes, size_t width, const HfColumn *c, HfBuffer *store, HfError *err) {
  if (!c->valid) return bytes;
  if (!hf_buffer_reserve(store, (size_t)c->length * width, err)) return NULL;
  for (int64_t i = 0; i < c->length; i++) {
    if (!c->valid[i]) continue;
    memcpy(store->data + store->size, bytes + (size_t)i * width, width);
    store->size += width;
  }
  return (const uint8_t *)store->data;
}

static bool place(Batch *b, const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t present, HfColumn *c, HfError *err) {
  HfBuffer values = {0}, offsets = {0};
  bool ok = hf_form_append(form, fixed, spans, present, b->r->limit, &values, &offsets, err) && hf_column_place(c, &values, &offsets, present, err);
  hf_buffer_free(&values);
  hf_buffer_free(&offsets);
  return ok;
}

static bool read_fixed(Batch *b, const HfArrowField *f, Range rows, int64_t present, HfColumn *c, HfError *err) {
  Block block;
  HfBuffer store = {0};
  size_t width = (size_t)f->form.width;
  bool ok = next_buffer(b, &block, err) && need(&block, rows.first + rows.count, width, err);
  const uint8_t *bytes = ok ? block.bytes + (size_t)rows.first * width : NULL;
  if (ok && present == 0) bytes = (const uint8_t *)"";
  else if (ok) bytes = only_present(bytes, width, c, &store, err);
  ok = ok && bytes && place(b, &f->form, bytes, NULL, present, c, err);
  hf_buffer_free(&store);
  hf_buffer_free(&block.own);
  return ok;
}

/* Offset i of a buffer of offsets of 4 or 8 bytes. */
static int64_t offset_at(const Block *block, int size, int64_t i) {
  int32_t narrow;
  int64_t wide;
  if (size == 8) return memcpy(&wide, block->bytes + i * 8, 8), wide;
  return memcpy(&narrow, block->bytes + i * 4, 4), narrow;
}

/* The rows' offsets, beginning at 0; *first: where that is. They never fall. An empty column may have none. */
static int64_t *read_offsets(Batch *b, int size, Range rows, int64_t *first, HfError *err) {
  Block block;
  int64_t *offsets = NULL;
  bool ok = next_buffer(b, &block, err), none = ok && !block.size && !rows.count && !rows.first;
  *first = 0;
  ok = ok && (none || need(&block, rows.first + rows.count + 1, (size_t)size, err)) &&
       (offsets = hf_malloc(((size_t)rows.count + 1) * sizeof *offsets, "column offsets", err));
  if (ok) {
    offsets[0] = 0;
    *first = none ? 0 : offset_at(&block, size, rows.first);
    if (*first < 0) ok = hf_error_set(err, "an offset is negative");
  }
  int64_t last = *first;
  for (int64_t i = 1; ok && i <= rows.count; i++) {
    int64_t at = offset_at(&block, size, rows.first + i);
    if (at < last) ok = hf_error_set(err, "offsets fall");
    else offsets[i] = (last = at) - *first;
  }
  hf_buffer_free(&block.own);
  if (ok) return offsets;
  hf_free(offsets);
  return NULL;
}

/* Copies the texts as they lie there; what nulls have between them is kept. */
static bool read_texts(Batch *b, const HfArrowField *f, Range rows, HfColumn *c, HfError *err) {
  Block block = {0};
  int64_t first, *offsets = read_offsets(b, f->offset_size, rows, &first, err);
  c->offsets = offsets;
  if (!offsets) return false;
  int64_t size = offsets[rows.count];
  bool ok = next_buffer(b, &block, err);
  ok = ok && (((uint64_t)first <= block.size && (uint64_t)size <= block.size - (uint64_t)first) || short_buffer(err));
  char *values = ok ? hf_malloc((size_t)size, "column", err) : NULL;
  if (values && size) memcpy(values, block.bytes + first, (size_t)size);
  c->values = values;
  hf_buffer_free(&block.own);
  if (!values) return false;
  return f->form.kind != HF_FORM_UTF8 || hf_column_is_utf8(c) || hf_error_set(err, "expected texts in UTF-8, found other bytes");
}

static HfColumn *read_column(Batch *b, const HfArrowField *f, const Range *rows, HfError *err);

static bool read_child(Batch *b, const HfArrowField *f, int i, Range rows, HfColumn *c, HfError *err) {
  const HfArrowField *child = f->children[i];
  if (c->type == HF_COLUMN_STRUCT && !(c->names[i] = hf_strndup(child->name, strlen(child->name), err))) return false;
  return (c->children[i] = read_column(b, child, &rows, err));
}

static bool read_list(Batch *b, const HfArrowField *f, Range rows, HfColumn *c, HfError *err) {
  int64_t first, *offsets = read_offsets(b, f->offset_size, rows, &first, err);
  c->offsets = offsets;
  return offsets && read_child(b, f, 0, (Range){first, offsets[rows.count]}, c, err);
}

static bool read_fixed_list(Batch *b, const HfArrowField *f, Range rows, HfColumn *c, HfError *err) {
  int64_t first, count;
  if (rows.count > UNBACKED_ROWS || __builtin_mul_overflow(rows.first, f->list_size, &first) || __builtin_mul_overflow(rows.count, f->list_size, &count))
    return hf_error_set(err, "impossible number of items");
  int64_t *offsets = hf_malloc(((size_t)rows.count + 1) * sizeof *offsets, "column offsets", err);
  for (int64_t i = 0; offsets && i <= rows.count; i++) offsets[i] = i * f->list_size;
  c->offsets = offsets;
  return offsets && read_child(b, f, 0, (Range){first, count}, c, err);
}

static bool read_struct(Batch *b, const HfArrowField *f, Range rows, HfColumn *c, HfError *err) {
  for (int i = 0; i < f->child_count; i++)
    if (!read_child(b, f, i, rows, c, err)) return false;
  return true;
}

static bool read_values(Batch *b, const HfArrowField *f, Range rows, int64_t present, HfColumn *c, HfError *err) {
  switch (f->shape) {
  case HF_ARROW_BITS: return read_bits(b, rows, c, err);
  case HF_ARROW_FIXED: return read_fixed(b, f, rows, present, c, err);
  case HF_ARROW_BYTES: return read_texts(b, f, rows, c, err);
  case HF_ARROW_LIST: return read_list(b, f, rows, c, err);
  case HF_ARROW_FIXED_LIST: return read_fixed_list(b, f, rows, c, err);
  case HF_ARROW_STRUCT: return read_struct(b, f, rows, c, err);
  default: return (c->values = hf_malloc(0, "column", err));
  }
}

/* ---- dictionaries */

static Dictionary *find_dictionary(Reader *r, int64_t id) {
  for (int i = 0; i < r->dictionary_count; i++)
    if (r->dictionaries[i].id == id) return &r->dictionaries[i];
  return NULL;
}

static bool add_index(HfBuilder *b, const HfArrowField *f, const HfColumn *values, const uint8_t *bytes, size_t limit, HfError *err) {
  int64_t at = 0;
  memcpy(&at, bytes, (size_t)f->index_width);
  int unused = 64 - 8 * f->index_width;
  if (f->index_signed) at = (int64_t)((uint64_t)at << unused) >> unused;
  if (at < 0 || at >= values->length) return hf_error_set(err, "dictionary index %lld is outside of the %lld entries", (long long)at, (long long)values->length);
  if (b->values.size > limit) return hf_error_set(err, "the values of a dictionary's indices take more than %zu bytes", limit);
  return hf_builder_add_cell(b, values, at, err);
}

/* A column of indices as the values they stand for; `marks` holds the nulls. */
static HfColumn *resolve(Batch *b, const HfArrowField *f, Range rows, const HfColumn *marks, HfError *err) {
  Block block = {0};
  Dictionary *d = find_dictionary(b->r, f->dictionary);
  if (!d) return hf_error_set(err, "a dictionary is missing"), NULL;
  size_t width = (size_t)f->index_width;
  if (d->values->child_count) return hf_error_set(err, "a dictionary of nested values is not supported"), NULL;
  HfBuilder *builder = hf_builder_new_typed(d->values->type, err);
  bool ok = builder && next_buffer(b, &block, err) && need(&block, rows.first + rows.count, width, err);
  for (int64_t i = 0; ok && i < rows.count; i++) {
    const uint8_t *index = block.bytes + (size_t)(rows.first + i) * width;
    ok = marks->valid && !marks->valid[i] ? hf_builder_add_null(builder, err) : add_index(builder, f, d->values, index, b->r->limit, err);
  }
  HfColumn *c = ok ? hf_builder_finish(builder, err) : NULL;
  hf_builder_free(builder);
  hf_buffer_free(&block.own);
  return c;
}

/* ---- */

/* The next node as a column; `rows`: the part of it that is wanted, NULL: all. */
static HfColumn *read_column(Batch *b, const HfArrowField *f, const Range *rows, HfError *err) {
  if (b->node >= b->nodes.count) return hf_error_set(err, "the batch has too few columns"), NULL;
  int64_t length = hf_flat_item_int64(b->nodes, b->node, NODE_SIZE, 0), nulls = hf_flat_item_int64(b->nodes, b->node, NODE_SIZE, 8), present;
  b->node++;
  Range all = {0, length}, own = rows ? *rows : all;
  if (length < 0 || length > INT64_C(1) << 48 || own.first > length || own.count > length - own.first)
    return hf_error_set(err, "its number of values does not go with the column around it"), NULL;
  HfColumn *c = hf_column_new(f->form.type, own.count, f->has_dictionary ? 0 : f->child_count, err);
  bool null_type = f->shape == HF_ARROW_NULL && !f->has_dictionary;
  bool ok = c && (null_type || read_valid(b, nulls, own, c, &present, err));
  HfColumn *resolved = ok && f->has_dictionary ? resolve(b, f, own, c, err) : NULL;
  if (ok && f->has_dictionary) ok = resolved;
  else if (ok) ok = read_values(b, f, own, null_type ? 0 : present, c, err);
  if (ok && !resolved) return c;
  hf_column_release(c);
  return resolved;
}

/* ---- messages */

static bool read_codec(HfFlatTable batch, HfCodec *codec, HfError *err) {
  HfFlatTable compression = hf_flat_table(batch, 3);
  *codec = HF_CODEC_NONE;
  if (!compression.at) return true;
  int64_t number = hf_flat_int(compression, 0, 1, 0);
  if (number != 0 && number != 1) return hf_error_set(err, "unknown compression %lld", (long long)number);
  *codec = number ? HF_CODEC_ZSTD : HF_CODEC_LZ4_FRAME;
  return hf_codec_open(*codec, err);
}

static bool begin_batch(Reader *r, HfFlatTable table, const uint8_t *body, size_t body_size, Batch *b, HfError *err) {
  if (!r->schema) return hf_error_set(err, "values come before the schema");
  *b = (Batch){.r = r, .nodes = hf_flat_vector(table, 1, NODE_SIZE), .buffers = hf_flat_vector(table, 2, BUFFER_SIZE), .body = body, .body_size = body_size};
  return read_codec(table, &b->codec, err);
}

static bool add_batch(Reader *r, HfTable *table, HfError *err) {
  HfTable **batches = hf_realloc(r->batches, ((size_t)r->batch_count + 1) * sizeof *batches, "batches", err);
  if (!batches) return false;
  r->batches = batches;
  batches[r->batch_count++] = table;
  return true;
}

static bool fill_table(Batch *b, HfTable *t, HfError *err) {
  const HfArrowField *schema = b->r->schema;
  for (int i = 0; i < schema->child_count; i++) {
    HfColumn *c = read_column(b, schema->children[i], NULL, err);
    bool ok = c && (c->length == t->length || hf_error_set(err, "expected %lld rows, found %lld", (long long)t->length, (long long)c->length));
    ok = ok && hf_table_add(t, schema->children[i]->name, c, NULL, err);
    hf_column_release(c);
    if (!ok) return hf_error_prefix(err, "column '%.80s'", schema->children[i]->name);
  }
  return true;
}

static bool read_batch(Reader *r, HfFlatTable table, const uint8_t *body, size_t body_size, HfError *err) {
  Batch b;
  int64_t length = hf_flat_int(table, 0, 8, 0);
  if (!begin_batch(r, table, body, body_size, &b, err)) return false;
  if (length < 0 || length > INT64_C(1) << 48) return hf_error_set(err, "impossible number of rows: %lld", (long long)length);
  HfTable *t = hf_table_new(length, err);
  if (t && fill_table(&b, t, err) && add_batch(r, t, err)) return true;
  hf_table_release(t);
  return false;
}

/* Puts values under an id: behind those that are there, or in their place. */
static bool set_dictionary(Reader *r, int64_t id, HfColumn *values, bool more, HfError *err) {
  Dictionary *d = find_dictionary(r, id);
  if (!d) {
    Dictionary *all = hf_realloc(r->dictionaries, ((size_t)r->dictionary_count + 1) * sizeof *all, "dictionaries", err);
    if (!all) return hf_column_release(values), false;
    r->dictionaries = all;
    all[r->dictionary_count++] = (Dictionary){id, values};
    return true;
  }
  HfColumn *joined = more ? hf_column_concat((HfColumn *[]){d->values, values}, 2, err) : values;
  if (more) hf_column_release(values);
  if (!joined) return false;
  hf_column_release(d->values);
  d->values = joined;
  return true;
}

static bool read_dictionary_batch(Reader *r, HfFlatTable table, const uint8_t *body, size_t body_size, HfError *err) {
  Batch b;
  int64_t id = hf_flat_int(table, 0, 8, 0);
  HfFlatTable data = hf_flat_table(table, 1);
  if (!begin_batch(r, data, body, body_size, &b, err)) return false;
  const HfArrowField *field = hf_arrow_find_dictionary(r->schema, id);
  if (!field) return hf_error_set(err, "a dictionary that no column has");
  HfArrowField values = *field;
  values.has_dictionary = false;
  HfColumn *c = read_column(&b, &values, NULL, err);
  return c && set_dictionary(r, id, c, hf_flat_int(table, 2, 1, 0), err);
}

/* Keeps the schema's metadata "huggingface". */
static bool read_features(Reader *r, HfFlatTable schema, HfError *err) {
  HfFlatVector pairs = hf_flat_vector(schema, 2, 4);
  for (int64_t i = 0; r->features && i < pairs.count; i++) {
    HfFlatTable pair = hf_flat_item(pairs, i);
    HfSpan key = hf_flat_text(pair, 0), value = hf_flat_text(pair, 1);
    if (key.size == 11 && !memcmp(key.bytes, "huggingface", 11) && !hf_buffer_append(r->features, value.bytes, value.size, err)) return false;
  }
  return true;
}

static bool read_header(Reader *r, HfFlatTable message, const uint8_t *body, size_t body_size, HfError *err) {
  enum { SCHEMA = 1, DICTIONARY_BATCH = 2, RECORD_BATCH = 3 };
  HfFlatTable header = hf_flat_table(message, 2);
  switch (hf_flat_int(message, 1, 1, 0)) {
  case SCHEMA:
    if (r->schema) return hf_error_set(err, "a second schema");
    return (r->schema = hf_arrow_schema_read(header, err)) && read_features(r, header, err);
  case DICTIONARY_BATCH: return read_dictionary_batch(r, header, body, body_size, err);
  case RECORD_BATCH: return read_batch(r, header, body, body_size, err);
  default: return hf_error_set(err, "a message of unknown kind");
  }
}

/* One message: its size (behind a mark in all but old files), metadata, body. *more: false at the end. */
static bool read_message(Reader *r, bool *more, HfError *err) {
  uint32_t mark, size;
  size_t left = (size_t)(r->end - r->at);
  *more = left >= 4;
  if (!*more) return left == 0 || hf_error_set(err, ends_early);
  memcpy(&mark, r->at, 4);
  size_t head = mark == UINT32_MAX ? 8 : 4;
  if (left < head) return hf_error_set(err, ends_early);
  memcpy(&size, r->at + head - 4, 4);
  *more = size != 0;
  if (!*more) return true;
  if (size > left - head) return hf_error_set(err, ends_early);
  HfFlatBuffer buffer = hf_flat_over(r->at + head, size);
  HfFlatTable message = hf_flat_root(&buffer);
  int64_t body_size = hf_flat_int(message, 3, 8, 0);
  const uint8_t *body = r->at + head + size;
  if (body_size < 0 || body_size > r->end - body) return hf_error_set(err, ends_early);
  r->at = body + body_size;
  bool ok = read_header(r, message, body, (size_t)body_size, err);
  return buffer.problem ? hf_error_set(err, "metadata: %s", buffer.problem) : ok;
}

/* The messages of a file lie between its magic and a footer, which is passed over: it only repeats where they are. */
static bool find_messages(Reader *r, const uint8_t *bytes, size_t size, HfError *err) {
  uint32_t footer;
  r->at = bytes;
  r->end = bytes + size;
  if (size < 8 || memcmp(bytes, FILE_MAGIC, 6)) return true;
  if (size < 18 || memcmp(bytes + size - 6, FILE_MAGIC, 6)) return hf_error_set(err, ends_early);
  memcpy(&footer, bytes + size - 10, 4);
  if (footer > size - 18) return hf_error_set(err, "the footer is longer than the file");
  r->at = bytes + 8;
  r->end = bytes + size - 10 - footer;
  return true;
}

static bool read_all(Reader *r, const uint8_t *bytes, size_t size, HfError *err) {
  bool more = true;
  if (!find_messages(r, bytes, size, err)) return false;
  while (more)
    if (!read_message(r, &more, err)) return false;
  return r->schema || hf_error_set(err, "expected an Arrow file, found no schema");
}

static HfColumn *empty_column(const HfArrowField *f, HfError *err) {
  HfColumn *c = hf_column_new(f->form.type, 0, f->child_count, err);
  if (!c) return NULL;
  bool has_offsets = c->type == HF_COLUMN_STRING || c->type == HF_COLUMN_LIST;
  bool ok = (c->values = hf_malloc(0, "column", err)) && (!has_offsets || (c->offsets = hf_calloc(sizeof *c->offsets, "column offsets", err)));
  for (int i = 0; ok && i < c->child_count; i++) {
    const HfArrowField *child = f->children[i];
    ok = (c->type == HF_COLUMN_LIST || (c->names[i] = hf_strndup(child->name, strlen(child->name), err))) && (c->children[i] = empty_column(child, err));
  }
  if (ok) return c;
  hf_column_release(c);
  return NULL;
}

/* A table without rows for a file without batches. */
static bool add_empty(Reader *r, HfError *err) {
  HfTable *t = hf_table_new(0, err);
  bool ok = t;
  for (int i = 0; ok && i < r->schema->child_count; i++) {
    HfColumn *c = empty_column(r->schema->children[i], err);
    ok = c && hf_table_add(t, r->schema->children[i]->name, c, NULL, err);
    hf_column_release(c);
  }
  if (ok && add_batch(r, t, err)) return true;
  hf_table_release(t);
  return false;
}

static HfTable *join_batches(Reader *r, HfError *err) {
  if (!r->batch_count && !add_empty(r, err)) return NULL;
  if (r->batch_count > 1) return hf_table_concat(r->batches, r->batch_count, err);
  hf_table_retain(r->batches[0]);
  return r->batches[0];
}

HfTable *hf_arrow_parse(const void *bytes, size_t size, const char *where, size_t limit, HfBuffer *features, HfError *err) {
  HfError own = {0};
  Reader r = {.limit = limit ? limit : BUFFER_LIMIT, .features = features};
  HfTable *table = read_all(&r, bytes, size, &own) ? join_batches(&r, &own) : NULL;
  if (!table) {
    hf_error_prefix(&own, "%s", where);
    if (err) *err = own;
  }
  for (int i = 0; i < r.batch_count; i++) hf_table_release(r.batches[i]);
  for (int i = 0; i < r.dictionary_count; i++) hf_column_release(r.dictionaries[i].values);
  hf_free(r.batches);
  hf_free(r.dictionaries);
  hf_arrow_field_free(r.schema);
  return table;
}

HfTable *hf_arrow_read(const char *path, HfBuffer *features, HfError *err) {
  HfMapping *mapping = hf_file_map(path, err);
  if (!mapping) return NULL;
  const char *kind = hf_file_kind(mapping->data, mapping->size);
  HfTable *table = NULL;
  if (kind) hf_error_set(err, "%s: expected an Arrow file, found %s", path, kind);
  else table = hf_arrow_parse(mapping->data, mapping->size, path, 0, features, err);
  hf_mapping_release(mapping);
  return table;
}
