/* Line input: libedit opened at run time, or plain lines. */
#include "line_editor.h"
#include "memory.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

#ifdef HF_HAVE_LIBEDIT
#include <dlfcn.h>
#include <histedit.h>
#include <langinfo.h>
#include <locale.h>

#define LIBEDIT_FUNCTIONS(X) \
  X(el_init) X(el_end) X(el_set) X(el_get) X(el_gets) X(el_line) X(el_insertstr) X(history_init) X(history_end) X(history)

static struct {
#define DECLARE(name) __typeof__(&name) name;
  LIBEDIT_FUNCTIONS(DECLARE)
#undef DECLARE
} lib;

/* Opens libedit; stays open. */
static bool open_library(void) {
  void *handle = dlopen("libedit.so.2", RTLD_NOW | RTLD_LOCAL);
  if (!handle) return false;
#define FIND(name) lib.name = (__typeof__(&name))dlsym(handle, #name);
  LIBEDIT_FUNCTIONS(FIND)
#undef FIND
#define MISSING(name) || !lib.name
  return !(false LIBEDIT_FUNCTIONS(MISSING));
#undef MISSING
}
#else
typedef struct EditLine EditLine;
typedef struct History History;
#endif

struct HfLineEditor {
  EditLine *edit; /* NULL: plain lines */
  History *history;
  const char *prompt;
  char *history_file; /* or NULL */
  char *line;         /* the plain reader's, or a copy without line feed */
  size_t capacity;
  HfComplete *complete;
  void *context;
};

#ifdef HF_HAVE_LIBEDIT
enum { HISTORY_SIZE = 1000 };

static HfLineEditor *owner_of(EditLine *edit) {
  void *editor = NULL;
  lib.el_get(edit, EL_CLIENTDATA, &editor);
  return editor;
}

static char *edit_prompt(EditLine *edit) { return (char *)owner_of(edit)->prompt; }

/* Bound to Tab. */
static unsigned char edit_complete(EditLine *edit, int key) {
  HfLineEditor *editor = owner_of(edit);
  const LineInfo *info = lib.el_line(edit);
  char *before = hf_strndup(info->buffer, (size_t)(info->cursor - info->buffer), NULL);
  if (!before) return CC_ERROR;
  HfCompletion found = editor->complete(editor->context, before);
  hf_free(before);
  if (found.insert && *found.insert) return lib.el_insertstr(edit, found.insert) ? CC_ERROR : CC_REFRESH;
  if (!found.show) return CC_ERROR;
  fprintf(stdout, "\n%s\n", found.show);
  fflush(stdout);
  return CC_REDISPLAY;
}

/* Editing counts columns, so characters must be known; the C locale of the environment is taken as UTF-8. */
static void use_utf8(void) {
  setlocale(LC_CTYPE, "");
  if (strcmp(nl_langinfo(CODESET), "UTF-8")) setlocale(LC_CTYPE, "C.UTF-8");
}

static void start_history(HfLineEditor *editor) {
  HistEvent event;
  editor->history = lib.history_init();
  if (!editor->history) return;
  lib.history(editor->history, &event, H_SETSIZE, HISTORY_SIZE);
  lib.history(editor->history, &event, H_SETUNIQUE, 1);
  if (editor->history_file) lib.history(editor->history, &event, H_LOAD, editor->history_file);
  lib.el_set(editor->edit, EL_HIST, lib.history, editor->history);
}

static void start_editing(HfLineEditor *editor) {
  if (!isatty(STDIN_FILENO) || !isatty(STDOUT_FILENO) || !open_library()) return;
  use_utf8();
  editor->edit = lib.el_init("hflua", stdin, stdout, stderr);
  if (!editor->edit) return;
  lib.el_set(editor->edit, EL_CLIENTDATA, editor);
  lib.el_set(editor->edit, EL_PROMPT, edit_prompt);
  lib.el_set(editor->edit, EL_EDITOR, "emacs");
  lib.el_set(editor->edit, EL_SIGNAL, 0);
  lib.el_set(editor->edit, EL_ADDFN, "complete", "complete the name at the cursor", edit_complete);
  lib.el_set(editor->edit, EL_BIND, "\t", "complete", NULL);
  lib.el_set(editor->edit, EL_BIND, "^R", "em-inc-search-prev", NULL);
  start_history(editor);
}

static void remember(HfLineEditor *editor, const char *line) {
  HistEvent event;
  if (editor->history && line[strspn(line, " \t\n")]) lib.history(editor->history, &event, H_ENTER, line);
}

/* The line with its line feed, owned by libedit; NULL as hf_line_editor_read. */
static const char *edit_line(HfLineEditor *editor) {
  int count = 0;
  const char *line = lib.el_gets(editor->edit, &count);
  if (!line || count <= 0) return NULL;
  remember(editor, line);
  return line;
}

static void stop_editing(HfLineEditor *editor) {
  HistEvent event;
  if (editor->history && editor->history_file) lib.history(editor->history, &event, H_SAVE, editor->history_file);
  if (editor->history) lib.history_end(editor->history);
  if (editor->edit) lib.el_end(editor->edit);
}
#else
static void start_editing(HfLineEditor *editor) {}
static const char *edit_line(HfLineEditor *editor) { return NULL; }
static void stop_editing(HfLineEditor *editor) {}
#endif

HfLineEditor *hf_line_editor_open(const char *history_file, HfComplete *complete, void *context) {
  HfLineEditor *editor = hf_calloc(sizeof *editor, "line editor", NULL);
  if (!editor) return NULL;
  editor->complete = complete;
  editor->context = context;
  if (history_file) editor->history_file = hf_strndup(history_file, strlen(history_file), NULL);
  start_editing(editor);
  return editor;
}

void hf_line_editor_close(HfLineEditor *editor) {
  if (!editor) return;
  stop_editing(editor);
  hf_free(editor->history_file);
  free(editor->line);
  hf_free(editor);
}

const char *hf_line_editor_read(HfLineEditor *editor, const char *prompt) {
  editor->prompt = prompt;
  const char *line = NULL;
  if (editor->edit) {
    line = edit_line(editor);
    if (!line) return NULL;
    free(editor->line);
    editor->line = strdup(line);
    if (!editor->line) return NULL;
  } else {
    fputs(prompt, stdout);
    fflush(stdout);
    if (getline(&editor->line, &editor->capacity, stdin) < 0) {
      if (!feof(stdin)) clearerr(stdin); /* a signal */
      return NULL;
    }
  }
  editor->line[strcspn(editor->line, "\n")] = '\0';
  return editor->line;
}
