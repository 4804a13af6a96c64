/* What the text readers share, and the reader of plain lines. */
#include <string.h>
#include "readers.h"
#include "utf8.h"
#include "writer.h"

HfMapping *hf_text_file_map(const char *path, bool may_be_empty, HfError *err) {
  HfMapping *mapping = hf_file_map(path, err);
  const char *kind = mapping && !(may_be_empty && mapping->size == 0) ? hf_file_kind(mapping->data, mapping->size) : NULL;
  bool markup = kind && strstr(kind, "HTML"); /* rows may well begin with a tag */
  if (!kind || markup) return mapping;
  hf_error_set(err, "%s: expected text in UTF-8, found %s", path, kind);
  hf_mapping_release(mapping);
  return NULL;
}

size_t hf_text_find_bad(const char *text, size_t size) {
  size_t at = 0;
  while (at < size) {
    if ((unsigned char)text[at] < 0x80 && text[at]) {
      at++;
      continue;
    }
    size_t length = text[at] ? hf_utf8_length(text + at, size - at) : 0;
    if (!length) return at;
    at += length;
  }
  return size;
}

size_t hf_text_mark(const char *text, size_t size) { return size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3) ? 3 : 0; }

bool hf_text_bad_byte(const char *where, int64_t line, unsigned char byte, HfError *err) {
  if (!byte) return hf_error_set(err, "%s: line %lld: expected text, found a NUL byte", where, (long long)line);
  return hf_error_set(err, "%s: line %lld: expected UTF-8, found byte 0x%02x (another encoding? convert the file to UTF-8)", where,
                      (long long)line, byte);
}

/* ---- plain lines */

/* Lines of a text as Python's universal newlines cut them: at LF, CR LF and CR. */
typedef struct Lines {
  const char *at, *end;
  int64_t number;
} Lines;

static bool next_line(Lines *lines, const char **text, size_t *size) {
  if (lines->at == lines->end) return false;
  const char *stop = lines->at;
  while (stop < lines->end && *stop != '\n' && *stop != '\r') stop++;
  *text = lines->at;
  *size = (size_t)(stop - lines->at);
  if (stop < lines->end) stop += stop + 1 < lines->end && stop[0] == '\r' && stop[1] == '\n' ? 2 : 1;
  lines->at = stop;
  lines->number++;
  return true;
}

static bool add_lines(HfBuilder *b, Lines *lines, const char *where, HfError *err) {
  const char *text;
  size_t size;
  while (next_line(lines, &text, &size)) {
    size_t bad = hf_text_find_bad(text, size);
    if (bad < size) return hf_text_bad_byte(where, lines->number, (unsigned char)text[bad], err);
    if (!hf_builder_add_text(b, text, size, err)) return false;
  }
  return true;
}

/* Lines joined by LF until an empty one, which ends the paragraph. */
static bool add_paragraphs(HfBuilder *b, Lines *lines, const char *where, HfBuffer *held, HfError *err) {
  const char *text;
  size_t size;
  bool more = true, ok = true;
  while (ok && more) {
    more = next_line(lines, &text, &size);
    size_t bad = more ? hf_text_find_bad(text, size) : 0;
    if (more && bad < size) return hf_text_bad_byte(where, lines->number, (unsigned char)text[bad], err);
    if (more && size) {
      ok = (!held->size || hf_buffer_append(held, "\n", 1, err)) && hf_buffer_append(held, text, size, err);
    } else if (held->size) {
      ok = hf_builder_add_text(b, held->data, held->size, err);
      held->size = 0;
    }
  }
  return ok;
}

HfTable *hf_lines_parse(const char *text, size_t size, const char *where, bool paragraphs, HfError *err) {
  size_t mark = hf_text_mark(text, size);
  Lines lines = {.at = text + mark, .end = text + size};
  HfBuffer held = {0};
  HfWriter *w = hf_writer_new(NULL, err);
  HfBuilder *b = w ? hf_builder_new_typed(HF_COLUMN_STRING, err) : NULL;
  bool ok = b && hf_writer_add(w, "text", b, err);
  ok = ok && (paragraphs ? add_paragraphs(b, &lines, where, &held, err) : add_lines(b, &lines, where, err));
  HfTable *table = ok && hf_writer_end_rows(w, b->length, err) ? hf_writer_finish(w, err) : NULL;
  hf_buffer_free(&held);
  hf_writer_free(w);
  return table;
}

HfTable *hf_lines_read(const char *path, bool paragraphs, HfError *err) {
  HfMapping *mapping = hf_text_file_map(path, true, err);
  HfTable *table = mapping ? hf_lines_parse(mapping->data, mapping->size, path, paragraphs, err) : NULL;
  hf_mapping_release(mapping);
  return table;
}
