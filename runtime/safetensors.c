/* safetensors files: the rules of the header, and tensors over the mapped bytes. */
#include "safetensors.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "json_scan.h"

#define COMPUTED(name, bits, dtype) {name, bits, true, dtype}
#define LISTED(name, bits) {name, bits, false, HF_DTYPE_COUNT}
static const HfSafetensorsType types[] = {
  COMPUTED("F32", 32, HF_FLOAT32), COMPUTED("F16", 16, HF_FLOAT16), COMPUTED("BF16", 16, HF_BFLOAT16), COMPUTED("I64", 64, HF_INT64),
  COMPUTED("I32", 32, HF_INT32), COMPUTED("U8", 8, HF_UINT8), COMPUTED("BOOL", 8, HF_BOOL),
  LISTED("F4", 4), LISTED("F6_E2M3", 6), LISTED("F6_E3M2", 6), LISTED("I8", 8), LISTED("F8_E5M2", 8), LISTED("F8_E4M3", 8),
  LISTED("F8_E8M0", 8), LISTED("F8_E4M3FNUZ", 8), LISTED("F8_E5M2FNUZ", 8), LISTED("I16", 16), LISTED("U16", 16),
  LISTED("U32", 32), LISTED("U64", 64), LISTED("F64", 64), LISTED("C64", 64)};
#define TYPE_COUNT (sizeof types / sizeof *types)

const HfSafetensorsType *hf_safetensors_type_of(HfDtype dtype) {
  size_t i = 0;
  while (!types[i].computable || types[i].dtype != dtype) i++;
  return &types[i];
}

/* ---- growing lists */

static bool add_entry(HfSafetensors *file, HfSafetensorsEntry entry, HfError *err) {
  if (file->count == file->capacity) {
    size_t capacity = file->capacity ? 2 * file->capacity : 64;
    HfSafetensorsEntry *entries = hf_realloc(file->entries, capacity * sizeof *entries, file->where, err);
    if (!entries) return false;
    file->entries = entries;
    file->capacity = capacity;
  }
  file->entries[file->count++] = entry;
  return true;
}

static bool add_metadata(HfSafetensors *file, HfSafetensorsPair pair, HfError *err) {
  if (file->metadata_count == file->metadata_capacity) {
    size_t capacity = file->metadata_capacity ? 2 * file->metadata_capacity : 8;
    HfSafetensorsPair *metadata = hf_realloc(file->metadata, capacity * sizeof *metadata, file->where, err);
    if (!metadata) return false;
    file->metadata = metadata;
    file->metadata_capacity = capacity;
  }
  file->metadata[file->metadata_count++] = pair;
  return true;
}

/* ---- the fields of one entry */

/* "WHERE: tensor "NAME": FIELD: " in front of the message; always false. */
static bool fail_field(const HfSafetensors *file, const HfSafetensorsEntry *entry, const char *field, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  return hf_error_prefix(err, "%s: tensor \"%s\": %s", file->where, hf_excerpt(shown, entry->name, strlen(entry->name)), field);
}

static const char *event_kind(HfJsonEvent event) {
  static const char *const kinds[] = {"", "", "an object", "", "an array", "the end of the array", "", "a string", "a whole number", "a number", "true", "false", "null"};
  return kinds[event];
}

static bool read_type(const HfSafetensors *file, HfSafetensorsEntry *entry, HfJsonScanner *s, HfJsonEvent event, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  if (event != HF_JSON_STRING) return hf_error_set(err, "expected a string, found %s", event_kind(event)), fail_field(file, entry, "dtype", err);
  for (size_t i = 0; i < TYPE_COUNT && !entry->type; i++)
    if (!strcmp(types[i].name, s->string)) entry->type = &types[i];
  if (entry->type) return true;
  hf_error_set(err, "unknown type \"%s\"", hf_excerpt(shown, s->string, s->string_size));
  return fail_field(file, entry, "dtype", err);
}

