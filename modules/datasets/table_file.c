/* Tables in files of our own; the layout is in table_file.h. */
#include "table_file.h"
#include <string.h>
#include "hash.h"

#define MAGIC "hflua table " HF_TABLE_FORMAT "\n\0\0"
#define MAGIC_SIZE 16
#define END_MARK "hftable\n"
#define TRAILER_SIZE 24
#define ALIGNMENT 64
#define NO_NAME UINT32_MAX

/* ---- writing */

typedef struct Output {
  HfFileWriter file;
  HfHash hash;
  HfBuffer description;
} Output;

static bool put(Output *out, const void *bytes, uint64_t size, HfError *err) {
  hf_hash_add(&out->hash, bytes, size);
  return hf_file_writer_write(&out->file, bytes, size, err);
}

static bool describe(Output *out, const void *bytes, size_t size, HfError *err) {
  return hf_buffer_append(&out->description, bytes, size, err);
}

static bool describe_number(Output *out, uint64_t number, HfError *err) { return describe(out, &number, sizeof number, err); }

static bool describe_name(Output *out, const char *name, HfError *err) {
  uint32_t size = name ? (uint32_t)strlen(name) : NO_NAME;
  return describe(out, &size, sizeof size, err) && (!name || describe(out, name, size, err));
}

/* Writes a block and describes where it is and how large. */
static bool put_block(Output *out, const void *bytes, uint64_t size, HfError *err) {
  static const char zeros[ALIGNMENT];
  uint64_t padding = (ALIGNMENT - out->file.written % ALIGNMENT) % ALIGNMENT;
  return put(out, zeros, padding, err) && describe_number(out, out->file.written, err) && describe_number(out, size, err) &&
         put(out, bytes, size, err);
}

static uint64_t values_size(const HfColumn *c) {
  if (c->type == HF_COLUMN_STRING) return (uint64_t)c->offsets[c->length];
  return (uint64_t)c->length * hf_column_type_size(c->type);
}

static bool put_column(Output *out, const HfColumn *c, HfError *err) {
  uint64_t length = (uint64_t)c->length, offsets_size = c->offsets ? (length + 1) * sizeof *c->offsets : 0;
  bool ok = describe_number(out, (uint64_t)c->type, err) && describe_number(out, length, err) &&
            describe_number(out, (uint64_t)c->child_count, err) && put_block(out, c->valid, c->valid ? length : 0, err) &&
            put_block(out, c->values, values_size(c), err) && put_block(out, c->offsets, offsets_size, err);
  for (int i = 0; ok && i < c->child_count; i++) ok = describe_name(out, c->names[i], err) && put_column(out, c->children[i], err);
  return ok;
}

static bool put_table(Output *out, const HfTable *t, HfError *err) {
  bool ok = put(out, MAGIC, MAGIC_SIZE, err) && describe_number(out, (uint64_t)t->length, err) && describe_number(out, (uint64_t)t->count, err);
  for (int i = 0; ok && i < t->count; i++)
    ok = describe_name(out, t->fields[i].name, err) && put_column(out, t->fields[i].column, err);
  uint64_t description = out->file.written;
  ok = ok && put(out, out->description.data, out->description.size, err) && put(out, &description, sizeof description, err);
  uint64_t sum = hf_hash_end(&out->hash);
  return ok && put(out, &sum, sizeof sum, err) && put(out, END_MARK, 8, err);
}

bool hf_table_save(const HfTable *table, const char *path, HfError *err) {
  Output out = {0};
  hf_hash_begin(&out.hash);
  HfTable *flat = hf_table_flatten(table, err);
  if (!flat) return false;
  bool ok = hf_file_writer_open(&out.file, path, err);
  if (ok) {
    ok = put_table(&out, flat, err);
    if (ok) ok = hf_file_writer_commit(&out.file, err);
    else hf_file_writer_abort(&out.file);
  }
  hf_buffer_free(&out.description);
  hf_table_release(flat);
  return ok;
}

/* ---- reading: everything is checked against the bytes that are there */

typedef struct Input {
  HfMapping *mapping;
  const char *where;
  const unsigned char *at, *end; /* of the description */
  uint64_t blocks_end;           /* where the description begins */
} Input;

static bool damaged(const Input *in, const char *what, HfError *err) {
  return hf_error_set(err, "%s: %s: the file is damaged; remove it, it will be made again", in->where, what);
}

static bool get_number(Input *in, uint64_t *out, HfError *err) {
  *out = 0;
  if (in->end - in->at < 8) return damaged(in, "description ends early", err);
  memcpy(out, in->at, 8);
  in->at += 8;
  return true;
}

static bool get_name(Input *in, char **out, HfError *err) {
  uint32_t size;
  *out = NULL;
  if (in->end - in->at < 4) return damaged(in, "description ends early", err);
  memcpy(&size, in->at, 4);
  in->at += 4;
  if (size == NO_NAME) return true;
  if (size > (size_t)(in->end - in->at)) return damaged(in, "name ends early", err);
  *out = hf_strndup((const char *)in->at, size, err);
  in->at += size;
  return *out != NULL;
}

/* A block of exactly `expected` bytes; UINT64_MAX: of any size. */
static bool get_block(Input *in, const void **block, uint64_t expected, uint64_t *found, HfError *err) {
  uint64_t offset, size;
  if (!get_number(in, &offset, err) || !get_number(in, &size, err)) return false;
  if (offset % ALIGNMENT || offset > in->blocks_end || size > in->blocks_end - offset) return damaged(in, "block lies outside the file", err);
  if (expected != UINT64_MAX && size != expected) return damaged(in, "block has another size", err);
  *block = (const char *)in->mapping->data + offset;
  *found = size;
  return true;
}

