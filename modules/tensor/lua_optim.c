/* The multi-tensor kernels of optimizers for Lua: one call for all parameters. */
#include "lua_call.h"

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
  p->storage->version++, m->storage->version++, v->storage->version++;
  if (most) most->storage->version++;
  return hf_tensor_device(p);
}

static HfAdam read_settings(lua_State *L) {
  static const char *const names[] = {"lr", "beta1", "beta2", "eps", "step", "decoupled", "amsgrad", "maximize", "gradient_scale", NULL};
  hfL_check_options(L, 2, "adam_step", names);
  HfAdam s = {.lr = hfL_opt_number(L, 2, "lr", 1e-3), .beta1 = hfL_opt_number(L, 2, "beta1", 0.9), .beta2 = hfL_opt_number(L, 2, "beta2", 0.999),
              .eps = hfL_opt_number(L, 2, "eps", 1e-8), .step = hfL_opt_integer(L, 2, "step", 1),
              .decoupled = hfL_opt_boolean(L, 2, "decoupled", 1), .amsgrad = hfL_opt_boolean(L, 2, "amsgrad", 0),
              .maximize = hfL_opt_boolean(L, 2, "maximize", 0), .gradient_scale = (float)hfL_opt_number(L, 2, "gradient_scale", 1)};
  if (s.step < 1) hfL_errorf(L, "adam_step: step: expected 1 or more, found %lld", (long long)s.step);
  return s;
}

/* core.adam_step({{parameter=, exp_avg=, exp_avg_sq=, max_exp_avg_sq=, gradient=, weight_decay=}, ...}, settings) */
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
  if (device && device->kernels->adam(list, count, &settings) != HF_OK) hfL_errorf(L, "adam_step: the kernel of %s failed", device->name);
  return 0;
}

/* The tensors of a sequence, or the gradients that its tensors have: plain float32 numbers on one device. */
typedef struct NumberList {
  HfDevice *device;
  float **data;
  int64_t *sizes;
  int64_t count;
} NumberList;

static NumberList read_list(lua_State *L, const char *name, bool gradients) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer count = luaL_len(L, 1);
  NumberList list = {.data = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list.data, 0)};
  list.sizes = lua_newuserdatauv(L, (size_t)(count + 1) * sizeof *list.sizes, 0);
  for (int i = 0; i < count; i++) {
    lua_rawgeti(L, 1, i + 1);
    HfTensor *t = hfL_check_tensor(L, -1);
    char text[HF_DESCRIPTION_SIZE];
    lua_pop(L, 1);
    if (gradients && !(t = t->grad)) continue;
    if (t->dtype != HF_FLOAT32 || !hf_tensor_is_contiguous(t))
      hfL_errorf(L, "%s: tensor %d: expected contiguous float32 numbers, found %s", name, i + 1, hf_tensor_describe(t, text));
    if (list.device && list.device != hf_tensor_device(t)) hfL_errorf(L, "%s: tensors on two devices in one call", name);
    list.device = hf_tensor_device(t), list.data[list.count] = hf_tensor_data(t), list.sizes[list.count++] = hf_tensor_numel(t);
    if (gradients) t->storage->version++;
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
  NumberList list = read_list(L, name, gradients);
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

/* core.scale_gradients(parameters, factor), in place */
static int scale_gradients(lua_State *L) {
  float factor = (float)luaL_checknumber(L, 2);
  NumberList list = read_list(L, "scale_gradients", true);
  for (int64_t i = 0; i < list.count; i++)
    if (list.device->kernels->scale(list.data[i], list.sizes[i], factor) != HF_OK)
      hfL_errorf(L, "scale_gradients: the kernel of %s failed", list.device->name);
  return 0;
}

void hf_lua_open_optim(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"adam_step", adam_step}, {"sum_squares", sum_squares}, {"gradient_sum_squares", gradient_sum_squares},
      {"scale_gradients", scale_gradients}, {NULL, NULL}};
  luaL_setfuncs(L, functions, 0);
}
