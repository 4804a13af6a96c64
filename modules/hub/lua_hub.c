/* hflua.core.hub: HTTP requests, and files on their way into the Hub cache. */
#include <string.h>
#include "hub/blob.h"
#include "hub/http.h"
#include "hub/url.h"
#include "lua_aux.h"
#include "sandbox.h"
#include "sandbox_path.h"
#include <stdlib.h>

#define ANSWER "hflua.hub.answer"
#define BLOB "hflua.hub.blob"

/* What a request fills; freed by the collector, whatever Lua raises meanwhile. */
typedef struct Answer {
  HfHttpAnswer http;
  HfBuffer body;
  size_t limit;    /* of the body's bytes */
  lua_State *L;    /* while a request runs: for its callback */
  int callback;    /* stack index, 0: none */
  bool raised;     /* the callback's error is on the stack */
} Answer;

static int answer_gc(lua_State *L) {
  Answer *answer = lua_touserdata(L, 1);
  hf_http_answer_free(&answer->http);
  hf_buffer_free(&answer->body);
  return 0;
}

static Answer *new_answer(lua_State *L) {
  Answer *answer = lua_newuserdatauv(L, sizeof *answer, 0);
  *answer = (Answer){.L = L, .limit = SIZE_MAX};
  luaL_setmetatable(L, ANSWER);
  return answer;
}

static bool take_body(void *context, const HfHttpAnswer *http, const void *bytes, size_t size, HfError *err) {
  Answer *answer = context;
  if (size > answer->limit - answer->body.size) return hf_error_set(err, "the answer is longer than %zu bytes", answer->limit);
  return hf_buffer_append(&answer->body, bytes, size, err);
}

/* Fields of the option table that both kinds of requests have. */
static HfHttpRequest read_request(lua_State *L, int options) {
  luaL_checktype(L, options, LUA_TTABLE);
  HfHttpRequest request = {.url = hfL_opt_string(L, options, "url", NULL), .token = hfL_opt_string(L, options, "token", NULL),
                           .user_agent = hfL_opt_string(L, options, "user_agent", NULL), .ca_file = hfL_opt_string(L, options, "ca_file", NULL),
                           .head = hfL_opt_boolean(L, options, "head", 0), .stall_seconds = (int)hfL_opt_number(L, options, "stall_seconds", 0)};
  if (!request.url) hfL_errorf(L, "request: url: expected text");
  return request;
}

static void push_header(void *context, const char *name, const char *value) {
  lua_State *L = context;
  if (lua_getfield(L, -1, name) == LUA_TNIL) { /* the first of a name counts */
    lua_pushstring(L, value);
    lua_setfield(L, -3, name);
  }
  lua_pop(L, 1);
}

/* The answer as a table { status, headers, commit, retry_after, body }; else nil, the message and the kind of trouble. */
static int push_answer(lua_State *L, HfHttpEnd end, Answer *answer, const HfError *err) {
  static const char *const kinds[] = {[HF_HTTP_OFFLINE] = "offline", [HF_HTTP_BROKEN] = "broken", [HF_HTTP_FAILED] = "failed", [HF_HTTP_STOPPED] = "stopped"};
  if (answer->raised) return lua_error(L);
  if (end != HF_HTTP_ANSWERED) {
    lua_pushnil(L);
    lua_pushstring(L, err->message);
    lua_pushstring(L, kinds[end]);
    return 3;
  }
  lua_newtable(L);
  lua_newtable(L);
  hf_headers_each(&answer->http.headers, push_header, L);
  lua_setfield(L, -2, "headers");
  lua_pushinteger(L, answer->http.status);
  lua_setfield(L, -2, "status");
  lua_pushnumber(L, answer->http.retry_after);
  lua_setfield(L, -2, "retry_after");
  lua_pushstring(L, *answer->http.commit ? answer->http.commit : NULL);
  lua_setfield(L, -2, "commit");
  lua_pushlstring(L, answer->body.data ? answer->body.data : "", answer->body.size);
  lua_setfield(L, -2, "body");
  return 1;
}

/* request{url=, head=, token=, user_agent=, ca_file=, stall_seconds=, limit=} -> answer, or nil, message, kind */
static int hub_request(lua_State *L) {
  static const char *const known[] = {"url", "head", "token", "user_agent", "ca_file", "stall_seconds", "limit", NULL};
  HfError err;
  hfL_check_options(L, 1, "request", known);
  HfHttpRequest request = read_request(L, 1);
  Answer *answer = new_answer(L);
  answer->limit = (size_t)hfL_opt_integer(L, 1, "limit", 64 << 20);
  request.take = take_body;
  request.context = answer;
  return push_answer(L, hf_http_request(&request, &answer->http, &err), answer, &err);
}

/* ---- files on their way */

/* blob(folder, etag, size or nil) -> blob */
static int hub_blob(lua_State *L) {
  HfError err;
  const char *folder = hfL_check_path(L, 1), *etag = luaL_checkstring(L, 2);
  lua_Integer size = luaL_optinteger(L, 3, -1);
  HfBlob **box = hfL_newbox(L, BLOB);
  bool before = hf_path_engine(true);
  *box = hf_blob_open(folder, etag, size < 0 ? HF_SIZE_UNKNOWN : (uint64_t)size, &err);
  hf_path_engine(before);
  return *box ? 1 : hfL_raise(L, &err);
}

