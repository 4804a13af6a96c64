/* The schema of an Arrow stream as the columns it becomes. */
#ifndef HF_ARROW_SCHEMA_H
#define HF_ARROW_SCHEMA_H
#include "column_values.h"
#include "flatbuffer.h"

typedef enum HfArrowShape {
  HF_ARROW_NULL,
  HF_ARROW_BITS,   /* truth values */
  HF_ARROW_FIXED,  /* values of form.width bytes */
  HF_ARROW_BYTES,  /* texts behind offsets */
  HF_ARROW_LIST,   /* items behind offsets; maps too */
  HF_ARROW_FIXED_LIST,
  HF_ARROW_STRUCT
} HfArrowShape;

typedef struct HfArrowField {
  char *name; /* owned */
  HfArrowShape shape;
  HfForm form;
  int offset_size;       /* BYTES, LIST: 4 or 8 */
  int64_t list_size;     /* FIXED_LIST */
  bool has_dictionary;   /* values are indices into a dictionary, whose values are described here */
  int64_t dictionary;    /* its id */
  int index_width;       /* bytes of an index */
  bool index_signed;
  int child_count;
  struct HfArrowField **children; /* owned */
} HfArrowField;

/* The columns as the children of a struct; `schema` is the table of that type. NULL with err set on failure. */
HfArrowField *hf_arrow_schema_read(HfFlatTable schema, HfError *err);
void hf_arrow_field_free(HfArrowField *field); /* NULL is fine */

/* The field at or below `field` with this dictionary, or NULL. */
const HfArrowField *hf_arrow_find_dictionary(const HfArrowField *field, int64_t id);

#endif
