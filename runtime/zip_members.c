#include "zip_members.h"
#include <stdlib.h>
#include <string.h>
#include "memory.h"

enum { LOCAL_HEADER = 30, CENTRAL_HEADER = 46, END_RECORD = 22, END64_RECORD = 56, END64_LOCATOR = 20, LONGEST_COMMENT = 65535 };

static uint64_t number(const uint8_t *bytes, int count) {
  uint64_t n = 0;
  for (int i = 0; i < count; i++) n |= (uint64_t)bytes[i] << (8 * i);
  return n;
}

static bool is_record(const uint8_t *bytes, const char *mark) { return bytes[0] == 'P' && bytes[1] == 'K' && !memcmp(bytes + 2, mark, 2); }

bool hf_is_zip(const void *bytes, size_t size) { return size >= 4 && is_record(bytes, "\3\4"); }

/* Where the list of members lies. */
typedef struct Directory {
  const uint8_t *bytes;
  uint64_t size, count;
} Directory;

static const uint8_t *find_end(const uint8_t *bytes, size_t size) {
  if (size < END_RECORD) return NULL;
  for (size_t back = END_RECORD; back <= size && back <= END_RECORD + LONGEST_COMMENT; back++)
    if (is_record(bytes + size - back, "\5\6")) return bytes + size - back;
  return NULL;
}

/* The record of a large archive before the end record, or NULL. */
static const uint8_t *find_end64(const uint8_t *bytes, const uint8_t *end) {
  size_t before = (size_t)(end - bytes);
  if (before < END64_LOCATOR || !is_record(end - END64_LOCATOR, "\6\7")) return NULL;
  uint64_t at = number(end - END64_LOCATOR + 8, 8);
  if (at > before || before - at < END64_RECORD || !is_record(bytes + at, "\6\6")) return NULL;
  return bytes + at;
}

static bool find_directory(Directory *d, const uint8_t *bytes, size_t size, const char *where, HfError *err) {
  const uint8_t *end = find_end(bytes, size), *large = end ? find_end64(bytes, end) : NULL;
  if (!end) return hf_error_set(err, "%s: the end of the zip file is missing; was it downloaded completely?", where);
  uint64_t start = large ? number(large + 48, 8) : number(end + 16, 4);
  d->count = large ? number(large + 32, 8) : number(end + 10, 2);
  d->size = large ? number(large + 40, 8) : number(end + 12, 4);
  if (start > size || d->size > size - start || d->count > d->size / CENTRAL_HEADER)
    return hf_error_set(err, "%s: the list of members lies outside the zip file", where);
  d->bytes = bytes + start;
  return true;
}

/* Sizes and place of a member, of which those that are 0xffffffff stand in the extra field 1, in this order. */
typedef struct Place {
  uint64_t size, stored, at;
} Place;

static bool read_place(Place *p, const uint8_t *entry, const uint8_t *extra, size_t extra_size) {
  uint64_t *fields[3] = {&p->size, &p->stored, &p->at};
  const uint8_t *large = NULL;
  size_t left = 0;
  *p = (Place){number(entry + 24, 4), number(entry + 20, 4), number(entry + 42, 4)};
  for (size_t i = 0; i + 4 <= extra_size && !large;) {
    size_t length = number(extra + i + 2, 2);
    if (length > extra_size - i - 4) return false;
    if (number(extra + i, 2) == 1) large = extra + i + 4, left = length;
    i += 4 + length;
  }
  for (int i = 0; i < 3; i++) {
    if (*fields[i] != 0xffffffffu) continue;
    if (left < 8) return false;
    *fields[i] = number(large, 8);
    large += 8, left -= 8;
  }
  return true;
}

static bool refuse(const char *where, const HfZipMember *m, const char *what, HfError *err) {
  return hf_error_set(err, "%s: member %.*s: %s", where, (int)(m->name_size < 200 ? m->name_size : 200), m->name, what);
}

/* Sets the bytes of a member from its place. */
static bool locate(HfZipMember *m, const Place *p, const uint8_t *bytes, size_t size, const char *where, HfError *err) {
  if (p->size != p->stored) return refuse(where, m, "its size is not the size it takes in the file", err);
  if (p->at > size || size - p->at < LOCAL_HEADER || !is_record(bytes + p->at, "\3\4")) return refuse(where, m, "its place lies outside the file", err);
  const uint8_t *header = bytes + p->at;
  uint64_t start = LOCAL_HEADER + number(header + 26, 2) + number(header + 28, 2);
  if (start > size - p->at || p->size > size - p->at - start) return refuse(where, m, "it reaches beyond the end of the file", err);
  m->bytes = header + start;
  m->size = p->size;
  return true;
}

/* One entry of the list at `at`; the bytes it takes, or 0 after an error. */
static size_t read_entry(HfZipMember *m, const uint8_t *at, size_t left, const uint8_t *bytes, size_t size, const char *where, HfError *err) {
  Place place;
  size_t name = left < CENTRAL_HEADER ? 0 : number(at + 28, 2), extra = left < CENTRAL_HEADER ? 0 : number(at + 30, 2);
  size_t length = CENTRAL_HEADER + name + extra + (left < CENTRAL_HEADER ? 0 : number(at + 32, 2));
  if (left < length || !is_record(at, "\1\2")) return hf_error_set(err, "%s: the list of members of the zip file is broken", where), 0;
  m->name = (const char *)at + CENTRAL_HEADER, m->name_size = name;
  if (number(at + 8, 2) & 1) return refuse(where, m, "it is encrypted", err), 0;
  if (number(at + 10, 2) != 0) return refuse(where, m, "it is compressed; only stored members are read", err), 0;
  if (!read_place(&place, at, at + CENTRAL_HEADER + name, extra)) return refuse(where, m, "its sizes are broken", err), 0;
  return locate(m, &place, bytes, size, where, err) ? length : 0;
}

static int compare_names(const char *a, size_t a_size, const char *b, size_t b_size) {
  int order = memcmp(a, b, a_size < b_size ? a_size : b_size);
  return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_members(const void *a, const void *b) {
  const HfZipMember *x = a, *y = b;
  return compare_names(x->name, x->name_size, y->name, y->name_size);
}

bool hf_zip_read(HfZip *zip, const void *bytes, size_t size, const char *where, HfError *err) {
  Directory d = {0};
  if (!find_directory(&d, bytes, size, where, err)) return false;
  if (!(zip->members = hf_calloc(d.count * sizeof *zip->members, "zip", err))) return false;
  for (size_t at = 0; zip->count < d.count; zip->count++) {
    size_t length = read_entry(&zip->members[zip->count], d.bytes + at, d.size - at, bytes, size, where, err);
    if (!length) return false;
    at += length;
  }
  qsort(zip->members, zip->count, sizeof *zip->members, compare_members);
  return true;
}

void hf_zip_free(HfZip *zip) {
  hf_free(zip->members);
  *zip = (HfZip){0};
}

const HfZipMember *hf_zip_find(const HfZip *zip, const char *name, size_t size) {
  size_t low = 0, high = zip->count;
  while (low < high) {
    size_t middle = low + (high - low) / 2;
    const HfZipMember *m = &zip->members[middle];
    if (compare_names(m->name, m->name_size, name, size) < 0) low = middle + 1;
    else high = middle;
  }
  const HfZipMember *m = zip->members + low;
  if (low == zip->count || compare_names(m->name, m->name_size, name, size)) return NULL;
  return low + 1 < zip->count && !compare_members(m, m + 1) ? NULL : m;
}
