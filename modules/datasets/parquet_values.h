/* The values of one page in the file's own types, out of any encoding.
 *
 * Values of one width stand side by side in `fixed`; texts of any length are spans. Both may lie in the page's own bytes, which
 * must outlive them, or in memory of this object, which is used again for the next page.
 */
#ifndef HF_PARQUET_VALUES_H
#define HF_PARQUET_VALUES_H
#include "parquet_schema.h"

typedef struct HfParquetValues {
  int64_t count;
  int width;             /* of fixed values; 0: spans */
  const uint8_t *fixed;  /* (count * width) */
  HfSpan *spans;   /* (count) */
  HfBuffer store, bytes; /* memory for them, and for texts that are put together */
  HfBuffer numbers;      /* for lengths and indices on the way */
} HfParquetValues;

/* Decodes `count` values of a leaf. dictionary: NULL when the chunk has none. limit: bytes the decoded values may take. */
bool hf_parquet_decode(HfParquetValues *values, const HfParquetLeaf *leaf, int32_t encoding, const HfParquetValues *dictionary,
                       const uint8_t *in, size_t size, int64_t count, size_t limit, HfError *err);
void hf_parquet_values_free(HfParquetValues *values);

#endif
