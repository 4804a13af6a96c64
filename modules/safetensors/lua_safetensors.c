/* hf.safetensors: weights in files.
 *
 *   local tensors = safetensors.load_file("model.safetensors")     -- name -> tensor over the mapped file
 *   safetensors.save_file(tensors, "out.safetensors", { format = "pt" })
 *   local file = safetensors.open("model.safetensors")
 *   for _, name in ipairs(file:keys()) do print(name, file:info(name).dtype) end
 *   local bias = file:get("classifier.bias")
 */
#include <stdlib.h>
#include <string.h>
#include "../../runtime/lua_aux_tensor.h"
#include "../../runtime/memory.h"
#include "../../runtime/safetensors.h"

#define FILE_BOX "hflua.safetensors.file"

static HfSafetensors *check_file(lua_State *L) { return hfL_checkbox(L, 1, FILE_BOX); }

static HfSafetensors *open_file(lua_State *L, const char *path) {
  HfError err;
  HfSafetensors **box = hfL_newbox(L, FILE_BOX);
  *box = hf_safetensors_open(path, &err);
  if (!*box) hfL_raise(L, &err);
  return *box;
}

static void push_entry(lua_State *L, const HfSafetensors *file, const HfSafetensorsEntry *entry) {
  HfError err;
  HfTensor **box = hfL_new_tensor(L);
  *box = hf_safetensors_tensor(file, entry, &err);
  if (!*box) hfL_raise(L, &err);
}

/* The entry named by argument 2; a Lua error when the file has none. */
static const HfSafetensorsEntry *check_entry(lua_State *L, const HfSafetensors *file) {
  const char *name = luaL_checkstring(L, 2);
  const HfSafetensorsEntry *entry = hf_safetensors_find(file, name);
  if (!entry) hfL_errorf(L, "%s: no tensor \"%s\" among its %zu", file->where, name, file->count);
  return entry;
}

/*--- safetensors.load_file(path): every tensor by name. The file stays mapped while one of them lives. */
static int load_file(lua_State *L) {
  const HfSafetensors *file = open_file(L, hfL_check_path(L, 1));
  lua_createtable(L, 0, (int)file->count);
  for (size_t i = 0; i < file->count; i++) {
    lua_pushstring(L, file->entries[i].name);
    push_entry(L, file, &file->entries[i]);
    lua_rawset(L, -3);
  }
  return 1;
}

/* ---- open files */

static int open_handle(lua_State *L) {
  open_file(L, hfL_check_path(L, 1));
  return 1;
}

/*--- file:keys(): the names, in the order of the file. */
static int file_keys(lua_State *L) {
  const HfSafetensors *file = check_file(L);
  lua_createtable(L, (int)file->count, 0);
  for (size_t i = 0; i < file->count; i++) {
    lua_pushstring(L, file->entries[i].name);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/*--- file:get(name): the tensor. */
static int file_get(lua_State *L) {
  const HfSafetensors *file = check_file(L);
  push_entry(L, file, check_entry(L, file));
  return 1;
}

/*--- file:metadata(): the strings of __metadata__ by name (empty when there are none). */
static int file_metadata(lua_State *L) {
  const HfSafetensors *file = check_file(L);
  lua_createtable(L, 0, (int)file->metadata_count);
  for (size_t i = 0; i < file->metadata_count; i++) {
    lua_pushstring(L, file->metadata[i].value);
    lua_setfield(L, -2, file->metadata[i].name);
  }
  return 1;
}

/*--- file:info(name): { dtype = "F32", shape = {...}, bytes = n }, of types that cannot be loaded too. */
static int file_info(lua_State *L) {
  const HfSafetensors *file = check_file(L);
  const HfSafetensorsEntry *entry = check_entry(L, file);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, entry->type->name);
  lua_setfield(L, -2, "dtype");
  lua_createtable(L, (int)entry->ndim, 0);
  for (size_t d = 0; d < entry->ndim; d++) {
    lua_pushinteger(L, entry->shape[d]);
    lua_rawseti(L, -2, (lua_Integer)d + 1);
  }
  lua_setfield(L, -2, "shape");
  lua_pushinteger(L, (lua_Integer)(entry->end - entry->begin));
  lua_setfield(L, -2, "bytes");
  return 1;
}

static int file_close(lua_State *L) {
  HfSafetensors **box = luaL_checkudata(L, 1, FILE_BOX);
  hf_safetensors_close(*box);
  *box = NULL;
  return 0;
}

static int file_tostring(lua_State *L) {
  HfSafetensors **box = luaL_checkudata(L, 1, FILE_BOX);
  if (*box) lua_pushfstring(L, "safetensors file (%s, %I tensors)", (*box)->where, (lua_Integer)(*box)->count);
  else lua_pushliteral(L, "safetensors file (closed)");
  return 1;
}

/* ---- saving */

/* Pairs of the table at idx counted; keys must be strings. */
static size_t count_pairs(lua_State *L, int idx, const char *what) {
  size_t count = 0;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1), count++)
    if (lua_type(L, -2) != LUA_TSTRING) hfL_errorf(L, "safetensors.save_file: %s: expected names as keys, found a %s", what, luaL_typename(L, -2));
  return count;
}

