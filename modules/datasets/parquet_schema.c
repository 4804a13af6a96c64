/* Parquet's schema to columns; see parquet_schema.h. */
#include "parquet_schema.h"
#include <stdio.h>
#include <string.h>
#include "utf8.h"

#define MAX_DEPTH 32

/* The walk over the elements, which stand in depth-first order. */
typedef struct Walk {
  const HfParquetMeta *meta;
  int64_t at; /* the next element */
  HfParquetSchema *schema;
  const char *where;
  char path[96];
  HfError *err;
} Walk;

/* Levels at a node. */
typedef struct Levels {
  int def, parent_def, rep;
} Levels;

static void *fail(Walk *w, const char *what) {
  char shown[HF_EXCERPT_SIZE];
  hf_error_set(w->err, "%s: schema: column '%s': %s", w->where, hf_excerpt(shown, w->path, strlen(w->path)), what);
  return NULL;
}

static void free_node(HfParquetNode *n) {
  if (!n) return;
  for (int i = 0; i < n->child_count; i++) free_node(n->children[i]);
  hf_free(n->children);
  hf_free(n->name);
  hf_free(n);
}

/* ---- leaves */

static const int widths[HF_PARQUET_TYPE_COUNT] = {1, 4, 8, 12, 4, 8, 0, 0};

static bool is_text(const HfParquetElement *e) { return e->type == HF_PARQUET_BYTE_ARRAY || e->type == HF_PARQUET_FIXED; }
static bool is_whole(const HfParquetElement *e) { return e->type == HF_PARQUET_INT32 || e->type == HF_PARQUET_INT64; }

static void choose_integer(HfForm *form, const HfParquetElement *e) {
  if (e->type == HF_PARQUET_INT64) {
    if (e->bits == 64 && !e->is_signed) form->kind = HF_FORM_UINT64;
  } else if (e->bits == 8) {
    hf_form_set(form, HF_FORM_NARROW, e->is_signed ? HF_COLUMN_INT8 : HF_COLUMN_UINT8);
  } else if (e->bits == 16 && e->is_signed) {
    hf_form_set(form, HF_FORM_NARROW, HF_COLUMN_INT16);
  } else if (e->bits == 32 && !e->is_signed) {
    hf_form_set(form, HF_FORM_UINT32, HF_COLUMN_INT64);
  }
}

/* The form of the physical type, then what the logical type changes where it goes with it. */
static HfForm choose_form(const HfParquetElement *e) {
  static const HfColumnType plain[HF_PARQUET_TYPE_COUNT] = {HF_COLUMN_BOOL,    HF_COLUMN_INT32,   HF_COLUMN_INT64,  HF_COLUMN_STRING,
                                                            HF_COLUMN_FLOAT32, HF_COLUMN_FLOAT64, HF_COLUMN_STRING, HF_COLUMN_STRING};
  HfForm form = {.kind = is_text(e) ? HF_FORM_BYTES : e->type == HF_PARQUET_INT96 ? HF_FORM_INT96 : HF_FORM_AS_IS, .type = plain[e->type],
                 .width = e->type == HF_PARQUET_FIXED ? e->type_length : widths[e->type], .digits = e->digits, .utc = e->utc, .scale = e->scale};
  switch (e->logical) {
  case HF_PARQUET_STRING:
    if (e->type == HF_PARQUET_BYTE_ARRAY) form.kind = HF_FORM_UTF8;
    break;
  case HF_PARQUET_INTEGER:
    if (is_whole(e)) choose_integer(&form, e);
    break;
  case HF_PARQUET_DECIMAL:
    if (is_whole(e) || is_text(e)) hf_form_set(&form, is_whole(e) ? HF_FORM_DECIMAL_LOW_FIRST : HF_FORM_DECIMAL, HF_COLUMN_STRING);
    break;
  case HF_PARQUET_DATE:
    if (e->type == HF_PARQUET_INT32) hf_form_set(&form, HF_FORM_DATE, HF_COLUMN_STRING);
    break;
  case HF_PARQUET_TIME:
    if (e->type == (e->digits == 3 ? HF_PARQUET_INT32 : HF_PARQUET_INT64)) hf_form_set(&form, HF_FORM_TIME, HF_COLUMN_STRING);
    break;
  case HF_PARQUET_TIMESTAMP:
    if (e->type == HF_PARQUET_INT64) hf_form_set(&form, HF_FORM_TIMESTAMP, HF_COLUMN_STRING);
    break;
  case HF_PARQUET_UUID:
    if (form.width == 16) form.kind = HF_FORM_UUID;
    break;
  case HF_PARQUET_FLOAT16:
    if (e->type == HF_PARQUET_FIXED && form.width == 2) hf_form_set(&form, HF_FORM_HALF, HF_COLUMN_FLOAT32);
    break;
  case HF_PARQUET_NULL: hf_form_set(&form, HF_FORM_NULL, HF_COLUMN_NULL); break;
  default: break;
  }
  return form;
}

