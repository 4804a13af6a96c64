/* What all components of tokenizer.json share: a "type", or a "Sequence" of such. */
#ifndef HF_COMPONENT_H
#define HF_COMPONENT_H
#include <cjson/cJSON.h>
#include "error.h"

/* Adds one component of the type given to `target`. */
typedef bool (*HfComponentAdd)(void *target, const char *type, const cJSON *json, const char *where, HfError *err);

/* Calls `add` for the component, or for each of a (nested) Sequence, whose parts are in the field `parts`.
 * NULL and null: nothing to add. */
bool hf_component_read(void *target, const cJSON *json, const char *parts, HfComponentAdd add, const char *where, HfError *err);

/* "WHERE: normalizer "X" is not supported"; always false. */
bool hf_component_unknown(HfError *err, const char *where, const char *what, const char *type);

/* A copy of a required string field, owned by the caller; NULL with err set. */
char *hf_component_string(const cJSON *json, const char *field, const char *where, HfError *err);

#endif
