/* Names of the open objects: a stack of them all, searched from end to end in small objects and through a hash table in
 * large ones. The hash is keyed, so that no file can be made whose names all fall together. */
#include "json_names.h"
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#define SMALL 16 /* names compared one by one */

static const char *name_text(const HfJsonScanner *s, const HfJsonName *name) {
  return name->text ? name->text : s->unescaped.data + name->at;
}

static uint64_t hash_key;
static pthread_once_t hash_key_once = PTHREAD_ONCE_INIT;

static void choose_hash_key(void) {
  if (getrandom(&hash_key, sizeof hash_key, GRND_NONBLOCK) != sizeof hash_key) hash_key = (uint64_t)time(NULL);
  hash_key |= 1;
}

static uint64_t mix(uint64_t a, uint64_t b) {
  unsigned __int128 product = (unsigned __int128)a * b;
  return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes at a time, folded by 128-bit products with a secret key. */
static uint64_t hash_bytes(const char *bytes, size_t size) {
  pthread_once(&hash_key_once, choose_hash_key);
  uint64_t key = hash_key, hash = key ^ size;
  for (; size; bytes += 8, size -= size < 8 ? size : 8) {
    uint64_t word = 0;
    memcpy(&word, bytes, size < 8 ? size : 8);
    hash = mix(hash ^ word ^ key, 0x9E3779B97F4A7C15u ^ key);
  }
  return mix(hash, 0xD6E8FEB86659FD93u);
}

static bool same_name(const HfJsonScanner *s, const HfJsonName *a, const HfJsonName *b) {
  return a->hash == b->hash && a->size == b->size && !memcmp(name_text(s, a), name_text(s, b), a->size);
}

static void insert(HfJsonScanner *s, HfJsonLevel *level, size_t index) {
  size_t slot = s->names[index].hash & (level->slot_count - 1);
  while (level->slots[slot]) slot = (slot + 1) & (level->slot_count - 1);
  level->slots[slot] = (uint32_t)(index + 1);
}

/* A table at most half full. */
static bool grow_table(HfJsonScanner *s, HfJsonLevel *level, HfError *err) {
  size_t count = s->name_count - level->first_name;
  if (2 * count < level->slot_count) return true;
  size_t slot_count = level->slot_count ? 4 * level->slot_count : 8 * SMALL;
  uint32_t *slots = hf_calloc(slot_count * sizeof *slots, "JSON names", err);
  if (!slots) return false;
  hf_free(level->slots);
  level->slots = slots;
  level->slot_count = slot_count;
  for (size_t i = level->first_name; i + 1 < s->name_count; i++) insert(s, level, i);
  return true;
}

static bool is_known(const HfJsonScanner *s, const HfJsonLevel *level, const HfJsonName *name) {
  if (level->slots) {
    for (size_t slot = name->hash & (level->slot_count - 1); level->slots[slot]; slot = (slot + 1) & (level->slot_count - 1))
      if (same_name(s, &s->names[level->slots[slot] - 1], name)) return true;
    return false;
  }
  for (size_t i = level->first_name; i + 1 < s->name_count; i++)
    if (same_name(s, &s->names[i], name)) return true;
  return false;
}

static bool push_name(HfJsonScanner *s, HfJsonName name, HfError *err) {
  if (s->name_count == UINT32_MAX - 1) return hf_json_fail(s, s->start, err, "too many names");
  if (s->name_count == s->name_capacity) {
    size_t capacity = s->name_capacity ? 2 * s->name_capacity : 64;
    HfJsonName *names = hf_realloc(s->names, capacity * sizeof *names, "JSON names", err);
    if (!names) return false;
    s->names = names;
    s->name_capacity = capacity;
  }
  s->names[s->name_count++] = name;
  return true;
}

bool hf_json_names_add(HfJsonScanner *s, bool escaped, HfError *err) {
  HfJsonLevel *level = &s->levels[s->depth - 1];
  HfJsonName name = {.text = escaped ? NULL : s->text + s->start + 1, .at = s->unescaped.size, .size = s->string_size, .hash = hash_bytes(s->string, s->string_size)};
  if (escaped && !hf_buffer_append(&s->unescaped, s->string, s->string_size, err)) return false;
  if (!push_name(s, name, err)) return false;
  bool large = s->name_count - level->first_name > SMALL;
  if (large && !grow_table(s, level, err)) return false;
  char shown[HF_EXCERPT_SIZE];
  if (is_known(s, level, &name)) return hf_json_fail(s, s->start, err, "duplicate name \"%s\"", hf_excerpt(shown, s->string, s->string_size));
  if (large) insert(s, level, s->name_count - 1);
  return true;
}

void hf_json_names_close(HfJsonScanner *s, HfJsonLevel *level) {
  hf_free(level->slots);
  level->slots = NULL;
  if (!level->object) return;
  s->name_count = level->first_name;
  s->unescaped.size = level->unescaped;
}
