/* Builds a column one value at a time. The type follows from the first value; later values must agree with it, but
 * whole numbers become floats when a float appears.
 *
 *   HfBuilder *b = hf_builder_new(HF_COLUMN_INT64, err);
 *   ok = hf_builder_add_text(b, "one", 3, err) && hf_builder_add_null(b, err);
 *   HfColumn *column = ok ? hf_builder_finish(b, err) : NULL;   // b is empty again
 *   hf_builder_free(b);
 *
 * A list: begin_list, values added to the child, end_list. A struct: begin_struct, values added to each
 * hf_builder_field, end_struct, which gives the fields left out a null.
 */
#ifndef HF_BUILDER_H
#define HF_BUILDER_H
#include "column.h"

typedef struct HfBuilder HfBuilder;
struct HfBuilder {
  HfColumnType type;
  HfColumnType int_type; /* how whole numbers are stored; becomes int64 when one does not fit */
  bool fixed;            /* the type was given: no change from whole numbers to floats */
  int64_t length;
  HfBuffer values, offsets; /* as in HfColumn; offsets without the leading 0 */
  HfBuffer valid;           /* empty until the first null */
  int child_count;
  HfBuilder **children; /* LIST: one, made with the first list; STRUCT: one for each field */
  char **names;
};

/* int_type: the smallest type for whole numbers, here and in lists. */
HfBuilder *hf_builder_new(HfColumnType int_type, HfError *err);
/* A builder of a given type. The caller gives the children of a LIST (one) or STRUCT. */
HfBuilder *hf_builder_new_typed(HfColumnType type, HfError *err);
bool hf_builder_adopt(HfBuilder *b, const char *name, HfBuilder *child, HfError *err); /* frees child on failure */
void hf_builder_free(HfBuilder *b); /* NULL is fine */

bool hf_builder_add_null(HfBuilder *b, HfError *err);
bool hf_builder_add_bool(HfBuilder *b, bool value, HfError *err);
bool hf_builder_add_int(HfBuilder *b, int64_t value, HfError *err);
bool hf_builder_add_float(HfBuilder *b, double value, HfError *err);
bool hf_builder_add_text(HfBuilder *b, const char *text, size_t size, HfError *err);
HfBuilder *hf_builder_begin_list(HfBuilder *b, HfError *err); /* the child, borrowed */
bool hf_builder_end_list(HfBuilder *b, HfError *err);
bool hf_builder_begin_struct(HfBuilder *b, HfError *err);
HfBuilder *hf_builder_field(HfBuilder *b, const char *name, HfError *err); /* found or added; borrowed */
int hf_builder_find_field(const HfBuilder *b, const char *name);          /* -1: none */
bool hf_builder_end_struct(HfBuilder *b, HfError *err);

/* Appends `count` whole numbers, as many calls of hf_builder_add_int would. */
bool hf_builder_add_ints(HfBuilder *b, const int32_t *values, int64_t count, HfError *err);

/* Appends row `row` of a column. */
bool hf_builder_add_cell(HfBuilder *b, const HfColumn *column, int64_t row, HfError *err);

/* The column built so far; the builder is left empty, of the type it had. */
HfColumn *hf_builder_finish(HfBuilder *b, HfError *err);

#endif
