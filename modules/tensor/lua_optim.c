/* The multi-tensor kernels of optimizers for Lua: one call for all parameters. */
#include <math.h>
#include <stddef.h>
#include <string.h>
#include "lua_call.h"
#include "ops.h"

#define HFL_CHECK "hflua.gradient_check"

/* stack: list entry at -1. Its field as plain float32 numbers with as many elements as `like`; the tensor stays borrowed. */
static HfTensor *entry_tensor(lua_State *L, const char *field, const HfTensor *like, int i) {
  char text[HF_DESCRIPTION_SIZE], want[HF_DESCRIPTION_SIZE];
  lua_getfield(L, -1, field);
  HfTensor *t = lua_isnil(L, -1) ? NULL : hfL_check_tensor(L, -1);
  lua_pop(L, 1);
  if (!t) return NULL;
  if (t->dtype != HF_FLOAT32 || !hf_tensor_is_contiguous(t))
    hfL_errorf(L, "adam_step: %s %d: expected a contiguous float32 tensor, found %s", field, i, hf_tensor_describe(t, text));
  if (like && !hf_tensor_same_shape(like, t))
    hfL_errorf(L, "adam_step: %s %d: expected %s, found %s", field, i, hf_tensor_describe(like, want), hf_tensor_describe(t, text));
  return t;
}

static HfTensor *needed(lua_State *L, const char *field, const HfTensor *like, int i) {
  HfTensor *t = entry_tensor(L, field, like, i);
  if (!t) hfL_errorf(L, "adam_step: entry %d has no %s", i, field);
  return t;
}

static float *numbers(HfTensor *t) { return t ? hf_tensor_data(t) : NULL; }

/* stack: entry at -1. The gradient is the parameter's own unless one is given. */
static HfDevice *read_parameter(lua_State *L, int i, HfAdamParameter *out) {
  HfTensor *p = needed(L, "parameter", NULL, i), *m = needed(L, "exp_avg", p, i), *v = needed(L, "exp_avg_sq", p, i);
  HfTensor *most = entry_tensor(L, "max_exp_avg_sq", p, i), *g = entry_tensor(L, "gradient", p, i);
  char text[HF_DESCRIPTION_SIZE];
  if (!g) g = p->grad;
  if (!g || g->dtype != HF_FLOAT32 || !hf_tensor_is_contiguous(g))
    hfL_errorf(L, "adam_step: parameter %d %s has no plain float32 gradient", i, hf_tensor_describe(p, text));
  *out = (HfAdamParameter){numbers(p), numbers(m), numbers(v), numbers(most), numbers(g), hf_tensor_numel(p),
                           (float)hfL_opt_number(L, -1, "weight_decay", 0)};
  hf_storage_changed(p->storage), hf_storage_changed(m->storage), hf_storage_changed(v->storage);
  if (most) hf_storage_changed(most->storage);
  return hf_tensor_device(p);
}

/* ---- gradient checks: what the gradients of a step came to, on the device that has them */

typedef struct LuaCheck {
  HfStorage *storage; /* an HfGradientCheck; NULL until the first run */
} LuaCheck;

static HfGradientCheck *numbers_of(const LuaCheck *check) { return check->storage->data; }

/* The check at idx, which has run on this device (NULL: on any), or an error. */
static LuaCheck *check_that_ran(lua_State *L, int idx, const char *name, const HfDevice *device) {
  LuaCheck *check = luaL_checkudata(L, idx, HFL_CHECK);
  if (!check->storage) hfL_errorf(L, "%s: this gradient check did not run yet", name);
  if (device && check->storage->device != device)
    hfL_errorf(L, "%s: the gradient check is on %s, the tensors are on %s", name, check->storage->device->name, device->name);
  return check;
}

/* ---- adam */

