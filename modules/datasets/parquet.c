/* Parquet files to tables: leaves are read one by one (several at a time), then put together by their levels; see parquet.h. */
#include "parquet.h"
#include <string.h>
#include "parquet_column.h"

#define PAGE_LIMIT ((size_t)1 << 30)
#define PARALLEL_BYTES (1 << 20) /* less than this is read by one thread */

/* ---- putting together */

typedef struct Assembly {
  const HfParquetFile *file;
  HfParquetData *data; /* of every leaf; those that are not wanted are empty */
} Assembly;

/* A level entry is a slot of the node when the list around the node has an item there, and a new one. */
static inline bool is_slot(const HfParquetNode *n, const uint8_t *defs, const uint8_t *reps, int64_t i) {
  return (!reps || reps[i] <= n->rep) && (!defs || defs[i] >= n->parent_def);
}

static int64_t count_slots(const HfParquetNode *n, const HfParquetData *d, const uint8_t *defs, const uint8_t *reps) {
  if (n->parent_def == 0 && !reps) return d->entries;
  int64_t count = 0;
  for (int64_t i = 0; i < d->entries; i++) count += is_slot(n, defs, reps, i);
  return count;
}

/* Marks of the slots that hold something, NULL when all do. */
static bool make_valid(const HfParquetNode *n, const HfParquetData *d, const uint8_t *defs, const uint8_t *reps, int64_t slots,
                       const uint8_t **out, HfError *err) {
  *out = NULL;
  if (n->def == n->parent_def) return true;
  uint8_t *valid = hf_malloc((size_t)slots, "column", err);
  if (!valid) return false;
  int64_t at = 0, nulls = 0;
  for (int64_t i = 0; i < d->entries; i++) {
    if (!is_slot(n, defs, reps, i)) continue;
    valid[at] = defs[i] >= n->def;
    nulls += !valid[at++];
  }
  if (nulls) *out = valid;
  else hf_free(valid);
  return true;
}

static const uint8_t *levels_of(const HfBuffer *buffer) { return (const uint8_t *)buffer->data; }

static HfColumn *make_leaf(const Assembly *a, const HfParquetNode *n, HfError *err) {
  HfParquetData *d = &a->data[n->first_leaf];
  const HfParquetLeaf *leaf = &a->file->schema.leaves[n->first_leaf];
  const uint8_t *defs = leaf->max_def ? levels_of(&d->defs) : NULL, *reps = leaf->max_rep ? levels_of(&d->reps) : NULL;
  int64_t slots = count_slots(n, d, defs, reps);
  HfColumn *c = hf_column_new(n->type, slots, 0, err);
  if (!c) return NULL;
  if (make_valid(n, d, defs, reps, slots, &c->valid, err) && hf_column_place(c, &d->values, &d->offsets, d->value_count, err)) return c;
  hf_column_release(c);
  return NULL;
}

static HfColumn *make_column(const Assembly *a, const HfParquetNode *n, HfError *err);

static bool uneven(const Assembly *a, const HfParquetNode *n, HfError *err) {
  return hf_error_set(err, "%s: column '%s': its parts have different numbers of values", a->file->where, a->file->schema.leaves[n->first_leaf].path);
}

/* Where the items of each slot begin: an entry is an item when the list has one there. */
static bool make_offsets(const HfParquetNode *n, const HfParquetData *d, HfColumn *c, HfError *err) {
  const uint8_t *defs = levels_of(&d->defs), *reps = levels_of(&d->reps);
  int64_t *offsets = hf_malloc(((size_t)c->length + 1) * sizeof *offsets, "column offsets", err);
  if (!offsets) return false;
  int64_t slot = 0, items = 0;
  for (int64_t i = 0; i < d->entries; i++) {
    if (is_slot(n, defs, reps, i)) offsets[slot++] = items;
    items += reps[i] <= n->rep + 1 && defs[i] > n->def;
  }
  offsets[slot] = items;
  c->offsets = offsets;
  return true;
}