static bool check_leaf(Walk *w, const HfParquetElement *e) {
  if (e->type < 0 || e->type >= HF_PARQUET_TYPE_COUNT) return fail(w, "unknown type");
  if (e->type == HF_PARQUET_FIXED && e->type_length <= 0) return fail(w, "type_length: expected at least 1");
  if (e->logical == HF_PARQUET_DECIMAL && (e->scale < 0 || e->scale > 76)) return fail(w, "decimal: scale: expected 0 to 76");
  if (e->logical == HF_PARQUET_DECIMAL && e->type == HF_PARQUET_FIXED && e->type_length > 32) return fail(w, "decimal: expected at most 32 bytes");
  bool timed = e->logical == HF_PARQUET_TIME || e->logical == HF_PARQUET_TIMESTAMP;
  return !timed || e->digits || fail(w, "time without a unit");
}

static bool add_leaf(Walk *w, HfParquetNode *n, const HfParquetElement *e) {
  HfParquetSchema *s = w->schema;
  HfParquetLeaf leaf = {.element = e, .max_def = n->def, .max_rep = n->rep};
  if (!check_leaf(w, e)) return false;
  leaf.form = choose_form(e);
  memcpy(leaf.path, w->path, sizeof leaf.path);
  HfParquetLeaf *leaves = hf_realloc(s->leaves, ((size_t)s->leaf_count + 1) * sizeof *leaves, "schema", w->err);
  if (!leaves) return false;
  s->leaves = leaves;
  leaves[s->leaf_count++] = leaf;
  n->type = leaf.form.type;
  return true;
}

/* ---- nodes */

static HfParquetNode *new_node(Walk *w, HfColumnType type, Levels levels) {
  HfParquetNode *n = hf_calloc(sizeof *n, "schema", w->err);
  if (n) *n = (HfParquetNode){.type = type, .def = levels.def, .parent_def = levels.parent_def, .rep = levels.rep, .first_leaf = w->schema->leaf_count};
  return n;
}

static bool adopt(Walk *w, HfParquetNode *n, HfParquetNode *child) {
  HfParquetNode **children = child ? hf_realloc(n->children, ((size_t)n->child_count + 1) * sizeof *children, "schema", w->err) : NULL;
  if (children) {
    n->children = children;
    children[n->child_count++] = child;
  } else {
    free_node(child);
  }
  return children;
}

static const HfParquetElement *next_element(Walk *w) {
  if (w->at < w->meta->element_count) return &w->meta->elements[w->at++];
  return fail(w, "the schema ends early");
}

static HfParquetNode *read_node(Walk *w, Levels levels, int depth);
static HfParquetNode *read_body(Walk *w, const HfParquetElement *e, Levels levels, int depth);

/* The list whose item is described by `e` itself or, without it, comes next. */
static HfParquetNode *read_list(Walk *w, const HfParquetElement *e, Levels levels, int depth) {
  HfParquetNode *list = new_node(w, HF_COLUMN_LIST, levels);
  if (!list) return NULL;
  Levels inner = {.def = levels.def + 1, .parent_def = levels.def + 1, .rep = levels.rep + 1};
  HfParquetNode *item = e ? read_body(w, e, inner, depth + 1) : read_node(w, inner, depth + 1);
  if (item && adopt(w, list, item)) {
    hf_free(item->name);
    item->name = NULL;
    list->leaf_count = w->schema->leaf_count - list->first_leaf;
    return list;
  }
  free_node(list);
  return NULL;
}

/* True when the repeated group is the item itself (the older two levels), false when its only field is. */
static bool is_item(const HfParquetElement *list, const HfParquetElement *repeated, const HfParquetElement *field) {
  HfSpan name = repeated->name;
  if (repeated->child_count != 1 || repeated->logical == HF_PARQUET_LIST || repeated->logical == HF_PARQUET_MAP) return true;
  if (field && field->repetition == HF_PARQUET_REPEATED) return true;
  if (name.size == 5 && !memcmp(name.bytes, "array", 5)) return true;
  size_t size = list->name.size;
  return name.size == size + 6 && !memcmp(name.bytes, list->name.bytes, size) && !memcmp(name.bytes + size, "_tuple", 6);
}

/* Adds an element's name to the path in errors; the caller cuts it again. */
static void add_to_path(Walk *w, const HfParquetElement *e) {
  size_t used = strlen(w->path);
  snprintf(w->path + used, sizeof w->path - used, "%s%.*s", used ? "." : "", (int)(e->name.size < 90 ? e->name.size : 90), e->name.bytes);
}

