/* Packing for Lua: which tokens of a padded batch are real, and attention over the packed ones. */
#include <math.h>
#include "lua_call.h"
#include "ops.h"

#define HFL_PLAN "hflua.pack_plan"

/* A userdata whose user value is the table of its fields for Lua. Keys and values are always those of the real tokens; queries
 * are too, or every position of the batch when the plan is whole. A row is one sequence, or several that cannot see each other.
 * cu holds four lists: where each sequence begins among the real tokens and among the queries (sequences + 1 entries each), where
 * each row begins among the queries, and 0, 1, 2 ... for one query in each row (batch + 1 entries each). */
typedef struct PackPlan {
  int64_t batch, length, tokens, queries, sequences;
  int32_t cu[];
} PackPlan;

static int32_t *cu_keys(PackPlan *plan) { return plan->cu; }
static int32_t *cu_queries(PackPlan *plan) { return plan->cu + plan->sequences + 1; }
static int32_t *cu_rows(PackPlan *plan) { return plan->cu + 2 * (plan->sequences + 1); }
static int32_t *cu_first(PackPlan *plan) { return cu_rows(plan) + plan->batch + 1; }

/* t's numbers on the host in dtype, in a new box at the top; waits for the device unless they are known here. */
static HfTensor *push_near(lua_State *L, HfTensor *t, HfDtype dtype) {
  HfError err;
  HfTensor **box = hfL_new_tensor(L), *near = hf_to_device(t, hf_device_cpu(), &err);
  *box = near ? hf_cast(near, dtype, &err) : NULL;
  hf_tensor_release(near);
  if (!*box) hfL_raise(L, &err);
  return *box;
}

/* Reads the mask (B, T) as bytes into a new userdata at the top; NULL (nothing pushed beyond it) when some value is neither 0 nor 1. */
static const uint8_t *push_mask(lua_State *L, HfTensor *mask) {
  HfError err;
  int64_t n = hf_tensor_numel(mask);
  const HfTensor *near = push_near(L, mask, HF_FLOAT32);
  float *numbers = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *numbers, 0);
  if (!hf_tensor_read(near, numbers, &err)) hfL_raise(L, &err);
  uint8_t *bytes = (uint8_t *)numbers;
  for (int64_t i = 0; i < n; i++) {
    if (numbers[i] != 0 && numbers[i] != 1) return NULL;
    bytes[i] = numbers[i] == 1; /* byte i lies at or before number i */
  }
  return bytes;
}

/* Position ids (B, T) as whole numbers in a new userdata at the top; NULL, and nothing pushed, without any. */
static const int64_t *push_positions(lua_State *L, int index, const HfTensor *mask) {
  HfError err;
  if (lua_isnoneornil(L, index)) return NULL;
  HfTensor *given = hfL_check_tensor(L, index);
  if (!hf_tensor_same_shape(given, mask)) luaL_argerror(L, index, "position ids must have the shape of the mask");
  const HfTensor *near = push_near(L, given, HF_INT64);
  int64_t *numbers = lua_newuserdatauv(L, (size_t)hf_tensor_numel(mask) * sizeof *numbers, 0);
  if (!hf_tensor_read(near, numbers, &err)) hfL_raise(L, &err);
  return numbers;
}

/* Does another sequence begin at this place of the batch? Where a row begins, and where positions do not go on by one. */
static bool begins_sequence(const int64_t *positions, int64_t i, int64_t length) {
  return i % length == 0 || (positions && positions[i] != positions[i - 1] + 1);
}

static int64_t count_sequences(const int64_t *positions, int64_t batch, int64_t length) {
  if (!positions) return batch;
  int64_t count = 0;
  for (int64_t i = 0; i < batch * length; i++) count += begins_sequence(positions, i, length);
  return count;
}

/* Fills the lists; returns the first row without a real token (counted from 1), or 0. */
static int64_t count_tokens(PackPlan *plan, const uint8_t *mask, const int64_t *positions, bool whole) {
  int64_t empty = 0, sequence = 0, before = 0;
  for (int64_t i = 0; i < plan->batch * plan->length; i++) {
    int64_t queries = whole ? i : plan->tokens;
    if (begins_sequence(positions, i, plan->length)) cu_keys(plan)[sequence] = (int32_t)plan->tokens, cu_queries(plan)[sequence++] = (int32_t)queries;
    if (i % plan->length == 0) before = plan->tokens, cu_rows(plan)[i / plan->length] = (int32_t)queries;
    plan->tokens += mask[i];
    if ((i + 1) % plan->length == 0 && plan->tokens == before && !empty) empty = i / plan->length + 1;
  }
  plan->queries = whole ? plan->batch * plan->length : plan->tokens;
  cu_keys(plan)[sequence] = (int32_t)plan->tokens;
  cu_queries(plan)[sequence] = cu_rows(plan)[plan->batch] = (int32_t)plan->queries;
  for (int64_t b = 0; b <= plan->batch; b++) cu_first(plan)[b] = (int32_t)b;
  return empty;
}

