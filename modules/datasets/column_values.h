/* Values as files hold them into the layout of our columns: the conversion of types, and nulls put between the values.
 *
 * Values that are there come side by side, fixed ones as bytes, texts as spans; they are appended to growing buffers, and at the
 * end a column takes the buffers over.
 */
#ifndef HF_COLUMN_VALUES_H
#define HF_COLUMN_VALUES_H
#include "column.h"
#include "span.h"

typedef enum HfFormKind {
  HF_FORM_AS_IS,  /* in the column's own layout */
  HF_FORM_NARROW, /* int32 whose values fit int8, int16 or uint8 */
  HF_FORM_UINT16, /* to int32 */
  HF_FORM_UINT32, /* to int64 */
  HF_FORM_UINT64, /* to int64, when it fits */
  HF_FORM_HALF,   /* to float32 */
  HF_FORM_BYTES,
  HF_FORM_UTF8, /* checked */
  HF_FORM_NULL, /* there are no values */
  /* written as text (scalar_text.h) */
  HF_FORM_DECIMAL,           /* the highest byte first */
  HF_FORM_DECIMAL_LOW_FIRST, /* the lowest byte first */
  HF_FORM_DATE,              /* days: int32 */
  HF_FORM_DATE_MILLISECONDS, /* int64 */
  HF_FORM_TIME,              /* int32 or int64 units since midnight */
  HF_FORM_TIMESTAMP,         /* int64 units since 1970 */
  HF_FORM_INT96,             /* a day and nanoseconds in it, as Impala and Spark wrote them */
  HF_FORM_UUID
} HfFormKind;

typedef struct HfForm {
  HfFormKind kind;
  HfColumnType type; /* of the column */
  int width;         /* bytes of a value in the file; 0: texts of any length */
  int digits;        /* TIME, TIMESTAMP: of the fraction of a second in a unit: 0, 3, 6 or 9 */
  bool utc;          /* TIMESTAMP: written with "+00:00" */
  int scale;         /* DECIMAL: digits behind the point, 0 to 76 */
} HfForm;

static inline void hf_form_set(HfForm *form, HfFormKind kind, HfColumnType type) {
  form->kind = kind;
  form->type = type;
}

/* Appends `count` values: at `fixed`, or at `spans` where these are not NULL. offsets (int64, with the leading 0) grow for texts.
 * limit: bytes the texts of one call may take. */
bool hf_form_append(const HfForm *form, const uint8_t *fixed, const HfSpan *spans, int64_t count, size_t limit, HfBuffer *values, HfBuffer *offsets,
                    HfError *err);

/* Gives a column whose type, length and valid marks are set its `present` values and offsets, moved to the rows that are not
 * null. The buffers are empty then. */
bool hf_column_place(HfColumn *column, HfBuffer *values, HfBuffer *offsets, int64_t present, HfError *err);

#endif
