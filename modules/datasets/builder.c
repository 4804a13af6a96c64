/* HfBuilder: typed growth of a column, with inference of the type. */
#include "builder.h"
#include <string.h>

HfBuilder *hf_builder_new(HfColumnType int_type, HfError *err) {
  HfBuilder *b = hf_calloc(sizeof *b, "column builder", err);
  if (b) b->int_type = int_type;
  return b;
}

HfBuilder *hf_builder_new_typed(HfColumnType type, HfError *err) {
  HfBuilder *b = hf_builder_new(hf_column_type_is_int(type) ? type : HF_COLUMN_INT64, err);
  if (!b) return NULL;
  b->type = type;
  b->fixed = true;
  return b;
}

void hf_builder_free(HfBuilder *b) {
  if (!b) return;
  for (int i = 0; i < b->child_count; i++) {
    hf_builder_free(b->children[i]);
    hf_free(b->names[i]);
  }
  hf_free(b->children);
  hf_free(b->names);
  hf_buffer_free(&b->values);
  hf_buffer_free(&b->offsets);
  hf_buffer_free(&b->valid);
  hf_free(b);
}

bool hf_builder_adopt(HfBuilder *b, const char *name, HfBuilder *child, HfError *err) {
  size_t slots = (size_t)b->child_count + 1;
  HfBuilder **children = hf_realloc(b->children, slots * sizeof *children, "column builder", err);
  if (children) b->children = children;
  char **names = children ? hf_realloc(b->names, slots * sizeof *names, "column builder", err) : NULL;
  if (names) b->names = names;
  char *copy = names && name ? hf_strndup(name, strlen(name), err) : NULL;
  if (!names || (name && !copy)) {
    hf_builder_free(child);
    return false;
  }
  b->children[b->child_count] = child;
  b->names[b->child_count++] = copy;
  return true;
}

static HfBuilder *new_child(HfBuilder *b, const char *name, HfError *err) {
  HfBuilder *child = hf_builder_new(b->int_type, err);
  return child && hf_builder_adopt(b, name, child, err) ? child : NULL;
}

/* Offsets, or zeroed numbers, of the nulls that came before the type was known. */
static bool fill_before(HfBuilder *b, HfError *err) {
  HfBuffer *filled = hf_column_type_size(b->type) ? &b->values : &b->offsets;
  size_t width = hf_column_type_size(b->type) ? hf_column_type_size(b->type) : sizeof(int64_t);
  if (b->type == HF_COLUMN_STRUCT || b->type == HF_COLUMN_NULL) return true;
  size_t bytes = (size_t)b->length * width;
  if (!hf_buffer_reserve(filled, bytes, err)) return false;
  memset(filled->data, 0, bytes);
  filled->size = bytes;
  return true;
}

static bool mismatch(const HfBuilder *b, const char *found, HfError *err) {
  return hf_error_set(err, "expected %s as in the rows before, found %s", hf_column_type_name(b->type), found);
}

/* Makes the builder one of `type`, if it has no type yet. */
static bool become(HfBuilder *b, HfColumnType type, HfError *err) {
  if (b->type != HF_COLUMN_NULL) return true;
  b->type = type;
  return fill_before(b, err);
}

/* One more valid or null mark; the marks begin with the first null. */
static bool mark(HfBuilder *b, bool valid, HfError *err) {
  if (valid && !b->valid.size) return true;
  if (!b->valid.size) {
    if (!hf_buffer_reserve(&b->valid, (size_t)b->length + 1, err)) return false;
    memset(b->valid.data, 1, (size_t)b->length);
    b->valid.size = (size_t)b->length;
  }
  return hf_buffer_append(&b->valid, &(char){(char)valid}, 1, err);
}

