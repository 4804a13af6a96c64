/* A column of whole number lists in two arrays: what a tokenizer hands to a dataset without making Lua tables. In Lua a
 * userdata with the metatable HF_ID_COLUMN that holds the struct and, behind it, the arrays. */
#ifndef HF_ID_COLUMN_H
#define HF_ID_COLUMN_H
#include <stdint.h>

#define HF_ID_COLUMN "hflua.id_column"

typedef struct HfIdColumn {
  int64_t rows;
  int64_t *offsets; /* (rows + 1) where each row begins in `values`; NULL: one number per row */
  int32_t *values;
} HfIdColumn;

#endif
