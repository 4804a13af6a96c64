/* Opening hflua_*.so beside the program. */
#include "library.h"
#include <dlfcn.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The library's path; false when there is no such file. */
static bool find(const HfLibrary *l, char *path, size_t size) {
  const char *given = getenv(l->variable);
  if (given && *given) return snprintf(path, size, "%s", given) < (int)size;
  ssize_t length = readlink("/proc/self/exe", path, size - 1);
  if (length <= 0) return false;
  path[length] = 0;
  char *slash = strrchr(path, '/');
  if (!slash || (size_t)(slash + 1 - path) + strlen(l->file) + 1 > size) return false;
  strcpy(slash + 1, l->file);
  return access(path, R_OK) == 0;
}

void *hf_library_open(const HfLibrary *l, char *why, size_t size) {
  char path[PATH_MAX];
  if (!find(l, path, sizeof path)) return snprintf(why, size, "this build is without %s: %s", l->what, l->absent), NULL;
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) return snprintf(why, size, "%s cannot be opened: %s", l->what, dlerror()), NULL;
  void *found = dlsym(library, l->symbol);
  if (!found) snprintf(why, size, "%.300s belongs to another version of hflua", path);
  return found;
}