static HfAdam read_settings(lua_State *L) {
  static const char *const names[] = {"lr", "beta1", "beta2", "eps", "step", "decoupled", "amsgrad", "maximize", "gradient_scale", "check", NULL};
  hfL_check_options(L, 2, "adam_step", names);
  HfAdam s = {.lr = hfL_opt_number(L, 2, "lr", 1e-3), .beta1 = hfL_opt_number(L, 2, "beta1", 0.9), .beta2 = hfL_opt_number(L, 2, "beta2", 0.999),
              .eps = hfL_opt_number(L, 2, "eps", 1e-8), .step = hfL_opt_integer(L, 2, "step", 1),
              .decoupled = hfL_opt_boolean(L, 2, "decoupled", 1), .amsgrad = hfL_opt_boolean(L, 2, "amsgrad", 0),
              .maximize = hfL_opt_boolean(L, 2, "maximize", 0), .gradient_scale = (float)hfL_opt_number(L, 2, "gradient_scale", 1)};
  if (s.step < 1) hfL_errorf(L, "adam_step: step: expected 1 or more, found %lld", (long long)s.step);
  return s;
}

/* The factor of the settings' check, in the device's memory; NULL without one. */
static const float *factor_of(lua_State *L, const HfDevice *device) {
  if (lua_isnoneornil(L, 2) || lua_getfield(L, 2, "check") == LUA_TNIL) return NULL;
  return &numbers_of(check_that_ran(L, -1, "adam_step", device))->factor;
}

/* core.adam_step({{parameter=, exp_avg=, exp_avg_sq=, max_exp_avg_sq=, gradient=, weight_decay=}, ...}, settings). settings.check: a
 * gradient check, whose factor gradients are multiplied by; nothing changes once it has stopped. */
static int adam_step(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  HfAdam settings = read_settings(L);
  lua_Integer count = luaL_len(L, 1);
  HfAdamParameter *list = lua_newuserdatauv(L, (size_t)(count ? count : 1) * sizeof *list, 0);
  HfDevice *device = NULL;
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, 1, i + 1);
    HfDevice *own = read_parameter(L, i + 1, &list[i]);
    if (settings.amsgrad && !list[i].max_exp_avg_sq) hfL_errorf(L, "adam_step: entry %d has no max_exp_avg_sq, which amsgrad needs", i + 1);
    if (device && device != own) hfL_errorf(L, "adam_step: parameters on %s and on %s in one call", device->name, own->name);
    device = own;
    lua_pop(L, 1);
  }
  settings.device_scale = factor_of(L, device);
  if (device && device->kernels->adam(list, count, &settings) != HF_OK) hfL_errorf(L, "adam_step: the kernel of %s failed", device->name);
  return 0;
}

/* The tensors of the sequence at idx, or the gradients that its tensors have: plain float32 numbers on one device. */
typedef struct NumberList {
  HfDevice *device;
  float **data;
  int64_t *sizes;
  int64_t count;
} NumberList;

static NumberList read_list(lua_State *L, int idx, const char *name, bool gradients) {
  luaL_checktype(L, idx, LUA_TTABLE);
  lua_Integer count = luaL_len(L, idx);
  NumberList list = {.data = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list.data, 0)};
  list.sizes = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list.sizes, 0);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, idx, i + 1);
    HfTensor *t = hfL_check_tensor(L, -1);
    char text[HF_DESCRIPTION_SIZE];
    lua_pop(L, 1);
    if (gradients && !(t = t->grad)) continue;
    if (t->dtype != HF_FLOAT32 || !hf_tensor_is_contiguous(t))
      hfL_errorf(L, "%s: tensor %d: expected contiguous float32 numbers, found %s", name, i + 1, hf_tensor_describe(t, text));
    if (list.device && list.device != hf_tensor_device(t)) hfL_errorf(L, "%s: tensors on two devices in one call", name);
    list.device = hf_tensor_device(t), list.data[list.count] = hf_tensor_data(t), list.sizes[list.count++] = hf_tensor_numel(t);
    if (gradients) hf_storage_changed(t->storage);
  }
  return list;
}