/* Offsets begin at 0, never fall, and end at `limit`. */
static bool check_offsets(const Input *in, const HfColumn *c, uint64_t limit, HfError *err) {
  if (c->offsets[0]) return damaged(in, "offsets do not begin at 0", err);
  for (int64_t i = 0; i < c->length; i++)
    if (c->offsets[i + 1] < c->offsets[i]) return damaged(in, "offsets fall", err);
  if ((uint64_t)c->offsets[c->length] != limit) return damaged(in, "offsets end elsewhere than their values", err);
  return true;
}

static HfColumn *get_column(Input *in, int depth, HfError *err);

static bool get_blocks(Input *in, HfColumn *c, HfError *err) {
  uint64_t length = (uint64_t)c->length, size, text_size;
  bool has_offsets = c->type == HF_COLUMN_STRING || c->type == HF_COLUMN_LIST;
  const void *valid, *offsets;
  if (!get_block(in, &valid, UINT64_MAX, &size, err)) return false;
  if (size && size != length) return damaged(in, "marks have another size", err);
  c->valid = size ? valid : NULL;
  uint64_t expected = c->type == HF_COLUMN_STRING ? UINT64_MAX : length * hf_column_type_size(c->type);
  if (!get_block(in, &c->values, expected, &text_size, err)) return false;
  if (!get_block(in, &offsets, has_offsets ? (length + 1) * sizeof *c->offsets : 0, &size, err)) return false;
  c->offsets = has_offsets ? offsets : NULL;
  return c->type != HF_COLUMN_STRING || check_offsets(in, c, text_size, err);
}

static bool get_children(Input *in, HfColumn *c, int depth, HfError *err) {
  for (int i = 0; i < c->child_count; i++) {
    if (!get_name(in, &c->names[i], err) || !(c->children[i] = get_column(in, depth + 1, err))) return false;
    if (c->type == HF_COLUMN_STRUCT && (!c->names[i] || c->children[i]->length != c->length)) return damaged(in, "field has another length", err);
  }
  return c->type != HF_COLUMN_LIST || check_offsets(in, c, (uint64_t)c->children[0]->length, err);
}

static HfColumn *get_column(Input *in, int depth, HfError *err) {
  uint64_t type, length, children;
  if (depth > HF_COLUMN_MAX_DEPTH) return damaged(in, "columns nest too deeply", err), NULL;
  if (!get_number(in, &type, err) || !get_number(in, &length, err) || !get_number(in, &children, err)) return NULL;
  bool nested = type == HF_COLUMN_LIST || type == HF_COLUMN_STRUCT;
  if (type >= HF_COLUMN_TYPE_COUNT || length > 1ULL << 48) return damaged(in, "column of unknown type or length", err), NULL;
  if ((type == HF_COLUMN_LIST && children != 1) || (!nested && children) || children > (uint64_t)(in->end - in->at) / 4)
    return damaged(in, "column has an impossible number of fields", err), NULL;
  HfColumn *c = hf_column_new((HfColumnType)type, (int64_t)length, (int)children, err);
  if (!c) return NULL;
  hf_mapping_retain(c->mapping = in->mapping);
  if (get_blocks(in, c, err) && get_children(in, c, depth, err)) return c;
  hf_column_release(c);
  return NULL;
}

static bool get_field(Input *in, HfTable *t, HfError *err) {
  char *name;
  if (!get_name(in, &name, err)) return false;
  HfColumn *column = name ? get_column(in, 0, err) : NULL;
  bool ok = column && column->length == t->length;
  if (!name || (column && !ok)) damaged(in, "column without a name or of another length", err);
  ok = ok && hf_table_add(t, name, column, NULL, err);
  hf_column_release(column);
  hf_free(name);
  return ok;
}

static bool check_frame(Input *in, HfError *err) {
  const unsigned char *data = in->mapping->data;
  uint64_t size = in->mapping->size, description, sum;
  if (size < MAGIC_SIZE + TRAILER_SIZE || memcmp(data, MAGIC, MAGIC_SIZE) || memcmp(data + size - 8, END_MARK, 8))
    return damaged(in, "expected a table of hflua", err);
  memcpy(&description, data + size - TRAILER_SIZE, 8);
  memcpy(&sum, data + size - 16, 8);
  HfHash hash;
  hf_hash_begin(&hash);
  hf_hash_add(&hash, data, size - 16);
  if (hf_hash_end(&hash) != sum) return damaged(in, "the check sum differs", err);
  if (description < MAGIC_SIZE || description > size - TRAILER_SIZE) return damaged(in, "description lies outside the file", err);
  in->at = data + description;
  in->end = data + size - TRAILER_SIZE;
  in->blocks_end = description;
  return true;
}

HfTable *hf_table_open(HfMapping *mapping, const char *where, HfError *err) {
  Input in = {.mapping = mapping, .where = where};
  uint64_t length, count;
  if (!check_frame(&in, err) || !get_number(&in, &length, err) || !get_number(&in, &count, err)) return NULL;
  if (length > 1ULL << 48) return damaged(&in, "impossible number of rows", err), NULL;
  HfTable *t = hf_table_new((int64_t)length, err);
  bool ok = t;
  for (uint64_t i = 0; ok && i < count; i++) ok = get_field(&in, t, err);
  if (ok) return t;
  hf_table_release(t);
  return NULL;
}

HfTable *hf_table_load(const char *path, HfError *err) {
  HfMapping *mapping = hf_file_map(path, err);
  HfTable *table = mapping ? hf_table_open(mapping, path, err) : NULL;
  hf_mapping_release(mapping);
  return table;
}
