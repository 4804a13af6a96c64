/* The sandbox as a whole: its settings, the environment, entering. */
#include "sandbox.h"
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>
#include "sandbox_path.h"

static HfSandbox current = {HF_NETWORK_ANY, true};

bool hf_sandbox_is_on(void) { return hf_path_is_sealed(); }
HfNetwork hf_sandbox_network(void) { return current.network; }
bool hf_sandbox_may_send_token(void) { return current.with_token; }

/* ---- the environment */

static const char *const token_names[] = {"HF_TOKEN*", "HUGGING_FACE_HUB_TOKEN", NULL};
static const char *const proxy_names[] = {"*_proxy", "*_PROXY", "SSL_CERT_*", "CURL_*", NULL};
static const char *const kept_names[] = {
    "HFLUA_*", "HF_*", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HOME", "PATH", "LD_LIBRARY_PATH", "TMPDIR", "LANG", "LC_*", "TZ", "TERM",
    "COLUMNS", "LINES", "NO_COLOR", "OMP_*", "GOMP_*", "OPENBLAS_*", "DNNL_*", "ONEDNN_*", "MALLOC_*", "CUDA_*", "CUBLAS_*", "NVIDIA_*",
    "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS", NULL};

static bool is_one_of(const char *name, const char *const *patterns) {
  for (; *patterns; patterns++)
    if (!fnmatch(*patterns, name, 0)) return true;
  return false;
}

static bool is_kept(const char *variable, const HfSandbox *settings) {
  char name[128];
  size_t length = strcspn(variable, "=");
  if (length >= sizeof name) return false;
  memcpy(name, variable, length);
  name[length] = 0;
  if (is_one_of(name, token_names)) return settings->with_token;
  return is_one_of(name, kept_names) || (settings->network != HF_NETWORK_NONE && is_one_of(name, proxy_names));
}

void hf_sandbox_keep_environment(const HfSandbox *settings) {
  char **out = environ;
  for (char **in = environ; *in; in++) {
    if (is_kept(*in, settings)) *out++ = *in;
    else explicit_bzero(*in, strlen(*in));
  }
  *out = NULL;
}

/* ---- the working folder */

static bool is_beneath(const char *path, const char *folder) {
  size_t length = strcmp(folder, "/") ? strlen(folder) : 0;
  return !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

/* The first folder of LD_LIBRARY_PATH that is `folder` or below it. An empty or relative name is the working folder or below. */
static bool takes_libraries_from(const char *folder, char found[PATH_MAX]) {
  char name[PATH_MAX];
  const char *list = getenv("LD_LIBRARY_PATH");
  if (!list || !*list) return false;
  for (const char *next = list;; next++) {
    size_t size = strcspn(next, ":;");
    snprintf(name, sizeof name, "%.*s", (int)size, next);
    if (*name != '/' || (realpath(name, found) && is_beneath(found, folder))) return snprintf(found, PATH_MAX, "%s", name), true;
    if (!*(next += size)) return false;
  }
}

static bool lies_in(const char *file, const char *folder) {
  char real[PATH_MAX];
  return file && realpath(file, real) && is_beneath(real, folder);
}

bool hf_sandbox_check_folder(HfError *err) {
  char folder[PATH_MAX], home[PATH_MAX], found[PATH_MAX];
  const char *given = getenv("HOME");
  if (!getcwd(folder, sizeof folder)) return hf_error_set(err, "--sandbox: working folder: %s", strerror(errno));
  if (!strcmp(folder, "/") || (given && realpath(given, home) && is_beneath(home, folder)))
    return hf_error_set(err, "--sandbox: the working folder %s holds your home folder, and the recipe could change all of it; start in a folder made for the recipe", folder);
  if (takes_libraries_from(folder, found))
    return hf_error_set(err, "--sandbox: LD_LIBRARY_PATH holds '%s', so that libraries could come from the working folder; take it out", found);
  if (lies_in("/proc/self/exe", folder) || lies_in(getenv("HFLUA_CUDA_BACKEND"), folder) || lies_in(getenv("HFLUA_PATH"), folder))
    return hf_error_set(err, "--sandbox: hflua itself lies in the working folder %s, and the recipe could change it; start in a folder made for the recipe", folder);
  return true;
}

/* ---- entering */

static bool fail(HfError *err, const char *what) { return hf_error_set(err, "sandbox: %s: %s", what, strerror(errno)); }

bool hf_sandbox_enter(const HfSandbox *settings, char walls[HF_WALLS_SIZE], HfError *err) {
  if (hf_sandbox_is_on()) return hf_error_set(err, "sandbox: entered already");
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) return fail(err, "no_new_privs");
  setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0}); /* a core file would hold what the environment held */
  hf_path_seal();
  current = *settings;
  int landlock = hf_sandbox_landlock(settings->network);
  if (landlock < 0) return fail(err, "Landlock");
  int seccomp = hf_sandbox_seccomp(settings->network);
  if (seccomp < 0) return fail(err, "seccomp");
  snprintf(walls, HF_WALLS_SIZE, "Landlock %s, seccomp %s", landlock ? "on" : "OFF (this kernel has none)", seccomp ? "on" : "OFF (none here)");
  return true;
}
