/* hflua [options] [script [args]]: the command line of lua, and a few options of its own. */
#include "interrupt.h"
#include "kernels.h"
#include "lua_aux.h"
#include "memory.h"
#include "process_group.h"
#include "repl.h"
#include "sandbox.h"
#include "state.h"
#include "tensor.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXIT_USAGE = 2, EXIT_LIMIT = 124, EXIT_SIGNAL = 128 };

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
    "  --sandbox      keep the script inside the working folder: no other files, no programs, no token (docs/tutorials/sandbox.md)\n"
    "  --max-memory SIZE   with --sandbox: most bytes of Lua and tensors together: 500M, 4G, ...; past it, an error (status 124)\n"
    "  --max-time SECONDS  with --sandbox: ends the program, whatever it does (status 124)\n"
    "  --network WHAT      with --sandbox: none, or endpoint (the default): the configured Hub alone\n"
    "  --with-token        with --sandbox: the Hub token may be sent to the endpoint\n"
    "  --             stop handling options\n"
    "  -              run standard input and stop handling options\n"
    "  cache ls       list what the Hub cache holds; cache verify: compare its files with their digests\n"
    "Without a script: interactive on a terminal, else standard input is run.\n";

/* What the command line asks for; `script` is the index of the script in argv, argc when there is none. */
typedef struct CommandLine {
  int argc;
  char **argv;
  int script;
  bool interactive, version, help, no_environment, has_statement;
  const char *device;
  bool sandbox;
  const char *sandbox_option, *no_sandbox_option; /* one that was given and is for --sandbox alone, or not for it; NULL for none */
  HfSandbox settings;
  double max_time; /* seconds; 0: no limit */
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

/* --NAME VALUE or --NAME=VALUE: when argv[*i] is that option, *value is set (NULL when it is missing) and *i moved to its end. */
static bool is_long_option(const CommandLine *line, int *i, const char *name, const char **value) {
  const char *argument = line->argv[*i];
  size_t length = strlen(name);
  if (strncmp(argument, name, length) || (argument[length] && argument[length] != '=')) return false;
  if (argument[length]) *value = argument + length + 1;
  else *value = *i + 1 < line->argc ? line->argv[++*i] : NULL;
  if (*value && !**value) *value = NULL;
  return true;
}

/* The device must be there; kept in HFLUA_DEVICE for what chooses a device. */
static bool choose_device(const char *name, HfError *err) {
  return hf_device_find(name, err) && (!setenv("HFLUA_DEVICE", name, 1) || hf_error_memory(err, "HFLUA_DEVICE", strlen(name)));
}

/* A number and K, M, G or T; 0 when it is none. */
static uint64_t parse_size(const char *text) {
  static const char units[] = "KMGT";
  char *end;
  double number = strtod(text, &end);
  const char *unit = *end ? strchr(units, *end) : NULL;
  for (int i = 0; unit && i <= unit - units; i++) number *= 1024;
  if (end == text || (*end && (!unit || end[1])) || !(number >= 1 && number < 0x1p62)) return 0;
  return (uint64_t)number;
}

static bool take_max_memory(const char *value) {
  static char name[64];
  uint64_t bytes = value ? parse_size(value) : 0;
  if (!bytes) return usage_error("--max-memory", "needs a size: 500M, 4G, ...");
  snprintf(name, sizeof name, "--max-memory=%s", value);
  hf_memory_limit(bytes, name);
  return true;
}

static bool take_max_time(CommandLine *line, const char *value) {
  char *end = NULL;
  line->max_time = value ? strtod(value, &end) : 0;
  if (value && *value && !*end && line->max_time >= 1e-3 && line->max_time <= 1e9) return true;
  return usage_error("--max-time", "needs a number of seconds");
}

static bool take_network(CommandLine *line, const char *value) {
  bool none = value && is_option(value, "none");
  if (!value || (!none && !is_option(value, "endpoint"))) return usage_error("--network", "needs one of: none, endpoint");
  line->settings.network = none ? HF_NETWORK_NONE : HF_NETWORK_ENDPOINT;
  return true;
}

/* Options that are for --sandbox alone; false when argv[*i] is none of them, or wrong (then *failed). */
static bool take_sandbox_option(CommandLine *line, int *i, bool *failed) {
  const char *argument = line->argv[*i], *value;
  if (is_long_option(line, i, "--max-memory", &value)) *failed = !take_max_memory(value);
  else if (is_long_option(line, i, "--max-time", &value)) *failed = !take_max_time(line, value);
  else if (is_long_option(line, i, "--network", &value)) *failed = !take_network(line, value);
  else if (is_option(argument, "--with-token")) line->settings.with_token = true;
  else return false;
  line->sandbox_option = argument;
  return true;
}

/* One argument that begins with '-'. */
static bool take_option(CommandLine *line, int *i) {
  const char *argument = line->argv[*i];
  bool failed = false;
  if (is_option(argument, "-E")) return line->no_environment = true;
  if (is_option(argument, "-W")) return true;
  if (is_option(argument, "-v") || is_option(argument, "--version")) return line->version = true;
  if (is_option(argument, "-h") || is_option(argument, "--help")) return line->help = true;
  if (is_option(argument, "--sandbox")) return line->sandbox = true;
  if (take_sandbox_option(line, i, &failed)) return !failed;
  if (is_long_option(line, i, "--device", &line->device)) return line->device || usage_error(argument, "needs a name: cpu, cuda, cuda:1, ...");
  line->no_sandbox_option = argument;
  if (is_option(argument, "-i")) return line->interactive = true;
  if (strncmp(argument, "-e", 2) && strncmp(argument, "-l", 2)) return usage_error(argument, "is not an option");
  if (argument[1] == 'e') line->has_statement = true;
  return option_value(line, i) || usage_error(argument, "needs an argument");
}

/* Options that do not go together, and --sandbox where it would be taken for the script's own. */
static bool check_options(const CommandLine *line) {
  for (int i = line->script + 1; i < line->argc; i++)
    if (is_option(line->argv[i], "--sandbox")) return usage_error("--sandbox", "comes before the script");
  if (!line->sandbox && line->sandbox_option) return usage_error(line->sandbox_option, "is for --sandbox");
  if (!line->sandbox || line->help || line->version) return true;
  if (line->no_sandbox_option) return usage_error(line->no_sandbox_option, "is not for --sandbox, which runs one script");
  if (line->script >= line->argc) return usage_error("--sandbox", "needs a script");
  if (line->settings.with_token && line->settings.network == HF_NETWORK_NONE) return usage_error("--with-token", "needs --network=endpoint");
  return true;
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
  return check_options(line);
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
    const char *value;
    if (is_long_option(line, &i, "--device", &value)) continue;
    if (is_option(argument, "-W")) lua_warning(L, "@on", 0);
    else if (!strncmp(argument, "-l", 2)) require_library(L, option_value(line, &i));
    else if (!strncmp(argument, "-e", 2)) {
      const char *text = option_value(line, &i);
      if (luaL_loadbufferx(L, text, strlen(text), "=(command line)", "t")) lua_error(L);
      lua_call(L, 0, 0);
    }
  }
}

