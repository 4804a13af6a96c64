/* Arrow's schema, by the field numbers of Schema.fbs; see arrow_schema.h. */
#include "arrow_schema.h"
#include <string.h>
#include "utf8.h"

#define MAX_DEPTH 32
#define MAX_FIELDS 100000

/* The members of the union Type. */
typedef enum ArrowType {
  TYPE_NULL = 1, TYPE_INT, TYPE_FLOAT, TYPE_BINARY, TYPE_UTF8, TYPE_BOOL, TYPE_DECIMAL, TYPE_DATE, TYPE_TIME, TYPE_TIMESTAMP, TYPE_INTERVAL,
  TYPE_LIST, TYPE_STRUCT, TYPE_UNION, TYPE_FIXED_BINARY, TYPE_FIXED_LIST, TYPE_MAP, TYPE_DURATION, TYPE_LARGE_BINARY, TYPE_LARGE_UTF8,
  TYPE_LARGE_LIST, TYPE_RUNS, TYPE_BINARY_VIEW, TYPE_UTF8_VIEW, TYPE_LIST_VIEW, TYPE_LARGE_LIST_VIEW
} ArrowType;

static const char *const type_names[] = {"none", "null", "int", "float", "binary", "utf8", "bool", "decimal", "date", "time", "timestamp", "interval",
    "list", "struct", "union", "fixed size binary", "fixed size list", "map", "duration", "large binary", "large utf8", "large list",
    "run-end encoded", "binary view", "utf8 view", "list view", "large list view"};

static bool fixed(HfArrowField *f, HfFormKind kind, HfColumnType type, int width) {
  f->shape = HF_ARROW_FIXED;
  f->form = (HfForm){.kind = kind, .type = type, .width = width};
  return true;
}

static bool texts(HfArrowField *f, HfFormKind kind, int offset_size) {
  f->shape = HF_ARROW_BYTES;
  f->form = (HfForm){.kind = kind, .type = HF_COLUMN_STRING};
  f->offset_size = offset_size;
  return true;
}

static bool list(HfArrowField *f, int offset_size) {
  f->shape = HF_ARROW_LIST;
  f->form.type = HF_COLUMN_LIST;
  f->offset_size = offset_size;
  return true;
}

static bool read_int(HfArrowField *f, HfFlatTable t) {
  int64_t bits = hf_flat_int(t, 0, 4, 0);
  bool is_signed = hf_flat_int(t, 1, 1, 0);
  switch (bits) {
  case 8: return fixed(f, HF_FORM_AS_IS, is_signed ? HF_COLUMN_INT8 : HF_COLUMN_UINT8, 1);
  case 16: return is_signed ? fixed(f, HF_FORM_AS_IS, HF_COLUMN_INT16, 2) : fixed(f, HF_FORM_UINT16, HF_COLUMN_INT32, 2);
  case 32: return is_signed ? fixed(f, HF_FORM_AS_IS, HF_COLUMN_INT32, 4) : fixed(f, HF_FORM_UINT32, HF_COLUMN_INT64, 4);
  case 64: return fixed(f, is_signed ? HF_FORM_AS_IS : HF_FORM_UINT64, HF_COLUMN_INT64, 8);
  default: return false;
  }
}

static bool read_float(HfArrowField *f, HfFlatTable t) {
  switch (hf_flat_int(t, 0, 2, 0)) {
  case 0: return fixed(f, HF_FORM_HALF, HF_COLUMN_FLOAT32, 2);
  case 1: return fixed(f, HF_FORM_AS_IS, HF_COLUMN_FLOAT32, 4);
  case 2: return fixed(f, HF_FORM_AS_IS, HF_COLUMN_FLOAT64, 8);
  default: return false;
  }
}

static bool read_decimal(HfArrowField *f, HfFlatTable t) {
  int64_t scale = hf_flat_int(t, 1, 4, 0), bits = hf_flat_int(t, 2, 4, 128);
  fixed(f, HF_FORM_DECIMAL_LOW_FIRST, HF_COLUMN_STRING, (int)(bits / 8));
  f->form.scale = (int)scale;
  return scale >= 0 && scale <= 76 && (bits == 32 || bits == 64 || bits == 128 || bits == 256);
}

