/* The names of the open objects of a scanner, to refuse a second one like the first. Used by json_scan.c alone. */
#ifndef HF_JSON_NAMES_H
#define HF_JSON_NAMES_H
#include "json_scan.h"

/* Adds the scanner's string to the innermost object; an error when it is there already. */
bool hf_json_names_add(HfJsonScanner *scanner, bool escaped, HfError *err);
/* Forgets the names of an object that ends. */
void hf_json_names_close(HfJsonScanner *scanner, HfJsonLevel *level);

#endif
