/* Tensors in Lua: boxes, arguments, and the collector's knowledge of tensor bytes.
 *
 *   HfTensor **box = hfL_new_tensor(L);             // pushed empty, before anything can fail
 *   *box = hf_gelu(hfL_check_tensor(L, 1), &err);   // the box owns the reference from here on
 *   if (!*box) return hfL_raise(L, &err);
 *
 * A binding borrows its operands from the Lua stack, so whatever may run the collector comes before that.
 */
#ifndef HF_LUA_AUX_TENSOR_H
#define HF_LUA_AUX_TENSOR_H
#include "lua_aux.h"
#include "tensor.h"

#define HFL_TENSOR "hflua.tensor"

/* Pushes an empty tensor box and gives the place of its pointer; valid while the box is on the stack. */
HfTensor **hfL_new_tensor(lua_State *L);
/* Pushes a box that takes the caller's reference; the reference is dropped when Lua has no memory for the box. */
void hfL_push_tensor(lua_State *L, HfTensor *t);

/* The tensor at idx, borrowed. check: a Lua error when it is anything else; test: NULL then. Both raise for a tensor that
 * hf.step released. */
HfTensor *hfL_check_tensor(lua_State *L, int idx);
HfTensor *hfL_test_tensor(lua_State *L, int idx);

/* "float32", "long", ...: a Lua error that names the field and lists the dtypes when there is none of that name. */
HfDtype hfL_check_dtype(lua_State *L, int idx);
HfDtype hfL_opt_dtype(lua_State *L, int idx, const char *field, HfDtype fallback); /* nil or none at idx is fine */
HfDevice *hfL_check_device(lua_State *L, int idx);
HfDevice *hfL_opt_device(lua_State *L, int idx, const char *field, HfDevice *fallback);
/* Reads a sequence of at most HF_MAX_DIMS whole numbers; returns how many. `what` begins the error message. */
int hfL_check_sizes(lua_State *L, int idx, const char *what, int64_t out[HF_MAX_DIMS]);

/* Runs `work`; when it ends for lack of memory, collects all garbage and runs it once more. Lets the collector run first
 * when enough tensor bytes were allocated since the last time. */
typedef bool (*HfLuaWork)(void *data, HfError *err);
bool hfL_run(lua_State *L, HfLuaWork work, void *data, HfError *err);

/* __gc and __close of a box. */
int hfL_tensor_close(lua_State *L);

/* hf.step: pushes a guard; when it is closed, boxes made since then are emptied, unless kept. Steps nest. */
int hfL_step_begin(lua_State *L);
void hfL_keep_tensor(lua_State *L, int idx);

#endif