static bool put_int(HfBuffer *out, HfColumnType type, int64_t value, HfError *err) {
  switch (hf_column_type_size(type)) {
  case 1: return hf_buffer_append(out, &(int8_t){(int8_t)value}, 1, err);
  case 2: return hf_buffer_append(out, &(int16_t){(int16_t)value}, 2, err);
  case 4: return hf_buffer_append(out, &(int32_t){(int32_t)value}, 4, err);
  default: return hf_buffer_append(out, &value, 8, err);
  }
}

static bool int_fits(HfColumnType type, int64_t v) {
  switch (type) {
  case HF_COLUMN_INT8: return v >= INT8_MIN && v <= INT8_MAX;
  case HF_COLUMN_INT16: return v >= INT16_MIN && v <= INT16_MAX;
  case HF_COLUMN_INT32: return v >= INT32_MIN && v <= INT32_MAX;
  case HF_COLUMN_UINT8: return v >= 0 && v <= UINT8_MAX;
  default: return true;
  }
}

/* Rewrites the numbers so far as `type`: int64 or float64. */
static bool convert_values(HfBuilder *b, HfColumnType type, HfError *err) {
  HfColumn old = {.type = b->type, .length = b->length, .values = b->values.data};
  HfBuffer values = {0};
  bool ok = true;
  for (int64_t i = 0; ok && i < b->length; i++) {
    int64_t v = hf_column_int(&old, i);
    double d = (double)v;
    if (type == HF_COLUMN_INT64) ok = hf_buffer_append(&values, &v, 8, err);
    else if (v < -(1LL << 53) || v > 1LL << 53)
      ok = hf_error_set(err, "whole number %lld of an earlier row is not exact among floats", (long long)v);
    else ok = hf_buffer_append(&values, &d, 8, err);
  }
  hf_buffer_free(ok ? &b->values : &values);
  if (ok) b->values = values, b->type = type;
  return ok;
}

bool hf_builder_add_null(HfBuilder *b, HfError *err) {
  size_t width = hf_column_type_size(b->type);
  if (!mark(b, false, err)) return false;
  if (width && !hf_buffer_append(&b->values, &(int64_t){0}, width, err)) return false;
  if (b->type == HF_COLUMN_STRING && !hf_buffer_append(&b->offsets, &(int64_t){(int64_t)b->values.size}, 8, err))
    return false;
  if (b->type == HF_COLUMN_LIST) {
    int64_t end = b->child_count ? b->children[0]->length : 0;
    if (!hf_buffer_append(&b->offsets, &end, 8, err)) return false;
  }
  for (int i = 0; b->type == HF_COLUMN_STRUCT && i < b->child_count; i++)
    if (!hf_builder_add_null(b->children[i], err)) return false;
  b->length++;
  return true;
}

bool hf_builder_add_bool(HfBuilder *b, bool value, HfError *err) {
  if (!become(b, HF_COLUMN_BOOL, err)) return false;
  if (b->type != HF_COLUMN_BOOL) return mismatch(b, value ? "true" : "false", err);
  if (!mark(b, true, err) || !hf_buffer_append(&b->values, &(char){value}, 1, err)) return false;
  b->length++;
  return true;
}

bool hf_builder_add_int(HfBuilder *b, int64_t value, HfError *err) {
  if (hf_column_type_is_float(b->type)) {
    if (value < -(1LL << 53) || value > 1LL << 53)
      return hf_error_set(err, "whole number %lld is not exact among floats", (long long)value);
    return hf_builder_add_float(b, (double)value, err);
  }
  if (!become(b, b->int_type, err)) return false;
  if (!hf_column_type_is_int(b->type))
    return hf_error_set(err, "expected %s as in the rows before, found %lld", hf_column_type_name(b->type), (long long)value);
  if (!int_fits(b->type, value)) {
    if (b->fixed) return hf_error_set(err, "%lld does not fit %s", (long long)value, hf_column_type_name(b->type));
    if (!convert_values(b, HF_COLUMN_INT64, err)) return false;
  }
  if (!mark(b, true, err) || !put_int(&b->values, b->type, value, err)) return false;
  b->length++;
  return true;
}