typedef struct Fetch {
  Answer *answer;
  const HfBlob *blob;
} Fetch;

/* Calls progress(received). Nothing of Lua jumps over libcurl: an error is kept on the stack. */
static bool call_progress(void *context, HfError *err) {
  Fetch *fetch = context;
  lua_State *L = fetch->answer->L;
  lua_pushvalue(L, fetch->answer->callback);
  lua_pushinteger(L, (lua_Integer)hf_blob_received(fetch->blob));
  fetch->answer->raised = lua_pcall(L, 1, 0, 0) != LUA_OK;
  return !fetch->answer->raised || hf_error_set(err, "stopped");
}

/* blob:fetch{url=, token=, user_agent=, ca_file=, stall_seconds=, progress=function(received)} -> answer, or nil, message, kind */
static int blob_fetch(lua_State *L) {
  static const char *const known[] = {"url", "token", "user_agent", "ca_file", "stall_seconds", "progress", NULL};
  HfError err;
  HfBlob *blob = hfL_checkbox(L, 1, BLOB);
  hfL_check_options(L, 2, "fetch", known);
  HfHttpRequest request = read_request(L, 2);
  Fetch fetch = {new_answer(L), blob};
  if (lua_getfield(L, 2, "progress") == LUA_TFUNCTION) {
    fetch.answer->callback = lua_gettop(L);
    request.progress = call_progress;
    request.context = &fetch;
  }
  return push_answer(L, hf_blob_fetch(blob, &request, &fetch.answer->http, &err), fetch.answer, &err);
}

/* blob:finish(): the digest is right and the file is in its place; an error otherwise */
static int blob_finish(lua_State *L) {
  HfError err;
  HfBlob *blob = hfL_checkbox(L, 1, BLOB);
  bool before = hf_path_engine(true), done = hf_blob_finish(blob, &err);
  hf_path_engine(before);
  return done ? 0 : hfL_raise(L, &err);
}

/* blob:received() -> bytes on the disk */
static int blob_received(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)hf_blob_received(hfL_checkbox(L, 1, BLOB)));
  return 1;
}

/* blob:close(): removes what was not finished */
static int blob_close(lua_State *L) {
  HfBlob **box = luaL_checkudata(L, 1, BLOB);
  bool before = hf_path_engine(true);
  hf_blob_free(*box);
  hf_path_engine(before);
  *box = NULL;
  return 0;
}

/* ---- the sandbox */

/* in_cache(f, ...): calls a function of hflua.core.files or system with the Hub cache open for writing. Never reached by a recipe. */
static int hub_in_cache(lua_State *L) {
  luaL_argexpected(L, lua_iscfunction(L, 1), 1, "C function");
  bool before = hf_path_engine(true);
  int failed = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  hf_path_engine(before);
  return failed ? lua_error(L) : lua_gettop(L);
}

/* may_send_token() -> may a token be sent, and the one of the environment (nil: none) */
static int hub_may_send_token(lua_State *L) {
  bool may = hf_sandbox_may_send_token();
  const char *token = may ? getenv("HF_TOKEN") : NULL;
  if (may && (!token || !*token)) token = getenv("HUGGING_FACE_HUB_TOKEN");
  lua_pushboolean(L, may);
  if (token && *token) lua_pushstring(L, token);
  else lua_pushnil(L);
  return 2;
}

/* ---- reading what servers say */

/* parse_etag(text) -> 40 or 64 digits, or nil */
static int hub_parse_etag(lua_State *L) {
  char etag[65];
  if (hf_parse_etag(luaL_checkstring(L, 1), etag)) lua_pushstring(L, etag);
  else lua_pushnil(L);
  return 1;
}

/* parse_size(text) -> a number of bytes, or nil */
static int hub_parse_size(lua_State *L) {
  uint64_t size;
  if (hf_parse_size(luaL_checkstring(L, 1), &size) && size <= LUA_MAXINTEGER) lua_pushinteger(L, (lua_Integer)size);
  else lua_pushnil(L);
  return 1;
}

/* check_url(text): an error unless it is a URL of http or https */
static int hub_check_url(lua_State *L) {
  HfUrl url;
  HfError err;
  if (!hf_url_parse(luaL_checkstring(L, 1), &url, &err)) return hfL_raise(L, &err);
  hf_url_free(&url);
  return 0;
}

int luaopen_hflua_core_hub(lua_State *L) {
  static const luaL_Reg answer_methods[] = {{"__gc", answer_gc}, {NULL, NULL}};
  static const luaL_Reg blob_methods[] = {{"fetch", blob_fetch}, {"finish", blob_finish}, {"received", blob_received}, {"close", blob_close},
                                          {"__gc", blob_close}, {"__close", blob_close}, {NULL, NULL}};
  static const luaL_Reg functions[] = {{"request", hub_request}, {"blob", hub_blob}, {"parse_etag", hub_parse_etag}, {"parse_size", hub_parse_size},
                                       {"check_url", hub_check_url}, {"in_cache", hub_in_cache}, {"may_send_token", hub_may_send_token}, {NULL, NULL}};
  hfL_newclass(L, ANSWER, answer_methods);
  hfL_newclass(L, BLOB, blob_methods);
  luaL_newlib(L, functions);
  return 1;
}
