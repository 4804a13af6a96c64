/* Batches: rows of a column stacked or padded into a tensor. */
#include "collate.h"

/* The dtype for values of a column type; false when they are no numbers. */
static bool tensor_dtype(HfColumnType type, HfDtype *out) {
  if (hf_column_type_is_int(type)) *out = HF_INT64;
  else if (hf_column_type_is_float(type)) *out = HF_FLOAT32;
  else if (type == HF_COLUMN_BOOL) *out = HF_BOOL;
  else return false;
  return true;
}

static bool check_type(const HfField *field, const HfColumn *values, HfDtype *dtype, HfError *err) {
  if (tensor_dtype(values->type, dtype)) return true;
  if (values->type == HF_COLUMN_STRING)
    return hf_error_set(err, "column '%s' is text: remove_columns{\"%s\"}", field->name, field->name);
  return hf_error_set(err, "column '%s' holds %ss, which make no tensor: remove_columns{\"%s\"}, or give a collate_fn", field->name,
                      hf_column_type_name(values->type), field->name);
}

static bool refuse_null(const HfField *field, int64_t row, HfError *err) {
  return hf_error_set(err, "column '%s': row %lld is None, which no tensor can hold", field->name, (long long)row + 1);
}

/* Values [first, first + count) to out[at..]. */
static bool copy_values(const HfColumn *values, int64_t first, int64_t count, HfDtype dtype, void *out, int64_t at) {
  for (int64_t i = 0; i < count; i++) {
    if (hf_column_is_null(values, first + i)) return false;
    if (dtype == HF_INT64) ((int64_t *)out)[at + i] = hf_column_int(values, first + i);
    else if (dtype == HF_FLOAT32) ((float *)out)[at + i] = (float)hf_column_number(values, first + i);
    else ((uint8_t *)out)[at + i] = hf_column_int(values, first + i) != 0;
  }
  return true;
}

static void fill(HfDtype dtype, void *out, int64_t at, int64_t count, double value) {
  for (int64_t i = at; i < at + count; i++) {
    if (dtype == HF_INT64) ((int64_t *)out)[i] = (int64_t)value;
    else if (dtype == HF_FLOAT32) ((float *)out)[i] = (float)value;
    else ((uint8_t *)out)[i] = value != 0;
  }
}

/* The common length of the lists, or without padding the error that there is none. */
static bool batch_width(const HfField *field, const int64_t *rows, int64_t count, const HfPadding *padding, int64_t *width, HfError *err) {
  const int64_t *offsets = field->column->offsets;
  *width = padding ? padding->width : -1;
  for (int64_t i = 0; i < count; i++) {
    int64_t at = hf_field_row(field, rows[i]), length = offsets[at + 1] - offsets[at];
    if (hf_column_is_null(field->column, at)) return refuse_null(field, rows[i], err);
    if (!padding && *width >= 0 && *width != length)
      return hf_error_set(err, "column '%s': row %lld has %lld values, row %lld has %lld: pad them when tokenizing (padding = \"max_length\"), "
                          "or give the loader a collate_fn that pads (DataCollatorWithPadding)",
                          field->name, (long long)rows[0] + 1, (long long)*width, (long long)rows[i] + 1, (long long)length);
    if (length > *width) *width = length;
  }
  if (*width < 0) *width = 0;
  return true;
}

static HfTensor *collate_lists(const HfField *field, const int64_t *rows, int64_t count, const HfPadding *padding, HfError *err) {
  HfDtype dtype;
  int64_t width;
  const HfColumn *c = field->column, *values = c->children[0];
  if (!check_type(field, values, &dtype, err) || !batch_width(field, rows, count, padding, &width, err)) return NULL;
  HfTensor *t = hf_tensor_empty(dtype, 2, (int64_t[]){count, width}, hf_device_cpu(), err);
  void *out = t ? hf_tensor_data(t) : NULL;
  for (int64_t i = 0; t && i < count; i++) {
    int64_t row = hf_field_row(field, rows[i]), first = c->offsets[row], length = c->offsets[row + 1] - first;
    int64_t gap = width - length, before = padding && padding->left ? gap : 0;
    if (gap) fill(dtype, out, i * width + (before ? 0 : length), gap, padding->value);
    if (copy_values(values, first, length, dtype, out, i * width + before)) continue;
    refuse_null(field, rows[i], err);
    hf_tensor_release(t);
    return NULL;
  }
  return t;
}

static HfTensor *collate_numbers(const HfField *field, const int64_t *rows, int64_t count, HfError *err) {
  HfDtype dtype;
  if (!check_type(field, field->column, &dtype, err)) return NULL;
  HfTensor *t = hf_tensor_empty(dtype, 1, &count, hf_device_cpu(), err);
  for (int64_t i = 0; t && i < count; i++) {
    if (copy_values(field->column, hf_field_row(field, rows[i]), 1, dtype, hf_tensor_data(t), i)) continue;
    refuse_null(field, rows[i], err);
    hf_tensor_release(t);
    return NULL;
  }
  return t;
}

HfTensor *hf_field_collate(const HfField *field, const int64_t *rows, int64_t count, const HfPadding *padding, HfError *err) {
  if (field->column->type == HF_COLUMN_LIST) return collate_lists(field, rows, count, padding, err);
  return collate_numbers(field, rows, count, err);
}
