/* One leaf of a Parquet file over all row groups: its pages decoded one after another into column memory.
 *
 * Values that are there stand side by side, in the layout of HfColumn; definition and repetition levels, one of each for every
 * value or absence, say where they belong.
 */
#ifndef HF_PARQUET_COLUMN_H
#define HF_PARQUET_COLUMN_H
#include "parquet_values.h"

typedef struct HfParquetFile {
  const uint8_t *bytes;
  size_t size;
  const char *where;
  HfParquetMeta meta;
  HfParquetSchema schema;
  size_t page_limit; /* bytes of a page after decompression and of its decoded values */
} HfParquetFile;

typedef struct HfParquetData {
  int64_t entries;     /* values and absences */
  int64_t value_count; /* values */
  HfBuffer values, offsets; /* offsets: int64, with the leading 0; texts only */
  HfBuffer defs, reps; /* (entries) bytes each; empty when the leaf has no such levels */
} HfParquetData;

/* Reads leaf number `leaf` of every row group. Errors name file, column and row group. Free `data` after a failure too. */
bool hf_parquet_column_read(HfParquetData *data, const HfParquetFile *file, int leaf, HfError *err);
void hf_parquet_data_free(HfParquetData *data);

/* Bytes of the leaf's chunks in the file, and the codecs they need. */
bool hf_parquet_column_open(const HfParquetFile *file, int leaf, uint64_t *bytes, HfError *err);

#endif
