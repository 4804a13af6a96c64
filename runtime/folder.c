/* Folders of the host: making, listing, syncing and removing them; facts about paths. */
#include "file.h"
#include "sandbox_path.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

HfFileType hf_file_type(const char *path) {
  struct stat info;
  if (hf_path_stat(path, &info)) return HF_FILE_MISSING;
  if (S_ISDIR(info.st_mode)) return HF_FILE_FOLDER;
  return S_ISREG(info.st_mode) ? HF_FILE_REGULAR : HF_FILE_OTHER;
}

bool hf_file_size(const char *path, uint64_t *out, HfError *err) {
  struct stat info;
  if (hf_path_stat(path, &info)) return hf_file_fail(err, path, "cannot be examined");
  *out = (uint64_t)info.st_size;
  return true;
}

/* The folder that holds `path`; caller frees. */
static char *parent_folder(const char *path, HfError *err) {
  size_t length = strlen(path);
  while (length > 1 && path[length - 1] == '/') length--;
  while (length && path[length - 1] != '/') length--;
  while (length > 1 && path[length - 1] == '/') length--;
  return length ? hf_strndup(path, length, err) : hf_strndup(".", 1, err);
}

bool hf_file_rename(const char *from, const char *to, HfError *err) {
  if (hf_path_rename(from, to)) {
    hf_file_fail(err, to, "cannot be renamed into place");
    return hf_error_prefix(err, "%s", from);
  }
  char *folder = parent_folder(to, err);
  bool done = folder && hf_file_sync(folder, err);
  hf_free(folder);
  return done;
}

bool hf_file_remove(const char *path, HfError *err) {
  return !hf_path_remove(path) || hf_file_fail(err, path, "cannot be removed");
}

bool hf_file_sync(const char *path, HfError *err) {
  int fd = hf_path_open(path, O_RDONLY, 0);
  if (fd < 0) return hf_file_fail(err, path, "cannot be opened");
  bool done = !fsync(fd) || errno == EINVAL || errno == EROFS; /* some file systems cannot sync a folder */
  if (!done) hf_file_fail(err, path, "cannot be synced to the disk");
  close(fd);
  return done;
}

/* mkdir of one level; fine when a folder is there already. */
static bool make_level(const char *path, HfError *err) {
  if (!hf_path_make_folder(path, 0777)) return true;
  int reason = errno;
  if (hf_file_type(path) == HF_FILE_FOLDER) return true;
  errno = reason;
  return hf_file_fail(err, path, "folder cannot be made");
}

bool hf_folder_make(const char *path, HfError *err) {
  if (!hf_path_make_folder(path, 0777)) return true;
  if (errno != ENOENT) return make_level(path, err);
  char *parent = parent_folder(path, err);
  bool done = parent && (!strcmp(parent, path) || hf_folder_make(parent, err)) && make_level(path, err);
  hf_free(parent);
  return done;
}

/* ---- listing */

static bool add_name(HfNameList *list, const char *name, HfError *err) {
  if (list->count == list->capacity) {
    size_t capacity = list->capacity ? 2 * list->capacity : 16;
    char **names = hf_realloc(list->names, capacity * sizeof *names, "folder listing", err);
    if (!names) return false;
    list->names = names;
    list->capacity = capacity;
  }
  char *copy = hf_strndup(name, strlen(name), err);
  if (copy) list->names[list->count++] = copy;
  return copy != NULL;
}

static int compare_names(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool list_entries(DIR *folder, const char *path, HfNameList *out, HfError *err) {
  for (;;) {
    errno = 0;
    struct dirent *entry = readdir(folder);
    if (!entry) return !errno || hf_file_fail(err, path, "folder cannot be read");
    if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, "..")) continue;
    if (!add_name(out, entry->d_name, err)) return hf_error_prefix(err, "%s", path);
  }
}

bool hf_folder_list(const char *path, HfNameList *out, HfError *err) {
  DIR *folder = hf_path_open_folder(path);
  if (!folder) return hf_file_fail(err, path, "folder cannot be opened");
  bool done = list_entries(folder, path, out, err);
  closedir(folder);
  if (done && out->count) qsort(out->names, out->count, sizeof *out->names, compare_names);
  return done;
}

void hf_name_list_free(HfNameList *list) {
  for (size_t i = 0; i < list->count; i++) hf_free(list->names[i]);
  hf_free(list->names);
  *list = (HfNameList){0};
}

/* ---- removing */

static bool remove_at(int parent, const char *name, const char *path, HfError *err);

/* Removes what the open folder holds; takes the descriptor. */
static bool empty_folder(int fd, const char *path, HfError *err) {
  DIR *folder = fdopendir(fd);
  if (!folder) {
    hf_file_fail(err, path, "folder cannot be opened");
    return close(fd), false;
  }
  bool done = true;
  for (struct dirent *entry; done && (entry = readdir(folder));)
    if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..")) done = remove_at(fd, entry->d_name, path, err);
  closedir(folder);
  return done;
}

/* Depth is bounded by the open descriptors a process may have. */
static bool remove_at(int parent, const char *name, const char *path, HfError *err) {
  if (!unlinkat(parent, name, 0)) return true;
  if (errno != EISDIR && errno != EPERM) return hf_file_fail(err, path, "cannot be removed");
  int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return hf_file_fail(err, path, "folder cannot be opened");
  if (!empty_folder(fd, path, err)) return false;
  return !unlinkat(parent, name, AT_REMOVEDIR) || hf_file_fail(err, path, "folder cannot be removed");
}

bool hf_folder_remove(const char *path, HfError *err) {
  char last[NAME_MAX + 1];
  int parent = hf_path_open_parent(path, last);
  if (parent < 0) return hf_file_fail(err, path, "folder cannot be removed");
  bool done = remove_at(parent, last, path, err);
  close(parent);
  return done;
}

bool hf_file_free_space(const char *path, uint64_t *out, HfError *err) {
  struct statvfs info;
  char *place = hf_strndup(path, strlen(path), err);
  while (place && hf_path_statvfs(place, &info)) {
    char *parent = errno == ENOENT && strcmp(place, ".") && strcmp(place, "/") ? parent_folder(place, err) : NULL;
    if (!parent) hf_file_fail(err, path, "free space cannot be read");
    hf_free(place);
    place = parent;
  }
  if (!place) return false;
  hf_free(place);
  *out = (uint64_t)info.f_bavail * info.f_frsize;
  return true;
}
