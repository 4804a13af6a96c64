/* Packing for Lua: which tokens of a padded batch are real, and attention over the packed ones. */
#include <math.h>
#include "lua_call.h"
#include "ops.h"

#define HFL_PLAN "hflua.pack_plan"

/* A userdata whose user value is the table of its fields for Lua. cu holds two lists of batch + 1 entries: where each row
 * begins among the packed tokens, and 0, 1, 2 ... for one query in each row. */
typedef struct PackPlan {
  int64_t batch, length, tokens;
  int32_t cu[];
} PackPlan;

/* Reads the mask (B, T) as bytes into a new userdata at the top; NULL (nothing pushed beyond it) when some value is neither 0 nor 1. */
static const uint8_t *push_mask(lua_State *L, HfTensor *mask) {
  HfError err;
  int64_t n = hf_tensor_numel(mask);
  HfTensor **box = hfL_new_tensor(L);
  if (!(*box = hf_cast(mask, HF_FLOAT32, &err))) hfL_raise(L, &err);
  float *numbers = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *numbers, 0);
  if (!hf_tensor_read(*box, numbers, &err)) hfL_raise(L, &err);
  uint8_t *bytes = (uint8_t *)numbers;
  for (int64_t i = 0; i < n; i++) {
    if (numbers[i] != 0 && numbers[i] != 1) return NULL;
    bytes[i] = numbers[i] == 1; /* byte i lies at or before number i */
  }
  return bytes;
}

/* Counts the real tokens of each row into plan->cu; the first row without any (counted from 1), or 0. */
static int64_t count_tokens(PackPlan *plan, const uint8_t *mask) {
  for (int64_t b = 0; b < plan->batch; b++) {
    int64_t before = plan->tokens;
    for (int64_t t = 0; t < plan->length; t++) plan->tokens += mask[b * plan->length + t];
    if (plan->tokens == before) return b + 1;
    plan->cu[b + 1] = (int32_t)plan->tokens;
    plan->cu[plan->batch + 2 + b] = (int32_t)b + 1;
  }
  return 0;
}

/* Pushes an int64 tensor of n host numbers on the device of `like`. */
static void push_index(lua_State *L, const int64_t *host, int64_t n, const HfTensor *like) {
  HfError err;
  HfTensor **box = hfL_new_tensor(L);
  *box = hf_tensor_from(HF_INT64, 1, &n, host, hf_tensor_device(like), &err);
  if (!*box) hfL_raise(L, &err);
}

/* Fields index and positions (N), first_rows and last_rows (B) of the table at `fields`. */
static void set_index_fields(lua_State *L, int fields, const PackPlan *plan, const uint8_t *mask, const HfTensor *like) {
  int64_t *index = lua_newuserdatauv(L, (size_t)plan->tokens * sizeof *index, 0);
  int64_t *positions = lua_newuserdatauv(L, (size_t)plan->tokens * sizeof *positions, 0);
  for (int64_t i = 0, n = 0; i < plan->batch * plan->length; i++)
    if (mask[i]) positions[n] = i % plan->length, index[n++] = i;
  push_index(L, index, plan->tokens, like);
  lua_setfield(L, fields, "index");
  push_index(L, positions, plan->tokens, like);
  lua_setfield(L, fields, "positions");
  for (int64_t b = 0; b < plan->batch; b++) index[b] = plan->cu[b];
  push_index(L, index, plan->batch, like);
  lua_setfield(L, fields, "first_rows");
  for (int64_t b = 0; b < plan->batch; b++) index[b] = plan->cu[b + 1] - 1;
  push_index(L, index, plan->batch, like);
  lua_setfield(L, fields, "last_rows");
}

static void set_counts(lua_State *L, int fields, const PackPlan *plan) {
  lua_pushinteger(L, plan->batch), lua_setfield(L, fields, "batch");
  lua_pushinteger(L, plan->length), lua_setfield(L, fields, "length");
  lua_pushinteger(L, plan->tokens), lua_setfield(L, fields, "tokens");
  lua_pushboolean(L, plan->tokens == plan->batch * plan->length), lua_setfield(L, fields, "full");
}

/* core.pack_plan(attention_mask) -> plan, or nil and why the batch cannot be packed. */
static int pack_plan(lua_State *L) {
  HfTensor *mask = hfL_check_tensor(L, 1);
  if (mask->ndim != 2) return lua_pushnil(L), lua_pushliteral(L, "the mask is not (batch, length)"), 2;
  if (hf_tensor_numel(mask) > INT32_MAX) return lua_pushnil(L), lua_pushliteral(L, "the batch has more than 2^31 tokens"), 2;
  const uint8_t *real = push_mask(L, mask);
  if (!real) return lua_pushnil(L), lua_pushliteral(L, "the mask holds values other than 0 and 1"), 2;
  int64_t batch = mask->shape[0];
  size_t bytes = sizeof(PackPlan) + 2 * (size_t)(batch + 1) * sizeof(int32_t);
  PackPlan *plan = lua_newuserdatauv(L, bytes, 1);
  *plan = (PackPlan){.batch = batch, .length = mask->shape[1]};
  plan->cu[0] = plan->cu[batch + 1] = 0;
  int64_t empty = count_tokens(plan, real);
  if (empty || !batch) return lua_pushnil(L), lua_pushfstring(L, "row %I has no real token", (lua_Integer)empty), 2;
  int at = lua_gettop(L);
  luaL_setmetatable(L, HFL_PLAN);
  lua_newtable(L);
  set_counts(L, at + 1, plan);
  set_index_fields(L, at + 1, plan, real, mask);
  lua_settop(L, at + 1);
  lua_setiuservalue(L, at, 1);
  return 1;
}

