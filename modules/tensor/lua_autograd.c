/* The tape for Lua: backward, switching it off, operations whose backward is a Lua function, steps. */
#include <string.h>
#include "lua_call.h"
#include "autocast.h"
#include "ops.h"

/* The state that runs the walk at present: backward functions written in Lua are called in it. */
static lua_State *walking;
static bool failed_in_lua; /* the message of the walk begins with its position already */

static bool run_backward(HfCall *c, HfError *err) {
  HfTensor *t = hf_call_tensor(c, 0), *gradient = hf_call_optional_tensor(c, 1);
  bool retain_graph = hf_call_boolean_or(c, 2, false);
  char want[HF_DESCRIPTION_SIZE], found[HF_DESCRIPTION_SIZE];
  if (gradient && !hf_tensor_same_shape(t, gradient))
    return hf_error_set(err, "backward: expected a gradient of the shape of %s, found %s", hf_tensor_describe(t, want),
                        hf_tensor_describe(gradient, found));
  lua_State *outer = walking;
  walking = c->L;
  bool ok = hf_backward(t, gradient, retain_graph, err);
  walking = outer;
  if (!ok && failed_in_lua) {
    failed_in_lua = false;
    lua_pushstring(c->L, err->message);
    lua_error(c->L);
  }
  err->out_of_memory = false; /* part of the gradients is written: a second try would add them twice */
  return ok;
}

const HfLuaOp hf_lua_autograd_ops[] = {
    {"backward", run_backward, .names = {"x", "gradient", "retain_graph"}, .in_place = true},
    {NULL},
};

static int set_grad_enabled(lua_State *L) {
  luaL_checktype(L, 1, LUA_TBOOLEAN);
  return lua_pushboolean(L, hf_tape_set_enabled(lua_toboolean(L, 1))), 1;
}

static int is_grad_enabled(lua_State *L) { return lua_pushboolean(L, hf_tape_enabled()), 1; }

/* set_autocast(device, dtype): the dtype of products there; "float32" switches autocast off. Gives the old one. */
static int set_autocast(lua_State *L) {
  HfError err;
  HfDtype dtype;
  HfDevice *device = hf_device_find(luaL_checkstring(L, 1), &err);
  if (!device) return hfL_raise(L, &err);
  if (!hf_dtype_find(luaL_checkstring(L, 2), &dtype) || !hf_dtype_is_float(dtype))
    hfL_errorf(L, "autocast: dtype: expected bfloat16, float16 or float32, found %s", lua_tostring(L, 2));
  return lua_pushstring(L, hf_dtype_name(hf_autocast_set(device, dtype))), 1;
}

/* ---- operations with a backward in Lua. The registry holds {name, backward, context} while the node lives. */

typedef struct LuaOperation {
  lua_State *main; /* a coroutine may be gone when the node is released */
  int reference;
} LuaOperation;

/* What one call of a backward hands into and out of the protected part. */
typedef struct BackwardCall {
  HfNode *node;
  HfTensor *const *dout;
  HfTensor **dinp;
} BackwardCall;

static void push_shared(lua_State *L, HfTensor *t) {
  if (!t) {
    lua_pushnil(L);
    return;
  }
  HfTensor **box = hfL_new_tensor(L);
  hf_tensor_retain(*box = t);
}

static void check_gradient(lua_State *L, const char *name, int i, const HfEdge *edge, const HfTensor *g) {
  char want[HF_DESCRIPTION_SIZE], found[HF_DESCRIPTION_SIZE];
  bool same = g->ndim == edge->ndim;
  for (int d = 0; d < edge->ndim && same; d++) same = g->shape[d] == edge->shape[d];
  if (!same)
    hfL_errorf(L, "%s: backward: gradient %d: expected shape %s, found %s", name, i + 1, hf_shape_describe(edge->ndim, edge->shape, want),
               hf_tensor_describe(g, found));
}

/* backward(context, dout...) gives one gradient (or nil) for each tensor of the forward. */
static int protected_backward(lua_State *L) {
  BackwardCall *call = lua_touserdata(L, 1);
  HfNode *node = call->node;
  luaL_checkstack(L, node->inputs + node->outputs + 8, "backward");
  lua_rawgeti(L, LUA_REGISTRYINDEX, ((LuaOperation *)node->context)->reference);
  lua_getfield(L, 2, "name");
  const char *name = lua_tostring(L, 3);
  lua_getfield(L, 2, "backward");
  lua_getfield(L, 2, "context");
  for (int i = 0; i < node->outputs; i++) push_shared(L, call->dout[i]);
  lua_call(L, 1 + node->outputs, node->inputs);
  for (int i = 0; i < node->inputs; i++) {
    int at = 4 + i;
    if (lua_isnil(L, at) || !node->wants[i]) continue;
    HfTensor *g = hfL_test_tensor(L, at);
    if (!g) hfL_errorf(L, "%s: backward: gradient %d: expected a tensor or nil, found %s", name, i + 1, luaL_typename(L, at));
    check_gradient(L, name, i, &node->edge[i], g);
  }
  for (int i = 0; i < node->inputs; i++) /* nothing can fail from here on */
    if (node->wants[i] && !lua_isnil(L, 4 + i)) hf_tensor_retain(call->dinp[i] = hfL_test_tensor(L, 4 + i));
  return 0;
}

