/* Advisory locks (flock): see file_lock.h. The file stays, so that no process can lock one that was removed. */
#include "file_lock.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include "file.h"
#include "memory.h"
#include "sandbox_path.h"

struct HfFileLock {
  int fd;
};

/* The error of a lock that is held: with the process id found in the file. */
static bool fail_held(int fd, const char *path, HfError *err) {
  char holder[32] = "";
  ssize_t size = pread(fd, holder, sizeof holder - 1, 0);
  holder[size > 0 ? strspn(holder, "0123456789") : 0] = 0;
  return hf_error_set(err, "%s: another process%s%s is using this folder; wait for it to end, or use another folder", path,
                      *holder ? " with the id " : "", holder);
}

static bool write_holder(int fd, const char *path, HfError *err) {
  char text[32];
  int size = snprintf(text, sizeof text, "%ld\n", (long)getpid());
  return (!ftruncate(fd, 0) && pwrite(fd, text, (size_t)size, 0) == size) || hf_file_fail(err, path, "lock cannot be written");
}

static bool take(int fd, const char *path, bool *held, HfError *err) {
  int failed;
  do failed = flock(fd, LOCK_EX | LOCK_NB);
  while (failed && errno == EINTR);
  *held = failed && errno == EWOULDBLOCK;
  if (*held) return fail_held(fd, path, err);
  return !failed || errno == ENOLCK || errno == EOPNOTSUPP || hf_file_fail(err, path, "cannot be locked"); /* without locks it is used unlocked */
}

HfFileLock *hf_file_try_lock(const char *path, bool *held, HfError *err) {
  HfFileLock *lock = hf_malloc(sizeof *lock, "file lock", err);
  *held = false;
  if (!lock) return NULL;
  lock->fd = hf_path_open(path, O_RDWR | O_CREAT, 0644);
  if (lock->fd < 0) hf_file_fail(err, path, "cannot be opened");
  if (lock->fd >= 0 && take(lock->fd, path, held, err)) return lock;
  if (lock->fd >= 0) close(lock->fd);
  hf_free(lock);
  return NULL;
}

HfFileLock *hf_file_lock(const char *path, HfError *err) {
  bool held;
  HfFileLock *lock = hf_file_try_lock(path, &held, err);
  if (!lock || write_holder(lock->fd, path, err)) return lock;
  hf_file_unlock(lock);
  return NULL;
}

void hf_file_unlock(HfFileLock *lock) {
  if (!lock) return;
  close(lock->fd);
  hf_free(lock);
}