/* Pushes an int64 tensor of n host numbers on the device of `like`. */
static void push_index(lua_State *L, const int64_t *host, int64_t n, const HfTensor *like) {
  HfError err;
  HfTensor **box = hfL_new_tensor(L);
  *box = hf_tensor_from(HF_INT64, 1, &n, host, hf_tensor_device(like), &err);
  if (!*box) hfL_raise(L, &err);
}

static void set_index_field(lua_State *L, int fields, const char *name, const int64_t *host, int64_t n, const HfTensor *like) {
  push_index(L, host, n, like);
  lua_setfield(L, fields, name);
}

/* index: the real tokens among all positions; positions: the column of each query; first_rows, last_rows: the first and last
 * query of each row. */
static void set_index_fields(lua_State *L, int fields, PackPlan *plan, const uint8_t *mask, const HfTensor *like) {
  int64_t all = plan->batch * plan->length, *index = lua_newuserdatauv(L, (size_t)(all + 1) * sizeof *index, 0);
  int64_t *positions = lua_newuserdatauv(L, (size_t)(all + 1) * sizeof *positions, 0), n = 0, q = 0;
  bool whole = plan->queries != plan->tokens;
  for (int64_t i = 0; i < all; i++) {
    if (mask[i]) index[n++] = i;
    if (mask[i] || whole) positions[q++] = i % plan->length;
  }
  set_index_field(L, fields, "index", index, plan->tokens, like);
  set_index_field(L, fields, "positions", positions, plan->queries, like);
  for (int64_t b = 0; b < plan->batch; b++) index[b] = cu_rows(plan)[b], positions[b] = cu_rows(plan)[b + 1] - 1;
  set_index_field(L, fields, "first_rows", index, plan->batch, like);
  set_index_field(L, fields, "last_rows", positions, plan->batch, like);
}

static void set_counts(lua_State *L, int fields, const PackPlan *plan, const uint8_t *mask) {
  bool starts = true;
  for (int64_t b = 0; b < plan->batch; b++) starts = starts && mask[b * plan->length];
  lua_pushinteger(L, plan->batch), lua_setfield(L, fields, "batch");
  lua_pushinteger(L, plan->length), lua_setfield(L, fields, "length");
  lua_pushinteger(L, plan->tokens), lua_setfield(L, fields, "tokens");
  lua_pushinteger(L, plan->queries), lua_setfield(L, fields, "queries");
  lua_pushinteger(L, plan->sequences), lua_setfield(L, fields, "sequences");
  lua_pushboolean(L, plan->tokens == plan->batch * plan->length), lua_setfield(L, fields, "full");
  lua_pushboolean(L, starts), lua_setfield(L, fields, "starts_with_tokens");
}

/* core.pack_plan(attention_mask[, whole[, position_ids]]) -> plan, or nil and why the batch cannot be packed. whole: every position
 * is a query, real or not, and rows without a real token are allowed. position_ids: where they do not go on by one, another
 * sequence begins, which sees nothing of the one before. */
static int pack_plan(lua_State *L) {
  HfTensor *mask = hfL_check_tensor(L, 1);
  bool whole = lua_toboolean(L, 2);
  lua_settop(L, 3);
  if (mask->ndim != 2) return lua_pushnil(L), lua_pushliteral(L, "the mask is not (batch, length)"), 2;
  if (hf_tensor_numel(mask) > INT32_MAX) return lua_pushnil(L), lua_pushliteral(L, "the batch has more than 2^31 tokens"), 2;
  if (!hf_tensor_numel(mask)) return lua_pushnil(L), lua_pushliteral(L, "the mask is empty"), 2;
  const uint8_t *real = push_mask(L, mask);
  if (!real) return lua_pushnil(L), lua_pushliteral(L, "the mask holds values other than 0 and 1"), 2;
  const int64_t *positions = push_positions(L, 3, mask);
  int64_t batch = mask->shape[0], sequences = count_sequences(positions, batch, mask->shape[1]);
  PackPlan *plan = lua_newuserdatauv(L, sizeof(PackPlan) + 2 * (size_t)(batch + sequences + 2) * sizeof(int32_t), 1);
  *plan = (PackPlan){.batch = batch, .length = mask->shape[1], .sequences = sequences};
  int64_t empty = count_tokens(plan, real, positions, whole);
  if (empty && !whole) return lua_pushnil(L), lua_pushfstring(L, "row %I has no real token", (lua_Integer)empty), 2;
  int at = lua_gettop(L);
  luaL_setmetatable(L, HFL_PLAN);
  lua_newtable(L);
  set_counts(L, at + 1, plan, real);
  set_index_fields(L, at + 1, plan, real, mask);
  lua_settop(L, at + 1);
  lua_setiuservalue(L, at, 1);
  return 1;
}

const int32_t *hfL_check_plan(lua_State *L, int idx, int64_t *rows) {
  PackPlan *plan = luaL_checkudata(L, idx, HFL_PLAN);
  if (plan->queries != plan->tokens) hfL_errorf(L, "attention: a cache takes the real tokens of a batch, and this plan computes padding too");
  *rows = plan->batch;
  return cu_keys(plan);
}

