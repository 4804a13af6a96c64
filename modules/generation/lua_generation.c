/* hflua.core.generation: scores of the next token (float32, (rows, vocabulary), on the host, changed in place), the k largest in
 * PyTorch's order, draws without replacement, the cache of keys and values (lua_cache.c), and tokens
 * chosen on a device (lua_choose.c).
 *
 *   generation.top_k(scores, 50)
 *   generation.repetition(scores, 1.2, ids, {0, 3})   -- ids (rows, length) int64; row 2 begins at column 3
 */
#include <math.h>
#include "lua_aux_tensor.h"
#include "lua_generation.h"
#include "memory.h"
#include "random.h"
#include "scores.h"

/* ---- operands */

/* The tensor at idx, (rows, columns) of `dtype` on the host with its columns side by side. */
static HfTensor *check_matrix(lua_State *L, int idx, const char *what, HfDtype dtype) {
  HfTensor *t = hfL_check_tensor(L, idx);
  char text[HF_DESCRIPTION_SIZE];
  if (t->ndim != 2 || t->dtype != dtype || (t->stride[1] != 1 && t->shape[1] > 1) || hf_tensor_device(t) != hf_device_cpu())
    hfL_errorf(L, "generation: %s: expected (rows, columns) %s cpu, found %s", what, hf_dtype_name(dtype), hf_tensor_describe(t, text));
  return t;
}

static HfTensor *check_scores(lua_State *L, int idx) {
  HfTensor *t = check_matrix(L, idx, "scores", HF_FLOAT32);
  if (!t->shape[1]) hfL_errorf(L, "generation: scores: the vocabulary is empty");
  hf_storage_changed(t->storage);
  return t;
}

static const int64_t *id_row(const HfTensor *ids, int64_t row) { return (const int64_t *)hf_tensor_data(ids) + row * ids->stride[0]; }

static HfTensor *check_ids(lua_State *L, int idx, const HfTensor *scores) {
  HfTensor *ids = check_matrix(L, idx, "input_ids", HF_INT64);
  if (ids->shape[0] != scores->shape[0])
    hfL_errorf(L, "generation: input_ids: expected %lld rows, found %lld", (long long)scores->shape[0], (long long)ids->shape[0]);
  return ids;
}

/* Row `row` of scores with scratch of 2 * vocabulary entries. */
static HfScores row_of(const HfTensor *scores, int64_t row, HfRanked *scratch) {
  int64_t n = scores->shape[1];
  return (HfScores){(float *)hf_tensor_data(scores) + row * scores->stride[0], n, scratch, scratch + n};
}

/* Scratch entries that the collector owns, for n numbers. */
static HfRanked *new_entries(lua_State *L, int64_t n) { return lua_newuserdatauv(L, (size_t)n * sizeof(HfRanked), 0); }

/* ---- rules that look at the scores alone: generation.NAME(scores[, number[, keep]]) */

typedef struct Rule {
  const char *name;
  void (*run)(HfScores s, double number, int64_t keep);
} Rule;

static void run_top_k(HfScores s, double k, int64_t keep) { hf_scores_top_k(s, k > (double)keep ? (int64_t)k : keep); }
static void run_top_h(HfScores s, double h, int64_t keep) { (void)keep, hf_scores_top_h(s, h); }
static void run_log_softmax(HfScores s, double number, int64_t keep) { (void)number, (void)keep, hf_scores_log_softmax(s); }

static const Rule rules[] = {
    {"top_k", run_top_k}, {"top_p", hf_scores_top_p}, {"top_h", run_top_h}, {"min_p", hf_scores_min_p},
    {"typical_p", hf_scores_typical}, {"epsilon_cutoff", hf_scores_epsilon}, {"eta_cutoff", hf_scores_eta},
    {"log_softmax", run_log_softmax},
};

static int apply_rule(lua_State *L) {
  const Rule *rule = lua_touserdata(L, lua_upvalueindex(1));
  double number = luaL_optnumber(L, 2, 0);
  int64_t keep = luaL_optinteger(L, 3, 1);
  HfTensor *scores = check_scores(L, 1);
  HfRanked *scratch = new_entries(L, 2 * scores->shape[1]);
  for (int64_t r = 0; r < scores->shape[0]; r++) rule->run(row_of(scores, r, scratch), number, keep < 1 ? 1 : keep);
  return lua_settop(L, 1), 1;
}

/* ---- rules that look at what was generated */

/* Element `row` (from 0) of the sequence at idx; 0 without one. */
static int64_t start_of(lua_State *L, int idx, int64_t row, int64_t length) {
  if (lua_isnoneornil(L, idx)) return 0;
  lua_geti(L, idx, row + 1);
  int64_t start = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return start < 0 ? 0 : start > length ? length : start;
}