bool hf_builder_add_ints(HfBuilder *b, const int32_t *values, int64_t count, HfError *err) {
  bool plain = b->type == HF_COLUMN_INT32 && !b->valid.size;
  for (int64_t i = 0; !plain && i < count; i++)
    if (!hf_builder_add_int(b, values[i], err)) return false;
  if (plain && !hf_buffer_append(&b->values, values, (size_t)count * sizeof *values, err)) return false;
  b->length += plain ? count : 0;
  return true;
}

bool hf_builder_add_float(HfBuilder *b, double value, HfError *err) {
  if (!become(b, HF_COLUMN_FLOAT64, err)) return false;
  if (hf_column_type_is_int(b->type) && !b->fixed && !convert_values(b, HF_COLUMN_FLOAT64, err)) return false;
  if (!hf_column_type_is_float(b->type))
    return hf_error_set(err, "expected %s as in the rows before, found %.17g", hf_column_type_name(b->type), value);
  if (!mark(b, true, err)) return false;
  bool ok = b->type == HF_COLUMN_FLOAT32 ? hf_buffer_append(&b->values, &(float){(float)value}, 4, err)
                                         : hf_buffer_append(&b->values, &value, 8, err);
  b->length += ok;
  return ok;
}

bool hf_builder_add_text(HfBuilder *b, const char *text, size_t size, HfError *err) {
  if (!become(b, HF_COLUMN_STRING, err)) return false;
  if (b->type != HF_COLUMN_STRING) {
    char shown[HF_EXCERPT_SIZE];
    return hf_error_set(err, "expected %s as in the rows before, found text '%s'", hf_column_type_name(b->type),
                        hf_excerpt(shown, text, size));
  }
  if (!mark(b, true, err) || !hf_buffer_append(&b->values, text, size, err)) return false;
  if (!hf_buffer_append(&b->offsets, &(int64_t){(int64_t)b->values.size}, 8, err)) return false;
  b->length++;
  return true;
}

HfBuilder *hf_builder_begin_list(HfBuilder *b, HfError *err) {
  if (!become(b, HF_COLUMN_LIST, err)) return NULL;
  if (b->type != HF_COLUMN_LIST) return mismatch(b, "a list", err), NULL;
  return b->child_count ? b->children[0] : new_child(b, NULL, err);
}

bool hf_builder_end_list(HfBuilder *b, HfError *err) {
  int64_t end = b->children[0]->length;
  if (!mark(b, true, err) || !hf_buffer_append(&b->offsets, &end, 8, err)) return false;
  b->length++;
  return true;
}

bool hf_builder_begin_struct(HfBuilder *b, HfError *err) {
  if (!become(b, HF_COLUMN_STRUCT, err)) return false;
  return b->type == HF_COLUMN_STRUCT || mismatch(b, "a table with named fields", err);
}

int hf_builder_find_field(const HfBuilder *b, const char *name) {
  for (int i = 0; b->type == HF_COLUMN_STRUCT && i < b->child_count; i++)
    if (!strcmp(b->names[i], name)) return i;
  return -1;
}

HfBuilder *hf_builder_field(HfBuilder *b, const char *name, HfError *err) {
  int at = hf_builder_find_field(b, name);
  if (at >= 0) return b->children[at];
  if (b->fixed) return hf_error_set(err, "unknown field '%.80s'", name), NULL;
  HfBuilder *child = new_child(b, name, err);
  while (child && child->length < b->length)
    if (!hf_builder_add_null(child, err)) return NULL;
  return child;
}

bool hf_builder_end_struct(HfBuilder *b, HfError *err) {
  for (int i = 0; i < b->child_count; i++)
    if (b->children[i]->length == b->length && !hf_builder_add_null(b->children[i], err)) return false;
  if (!mark(b, true, err)) return false;
  b->length++;
  return true;
}

