/* Parquet files to tables and back.
 *
 *   HfTable *table = hf_parquet_read("train-00000-of-00001.parquet", &(HfParquetOptions){0}, NULL, err);
 *
 * Types that columns do not have: whole numbers without sign become the next larger type with one (uint64: int64, and a value
 * beyond it is an error), float16 becomes float32, binary becomes STRING, dates, times and decimals become text
 * (scalar_text.h), a map becomes a list of structs { key, value }.
 */
#ifndef HF_PARQUET_H
#define HF_PARQUET_H
#include "codec.h"
#include "table.h"

typedef struct HfParquetOptions {
  const char *const *columns; /* (column_count) the columns to read, in this order; NULL: all */
  int column_count;
  size_t page_limit; /* bytes of a page after decompression; 0: 1 GiB */
} HfParquetOptions;

/* features: gets the file's metadata "huggingface", JSON that describes the columns; stays empty without it. NULL: not wanted.
 * Free it after a failure too. */
HfTable *hf_parquet_read(const char *path, const HfParquetOptions *options, HfBuffer *features, HfError *err);
/* The same from bytes; `where` begins errors. */
HfTable *hf_parquet_parse(const void *bytes, size_t size, const char *where, const HfParquetOptions *options, HfBuffer *features, HfError *err);

typedef struct HfParquetWriteOptions {
  HfCodec codec;        /* HF_CODEC_NONE, HF_CODEC_SNAPPY or HF_CODEC_ZSTD */
  int64_t group_rows;   /* rows of a row group; 0: 100,000 */
  const char *features; /* the metadata "huggingface"; NULL: none */
} HfParquetWriteOptions;

/* Complete under its name, or not at all. */
bool hf_parquet_write(const HfTable *table, const char *path, const HfParquetWriteOptions *options, HfError *err);

#endif