/* generation.repetition(scores, penalty, ids[, starts]): starts[row] columns at the left are padding. */
static int repetition(lua_State *L) {
  lua_settop(L, 4);
  double penalty = luaL_checknumber(L, 2);
  HfTensor *scores = check_scores(L, 1), *ids = check_ids(L, 3, scores);
  HfRanked *scratch = new_entries(L, 2 * scores->shape[1]);
  for (int64_t r = 0; r < scores->shape[0]; r++) {
    int64_t start = start_of(L, 4, r, ids->shape[1]);
    hf_scores_repetition(row_of(scores, r, scratch), penalty, id_row(ids, r) + start, ids->shape[1] - start);
  }
  return lua_settop(L, 1), 1;
}

/* generation.no_repeat_ngram(scores, n, ids[, text]): n-grams of `text` (rows, any length), or of ids, do not come again. */
static int no_repeat_ngram(lua_State *L) {
  int64_t n = luaL_checkinteger(L, 2);
  HfTensor *scores = check_scores(L, 1), *ids = check_ids(L, 3, scores), *text = lua_isnoneornil(L, 4) ? ids : check_ids(L, 4, scores);
  if (n < 1) hfL_errorf(L, "no_repeat_ngram_size: expected at least 1, found %lld", (long long)n);
  for (int64_t r = 0; r < scores->shape[0] && n - 1 <= ids->shape[1]; r++)
    hf_scores_no_repeat_ngram(row_of(scores, r, NULL), n, id_row(ids, r) + ids->shape[1] - (n - 1), id_row(text, r), text->shape[1]);
  return lua_settop(L, 1), 1;
}

/* Reads the sequence of token ids at idx into a new userdata. Ids must be below `vocabulary`. */
static const int64_t *read_tokens(lua_State *L, int idx, int64_t vocabulary, int64_t *count) {
  luaL_checktype(L, idx, LUA_TTABLE);
  *count = luaL_len(L, idx);
  int64_t *tokens = lua_newuserdatauv(L, (size_t)(*count + 1) * sizeof *tokens, 0);
  for (int64_t i = 0; i < *count; i++) {
    lua_geti(L, idx, i + 1);
    int whole;
    tokens[i] = lua_tointegerx(L, -1, &whole);
    if (!whole || tokens[i] < 0 || tokens[i] >= vocabulary)
      hfL_errorf(L, "generation: expected token ids below %lld, found %s", (long long)vocabulary, luaL_tolstring(L, -1, NULL));
    lua_pop(L, 1);
  }
  return tokens;
}

/* generation.set(scores, {ids}, value[, others]): these tokens get `value`, all others `others` when it is given. */
static int set_tokens(lua_State *L) {
  int64_t count;
  lua_settop(L, 4);
  HfTensor *scores = check_scores(L, 1);
  const int64_t *tokens = read_tokens(L, 2, scores->shape[1], &count);
  float value = (float)luaL_checknumber(L, 3);
  for (int64_t r = 0; r < scores->shape[0]; r++) {
    HfScores s = row_of(scores, r, NULL);
    for (int64_t i = 0; i < s.size && !lua_isnoneornil(L, 4); i++) s.row[i] = (float)lua_tonumber(L, 4);
    for (int64_t i = 0; i < count; i++) s.row[tokens[i]] = value;
  }
  return lua_settop(L, 1), 1;
}

/* Adds the bias of one sequence of ids to its last token in every row that ends with the others. */
static void add_bias(float *bias, int64_t vocabulary, const int64_t *tokens, int64_t count, float value, const HfTensor *ids) {
  for (int64_t r = 0; r < ids->shape[0]; r++) {
    int64_t before = count - 1, i = 0;
    if (before > ids->shape[1]) continue;
    const int64_t *tail = id_row(ids, r) + ids->shape[1] - before;
    while (i < before && tail[i] == tokens[i]) i++;
    if (i == before) bias[r * vocabulary + tokens[before]] += value;
  }
}

/* generation.bias(scores, ids, { {token, ...}, ... }, { number, ... }) */
static int sequence_bias(lua_State *L) {
  HfTensor *scores = check_scores(L, 1), *ids = check_ids(L, 2, scores);
  int64_t rows = scores->shape[0], vocabulary = scores->shape[1], sequences = luaL_len(L, 3);
  float *bias = lua_newuserdatauv(L, (size_t)(rows * vocabulary) * sizeof *bias, 0);
  for (int64_t i = 0; i < rows * vocabulary; i++) bias[i] = 0;
  for (int64_t s = 1; s <= sequences; s++) {
    int64_t count;
    lua_geti(L, 3, s);
    const int64_t *tokens = read_tokens(L, lua_gettop(L), vocabulary, &count);
    lua_geti(L, 4, s);
    if (count) add_bias(bias, vocabulary, tokens, count, (float)luaL_checknumber(L, -1), ids);
    lua_pop(L, 3);
  }
  for (int64_t r = 0; r < rows; r++)
    for (int64_t i = 0; i < vocabulary; i++) row_of(scores, r, NULL).row[i] += bias[r * vocabulary + i];
  return lua_settop(L, 1), 1;
}