static int plan_index(lua_State *L) {
  luaL_checkudata(L, 1, HFL_PLAN);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

/* Packed q (N, heads, D) or, with first_only, one query in each row (B, heads, D); k, v (N, kv_heads, D). */
static bool run_attention(HfCall *c, HfError *err) {
  HfTensor *q = hf_call_tensor(c, 0), *k = hf_call_tensor(c, 1), *v = hf_call_tensor(c, 2);
  PackPlan *plan = luaL_testudata(c->L, 4, HFL_PLAN);
  bool first_only = hf_call_boolean_or(c, 7, false);
  char text[HF_DESCRIPTION_SIZE];
  if (!plan) hf_call_error(c, 3, "expected a plan of pack_plan, found %s", luaL_typename(c->L, 4));
  int64_t queries = first_only ? plan->batch : plan->tokens;
  if (q->ndim != 3 || q->shape[0] != queries) hf_call_error(c, 0, "expected (%lld, heads, D), found %s", (long long)queries, hf_tensor_describe(q, text));
  if (k->ndim != 3 || k->shape[0] != plan->tokens) hf_call_error(c, 1, "expected (%lld, heads, D), found %s", (long long)plan->tokens, hf_tensor_describe(k, text));
  double scale = hf_call_number_or(c, 5, 1 / sqrt((double)q->shape[2]));
  const int32_t *cu_q = first_only ? plan->cu + plan->batch + 1 : plan->cu;
  bool causal = hf_call_boolean_or(c, 4, false);
  return hf_call_return(c, hf_attention(q, k, v, cu_q, plan->cu, plan->batch, causal, scale, hf_call_number_or(c, 6, 0), err));
}

/* The same for rows of equal length, without a mask: q (B, T, heads, D), k, v (B, S, kv_heads, D). */
static bool run_attention_rows(HfCall *c, HfError *err) {
  HfTensor *t[3] = {NULL}, *out = NULL, *given[3];
  char text[HF_DESCRIPTION_SIZE];
  for (int i = 0; i < 3; i++) {
    given[i] = hf_call_tensor(c, i);
    if (given[i]->ndim != 4 || given[i]->shape[0] != given[0]->shape[0] || given[i]->shape[0] * given[i]->shape[1] > INT32_MAX)
      hf_call_error(c, i, "expected (batch, length, heads, D), found %s", hf_tensor_describe(given[i], text));
  }
  int64_t batch = given[0]->shape[0], queries = given[0]->shape[1], keys = given[1]->shape[1];
  int causal = hf_call_boolean_or(c, 3, false);
  double scale = hf_call_number_or(c, 4, 1 / sqrt((double)given[0]->shape[3])), dropout = hf_call_number_or(c, 5, 0);
  int32_t *cu = lua_newuserdatauv(c->L, 2 * (size_t)(batch + 1) * sizeof *cu, 0);
  for (int64_t b = 0; b <= batch; b++) cu[b] = (int32_t)(b * queries), cu[batch + 1 + b] = (int32_t)(b * keys);
  bool ok = true;
  for (int i = 0; i < 3 && ok; i++) ok = (t[i] = hf_reshape(given[i], 3, (int64_t[]){-1, given[i]->shape[2], given[i]->shape[3]}, err)) != NULL;
  if (ok) out = hf_attention(t[0], t[1], t[2], cu, cu + batch + 1, batch, causal, scale, dropout, err);
  HfTensor *shaped = out ? hf_reshape(out, 4, given[0]->shape, err) : NULL;
  for (int i = 0; i < 3; i++) hf_tensor_release(t[i]);
  hf_tensor_release(out);
  return hf_call_return(c, shaped);
}

static const HfLuaOp packed_ops[] = {
    {"attention", run_attention, .names = {"q", "k", "v", "plan", "causal", "scale", "dropout", "first_only"}, .required = 4},
    {"attention_rows", run_attention_rows, .names = {"q", "k", "v", "causal", "scale", "dropout"}, .required = 3},
    {NULL},
};

void hf_lua_open_pack(lua_State *L) {
  static const luaL_Reg methods[] = {{NULL, NULL}};
  hfL_newclass(L, HFL_PLAN, methods);
  lua_pushcfunction(L, plan_index);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
  lua_pushcfunction(L, pack_plan);
  lua_setfield(L, -2, "pack_plan");
  hf_call_register(L, -1, packed_ops);
}
