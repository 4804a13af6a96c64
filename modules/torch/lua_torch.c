/* hf.torch: files of torch.save.
 *
 *   local state = hf.torch.load("pytorch_model.bin")     -- name -> tensor over the mapped file
 *
 * Dicts and tuples become tables, None hf.null. Nothing of the file is run.
 */
#include "../../runtime/lua_aux_tensor.h"
#include "../../runtime/torch_file.h"

#define FILE_BOX "hflua.torch.file"

enum { MAX_DEPTH = 64, MAX_VALUES = 10000000 };

typedef struct Push {
  lua_State *L;
  const HfTorchFile *file;
  int64_t left; /* values that may still be made: the same list may be found in a list many times over */
} Push;

static void push_value(Push *p, uint32_t place, int depth);

static void push_tensor(Push *p, const HfPickleValue *v) {
  HfError err;
  HfTensor **box = hfL_new_tensor(p->L);
  *box = hf_torch_tensor(p->file, v, &err);
  if (!*box) hfL_raise(p->L, &err);
}

static void push_list(Push *p, const HfPickleValue *v, int depth) {
  lua_newtable(p->L);
  for (size_t i = 0; i < v->size; i++) {
    push_value(p, v->items[i], depth + 1);
    lua_rawseti(p->L, -2, (lua_Integer)i + 1);
  }
}

/* Keys are texts, numbers or truth values. */
static void push_dict(Push *p, const HfPickleValue *v, int depth) {
  lua_newtable(p->L);
  for (size_t i = 0; i + 1 < v->size; i += 2) {
    HfPickleKind kind = p->file->pickle.values[v->items[i]].kind;
    if (kind != HF_PICKLE_TEXT && kind != HF_PICKLE_INT && kind != HF_PICKLE_BOOL) hfL_errorf(p->L, "%s: a dict whose keys are neither texts nor whole numbers", p->file->where);
    push_value(p, v->items[i], depth + 1);
    push_value(p, v->items[i + 1], depth + 1);
    lua_rawset(p->L, -3);
  }
}

static void push_value(Push *p, uint32_t place, int depth) {
  const HfPickleValue *v = &p->file->pickle.values[place];
  luaL_checkstack(p->L, 6, "torch.load");
  if (depth > MAX_DEPTH) hfL_errorf(p->L, "%s: lists in lists deeper than %d", p->file->where, MAX_DEPTH);
  if (--p->left < 0) hfL_errorf(p->L, "%s: more than %d values", p->file->where, MAX_VALUES);
  switch (v->kind) {
    case HF_PICKLE_BOOL: lua_pushboolean(p->L, v->integer != 0); return;
    case HF_PICKLE_INT: lua_pushinteger(p->L, v->integer); return;
    case HF_PICKLE_FLOAT: lua_pushnumber(p->L, v->number); return;
    case HF_PICKLE_TEXT: lua_pushlstring(p->L, v->text, v->size); return;
    case HF_PICKLE_TUPLE: case HF_PICKLE_LIST: push_list(p, v, depth); return;
    case HF_PICKLE_DICT: push_dict(p, v, depth); return;
    case HF_PICKLE_TENSOR: push_tensor(p, v); return;
    default: hfL_push_null(p->L);
  }
}

/*--- torch.load(path): what a file of torch.save holds. The file stays mapped while one of its tensors lives. */
static int torch_load(lua_State *L) {
  HfError err;
  const char *path = hfL_check_path(L, 1);
  HfTorchFile **box = hfL_newbox(L, FILE_BOX);
  if (!(*box = hf_torch_open(path, &err))) hfL_raise(L, &err);
  Push p = {L, *box, MAX_VALUES};
  push_value(&p, (*box)->pickle.root, 0);
  return 1;
}

static int file_close(lua_State *L) {
  HfTorchFile **box = luaL_checkudata(L, 1, FILE_BOX);
  hf_torch_close(*box);
  *box = NULL;
  return 0;
}

int luaopen_hflua_core_torch(lua_State *L) {
  static const luaL_Reg methods[] = {{"__gc", file_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"load", torch_load}, {NULL, NULL}};
  hfL_newclass(L, FILE_BOX, methods);
  luaL_newlib(L, functions);
  return 1;
}