/* ---- choosing */

/* Two new tensors (rows, k), float32 and int64. */
static void push_pair(lua_State *L, int64_t rows, int64_t k, HfTensor **values, HfTensor **indices) {
  HfError err;
  HfDtype dtypes[2] = {HF_FLOAT32, HF_INT64};
  HfTensor **out[2] = {values, indices};
  for (int i = 0; i < 2; i++) {
    HfTensor **box = hfL_new_tensor(L);
    if (!(*box = hf_tensor_empty(dtypes[i], 2, (int64_t[]){rows, k}, hf_device_cpu(), &err))) hfL_raise(L, &err);
    *out[i] = *box;
  }
}

static int64_t check_count(lua_State *L, int idx, int64_t columns) {
  int64_t k = luaL_checkinteger(L, idx);
  if (k < 1 || k > columns) hfL_errorf(L, "generation: expected a count in 1 .. %lld, found %lld", (long long)columns, (long long)k);
  return k;
}

/* generation.largest(x, k) -> values, indices, (rows, k) each: PyTorch's topk. */
static int largest(lua_State *L) {
  HfTensor *x = check_matrix(L, 1, "scores", HF_FLOAT32), *values, *indices;
  int64_t n = x->shape[1], k = check_count(L, 2, n);
  HfRanked *entry = new_entries(L, n);
  push_pair(L, x->shape[0], k, &values, &indices);
  for (int64_t r = 0; r < x->shape[0]; r++) {
    hf_largest(entry, (float *)hf_tensor_data(x) + r * x->stride[0], n, k);
    for (int64_t i = 0; i < k; i++) {
      ((float *)hf_tensor_data(values))[r * k + i] = entry[i].value;
      ((int64_t *)hf_tensor_data(indices))[r * k + i] = entry[i].index;
    }
  }
  return 2;
}

/* Divides chances by exponential draws, as PyTorch's multinomial does; an error where no token has a chance. */
static void draw_scores(lua_State *L, float *score, const HfTensor *p) {
  int64_t rows = p->shape[0], n = p->shape[1];
  hf_random_exponential(hf_random_global(), score, (size_t)(rows * n), 1.0);
  for (int64_t r = 0; r < rows; r++) {
    const float *chance = (const float *)hf_tensor_data(p) + r * p->stride[0];
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)chance[i], score[r * n + i] = chance[i] / score[r * n + i];
    if (!(sum > 0 && isfinite(sum)))
      hfL_errorf(L, "generate: row %lld: no token is possible, or the scores are not numbers; remove_invalid_values=true replaces inf and nan", (long long)r + 1);
  }
}

/* generation.draw(p, k) -> indices (rows, k): different tokens drawn by the chances p (rows, n), which need not sum to 1. */
static int draw(lua_State *L) {
  HfTensor *p = check_matrix(L, 1, "chances", HF_FLOAT32), *values, *indices;
  int64_t rows = p->shape[0], n = p->shape[1], k = check_count(L, 2, n);
  float *score = lua_newuserdatauv(L, (size_t)(rows * n) * sizeof *score, 0);
  HfRanked *entry = new_entries(L, n);
  draw_scores(L, score, p);
  push_pair(L, rows, k, &values, &indices);
  for (int64_t r = 0; r < rows; r++) {
    hf_largest(entry, score + r * n, n, k);
    for (int64_t i = 0; i < k; i++) ((int64_t *)hf_tensor_data(indices))[r * k + i] = entry[i].index;
  }
  return 1;
}

int luaopen_hflua_core_generation(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"repetition", repetition}, {"no_repeat_ngram", no_repeat_ngram}, {"set", set_tokens}, {"bias", sequence_bias},
      {"largest", largest}, {"draw", draw}, {NULL, NULL},
  };
  luaL_newlib(L, functions);
  for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
    lua_pushlightuserdata(L, (void *)&rules[i]);
    lua_pushcclosure(L, apply_rule, 1);
    lua_setfield(L, -2, rules[i].name);
  }
  hfL_open_cache(L);
  hfL_open_choose(L);
  return 1;
}
