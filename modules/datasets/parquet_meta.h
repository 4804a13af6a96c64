/* What a Parquet file says about itself: the footer (schema, row groups, column chunks, metadata) and the headers of pages.
 * Texts are borrowed from the file's bytes. Only what reading needs is kept; statistics, indexes and the like are passed over.
 */
#ifndef HF_PARQUET_META_H
#define HF_PARQUET_META_H
#include "thrift.h"

#define HF_PARQUET_MAGIC "PAR1"

typedef enum HfParquetType {
  HF_PARQUET_BOOLEAN,
  HF_PARQUET_INT32,
  HF_PARQUET_INT64,
  HF_PARQUET_INT96,
  HF_PARQUET_FLOAT,
  HF_PARQUET_DOUBLE,
  HF_PARQUET_BYTE_ARRAY,
  HF_PARQUET_FIXED, /* FIXED_LEN_BYTE_ARRAY */
  HF_PARQUET_TYPE_COUNT
} HfParquetType;

typedef enum HfParquetRepetition { HF_PARQUET_REQUIRED, HF_PARQUET_OPTIONAL, HF_PARQUET_REPEATED } HfParquetRepetition;

typedef enum HfParquetEncoding {
  HF_PARQUET_PLAIN = 0,
  HF_PARQUET_PLAIN_DICTIONARY = 2,
  HF_PARQUET_RLE = 3,
  HF_PARQUET_BIT_PACKED = 4,
  HF_PARQUET_DELTA_BINARY_PACKED = 5,
  HF_PARQUET_DELTA_LENGTH_BYTE_ARRAY = 6,
  HF_PARQUET_DELTA_BYTE_ARRAY = 7,
  HF_PARQUET_RLE_DICTIONARY = 8,
  HF_PARQUET_BYTE_STREAM_SPLIT = 9
} HfParquetEncoding;

/* The meaning of a column, from its logical type or, where that is missing, its older converted type. */
typedef enum HfParquetLogical {
  HF_PARQUET_NO_LOGICAL,
  HF_PARQUET_STRING, /* also ENUM and JSON: text in UTF-8 */
  HF_PARQUET_MAP,
  HF_PARQUET_LIST,
  HF_PARQUET_DECIMAL,
  HF_PARQUET_DATE,
  HF_PARQUET_TIME,
  HF_PARQUET_TIMESTAMP,
  HF_PARQUET_INTEGER,
  HF_PARQUET_NULL,
  HF_PARQUET_UUID,
  HF_PARQUET_FLOAT16
} HfParquetLogical;

typedef struct HfParquetElement { /* a node of the schema, in depth-first order */
  HfSpan name;
  int32_t type; /* HfParquetType; -1: a group */
  int32_t type_length, repetition, child_count;
  HfParquetLogical logical;
  int32_t scale, precision; /* DECIMAL */
  int32_t bits;             /* INTEGER */
  bool is_signed;           /* INTEGER */
  bool utc;                 /* TIME, TIMESTAMP: the zone is UTC, not local */
  int32_t digits;           /* TIME, TIMESTAMP: of the fraction of a second: 3, 6 or 9 */
} HfParquetElement;

typedef struct HfParquetChunk { /* the values of one column in one row group */
  int32_t type, codec;
  int64_t value_count, compressed_size, data_offset, dictionary_offset; /* dictionary_offset: 0 when there is none */
  bool elsewhere;                                                       /* in another file, or encrypted */
} HfParquetChunk;

typedef struct HfParquetMeta {
  HfParquetElement *elements;
  int64_t element_count;
  int64_t group_count;
  int64_t *group_rows;    /* (group_count) */
  int64_t *group_chunks;  /* (group_count + 1) where the chunks of a row group begin */
  HfParquetChunk *chunks;
  bool short_chunks; /* by a writer that left the header of the dictionary out of the size of a chunk */
  HfSpan huggingface; /* the metadata of that key: the features in JSON; size 0: none */
} HfParquetMeta;

/* Reads the footer of a whole file. `where` begins errors. Free it after a failure too. */
bool hf_parquet_meta_read(HfParquetMeta *meta, const uint8_t *file, size_t size, const char *where, HfError *err);
void hf_parquet_meta_free(HfParquetMeta *meta);

typedef enum HfParquetPageType { HF_PARQUET_DATA_PAGE, HF_PARQUET_INDEX_PAGE, HF_PARQUET_DICTIONARY_PAGE, HF_PARQUET_DATA_PAGE_V2 } HfParquetPageType;

typedef struct HfParquetPage {
  int32_t type, uncompressed_size, compressed_size;
  bool has_crc;
  uint32_t crc;
  int32_t value_count, encoding;
  int32_t rep_encoding, def_encoding; /* data page */
  int32_t rep_size, def_size;         /* data page v2: bytes of levels, which are not compressed */
  bool is_compressed;                 /* data page v2 */
} HfParquetPage;

/* Reads a page header at the cursor, which then stands at the page's bytes. */
void hf_parquet_page_read(HfParquetPage *page, HfThrift *t);

#endif