/* A list or struct: its own shape by the levels of its first leaf, which are kept until then. */
static HfColumn *make_nested(const Assembly *a, const HfParquetNode *n, HfError *err) {
  const HfParquetData *d = &a->data[n->first_leaf];
  const HfParquetLeaf *leaf = &a->file->schema.leaves[n->first_leaf];
  const uint8_t *defs = leaf->max_def ? levels_of(&d->defs) : NULL, *reps = leaf->max_rep ? levels_of(&d->reps) : NULL;
  int64_t slots = count_slots(n, d, defs, reps);
  HfColumn *c = hf_column_new(n->type, slots, n->child_count, err);
  if (!c) return NULL;
  bool ok = make_valid(n, d, defs, reps, slots, &c->valid, err) && (n->type != HF_COLUMN_LIST || make_offsets(n, d, c, err));
  for (int i = 0; ok && i < n->child_count; i++) {
    const HfParquetNode *child = n->children[i];
    if (child->name) ok = (c->names[i] = hf_strndup(child->name, strlen(child->name), err));
    ok = ok && (c->children[i] = make_column(a, child, err));
    int64_t expected = n->type == HF_COLUMN_LIST ? c->offsets[slots] : slots;
    if (ok && c->children[i]->length != expected) ok = uneven(a, n, err);
  }
  if (ok) return c;
  hf_column_release(c);
  return NULL;
}

static HfColumn *make_column(const Assembly *a, const HfParquetNode *n, HfError *err) {
  return n->child_count ? make_nested(a, n, err) : make_leaf(a, n, err);
}

/* ---- which columns */

typedef struct Wanted {
  const HfParquetNode **nodes; /* (count) */
  int count;
} Wanted;

static bool no_column(const HfParquetFile *file, const char *name, HfError *err) {
  const HfParquetNode *root = file->schema.root;
  const char **names = hf_calloc(((size_t)root->child_count + 1) * sizeof *names, "names", err);
  if (!names) return false;
  for (int i = 0; i < root->child_count; i++) names[i] = root->children[i]->name;
  const char *near = hf_nearest_name(name, names);
  hf_error_set(err, "%s: no column '%.80s'%s%.80s%s", file->where, name, near ? " (did you mean '" : "", near ? near : "", near ? "'?)" : "");
  hf_free(names);
  return false;
}

static bool choose_columns(const HfParquetFile *file, const HfParquetOptions *options, Wanted *wanted, HfError *err) {
  const HfParquetNode *root = file->schema.root;
  wanted->count = options->columns ? options->column_count : root->child_count;
  wanted->nodes = hf_calloc((size_t)wanted->count * sizeof *wanted->nodes, "columns", err);
  if (!wanted->nodes) return false;
  for (int i = 0; i < wanted->count; i++) {
    if (!options->columns) wanted->nodes[i] = root->children[i];
    for (int j = 0; !wanted->nodes[i] && j < root->child_count; j++)
      if (!strcmp(root->children[j]->name, options->columns[i])) wanted->nodes[i] = root->children[j];
    if (!wanted->nodes[i]) return no_column(file, options->columns[i], err);
    for (int j = 0; options->columns && j < i; j++)
      if (wanted->nodes[j] == wanted->nodes[i]) return hf_error_set(err, "%s: column '%.80s' is asked for twice", file->where, options->columns[i]);
  }
  return true;
}

/* The leaves of the wanted columns, and how many bytes they take in the file. */
static bool list_leaves(const HfParquetFile *file, const Wanted *wanted, int *leaves, int *count, uint64_t *bytes, HfError *err) {
  for (int i = 0; i < wanted->count; i++) {
    const HfParquetNode *n = wanted->nodes[i];
    for (int leaf = n->first_leaf; leaf < n->first_leaf + n->leaf_count; leaf++) {
      uint64_t own;
      if (!hf_parquet_column_open(file, leaf, &own, err)) return false;
      leaves[(*count)++] = leaf;
      *bytes += own;
      if (own > file->size || *bytes > file->size) return hf_error_set(err, "%s: its column chunks take more bytes than the file has", file->where);
    }
  }
  return true;
}

