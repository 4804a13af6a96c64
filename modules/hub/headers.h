/* The headers of an HTTP answer, and what stands in some of them.
 *
 *   HfHeaders headers = {0};
 *   hf_headers_add(&headers, line, size, err);       // each line as it arrives
 *   const char *etag = hf_headers_get(&headers, "etag");
 *   hf_headers_free(&headers);
 */
#ifndef HF_HEADERS_H
#define HF_HEADERS_H
#include <stdbool.h>
#include <stdint.h>
#include "error.h"
#include "memory.h"

enum { HF_HEADERS_LIMIT = 65536 }; /* bytes of all headers of an answer */

typedef struct HfHeaders {
  HfBuffer text; /* name, NUL, value, NUL, ...: names in lower case, values without spaces around them */
} HfHeaders;

/* One line, with or without its end. A status line ("HTTP/...") starts anew, as behind a 100 or a proxy's answer; lines that are
 * no header, and values with control bytes, are passed over. */
bool hf_headers_add(HfHeaders *headers, const char *line, size_t size, HfError *err);

/* The value of the first header of that name (lower case), or NULL. Borrowed until the next call of add. */
const char *hf_headers_get(const HfHeaders *headers, const char *name);

/* Calls `take` for each header, in order. */
void hf_headers_each(const HfHeaders *headers, void (*take)(void *context, const char *name, const char *value), void *context);
void hf_headers_free(HfHeaders *headers);

/* A whole number of bytes, digits alone. */
bool hf_parse_size(const char *text, uint64_t *out);
/* The first byte of "bytes FIRST-LAST/TOTAL" when it runs to the end of a body of `total` bytes. */
bool hf_parse_content_range(const char *text, uint64_t total, uint64_t *first);
/* The commit of X-Repo-Commit: 40 hexadecimal digits of lower case. */
bool hf_is_commit(const char *text);
/* An ETag as the name of a blob: without W/ and quotes, 40 or 64 hexadecimal digits. False when it is anything else. */
bool hf_parse_etag(const char *text, char out[65]);

#endif
