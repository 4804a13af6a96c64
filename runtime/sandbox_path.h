/* Every call of the engine that gives the system the name of a file. They are open, stat, mkdir, rename, remove and statvfs until
 * hf_path_seal; from then on (--sandbox) a name is resolved beneath one of the allowed folders, or is refused:
 *
 *   hf_path_allow("/home/me/work", HF_PATH_READ | HF_PATH_WRITE, err);
 *   hf_path_allow("/home/me/.cache/huggingface/hub", HF_PATH_READ, err);
 *   hf_path_seal();
 *   hf_path_open("/etc/passwd", O_RDONLY, 0);   // -1, errno EXDEV
 *
 * No link and no ".." leads out of a folder, whatever another process renames meanwhile. Only regular files and folders are opened. */
#ifndef HF_SANDBOX_PATH_H
#define HF_SANDBOX_PATH_H
#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include "error.h"

enum {
  HF_PATH_READ = 1,
  HF_PATH_WRITE = 2,       /* whoever asks */
  HF_PATH_ENGINE_WRITE = 4 /* between hf_path_engine(true) and hf_path_engine(false) */
};

/* Adds a folder (or one file, to be read); fine when there is none of that name. An error after hf_path_seal. */
bool hf_path_allow(const char *path, int rights, HfError *err);
/* From here on only what was allowed. */
void hf_path_seal(void);
bool hf_path_is_sealed(void);
/* Opens or closes the folders with HF_PATH_ENGINE_WRITE for writing, around C code that runs no Lua. Returns the setting before. */
bool hf_path_engine(bool on);
/* Resolves names part by part even where openat2 is there. For tests. */
void hf_path_without_openat2(bool on);

/* The i-th allowed folder: its descriptor (-1 when there is none of that name) and rights; false behind the last. */
bool hf_path_allowed(int i, int *fd, int *rights);

/* As the system calls without "hf_path_": 0, a descriptor or a folder; -1 or NULL with errno set. */
int hf_path_open(const char *path, int flags, mode_t mode); /* O_CLOEXEC is added */
int hf_path_stat(const char *path, struct stat *info);
int hf_path_make_folder(const char *path, mode_t mode);
int hf_path_rename(const char *from, const char *to);
int hf_path_symlink(const char *target, const char *path); /* a link that leads out can be made, but is not followed */
int hf_path_remove(const char *path); /* a file, a link or an empty folder */
int hf_path_statvfs(const char *path, struct statvfs *info);
DIR *hf_path_open_folder(const char *path);
/* The folder that holds `path`, opened to change what is in it; `last` is the last part of `path`. */
int hf_path_open_parent(const char *path, char last[NAME_MAX + 1]);

/* What an errno says here: strerror, and for refusals of the sandbox what it allows. */
const char *hf_path_reason(int error);
/* True for the errno of a name that lies in no allowed folder. */
bool hf_path_is_refusal(int error);

#endif