static bool read_leaves(const HfParquetFile *file, const int *leaves, int count, uint64_t bytes, HfParquetData *data, HfError *err) {
  bool ok = true;
#pragma omp parallel for schedule(dynamic) if (bytes > PARALLEL_BYTES && count > 1)
  for (int i = 0; i < count; i++) {
    HfError own;
    bool go;
#pragma omp atomic read
    go = ok;
    if (!go || hf_parquet_column_read(&data[leaves[i]], file, leaves[i], &own)) continue;
#pragma omp critical(hf_parquet_error)
    {
      if (ok && err) *err = own;
#pragma omp atomic write
      ok = false;
    }
  }
  return ok;
}

/* ---- the file */

static bool add_columns(HfTable *t, const Assembly *a, const Wanted *wanted, HfError *err) {
  bool ok = true;
  for (int i = 0; ok && i < wanted->count; i++) {
    HfColumn *c = make_column(a, wanted->nodes[i], err);
    ok = c && (c->length == t->length || uneven(a, wanted->nodes[i], err)) && hf_table_add(t, wanted->nodes[i]->name, c, NULL, err);
    hf_column_release(c);
  }
  return ok;
}

static HfTable *read_table(const HfParquetFile *file, int64_t rows, const Wanted *wanted, HfError *err) {
  size_t slots = (size_t)file->schema.leaf_count;
  Assembly a = {file, hf_calloc(slots * sizeof *a.data, "columns", err)};
  int *leaves = a.data ? hf_malloc(slots * sizeof *leaves, "columns", err) : NULL, count = 0;
  HfTable *table = leaves ? hf_table_new(rows, err) : NULL;
  uint64_t bytes = 0;
  bool ok = table && list_leaves(file, wanted, leaves, &count, &bytes, err) && read_leaves(file, leaves, count, bytes, a.data, err) &&
            add_columns(table, &a, wanted, err);
  for (size_t i = 0; a.data && i < slots; i++) hf_parquet_data_free(&a.data[i]);
  hf_free(a.data);
  hf_free(leaves);
  if (ok) return table;
  hf_table_release(table);
  return NULL;
}

/* Every row group has one chunk a leaf; the rows of all are counted. */
static bool check_groups(const HfParquetFile *file, int64_t *rows, HfError *err) {
  const HfParquetMeta *m = &file->meta;
  *rows = 0;
  for (int64_t group = 0; group < m->group_count; group++) {
    int64_t chunks = m->group_chunks[group + 1] - m->group_chunks[group];
    if (chunks != file->schema.leaf_count)
      return hf_error_set(err, "%s: row group %lld: expected %d columns, found %lld", file->where, (long long)group + 1, file->schema.leaf_count, (long long)chunks);
    if (m->group_rows[group] > (INT64_C(1) << 48) - *rows) return hf_error_set(err, "%s: impossible number of rows", file->where);
    *rows += m->group_rows[group];
  }
  return true;
}

HfTable *hf_parquet_parse(const void *bytes, size_t size, const char *where, const HfParquetOptions *options, HfBuffer *features, HfError *err) {
  HfParquetFile file = {.bytes = bytes, .size = size, .where = where, .page_limit = options->page_limit ? options->page_limit : PAGE_LIMIT};
  Wanted wanted = {0};
  int64_t rows;
  bool ok = hf_parquet_meta_read(&file.meta, bytes, size, where, err) && hf_parquet_schema_make(&file.schema, &file.meta, where, err) &&
            check_groups(&file, &rows, err) && choose_columns(&file, options, &wanted, err) &&
            (!features || hf_buffer_append(features, file.meta.huggingface.bytes, file.meta.huggingface.size, err));
  HfTable *table = ok ? read_table(&file, rows, &wanted, err) : NULL;
  hf_free(wanted.nodes);
  hf_parquet_schema_free(&file.schema);
  hf_parquet_meta_free(&file.meta);
  return table;
}

HfTable *hf_parquet_read(const char *path, const HfParquetOptions *options, HfBuffer *features, HfError *err) {
  HfMapping *mapping = hf_file_map(path, err);
  if (!mapping) return NULL;
  const char *kind = hf_file_kind(mapping->data, mapping->size);
  HfTable *table = NULL;
  if (kind) hf_error_set(err, "%s: expected a Parquet file, found %s", path, kind);
  else table = hf_parquet_parse(mapping->data, mapping->size, path, options, features, err);
  hf_mapping_release(mapping);
  return table;
}
