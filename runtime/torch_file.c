#include "torch_file.h"
#include "sandbox.h"
#include <stdlib.h>
#include <string.h>
#include "memory.h"
#include "ops.h"

/* How the numbers of a type are stored and become a tensor's. */
static const struct Type {
  size_t size;
  HfDtype dtype;
  bool as_is; /* else converted one by one */
} types[] = {
    [HF_TORCH_FLOAT] = {4, HF_FLOAT32, true}, [HF_TORCH_DOUBLE] = {8, HF_FLOAT32, false}, [HF_TORCH_HALF] = {2, HF_FLOAT16, true},
    [HF_TORCH_BFLOAT16] = {2, HF_BFLOAT16, true}, [HF_TORCH_LONG] = {8, HF_INT64, true}, [HF_TORCH_INT] = {4, HF_INT32, true},
    [HF_TORCH_SHORT] = {2, HF_INT32, false}, [HF_TORCH_CHAR] = {1, HF_INT32, false}, [HF_TORCH_BYTE] = {1, HF_UINT8, true},
    [HF_TORCH_BOOL] = {1, HF_BOOL, false},
};

/* Bytes of a storage; false when they do not fit into 64 bits. */
static bool storage_bytes(const HfPickleValue *storage, uint64_t *out) { return hf_mul_u64(out, (uint64_t)storage->integer, types[storage->type].size); }

static const HfPickleValue *value_at(const HfTorchFile *file, size_t i) { return &file->pickle.values[i]; }

static bool refuse(const HfTorchFile *file, const HfPickleValue *storage, const char *what, HfError *err) {
  return hf_error_set(err, "%s: storage %.*s: %s", file->where, (int)(storage->size < 100 ? storage->size : 100), storage->text, what);
}

/* ---- zip */

static const HfZipMember *find_pickle(const HfZip *zip, size_t *root) {
  static const char name[] = "data.pkl";
  for (size_t i = 0; i < zip->count; i++) {
    const HfZipMember *m = &zip->members[i];
    size_t length = sizeof name - 1, start = m->name_size - length;
    if (m->name_size > length && m->name[start - 1] == '/' && !memcmp(m->name + start, name, length)) return *root = start, m;
  }
  return NULL;
}

/* The member `root``rest``key`; root is the start of a member's name. */
static const HfZipMember *find_beside(const HfTorchFile *file, const HfZipMember *root, size_t root_size, const char *rest, const char *key,
                                      size_t key_size) {
  char name[512];
  size_t rest_size = strlen(rest);
  if (root_size > 200 || key_size > 200) return NULL;
  memcpy(name, root->name, root_size);
  memcpy(name + root_size, rest, rest_size);
  memcpy(name + root_size + rest_size, key, key_size);
  return hf_zip_find(&file->zip, name, root_size + rest_size + key_size);
}

static bool find_zip_storages(HfTorchFile *file, const HfZipMember *pickle, size_t root, HfError *err) {
  for (size_t i = 0; i < file->pickle.count; i++) {
    const HfPickleValue *storage = value_at(file, i);
    uint64_t wanted;
    if (storage->kind != HF_PICKLE_STORAGE) continue;
    const HfZipMember *m = find_beside(file, pickle, root, "data/", storage->text, storage->size);
    if (!m) return refuse(file, storage, "the file has no such member", err);
    if (!storage_bytes(storage, &wanted) || m->size != wanted) return refuse(file, storage, "its size is not the one that the pickle says", err);
    file->data[i] = m->bytes;
  }
  return true;
}

static bool new_data(HfTorchFile *file, HfError *err) {
  return (file->data = hf_calloc((file->pickle.count + 1) * sizeof *file->data, "torch file", err)) != NULL;
}

static bool read_zip(HfTorchFile *file, HfError *err) {
  size_t root;
  if (!hf_zip_read(&file->zip, file->bytes, file->size, file->where, err)) return false;
  const HfZipMember *pickle = find_pickle(&file->zip, &root);
  if (!pickle) return hf_error_set(err, "%s: no member data.pkl: a zip, but not one of torch.save", file->where);
  const HfZipMember *order = find_beside(file, pickle, root, "byteorder", "", 0);
  if (order && (order->size != 6 || memcmp(order->bytes, "little", 6))) return hf_error_set(err, "%s: byteorder: expected little", file->where);
  return hf_pickle_read(&file->pickle, pickle->bytes, pickle->size, file->where, err) && new_data(file, err) && find_zip_storages(file, pickle, root, err);
}

/* ---- the older format: magic number, version, machine, object, keys; then for each key a count of 8 bytes and the numbers */

static const int64_t MAGIC = (int64_t)0xa86a20f9469cfc6cu; /* the lowest 64 bits of it */

typedef struct Stream {
  HfTorchFile *file;
  size_t at;
} Stream;

static bool next_pickle(Stream *s, HfPickle *pickle, HfError *err) {
  const HfTorchFile *f = s->file;
  if (!hf_pickle_read(pickle, f->bytes + s->at, f->size - s->at, f->where, err)) return false;
  s->at += pickle->used;
  return true;
}