/* A group annotated as list or map: one repeated child. NULL with err set when it is not of that form. */
static HfParquetNode *read_annotated(Walk *w, const HfParquetElement *e, Levels levels, int depth) {
  const HfParquetElement *repeated = next_element(w);
  if (!repeated) return NULL;
  add_to_path(w, repeated);
  if (repeated->repetition != HF_PARQUET_REPEATED) return fail(w, "expected a repeated field in a list or map");
  bool group = repeated->type < 0;
  const HfParquetElement *field = group && w->at < w->meta->element_count ? &w->meta->elements[w->at] : NULL;
  bool whole = !group || (e->logical == HF_PARQUET_MAP ? repeated->child_count != 1 : is_item(e, repeated, field)); /* keys alone: a list */
  return read_list(w, whole ? repeated : NULL, levels, depth);
}

static HfParquetNode *read_struct(Walk *w, const HfParquetElement *e, Levels levels, int depth) {
  HfParquetNode *n = new_node(w, HF_COLUMN_STRUCT, levels);
  for (int i = 0; n && i < e->child_count; i++) {
    HfParquetNode *child = read_node(w, levels, depth + 1);
    if (child && adopt(w, n, child)) continue;
    free_node(n);
    return NULL;
  }
  if (n) n->leaf_count = w->schema->leaf_count - n->first_leaf;
  return n;
}

static HfParquetNode *read_leaf(Walk *w, const HfParquetElement *e, Levels levels) {
  HfParquetNode *n = new_node(w, HF_COLUMN_NULL, levels);
  if (n && add_leaf(w, n, e)) {
    n->leaf_count = 1;
    return n;
  }
  free_node(n);
  return NULL;
}

/* What stands below an element, whose repetition is in `levels` already. */
static HfParquetNode *read_body(Walk *w, const HfParquetElement *e, Levels levels, int depth) {
  if (depth > MAX_DEPTH) return fail(w, "columns nest too deeply");
  if (e->type >= 0) return read_leaf(w, e, levels);
  if (e->child_count < 1) return fail(w, "a group without fields");
  bool annotated = (e->logical == HF_PARQUET_LIST || e->logical == HF_PARQUET_MAP) && e->child_count == 1;
  return annotated && w->at < w->meta->element_count && w->meta->elements[w->at].repetition == HF_PARQUET_REPEATED
             ? read_annotated(w, e, levels, depth)
             : read_struct(w, e, levels, depth);
}

static bool set_name(Walk *w, HfParquetNode *n, const HfParquetElement *e) {
  if (memchr(e->name.bytes, 0, e->name.size)) return fail(w, "its name holds a NUL byte");
  for (size_t at = 0, size; at < e->name.size; at += size)
    if (!(size = hf_utf8_length(e->name.bytes + at, e->name.size - at))) return fail(w, "its name is not UTF-8");
  return (n->name = hf_strndup(e->name.bytes, e->name.size, w->err));
}

/* The next element with all below it. */
static HfParquetNode *read_node(Walk *w, Levels levels, int depth) {
  const HfParquetElement *e = next_element(w);
  if (!e) return NULL;
  size_t path = strlen(w->path);
  add_to_path(w, e);
  HfParquetNode *n;
  if (e->repetition == HF_PARQUET_REPEATED) {
    n = read_list(w, e, levels, depth);
  } else {
    levels.def += e->repetition == HF_PARQUET_OPTIONAL;
    n = read_body(w, e, levels, depth);
  }
  if (n && !set_name(w, n, e)) {
    free_node(n);
    n = NULL;
  }
  w->path[path] = 0;
  return n;
}

/* The fields of a struct have different names, here and below. */
static bool check_names(Walk *w, const HfParquetNode *n) {
  const char **names = hf_malloc((size_t)n->child_count * sizeof *names, "schema", w->err), *twice = NULL;
  bool ok = names;
  if (ok && n->type == HF_COLUMN_STRUCT) {
    for (int i = 0; i < n->child_count; i++) names[i] = n->children[i]->name;
    twice = hf_column_name_twice(names, n->child_count);
  }
  if (twice) ok = hf_error_set(w->err, "%s: schema: two columns are called '%.80s'", w->where, twice);
  hf_free(names);
  for (int i = 0; ok && i < n->child_count; i++) ok = check_names(w, n->children[i]);
  return ok;
}

bool hf_parquet_schema_make(HfParquetSchema *schema, const HfParquetMeta *meta, const char *where, HfError *err) {
  *schema = (HfParquetSchema){0};
  Walk w = {.meta = meta, .at = 1, .schema = schema, .where = where, .err = err};
  const HfParquetElement *root = &meta->elements[0];
  if (root->child_count < 0 || root->child_count > meta->element_count) return hf_error_set(err, "%s: schema: the schema ends early", where);
  schema->root = read_struct(&w, root, (Levels){0}, 0);
  if (!schema->root) return false;
  if (w.at != meta->element_count) return hf_error_set(err, "%s: schema: elements are left over", where);
  return check_names(&w, schema->root);
}

void hf_parquet_schema_free(HfParquetSchema *schema) {
  free_node(schema->root);
  hf_free(schema->leaves);
}
