/* Matrix products of a library opened at first use: oneDNN, else OpenBLAS, else none (product.c is used then).
 * HFLUA_PRODUCT=onednn|openblas|own asks for one. Both libraries run on libgomp's threads, as our own loops do, so
 * there is one thread pool. The few functions used are declared here: building needs no header of either, and
 * dnnl_sgemm has the same form in versions 2 and 3 of oneDNN. */
#include "product_library.h"
#include "product_primitive.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static HfProductLibrary library = {"own products", NULL};

#ifndef HF_NO_PRODUCT_LIBRARY
static char title[64];

/* Opens the first of the names, which end with NULL. */
static void *open_first(const char *const *names) {
  void *handle = NULL;
  for (; *names && !handle; names++) handle = dlopen(*names, RTLD_NOW | RTLD_LOCAL);
  return handle;
}

/* ---- oneDNN */

typedef struct DnnlVersion {
  int major, minor, patch;
} DnnlVersion;
static int (*dnnl_sgemm)(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                         int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

static bool onednn_product(const HfMatmul *m) {
  return dnnl_sgemm(m->transpose_a ? 'T' : 'N', m->transpose_b ? 'T' : 'N', m->m, m->n, m->k, m->alpha, m->a, m->lda, m->b,
                    m->ldb, m->beta, m->c, m->ldc) == 0;
}

static bool open_onednn(void) {
  void *handle = open_first((const char *const[]){"libdnnl.so.3", "libdnnl.so.2", NULL});
  if (!handle) return false;
  const DnnlVersion *(*version)(void) = (const DnnlVersion *(*)(void))dlsym(handle, "dnnl_version");
  *(void **)&dnnl_sgemm = dlsym(handle, "dnnl_sgemm");
  if (!version || !dnnl_sgemm) return dlclose(handle), false;
  snprintf(title, sizeof title, "oneDNN %d.%d.%d", version()->major, version()->minor, version()->patch);
  library = (HfProductLibrary){title, onednn_product};
  hf_primitive_open(handle, version()->major);
  return true;
}

/* ---- OpenBLAS */

enum { ROW_MAJOR = 101, NO_TRANSPOSE = 111, TRANSPOSE = 112 };
static void (*cblas_sgemm)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                           const float *b, int ldb, float beta, float *c, int ldc);

static bool openblas_product(const HfMatmul *m) {
  int64_t largest = m->m | m->n | m->k | m->lda | m->ldb | m->ldc;
  if (largest > INT32_MAX) return false;
  cblas_sgemm(ROW_MAJOR, m->transpose_a ? TRANSPOSE : NO_TRANSPOSE, m->transpose_b ? TRANSPOSE : NO_TRANSPOSE, (int)m->m,
              (int)m->n, (int)m->k, m->alpha, m->a, (int)m->lda, m->b, (int)m->ldb, m->beta, m->c, (int)m->ldc);
  return true;
}

/* "OpenBLAS 0.3.21 DYNAMIC_ARCH ..." is shown up to the second blank. */
static void set_openblas_title(const char *config) {
  const char *end = strchr(config, ' ');
  if (end) end = strchr(end + 1, ' ');
  snprintf(title, sizeof title, "%.*s", end ? (int)(end - config) : 40, config);
}

/* The kernels that are fastest on processors which OpenBLAS 0.3.21 serves with slower ones by itself. The variable is
 * read when the library is opened. */
static void choose_openblas_core(void) {
#ifdef HF_X86_64
  if (__builtin_cpu_is("amd") && __builtin_cpu_supports("avx2")) setenv("OPENBLAS_CORETYPE", "Zen", 0);
#endif
}

static bool open_openblas(void) {
  choose_openblas_core();
  void *handle = open_first((const char *const[]){"libopenblas.so.0", "libopenblas.so", NULL});
  if (!handle) return false;
  *(void **)&cblas_sgemm = dlsym(handle, "cblas_sgemm");
  const char *(*config)(void) = (const char *(*)(void))dlsym(handle, "openblas_get_config");
  if (!cblas_sgemm || !config) return dlclose(handle), false;
  set_openblas_title(config());
  library = (HfProductLibrary){title, openblas_product};
  return true;
}

static void open_library(void) {
  const char *wanted = getenv("HFLUA_PRODUCT");
  if (wanted && !strcmp(wanted, "own")) return;
  if (wanted && !strcmp(wanted, "openblas")) {
    open_openblas();
    return;
  }
  if (!open_onednn()) open_openblas();
}
#else
static void open_library(void) {}
#endif

const HfProductLibrary *hf_product_library(void) {
  static bool opened;
  if (!opened) open_library();
  opened = true;
  return &library;
}
