/* Products of bfloat16 operands by oneDNN, version 2, on AVX-512 or AMX tiles: its gemm, and its matmul primitive. A primitive
 * belongs to sizes, strides and dtypes; making one takes 1-4 ms, so they are kept in a table, where a new one
 * takes the place of an older one that falls on the same entry. One thread calls kernels, so there is no lock.
 *
 * Declared here are the few functions used; structs the library fills are opaque blocks, larger than they need to be. */
#include "product_primitive.h"
#include <dlfcn.h>
#include <string.h>

#ifdef HF_NO_PRODUCT_LIBRARY
void hf_primitive_open(void *library, int major_version) {}
bool hf_primitive_product(const HfMatmul *m) { return false; }
bool hf_bfloat_gemm(const HfMatmul *m) { return false; }
#else

enum { BFLOAT16 = 2, FLOAT32 = 3, CPU = 1, IN_ORDER = 1, SOURCE = 1, DESTINATION = 17, WEIGHTS = 33, BIAS = 41, ENTRIES = 512 };

typedef struct MemoryDesc { /* 696 bytes in version 2.6 */
  uint64_t opaque[256];
} MemoryDesc;
typedef struct MatmulDesc { /* 2800 bytes */
  uint64_t opaque[1024];
} MatmulDesc;
typedef struct Argument {
  int which;
  void *memory;
} Argument;

static struct {
  int (*engine_create)(void **engine, int kind, size_t index);
  int (*stream_create)(void **stream, void *engine, unsigned flags);
  int (*memory_desc_init_by_strides)(MemoryDesc *desc, int ndims, const int64_t *dims, int type, const int64_t *strides);
  int (*matmul_desc_init)(MatmulDesc *desc, const MemoryDesc *a, const MemoryDesc *b, const MemoryDesc *bias, const MemoryDesc *c);
  int (*primitive_attr_create)(void **attr);
  int (*primitive_attr_destroy)(void *attr);
  int (*primitive_attr_set_post_ops)(void *attr, const void *post_ops);
  int (*post_ops_create)(void **post_ops);
  int (*post_ops_destroy)(void *post_ops);
  int (*post_ops_append_sum)(void *post_ops, float scale);
  int (*primitive_desc_create)(void **desc, const void *op, const void *attr, void *engine, const void *hint);
  int (*primitive_desc_destroy)(void *desc);
  int (*primitive_create)(void **primitive, const void *desc);
  int (*primitive_destroy)(void *primitive);
  int (*primitive_execute)(const void *primitive, void *stream, int count, const Argument *arguments);
  int (*memory_create)(void **memory, const MemoryDesc *desc, void *engine, void *data);
  int (*memory_destroy)(void *memory);
  int (*memory_set_data_handle)(void *memory, void *data);
} dnnl;

static void *engine, *stream;
static int (*gemm)(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const void *a, int64_t lda, const void *b,
                   int64_t ldb, float beta, float *c, int64_t ldc);

