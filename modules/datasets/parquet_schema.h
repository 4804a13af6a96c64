/* The schema of a Parquet file as the columns it becomes: lists and structs over leaves, each with its Dremel levels.
 *
 * A list of the file (annotated or not, three levels or the older two) is one LIST node; a map is a LIST of a STRUCT of key
 * and value; every other group is a STRUCT.
 */
#ifndef HF_PARQUET_SCHEMA_H
#define HF_PARQUET_SCHEMA_H
#include "column_values.h"
#include "parquet_meta.h"

typedef struct HfParquetLeaf {
  const HfParquetElement *element; /* borrowed */
  HfForm form;          /* its width: bytes of a value in the file, 1 for booleans */
  int max_def, max_rep; /* the levels of a value that is there */
  char path[96];        /* "a.list.element", for errors; cut when it is long */
} HfParquetLeaf;

typedef struct HfParquetNode {
  char *name; /* owned; NULL for the item of a list */
  HfColumnType type;
  int def;        /* the definition level from which on the node is not null */
  int parent_def; /* from which on there is a slot for it: that of an item in the list around it, 0 outside of lists */
  int rep;        /* repetition level of a slot: how many lists are around it */
  int first_leaf, leaf_count;
  int child_count;
  struct HfParquetNode **children; /* owned */
} HfParquetNode;

typedef struct HfParquetSchema {
  HfParquetNode *root; /* a STRUCT of the columns */
  HfParquetLeaf *leaves;
  int leaf_count;
} HfParquetSchema;

/* Free it after a failure too. `meta` must outlive it. */
bool hf_parquet_schema_make(HfParquetSchema *schema, const HfParquetMeta *meta, const char *where, HfError *err);
void hf_parquet_schema_free(HfParquetSchema *schema);

#endif
