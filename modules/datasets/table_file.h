/* Tables in files of our own: written once, read by mapping, so that columns cost no memory until they are used.
 *
 * Little-endian. In order: the magic line in 16 bytes; the blocks of all columns (valid marks, values, offsets as in
 * HfColumn), each at a multiple of 64; the description (rows, fields, and for each column its type, length and blocks);
 * then 8 bytes each: where the description begins, the XXH64 of everything before, and the end mark.
 */
#ifndef HF_TABLE_FILE_H
#define HF_TABLE_FILE_H
#include "table.h"

#define HF_TABLE_FORMAT "1" /* changes with the layout, so that old files are not read as new ones */

/* Written under another name, synced, then renamed. */
bool hf_table_save(const HfTable *table, const char *path, HfError *err);
/* Checks the sum and every size before use. */
HfTable *hf_table_load(const char *path, HfError *err);
/* The same from bytes already mapped; retains the mapping. `where` begins errors. */
HfTable *hf_table_open(HfMapping *mapping, const char *where, HfError *err);

#endif
