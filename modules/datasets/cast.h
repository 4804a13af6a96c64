/* Changing the type of a column: what a type is made of, and the conversion. */
#ifndef HF_CAST_H
#define HF_CAST_H
#include "table.h"

/* A type to cast to. A ClassLabel is INT64 with label names. */
typedef struct HfSchema {
  HfColumnType type;
  int child_count;
  struct HfSchema **children; /* LIST: one; STRUCT: one for each field; owned */
  char **names;               /* STRUCT: (child_count), owned */
  int64_t label_count;        /* 0: no ClassLabel */
  char **labels;              /* (label_count), owned */
} HfSchema;

HfSchema *hf_schema_new(HfColumnType type, int child_count, int64_t label_count, HfError *err);
void hf_schema_free(HfSchema *schema); /* NULL is fine */

/* The rows of the field in the new type. Texts become numbers when they are written as one; numbers become texts; a
 * float becomes a whole number only when it is whole; a ClassLabel takes names and whole numbers in range. Errors name
 * the row, counted from 1. */
HfColumn *hf_field_cast(const HfField *field, int64_t length, const HfSchema *schema, HfError *err);

/* ---- numbers in text (infer.c) */
/* The whole of the text, blanks around it aside, is a whole number or a decimal number in range. */
bool hf_text_integer(const char *text, size_t size, int64_t *out);
bool hf_text_number(const char *text, size_t size, double *out);
bool hf_text_boolean(const char *text, size_t size, bool *out); /* True, TRUE, true, False ... */

/* A column of texts as int64, float64 or bool where every value that is not null can be; else itself, retained. */
HfColumn *hf_column_infer(HfColumn *texts, HfError *err);

#endif
