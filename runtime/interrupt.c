/* SIGINT and SIGTERM: noted here, acted upon by a polling loop or by the program's wake function. SIGALRM: the end of --max-time. */
#include "interrupt.h"
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

static volatile sig_atomic_t pending, deferred;
static void (*wake_program)(void);

static void on_signal(int number) {
  if (pending) _exit(128 + number);
  pending = number;
  if (!deferred && wake_program) wake_program();
}

void hf_interrupt_install(void (*wake)(void)) {
  struct sigaction action = {.sa_handler = on_signal}; /* no SA_RESTART: a waiting read returns */
  sigemptyset(&action.sa_mask);
  wake_program = wake;
  sigaction(SIGINT, &action, NULL);
  sigaction(SIGTERM, &action, NULL);
  signal(SIGPIPE, SIG_IGN);
}

int hf_interrupt_pending(void) { return pending; }

void hf_interrupt_clear(void) { pending = 0; }

bool hf_interrupt_defer(bool on) {
  bool before = deferred;
  deferred = on;
  return before;
}

enum { STATUS_LIMIT = 124 };

static char time_message[80];

static void on_time_over(int number) {
  if (write(STDERR_FILENO, time_message, strlen(time_message)) < 0) _exit(STATUS_LIMIT); /* the line is lost, the limit is not */
  _exit(STATUS_LIMIT);
}

void hf_interrupt_after(double seconds) {
  struct sigaction action = {.sa_handler = on_time_over};
  struct itimerval timer = {.it_value = {(time_t)seconds, (suseconds_t)((seconds - (double)(time_t)seconds) * 1e6)}};
  snprintf(time_message, sizeof time_message, "hflua: --max-time=%.14g: the time is over\n", seconds);
  sigaction(SIGALRM, &action, NULL);
  setitimer(ITIMER_REAL, &timer, NULL);
}
