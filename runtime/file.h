/* Files and folders of the host: whole reads, private mappings, atomic writes, folders, free space.
 *
 *   HfBuffer text = {0};
 *   if (!hf_file_read("config.json", &text, err)) return false;
 *   ...
 *   hf_buffer_free(&text);
 *
 * A written file appears under its name complete and on the disk, or not at all: it is written beside its
 * place under another name, synced, renamed, and the folder is synced.
 */
#ifndef HF_FILE_H
#define HF_FILE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "error.h"
#include "memory.h"

/* "PATH: WHAT: the reason in errno"; always returns false. */
bool hf_file_fail(HfError *err, const char *path, const char *what);

/* ---- reading */
/* Appends the whole file to `out` (caller frees it, also after an error). */
bool hf_file_read(const char *path, HfBuffer *out, HfError *err);

/* The bytes of a file in memory; writes to them stay private to the process. Shared by reference count. */
typedef struct HfMapping {
  int64_t references;
  void *data; /* `size` bytes, page aligned; a valid pointer when size is 0 */
  size_t size;
} HfMapping;
HfMapping *hf_file_map(const char *path, HfError *err); /* one reference, the caller's */
void hf_mapping_retain(HfMapping *mapping);
void hf_mapping_release(HfMapping *mapping); /* NULL is fine */

/* What a file that should be something else probably is, with the next step: "a Git LFS pointer (...)"; NULL when
 * nothing is recognised. Looks at the first bytes, and at all of them for zeros. */
const char *hf_file_kind(const void *bytes, size_t size);

/* ---- writing */
/* A file being written. Zero-initialise or open; commit or abort ends it. */
typedef struct HfFileWriter {
  char *path, *temporary; /* owned */
  int fd;
  uint64_t written;
} HfFileWriter;
bool hf_file_writer_open(HfFileWriter *writer, const char *path, HfError *err); /* on failure nothing is left */
bool hf_file_writer_write(HfFileWriter *writer, const void *bytes, size_t size, HfError *err);
bool hf_file_writer_commit(HfFileWriter *writer, HfError *err); /* ends the writer, also on failure */
void hf_file_writer_abort(HfFileWriter *writer);                /* removes the temporary file; fine after commit */
/* All of it in one call. */
bool hf_file_write(const char *path, const void *bytes, size_t size, HfError *err);

/* ---- names and folders (folder.c) */
typedef enum HfFileType { HF_FILE_MISSING, HF_FILE_REGULAR, HF_FILE_FOLDER, HF_FILE_OTHER } HfFileType;
HfFileType hf_file_type(const char *path);                              /* follows symbolic links */
bool hf_file_size(const char *path, uint64_t *out, HfError *err);
bool hf_file_rename(const char *from, const char *to, HfError *err);    /* then syncs the folder of `to` */
bool hf_file_remove(const char *path, HfError *err);                    /* a file, link or empty folder */
bool hf_folder_make(const char *path, HfError *err);                    /* with its parents; fine when it is there */
bool hf_file_sync(const char *path, HfError *err);                      /* a file or folder, onto the disk */
bool hf_folder_remove(const char *path, HfError *err);                  /* with all it holds; links are not followed */
/* A symbolic link `path` -> `target`, in place of what is there. */
bool hf_file_link(const char *target, const char *path, HfError *err);
/* Bytes an ordinary user may still write where `path` is or would be. */
bool hf_file_free_space(const char *path, uint64_t *out, HfError *err);

typedef struct HfNameList {
  char **names; /* sorted by bytes, without "." and ".." */
  size_t count, capacity;
} HfNameList;
bool hf_folder_list(const char *path, HfNameList *out, HfError *err); /* caller frees the list, also after an error */
void hf_name_list_free(HfNameList *list);

#endif