/* Reads a pickle that must be this whole number. */
static bool skip_number(Stream *s, int64_t wanted, const char *what, HfError *err) {
  HfPickle p = {0};
  bool ok = next_pickle(s, &p, err);
  if (ok && (p.values[p.root].kind != HF_PICKLE_INT || p.values[p.root].integer != wanted)) ok = hf_error_set(err, "%s: %s", s->file->where, what);
  hf_pickle_free(&p);
  return ok;
}

/* The description of the machine: numbers must be little endian. */
static bool skip_machine(Stream *s, HfError *err) {
  HfPickle p = {0};
  bool ok = next_pickle(s, &p, err), big = false;
  const HfPickleValue *root = ok ? &p.values[p.root] : NULL;
  for (size_t i = 0; ok && root->kind == HF_PICKLE_DICT && i + 1 < root->size; i += 2) {
    const HfPickleValue *key = &p.values[root->items[i]], *given = &p.values[root->items[i + 1]];
    big = big || (key->kind == HF_PICKLE_TEXT && key->size == 13 && !memcmp(key->text, "little_endian", 13) && given->kind == HF_PICKLE_BOOL && !given->integer);
  }
  hf_pickle_free(&p);
  return ok && (!big || hf_error_set(err, "%s: written on a big-endian machine", s->file->where));
}

/* Storages of the object, sorted by their keys. */
typedef struct Keyed {
  const HfPickleValue *storage;
  size_t place;
} Keyed;

static int compare_text(const HfPickleValue *a, const HfPickleValue *b) {
  int order = memcmp(a->text, b->text, a->size < b->size ? a->size : b->size);
  return order ? order : (a->size > b->size) - (a->size < b->size);
}

static int compare_keyed(const void *a, const void *b) { return compare_text(((const Keyed *)a)->storage, ((const Keyed *)b)->storage); }

static size_t list_storages(const HfTorchFile *file, Keyed *out) {
  size_t count = 0;
  for (size_t i = 0; i < file->pickle.count; i++)
    if (value_at(file, i)->kind == HF_PICKLE_STORAGE) {
      if (out) out[count] = (Keyed){value_at(file, i), i};
      count++;
    }
  if (out) qsort(out, count, sizeof *out, compare_keyed);
  return count;
}

/* Gives all storages of one key their bytes at the place of the stream, and goes on behind them. */
static bool place_numbers(Stream *s, const HfPickleValue *key, const Keyed *all, size_t count, HfError *err) {
  HfTorchFile *f = s->file;
  size_t low = 0, high = count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    if (compare_text(all[middle].storage, key) < 0) low = middle + 1;
    else high = middle;
  }
  if (low == count || compare_text(all[low].storage, key)) return refuse(f, key, "no tensor has it, so that its type is not known", err);
  uint64_t numbers = 0, bytes;
  if (f->size - s->at < 8) return refuse(f, key, "the file ends before it", err);
  for (int i = 0; i < 8; i++) numbers |= (uint64_t)f->bytes[s->at + (size_t)i] << (8 * i);
  s->at += 8;
  if (numbers != (uint64_t)all[low].storage->integer || !storage_bytes(all[low].storage, &bytes)) return refuse(f, key, "its size is not the one that the pickle says", err);
  if (bytes > f->size - s->at) return refuse(f, key, "the file ends inside it", err);
  for (size_t i = low; i < count && !compare_text(all[i].storage, key); i++) {
    const HfPickleValue *same = all[i].storage;
    if (same->type != all[low].storage->type || same->integer != all[low].storage->integer) return refuse(f, key, "it has two types or sizes", err);
    f->data[all[i].place] = f->bytes + s->at;
  }
  s->at += bytes;
  return true;
}

static bool place_all(Stream *s, const HfPickle *keys, HfError *err) {
  HfTorchFile *f = s->file;
  const HfPickleValue *root = &keys->values[keys->root];
  if (root->kind != HF_PICKLE_LIST) return hf_error_set(err, "%s: expected the list of storages", f->where);
  size_t count = list_storages(f, NULL);
  Keyed *all = hf_malloc((count + 1) * sizeof *all, "torch file", err);
  bool ok = all != NULL;
  if (ok) list_storages(f, all);
  for (size_t i = 0; ok && i < root->size; i++) {
    const HfPickleValue *key = &keys->values[root->items[i]];
    ok = key->kind == HF_PICKLE_TEXT ? place_numbers(s, key, all, count, err) : hf_error_set(err, "%s: expected the list of storages", f->where);
  }
  for (size_t i = 0; ok && i < count; i++) ok = f->data[all[i].place] || refuse(f, all[i].storage, "its numbers are not in the file", err);
  hf_free(all);
  return ok;
}