static int plan_index(lua_State *L) {
  luaL_checkudata(L, 1, HFL_PLAN);
  lua_getiuservalue(L, 1, 1);
  lua_pushvalue(L, 2);
  lua_rawget(L, -2);
  return 1;
}

/* q (queries, heads, D) or, with first_only, one query in each row (B, heads, D); k, v of the real tokens (tokens, kv_heads, D). */
static bool run_attention(HfCall *c, HfError *err) {
  HfTensor *q = hf_call_tensor(c, 0), *k = hf_call_tensor(c, 1), *v = hf_call_tensor(c, 2);
  PackPlan *plan = luaL_testudata(c->L, 4, HFL_PLAN);
  bool first_only = hf_call_boolean_or(c, 7, false);
  char text[HF_DESCRIPTION_SIZE];
  if (!plan) hf_call_error(c, 3, "expected a plan of pack_plan, found %s", luaL_typename(c->L, 4));
  if (first_only && plan->sequences != plan->batch) hf_call_error(c, 7, "expected one sequence in each row");
  int64_t queries = first_only ? plan->batch : plan->queries;
  if (q->ndim != 3 || q->shape[0] != queries) hf_call_error(c, 0, "expected (%lld, heads, D), found %s", (long long)queries, hf_tensor_describe(q, text));
  if (k->ndim != 3 || k->shape[0] != plan->tokens) hf_call_error(c, 1, "expected (%lld, heads, D), found %s", (long long)plan->tokens, hf_tensor_describe(k, text));
  HfSequences sequences = {.count = plan->sequences, .cu_q = first_only ? cu_first(plan) : cu_queries(plan), .cu_k = cu_keys(plan),
                           .causal = hf_call_boolean_or(c, 4, false),
                           .scale = hf_call_number_or(c, 5, 1 / sqrt((double)q->shape[2])),
                           .dropout = hf_call_number_or(c, 6, 0)};
  return hf_call_return(c, hf_attention(q, k, v, &sequences, err));
}

/* The same of one matrix qkv (tokens, 3 C) whose rows hold q, k and v side by side: (tokens, C). */
static bool run_attention_joined(HfCall *c, HfError *err) {
  HfTensor *qkv = hf_call_tensor(c, 0);
  int64_t heads = hf_call_integer(c, 1);
  PackPlan *plan = luaL_testudata(c->L, 3, HFL_PLAN);
  char text[HF_DESCRIPTION_SIZE];
  if (!plan) hf_call_error(c, 2, "expected a plan of pack_plan, found %s", luaL_typename(c->L, 3));
  if (heads < 1 || qkv->ndim != 2 || qkv->shape[0] != plan->tokens || plan->queries != plan->tokens)
    hf_call_error(c, 0, "expected (%lld, 3 heads D), found %s", (long long)plan->tokens, hf_tensor_describe(qkv, text));
  HfSequences sequences = {.count = plan->sequences, .cu_q = cu_queries(plan), .cu_k = cu_keys(plan),
                           .causal = hf_call_boolean_or(c, 3, false),
                           .scale = hf_call_number_or(c, 4, 1 / sqrt((double)qkv->shape[1] / 3 / (double)heads)),
                           .dropout = hf_call_number_or(c, 5, 0)};
  return hf_call_return(c, hf_attention_joined(qkv, heads, &sequences, err));
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
  HfSequences sequences = {.count = batch, .causal = hf_call_boolean_or(c, 3, false),
                           .scale = hf_call_number_or(c, 4, 1 / sqrt((double)given[0]->shape[3])),
                           .dropout = hf_call_number_or(c, 5, 0)};
  int32_t *cu = lua_newuserdatauv(c->L, 2 * (size_t)(batch + 1) * sizeof *cu, 0);
  for (int64_t b = 0; b <= batch; b++) cu[b] = (int32_t)(b * queries), cu[batch + 1 + b] = (int32_t)(b * keys);
  sequences.cu_q = cu, sequences.cu_k = cu + batch + 1;
  bool ok = true;
  for (int i = 0; i < 3 && ok; i++) ok = (t[i] = hf_reshape(given[i], 3, (int64_t[]){-1, given[i]->shape[2], given[i]->shape[3]}, err)) != NULL;
  if (ok) out = hf_attention(t[0], t[1], t[2], &sequences, err);
  HfTensor *shaped = out ? hf_reshape(out, 4, given[0]->shape, err) : NULL;
  for (int i = 0; i < 3; i++) hf_tensor_release(t[i]);
  hf_tensor_release(out);
  return hf_call_return(c, shaped);
}

static const HfLuaOp packed_ops[] = {
    {"attention", run_attention, .names = {"q", "k", "v", "plan", "causal", "scale", "dropout", "first_only"}, .required = 4},
    {"attention_joined", run_attention_joined, .names = {"qkv", "heads", "plan", "causal", "scale", "dropout"}, .required = 3},
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
