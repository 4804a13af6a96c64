/* Files of the host: whole reads, private mappings, atomic writes. Folders are in folder.c. */
#include "file.h"
#include "sandbox_path.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

bool hf_file_fail(HfError *err, const char *path, const char *what) {
  char shown[HF_EXCERPT_SIZE];
  int reason = errno;
  size_t length = strlen(path);
  const char *tail = length > 80 ? path + length - 80 : path; /* the end of a long path tells more */
  return hf_error_set(err, "%s%s: %s: %s", tail == path ? "" : "...", hf_excerpt(shown, tail, strlen(tail)), what, hf_path_reason(reason));
}

/* ---- reading */

static int open_for_reading(const char *path, struct stat *info, HfError *err) {
  int fd = hf_path_open(path, O_RDONLY, 0);
  if (fd < 0) { hf_file_fail(err, path, "cannot be opened"); return -1; }
  if (fstat(fd, info)) {
    hf_file_fail(err, path, "cannot be examined");
  } else if (S_ISDIR(info->st_mode)) {
    errno = EISDIR;
    hf_file_fail(err, path, "expected a file");
  } else {
    return fd;
  }
  close(fd);
  return -1;
}

static bool read_to_end(int fd, const char *path, HfBuffer *out, HfError *err) {
  for (;;) {
    if (!hf_buffer_reserve(out, 4096, err)) return hf_error_prefix(err, "%s", path);
    ssize_t got = read(fd, out->data + out->size, out->capacity - out->size - 1);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return hf_file_fail(err, path, "cannot be read");
    out->size += (size_t)got;
    out->data[out->size] = 0;
    if (got == 0) return true;
  }
}

bool hf_file_read(const char *path, HfBuffer *out, HfError *err) {
  struct stat info;
  int fd = open_for_reading(path, &info, err);
  if (fd < 0) return false;
  bool done = hf_buffer_reserve(out, S_ISREG(info.st_mode) ? (size_t)info.st_size + 4096 : 4096, err);
  if (!done) hf_error_prefix(err, "%s", path);
  done = done && read_to_end(fd, path, out, err);
  close(fd);
  return done;
}

static bool map_descriptor(HfMapping *mapping, int fd, const struct stat *info, const char *path, HfError *err) {
  if (!S_ISREG(info->st_mode)) {
    errno = EINVAL;
    return hf_file_fail(err, path, "expected a regular file");
  }
  static char nothing[1];
  mapping->size = (size_t)info->st_size;
  mapping->data = mapping->size ? mmap(NULL, mapping->size, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0) : nothing;
  return mapping->data != MAP_FAILED || hf_file_fail(err, path, "cannot be mapped");
}

HfMapping *hf_file_map(const char *path, HfError *err) {
  struct stat info;
  int fd = open_for_reading(path, &info, err);
  if (fd < 0) return NULL;
  HfMapping *mapping = hf_calloc(sizeof *mapping, path, err);
  if (mapping && !map_descriptor(mapping, fd, &info, path, err)) {
    hf_free(mapping);
    mapping = NULL;
  }
  if (mapping) mapping->references = 1;
  close(fd);
  return mapping;
}

void hf_mapping_retain(HfMapping *mapping) { __atomic_add_fetch(&mapping->references, 1, __ATOMIC_RELAXED); }

void hf_mapping_release(HfMapping *mapping) {
  if (!mapping || __atomic_sub_fetch(&mapping->references, 1, __ATOMIC_ACQ_REL) > 0) return;
  if (mapping->size) munmap(mapping->data, mapping->size);
  hf_free(mapping);
}

/* ---- recognising the wrong file */

static bool starts_with(const unsigned char *bytes, size_t size, const char *prefix) {
  size_t length = strlen(prefix);
  return size >= length && !strncasecmp((const char *)bytes, prefix, length);
}

static bool all_zero(const unsigned char *bytes, size_t size) {
  return bytes[0] == 0 && !memcmp(bytes, bytes + 1, size - 1);
}

const char *hf_file_kind(const void *data, size_t size) {
  const unsigned char *bytes = data;
  if (size == 0) return "an empty file (an interrupted copy or download? fetch it again)";
  if (starts_with(bytes, size, "version https://git-lfs")) return "a Git LFS pointer, not the file itself (run `git lfs pull`)";
  if (size >= 4 && !memcmp(bytes, "PK\3\4", 4)) return "a zip archive (a PyTorch .bin checkpoint is one; convert it to safetensors)";
  if (size >= 2 && ((bytes[0] == 0xFF && bytes[1] == 0xFE) || (bytes[0] == 0xFE && bytes[1] == 0xFF))) return "UTF-16 text (save it as UTF-8)";
  if (all_zero(bytes, size)) return "a file of zero bytes only (an interrupted copy or download? fetch it again)";
  while (size && strchr(" \t\r\n", *bytes)) bytes++, size--;
  if (starts_with(bytes, size, "<!doctype") || starts_with(bytes, size, "<html") || starts_with(bytes, size, "<?xml")) return "an HTML page (a login or error page was saved in its place)";
  return NULL;
}

