/* Collects rows for a new table: columns appear when they are first named, and rows without a value get a null, or
 * what the table being rewritten has there.
 *
 *   HfWriter *writer = hf_writer_new(NULL, err);
 *   HfBuilder *b = hf_writer_column(writer, "label", err);
 *   ok = b && hf_builder_add_int(b, 1, err) && hf_writer_end_rows(writer, 1, err);
 *   HfTable *table = ok ? hf_writer_finish(writer, err) : NULL;
 */
#ifndef HF_WRITER_H
#define HF_WRITER_H
#include "table.h"

typedef struct HfWriter {
  HfTable *old; /* a reference, or NULL: row i written stands for row i of it, while there are so many */
  int64_t rows; /* complete ones */
  int count;
  char **names;         /* (count), owned */
  HfBuilder **builders; /* (count), owned */
} HfWriter;

HfWriter *hf_writer_new(HfTable *old, HfError *err); /* retains old */
void hf_writer_free(HfWriter *writer);               /* NULL is fine */

/* The builder of a column, made on first use and borrowed. Ids and masks (input_ids, attention_mask ...) are stored
 * in the small whole number types that HF gives them. */
HfBuilder *hf_writer_column(HfWriter *writer, const char *name, HfError *err);
/* A new column whose builder is given. Takes ownership of b, also on failure. */
bool hf_writer_add(HfWriter *writer, const char *name, HfBuilder *b, HfError *err);

/* Ends `count` rows: columns that got none of them are filled from `old`, where it has the column, else with nulls.
 * Another number of values in a column is an error. */
bool hf_writer_end_rows(HfWriter *writer, int64_t count, HfError *err);

HfTable *hf_writer_finish(HfWriter *writer, HfError *err); /* the writer is then without rows */

#endif
