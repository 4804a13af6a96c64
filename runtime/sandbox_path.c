/* Names of files, beneath the allowed folders once sealed: see sandbox_path.h. */
#include "sandbox_path.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "memory.h"

#if defined(SYS_openat2) && __has_include(<linux/openat2.h>)
#include <linux/openat2.h>
#define HAVE_OPENAT2 1
#endif

enum { MAX_ROOTS = 16, MAX_LINKS = 16 };

typedef struct Root {
  char *path; /* absolute, without "." and ".."; "" for the root folder */
  size_t length;
  int fd, rights;
  bool is_file;
} Root;

static Root roots[MAX_ROOTS];
static int root_count;
static char start[PATH_MAX]; /* the working folder, as `path` of a root */
static bool sealed, engine_writes, without_openat2;

bool hf_path_is_sealed(void) { return sealed; }
void hf_path_without_openat2(bool on) { without_openat2 = on; }

bool hf_path_engine(bool on) {
  bool before = engine_writes;
  engine_writes = on;
  return before;
}

bool hf_path_allowed(int i, int *fd, int *rights) {
  if (i >= root_count) return false;
  *fd = roots[i].fd;
  *rights = roots[i].rights;
  return true;
}

static int refuse(int error) { return errno = error, -1; }

/* ---- names */

/* The absolute name by its text alone: "." and ".." are taken out, links are not looked at. */
static bool normalise(const char *path, char out[PATH_MAX]) {
  size_t size = 0;
  if (!*path) return errno = ENOENT, false;
  if (*path != '/') size = strlen(strcpy(out, start));
  while (*path) {
    size_t length = strcspn(path, "/");
    if (length == 2 && !memcmp(path, "..", 2)) {
      while (size && out[--size] != '/') continue;
    } else if (length && !(length == 1 && *path == '.')) {
      if (size + length + 2 > PATH_MAX) return errno = ENAMETOOLONG, false;
      out[size++] = '/';
      memcpy(out + size, path, length);
      size += length;
    }
    path += length + strspn(path + length, "/");
  }
  out[size] = 0;
  return true;
}

static bool is_beneath(const char *path, const Root *root) {
  return !strncmp(path, root->path, root->length) && (path[root->length] == '/' || !path[root->length]);
}

/* The allowed folder `path` lies in, the innermost, and the rest of the name ("." for the folder itself). */
static const Root *find_root(const char *path, char normal[PATH_MAX], const char **rest) {
  if (!normalise(path, normal)) return NULL;
  const Root *best = NULL;
  for (const Root *root = roots; root < roots + root_count; root++)
    if (is_beneath(normal, root) && (!best || root->length >= best->length)) best = root;
  if (!best) return errno = EXDEV, NULL;
  if (best->fd < 0 && sealed) return errno = ENOENT, NULL;
  *rest = normal[best->length] ? normal + best->length + 1 : ".";
  return best;
}

static bool may_write(const Root *root) { return root->rights & HF_PATH_WRITE || (engine_writes && root->rights & HF_PATH_ENGINE_WRITE); }

/* ---- opening beneath a folder */

/* Puts the target of a link in place of the part at `part`, which ends before `end`; false when that leads out. */
static bool splice_link(char name[PATH_MAX], size_t part, size_t end, const char *target) {
  char joined[2 * PATH_MAX + 2], *out = joined;
  if (*target == '/') return errno = EXDEV, false;
  snprintf(joined, sizeof joined, "%.*s%s%s", (int)part, name, target, name + end);
  size_t size = 0;
  for (const char *next = out; *next; next += strspn(next, "/")) {
    size_t length = strcspn(next, "/");
    if (length == 2 && !memcmp(next, "..", 2)) {
      if (!size) return errno = EXDEV, false;
      while (size && name[--size] != '/') continue;
    } else if (!(length == 1 && *next == '.')) {
      if (size + length + 2 > PATH_MAX) return errno = ENAMETOOLONG, false;
      if (size) name[size++] = '/';
      memcpy(name + size, next, length);
      size += length;
    }
    next += length;
  }
  strcpy(name + size, size ? "" : ".");
  return true;
}

/* One part below `folder`, links not followed; *target is what the part holds when it is a link. */
static int open_part(int folder, const char *part, int flags, mode_t mode, char target[PATH_MAX]) {
  struct stat info;
  int fd = openat(folder, part, flags | O_NOFOLLOW | O_CLOEXEC, mode);
  int reason = errno;
  if (fd >= 0 && (flags & O_PATH) && !fstat(fd, &info) && S_ISLNK(info.st_mode)) close(fd), fd = -1, reason = ELOOP;
  ssize_t length = fd < 0 ? readlinkat(folder, part, target, PATH_MAX - 1) : 0;
  target[length > 0 ? length : 0] = 0;
  errno = reason;
  return fd;
}

