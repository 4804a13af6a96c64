/* hflua [options] [script [args]]: the command line of lua, and a few options of its own. */
#include "interrupt.h"
#include "kernels.h"
#include "lua_aux.h"
#include "process_group.h"
#include "repl.h"
#include "state.h"
#include "tensor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_SIGNAL = 128 };

static const char usage_text[] =
    "usage: hflua [options] [script [args]]\n"
    "  -e STAT        run the Lua statement STAT\n"
    "  -l MOD         require library MOD into global MOD (-l NAME=MOD: into global NAME)\n"
    "  -i             enter interactive mode after running the script\n"
    "  -E             ignore LUA_PATH, LUA_CPATH and HFLUA_PATH\n"
    "  -W             turn warnings on\n"
    "  -v, --version  show the version, the Lua version and the processor\n"
    "  -h, --help     show this text\n"
    "  --device NAME  where models and tensors go by default: cpu, cuda, cuda:1, ...\n"
    "  --             stop handling options\n"
    "  -              run standard input and stop handling options\n"
    "Without a script: interactive on a terminal, else standard input is run.\n";

/* What the command line asks for; `script` is the index of the script in argv, argc when there is none. */
typedef struct CommandLine {
  int argc;
  char **argv;
  int script;
  bool interactive, version, help, no_environment, has_statement;
} CommandLine;

static lua_State *main_state; /* for the signal handler only */

static void raise_interrupt(lua_State *L, lua_Debug *info) {
  lua_sethook(L, NULL, 0, 0);
  hfL_errorf(L, "interrupted!");
}

/* Runs inside the signal handler: the next instruction in Lua raises. */
static void wake_lua(void) {
  lua_sethook(main_state, raise_interrupt, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static bool usage_error(const char *option, const char *problem) {
  fprintf(stderr, "hflua: '%s' %s\n%s", option, problem, usage_text);
  return false;
}

static bool is_option(const char *argument, const char *name) { return !strcmp(argument, name); }

/* -eSTAT or -e STAT: the value, and *i moved behind it; NULL when it is missing. */
static const char *option_value(const CommandLine *line, int *i) {
  const char *attached = line->argv[*i] + 2;
  if (*attached) return attached;
  return *i + 1 < line->argc ? line->argv[++*i] : NULL;
}

/* --device NAME or --device=NAME: must be there; kept in HFLUA_DEVICE for what chooses a device. */
static bool take_device(const CommandLine *line, int *i) {
  const char *argument = line->argv[*i], *name = strchr(argument, '=');
  HfError err;
  if (name) name++;
  else if (*i + 1 < line->argc) name = line->argv[++*i];
  if (!name || !*name) return usage_error(argument, "needs a name: cpu, cuda, cuda:1, ...");
  if (!hf_device_find(name, &err)) return fprintf(stderr, "hflua: %s\n", err.message), false;
  return !setenv("HFLUA_DEVICE", name, 1);
}

/* One argument that begins with '-'. */
static bool take_option(CommandLine *line, int *i) {
  const char *argument = line->argv[*i];
  if (is_option(argument, "-i")) return line->interactive = true;
  if (is_option(argument, "-E")) return line->no_environment = true;
  if (is_option(argument, "-W")) return true;
  if (is_option(argument, "-v") || is_option(argument, "--version")) return line->version = true;
  if (is_option(argument, "-h") || is_option(argument, "--help")) return line->help = true;
  if (is_option(argument, "--device") || !strncmp(argument, "--device=", 9)) return take_device(line, i);
  if (strncmp(argument, "-e", 2) && strncmp(argument, "-l", 2)) return usage_error(argument, "is not an option");
  if (argument[1] == 'e') line->has_statement = true;
  return option_value(line, i) || usage_error(argument, "needs an argument");
}

/* Reads the options up to the script; false after a message when one is wrong. */
static bool parse_command_line(CommandLine *line) {
  int i = 1;
  for (; i < line->argc && line->argv[i][0] == '-' && !is_option(line->argv[i], "-"); i++) {
    if (is_option(line->argv[i], "--")) {
      i++;
      break;
    }
    if (!take_option(line, &i)) return false;
  }
  line->script = i;
  return true;
}

/* Global arg: the script at 0, its arguments from 1, what came before at negative indices. */
static void set_arg(lua_State *L, const CommandLine *line) {
  int script = line->script < line->argc ? line->script : 0;
  lua_createtable(L, line->argc - script, script + 1);
  for (int i = 0; i < line->argc; i++) {
    lua_pushstring(L, line->argv[i]);
    lua_rawseti(L, -2, i - script);
  }
  lua_setglobal(L, "arg");
}

/* -l MOD and -l NAME=MOD */
static void require_library(lua_State *L, const char *value) {
  const char *equals = strchr(value, '=');
  const char *module = equals ? equals + 1 : value;
  lua_getglobal(L, "require");
  lua_pushstring(L, module);
  lua_call(L, 1, 1);
  lua_pushglobaltable(L);
  lua_pushlstring(L, value, equals ? (size_t)(equals - value) : strlen(value));
  lua_pushvalue(L, -3);
  lua_settable(L, -3);
  lua_pop(L, 2);
}

/* Runs -e, -l and -W in the order they were given. */
static void run_options(lua_State *L, const CommandLine *line) {
  for (int i = 1; i < line->script; i++) {
    const char *argument = line->argv[i];
    if (is_option(argument, "--device")) i++;
    else if (is_option(argument, "-W")) lua_warning(L, "@on", 0);
    else if (!strncmp(argument, "-l", 2)) require_library(L, option_value(line, &i));
    else if (!strncmp(argument, "-e", 2)) {
      const char *text = option_value(line, &i);
      if (luaL_loadbufferx(L, text, strlen(text), "=(command line)", "t")) lua_error(L);
      lua_call(L, 0, 0);
    }
  }
}

static void run_script(lua_State *L, const CommandLine *line) {
  const char *file = line->script < line->argc ? line->argv[line->script] : "-";
  bool from_stdin = is_option(file, "-") && (line->script == 1 || !is_option(line->argv[line->script - 1], "--"));
  if (luaL_loadfilex(L, from_stdin ? NULL : file, "t")) lua_error(L);
  int arguments = 0;
  luaL_checkstack(L, line->argc, "too many arguments");
  for (int i = line->script + 1; i < line->argc; i++, arguments++) lua_pushstring(L, line->argv[i]);
  lua_call(L, arguments, 0);
}

static void print_version(void) {
  printf("hflua %s  %s\n%s\n", HFLUA_VERSION, LUA_RELEASE, hf_cpu_description());
  fflush(stdout);
}

/* The program proper, in protected mode; its one argument is the CommandLine. */
static int run_program(lua_State *L) {
  CommandLine *line = lua_touserdata(L, 1);
  bool has_script = line->script < line->argc, terminal = isatty(STDIN_FILENO);
  set_arg(L, line);
  run_options(L, line);
  if (has_script) run_script(L, line);
  bool nothing_asked = !has_script && !line->has_statement && !line->version;
  if (line->interactive || (nothing_asked && terminal)) hf_repl_run(L);
  else if (nothing_asked) run_script(L, line);
  return 0;
}

/* Leaves progress bars that are on the screen, so that the message starts on a line of its own. */
static void leave_progress_bars(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "hflua.progress") == LUA_TTABLE) {
    lua_getfield(L, -1, "abandon");
    lua_pcall(L, 0, 0, 0);
  }
}