static bool lua_backward(HfNode *node, HfTensor *const *dout, HfTensor **dinp, HfError *err) {
  lua_State *L = walking;
  BackwardCall call = {node, dout, dinp};
  if (!L || !lua_checkstack(L, node->inputs + node->outputs + 16)) return hf_error_set(err, "backward: no room on the Lua stack");
  int top = lua_gettop(L);
  lua_pushcfunction(L, protected_backward);
  lua_pushlightuserdata(L, &call);
  bool ok = lua_pcall(L, 1, 0, 0) == LUA_OK;
  failed_in_lua = !ok;
  if (!ok) hf_error_set(err, "%s", lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "a backward function in Lua failed");
  lua_settop(L, top);
  return ok;
}

static void lua_release(void *context) {
  LuaOperation *operation = context;
  if (lua_checkstack(operation->main, 4)) luaL_unref(operation->main, LUA_REGISTRYINDEX, operation->reference);
}

static const HfOperation lua_operation = {"custom_op", lua_backward, lua_release, .opaque = true};

static lua_State *main_thread(lua_State *L) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  lua_State *main = lua_tothread(L, -1);
  lua_pop(L, 1);
  return main;
}

/* core.record_lua(entry, inputs, output...): ties the outputs to the entry {name, backward, context}. What is returned shares
 * the numbers of the outputs without being them, so that a context may keep an output. */
static int record_lua(lua_State *L) {
  HfError err;
  HfTensor *inputs[64], *outputs[HF_MAX_OUTPUTS];
  int output_count = lua_gettop(L) - 2;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer input_count = luaL_len(L, 2);
  if (input_count > 64) hfL_errorf(L, "custom_op: at most 64 tensors, found %d", (int)input_count);
  if (output_count < 1 || output_count > HF_MAX_OUTPUTS) hfL_errorf(L, "custom_op: forward must return 1 to %d tensors, found %d", HF_MAX_OUTPUTS, output_count);
  luaL_checkstack(L, (int)input_count + output_count, "custom_op");
  for (int i = 0; i < input_count; i++) {
    lua_rawgeti(L, 2, i + 1);
    inputs[i] = hfL_check_tensor(L, -1);
    lua_pop(L, 1);
  }
  for (int i = 0; i < output_count; i++) {
    HfTensor *made = hfL_test_tensor(L, 3 + i), **box = hfL_new_tensor(L);
    if (!made) hfL_errorf(L, "custom_op: forward must return tensors, found %s", luaL_typename(L, 3 + i));
    if (!(*box = outputs[i] = hf_tensor_detach(made, &err))) return hfL_raise(L, &err);
  }
  lua_pushvalue(L, 1);
  LuaOperation operation = {main_thread(L), luaL_ref(L, LUA_REGISTRYINDEX)};
  HfRecord record = {.operation = &lua_operation, .inputs = inputs, .input_count = (int)input_count, .context = &operation, .context_size = sizeof operation};
  bool recorded = hf_tape_wants(inputs, (int)input_count) && hf_tape_record(outputs, output_count, &record, &err);
  if (!recorded) luaL_unref(L, LUA_REGISTRYINDEX, operation.reference);
  if (!recorded && hf_tape_wants(inputs, (int)input_count)) return hfL_raise(L, &err);
  return output_count;
}

/* ---- dropout by counter: seeds, steps, and the place in a step, which recomputation goes back to */

static int dropout_seed(lua_State *L) { return hf_dropout_seed((uint64_t)luaL_checkinteger(L, 1)), 0; }
static int dropout_begin_step(lua_State *L) { return hf_dropout_begin_step((uint64_t)luaL_checkinteger(L, 1)), 0; }
static int dropout_position(lua_State *L) { return lua_pushinteger(L, (lua_Integer)hf_dropout_position()), 1; }
static int dropout_set_position(lua_State *L) { return hf_dropout_set_position((uint64_t)luaL_checkinteger(L, 1)), 0; }

static int storage_count(lua_State *L) { return lua_pushinteger(L, hf_storage_count()), 1; }

/* Bytes of live tensors on a device, and the most there ever were. */
static int device_bytes(lua_State *L) {
  HfDevice *device = lua_isnoneornil(L, 1) ? hf_device_cpu() : hfL_check_device(L, 1);
  lua_pushinteger(L, device->bytes);
  lua_pushinteger(L, device->peak_bytes);
  return 2;
}

void hf_lua_open_autograd(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"set_grad_enabled", set_grad_enabled}, {"is_grad_enabled", is_grad_enabled}, {"set_autocast", set_autocast}, {"record_lua", record_lua}, {"begin_step", hfL_step_begin},
      {"dropout_seed", dropout_seed}, {"dropout_begin_step", dropout_begin_step}, {"dropout_position", dropout_position},
      {"dropout_set_position", dropout_set_position}, {"storage_count", storage_count}, {"device_bytes", device_bytes}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