static bool add_list_cell(HfBuilder *b, const HfColumn *c, int64_t row, HfError *err) {
  HfBuilder *child = hf_builder_begin_list(b, err);
  if (!child) return false;
  for (int64_t i = c->offsets[row]; i < c->offsets[row + 1]; i++)
    if (!hf_builder_add_cell(child, c->children[0], i, err)) return false;
  return hf_builder_end_list(b, err);
}

static bool add_struct_cell(HfBuilder *b, const HfColumn *c, int64_t row, HfError *err) {
  if (!hf_builder_begin_struct(b, err)) return false;
  for (int i = 0; i < c->child_count; i++) {
    HfBuilder *child = hf_builder_field(b, c->names[i], err);
    if (!child || !hf_builder_add_cell(child, c->children[i], row, err)) return false;
  }
  return hf_builder_end_struct(b, err);
}

bool hf_builder_add_cell(HfBuilder *b, const HfColumn *c, int64_t row, HfError *err) {
  size_t size;
  if (hf_column_is_null(c, row)) return hf_builder_add_null(b, err);
  switch (c->type) {
  case HF_COLUMN_BOOL: return hf_builder_add_bool(b, hf_column_int(c, row), err);
  case HF_COLUMN_FLOAT32:
  case HF_COLUMN_FLOAT64: return hf_builder_add_float(b, hf_column_number(c, row), err);
  case HF_COLUMN_STRING: {
    const char *text = hf_column_text(c, row, &size);
    return hf_builder_add_text(b, text, size, err);
  }
  case HF_COLUMN_LIST: return add_list_cell(b, c, row, err);
  case HF_COLUMN_STRUCT: return add_struct_cell(b, c, row, err);
  default: return hf_builder_add_int(b, hf_column_int(c, row), err);
  }
}

/* Moves the bytes out of a buffer, cut to size. */
static void *take(HfBuffer *buffer) {
  void *data = buffer->data;
  HfError ignored;
  void *smaller = data && buffer->size < buffer->capacity / 2 ? hf_realloc(data, buffer->size + 1, "column", &ignored) : NULL;
  *buffer = (HfBuffer){0};
  return smaller ? smaller : data;
}

/* The offsets with the leading 0 that the builder leaves out. */
static int64_t *take_offsets(HfBuilder *b, HfError *err) {
  int64_t *offsets = hf_malloc(((size_t)b->length + 1) * sizeof *offsets, "column offsets", err);
  if (!offsets) return NULL;
  offsets[0] = 0;
  if (b->length) memcpy(offsets + 1, b->offsets.data, (size_t)b->length * sizeof *offsets);
  hf_buffer_free(&b->offsets);
  return offsets;
}

HfColumn *hf_builder_finish(HfBuilder *b, HfError *err) {
  bool nested = b->type == HF_COLUMN_LIST || b->type == HF_COLUMN_STRUCT;
  if (b->type == HF_COLUMN_LIST && !b->child_count && !new_child(b, NULL, err)) return NULL;
  if (!nested && !hf_buffer_reserve(&b->values, 1, err)) return NULL; /* values are never a null pointer */
  HfColumn *c = hf_column_new(b->type, b->length, nested ? b->child_count : 0, err);
  if (!c) return NULL;
  bool ok = true;
  for (int i = 0; ok && i < c->child_count; i++) {
    c->children[i] = hf_builder_finish(b->children[i], err);
    if (b->names[i]) c->names[i] = hf_strndup(b->names[i], strlen(b->names[i]), err);
    ok = c->children[i] && (!b->names[i] || c->names[i]);
  }
  if (ok && (b->type == HF_COLUMN_STRING || b->type == HF_COLUMN_LIST)) ok = (c->offsets = take_offsets(b, err));
  if (!ok) {
    hf_column_release(c);
    return NULL;
  }
  c->values = take(&b->values);
  c->valid = take(&b->valid);
  b->length = 0;
  return c;
}
