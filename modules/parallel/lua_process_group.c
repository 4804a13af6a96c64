/* hflua.core.process_group: the processes of a run for Lua. lua/hflua/process_group.lua is what the rest of hflua uses.
 *
 * All functions but launched() join the group; those that exchange something are called by all processes in the same order. */
#include "gradient_exchange.h"
#include "lua_aux_tensor.h"
#include "process_group.h"
#include <string.h>

#define EXCHANGE "hflua.gradient_exchange"

static const HfProcessGroup *check_group(lua_State *L) {
  HfError err;
  const HfProcessGroup *group = hf_process_group(&err);
  if (!group) hfL_raise(L, &err);
  return group;
}

/* launched() -> rank, number of processes, as the launcher says; nothing is opened. */
static int group_launched(lua_State *L) {
  lua_pushinteger(L, hf_launched_rank());
  lua_pushinteger(L, hf_launched_size());
  return 2;
}

/* info() -> rank, size, local rank, local size */
static int group_info(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  const int numbers[] = {g->rank, g->size, g->local_rank, g->local_size};
  for (int i = 0; i < 4; i++) lua_pushinteger(L, numbers[i]);
  return 4;
}

static int group_barrier(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  if (g->transport) g->transport->barrier(HF_CHANNEL_MAIN);
  return 0;
}

/* ---- bytes */

/* Space that the collector frees. */
static void *scratch(lua_State *L, int64_t bytes) { return lua_newuserdatauv(L, (size_t)bytes + 1, 0); }

/* broadcast(text, root): the text of process `root` in all of them; the others' is not looked at. */
static int group_broadcast(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  int root = (int)luaL_optinteger(L, 2, 0);
  size_t length = 0;
  const char *text = g->rank == root ? luaL_checklstring(L, 1, &length) : NULL;
  if (!g->transport) return lua_pushvalue(L, 1), 1;
  int64_t size = (int64_t)length;
  g->transport->broadcast(&size, sizeof size, root);
  char *bytes = scratch(L, size);
  if (text) memcpy(bytes, text, length);
  g->transport->broadcast(bytes, size, root);
  lua_pushlstring(L, bytes, (size_t)size);
  return 1;
}

/* The length of a text and as much of it as goes with the first exchange, which is enough for most. */
typedef struct Opening {
  int64_t length;
  char text[120];
} Opening;

static int64_t largest_of(const Opening *openings, int count) {
  int64_t largest = 0;
  for (int r = 0; r < count; r++) largest = openings[r].length > largest ? openings[r].length : largest;
  return largest;
}

/* Whole texts, `room` bytes apart. */
static const char *gather_whole(lua_State *L, const HfProcessGroup *g, const char *text, size_t length, int64_t room) {
  char *mine = scratch(L, room), *all = scratch(L, room * g->size);
  memcpy(mine, text, length);
  memset(mine + length, 0, (size_t)room - length);
  g->transport->all_gather(all, mine, room);
  return all;
}

/* all_gather(text) -> { text of process 0, of 1, ... } */
static int group_all_gather(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  size_t length;
  const char *text = luaL_checklstring(L, 1, &length);
  lua_settop(L, 1);
  lua_createtable(L, g->size, 0);
  if (!g->transport) return lua_pushvalue(L, 1), lua_rawseti(L, 2, 1), 1;
  Opening own = {.length = (int64_t)length}, *openings = scratch(L, g->size * (int64_t)sizeof own);
  memcpy(own.text, text, length < sizeof own.text ? length : sizeof own.text);
  g->transport->all_gather(openings, &own, sizeof own);
  int64_t room = largest_of(openings, g->size);
  const char *all = room > (int64_t)sizeof own.text ? gather_whole(L, g, text, length, room) : NULL;
  for (int r = 0; r < g->size; r++) {
    lua_pushlstring(L, all ? all + r * room : openings[r].text, (size_t)openings[r].length);
    lua_rawseti(L, 2, r + 1);
  }
  return lua_settop(L, 2), 1;
}

