/* Rows of a column as one tensor: what a data loader does to each batch. */
#ifndef HF_COLLATE_H
#define HF_COLLATE_H
#include "table.h"
#include "tensor.h"

/* How lists are brought to one length. */
typedef struct HfPadding {
  double value;
  int64_t width; /* at least; the longest list may make it larger */
  bool left;     /* padding comes before the values */
} HfPadding;

/* Numbers give (count), lists of numbers (count, width); whole numbers as int64, others as float32, truth values as bool.
 * rows[0..count) are rows of the table, from 0. padding NULL: lists of unequal length are an error. */
HfTensor *hf_field_collate(const HfField *field, const int64_t *rows, int64_t count, const HfPadding *padding, HfError *err);

#endif
