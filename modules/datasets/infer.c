/* Numbers and truth values written as text, and the type of a column of texts. */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "cast.h"

/* Drops blanks on both sides. */
static void trim(const char **text, size_t *size) {
  while (*size && (**text == ' ' || **text == '\t')) ++*text, --*size;
  while (*size && ((*text)[*size - 1] == ' ' || (*text)[*size - 1] == '\t')) --*size;
}

bool hf_text_integer(const char *text, size_t size, int64_t *out) {
  trim(&text, &size);
  bool negative = size && *text == '-';
  if (size && (*text == '-' || *text == '+')) text++, size--;
  if (!size) return false;
  int64_t value = 0; /* kept negative: INT64_MIN has no positive twin */
  for (size_t i = 0; i < size; i++) {
    if (!isdigit((unsigned char)text[i])) return false;
    if (__builtin_mul_overflow(value, 10, &value) || __builtin_sub_overflow(value, text[i] - '0', &value)) return false;
  }
  if (!negative && value == INT64_MIN) return false;
  *out = negative ? value : -value;
  return true;
}

static bool is_infinity(const char *text, size_t size) {
  if (size && (*text == '-' || *text == '+')) text++, size--;
  return (size == 3 && !strncasecmp(text, "inf", 3)) || (size == 8 && !strncasecmp(text, "infinity", 8));
}

bool hf_text_number(const char *text, size_t size, double *out) {
  char copy[128], *end;
  trim(&text, &size);
  if (!size || size >= sizeof copy) return false;
  memcpy(copy, text, size);
  copy[size] = 0;
  if (strspn(copy, "0123456789+-.eE") != size) {
    bool special = is_infinity(text, size) || (size == 3 && !strncasecmp(text, "nan", 3));
    if (!special) return false;
  }
  *out = strtod(copy, &end);
  return *end == 0;
}

bool hf_text_boolean(const char *text, size_t size, bool *out) {
  static const char *const words[] = {"False", "True", "FALSE", "TRUE", "false", "true"};
  for (int i = 0; i < 6; i++) {
    if (strlen(words[i]) != size || memcmp(words[i], text, size)) continue;
    *out = i % 2;
    return true;
  }
  return false;
}

/* What a text can be: the types still open for its column. */
enum { MAY_BE_INT = 1, MAY_BE_FLOAT = 2, MAY_BE_BOOL = 4 };

static int possible_types(const char *text, size_t size, int open) {
  int64_t whole;
  double number;
  bool truth;
  if ((open & MAY_BE_INT) && !hf_text_integer(text, size, &whole)) open &= ~MAY_BE_INT;
  if ((open & MAY_BE_FLOAT) && !(open & MAY_BE_INT) && !hf_text_number(text, size, &number)) open &= ~MAY_BE_FLOAT;
  if ((open & MAY_BE_BOOL) && !hf_text_boolean(text, size, &truth)) open &= ~MAY_BE_BOOL;
  return open;
}

static HfColumnType inferred_type(const HfColumn *texts) {
  int open = MAY_BE_INT | MAY_BE_FLOAT | MAY_BE_BOOL;
  int64_t values = 0;
  for (int64_t row = 0; open && row < texts->length; row++) {
    size_t size;
    if (hf_column_is_null(texts, row)) continue;
    const char *text = hf_column_text(texts, row, &size);
    open = possible_types(text, size, open);
    values++;
  }
  if (!values) return HF_COLUMN_NULL;
  if (open & MAY_BE_INT) return HF_COLUMN_INT64;
  if (open & MAY_BE_FLOAT) return HF_COLUMN_FLOAT64;
  return open & MAY_BE_BOOL ? HF_COLUMN_BOOL : HF_COLUMN_STRING;
}

HfColumn *hf_column_infer(HfColumn *texts, HfError *err) {
  HfColumnType type = texts->type == HF_COLUMN_STRING ? inferred_type(texts) : texts->type;
  if (type == texts->type || type == HF_COLUMN_NULL) {
    hf_column_retain(texts);
    return texts;
  }
  HfSchema schema = {.type = type};
  HfField field = {.name = "text", .column = texts};
  return hf_field_cast(&field, texts->length, &schema, err);
}