/* Units are seconds, milli-, micro-, nanoseconds: 0 to 3. */
static bool read_timed(HfArrowField *f, HfFormKind kind, int width, int64_t unit, bool utc) {
  fixed(f, kind, HF_COLUMN_STRING, width);
  f->form.digits = (int)unit * 3;
  f->form.utc = utc;
  return unit >= 0 && unit <= 3 && (width == 4 || width == 8);
}

static bool read_date(HfArrowField *f, HfFlatTable t) {
  return hf_flat_int(t, 0, 2, 1) == 0 ? fixed(f, HF_FORM_DATE, HF_COLUMN_STRING, 4) : fixed(f, HF_FORM_DATE_MILLISECONDS, HF_COLUMN_STRING, 8);
}

static bool read_fixed_list(HfArrowField *f, HfFlatTable t) {
  f->shape = HF_ARROW_FIXED_LIST;
  f->form.type = HF_COLUMN_LIST;
  f->list_size = hf_flat_int(t, 0, 4, 0);
  return f->list_size >= 0;
}

static bool read_fixed_binary(HfArrowField *f, HfFlatTable t) {
  int64_t width = hf_flat_int(t, 0, 4, 0);
  return fixed(f, HF_FORM_BYTES, HF_COLUMN_STRING, (int)width) && width > 0;
}

/* Shape and form of a type; false when there is no column for it. */
static bool read_type(HfArrowField *f, ArrowType type, HfFlatTable t) {
  switch (type) {
  case TYPE_NULL: return true; /* shape 0, form of nulls below */
  case TYPE_INT: return read_int(f, t);
  case TYPE_FLOAT: return read_float(f, t);
  case TYPE_BINARY: return texts(f, HF_FORM_BYTES, 4);
  case TYPE_UTF8: return texts(f, HF_FORM_UTF8, 4);
  case TYPE_LARGE_BINARY: return texts(f, HF_FORM_BYTES, 8);
  case TYPE_LARGE_UTF8: return texts(f, HF_FORM_UTF8, 8);
  case TYPE_BOOL: f->shape = HF_ARROW_BITS; return f->form = (HfForm){.type = HF_COLUMN_BOOL, .width = 1}, true;
  case TYPE_DECIMAL: return read_decimal(f, t);
  case TYPE_DATE: return read_date(f, t);
  case TYPE_TIME: return read_timed(f, HF_FORM_TIME, (int)hf_flat_int(t, 1, 4, 32) / 8, hf_flat_int(t, 0, 2, 1), false);
  case TYPE_TIMESTAMP: return read_timed(f, HF_FORM_TIMESTAMP, 8, hf_flat_int(t, 0, 2, 0), hf_flat_text(t, 1).size > 0);
  case TYPE_DURATION: return fixed(f, HF_FORM_AS_IS, HF_COLUMN_INT64, 8);
  case TYPE_FIXED_BINARY: return read_fixed_binary(f, t);
  case TYPE_LIST:
  case TYPE_MAP: return list(f, 4);
  case TYPE_LARGE_LIST: return list(f, 8);
  case TYPE_FIXED_LIST: return read_fixed_list(f, t);
  case TYPE_STRUCT: f->shape = HF_ARROW_STRUCT; return f->form.type = HF_COLUMN_STRUCT, true;
  default: return false;
  }
}

static bool read_dictionary(HfArrowField *f, HfFlatTable t) {
  HfFlatTable index = hf_flat_table(t, 1);
  int64_t bits = index.at ? hf_flat_int(index, 0, 4, 0) : 32;
  f->has_dictionary = t.at != 0;
  f->dictionary = hf_flat_int(t, 0, 8, 0);
  f->index_width = (int)bits / 8;
  f->index_signed = index.at ? hf_flat_int(index, 1, 1, 0) : true;
  return bits == 8 || bits == 16 || bits == 32 || bits == 64;
}

static bool set_name(HfArrowField *f, HfSpan name, HfError *err) {
  for (size_t at = 0, size; at < name.size; at += size)
    if (!name.bytes[at] || !(size = hf_utf8_length(name.bytes + at, name.size - at))) return hf_error_set(err, "a column's name is not UTF-8");
  return (f->name = hf_strndup(name.bytes ? name.bytes : "", name.size, err));
}

