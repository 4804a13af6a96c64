/* CSV and TSV into a table. Values are collected as texts, column by column; then columns of numbers become that. */
#include <stdio.h>
#include <string.h>
#include "cast.h"
#include "readers.h"
#include "writer.h"

typedef struct Parser {
  const char *at, *end;
  const char *bad;          /* the first byte that is no text, or end */
  int64_t line, row_line;   /* where we are, and where the row began; from 1 */
  const char *where;
  const HfCsvOptions *options;
  HfBuffer cell;            /* the value being read, when its quotes must be undone */
  HfWriter *writer;         /* gets one column for each name */
} Parser;

/* One value: a piece of the file, or of the parser's buffer until the next value. */
typedef struct Value {
  const char *text;
  size_t size;
  bool ends_row;
} Value;

static bool fail(const Parser *p, HfError *err, const char *what) {
  return hf_error_set(err, "%s: line %lld: %s", p->where, (long long)p->row_line, what);
}

/* True at the end of a row, which is then passed. */
static bool pass_row_end(Parser *p) {
  size_t left = (size_t)(p->end - p->at);
  size_t size = left && *p->at == '\n' ? 1 : left > 1 && p->at[0] == '\r' && p->at[1] == '\n' ? 2 : 0;
  if (left == 1 && *p->at == '\r') size = 1;
  if (left && !size) return false;
  p->at += size;
  p->line += size > 0;
  return true;
}

/* What follows a value: the delimiter, or the end of the row. */
static bool pass_separator(Parser *p, Value *value) {
  value->ends_row = pass_row_end(p);
  if (value->ends_row) return true;
  if (*p->at != p->options->delimiter) return false;
  p->at++;
  return true;
}

static bool read_quoted(Parser *p, Value *value, HfError *err) {
  char quote = p->options->quote;
  const char *start = ++p->at;
  p->cell.size = 0;
  for (;; p->at++) {
    if (p->at == p->end)
      return fail(p, err, "a quoted value that begins in this row is not closed (quoting = \"none\" takes quotes as ordinary characters)");
    if (*p->at == '\n') p->line++;
    if (*p->at != quote) continue;
    if (!hf_buffer_append(&p->cell, start, (size_t)(p->at - start), err)) return false;
    if (p->at + 1 == p->end || p->at[1] != quote) break;
    start = ++p->at; /* the second of two quotes stands for one */
  }
  p->at++;
  value->text = p->cell.data;
  value->size = p->cell.size;
  if (pass_separator(p, value)) return true;
  return fail(p, err, "text follows a closing quote (quoting = \"none\" takes quotes as ordinary characters)");
}

static bool read_value(Parser *p, Value *value, HfError *err) {
  char delimiter = p->options->delimiter;
  if (p->options->quote && p->at < p->end && *p->at == p->options->quote) return read_quoted(p, value, err);
  value->text = p->at;
  while (p->at < p->end && *p->at != delimiter && *p->at != '\n') p->at++;
  value->size = (size_t)(p->at - value->text);
  bool at_line_end = p->at == p->end || *p->at == '\n';
  if (at_line_end && value->size && p->at[-1] == '\r') value->size--;
  return pass_separator(p, value);
}

/* The words pandas reads as missing values. */
static bool is_null_word(const char *text, size_t size) {
  static const char *const words[] = {"", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
                                      "<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"};
  if (size > 8) return false;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (strlen(words[i]) == size && !memcmp(words[i], text, size)) return true;
  return false;
}

static bool add_value(Parser *p, HfBuilder *b, const Value *value, HfError *err) {
  if (p->options->null_words && is_null_word(value->text, value->size)) return hf_builder_add_null(b, err);
  return hf_builder_add_text(b, value->text, value->size, err);
}

/* The row has passed; a byte in it that is no text is an error. */
static bool check_bytes(const Parser *p, HfError *err) {
  return p->at <= p->bad || p->bad == p->end || hf_text_bad_byte(p->where, p->row_line, (unsigned char)*p->bad, err);
}

static bool read_row(Parser *p, HfError *err) {
  Value value = {0};
  int count = 0;
  p->row_line = p->line;
  for (; !value.ends_row; count++) {
    if (!read_value(p, &value, err)) return false;
    if (count < p->writer->count && !add_value(p, p->writer->builders[count], &value, err)) return false;
  }
  if (count != p->writer->count)
    return hf_error_set(err, "%s: line %lld: expected %d values, one for each column, found %d", p->where, (long long)p->row_line,
                        p->writer->count, count);
  return check_bytes(p, err) && hf_writer_end_rows(p->writer, 1, err);
}

