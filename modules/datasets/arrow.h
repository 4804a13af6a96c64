/* Arrow streams and files, as Python's datasets keeps them in its cache and in folders of save_to_disk, to tables. Types become
 * those of columns as parquet.h says; durations become int64; dictionaries are resolved.
 *
 *   HfTable *table = hf_arrow_read("data-00000-of-00001.arrow", NULL, err);
 */
#ifndef HF_ARROW_H
#define HF_ARROW_H
#include "table.h"

/* features: as hf_parquet_read's. */
HfTable *hf_arrow_read(const char *path, HfBuffer *features, HfError *err);
/* The same from bytes; `where` begins errors. limit: bytes a buffer may take after decompression; 0: 4 GiB. */
HfTable *hf_arrow_parse(const void *bytes, size_t size, const char *where, size_t limit, HfBuffer *features, HfError *err);

#endif