/* The elements of an array of whole numbers >= 0, at most `limit`, into a buffer of int64_t. */
static bool read_numbers(const HfSafetensors *file, const HfSafetensorsEntry *entry, const char *field, HfJsonScanner *s, HfJsonEvent event, HfBuffer *out, HfError *err) {
  if (event != HF_JSON_ARRAY) return hf_error_set(err, "expected an array, found %s", event_kind(event)), fail_field(file, entry, field, err);
  while ((event = hf_json_next(s, err)) != HF_JSON_ARRAY_END) {
    if (event == HF_JSON_FAILED) return false;
    if (event == HF_JSON_INTEGER && s->integer >= 0) {
      if (!hf_buffer_append(out, &s->integer, sizeof s->integer, err)) return false;
      continue;
    }
    bool number = event == HF_JSON_INTEGER || event == HF_JSON_NUMBER;
    hf_error_set(err, "expected whole numbers from 0 to 9223372036854775807, found %.40s", number ? s->number_text : event_kind(event));
    return fail_field(file, entry, field, err);
  }
  return true;
}

static bool read_shape(const HfSafetensors *file, HfSafetensorsEntry *entry, HfJsonScanner *s, HfJsonEvent event, HfError *err) {
  HfBuffer sizes = {0};
  bool done = read_numbers(file, entry, "shape", s, event, &sizes, err) && hf_buffer_reserve(&sizes, 0, err);
  entry->shape = (int64_t *)(void *)sizes.data; /* freed with the entry, also after an error */
  entry->ndim = sizes.size / sizeof *entry->shape;
  return done;
}

static bool read_offsets(const HfSafetensors *file, HfSafetensorsEntry *entry, HfJsonScanner *s, HfJsonEvent event, HfError *err) {
  HfBuffer offsets = {0};
  bool done = read_numbers(file, entry, "data_offsets", s, event, &offsets, err);
  size_t count = offsets.size / sizeof(int64_t);
  if (done && count != 2) {
    hf_error_set(err, "expected two numbers, found %zu", count);
    done = fail_field(file, entry, "data_offsets", err);
  }
  if (done) {
    const int64_t *numbers = (const void *)offsets.data;
    entry->begin = (uint64_t)numbers[0];
    entry->end = (uint64_t)numbers[1];
  }
  hf_buffer_free(&offsets);
  return done;
}

static bool is_name(const HfJsonScanner *s, const char *name) { return !strcmp(s->string, name); }

/* The object of one tensor; `offsets` tells whether data_offsets was there. */
static bool read_fields(const HfSafetensors *file, HfSafetensorsEntry *entry, HfJsonScanner *s, bool *offsets, HfError *err) {
  HfJsonEvent event;
  while ((event = hf_json_next(s, err)) == HF_JSON_NAME) {
    bool type = is_name(s, "dtype"), shape = is_name(s, "shape"), place = is_name(s, "data_offsets");
    event = hf_json_next(s, err);
    if (event == HF_JSON_FAILED) return false;
    if (place) *offsets = true;
    bool done = type ? read_type(file, entry, s, event, err) : shape ? read_shape(file, entry, s, event, err)
              : place ? read_offsets(file, entry, s, event, err) : hf_json_skip(s, event, err);
    if (!done) return false;
  }
  return event == HF_JSON_OBJECT_END;
}

/* "F32 [32,32]" */
static const char *describe_entry(const HfSafetensorsEntry *entry, char out[HF_EXCERPT_SIZE]) {
  size_t used = (size_t)snprintf(out, HF_EXCERPT_SIZE, "%s [", entry->type->name);
  for (size_t d = 0; d < entry->ndim && used < HF_EXCERPT_SIZE - 32; d++)
    used += (size_t)snprintf(out + used, HF_EXCERPT_SIZE - used, "%s%" PRId64, d ? "," : "", entry->shape[d]);
  snprintf(out + used, HF_EXCERPT_SIZE - used, "]");
  return out;
}

/* Bits of dtype and shape: the product is checked from left to right, so that a later 0 hides no overflow. */
static bool bits_of_entry(const HfSafetensorsEntry *entry, uint64_t *bits) {
  *bits = 1;
  for (size_t d = 0; d < entry->ndim; d++)
    if (!hf_mul_u64(bits, *bits, (uint64_t)entry->shape[d])) return false;
  return hf_mul_u64(bits, *bits, (uint64_t)entry->type->bits);
}

