/* Graphs for Lua: a function's work on the device recorded and launched. The rest is in hflua.tensor.graph. */
#include <string.h>
#include "graph.h"
#include "lua_call.h"

#define HFL_GRAPH "hflua.graph"

/* How a function that failed while it was recorded is told: by what the recording refused, at the function's line where its own error
 * says the same. The function's error is at the top. */
static int raise_failure(lua_State *L, bool was_refused, const HfError *refusal) {
  const char *own = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  if (!was_refused || (own && strstr(own, refusal->message))) return lua_error(L);
  return hfL_raise(L, refusal);
}

/* core.graph_record(keeps_copies, fn, ...) -> the graph, what fn(...) returned. Nothing was done on the device yet. fn cannot yield:
 * others would be recorded meanwhile. */
static int graph_record(lua_State *L) {
  HfError err;
  bool keeps_copies = lua_toboolean(L, 1);
  HfDevice *device = hf_graph_device();
  if (!device) hfL_errorf(L, "graph: no device in use has graphs");
  HfReplay **box = hfL_newbox(L, HFL_GRAPH);
  lua_replace(L, 1);
  if (!hf_graph_begin(device, keeps_copies, &err)) return hfL_raise(L, &err);
  bool ok = lua_pcall(L, lua_gettop(L) - 2, LUA_MULTRET, 0) == LUA_OK;
  if (!ok) {
    bool was_refused = hf_graph_abandon(&err);
    return raise_failure(L, was_refused, &err);
  }
  if (!(*box = hf_graph_end(&err))) return hfL_raise(L, &err);
  return lua_gettop(L);
}

static int graph_launch(lua_State *L) {
  HfError err;
  if (!hf_graph_launch(hfL_checkbox(L, 1, HFL_GRAPH), &err)) return hfL_raise(L, &err);
  return 0;
}

/* graph:fits() -> are gradients as they were when it was recorded? */
static int graph_fits(lua_State *L) { return lua_pushboolean(L, hf_graph_fits(hfL_checkbox(L, 1, HFL_GRAPH))), 1; }

/* graph:result(x) -> x without history, known to be written by each launch. */
static int graph_result(lua_State *L) {
  HfError err;
  HfReplay *replay = hfL_checkbox(L, 1, HFL_GRAPH);
  HfTensor *t = hfL_check_tensor(L, 2), **box = hfL_new_tensor(L);
  if (!(*box = hf_tensor_detach(t, &err)) || !hf_graph_add_result(replay, t, &err)) return hfL_raise(L, &err);
  return 1;
}

static int graph_free(lua_State *L) {
  HfReplay **box = luaL_checkudata(L, 1, HFL_GRAPH);
  hf_graph_free(*box);
  *box = NULL;
  return 0;
}

/* core.graphs_work() -> is a device in use that has graphs, and nothing recorded at present? */
static int graphs_work(lua_State *L) { return lua_pushboolean(L, hf_graph_device() && !hf_graph_recording()), 1; }

void hf_lua_open_graph(lua_State *L) {
  static const luaL_Reg methods[] = {{"launch", graph_launch}, {"fits", graph_fits}, {"result", graph_result}, {"free", graph_free}, {"__gc", graph_free}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"graph_record", graph_record}, {"graphs_work", graphs_work}, {NULL, NULL}};
  hfL_newclass(L, HFL_GRAPH, methods);
  lua_pop(L, 1);
  luaL_setfuncs(L, functions, 0);
}