/* Walks `name` part by part. -1 with *is_link when a link was met: it was replaced in `name`, and the walk starts anew. */
static int walk_once(int root, char name[PATH_MAX], int flags, mode_t mode, bool *is_link) {
  char part[NAME_MAX + 1], target[PATH_MAX];
  int folder = dup(root);
  *is_link = false;
  for (size_t at = 0, length; folder >= 0; at += length + 1) {
    length = strcspn(name + at, "/");
    bool last = !name[at + length];
    if (length > NAME_MAX) return close(folder), refuse(ENAMETOOLONG);
    memcpy(part, name + at, length);
    part[length] = 0;
    int next = open_part(folder, part, last ? flags : O_PATH, last ? mode : 0, target);
    int reason = errno;
    close(folder);
    errno = reason;
    if (next < 0 && *target && reason != EEXIST) *is_link = splice_link(name, at, at + length, target);
    if (next < 0 || last) return next;
    folder = next;
  }
  return -1;
}

static int walk(int root, const char *path, int flags, mode_t mode) {
  char name[PATH_MAX];
  snprintf(name, sizeof name, "%s", path);
  for (int i = 0; i < MAX_LINKS; i++) {
    bool is_link;
    int fd = walk_once(root, name, flags, mode, &is_link);
    if (fd >= 0 || !is_link) return fd;
  }
  return refuse(ELOOP);
}