static bool check_shape(const HfSafetensors *file, const HfSafetensorsEntry *entry, uint64_t *bytes, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  uint64_t bits;
  if (!bits_of_entry(entry, &bits)) hf_error_set(err, "expected a size below 2^61 bytes, found %s", describe_entry(entry, shown));
  else if (bits % 8) hf_error_set(err, "expected whole bytes, found %" PRIu64 " bits for %s", bits, describe_entry(entry, shown));
  else return *bytes = bits / 8, true;
  return fail_field(file, entry, "shape", err);
}

static bool check_entry(const HfSafetensors *file, const HfSafetensorsEntry *entry, bool offsets, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  uint64_t bytes = 0;
  const char *missing = !entry->type ? "dtype" : !entry->shape ? "shape" : !offsets ? "data_offsets" : NULL;
  if (missing) return hf_error_set(err, "expected one, found none"), fail_field(file, entry, missing, err);
  if (!check_shape(file, entry, &bytes, err)) return false;
  if (entry->begin > entry->end) hf_error_set(err, "expected begin <= end, found [%" PRIu64 ",%" PRIu64 "]", entry->begin, entry->end);
  else if (entry->end - entry->begin != bytes) hf_error_set(err, "expected %" PRIu64 " bytes for %s, found %" PRIu64, bytes, describe_entry(entry, shown), entry->end - entry->begin);
  else if (entry->end > file->data_size) hf_error_set(err, "expected an end within the %" PRIu64 " bytes of data, found %" PRIu64, file->data_size, entry->end);
  else return true;
  return fail_field(file, entry, "data_offsets", err);
}

static void free_entry(HfSafetensorsEntry *entry) {
  hf_free(entry->name);
  hf_free(entry->shape);
}

static bool read_entry(HfSafetensors *file, HfJsonScanner *s, HfError *err) {
  bool offsets = false;
  HfSafetensorsEntry entry = {.name = hf_strndup(s->string, s->string_size, err)};
  if (!entry.name) return false;
  HfJsonEvent event = hf_json_next(s, err);
  bool done = event != HF_JSON_FAILED;
  if (done && event != HF_JSON_OBJECT) {
    hf_error_set(err, "expected an object, found %s", event_kind(event));
    done = fail_field(file, &entry, "header entry", err);
  }
  done = done && read_fields(file, &entry, s, &offsets, err) && check_entry(file, &entry, offsets, err) && add_entry(file, entry, err);
  if (!done) free_entry(&entry);
  return done;
}

/* ---- the header */

static bool read_metadata_value(HfSafetensors *file, HfJsonScanner *s, HfError *err) {
  char shown[HF_EXCERPT_SIZE];
  HfSafetensorsPair pair = {.name = hf_strndup(s->string, s->string_size, err)};
  HfJsonEvent event = pair.name ? hf_json_next(s, err) : HF_JSON_FAILED;
  if (event == HF_JSON_STRING && memchr(s->string, 0, s->string_size)) hf_error_set(err, "%s: __metadata__: \"%s\": \\u0000 in a string", file->where, hf_excerpt(shown, pair.name, strlen(pair.name)));
  else if (event == HF_JSON_STRING) pair.value = hf_strndup(s->string, s->string_size, err);
  else if (event != HF_JSON_FAILED) hf_error_set(err, "%s: __metadata__: \"%s\": expected a string, found %s", file->where, hf_excerpt(shown, pair.name, strlen(pair.name)), event_kind(event));
  if (pair.value && add_metadata(file, pair, err)) return true;
  hf_free(pair.name);
  hf_free(pair.value);
  return false;
}

static bool read_metadata(HfSafetensors *file, HfJsonScanner *s, HfError *err) {
  HfJsonEvent event = hf_json_next(s, err);
  if (event == HF_JSON_FAILED) return false;
  if (event != HF_JSON_OBJECT) return hf_error_set(err, "%s: __metadata__: expected an object, found %s", file->where, event_kind(event));
  while ((event = hf_json_next(s, err)) == HF_JSON_NAME)
    if (!read_metadata_value(file, s, err)) return false;
  return event == HF_JSON_OBJECT_END;
}