/* The kernel leaves the sum in the device's memory; reading it waits for the device. */
static bool read_sum_squares(const NumberList *list, double *total, HfError *err) {
  HfStorage *sum = hf_storage_new(list->device, sizeof *total, err);
  if (!sum) return false;
  const HfKernels *k = list->device->kernels;
  HfStatus status = k->sum_squares(sum->data, (const float *const *)list->data, list->sizes, list->count);
  if (status == HF_OK) status = k->copy_out(total, sum->data, sizeof *total);
  hf_storage_release(sum);
  if (status == HF_BAD_INDEX) return hf_error_set(err, "%s", k->late_error());
  return status == HF_OK || hf_error_set(err, "sum_squares: the kernel of %s failed", list->device->name);
}

static int push_sum_squares(lua_State *L, const char *name, bool gradients) {
  NumberList list = read_list(L, 1, name, gradients);
  double total = 0;
  HfError err;
  if (list.device && !read_sum_squares(&list, &total, &err)) hfL_raise(L, &err);
  lua_pushnumber(L, total);
  lua_pushinteger(L, list.count);
  return 2;
}

/* core.sum_squares(tensors) -> the sum of all squares (the global norm before its root), how many tensors. Not finite if any
 * number is not. */
static int sum_squares(lua_State *L) { return push_sum_squares(L, "sum_squares", false); }

/* core.gradient_sum_squares(parameters): the same over the gradients that are there. */
static int gradient_sum_squares(lua_State *L) { return push_sum_squares(L, "gradient_sum_squares", true); }

/* core.scale_gradients(parameters, factor), in place; or with a gradient check that ran on them, by its factor */
static int scale_gradients(lua_State *L) {
  NumberList list = read_list(L, 1, "scale_gradients", true);
  if (lua_isuserdata(L, 2)) {
    const LuaCheck *check = check_that_ran(L, 2, "scale_gradients", list.device);
    if (list.device && list.device->kernels->scale_all(list.data, list.sizes, list.count, &numbers_of(check)->factor) != HF_OK)
      hfL_errorf(L, "scale_gradients: the kernel of %s failed", list.device->name);
    return 0;
  }
  float factor = (float)luaL_checknumber(L, 2);
  for (int64_t i = 0; i < list.count; i++)
    if (list.device->kernels->scale(list.data[i], list.sizes[i], factor) != HF_OK)
      hfL_errorf(L, "scale_gradients: the kernel of %s failed", list.device->name);
  return 0;
}

/* ---- what a gradient check does */

static int gradient_check(lua_State *L) {
  LuaCheck *check = lua_newuserdatauv(L, sizeof *check, 0);
  *check = (LuaCheck){NULL};
  luaL_setmetatable(L, HFL_CHECK);
  return 1;
}

static int check_gc(lua_State *L) {
  LuaCheck *check = luaL_checkudata(L, 1, HFL_CHECK);
  hf_storage_release(check->storage);
  check->storage = NULL;
  return 0;
}

/* Room on the device, all zeros. */
static bool make_room(LuaCheck *check, HfDevice *device, HfError *err) {
  if (check->storage && check->storage->device == device) return true;
  hf_storage_release(check->storage);
  if (!(check->storage = hf_storage_new(device, sizeof(HfGradientCheck), err))) return false;
  return device->kernels->zero(check->storage->data, sizeof(HfGradientCheck)) == HF_OK || hf_device_fault("gradient_check", device, err);
}

/* The loss at idx as one float32 on the device, in a new box at the top; NULL without one. */
static const HfTensor *push_loss(lua_State *L, int idx, HfDevice *device) {
  HfError err;
  char text[HF_DESCRIPTION_SIZE];
  if (lua_isnoneornil(L, idx)) return NULL;
  HfTensor *loss = hfL_check_tensor(L, idx), **box = hfL_new_tensor(L);
  if (hf_tensor_numel(loss) != 1) hfL_errorf(L, "gradient_check: loss: expected one element, found %s", hf_tensor_describe(loss, text));
  HfTensor *bare = hf_tensor_detach(loss, &err), *single = bare ? hf_cast(bare, HF_FLOAT32, &err) : NULL;
  *box = single ? hf_to_device(single, device, &err) : NULL;
  hf_tensor_release(bare), hf_tensor_release(single);
  if (!*box) hfL_raise(L, &err);
  return *box;
}

