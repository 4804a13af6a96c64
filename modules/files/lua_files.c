/* hflua.core.files: files and folders for the Lua sources, with errors that name the path. What is written is on the disk
 * when the call returns. */
#include <errno.h>
#include <limits.h>
#include <unistd.h>
#include "digest.h"
#include "file.h"
#include "file_lock.h"
#include "lua_aux.h"
#include "sandbox_path.h"

#define LOCK "hflua.filelock"

/* type(path) -> "file", "folder", "other", or nil when there is nothing; an error where --sandbox does not let it be seen */
static int files_type(lua_State *L) {
  static const char *const names[] = {[HF_FILE_REGULAR] = "file", [HF_FILE_FOLDER] = "folder", [HF_FILE_OTHER] = "other"};
  HfError err;
  const char *path = hfL_check_path(L, 1);
  HfFileType type = hf_file_type(path);
  if (type == HF_FILE_MISSING && hf_path_is_refusal(errno)) return hf_file_fail(&err, path, "cannot be examined"), hfL_raise(L, &err);
  if (type == HF_FILE_MISSING) lua_pushnil(L);
  else lua_pushstring(L, names[type]);
  return 1;
}

/* size(path) -> bytes */
static int files_size(lua_State *L) {
  HfError err;
  uint64_t size;
  if (!hf_file_size(hfL_check_path(L, 1), &size, &err)) return hfL_raise(L, &err);
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

/* free_space(path) -> bytes that may still be written there */
static int files_free_space(lua_State *L) {
  HfError err;
  uint64_t size;
  if (!hf_file_free_space(hfL_check_path(L, 1), &size, &err)) return hfL_raise(L, &err);
  lua_pushinteger(L, (lua_Integer)size);
  return 1;
}

/* A buffer and a list, freed by the collector: nothing is lost when Lua has no memory for their contents. */
typedef struct Held {
  HfBuffer text;
  HfNameList names;
} Held;

static int held_gc(lua_State *L) {
  Held *held = lua_touserdata(L, 1);
  hf_buffer_free(&held->text);
  hf_name_list_free(&held->names);
  *held = (Held){0};
  return 0;
}

static Held *new_held(lua_State *L) {
  Held *held = lua_newuserdatauv(L, sizeof *held, 0);
  *held = (Held){0};
  if (luaL_newmetatable(L, "hflua.held")) {
    lua_pushcfunction(L, held_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, -2);
  return held;
}

/* list(path) -> the names in a folder, sorted */
static int files_list(lua_State *L) {
  const char *path = hfL_check_path(L, 1);
  Held *held = new_held(L);
  HfError err;
  if (!hf_folder_list(path, &held->names, &err)) return hfL_raise(L, &err);
  lua_createtable(L, (int)held->names.count, 0);
  for (size_t i = 0; i < held->names.count; i++) {
    lua_pushstring(L, held->names.names[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

/* read(path) -> the whole file */
static int files_read(lua_State *L) {
  const char *path = hfL_check_path(L, 1);
  Held *held = new_held(L);
  HfError err;
  if (!hf_file_read(path, &held->text, &err)) return hfL_raise(L, &err);
  lua_pushlstring(L, held->text.data ? held->text.data : "", held->text.size);
  return 1;
}

/* write(path, text): complete and on the disk, or not at all */
static int files_write(lua_State *L) {
  HfError err;
  size_t size;
  const char *path = hfL_check_path(L, 1), *text = luaL_checklstring(L, 2, &size);
  if (!hf_file_write(path, text, size, &err)) return hfL_raise(L, &err);
  return 0;
}

/* rename(from, to), and the folder of `to` is synced */
static int files_rename(lua_State *L) {
  HfError err;
  if (!hf_file_rename(hfL_check_path(L, 1), hfL_check_path(L, 2), &err)) return hfL_raise(L, &err);
  return 0;
}

/* remove(path): a file, or a folder with all it holds */
static int files_remove(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  bool folder = hf_file_type(path) == HF_FILE_FOLDER;
  if (!(folder ? hf_folder_remove(path, &err) : hf_file_remove(path, &err))) return hfL_raise(L, &err);
  return 0;
}

/* sync(path): a file or folder, onto the disk */
static int files_sync(lua_State *L) {
  HfError err;
  if (!hf_file_sync(hfL_check_path(L, 1), &err)) return hfL_raise(L, &err);
  return 0;
}

/* sha256(path) -> 64 hexadecimal digits */
static int files_sha256(lua_State *L) {
  HfError err;
  char hex[HF_DIGEST_HEX];
  if (!hf_digest_file(hfL_check_path(L, 1), HF_SHA256, hex, &err)) return hfL_raise(L, &err);
  lua_pushstring(L, hex);
  return 1;
}

/* git_digest(path) -> 40 hexadecimal digits: Git's name of the contents */
static int files_git_digest(lua_State *L) {
  HfError err;
  char hex[HF_DIGEST_HEX];
  if (!hf_digest_git_file(hfL_check_path(L, 1), hex, &err)) return hfL_raise(L, &err);
  lua_pushstring(L, hex);
  return 1;
}

/* lock:close(): lets other processes in; also done by the collector */
static int lock_close(lua_State *L) {
  HfFileLock **box = luaL_checkudata(L, 1, LOCK);
  hf_file_unlock(*box);
  *box = NULL;
  return 0;
}

/* lock(path) -> a lock; an error when another process holds it */
static int files_lock(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  HfFileLock **box = hfL_newbox(L, LOCK);
  if (!(*box = hf_file_lock(path, &err))) return hfL_raise(L, &err);
  return 1;
}

/* try_lock(path) -> a lock, or nil when another process holds it */
static int files_try_lock(lua_State *L) {
  HfError err;
  bool held;
  const char *path = hfL_check_path(L, 1);
  HfFileLock **box = hfL_newbox(L, LOCK);
  *box = hf_file_try_lock(path, &held, &err);
  if (!*box && !held) return hfL_raise(L, &err);
  if (!*box) lua_pushnil(L);
  return 1;
}

/* link(target, path): a symbolic link in place of what is at `path` */
static int files_link(lua_State *L) {
  HfError err;
  if (!hf_file_link(hfL_check_path(L, 1), hfL_check_path(L, 2), &err)) return hfL_raise(L, &err);
  return 0;
}

/* link_target(path) -> what a symbolic link says, or nil when there is none */
static int files_link_target(lua_State *L) {
  char target[PATH_MAX];
  ssize_t size = readlink(hfL_check_path(L, 1), target, sizeof target);
  if (size < 0) lua_pushnil(L);
  else lua_pushlstring(L, target, (size_t)size);
  return 1;
}

/* process_id() -> a number that no other running process has */
static int files_process_id(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)getpid());
  return 1;
}

int luaopen_hflua_core_files(lua_State *L) {
  static const luaL_Reg lock_methods[] = {{"close", lock_close}, {"__gc", lock_close}, {"__close", lock_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"type", files_type}, {"size", files_size}, {"free_space", files_free_space}, {"list", files_list}, {"read", files_read},
      {"write", files_write}, {"rename", files_rename}, {"remove", files_remove}, {"sync", files_sync}, {"sha256", files_sha256}, {"git_digest", files_git_digest},
      {"lock", files_lock}, {"try_lock", files_try_lock}, {"link", files_link}, {"link_target", files_link_target}, {"process_id", files_process_id}, {NULL, NULL}};
  hfL_newclass(L, LOCK, lock_methods);
  lua_pop(L, 1);
  luaL_newlib(L, functions);
  return 1;
}