/* A file that is something else altogether is named; always false. */
static bool fail_kind(const HfSafetensors *file, const void *bytes, size_t size, HfError *err) {
  const char *kind = hf_file_kind(bytes, size);
  return kind ? hf_error_set(err, "%s: expected a safetensors file, found %s", file->where, kind) : false;
}

static bool read_header(HfSafetensors *file, HfJsonScanner *s, HfError *err) {
  HfJsonEvent event = hf_json_next(s, err);
  if (event == HF_JSON_FAILED) return false;
  if (event != HF_JSON_OBJECT) return hf_error_set(err, "%s: header: expected an object, found %s", file->where, event_kind(event));
  while ((event = hf_json_next(s, err)) == HF_JSON_NAME)
    if (!(is_name(s, "__metadata__") ? read_metadata(file, s, err) : read_entry(file, s, err))) return false;
  return event == HF_JSON_OBJECT_END && hf_json_next(s, err) == HF_JSON_END;
}

static int compare_places(const void *left, const void *right) {
  const HfSafetensorsEntry *a = left, *b = right;
  if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
  if (a->end != b->end) return a->end < b->end ? -1 : 1;
  return strcmp(a->name, b->name);
}

/* Sorted by place, each begins where the one before ended: no hole, no overlap, nothing left over. */
static bool check_places(const HfSafetensors *file, HfError *err) {
  uint64_t end = 0;
  for (size_t i = 0; i < file->count; end = file->entries[i++].end) {
    if (file->entries[i].begin == end) continue;
    hf_error_set(err, "expected to begin at %" PRIu64 ", where the tensor before it ends, found %" PRIu64, end, file->entries[i].begin);
    return fail_field(file, &file->entries[i], "data_offsets", err);
  }
  if (end == file->data_size) return true;
  return hf_error_set(err, "%s: data: expected the %" PRIu64 " bytes that the tensors take, found %" PRIu64, file->where, end, file->data_size);
}

static int compare_entry_names(const void *left, const void *right, void *entries) {
  const HfSafetensorsEntry *all = entries;
  return strcmp(all[*(const uint32_t *)left].name, all[*(const uint32_t *)right].name);
}

static bool index_names(HfSafetensors *file, HfError *err) {
  file->by_name = hf_malloc(file->count * sizeof *file->by_name, file->where, err);
  if (!file->by_name) return false;
  for (size_t i = 0; i < file->count; i++) file->by_name[i] = (uint32_t)i;
  if (file->count) qsort_r(file->by_name, file->count, sizeof *file->by_name, compare_entry_names, file->entries);
  return true;
}

/* The header's length, checked against the bytes that are there. */
static bool read_length(HfSafetensors *file, const unsigned char *bytes, size_t size, uint64_t *length, HfError *err) {
  *length = 0;
  if (size < 8) return hf_error_set(err, "%s: file: expected at least 8 bytes, found %zu", file->where, size), fail_kind(file, bytes, size, err);
  for (int i = 7; i >= 0; i--) *length = *length << 8 | bytes[i];
  if (*length < 2 || *length > HF_SAFETENSORS_MAX_HEADER) hf_error_set(err, "%s: header length: expected 2 to %u, found %" PRIu64, file->where, HF_SAFETENSORS_MAX_HEADER, *length);
  else if (*length > size - 8) hf_error_set(err, "%s: header length: expected at most the %zu bytes that follow it, found %" PRIu64 " (an interrupted copy or download?)", file->where, size - 8, *length);
  else return true;
  return fail_kind(file, bytes, size, err);
}