/* The string at idx as C text; a Lua error when it holds a zero byte. */
static const char *check_text(lua_State *L, int idx, const char *what) {
  size_t size;
  const char *text = lua_tolstring(L, idx, &size);
  if (strlen(text) != size) hfL_errorf(L, "safetensors.save_file: %s: \"%.80s\" is followed by a zero byte", what, text);
  return text;
}

static int compare_pairs(const void *a, const void *b) {
  return strcmp(((const HfSafetensorsPair *)a)->name, ((const HfSafetensorsPair *)b)->name);
}

/* The pairs of the metadata table at idx, sorted by name, in a userdata that is pushed; texts are the table's own. */
static HfSafetensorsPair *read_metadata(lua_State *L, int idx, size_t *count) {
  *count = lua_isnoneornil(L, idx) ? 0 : count_pairs(L, idx, "metadata");
  HfSafetensorsPair *pairs = lua_newuserdatauv(L, (*count + 1) * sizeof *pairs, 0), *next = pairs;
  if (!*count) return pairs;
  for (lua_pushnil(L); lua_next(L, idx); lua_pop(L, 1), next++) {
    if (lua_type(L, -1) != LUA_TSTRING) hfL_errorf(L, "safetensors.save_file: metadata.%s: expected a string, found a %s", lua_tostring(L, -2), luaL_typename(L, -1));
    *next = (HfSafetensorsPair){(char *)check_text(L, -2, "metadata"), (char *)check_text(L, -1, "metadata")};
  }
  qsort(pairs, *count, sizeof *pairs, compare_pairs);
  return pairs;
}

/*--- safetensors.save_file(tensors, path[, metadata]): tensors by name; metadata maps strings to strings. */
static int save_file(lua_State *L) {
  HfError err;
  luaL_checktype(L, 1, LUA_TTABLE);
  const char *path = hfL_check_path(L, 2);
  if (!lua_isnoneornil(L, 3)) luaL_checktype(L, 3, LUA_TTABLE);
  lua_settop(L, 3);
  size_t count = count_pairs(L, 1, "tensors"), metadata_count, i = 0;
  const HfSafetensorsPair *metadata = read_metadata(L, 3, &metadata_count);
  const char **names = lua_newuserdatauv(L, (count + 1) * sizeof *names, 0);
  HfTensor **tensors = lua_newuserdatauv(L, (count + 1) * sizeof *tensors, 0);
  for (lua_pushnil(L); lua_next(L, 1); lua_pop(L, 1), i++) {
    names[i] = check_text(L, -2, "tensor");
    tensors[i] = hfL_test_tensor(L, -1);
    if (!tensors[i]) return hfL_errorf(L, "safetensors.save_file: tensor \"%s\": expected a tensor, found a %s", names[i], luaL_typename(L, -1));
  }
  if (!hf_safetensors_save(path, names, tensors, count, metadata, metadata_count, &err)) return hfL_raise(L, &err);
  return 0;
}

int luaopen_hflua_core_safetensors(lua_State *L) {
  static const luaL_Reg methods[] = {
    {"keys", file_keys}, {"get", file_get}, {"get_tensor", file_get}, {"metadata", file_metadata}, {"info", file_info}, {"close", file_close},
    {"__gc", file_close}, {"__close", file_close}, {"__tostring", file_tostring}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"load_file", load_file}, {"save_file", save_file}, {"open", open_handle}, {NULL, NULL}};
  hfL_newclass(L, FILE_BOX, methods);
  luaL_newlib(L, functions);
  return 1;
}
