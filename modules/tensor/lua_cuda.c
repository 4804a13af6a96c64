/* hflua.core.cuda: what of the CUDA back end hf.cuda shows. */
#include "device.h"
#include "lua_aux.h"

/* reason() -> why there is no CUDA device, nil when there is one. */
static int cuda_reason(lua_State *L) {
  char why[512] = "";
  HfError err;
  const HfCudaBackend *cuda = hf_cuda(&err);
  if (cuda && cuda->device_count(why, sizeof why) > 0) return lua_pushnil(L), 1;
  return lua_pushstring(L, cuda ? why : err.message), 1;
}

static int cuda_device_count(lua_State *L) { return lua_pushinteger(L, hf_cuda_device_count()), 1; }

/* The back end; an error that says why there is none. */
static const HfCudaBackend *check_backend(lua_State *L) {
  HfError err;
  const HfCudaBackend *cuda = hf_cuda(&err);
  if (!cuda) hfL_raise(L, &err);
  return cuda;
}

/* device_name(index) */
static int cuda_device_name(lua_State *L) {
  char name[256];
  int index = (int)luaL_checkinteger(L, 1);
  if (!check_backend(L)->device_name(index, name, sizeof name)) return hfL_errorf(L, "cuda: there is no device %d", index);
  return lua_pushstring(L, name), 1;
}

/* is_open() -> has this process used a CUDA device? The functions below need one. */
static int cuda_is_open(lua_State *L) {
  HfError err;
  const HfCudaBackend *cuda = hf_cuda(&err);
  lua_pushboolean(L, cuda && cuda->is_open());
  return 1;
}

static int cuda_synchronize(lua_State *L) {
  HfStatus status = check_backend(L)->synchronize();
  if (status == HF_NOT_RECORDED) return hfL_errorf(L, "cuda: synchronize cannot be part of a graph");
  if (status != HF_OK) return hfL_errorf(L, "cuda: the device failed; restart the program");
  return 0;
}

/* memory() -> { allocated =, peak_allocated =, reserved =, ... } in bytes and calls */
static int cuda_memory(lua_State *L) {
  HfCudaMemory m = check_backend(L)->memory();
  const struct {
    const char *name;
    int64_t value;
  } fields[] = {{"allocated", m.allocated},           {"peak_allocated", m.peak_allocated}, {"reserved", m.reserved},
                {"peak_reserved", m.peak_reserved},   {"in_graphs", m.in_graphs},
                {"driver_allocations", m.driver_allocations},
                {"out_of_memory", m.out_of_memory},   {"free_on_device", m.free_on_device}, {"total_on_device", m.total_on_device}};
  lua_createtable(L, 0, (int)(sizeof fields / sizeof *fields));
  for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
    lua_pushinteger(L, fields[i].value);
    lua_setfield(L, -2, fields[i].name);
  }
  return 1;
}

static int cuda_reset_peak(lua_State *L) { return check_backend(L)->reset_peak(), 0; }
static int cuda_empty_cache(lua_State *L) { return check_backend(L)->empty_cache(), 0; }

int luaopen_hflua_core_cuda(lua_State *L) {
  static const luaL_Reg functions[] = {{"reason", cuda_reason},         {"device_count", cuda_device_count}, {"device_name", cuda_device_name},
                                       {"is_open", cuda_is_open},       {"synchronize", cuda_synchronize},   {"memory", cuda_memory},
                                       {"reset_peak", cuda_reset_peak}, {"empty_cache", cuda_empty_cache},   {NULL, NULL}};
  luaL_newlib(L, functions);
  return 1;
}