static void print_error(lua_State *L) {
  const char *message = lua_tostring(L, -1);
  fflush(stdout);
  leave_progress_bars(L);
  if (!message) message = "(error object is not a string)";
  if (hf_launched_size() > 1) fprintf(stderr, "hflua (process %d of %d): %s\n", hf_launched_rank(), hf_launched_size(), message);
  else fprintf(stderr, "hflua: %s\n", message);
}

/* Threads of a team wait for each other in a loop before they sleep. libgomp's default is long: where other programs want the
 * cores too, most of the time is spent in that loop. libgomp reads its setting before main, so the program starts itself once
 * more with a shorter one; OMP_WAIT_POLICY or GOMP_SPINCOUNT in the environment are left alone. */
static void shorten_waiting(char **argv) {
  if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT")) return;
  if (setenv("GOMP_SPINCOUNT", "10000", 1) == 0) execv("/proc/self/exe", argv);
}

int main(int argc, char **argv) {
  shorten_waiting(argv);
  CommandLine line = {.argc = argc, .argv = argv};
  if (!parse_command_line(&line)) return EXIT_USAGE;
  if (line.help) return fputs(usage_text, stdout) == EOF;
  if (line.version) print_version();
  lua_State *L = main_state = hf_state_new(line.no_environment);
  if (!L) return fprintf(stderr, "hflua: not enough memory\n"), EXIT_FAILURE;
  hf_interrupt_install(wake_lua);
  lua_pushcfunction(L, hfL_traceback);
  lua_pushcfunction(L, run_program);
  lua_pushlightuserdata(L, &line);
  int failed = lua_pcall(L, 1, 0, 1);
  if (failed) print_error(L);
  lua_close(L);
  int signal_number = failed ? hf_interrupt_pending() : 0;
  return signal_number ? EXIT_SIGNAL + signal_number : failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