/* ---- writing */

/* "FOLDER/.hflua-<random>.tmp", where FOLDER is that of `path`. */
static char *temporary_name(const char *path, HfError *err) {
  const char *slash = strrchr(path, '/');
  uint64_t random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) random = (uint64_t)getpid() << 32 | (uint32_t)(uintptr_t)path;
  HfBuffer name = {0};
  bool done = hf_buffer_append(&name, path, slash ? (size_t)(slash + 1 - path) : 0, err) &&
              hf_buffer_format(&name, err, ".hflua-%016llx.tmp", (unsigned long long)random);
  if (!done) hf_buffer_free(&name);
  return name.data;
}

/* A file that is replaced keeps its permissions. */
static int create_like(const char *temporary, const char *path) {
  struct stat old;
  int fd = hf_path_open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0666);
  if (fd >= 0 && !hf_path_stat(path, &old) && S_ISREG(old.st_mode) && fchmod(fd, old.st_mode & 0777)) errno = 0; /* another owner: the usual mode stays */
  return fd;
}

bool hf_file_writer_open(HfFileWriter *writer, const char *path, HfError *err) {
  *writer = (HfFileWriter){.fd = -1};
  writer->path = hf_strndup(path, strlen(path), err);
  writer->temporary = writer->path ? temporary_name(path, err) : NULL;
  if (writer->temporary) {
    writer->fd = create_like(writer->temporary, path);
    if (writer->fd >= 0) return true;
    hf_file_fail(err, path, "cannot be written");
    hf_free(writer->temporary);
    writer->temporary = NULL; /* not ours to remove */
  }
  hf_file_writer_abort(writer);
  return false;
}

bool hf_file_writer_write(HfFileWriter *writer, const void *bytes, size_t size, HfError *err) {
  const char *next = bytes;
  while (size) {
    ssize_t put = write(writer->fd, next, size < (1 << 30) ? size : 1 << 30);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return hf_file_fail(err, writer->path, "cannot be written");
    next += put;
    size -= (size_t)put;
    writer->written += (uint64_t)put;
  }
  return true;
}

static bool sync_and_close(HfFileWriter *writer, HfError *err) {
  if (fsync(writer->fd)) return hf_file_fail(err, writer->path, "cannot be synced to the disk");
  int fd = writer->fd;
  writer->fd = -1;
  return !close(fd) || hf_file_fail(err, writer->path, "cannot be closed");
}

bool hf_file_writer_commit(HfFileWriter *writer, HfError *err) {
  bool done = sync_and_close(writer, err);
  if (done && hf_path_rename(writer->temporary, writer->path)) done = hf_file_fail(err, writer->path, "cannot be renamed into place");
  if (done) {
    hf_free(writer->temporary);
    writer->temporary = NULL;
    char *slash = strrchr(writer->path, '/');
    if (slash) slash[slash == writer->path] = 0;
    done = hf_file_sync(slash ? writer->path : ".", err);
  }
  hf_file_writer_abort(writer);
  return done;
}

void hf_file_writer_abort(HfFileWriter *writer) {
  if (writer->fd > 0) close(writer->fd);
  if (writer->temporary) hf_path_remove(writer->temporary);
  hf_free(writer->temporary);
  hf_free(writer->path);
  *writer = (HfFileWriter){.fd = -1};
}

bool hf_file_write(const char *path, const void *bytes, size_t size, HfError *err) {
  HfFileWriter writer;
  if (!hf_file_writer_open(&writer, path, err)) return false;
  if (hf_file_writer_write(&writer, bytes, size, err)) return hf_file_writer_commit(&writer, err);
  hf_file_writer_abort(&writer);
  return false;
}

bool hf_file_link(const char *target, const char *path, HfError *err) {
  char *temporary = temporary_name(path, err);
  if (!temporary) return false;
  bool made = !hf_path_symlink(target, temporary), done = made && !hf_path_rename(temporary, path);
  if (!done) hf_file_fail(err, path, "symbolic link cannot be made");
  if (made && !done) hf_path_remove(temporary);
  hf_free(temporary);
  return done;
}
