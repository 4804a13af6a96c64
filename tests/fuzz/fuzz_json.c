/* JSON from anywhere: the tree and the plain scan agree on what is well-formed, and both are safe. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "json.h"
#include "json_scan.h"

static bool scans(const char *text, size_t size) {
  HfJsonScanner scanner;
  HfError err;
  HfJsonEvent event;
  hf_json_scan(&scanner, text, size, "fuzz");
  while ((event = hf_json_next(&scanner, &err)) > HF_JSON_END)
    if (event == HF_JSON_ARRAY && scanner.depth > 3 && !hf_json_skip(&scanner, event, &err)) break;
  hf_json_scan_end(&scanner);
  return event == HF_JSON_END;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  HfError err;
  cJSON *root = hf_json_parse((const char *)data, size, "fuzz", &err);
  bool stream = scans((const char *)data, size);
  if (root && !stream) abort();
  if (!root && stream && !strstr(err.message, "\\u0000 in a string")) abort();
  cJSON_Delete(root);
  return 0;
}