static bool read_row(HfTorchFile *file, HfError *err) {
  Stream s = {file, 0};
  HfPickle keys = {0};
  bool ok = skip_number(&s, MAGIC, "not a file of torch.save: its magic number is missing", err) &&
            skip_number(&s, 1001, "expected version 1001 of the older format", err) && skip_machine(&s, err) && next_pickle(&s, &file->pickle, err) &&
            new_data(file, err) && next_pickle(&s, &keys, err) && place_all(&s, &keys, err);
  hf_pickle_free(&keys);
  return ok;
}

/* ---- files */

static bool read_file(HfTorchFile *file, HfError *err) {
  const char *kind = hf_file_kind(file->bytes, file->size);
  bool is_zip = hf_is_zip(file->bytes, file->size);
  if (kind && !is_zip) return hf_error_set(err, "%s: expected a file of torch.save, found %s", file->where, kind);
  if (is_zip) return read_zip(file, err);
  if (!file->size || (file->bytes[0] != 0x80 && file->bytes[0] != 'L')) return hf_error_set(err, "%s: expected a file of torch.save (a zip or a pickle)", file->where);
  return read_row(file, err);
}

static HfTorchFile *new_file(const char *where, HfError *err) {
  HfTorchFile *file = hf_calloc(sizeof *file, "torch file", err);
  if (file && !(file->where = hf_strndup(where, strlen(where), err))) hf_free(file), file = NULL;
  return file;
}

HfTorchFile *hf_torch_parse(const void *bytes, size_t size, const char *where, HfError *err) {
  HfTorchFile *file = new_file(where, err);
  if (!file) return NULL;
  file->bytes = bytes, file->size = size;
  if (!read_file(file, err)) hf_torch_close(file), file = NULL;
  return file;
}

HfTorchFile *hf_torch_open(const char *path, HfError *err) {
  if (hf_sandbox_is_on()) return hf_error_set(err, "%s: --sandbox does not read pickled checkpoints; convert it to safetensors first", path), NULL;
  HfTorchFile *file = new_file(path, err);
  if (!file) return NULL;
  bool ok = (file->mapping = hf_file_map(path, err)) != NULL;
  if (ok) file->bytes = file->mapping->data, file->size = file->mapping->size;
  if (!ok || !read_file(file, err)) hf_torch_close(file), file = NULL;
  return file;
}

void hf_torch_close(HfTorchFile *file) {
  if (!file) return;
  hf_pickle_free(&file->pickle);
  hf_zip_free(&file->zip);
  hf_free(file->data);
  hf_mapping_release(file->mapping);
  hf_free(file->where);
  hf_free(file);
}

/* ---- tensors */

static void convert(void *out, const uint8_t *in, HfTorchType type, int64_t count) {
  for (int64_t i = 0; i < count; i++) {
    double number;
    int16_t small;
    if (type == HF_TORCH_DOUBLE) memcpy(&number, in + 8 * i, 8), ((float *)out)[i] = (float)number;
    if (type == HF_TORCH_SHORT) memcpy(&small, in + 2 * i, 2), ((int32_t *)out)[i] = small;
    if (type == HF_TORCH_CHAR) ((int32_t *)out)[i] = (int8_t)in[i];
    if (type == HF_TORCH_BOOL) ((uint8_t *)out)[i] = in[i] != 0;
  }
}

static void release_mapped(HfStorage *storage) { hf_mapping_release(storage->owner); }

/* All numbers of a storage as a tensor of one dim. */
static HfTensor *whole_storage(const HfTorchFile *file, const HfPickleValue *storage, const uint8_t *bytes, HfError *err) {
  const struct Type *type = &types[storage->type];
  int64_t count = storage->integer;
  if (!type->as_is) {
    HfTensor *made = hf_tensor_empty(type->dtype, 1, &count, hf_device_cpu(), err);
    if (made) convert(hf_tensor_data(made), bytes, storage->type, count);
    return made;
  }
  if ((uintptr_t)bytes % hf_dtype_size(type->dtype)) return hf_tensor_from(type->dtype, 1, &count, bytes, hf_device_cpu(), err);
  HfStorage *over = hf_storage_wrap(hf_device_cpu(), (void *)(uintptr_t)bytes, (size_t)count * type->size, release_mapped, file->mapping, err);
  if (!over) return NULL;
  hf_mapping_retain(file->mapping);
  HfTensor *tensor = hf_tensor_over(over, 0, type->dtype, 1, &count, err);
  hf_storage_release(over);
  return tensor;
}

HfTensor *hf_torch_tensor(const HfTorchFile *file, const HfPickleValue *tensor, HfError *err) {
  HfTensor *whole = whole_storage(file, value_at(file, tensor->storage), file->data[tensor->storage], err);
  if (!whole) return NULL;
  int64_t numbers = 1;
  for (int i = 0; i < tensor->ndim; i++) numbers *= tensor->shape[i] ? 1 : 0;
  HfTensor *view = hf_tensor_view(whole, numbers ? tensor->integer : 0, tensor->ndim, tensor->shape, tensor->stride, err);
  HfTensor *contiguous = view ? hf_contiguous(view, err) : NULL;
  hf_tensor_release(whole), hf_tensor_release(view);
  return contiguous;
}
