/* Columns of one type, one after another, block by block. */
#include <string.h>
#include "column.h"

static bool same_shape(const HfColumn *a, const HfColumn *b) {
  if (a->type != b->type || a->child_count != b->child_count) return false;
  for (int i = 0; i < a->child_count; i++) {
    if (a->names[i] && strcmp(a->names[i], b->names[i])) return false;
    if (!same_shape(a->children[i], b->children[i])) return false;
  }
  return true;
}

/* Nothing in it stands outside of its offsets. */
static bool is_tight(const HfColumn *c) {
  if (c->offsets && c->offsets[0]) return false;
  if (c->type == HF_COLUMN_LIST && c->offsets[c->length] != c->children[0]->length) return false;
  for (int i = 0; i < c->child_count; i++)
    if (!is_tight(c->children[i])) return false;
  return true;
}

bool hf_column_can_concat(HfColumn *const *parts, int64_t count) {
  for (int64_t i = 0; i < count; i++)
    if (!same_shape(parts[0], parts[i]) || !is_tight(parts[i])) return false;
  return count > 0;
}

static bool join_valid(HfColumn *out, HfColumn *const *parts, int64_t count, HfError *err) {
  bool any = false;
  for (int64_t i = 0; i < count; i++) any = any || parts[i]->valid;
  uint8_t *valid = any ? hf_malloc((size_t)out->length, "column", err) : NULL, *at = valid;
  out->valid = valid;
  for (int64_t i = 0; valid && i < count; i++) {
    if (parts[i]->valid) memcpy(at, parts[i]->valid, (size_t)parts[i]->length);
    else memset(at, 1, (size_t)parts[i]->length);
    at += parts[i]->length;
  }
  return !any || valid;
}

static bool join_offsets(HfColumn *out, HfColumn *const *parts, int64_t count, HfError *err) {
  int64_t *offsets = hf_malloc(((size_t)out->length + 1) * sizeof *offsets, "column offsets", err), row = 0, end = 0;
  if (!offsets) return false;
  for (int64_t i = 0; i < count; i++) {
    for (int64_t r = 0; r < parts[i]->length; r++) offsets[row++] = end + parts[i]->offsets[r];
    end += parts[i]->offsets[parts[i]->length];
  }
  offsets[row] = end;
  out->offsets = offsets;
  return true;
}

static size_t values_size(const HfColumn *c) {
  return c->type == HF_COLUMN_STRING ? (size_t)c->offsets[c->length] : (size_t)c->length * hf_column_type_size(c->type);
}

static bool join_values(HfColumn *out, HfColumn *const *parts, int64_t count, HfError *err) {
  size_t total = 0;
  for (int64_t i = 0; i < count; i++) total += values_size(parts[i]);
  char *values = hf_malloc(total, "column", err), *at = values;
  out->values = values;
  for (int64_t i = 0; values && i < count; i++) {
    size_t size = values_size(parts[i]);
    if (size) memcpy(at, parts[i]->values, size);
    at += size;
  }
  return values;
}

static bool join_children(HfColumn *out, HfColumn *const *parts, int64_t count, HfError *err) {
  HfColumn **inner = hf_malloc((size_t)count * sizeof *inner, "columns", err);
  bool ok = inner;
  for (int c = 0; ok && c < out->child_count; c++) {
    const char *name = parts[0]->names[c];
    for (int64_t i = 0; i < count; i++) inner[i] = parts[i]->children[c];
    ok = (!name || (out->names[c] = hf_strndup(name, strlen(name), err))) && (out->children[c] = hf_column_concat(inner, count, err));
  }
  hf_free(inner);
  return ok;
}

HfColumn *hf_column_concat(HfColumn *const *parts, int64_t count, HfError *err) {
  int64_t length = 0;
  for (int64_t i = 0; i < count; i++) length += parts[i]->length;
  HfColumn *out = hf_column_new(parts[0]->type, length, parts[0]->child_count, err);
  if (!out) return NULL;
  bool has_offsets = out->type == HF_COLUMN_STRING || out->type == HF_COLUMN_LIST;
  bool ok = join_valid(out, parts, count, err) && (!has_offsets || join_offsets(out, parts, count, err)) &&
            join_values(out, parts, count, err) && (!out->child_count || join_children(out, parts, count, err));
  if (ok) return out;
  hf_column_release(out);
  return NULL;
}
