/* Readers of text files into tables: CSV and TSV, JSON Lines and JSON arrays, plain lines. Bad input is an error that
 * names the file and the line; nothing is skipped but empty lines of CSV and JSONL.
 *
 *   HfCsvOptions options = HF_CSV_DEFAULTS;
 *   options.delimiter = '\t';
 *   HfTable *table = hf_csv_read("train.tsv", &options, err);
 */
#ifndef HF_READERS_H
#define HF_READERS_H
#include "table.h"

typedef struct HfCsvOptions {
  char delimiter;
  char quote;               /* 0: quotes are ordinary characters */
  bool header;              /* the first row holds the column names */
  bool null_words;          /* empty values, NA, null and the other words pandas takes for missing are nulls */
  bool infer;               /* columns of numbers or truth values become that; else all are texts */
  int64_t skip_rows;        /* lines left out at the start */
  const char *const *names; /* (name_count) column names in place of the header's; NULL: none */
  int name_count;
} HfCsvOptions;
#define HF_CSV_DEFAULTS ((HfCsvOptions){.delimiter = ',', .quote = '"', .header = true, .null_words = true, .infer = true})

/* RFC 4180; a UTF-8 byte order mark is dropped; every row has as many values as there are columns. */
HfTable *hf_csv_parse(const char *text, size_t size, const char *where, const HfCsvOptions *options, HfError *err);
HfTable *hf_csv_read(const char *path, const HfCsvOptions *options, HfError *err);

/* One JSON object a line, or one array of objects; an absent key is null. */
HfTable *hf_jsonl_parse(const char *text, size_t size, const char *where, HfError *err);
HfTable *hf_jsonl_read(const char *path, HfError *err);

/* One row a line, column "text"; with `paragraphs` one row for each run of lines without an empty one. */
HfTable *hf_lines_parse(const char *text, size_t size, const char *where, bool paragraphs, HfError *err);
HfTable *hf_lines_read(const char *path, bool paragraphs, HfError *err);

/* ---- shared by the readers (text_file.c) */
/* Maps the file for `parse`; wrong kinds of file are named. An empty file is an error unless allowed. */
HfMapping *hf_text_file_map(const char *path, bool may_be_empty, HfError *err);
/* The first byte that is NUL or begins no well-formed UTF-8; `size` when there is none. */
size_t hf_text_find_bad(const char *text, size_t size);
/* Bytes of a byte order mark at the start: 3 or 0. */
size_t hf_text_mark(const char *text, size_t size);
/* "WHERE: line LINE: what byte it is"; always false. */
bool hf_text_bad_byte(const char *where, int64_t line, unsigned char byte, HfError *err);

#endif
