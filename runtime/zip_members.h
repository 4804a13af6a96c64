/* The members of a zip file that are stored as they are, by name: no compression, no encryption. ZIP64 is read too. */
#ifndef HF_ZIP_MEMBERS_H
#define HF_ZIP_MEMBERS_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"

typedef struct HfZipMember {
  const char *name; /* `name_size` bytes of the file */
  size_t name_size;
  const uint8_t *bytes;
  uint64_t size;
} HfZipMember;

typedef struct HfZip {
  HfZipMember *members; /* owned; sorted by name */
  size_t count;
} HfZip;

bool hf_is_zip(const void *bytes, size_t size);
/* Lists the members of bytes that outlive the result. `where` begins messages. Free also after an error. */
bool hf_zip_read(HfZip *zip, const void *bytes, size_t size, const char *where, HfError *err);
void hf_zip_free(HfZip *zip);
/* The only member of this name; NULL when there is none, or more than one. */
const HfZipMember *hf_zip_find(const HfZip *zip, const char *name, size_t size);

#endif