static HfArrowField *read_field(HfFlatTable t, int depth, int *left, HfError *err);

/* The fields of a struct have different names. */
static bool check_names(const HfArrowField *f, HfError *err) {
  const char **names = hf_malloc((size_t)f->child_count * sizeof *names, "schema", err), *twice = NULL;
  if (!names) return false;
  for (int i = 0; i < f->child_count; i++) names[i] = f->children[i]->name;
  if (f->shape == HF_ARROW_STRUCT) twice = hf_column_name_twice(names, f->child_count);
  hf_free(names);
  return !twice || hf_error_set(err, "two columns are called '%.80s'", twice);
}

static bool read_children(HfArrowField *f, HfFlatVector children, int depth, int *left, HfError *err) {
  if (children.count > *left) return hf_error_set(err, "there are more than %d fields", MAX_FIELDS);
  f->children = hf_calloc((size_t)children.count * sizeof *f->children, "schema", err);
  if (!f->children) return false;
  for (int64_t i = 0; i < children.count; i++) {
    if (!(f->children[i] = read_field(hf_flat_item(children, i), depth + 1, left, err))) return false;
    f->child_count++;
  }
  if (!check_names(f, err)) return false;
  bool is_list = f->shape == HF_ARROW_LIST || f->shape == HF_ARROW_FIXED_LIST;
  if (is_list ? f->child_count == 1 : f->shape == HF_ARROW_STRUCT || f->child_count == 0) return true;
  return hf_error_set(err, "column '%.80s': another number of parts than its type has", f->name);
}

static bool fill_field(HfArrowField *f, HfFlatTable t, int depth, int *left, HfError *err) {
  int64_t type = hf_flat_int(t, 2, 1, 0);
  HfFlatTable dictionary = hf_flat_table(t, 4);
  if (!set_name(f, hf_flat_text(t, 0), err)) return false;
  if (!read_type(f, (ArrowType)type, hf_flat_table(t, 3)))
    return hf_error_set(err, "column '%.80s': type %s is not supported", f->name, type > 0 && type <= TYPE_LARGE_LIST_VIEW ? type_names[type] : "unknown");
  if (dictionary.at && !read_dictionary(f, dictionary)) return hf_error_set(err, "column '%.80s': dictionary with unknown indices", f->name);
  return read_children(f, hf_flat_vector(t, 5, 4), depth, left, err);
}

static HfArrowField *read_field(HfFlatTable t, int depth, int *left, HfError *err) {
  if (depth > MAX_DEPTH || --*left < 0) return hf_error_set(err, "fields nest too deeply, or are too many"), NULL;
  if (!t.at) return hf_error_set(err, "a field is missing"), NULL;
  HfArrowField *f = hf_calloc(sizeof *f, "schema", err);
  if (f && fill_field(f, t, depth, left, err)) return f;
  hf_arrow_field_free(f);
  return NULL;
}

HfArrowField *hf_arrow_schema_read(HfFlatTable schema, HfError *err) {
  int left = MAX_FIELDS;
  if (hf_flat_int(schema, 0, 2, 0)) return hf_error_set(err, "big-endian values are not supported"), NULL;
  HfArrowField *root = hf_calloc(sizeof *root, "schema", err);
  if (!root) return NULL;
  root->shape = HF_ARROW_STRUCT;
  root->form.type = HF_COLUMN_STRUCT;
  if (set_name(root, (HfSpan){0}, err) && read_children(root, hf_flat_vector(schema, 1, 4), 0, &left, err)) {
    if (!schema.buffer->problem) return root;
    hf_error_set(err, "%s", schema.buffer->problem);
  }
  hf_arrow_field_free(root);
  return NULL;
}

void hf_arrow_field_free(HfArrowField *f) {
  if (!f) return;
  for (int i = 0; i < f->child_count; i++) hf_arrow_field_free(f->children[i]);
  hf_free(f->children);
  hf_free(f->name);
  hf_free(f);
}

const HfArrowField *hf_arrow_find_dictionary(const HfArrowField *f, int64_t id) {
  if (f->has_dictionary && f->dictionary == id) return f;
  const HfArrowField *found = NULL;
  for (int i = 0; !found && i < f->child_count; i++) found = hf_arrow_find_dictionary(f->children[i], id);
  return found;
}