/* Where there is no gradient: the device of the first parameter. */
static HfDevice *device_of(lua_State *L, const NumberList *list) {
  if (list->device) return list->device;
  lua_rawgeti(L, 2, 1);
  HfTensor *first = hfL_test_tensor(L, -1);
  lua_pop(L, 1);
  return first ? hf_tensor_device(first) : hf_device_cpu();
}

/* check:run(parameters, { loss =, max_norm = infinity, loss_scale = 1, stops = false }) -> check. Nothing waits for the device. stops: a loss or
 * norm that is not finite stops every step that uses the check, from then on. */
static int check_run(lua_State *L) {
  static const char *const names[] = {"loss", "max_norm", "loss_scale", "stops", NULL};
  HfError err;
  LuaCheck *check = luaL_checkudata(L, 1, HFL_CHECK);
  hfL_check_options(L, 3, "gradient_check", names);
  double max_norm = hfL_opt_number(L, 3, "max_norm", HUGE_VAL), loss_scale = hfL_opt_number(L, 3, "loss_scale", 1);
  bool stops = hfL_opt_boolean(L, 3, "stops", 0);
  lua_settop(L, 3);
  if (lua_isnil(L, 3)) lua_pushnil(L);
  else lua_getfield(L, 3, "loss");
  NumberList list = read_list(L, 2, "gradient_check", true);
  HfDevice *device = device_of(L, &list);
  const HfTensor *loss = push_loss(L, 4, device);
  if (!make_room(check, device, &err)) hfL_raise(L, &err);
  HfGradientCheck *c = numbers_of(check);
  HfStatus status = device->kernels->sum_squares(&c->squares, (const float *const *)list.data, list.sizes, list.count);
  if (status == HF_OK) status = device->kernels->check_gradients(c, loss ? hf_tensor_data(loss) : NULL, max_norm, loss_scale, stops);
  if (status != HF_OK) hfL_errorf(L, "gradient_check: the kernel of %s failed", device->name);
  return lua_settop(L, 1), 1;
}

/* check:norm() -> the norm of the gradients, a tensor of one element that the next run changes */
static int check_norm(lua_State *L) {
  HfError err;
  LuaCheck *check = check_that_ran(L, 1, "norm", NULL);
  HfTensor **box = hfL_new_tensor(L);
  *box = hf_tensor_over(check->storage, offsetof(HfGradientCheck, norm32) / sizeof(float), HF_FLOAT32, 0, NULL, &err);
  return *box ? 1 : hfL_raise(L, &err);
}

static int push_loss_and_norm(lua_State *L, const void *bytes) {
  HfGradientCheck c;
  memcpy(&c, bytes, sizeof c);
  lua_pushnumber(L, c.loss), lua_pushnumber(L, c.norm);
  return 2;
}

/* check:read_later() -> a reading whose item() gives loss and norm */
static int check_read_later(lua_State *L) {
  LuaCheck *check = check_that_ran(L, 1, "read_later", NULL);
  hf_lua_push_reading(L, check->storage->device, numbers_of(check), sizeof(HfGradientCheck), push_loss_and_norm);
  return 1;
}

void hf_lua_open_optim(lua_State *L) {
  static const luaL_Reg methods[] = {{"run", check_run}, {"norm", check_norm}, {"read_later", check_read_later}, {"__gc", check_gc}, {NULL, NULL}};
  hfL_newclass(L, HFL_CHECK, methods);
  lua_pop(L, 1);
  static const luaL_Reg functions[] = {
      {"adam_step", adam_step}, {"sum_squares", sum_squares}, {"gradient_sum_squares", gradient_sum_squares},
      {"scale_gradients", scale_gradients}, {"gradient_check", gradient_check}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