/* Pushes the script as a function. */
static void load_script(lua_State *L, const CommandLine *line) {
  const char *file = line->script < line->argc ? line->argv[line->script] : "-";
  bool from_stdin = is_option(file, "-") && (line->script == 1 || !is_option(line->argv[line->script - 1], "--"));
  if (luaL_loadfilex(L, from_stdin ? NULL : file, "t")) lua_error(L);
}

/* Calls the function on the stack with the script's arguments. */
static void call_script(lua_State *L, const CommandLine *line) {
  int arguments = 0;
  luaL_checkstack(L, line->argc, "too many arguments");
  for (int i = line->script + 1; i < line->argc; i++, arguments++) lua_pushstring(L, line->argv[i]);
  lua_call(L, arguments, 0);
}

static void run_script(lua_State *L, const CommandLine *line) {
  load_script(L, line);
  call_script(L, line);
}

/* Pushes the recipe's environment; the walls are up then. One line on stderr tells which. */
static void enter_sandbox(lua_State *L, const CommandLine *line) {
  bool none = line->settings.network == HF_NETWORK_NONE;
  char *folder = realpath(".", NULL);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "hflua.sandbox");
  lua_call(L, 1, 1);
  lua_pushstring(L, none ? "none" : "endpoint");
  lua_pushboolean(L, line->settings.with_token);
  lua_pushstring(L, hf_memory_limit_name());
  lua_call(L, 3, 2);
  fprintf(stderr, "hflua: sandbox: files beneath %s; %s; network: %s\n", folder ? folder : ".", lua_tostring(L, -1),
          none ? "none" : line->settings.with_token ? "the Hub's endpoint, with the token" : "the Hub's endpoint, without the token");
  free(folder);
  lua_pop(L, 1);
}

