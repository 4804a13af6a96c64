/* The sandbox below Lua: names of files with openat2 and part by part, the walls of the kernel, the environment, the limit of memory. Each case
 * runs in a process of its own, since no wall can be taken down. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "file.h"
#include "sandbox.h"
#include "sandbox_path.h"

static char base[64], inside[96];

#define CHECK(condition) \
  do { \
    if (!(condition)) return fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, strerror(errno)), false; \
  } while (0)

static bool has_failed_with(int result, int error) { return result < 0 && errno == error; }

/* ---- a folder with links of all kinds: BASE/in is allowed, BASE/out is not */

static int make_folders(void **state) {
  HfError err;
  strcpy(base, "/tmp/hflua_test_XXXXXX");
  if (!mkdtemp(base) || chdir(base)) return -1;
  snprintf(inside, sizeof inside, "%s/in", base);
  bool made = hf_folder_make("in/deep/er", &err) && hf_folder_make("out", &err) && hf_file_write("in/file", "in", 2, &err) &&
              hf_file_write("in/deep/file", "deep", 4, &err) && hf_file_write("out/file", "out", 3, &err);
  static const char *const links[][2] = {
      {"../out/file", "in/up"}, {"../out", "in/up_folder"}, {"deep/er/../file", "in/inner"}, {"deep", "in/inner_folder"}, {"loop", "in/loop"},
      {"deep/../../out/file", "in/zigzag"}, {"../file", "in/deep/back"}, {".", "in/here"}, {"missing", "in/broken"}};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) made = made && !symlink(links[i][0], links[i][1]);
  char absolute[96];
  snprintf(absolute, sizeof absolute, "%s/out/file", base);
  return made && !symlink(absolute, "in/absolute") && !link("out/file", "in/hard") && !mkfifo("in/pipe", 0600) && !chdir("in") ? 0 : -1;
}

static int remove_folders(void **state) { return chdir("/") || !hf_folder_remove(base, NULL); }

/* Runs `body` in a child and fails when it says false or dies. */
static void run(bool (*body)(void)) {
  int status;
  pid_t child = fork();
  if (!child) _exit(!body());
  assert_int_equal(waitpid(child, &status, 0), child);
  assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- names */

static bool reads(const char *path, const char *expected) {
  char text[16] = "";
  int fd = hf_path_open(path, O_RDONLY, 0);
  ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
  close(fd);
  return size == (ssize_t)strlen(expected) && !strcmp(text, expected);
}

static bool check_names(void) {
  HfError err;
  struct stat info;
  CHECK(hf_path_allow(".", HF_PATH_READ | HF_PATH_WRITE, &err));
  CHECK(hf_path_allow("deep", HF_PATH_READ, &err)); /* covered: writing stays allowed */
  hf_path_seal();
  CHECK(!hf_path_allow("/", HF_PATH_READ, &err));
  CHECK(reads("file", "in") && reads("./deep//../file", "in") && reads("inner", "deep") && reads("inner_folder/file", "deep"));
  CHECK(reads("deep/back", "in") && reads("here/here/deep/back", "in"));
  char name[PATH_MAX];
  CHECK(reads(strcat(strcpy(name, inside), "/file"), "in") && reads(strcat(strcpy(name, base), "/out/../in/file"), "in"));
  static const char *const closed[] = {"../out/file", "up", "up_folder/file", "zigzag", "absolute", "/etc/passwd", "/proc/self/environ", "/", "..", "../in2", "here/../../out/file"};
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
    CHECK(has_failed_with(hf_path_open(closed[i], O_RDONLY, 0), EXDEV));
    CHECK(has_failed_with(hf_path_open(closed[i], O_WRONLY | O_CREAT | O_TRUNC, 0666), EXDEV));
    CHECK(has_failed_with(hf_path_stat(closed[i], &info), EXDEV));
  }
  CHECK(has_failed_with(hf_path_open("loop", O_RDONLY, 0), ELOOP) && has_failed_with(hf_path_open("broken", O_RDONLY, 0), ENOENT));
  CHECK(has_failed_with(hf_path_open("file/x", O_RDONLY, 0), ENOTDIR) && has_failed_with(hf_path_open("", O_RDONLY, 0), ENOENT));
  CHECK(has_failed_with(hf_path_open("pipe", O_RDONLY, 0), ENOTSUP));
  CHECK(has_failed_with(hf_path_open("hard", O_WRONLY, 0), EMLINK) && has_failed_with(hf_path_open("hard", O_WRONLY | O_TRUNC, 0), EMLINK));
  CHECK(has_failed_with(hf_path_open("up", O_WRONLY | O_CREAT | O_EXCL, 0666), EEXIST));
  return true;
}