static bool parse_bytes(HfSafetensors *file, void *bytes, size_t size, HfError *err) {
  uint64_t length;
  HfJsonScanner scanner;
  char header[1024];
  if (!read_length(file, bytes, size, &length, err)) return false;
  file->data = (char *)bytes + 8 + length;
  file->data_size = size - 8 - length;
  snprintf(header, sizeof header, "%.1000s: header", file->where);
  hf_json_scan(&scanner, (const char *)bytes + 8, length, header);
  bool done = read_header(file, &scanner, err);
  hf_json_scan_end(&scanner);
  if (!done) return false;
  if (file->count) qsort(file->entries, file->count, sizeof *file->entries, compare_places);
  return check_places(file, err) && index_names(file, err);
}

HfSafetensors *hf_safetensors_parse(void *bytes, size_t size, const char *where, HfError *err) {
  HfSafetensors *file = hf_calloc(sizeof *file, where, err);
  if (!file) return NULL;
  file->where = hf_strndup(where, strlen(where), err);
  if (file->where && parse_bytes(file, bytes, size, err)) return file;
  hf_safetensors_close(file);
  return NULL;
}

HfSafetensors *hf_safetensors_open(const char *path, HfError *err) {
  HfMapping *mapping = hf_file_map(path, err);
  if (!mapping) return NULL;
  HfSafetensors *file = hf_safetensors_parse(mapping->data, mapping->size, path, err);
  if (file) file->mapping = mapping;
  else hf_mapping_release(mapping);
  return file;
}

void hf_safetensors_close(HfSafetensors *file) {
  if (!file) return;
  for (size_t i = 0; i < file->count; i++) free_entry(&file->entries[i]);
  for (size_t i = 0; i < file->metadata_count; i++) {
    hf_free(file->metadata[i].name);
    hf_free(file->metadata[i].value);
  }
  hf_free(file->entries);
  hf_free(file->metadata);
  hf_free(file->by_name);
  hf_free(file->where);
  hf_mapping_release(file->mapping);
  hf_free(file);
}

const HfSafetensorsEntry *hf_safetensors_find(const HfSafetensors *file, const char *name) {
  size_t low = 0, high = file->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const HfSafetensorsEntry *entry = &file->entries[file->by_name[middle]];
    int order = strcmp(name, entry->name);
    if (order == 0) return entry;
    if (order < 0) high = middle;
    else low = middle + 1;
  }
  return NULL;
}

/* ---- tensors */

static void release_mapped(HfStorage *storage) { hf_mapping_release(storage->owner); }

/* Bytes of a bool other than 0 and 1 become 1, as the kernels expect. */
static void normalise_bools(unsigned char *bytes, size_t size) {
  for (size_t i = 0; i < size; i++)
    if (bytes[i] > 1) bytes[i] = 1;
}

static HfTensor *tensor_over_mapping(const HfSafetensors *file, const HfSafetensorsEntry *entry, HfError *err) {
  HfStorage *storage = hf_storage_wrap(hf_device_cpu(), file->data + entry->begin, entry->end - entry->begin, release_mapped, file->mapping, err);
  if (!storage) return NULL;
  hf_mapping_retain(file->mapping);
  HfTensor *tensor = hf_tensor_over(storage, 0, entry->type->dtype, (int)entry->ndim, entry->shape, err);
  hf_storage_release(storage);
  return tensor;
}

HfTensor *hf_safetensors_tensor(const HfSafetensors *file, const HfSafetensorsEntry *entry, HfError *err) {
  char *bytes = file->data + entry->begin;
  HfDtype dtype = entry->type->dtype;
  if (!entry->type->computable) {
    hf_error_set(err, "%s cannot be computed with; convert the file to F32, F16, BF16, I64, I32, U8 or BOOL", entry->type->name);
    return fail_field(file, entry, "dtype", err), NULL;
  }
  if (entry->ndim > HF_MAX_DIMS) {
    hf_error_set(err, "expected at most %d dims, found %zu", HF_MAX_DIMS, entry->ndim);
    return fail_field(file, entry, "shape", err), NULL;
  }
  if (dtype == HF_BOOL) normalise_bools((unsigned char *)bytes, entry->end - entry->begin);
  if ((uintptr_t)bytes % hf_dtype_size(dtype)) return hf_tensor_from(dtype, (int)entry->ndim, entry->shape, bytes, hf_device_cpu(), err);
  return tensor_over_mapping(file, entry, err);
}
