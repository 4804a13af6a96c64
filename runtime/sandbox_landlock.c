/* Landlock, the kernel's own rule of what a process may open: a second wall behind sandbox_path.c, for the calls that do not go through
 * it. It binds the calling thread and all that it starts. */
#include "sandbox.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "sandbox_path.h"

#if defined(SYS_landlock_create_ruleset) && __has_include(<linux/landlock.h>)
#include <linux/landlock.h>

/* Of later headers than the oldest that is built with. */
enum {
  REFER = 1 << 13, TRUNCATE = 1 << 14, IOCTL_DEVICE = 1 << 15, /* access_fs, of versions 2, 3 and 5 */
  NET_BIND = 1 << 0, NET_CONNECT = 1 << 1,                     /* access_net, of version 4 */
  SCOPE_UNIX = 1 << 0, SCOPE_SIGNAL = 1 << 1                   /* scoped, of version 6 */
};

typedef struct Attributes {
  uint64_t access_fs, access_net, scoped;
} Attributes;

static const uint64_t reading = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
static const uint64_t writing = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |
                                LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | REFER | TRUNCATE;
static const uint64_t on_a_file = LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_READ_FILE | TRUNCATE | IOCTL_DEVICE;

/* What libraries read: themselves, certificates and names of hosts, the clock's zone, the shape of the machine. */
static const char *const system_read[] = {
    "/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/localtime", "/etc/timezone",
    "/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/nsswitch.conf", "/etc/services", "/run/systemd/resolve",
    "/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/self/statm", "/proc/self/status", "/proc/self/maps", "/sys/devices/system",
    "/sys/fs/cgroup", "/dev/urandom", "/dev/random", NULL};
static const char *const device_read[] = {"/proc/driver/nvidia", "/proc/devices", "/proc/modules", "/sys/devices", "/sys/bus/pci", "/sys/module/nvidia", NULL};
static const char *const device_write[] = {
    "/dev/null", "/dev/zero", "/dev/nvidiactl", "/dev/nvidia-uvm", "/dev/nvidia-uvm-tools", "/dev/nvidia-modeset", "/dev/nvidia-caps", "/dev/nvidia0", "/dev/nvidia1", "/dev/nvidia2",
    "/dev/nvidia3", "/dev/nvidia4", "/dev/nvidia5", "/dev/nvidia6", "/dev/nvidia7", NULL};

static bool add_descriptor(int rules, int fd, uint64_t access, uint64_t handled) {
  struct stat info;
  if (fstat(fd, &info)) return false;
  if (!S_ISDIR(info.st_mode)) access &= on_a_file;
  struct landlock_path_beneath_attr rule = {.allowed_access = access & handled, .parent_fd = fd};
  return !syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
}

/* A name that is not there is passed over. */
static bool add_name(int rules, const char *path, uint64_t access, uint64_t handled) {
  int fd = open(path, O_PATH | O_CLOEXEC);
  bool done = fd < 0 || add_descriptor(rules, fd, access, handled);
  if (fd >= 0) close(fd);
  return done;
}

static bool add_names(int rules, const char *const *paths, uint64_t access, uint64_t handled) {
  for (; *paths; paths++)
    if (!add_name(rules, *paths, access, handled)) return false;
  return true;
}

static bool add_allowed(int rules, HfNetwork network, uint64_t handled) {
  int fd, rights;
  for (int i = 0; hf_path_allowed(i, &fd, &rights); i++) {
    if (fd < 0) continue;
    bool writes = rights & HF_PATH_WRITE || (rights & HF_PATH_ENGINE_WRITE && network != HF_NETWORK_NONE);
    uint64_t access = reading | (writes ? writing : 0) | (writes && rights & HF_PATH_ENGINE_WRITE ? LANDLOCK_ACCESS_FS_MAKE_SYM : 0);
    if (!add_descriptor(rules, fd, access, handled)) return false;
  }
  return true;
}

/* The folders of LD_LIBRARY_PATH and that of the program, where libraries are opened at first use. */
static bool add_library_folders(int rules, uint64_t handled) {
  char folder[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", folder, sizeof folder - 1);
  folder[length > 0 ? length : 0] = 0;
  char *slash = strrchr(folder, '/');
  if (slash) slash[slash == folder] = 0;
  if (slash && !add_name(rules, folder, reading, handled)) return false;
  for (const char *next = getenv("LD_LIBRARY_PATH"); next && *next; next += *next == ':') {
    size_t size = strcspn(next, ":");
    snprintf(folder, sizeof folder, "%.*s", (int)size, next);
    if (*folder == '/' && !add_name(rules, folder, reading, handled)) return false;
    next += size;
  }
  return true;
}

static bool add_rules(int rules, HfNetwork network, uint64_t handled) {
  return add_names(rules, system_read, reading, handled) && add_names(rules, device_read, reading, handled) &&
         add_names(rules, device_write, reading | LANDLOCK_ACCESS_FS_WRITE_FILE | IOCTL_DEVICE, handled) &&
         add_library_folders(rules, handled) && add_allowed(rules, network, handled);
}

/* All kinds of access that a version knows are handled: what no rule allows is refused. */
static Attributes handled_by(long version, HfNetwork network) {
  Attributes all = {.access_fs = (1 << 13) - 1};
  if (version >= 2) all.access_fs |= REFER;
  if (version >= 3) all.access_fs |= TRUNCATE;
  if (version >= 4) all.access_net = NET_BIND | (network == HF_NETWORK_NONE ? NET_CONNECT : 0);
  if (version >= 5) all.access_fs |= IOCTL_DEVICE;
  if (version >= 6) all.scoped = SCOPE_UNIX | SCOPE_SIGNAL;
  return all;
}

int hf_sandbox_landlock(HfNetwork network) {
  long version = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (version <= 0) return 0;
  Attributes handled = handled_by(version, network);
  size_t size = version >= 6 ? sizeof handled : version >= 4 ? 2 * sizeof(uint64_t) : sizeof(uint64_t);
  int rules = (int)syscall(SYS_landlock_create_ruleset, &handled, size, 0);
  if (rules < 0) return -1;
  bool done = add_rules(rules, network, handled.access_fs) && !syscall(SYS_landlock_restrict_self, rules, 0);
  int reason = errno;
  close(rules);
  errno = reason;
  return done ? (int)version : -1;
}
#else
int hf_sandbox_landlock(HfNetwork network) { return 0; }
#endif
