/* Test driver: runs a program on a terminal of its own and talks to it as a person would.
 * Usage: pty SCRIPT PROGRAM [ARGS]. Each line of SCRIPT is one step:
 *   type TEXT      types TEXT once the program edits a line; \r \t \n \e \\ and \xHH are escapes
 *   send TEXT      types TEXT at once
 *   expect TEXT    waits up to 10 s until TEXT appears after what the last expect matched (same escapes)
 *   eof            waits until the program closes the terminal, silent for at most 10 s
 * Exit status: the program's when every step went well, 99 after a failed step, 77 where
 * the system gives no terminals. */
#include <errno.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

enum { LIMIT_MS = 10000, FAILED = 99, NO_TERMINAL = 77 };

static int terminal;
static pid_t child;
static char seen[1 << 20]; /* all output so far, NUL-terminated */
static size_t seen_size, matched;

/* Replaces the escapes of a script line in place. */
static void unescape(char *text) {
  static const char letters[] = "rtne\\", values[] = "\r\t\n\033\\";
  char *out = text;
  for (; *text; text++) {
    const char *letter = *text == '\\' && text[1] ? strchr(letters, text[1]) : NULL;
    unsigned code;
    if (letter) *out++ = values[letter - letters], text++;
    else if (!strncmp(text, "\\x", 2) && sscanf(text + 2, "%2x", &code) == 1) *out++ = (char)code, text += 3;
    else *out++ = *text;
  }
  *out = '\0';
}

/* Waits up to `ms` for output and adds it; 0 at the end of the program or the time. */
static int read_some(int ms) {
  struct pollfd poller = {.fd = terminal, .events = POLLIN};
  if (poll(&poller, 1, ms) <= 0) return 0;
  ssize_t n = read(terminal, seen + seen_size, sizeof seen - 1 - seen_size);
  if (n <= 0) return 0;
  seen_size += (size_t)n;
  seen[seen_size] = '\0';
  return 1;
}

static int fail(const char *step) {
  fprintf(stderr, "pty: step failed: %s\n---- output since the last match:\n%s\n----\n", step, seen + matched);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
  return FAILED;
}

static int expect(const char *text) {
  for (;;) {
    char *found = strstr(seen + matched, text);
    if (found) return matched = (size_t)(found - seen) + strlen(text), 1;
    if (!read_some(LIMIT_MS)) return 0;
  }
}

/* Line editing has begun when the terminal is no longer in canonical mode. */
static int wait_for_editing(void) {
  struct termios mode;
  for (int waited = 0; waited < LIMIT_MS; waited++) {
    if (!tcgetattr(terminal, &mode) && !(mode.c_lflag & ICANON)) return 1;
    usleep(1000);
  }
  return 0;
}

static int type(const char *text) { return write(terminal, text, strlen(text)) == (ssize_t)strlen(text); }

static int run_step(char *step) {
  char *text = strchr(step, ' ');
  if (!strcmp(step, "eof")) {
    while (read_some(LIMIT_MS)) {}
    return 1;
  }
  if (!text) return 0;
  unescape(++text);
  if (!strncmp(step, "type ", 5)) return wait_for_editing() && type(text);
  if (!strncmp(step, "send ", 5)) return type(text);
  return !strncmp(step, "expect ", 7) && expect(text);
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "usage: pty SCRIPT PROGRAM [ARGS]\n"), FAILED;
  FILE *script = fopen(argv[1], "r");
  if (!script) return perror(argv[1]), FAILED;
  struct winsize size = {.ws_row = 40, .ws_col = 100};
  child = forkpty(&terminal, NULL, NULL, &size);
  if (child < 0) return perror("forkpty"), NO_TERMINAL;
  if (!child) {
    execv(argv[2], argv + 2);
    _exit(127);
  }
  char line[4096], copy[4096];
  while (fgets(line, sizeof line, script)) {
    line[strcspn(line, "\n")] = '\0';
    strcpy(copy, line);
    if (*line && *line != '#' && !run_step(line)) return fail(copy);
  }
  int status, waited = 0;
  while (waitpid(child, &status, WNOHANG) == 0) {
    if ((waited += 10) > LIMIT_MS) return fail("the program ends");
    usleep(10000);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : FAILED;
}
