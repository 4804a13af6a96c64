/* Interactive mode: the loop and the terminal. Evaluation, printing and completion are lua/hflua/repl.lua. */
#include "repl.h"
#include "interrupt.h"
#include "line_editor.h"
#include "lua_aux.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Registry key of the session: the table that hflua.repl makes. */
static const char session_key = 0;

#define EDITOR_CLASS "hflua.line_editor"

static int editor_gc(lua_State *L) {
  HfLineEditor **box = lua_touserdata(L, 1);
  hf_line_editor_close(*box);
  *box = NULL;
  return 0;
}

/* Pushes session[method] and the session. */
static void push_method(lua_State *L, const char *method) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &session_key);
  lua_getfield(L, -1, method);
  lua_insert(L, -2);
}

/* session:complete(before), protected: an error in an __index of the user's is no completion. */
static HfCompletion complete(void *context, const char *before) {
  lua_State *L = context;
  lua_settop(L, 1); /* results of the last call stay until here */
  push_method(L, "complete");
  lua_pushstring(L, before);
  if (lua_pcall(L, 2, 2, 0)) return (HfCompletion){NULL, NULL};
  return (HfCompletion){lua_tostring(L, -2), lua_tostring(L, -1)};
}

/* Pushes HFLUA_HISTORY, else ~/.hflua_history; nil for none. */
static void push_history_file(lua_State *L) {
  const char *file = getenv("HFLUA_HISTORY"), *home = getenv("HOME");
  if (file && *file) lua_pushstring(L, file);
  else if (!file && home && *home) lua_pushfstring(L, "%s/.hflua_history", home);
  else lua_pushnil(L);
}

/* Reads a line without letting a signal reach Lua; NULL when one came. */
static const char *read_line(HfLineEditor *editor, const char *prompt) {
  hf_interrupt_clear();
  hf_interrupt_defer(true);
  const char *line = hf_line_editor_read(editor, prompt);
  hf_interrupt_defer(false);
  return hf_interrupt_pending() ? NULL : line;
}

/* session:feed(line); an interrupt inside the REPL's own Lua code ends up here. */
static void feed(lua_State *L, const char *line) {
  push_method(L, "feed");
  lua_pushstring(L, line);
  if (lua_pcall(L, 2, 0, 0)) {
    fprintf(stderr, "%s\n", lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  fflush(stdout);
}

/* session.prompt; it stays in the session, so the text stays valid. */
static const char *current_prompt(lua_State *L) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, &session_key);
  lua_getfield(L, -1, "prompt");
  const char *prompt = lua_tostring(L, -1);
  lua_pop(L, 2);
  return prompt ? prompt : "> ";
}

/* After a signal at the prompt: Ctrl-C drops what was typed, SIGTERM ends the program. */
static void drop_input(lua_State *L) {
  if (hf_interrupt_pending() == SIGTERM) hfL_errorf(L, "terminated");
  hf_interrupt_clear();
  printf("\n");
  push_method(L, "reset");
  lua_call(L, 1, 0);
}

static void start_session(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "hflua.repl");
  lua_call(L, 1, 1);
  lua_getfield(L, -1, "new");
  lua_pushcfunction(L, hfL_traceback);
  lua_call(L, 1, 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &session_key);
  lua_pop(L, 1);
}

/* The completion function has a Lua stack of its own, kept alive by the box's user value. */
static HfLineEditor *push_editor(lua_State *L) {
  static const luaL_Reg methods[] = {{"__gc", editor_gc}, {NULL, NULL}};
  hfL_newclass(L, EDITOR_CLASS, methods);
  HfLineEditor **box = lua_newuserdatauv(L, sizeof *box, 1);
  *box = NULL;
  luaL_setmetatable(L, EDITOR_CLASS);
  lua_State *completer = lua_newthread(L);
  lua_pushboolean(completer, 1); /* the slot below what complete pushes */
  lua_setiuservalue(L, -2, 1);
  push_history_file(L);
  *box = hf_line_editor_open(lua_tostring(L, -1), complete, completer);
  lua_pop(L, 1);
  if (!*box) hfL_errorf(L, "line editor: out of memory");
  return *box;
}

void hf_repl_run(lua_State *L) {
  start_session(L);
  HfLineEditor *editor = push_editor(L);
  printf("hflua %s  %s  Ctrl-D ends, Tab completes\n", HFLUA_VERSION, LUA_RELEASE);
  for (;;) {
    const char *line = read_line(editor, current_prompt(L));
    if (line) feed(L, line);
    else if (hf_interrupt_pending()) drop_input(L);
    else break;
  }
  printf("\n");
  lua_settop(L, 1);
}