static bool check_changes(void) {
  HfError err;
  CHECK(hf_path_allow(".", HF_PATH_READ | HF_PATH_WRITE, &err));
  hf_path_seal();
  static const char *const closed[] = {"../out/new", "up_folder/new", "/tmp/hflua_new"};
  for (size_t i = 0; i < sizeof closed / sizeof *closed; i++) {
    CHECK(has_failed_with(hf_path_make_folder(closed[i], 0777), EXDEV) && has_failed_with(hf_path_remove(closed[i]), EXDEV));
    CHECK(has_failed_with(hf_path_rename("file", closed[i]), EXDEV) && has_failed_with(hf_path_rename(closed[i], "file"), EXDEV));
    CHECK(!hf_file_write(closed[i], "x", 1, &err) && !hf_folder_remove(closed[i], &err));
  }
  CHECK(has_failed_with(hf_path_remove("."), EINVAL));
  CHECK(!hf_path_symlink("../out/file", "made") && has_failed_with(hf_path_open("made", O_RDONLY, 0), EXDEV) && has_failed_with(hf_path_symlink("x", "../out/new"), EXDEV));
  CHECK(hf_folder_make("a/b/c", &err) && hf_file_write("a/b/file", "x", 1, &err) && hf_file_rename("a/b/file", "a/moved", &err) && reads("a/moved", "x"));
  CHECK(hf_file_write("up", "mine", 4, &err) && reads("up", "mine")); /* the link is replaced, not followed */
  CHECK(hf_folder_make(inside, &err) && hf_folder_remove("a", &err) && hf_file_type("a") == HF_FILE_MISSING);
  uint64_t bytes;
  CHECK(hf_file_free_space("not/there/yet", &bytes, &err) && !hf_file_free_space("/usr", &bytes, &err));
  return true;
}

static bool check_rights(void) {
  HfError err;
  CHECK(hf_path_allow("deep", HF_PATH_READ | HF_PATH_ENGINE_WRITE, &err) && hf_path_allow("file", HF_PATH_READ, &err));
  CHECK(hf_path_allow("missing", HF_PATH_READ, &err));
  hf_path_seal();
  CHECK(reads("deep/file", "deep") && reads("file", "in") && has_failed_with(hf_path_open("hard", O_RDONLY, 0), EXDEV));
  CHECK(has_failed_with(hf_path_open("file", O_RDWR, 0), EROFS) && has_failed_with(hf_path_open("missing/x", O_RDONLY, 0), ENOENT));
  CHECK(has_failed_with(hf_path_open("deep/new", O_WRONLY | O_CREAT, 0666), EROFS) && has_failed_with(hf_path_remove("deep/file"), EROFS));
  CHECK(!hf_path_engine(true) && hf_file_write("deep/new", "new", 3, &err) && hf_path_engine(false));
  CHECK(has_failed_with(hf_path_rename("deep/new", "deep/newer"), EROFS) && has_failed_with(hf_path_symlink("file", "deep/link"), EROFS));
  return true;
}

/* The same by openat2 and part by part. */
static bool check_names_by_parts(void) { return hf_path_without_openat2(true), check_names(); }
static bool check_changes_by_parts(void) { return hf_path_without_openat2(true), check_changes(); }
static bool check_rights_by_parts(void) { return hf_path_without_openat2(true), check_rights(); }
static void names(void **state) { run(check_names); }
static void changes(void **state) { run(check_changes); }
static void rights(void **state) { run(check_rights); }
static void names_by_parts(void **state) { run(check_names_by_parts); }
static void changes_by_parts(void **state) { run(check_changes_by_parts); }
static void rights_by_parts(void **state) { run(check_rights_by_parts); }

/* ---- the walls of the kernel: the plain system calls, as a fault in the engine could make them */

static void *add_one(void *number) { return ++*(int *)number, NULL; }

static bool threads_work(void) {
  int number = 0;
  pthread_t thread;
  CHECK(!pthread_create(&thread, NULL, add_one, &number) && !pthread_join(thread, NULL) && number == 1);
  return true;
}

static bool check_landlock(void) {
  HfError err;
  CHECK(hf_path_allow(".", HF_PATH_READ | HF_PATH_WRITE, &err));
  hf_path_seal();
  int version = hf_sandbox_landlock(HF_NETWORK_NONE);
  CHECK(version > 0);
  CHECK(has_failed_with(open("/etc/passwd", O_RDONLY), EACCES) && has_failed_with(open("../out/file", O_RDONLY), EACCES));
  CHECK(has_failed_with(open("/proc/self/environ", O_RDONLY), EACCES) && has_failed_with(open("../out/new", O_WRONLY | O_CREAT, 0666), EACCES));
  CHECK(open("file", O_RDONLY) >= 0 && open("made", O_WRONLY | O_CREAT, 0666) >= 0 && open("/usr/lib", O_RDONLY) >= 0);
  CHECK(unlink("../out/file") < 0 && rename("file", "../out/moved") < 0 && unlink("made") == 0);
  CHECK(version < 6 || has_failed_with(kill(getppid(), 0), EPERM));
  return threads_work();
}

