/* Columns cast to other types, ClassLabels among them. */
#include "cast.h"
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "json_write.h"

HfSchema *hf_schema_new(HfColumnType type, int child_count, int64_t label_count, HfError *err) {
  HfSchema *s = hf_calloc(sizeof *s, "column type", err);
  if (!s) return NULL;
  *s = (HfSchema){.type = type, .child_count = child_count, .label_count = label_count};
  s->children = hf_calloc((size_t)child_count * sizeof *s->children, "column type", err);
  s->names = s->children ? hf_calloc((size_t)child_count * sizeof *s->names, "column type", err) : NULL;
  s->labels = s->names ? hf_calloc((size_t)label_count * sizeof *s->labels, "label names", err) : NULL;
  if (s->labels) return s;
  *s = (HfSchema){.children = s->children, .names = s->names};
  hf_schema_free(s);
  return NULL;
}

void hf_schema_free(HfSchema *s) {
  if (!s) return;
  for (int i = 0; i < s->child_count; i++) {
    hf_schema_free(s->children[i]);
    hf_free(s->names[i]);
  }
  for (int64_t i = 0; i < s->label_count; i++) hf_free(s->labels[i]);
  hf_free(s->children);
  hf_free(s->names);
  hf_free(s->labels);
  hf_free(s);
}

static HfBuilder *schema_builder(const HfSchema *s, HfError *err) {
  HfBuilder *b = hf_builder_new_typed(s->type, err);
  for (int i = 0; b && i < s->child_count; i++) {
    HfBuilder *child = schema_builder(s->children[i], err);
    if (child && hf_builder_adopt(b, s->names[i], child, err)) continue;
    hf_builder_free(b);
    return NULL;
  }
  return b;
}

static bool no_way(const HfColumn *c, const HfSchema *s, HfError *err) {
  return hf_error_set(err, "%s cannot become %s", hf_column_type_name(c->type), hf_column_type_name(s->type));
}

static bool not_a(const char *type, const char *text, size_t size, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  return hf_error_set(err, "'%s' is not %s", hf_excerpt(shown, text, size), type);
}

/* The label of a name, among few or many: names of a ClassLabel are few, so they are walked. */
static bool find_label(const HfSchema *s, const char *name, size_t size, int64_t *out) {
  for (int64_t i = 0; i < s->label_count; i++) {
    if (strlen(s->labels[i]) != size || memcmp(s->labels[i], name, size)) continue;
    *out = i;
    return true;
  }
  return false;
}

static bool cast_whole(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  int64_t value = 0;
  size_t size;
  if (c->type == HF_COLUMN_STRING) {
    const char *text = hf_column_text(c, row, &size);
    bool known = s->label_count && find_label(s, text, size, &value);
    if (!known && !hf_text_integer(text, size, &value))
      return not_a(s->label_count ? "one of the names of the ClassLabel" : "a whole number", text, size, err);
  } else if (hf_column_type_is_float(c->type)) {
    double number = hf_column_number(c, row);
    if (number != floor(number) || fabs(number) > 9007199254740992.0) return hf_error_set(err, "%.17g is not a whole number", number);
    value = (int64_t)number;
  } else if (c->child_count) {
    return no_way(c, s, err);
  } else {
    value = hf_column_int(c, row);
  }
  if (s->label_count && value == -1) return hf_builder_add_int(b, value, err); /* HF's "no label" of test splits */
  if (s->label_count && (value < 0 || value >= s->label_count))
    return hf_error_set(err, "label %" PRId64 " is outside 0..%" PRId64 " of the ClassLabel", value, s->label_count - 1);
  return hf_builder_add_int(b, value, err);
}

static bool cast_float(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  double number;
  size_t size;
  if (c->child_count) return no_way(c, s, err);
  if (c->type != HF_COLUMN_STRING) return hf_builder_add_float(b, hf_column_number(c, row), err);
  const char *text = hf_column_text(c, row, &size);
  return hf_text_number(text, size, &number) ? hf_builder_add_float(b, number, err) : not_a("a number", text, size, err);
}