/* The script is compiled before the walls go up, since the user names it; libraries are opened before it runs. */
static void run_in_sandbox(lua_State *L, const CommandLine *line) {
  load_script(L, line);
  enter_sandbox(L, line);
  lua_setupvalue(L, -2, 1);
  hf_cpu_description();
  HfError err;
  if (line->device && !choose_device(line->device, &err)) hfL_raise(L, &err);
  call_script(L, line);
}

/* `hflua cache ...` is a command, unless there is a script of that name. */
static bool is_command(const CommandLine *line) {
  const char *script = line->script < line->argc ? line->argv[line->script] : "";
  return is_option(script, "cache") && access(script, F_OK);
}

static void run_command(lua_State *L, const CommandLine *line) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "hflua.hub.command");
  lua_call(L, 1, 1);
  luaL_checkstack(L, line->argc, "too many arguments");
  for (int i = line->script + 1; i < line->argc; i++) lua_pushstring(L, line->argv[i]);
  lua_call(L, line->argc - line->script - 1, 0);
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
  if (line->sandbox) return run_in_sandbox(L, line), 0;
  run_options(L, line);
  if (is_command(line)) run_command(L, line);
  else if (has_script) run_script(L, line);
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

static void print_error(lua_State *L, const char *message) {
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

/* Before the Lua state: what a sandbox must not read, and its limit of time. Lines of output are written as they come, since the
 * end of the time writes nothing out. */
static bool prepare_sandbox(const CommandLine *line, HfError *err) {
  if (!hf_sandbox_check_folder(err)) return false;
  hf_sandbox_keep_environment(&line->settings);
  if (!line->max_time) return true;
  setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
  hf_interrupt_after(line->max_time);
  return true;
}

/* The message of a failed run, with the limit named when there was no memory for more. */
static const char *failure_message(lua_State *L, int failed) {
  const char *limit = hf_memory_limit_name();
  if (failed == LUA_ERRMEM && limit) return lua_pushfstring(L, "not enough memory: the limit is %s", limit);
  return lua_tostring(L, -1);
}

/* Whether the run ended for want of the memory that --max-memory gives. */
static bool ended_at_limit(const char *message) {
  const char *limit = hf_memory_limit_name();
  return limit && message && strstr(message, "the limit is --max-memory");
}

int main(int argc, char **argv) {
  shorten_waiting(argv);
  CommandLine line = {.argc = argc, .argv = argv, .settings = {.network = HF_NETWORK_ENDPOINT}};
  if (!parse_command_line(&line)) return EXIT_USAGE;
  if (line.help) return fputs(usage_text, stdout) == EOF;
  HfError err;
  bool ready = line.sandbox ? prepare_sandbox(&line, &err) : !line.device || choose_device(line.device, &err);
  if (!ready) return fprintf(stderr, "hflua: %s\n", err.message), EXIT_USAGE;
  if (line.version) print_version();
  lua_State *L = main_state = hf_state_new(line.no_environment);
  if (!L) return fprintf(stderr, "hflua: not enough memory\n"), EXIT_FAILURE;
  hf_interrupt_install(wake_lua);
  lua_pushcfunction(L, hfL_traceback);
  lua_pushcfunction(L, run_program);
  lua_pushlightuserdata(L, &line);
  int failed = lua_pcall(L, 1, 0, 1);
  const char *message = failed ? failure_message(L, failed) : NULL;
  int status = failed ? ended_at_limit(message) ? EXIT_LIMIT : EXIT_FAILURE : EXIT_SUCCESS;
  if (failed) print_error(L, message);
  lua_close(L);
  int signal_number = failed ? hf_interrupt_pending() : 0;
  return signal_number ? EXIT_SIGNAL + signal_number : status;
}