static bool check_seccomp_with(HfNetwork network) {
  CHECK(hf_sandbox_seccomp(network) == 1);
  char *const arguments[] = {"true", NULL};
  CHECK(has_failed_with(execv("/bin/true", arguments), EPERM) && has_failed_with((int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, NULL, 0), EPERM));
  CHECK(has_failed_with(fork(), EPERM) && has_failed_with(vfork(), EPERM) && has_failed_with((int)syscall(435, NULL, 0), ENOSYS));
  CHECK(has_failed_with((int)ptrace(PTRACE_TRACEME, 0, 0, 0), EPERM) && has_failed_with((int)syscall(SYS_process_vm_readv, getppid(), NULL, 0, NULL, 0, 0), EPERM));
  CHECK(has_failed_with(mount("none", "/", "tmpfs", 0, NULL), EPERM) && has_failed_with(unshare(CLONE_NEWUSER), EPERM));
  CHECK(has_failed_with((int)syscall(425, 1, NULL), EPERM) && has_failed_with((int)syscall(SYS_bpf, 0, NULL, 0), EPERM));
  CHECK(has_failed_with(kill(getppid(), 0), EPERM) && has_failed_with(kill(-1, 0), EPERM) && has_failed_with(kill(0, 0), EPERM));
  CHECK(has_failed_with(ioctl(0, TIOCSTI, "x"), EPERM) && has_failed_with(link("file", "other"), EPERM));
  CHECK(kill(getpid(), 0) == 0 && getpid() == syscall(SYS_getpid));
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(network == HF_NETWORK_NONE ? has_failed_with(fd, EPERM) : fd >= 0);
  return threads_work();
}

static bool check_seccomp(void) { return check_seccomp_with(HF_NETWORK_NONE); }
static bool check_seccomp_with_network(void) { return check_seccomp_with(HF_NETWORK_ENDPOINT); }

static bool has_landlock(void) { return syscall(444 /* landlock_create_ruleset */, NULL, 0, 1) > 0; }

static void landlock(void **state) {
  if (!has_landlock()) skip();
  run(check_landlock);
}

static void seccomp(void **state) {
#if defined(__x86_64__) || defined(__aarch64__)
  run(check_seccomp);
  run(check_seccomp_with_network);
#else
  skip();
#endif
}

/* ---- the environment and the limit of memory */

static bool check_environment(void) {
  HfSandbox settings = {HF_NETWORK_NONE, false};
  char secret[] = "HF_TOKEN=hf_secret", other[] = "SOME_KEY=1", kept[] = "HF_HOME=/x";
  environ = (char *[]){secret, other, kept, NULL};
  hf_sandbox_keep_environment(&settings);
  CHECK(!getenv("HF_TOKEN") && !getenv("SOME_KEY") && !strcmp(getenv("HF_HOME"), "/x") && !secret[0] && !secret[10]);
  return true;
}

static void environment(void **state) { run(check_environment); }

static bool check_memory(void) {
  HfError err;
  hf_memory_limit(1 << 20, "the test's");
  void *half = hf_malloc(1 << 19, "half", &err);
  CHECK(half && !hf_malloc(1 << 19, "rest", &err) && strstr(err.message, "the limit is the test's") && err.out_of_memory);
  CHECK(!hf_realloc(half, 1 << 20, "more", &err) && (half = hf_realloc(half, 1 << 18, "less", &err)));
  void *other = hf_calloc(1 << 19, "other", &err);
  CHECK(other && hf_memory_take_last(1 << 17) && !hf_memory_take_last(1 << 18));
  hf_memory_give(1 << 17);
  for (int i = 0; i < 1000; i++) { /* nothing is lost on the way */
    void *block = hf_malloc(1 << 17, "block", &err);
    CHECK(block && (block = hf_realloc(block, 100, "block", &err)));
    hf_free(block);
  }
  hf_free(half);
  hf_free(other);
  CHECK((half = hf_malloc(1000000, "nearly all", &err)));
  return true;
}

static void memory(void **state) { run(check_memory); }

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(names, make_folders, remove_folders), cmocka_unit_test_setup_teardown(names_by_parts, make_folders, remove_folders),
      cmocka_unit_test_setup_teardown(changes, make_folders, remove_folders), cmocka_unit_test_setup_teardown(changes_by_parts, make_folders, remove_folders),
      cmocka_unit_test_setup_teardown(rights, make_folders, remove_folders), cmocka_unit_test_setup_teardown(rights_by_parts, make_folders, remove_folders),
      cmocka_unit_test_setup_teardown(landlock, make_folders, remove_folders), cmocka_unit_test_setup_teardown(seccomp, make_folders, remove_folders),
      cmocka_unit_test(environment), cmocka_unit_test(memory)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