/* all_gather_numbers(x) -> { x of process 0, of 1, ... }, as floats */
static int group_all_gather_numbers(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  double own = luaL_checknumber(L, 1), *all = scratch(L, g->size * (int64_t)sizeof own);
  if (g->transport) g->transport->all_gather(all, &own, sizeof own);
  else *all = own;
  lua_createtable(L, g->size, 0);
  for (int r = 0; r < g->size; r++) {
    lua_pushnumber(L, all[r]);
    lua_rawseti(L, -2, r + 1);
  }
  return 1;
}

static HfReduce check_reduce(lua_State *L, int idx) {
  static const char *const names[] = {"sum", "max", "min", NULL};
  static const HfReduce kinds[] = {HF_SUM, HF_MAX, HF_MIN};
  return kinds[luaL_checkoption(L, idx, "sum", names)];
}

/* ---- tensors. Numbers go through the memory of the host, whatever the device. */

/* A contiguous copy of the numbers on the stack's own memory. */
static void *read_tensor(lua_State *L, const HfTensor *t) {
  HfError err;
  void *numbers = scratch(L, (int64_t)hf_tensor_bytes(t));
  if (!hf_tensor_read(t, numbers, &err)) hfL_raise(L, &err);
  return numbers;
}

static int push_like(lua_State *L, const HfTensor *t, int ndim, const int64_t *shape, const void *numbers) {
  HfError err;
  HfTensor **box = hfL_new_tensor(L);
  if (!(*box = hf_tensor_from(t->dtype, ndim, shape, numbers, hf_tensor_device(t), &err))) return hfL_raise(L, &err);
  return 1;
}

/* all_reduce(tensor, "sum" | "max" | "min") -> a new tensor; float32 or int64 */
static int group_all_reduce(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  HfTensor *t = hfL_check_tensor(L, 1);
  char text[HF_DESCRIPTION_SIZE];
  HfReduce op = check_reduce(L, 2);
  if (t->dtype != HF_FLOAT32 && t->dtype != HF_INT64) hfL_errorf(L, "all_reduce: expected float32 or int64 numbers, found %s", hf_tensor_describe(t, text));
  void *numbers = read_tensor(L, t);
  if (g->transport) g->transport->all_reduce(HF_CHANNEL_MAIN, numbers, hf_tensor_numel(t), t->dtype, op);
  return push_like(L, t, t->ndim, t->shape, numbers);
}

/* all_gather_tensor(tensor): those of all processes, of one shape with at least one dim, one behind the other along dim 0 */
static int group_all_gather_tensor(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  HfTensor *t = hfL_check_tensor(L, 1);
  int64_t shape[HF_MAX_DIMS], bytes = (int64_t)hf_tensor_bytes(t);
  luaL_argcheck(L, t->ndim > 0, 1, "expected a tensor with dims");
  if (!g->transport) return lua_settop(L, 1), 1;
  memcpy(shape, t->shape, sizeof shape);
  shape[0] *= g->size;
  void *mine = read_tensor(L, t), *all = scratch(L, bytes * g->size);
  g->transport->all_gather(all, mine, bytes);
  return push_like(L, t, t->ndim, shape, all);
}

/* broadcast_tensors({...}, root): the numbers of process `root`, in place */
static int group_broadcast_tensors(lua_State *L) {
  const HfProcessGroup *g = check_group(L);
  HfError err;
  int root = (int)luaL_optinteger(L, 2, 0);
  luaL_checktype(L, 1, LUA_TTABLE);
  for (lua_Integer i = 1, count = luaL_len(L, 1); i <= count && g->transport; i++, lua_settop(L, 2)) {
    lua_rawgeti(L, 1, i);
    HfTensor *t = hfL_check_tensor(L, -1), **copy = hfL_new_tensor(L);
    void *numbers = read_tensor(L, t);
    g->transport->broadcast(numbers, (int64_t)hf_tensor_bytes(t), root);
    *copy = hf_tensor_from(t->dtype, t->ndim, t->shape, numbers, hf_tensor_device(t), &err);
    if (!*copy || !hf_tensor_copy_(t, *copy, &err)) return hfL_raise(L, &err);
  }
  return 0;
}

