/* JSON Lines, or a JSON array of objects, into a table: the strict scanner's events go straight to column builders. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "json_scan.h"
#include "readers.h"
#include "writer.h"

static bool add_value(HfJsonScanner *s, HfJsonEvent event, HfBuilder *b, int depth, HfError *err);

static bool add_array(HfJsonScanner *s, HfBuilder *b, int depth, HfError *err) {
  HfBuilder *child = hf_builder_begin_list(b, err);
  if (!child) return false;
  for (;;) {
    HfJsonEvent event = hf_json_next(s, err);
    if (event == HF_JSON_ARRAY_END) return hf_builder_end_list(b, err);
    if (!add_value(s, event, child, depth + 1, err)) return false;
  }
}

static bool add_object(HfJsonScanner *s, HfBuilder *b, int depth, HfError *err) {
  if (!hf_builder_begin_struct(b, err)) return false;
  for (;;) {
    HfJsonEvent event = hf_json_next(s, err);
    if (event == HF_JSON_OBJECT_END) return hf_builder_end_struct(b, err);
    if (event != HF_JSON_NAME) return false;
    HfBuilder *child = hf_builder_field(b, s->string, err);
    if (!child || !add_value(s, hf_json_next(s, err), child, depth + 1, err)) return false;
  }
}

static bool add_value(HfJsonScanner *s, HfJsonEvent event, HfBuilder *b, int depth, HfError *err) {
  if ((event == HF_JSON_ARRAY || event == HF_JSON_OBJECT) && depth >= HF_COLUMN_MAX_DEPTH)
    return hf_error_set(err, "values nest deeper than %d levels", HF_COLUMN_MAX_DEPTH);
  switch (event) {
  case HF_JSON_STRING: return hf_builder_add_text(b, s->string, s->string_size, err);
  case HF_JSON_INTEGER: return hf_builder_add_int(b, s->integer, err);
  case HF_JSON_NUMBER: return hf_builder_add_float(b, s->number, err);
  case HF_JSON_TRUE: return hf_builder_add_bool(b, true, err);
  case HF_JSON_FALSE: return hf_builder_add_bool(b, false, err);
  case HF_JSON_NULL: return hf_builder_add_null(b, err);
  case HF_JSON_ARRAY: return add_array(s, b, depth, err);
  case HF_JSON_OBJECT: return add_object(s, b, depth, err);
  default: return false; /* the scanner has set the error */
  }
}

/* The members of an object, whose opening was read, as one row. `place` names the row in errors of types; errors of the
 * scanner begin with its own place. */
static bool add_row(HfJsonScanner *s, HfWriter *w, const char *place, HfError *err) {
  for (;;) {
    HfJsonEvent event = hf_json_next(s, err);
    if (event == HF_JSON_OBJECT_END) return hf_writer_end_rows(w, 1, err);
    if (event != HF_JSON_NAME) return false;
    char name[128];
    snprintf(name, sizeof name, "%.100s", s->string);
    HfBuilder *b = hf_writer_column(w, s->string, err);
    if (!b) return false;
    event = hf_json_next(s, err);
    if (event == HF_JSON_FAILED) return false;
    HfError inner = {0};
    if (add_value(s, event, b, 0, &inner)) continue;
    if (strncmp(inner.message, s->where, strlen(s->where))) hf_error_prefix(&inner, "%s: column '%s'", place, name);
    if (err) *err = inner;
    return false;
  }
}

static bool expected_object(HfJsonEvent event, const char *place, HfError *err) {
  if (event == HF_JSON_FAILED) return false;
  return hf_error_set(err, "%s: expected an object { \"column\": value }, found another value", place);
}

/* The line from text + start on; the text ends with it. Scanning begins in mid-text, so that errors count the lines. */
static bool parse_line(const char *text, size_t start, size_t end, const char *where, const char *place, HfWriter *w, HfError *err) {
  HfJsonScanner s;
  hf_json_scan(&s, text, end, where);
  s.at = start;
  HfJsonEvent event = hf_json_next(&s, err);
  bool ok = event == HF_JSON_OBJECT ? add_row(&s, w, place, err) : expected_object(event, place, err);
  ok = ok && hf_json_next(&s, err) == HF_JSON_END;
  hf_json_scan_end(&s);
  return ok;
}

static bool is_blank(const char *text, size_t size) {
  while (size && (*text == ' ' || *text == '\t' || *text == '\r')) text++, size--;
  return size == 0;
}

static bool parse_lines(const char *text, size_t size, const char *where, HfWriter *w, HfError *err) {
  int64_t line = 1;
  for (size_t start = 0; start < size; line++) {
    const char *stop = memchr(text + start, '\n', size - start);
    size_t end = stop ? (size_t)(stop - text) : size;
    char place[512];
    snprintf(place, sizeof place, "%.480s: line %lld", where, (long long)line);
    if (!is_blank(text + start, end - start) && !parse_line(text, start, end, where, place, w, err)) return false;
    start = end + 1;
  }
  return true;
}

static bool parse_array(const char *text, size_t size, const char *where, HfWriter *w, HfError *err) {
  HfJsonScanner s;
  hf_json_scan(&s, text, size, where);
  bool ok = hf_json_next(&s, err) == HF_JSON_ARRAY, done = false;
  while (ok && !done) {
    char place[512];
    snprintf(place, sizeof place, "%.480s: row %lld", where, (long long)w->rows + 1);
    HfJsonEvent event = hf_json_next(&s, err);
    done = event == HF_JSON_ARRAY_END;
    if (!done) ok = event == HF_JSON_OBJECT ? add_row(&s, w, place, err) : expected_object(event, place, err);
  }
  ok = ok && hf_json_next(&s, err) == HF_JSON_END;
  hf_json_scan_end(&s);
  return ok;
}

HfTable *hf_jsonl_parse(const char *text, size_t size, const char *where, HfError *err) {
  HfWriter *w = hf_writer_new(NULL, err);
  if (!w) return NULL;
  size_t first = 0;
  while (first < size && isspace((unsigned char)text[first])) first++;
  bool array = first < size && text[first] == '[';
  bool ok = array ? parse_array(text, size, where, w, err) : parse_lines(text, size, where, w, err);
  HfTable *table = ok ? hf_writer_finish(w, err) : NULL;
  hf_writer_free(w);
  return table;
}

HfTable *hf_jsonl_read(const char *path, HfError *err) {
  HfMapping *mapping = hf_text_file_map(path, true, err);
  HfTable *table = mapping ? hf_jsonl_parse(mapping->data, mapping->size, path, err) : NULL;
  hf_mapping_release(mapping);
  return table;
}