static int open_beneath(int root, const char *path, int flags, mode_t mode) {
#ifdef HAVE_OPENAT2
  static bool is_missing;
  struct open_how how = {.flags = (uint64_t)(flags | O_CLOEXEC), .mode = flags & O_CREAT ? mode : 0,
                         .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
  long fd = -1;
  if (!is_missing && !without_openat2) {
    do fd = syscall(SYS_openat2, root, path, &how, sizeof how);
    while (fd < 0 && errno == EAGAIN); /* something was renamed meanwhile */
    if (fd >= 0 || (errno != ENOSYS && errno != EPERM)) return (int)fd;
    is_missing = syscall(SYS_openat2, root, ".", &(struct open_how){.flags = O_PATH}, sizeof how) < 0; /* an old kernel, or a container that refuses it */
    if (!is_missing) return refuse(EPERM);
  }
#endif
  return walk(root, path, flags, mode);
}

/* Refuses devices, pipes and sockets, and to write to a file that has another name, perhaps outside. Takes the descriptor. */
static int check_kind(int fd, int flags) {
  struct stat info;
  int error = fstat(fd, &info) ? errno : S_ISREG(info.st_mode) || S_ISDIR(info.st_mode) ? 0 : ENOTSUP;
  bool writes = (flags & O_ACCMODE) != O_RDONLY;
  if (!error && writes && info.st_nlink > 1) error = EMLINK;
  if (!error && flags & O_TRUNC && ftruncate(fd, 0)) error = errno;
  if (!error) return fd;
  close(fd);
  return refuse(error);
}

static int open_confined(const char *path, int flags, mode_t mode) {
  char normal[PATH_MAX];
  const char *rest;
  const Root *root = find_root(path, normal, &rest);
  if (!root) return -1;
  if (((flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT) && !may_write(root)) return refuse(EROFS);
  if (root->is_file) return normal[root->length] ? refuse(ENOTDIR) : open(root->path, flags | O_CLOEXEC);
  int fd = open_beneath(root->fd, rest, (flags & ~O_TRUNC) | O_NONBLOCK, mode); /* a pipe must not wait for its other end */
  return fd < 0 ? fd : check_kind(fd, flags);
}

/* A descriptor that only names `path`. */
static int open_name(const char *path) {
  char normal[PATH_MAX];
  const char *rest;
  const Root *root = find_root(path, normal, &rest);
  if (!root) return -1;
  return root->is_file ? dup(root->fd) : open_beneath(root->fd, rest, O_PATH, 0);
}

/* ---- the calls */

int hf_path_open(const char *path, int flags, mode_t mode) {
  return sealed ? open_confined(path, flags, mode) : open(path, flags | O_CLOEXEC, mode);
}

/* Gives back what `done` says after closing `fd`, with errno kept. */
static int finish(int fd, int done) {
  int reason = errno;
  close(fd);
  errno = reason;
  return done;
}

int hf_path_stat(const char *path, struct stat *info) {
  if (!sealed) return stat(path, info);
  int fd = open_name(path);
  return fd < 0 ? -1 : finish(fd, fstat(fd, info));
}

int hf_path_statvfs(const char *path, struct statvfs *info) {
  if (!sealed) return statvfs(path, info);
  int fd = open_name(path);
  return fd < 0 ? -1 : finish(fd, fstatvfs(fd, info));
}

DIR *hf_path_open_folder(const char *path) {
  int fd = hf_path_open(path, O_RDONLY | O_DIRECTORY, 0);
  DIR *folder = fd < 0 ? NULL : fdopendir(fd);
  if (fd >= 0 && !folder) finish(fd, 0);
  return folder;
}

/* The parent's name by the text of `path`, without slashes at the end, and the last part. */
static bool split_name(const char *path, char parent[PATH_MAX], char last[NAME_MAX + 1]) {
  size_t end = strlen(path);
  while (end > 1 && path[end - 1] == '/') end--;
  size_t begin = end;
  while (begin && path[begin - 1] != '/') begin--;
  if (begin >= PATH_MAX || end - begin > NAME_MAX) return errno = ENAMETOOLONG, false;
  snprintf(parent, PATH_MAX, "%.*s", (int)begin, path);
  snprintf(last, NAME_MAX + 1, "%.*s", (int)(end - begin), path + begin);
  if (!begin) strcpy(parent, ".");
  return true;
}

int hf_path_open_parent(const char *path, char last[NAME_MAX + 1]) {
  char parent[PATH_MAX], normal[PATH_MAX];
  const char *rest;
  if (!split_name(path, parent, last)) return -1;
  if (!sealed) return open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (!*last || !strcmp(last, ".") || !strcmp(last, "..")) return refuse(EINVAL);
  const Root *root = find_root(parent, normal, &rest);
  if (!root) return -1;
  if (!may_write(root)) return refuse(EROFS);
  return open_beneath(root->fd, rest, O_PATH | O_DIRECTORY, 0);
}

int hf_path_make_folder(const char *path, mode_t mode) {
  char last[NAME_MAX + 1];
  if (!sealed) return mkdir(path, mode);
  int fd = hf_path_open_parent(path, last);
  return fd < 0 ? -1 : finish(fd, mkdirat(fd, last, mode));
}

int hf_path_symlink(const char *target, const char *path) {
  char last[NAME_MAX + 1];
  if (!sealed) return symlink(target, path);
  int fd = hf_path_open_parent(path, last);
  return fd < 0 ? -1 : finish(fd, symlinkat(target, fd, last));
}

int hf_path_rename(const char *from, const char *to) {
  char last_from[NAME_MAX + 1], last_to[NAME_MAX + 1];
  if (!sealed) return rename(from, to);
  int source = hf_path_open_parent(from, last_from);
  if (source < 0) return -1;
  int target = hf_path_open_parent(to, last_to);
  if (target < 0) return finish(source, -1);
  return finish(source, finish(target, renameat(source, last_from, target, last_to)));
}

int hf_path_remove(const char *path) {
  char last[NAME_MAX + 1];
  if (!sealed) return remove(path);
  int fd = hf_path_open_parent(path, last);
  if (fd < 0) return -1;
  int done = unlinkat(fd, last, 0);
  if (done && (errno == EISDIR || errno == EPERM)) done = unlinkat(fd, last, AT_REMOVEDIR);
  return finish(fd, done);
}

/* ---- what is allowed */

/* A name beneath a folder that is allowed already adds nothing: were it a link, it could lead anywhere. */
static bool is_covered(const char *path, int rights) {
  char normal[PATH_MAX];
  const char *rest;
  const Root *root = find_root(path, normal, &rest);
  return root && (root->rights | rights) == root->rights;
}

static bool add_root(const char *path, int fd, int rights, HfError *err) {
  struct stat info = {.st_mode = S_IFDIR};
  char normal[PATH_MAX];
  if (root_count == MAX_ROOTS) return hf_error_set(err, "%s: more than %d folders are allowed", path, MAX_ROOTS);
  if ((fd >= 0 && fstat(fd, &info)) || !normalise(path, normal)) return hf_error_set(err, "%s: %s", path, strerror(errno));
  char *copy = hf_strndup(normal, strlen(normal), err);
  if (copy) roots[root_count++] = (Root){copy, strlen(copy), fd, rights, !S_ISDIR(info.st_mode)};
  return copy != NULL;
}

bool hf_path_allow(const char *path, int rights, HfError *err) {
  char real[PATH_MAX];
  if (sealed) return hf_error_set(err, "%s: the sandbox is closed: no further folder can be allowed", path);
  if (!getcwd(start, sizeof start)) return hf_error_set(err, "working folder: %s", strerror(errno));
  if (!strcmp(start, "/")) *start = 0;
  if (is_covered(path, rights & ~HF_PATH_ENGINE_WRITE)) return true;
  int fd = open(path, O_PATH | O_CLOEXEC);
  if (fd < 0) return add_root(path, fd, rights, err);
  if (!realpath(path, real)) return finish(fd, hf_error_set(err, "%s: %s", path, strerror(errno)));
  return add_root(real, fd, rights, err) && (!strcmp(real, path) || add_root(path, fd, rights, err));
}

void hf_path_seal(void) { sealed = true; }

bool hf_path_is_refusal(int error) { return sealed && error == EXDEV; }

const char *hf_path_reason(int error) {
  if (!sealed) return strerror(error);
  switch (error) {
    case EXDEV: return "not allowed: --sandbox opens files beneath the working folder only";
    case EROFS: return "not allowed: --sandbox lets this folder be read, not written";
    case ENOTSUP: return "not allowed: --sandbox opens regular files and folders only";
    case EMLINK: return "not allowed: --sandbox does not write to a file that has further names (hard links)";
    default: return strerror(error);
  }
}