/* average_on_device(tensor): in place, by the device's collectives (NCCL) alone */
static int group_average_on_device(lua_State *L) {
  HfError err;
  if (!hf_average_on_device(hfL_check_tensor(L, 1), &err)) return hfL_raise(L, &err);
  return 0;
}

/* ---- the gradient exchange */

/* exchange(parameters, bucket_bytes) */
static int exchange_new(lua_State *L) {
  HfError err;
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 1), bytes = luaL_checkinteger(L, 2);
  luaL_argcheck(L, count < INT32_MAX && bytes > 0, 2, "expected a number above 0");
  HfTensor **list = scratch(L, count * (lua_Integer)sizeof *list);
  for (lua_Integer i = 0; i < count; i++) {
    lua_rawgeti(L, 1, i + 1);
    list[i] = hfL_check_tensor(L, -1);
    lua_pop(L, 1);
  }
  HfGradientExchange **box = hfL_newbox(L, EXCHANGE);
  if (!(*box = hf_gradient_exchange_new(list, (int)count, (size_t)bytes, &err))) return hfL_raise(L, &err);
  return 1;
}

/* exchange:begin(): the next backward is the last one before finish */
static int exchange_begin(lua_State *L) { return hf_gradient_exchange_begin(hfL_checkbox(L, 1, EXCHANGE)), 0; }

/* exchange:finish(): the gradients are means over the processes */
static int exchange_finish(lua_State *L) {
  HfError err;
  if (!hf_gradient_exchange_finish(hfL_checkbox(L, 1, EXCHANGE), &err)) return hfL_raise(L, &err);
  return 0;
}

/* exchange:buckets() -> how many, how many of the last step were exchanged behind the backward */
static int exchange_buckets(lua_State *L) {
  HfGradientExchange *x = hfL_checkbox(L, 1, EXCHANGE);
  lua_pushinteger(L, hf_gradient_exchange_buckets(x));
  lua_pushinteger(L, hf_gradient_exchange_overlapped(x));
  return 2;
}

/* exchange:detour() -> why the device's own collectives are not used; nil when they are */
static int exchange_detour(lua_State *L) { return lua_pushstring(L, hf_gradient_exchange_detour(hfL_checkbox(L, 1, EXCHANGE))), 1; }

static int exchange_close(lua_State *L) {
  HfGradientExchange **box = luaL_checkudata(L, 1, EXCHANGE);
  hf_gradient_exchange_release(*box);
  *box = NULL;
  return 0;
}

int luaopen_hflua_core_process_group(lua_State *L) {
  static const luaL_Reg methods[] = {{"begin", exchange_begin},   {"finish", exchange_finish}, {"buckets", exchange_buckets}, {"detour", exchange_detour},
                                     {"close", exchange_close},   {"__gc", exchange_close},    {NULL, NULL}};
  static const luaL_Reg functions[] = {
      {"launched", group_launched},     {"info", group_info},         {"barrier", group_barrier},
      {"broadcast", group_broadcast},   {"all_gather", group_all_gather}, {"all_gather_numbers", group_all_gather_numbers}, {"all_reduce", group_all_reduce},
      {"all_gather_tensor", group_all_gather_tensor}, {"broadcast_tensors", group_broadcast_tensors},
      {"average_on_device", group_average_on_device}, {"exchange", exchange_new}, {NULL, NULL}};
  hfL_newclass(L, EXCHANGE, methods);
  luaL_newlib(L, functions);
  return 1;
}