static bool add_column(Parser *p, const char *name, size_t size, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  if (!size)
    return hf_error_set(err, "%s: line %lld: column %d has no name (give column_names)", p->where, (long long)p->row_line, p->writer->count + 1);
  for (int i = 0; i < p->writer->count; i++)
    if (strlen(p->writer->names[i]) == size && !memcmp(p->writer->names[i], name, size))
      return hf_error_set(err, "%s: line %lld: columns %d and %d are both called '%s' (give column_names)", p->where, (long long)p->row_line, i + 1,
                          p->writer->count + 1, hf_excerpt(shown, name, size));
  char *copy = hf_strndup(name, size, err);
  HfBuilder *b = copy ? hf_builder_new_typed(HF_COLUMN_STRING, err) : NULL;
  bool ok = b && hf_writer_add(p->writer, copy, b, err);
  hf_free(copy);
  return ok;
}

/* Reads the first row for the names of the columns; numbers them when it is no header, and stays before it then. */
static bool read_header(Parser *p, HfError *err) {
  Value value = {0};
  const char *start = p->at;
  bool named = p->options->header && !p->options->names;
  p->row_line = p->line;
  for (int count = 0; !value.ends_row; count++) {
    char number[16];
    if (!read_value(p, &value, err)) return false;
    if (p->options->names) continue;
    snprintf(number, sizeof number, "%d", count);
    if (!add_column(p, named ? value.text : number, named ? value.size : strlen(number), err)) return false;
  }
  if (p->options->header) return check_bytes(p, err);
  p->at = start;
  p->line = p->row_line;
  return true;
}

static void pass_empty_lines(Parser *p) {
  while (p->at < p->end && pass_row_end(p)) continue;
}

static void skip_lines(Parser *p, int64_t count) {
  for (; count > 0 && p->at < p->end; count--, p->line++) {
    const char *stop = memchr(p->at, '\n', (size_t)(p->end - p->at));
    p->at = stop ? stop + 1 : p->end;
  }
}

static bool read_rows(Parser *p, HfError *err) {
  skip_lines(p, p->options->skip_rows);
  pass_empty_lines(p);
  p->row_line = p->line;
  for (int i = 0; p->options->names && i < p->options->name_count; i++)
    if (!add_column(p, p->options->names[i], strlen(p->options->names[i]), err)) return false;
  if (p->at == p->end && (p->options->header || !p->options->names)) return fail(p, err, "expected a row of column names, found nothing");
  if ((p->options->header || !p->options->names) && !read_header(p, err)) return false;
  for (pass_empty_lines(p); p->at < p->end; pass_empty_lines(p))
    if (!read_row(p, err)) return false;
  return true;
}

/* The table with columns of numbers in place of texts that are all numbers. */
static HfTable *infer_types(HfTable *texts, HfError *err) {
  HfTable *table = hf_table_new(texts->length, err);
  bool ok = table;
  for (int i = 0; ok && i < texts->count; i++) {
    HfColumn *column = hf_column_infer(texts->fields[i].column, err);
    ok = column && hf_table_add(table, texts->fields[i].name, column, NULL, err);
    hf_column_release(column);
  }
  hf_table_release(texts);
  if (ok) return table;
  hf_table_release(table);
  return NULL;
}

HfTable *hf_csv_parse(const char *text, size_t size, const char *where, const HfCsvOptions *options, HfError *err) {
  size_t mark = hf_text_mark(text, size);
  Parser p = {.at = text + mark, .end = text + size, .line = 1, .row_line = 1, .where = where, .options = options};
  p.bad = text + mark + hf_text_find_bad(text + mark, size - mark);
  p.writer = hf_writer_new(NULL, err);
  HfTable *table = p.writer && read_rows(&p, err) ? hf_writer_finish(p.writer, err) : NULL;
  hf_buffer_free(&p.cell);
  hf_writer_free(p.writer);
  return table && options->infer ? infer_types(table, err) : table;
}

HfTable *hf_csv_read(const char *path, const HfCsvOptions *options, HfError *err) {
  HfMapping *mapping = hf_text_file_map(path, false, err);
  HfTable *table = mapping ? hf_csv_parse(mapping->data, mapping->size, path, options, err) : NULL;
  hf_mapping_release(mapping);
  return table;
}