static bool cast_bool(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  bool value;
  size_t size;
  if (c->child_count) return no_way(c, s, err);
  if (c->type != HF_COLUMN_STRING) return hf_builder_add_bool(b, hf_column_number(c, row) != 0, err);
  const char *text = hf_column_text(c, row, &size);
  return hf_text_boolean(text, size, &value) ? hf_builder_add_bool(b, value, err) : not_a("true or false", text, size, err);
}

static bool cast_text(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  char number[HF_REPR_SIZE];
  if (c->child_count) return no_way(c, s, err);
  if (c->type == HF_COLUMN_STRING) return hf_builder_add_cell(b, c, row, err);
  if (c->type == HF_COLUMN_BOOL) {
    const char *text = hf_column_int(c, row) ? "true" : "false";
    return hf_builder_add_text(b, text, strlen(text), err);
  }
  double value = hf_column_number(c, row);
  if (!isfinite(value)) snprintf(number, sizeof number, "%s", isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
  else if (hf_column_type_is_float(c->type)) hf_double_repr(value, number);
  else snprintf(number, sizeof number, "%" PRId64, hf_column_int(c, row));
  char *whole = strstr(number, ".0");
  if (whole && !whole[2]) *whole = 0; /* 2.0 is written "2", as Arrow does */
  return hf_builder_add_text(b, number, strlen(number), err);
}

static bool cast_cell(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err);

static bool cast_list(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  if (c->type != HF_COLUMN_LIST) return no_way(c, s, err);
  HfBuilder *child = hf_builder_begin_list(b, err);
  for (int64_t i = c->offsets[row]; child && i < c->offsets[row + 1]; i++)
    if (!cast_cell(child, s->children[0], c->children[0], i, err))
      return hf_error_prefix(err, "item %lld", (long long)(i - c->offsets[row] + 1));
  return child && hf_builder_end_list(b, err);
}

static bool cast_struct(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  if (c->type != HF_COLUMN_STRUCT) return no_way(c, s, err);
  if (!hf_builder_begin_struct(b, err)) return false;
  for (int i = 0; i < s->child_count; i++)
    for (int j = 0; j < c->child_count; j++)
      if (!strcmp(s->names[i], c->names[j]) && !cast_cell(b->children[i], s->children[i], c->children[j], row, err))
        return hf_error_prefix(err, "field '%s'", s->names[i]);
  return hf_builder_end_struct(b, err);
}

static bool cast_cell(HfBuilder *b, const HfSchema *s, const HfColumn *c, int64_t row, HfError *err) {
  if (hf_column_is_null(c, row)) return hf_builder_add_null(b, err);
  switch (s->type) {
  case HF_COLUMN_NULL: return no_way(c, s, err);
  case HF_COLUMN_BOOL: return cast_bool(b, s, c, row, err);
  case HF_COLUMN_FLOAT32:
  case HF_COLUMN_FLOAT64: return cast_float(b, s, c, row, err);
  case HF_COLUMN_STRING: return cast_text(b, s, c, row, err);
  case HF_COLUMN_LIST: return cast_list(b, s, c, row, err);
  case HF_COLUMN_STRUCT: return cast_struct(b, s, c, row, err);
  default: return cast_whole(b, s, c, row, err);
  }
}

HfColumn *hf_field_cast(const HfField *field, int64_t length, const HfSchema *schema, HfError *err) {
  HfBuilder *b = schema_builder(schema, err);
  bool ok = b;
  for (int64_t row = 0; ok && row < length; row++) {
    ok = cast_cell(b, schema, field->column, hf_field_row(field, row), err);
    if (!ok) hf_error_prefix(err, "column '%s': row %lld", field->name, (long long)row + 1);
  }
  HfColumn *column = ok ? hf_builder_finish(b, err) : NULL;
  hf_builder_free(b);
  return column;
}
