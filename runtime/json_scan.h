/* Strict JSON (RFC 8259, UTF-8) as a stream of events: what cJSON trees, Lua values and dataset rows are made from.
 *
 *   HfJsonScanner scanner;
 *   hf_json_scan(&scanner, text, size, "rows.jsonl: line 3");
 *   for (HfJsonEvent event; (event = hf_json_next(&scanner, err)) > HF_JSON_END;) {
 *     if (event == HF_JSON_INTEGER) use(scanner.integer);
 *   }
 *   hf_json_scan_end(&scanner);
 *
 * Refused, with line and column: invalid UTF-8, a byte order mark, raw control bytes in strings, unknown escapes, lone
 * surrogates, NaN and Infinity, leading zeros, +, trailing commas, comments, text after the value, a name twice in one
 * object (after unescaping), U+0000 in a name, nesting above 128, numbers beyond a double.
 */
#ifndef HF_JSON_SCAN_H
#define HF_JSON_SCAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "memory.h"

#define HF_JSON_MAX_DEPTH 128

typedef enum HfJsonEvent {
  HF_JSON_FAILED, /* err is set; the scanner stays there */
  HF_JSON_END,    /* the value is complete and nothing follows it */
  HF_JSON_OBJECT, HF_JSON_OBJECT_END,
  HF_JSON_ARRAY, HF_JSON_ARRAY_END,
  HF_JSON_NAME,    /* of a member: string, string_size */
  HF_JSON_STRING,  /* string, string_size */
  HF_JSON_INTEGER, /* without fraction and exponent, within int64: integer (and number) */
  HF_JSON_NUMBER,  /* any other: number; number_text is how it is written */
  HF_JSON_TRUE, HF_JSON_FALSE, HF_JSON_NULL
} HfJsonEvent;

typedef struct HfJsonName { /* a name of an open object, kept to find a second one like it */
  const char *text;         /* in the input, or NULL: at `at` in the unescaped buffer */
  size_t at, size;
  uint64_t hash;
} HfJsonName;

typedef struct HfJsonLevel { /* one open object or array */
  bool object;
  size_t first_name;      /* of this object in the stack of names */
  size_t unescaped;       /* size of the unescaped buffer when it began */
  uint32_t *slots;        /* hash table of 1 + index into names, for an object with many; owned */
  size_t slot_count;      /* a power of two */
} HfJsonLevel;

typedef struct HfJsonScanner {
  /* the last event: valid until the next call */
  const char *string; /* unescaped; ends with NUL */
  size_t string_size;
  int64_t integer;
  double number;
  const char *number_text; /* ends with NUL */
  size_t start;            /* where the last event begins in the text */

  const char *text, *where; /* borrowed */
  size_t size, at;
  int state, depth;
  HfJsonLevel levels[HF_JSON_MAX_DEPTH];
  HfJsonName *names; /* of all open objects, innermost last */
  size_t name_count, name_capacity;
  HfBuffer unescaped;  /* names that held escapes */
  HfBuffer scratch;    /* the string or number of the last event */
} HfJsonScanner;

/* Begins; text and where are borrowed until the end. Nothing is allocated yet. */
void hf_json_scan(HfJsonScanner *scanner, const char *text, size_t size, const char *where);
HfJsonEvent hf_json_next(HfJsonScanner *scanner, HfError *err);
/* Reads on to the end of the value that the last event began (object or array); no-op after a plain value. */
bool hf_json_skip(HfJsonScanner *scanner, HfJsonEvent event, HfError *err);
void hf_json_scan_end(HfJsonScanner *scanner);

/* "WHERE: line L, column C: ..." at byte `at`; always HF_JSON_FAILED. Columns count bytes from 1. */
HfJsonEvent hf_json_fail(const HfJsonScanner *scanner, size_t at, HfError *err, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* The double nearest to a number in JSON's form, whatever the locale. */
double hf_json_to_double(const char *text);
/* The value of digits with an optional minus sign; false when it is beyond int64. */
bool hf_json_text_integer(const char *text, int64_t *out);

#endif
