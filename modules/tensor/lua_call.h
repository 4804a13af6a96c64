/* How Lua calls an operation: names of its arguments, by position or in one trailing table of options.
 *
 *   static bool run_softmax(HfCall *c, HfError *err) {
 *     return hf_call_return(c, hf_softmax(hf_call_tensor(c, 0), hf_call_integer(c, 1), false, err));
 *   }
 *   {"softmax", run_softmax, .names = {"x", "dim"}, .required = 2}
 *
 * makes tensor.softmax(x, -1), tensor.softmax(x, {dim = -1}) and x:softmax{dim = -1}. An argument has its own slot whichever
 * way it was given; nil is absent. A run function may be called twice (see hfL_run) and owns nothing but what it gives to
 * hf_call_return, so argument errors are raised straight from the hf_call_* functions.
 */
#ifndef HF_LUA_CALL_H
#define HF_LUA_CALL_H
#include "lua_aux_tensor.h"

#define HF_CALL_NAMES 12

typedef struct HfCall HfCall;

typedef struct HfLuaOp {
  const char *name;
  bool (*run)(HfCall *call, HfError *err);
  const char *names[HF_CALL_NAMES]; /* of the arguments; "axis" and "keepdims" are understood for "dim" and "keepdim" */
  int required;                     /* how many of them, from the first on, must be given; 0: only the first; -1: none */
  int gather;                       /* 1 + the slot that takes several positional values as one sequence; 0: none */
  int code;                         /* for the run function: which of its kind */
  int results;                      /* 2: up to two results; else one */
  bool in_place;                    /* the result is argument 0 itself */
} HfLuaOp;

struct HfCall {
  lua_State *L;
  const HfLuaOp *op;
  int results;
  HfTensor **result[2]; /* of boxes already on the stack */
};

/* Pushes the Lua function of an operation. `op` must stay where it is. */
void hf_call_push(lua_State *L, const HfLuaOp *op);
/* Adds the functions of a list (ending with a NULL name) to the tables at idx. */
void hf_call_register(lua_State *L, int idx, const HfLuaOp *ops);
/* core.define{name=, arguments={...}, required=, gather=, run=function(...)}: the same calling convention for an operation
 * written in Lua. */
int hf_call_define(lua_State *L);

/* Puts t, a reference it takes, into the next result; false when t is NULL. */
bool hf_call_return(HfCall *c, HfTensor *t);

/* ---- arguments by slot, counted from 0 */
bool hf_call_given(HfCall *c, int slot);
HfTensor *hf_call_tensor(HfCall *c, int slot);
HfTensor *hf_call_optional_tensor(HfCall *c, int slot); /* NULL when absent */
/* A tensor, or a number or boolean made a 0-dim tensor that goes with `like`. */
HfTensor *hf_call_operand(HfCall *c, int slot, const HfTensor *like, HfError *err);
double hf_call_number(HfCall *c, int slot);
double hf_call_number_or(HfCall *c, int slot, double fallback);
int64_t hf_call_integer(HfCall *c, int slot);
int64_t hf_call_integer_or(HfCall *c, int slot, int64_t fallback);
bool hf_call_boolean_or(HfCall *c, int slot, bool fallback);
const char *hf_call_string_or(HfCall *c, int slot, const char *fallback);
/* Index of the string in `choices` (NULL-terminated); an error lists them. */
int hf_call_choice_or(HfCall *c, int slot, const char *const *choices, int fallback);
/* Whole numbers given as one sequence or as a single number; absent: 0 of them. */
int hf_call_sizes(HfCall *c, int slot, int64_t out[HF_MAX_DIMS]);
/* Tensors of a sequence, borrowed from it: valid until the run function returns. */
HfTensor **hf_call_tensors(HfCall *c, int slot, int *count);
/* Raises "name: argument 'x': message". */
int hf_call_error(HfCall *c, int slot, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Operations that the other files of the module list; each ends with a NULL name. */
extern const HfLuaOp hf_lua_math_ops[], hf_lua_shape_ops[], hf_lua_index_ops[], hf_lua_layer_ops[], hf_lua_create_ops[], hf_lua_inplace_ops[],
    hf_lua_autograd_ops[], hf_lua_random_ops[], hf_lua_random_inplace_ops[];

/* The plan of pack_plan at idx: where each of its *rows rows begins among the real tokens, rows + 1 numbers, borrowed. An error
 * when the plan computes padding too. */
const int32_t *hfL_check_plan(lua_State *L, int idx, int64_t *rows);

/* Functions of tensor and core that follow Lua's own convention; each file adds its own to the table on the top. */
void hf_lua_open_create(lua_State *L);
void hf_lua_open_autograd(lua_State *L);
void hf_lua_open_graph(lua_State *L);
void hf_lua_open_optim(lua_State *L);
void hf_lua_open_pack(lua_State *L);
void hf_lua_open_random(lua_State *L);

#endif
