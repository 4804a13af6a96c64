/* SIGINT and SIGTERM: noted here, acted upon by a polling loop or by the program's wake function. */
#include "interrupt.h"
#include <signal.h>
#include <stddef.h>
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