static bool has_bfloat16(void) {
#ifdef HF_X86_64
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

void hf_primitive_open(void *library, int major_version) {
  if (major_version != 2 || !has_bfloat16()) return;
#define TAKE(name) \
  if (!(*(void **)&dnnl.name = dlsym(library, "dnnl_" #name))) return;
  TAKE(engine_create) TAKE(stream_create) TAKE(memory_desc_init_by_strides) TAKE(matmul_desc_init)
  TAKE(primitive_attr_create) TAKE(primitive_attr_destroy) TAKE(primitive_attr_set_post_ops)
  TAKE(post_ops_create) TAKE(post_ops_destroy) TAKE(post_ops_append_sum)
  TAKE(primitive_desc_create) TAKE(primitive_desc_destroy)
  TAKE(primitive_create) TAKE(primitive_destroy) TAKE(primitive_execute)
  TAKE(memory_create) TAKE(memory_destroy) TAKE(memory_set_data_handle)
#undef TAKE
  *(void **)&gemm = dlsym(library, "dnnl_gemm_bf16bf16f32");
  if (dnnl.engine_create(&engine, CPU, 0) != 0) return;
  if (dnnl.stream_create(&stream, engine, IN_ORDER) != 0) stream = NULL;
}

/* What a primitive depends on. */
typedef struct Key {
  int64_t m, n, k, lda, ldb, ldc;
  int32_t transpose_a, transpose_b, float_c, adds, bias, unused;
} Key;

typedef struct Entry {
  Key key;
  void *primitive, *a, *b, *c, *bias; /* the memories' data are set for each call */
} Entry;

static Entry entries[ENTRIES];

static Entry *entry_of(const Key *key) {
  uint64_t words[sizeof *key / 8], hash = 0;
  memcpy(words, key, sizeof words);
  for (size_t i = 0; i < sizeof words / 8; i++) hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15u, hash ^= hash >> 29;
  return entries + hash % ENTRIES;
}

static void clear(Entry *e) {
  void *memories[] = {e->a, e->b, e->c, e->bias};
  for (int i = 0; i < 4; i++)
    if (memories[i]) dnnl.memory_destroy(memories[i]);
  if (e->primitive) dnnl.primitive_destroy(e->primitive);
  memset(e, 0, sizeof *e);
}

/* A matrix (rows, columns) stored with rows ld apart, or turned. */
static bool describe(MemoryDesc *desc, int type, int64_t rows, int64_t columns, int64_t ld, bool turned, void **memory) {
  return dnnl.memory_desc_init_by_strides(desc, 2, (int64_t[]){rows, columns}, type, (int64_t[]){turned ? 1 : ld, turned ? ld : 1}) == 0 &&
         dnnl.memory_create(memory, desc, engine, NULL) == 0;
}

/* The attribute that adds to the old c; NULL without one. */
static bool attribute_of(const Key *key, void **attribute) {
  void *post_ops = NULL;
  if (!key->adds) return true;
  bool ok = dnnl.primitive_attr_create(attribute) == 0 && dnnl.post_ops_create(&post_ops) == 0 &&
            dnnl.post_ops_append_sum(post_ops, 1.0f) == 0 && dnnl.primitive_attr_set_post_ops(*attribute, post_ops) == 0;
  if (post_ops) dnnl.post_ops_destroy(post_ops);
  return ok;
}

static bool make(Entry *e, const Key *key) {
  MemoryDesc a, b, c, bias;
  MatmulDesc product;
  void *attribute = NULL, *desc = NULL;
  int type = key->float_c ? FLOAT32 : BFLOAT16;
  bool ok = describe(&a, BFLOAT16, key->m, key->k, key->lda, key->transpose_a, &e->a) &&
            describe(&b, BFLOAT16, key->k, key->n, key->ldb, key->transpose_b, &e->b) &&
            describe(&c, type, key->m, key->n, key->ldc, false, &e->c) &&
            (!key->bias || describe(&bias, type, 1, key->n, key->n, false, &e->bias)) && attribute_of(key, &attribute) &&
            dnnl.matmul_desc_init(&product, &a, &b, key->bias ? &bias : NULL, &c) == 0 &&
            dnnl.primitive_desc_create(&desc, &product, attribute, engine, NULL) == 0 &&
            dnnl.primitive_create(&e->primitive, desc) == 0;
  if (desc) dnnl.primitive_desc_destroy(desc);
  if (attribute) dnnl.primitive_attr_destroy(attribute);
  if (ok) e->key = *key;
  else clear(e);
  return ok;
}

static bool set_data(void *memory, const void *data) { return dnnl.memory_set_data_handle(memory, (void *)data) == 0; }

bool hf_primitive_product(const HfMatmul *m) {
  if (!stream || m->alpha != 1 || (m->beta != 0 && m->beta != 1)) return false;
  Key key = {m->m, m->n, m->k, m->lda, m->ldb, m->ldc, m->transpose_a, m->transpose_b, m->float_c, m->beta != 0, m->bias != NULL, 0};
  Entry *e = entry_of(&key);
  if (!e->primitive || memcmp(&e->key, &key, sizeof key)) {
    clear(e);
    if (!make(e, &key)) return false;
  }
  if (!set_data(e->a, m->a) || !set_data(e->b, m->b) || !set_data(e->c, m->c) || (m->bias && !set_data(e->bias, m->bias))) return false;
  Argument arguments[] = {{SOURCE, e->a}, {WEIGHTS, e->b}, {DESTINATION, e->c}, {BIAS, e->bias}};
  return dnnl.primitive_execute(e->primitive, stream, m->bias ? 4 : 3, arguments) == 0;
}

bool hf_bfloat_gemm(const HfMatmul *m) {
  return gemm && gemm(m->transpose_a ? 'T' : 'N', m->transpose_b ? 'T' : 'N', m->m, m->n, m->k, m->alpha, m->a, m->lda, m->b, m->ldb, m->beta,
                      m->c, m->ldc) == 0;
}
#endif
