/* Writing safetensors files: header, then the tensors by element size (larger first) and name, so that each is aligned. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "json_write.h"
#include "safetensors.h"

/* What is written, in the order of the file. */
typedef struct Plan {
  const char *const *names;
  HfTensor *const *tensors;
  size_t *order, count;
} Plan;

static int compare_items(const void *left, const void *right, void *data) {
  const Plan *plan = data;
  size_t a = *(const size_t *)left, b = *(const size_t *)right;
  size_t size_a = hf_dtype_size(plan->tensors[a]->dtype), size_b = hf_dtype_size(plan->tensors[b]->dtype);
  if (size_a != size_b) return size_a > size_b ? -1 : 1;
  return strcmp(plan->names[a], plan->names[b]);
}

static bool make_order(Plan *plan, const char *path, HfError *err) {
  plan->order = hf_malloc(plan->count * sizeof *plan->order, path, err);
  if (!plan->order) return false;
  for (size_t i = 0; i < plan->count; i++) plan->order[i] = i;
  if (plan->count) qsort_r(plan->order, plan->count, sizeof *plan->order, compare_items, plan);
  return true;
}

/* ---- header */

static bool write_name(HfBuffer *out, const char *name, HfError *err) {
  return hf_json_write_string(out, name, strlen(name), false, err) && hf_buffer_append(out, ":", 1, err);
}

static bool write_metadata(HfBuffer *out, const HfSafetensorsPair *metadata, size_t count, HfError *err) {
  bool done = hf_buffer_format(out, err, "\"__metadata__\":{");
  for (size_t i = 0; done && i < count; i++) {
    done = (i == 0 || hf_buffer_append(out, ",", 1, err)) && write_name(out, metadata[i].name, err) &&
           hf_json_write_string(out, metadata[i].value, strlen(metadata[i].value), false, err);
  }
  return done && hf_buffer_append(out, "}", 1, err);
}

/* "name":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]} */
static bool write_entry(HfBuffer *out, const char *name, const HfTensor *t, uint64_t begin, HfError *err) {
  bool done = write_name(out, name, err) && hf_buffer_format(out, err, "{\"dtype\":\"%s\",\"shape\":[", hf_safetensors_type_of(t->dtype)->name);
  for (int d = 0; done && d < t->ndim; d++) done = hf_buffer_format(out, err, "%s%" PRId64, d ? "," : "", t->shape[d]);
  return done && hf_buffer_format(out, err, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, begin + (uint64_t)hf_tensor_bytes(t));
}

static bool write_entries(HfBuffer *out, const Plan *plan, bool first, HfError *err) {
  uint64_t begin = 0;
  for (size_t i = 0; i < plan->count; i++, first = false) {
    const HfTensor *t = plan->tensors[plan->order[i]];
    if (!first && !hf_buffer_append(out, ",", 1, err)) return false;
    if (!write_entry(out, plan->names[plan->order[i]], t, begin, err)) return false;
    begin += (uint64_t)hf_tensor_bytes(t);
  }
  return true;
}

/* Length and JSON, padded with spaces so that the data begins at a multiple of 8. */
static bool make_header(HfBuffer *out, const Plan *plan, const HfSafetensorsPair *metadata, size_t metadata_count, HfError *err) {
  bool done = hf_buffer_append(out, "\0\0\0\0\0\0\0\0{", 9, err);
  if (metadata_count) done = done && write_metadata(out, metadata, metadata_count, err);
  done = done && write_entries(out, plan, metadata_count == 0, err) && hf_buffer_append(out, "}", 1, err);
  while (done && out->size % 8) done = hf_buffer_append(out, " ", 1, err);
  if (!done) return false;
  uint64_t length = out->size - 8;
  if (length > HF_SAFETENSORS_MAX_HEADER) return hf_error_set(err, "header: expected at most %u bytes, found %" PRIu64, HF_SAFETENSORS_MAX_HEADER, length);
  for (int i = 0; i < 8; i++) out->data[i] = (char)(length >> (8 * i));
  return true;
}

/* ---- data */

/* A tensor that does not lie in row order on the host is gathered first. */
static bool write_tensor(HfFileWriter *writer, const HfTensor *t, HfError *err) {
  size_t size = hf_tensor_bytes(t);
  if (hf_tensor_is_contiguous(t) && hf_tensor_device(t) == hf_device_cpu()) return hf_file_writer_write(writer, hf_tensor_data(t), size, err);
  void *rows = hf_malloc(size, writer->path, err);
  bool done = rows && hf_tensor_read(t, rows, err) && hf_file_writer_write(writer, rows, size, err);
  hf_free(rows);
  return done;
}

static bool write_file(const char *path, const HfBuffer *header, const Plan *plan, HfError *err) {
  HfFileWriter writer;
  if (!hf_file_writer_open(&writer, path, err)) return false;
  bool done = hf_file_writer_write(&writer, header->data, header->size, err);
  for (size_t i = 0; done && i < plan->count; i++) done = write_tensor(&writer, plan->tensors[plan->order[i]], err);
  if (done) return hf_file_writer_commit(&writer, err);
  hf_file_writer_abort(&writer);
  return false;
}

static bool check_name(const char *path, const char *name, HfError *err) {
  return strcmp(name, "__metadata__") || hf_error_set(err, "%s: tensor \"__metadata__\": the name is taken by the format", path);
}

bool hf_safetensors_save(const char *path, const char *const *names, HfTensor *const *tensors, size_t count,
                         const HfSafetensorsPair *metadata, size_t metadata_count, HfError *err) {
  Plan plan = {names, tensors, NULL, count};
  HfBuffer header = {0};
  for (size_t i = 0; i < count; i++)
    if (!check_name(path, names[i], err)) return false;
  bool done = make_order(&plan, path, err);
  if (done && !(done = make_header(&header, &plan, metadata, metadata_count, err))) hf_error_prefix(err, "%s", path);
  done = done && write_file(path, &header, &plan, err);
  hf_buffer_free(&header);
  hf_free(plan.order);
  return done;
}
