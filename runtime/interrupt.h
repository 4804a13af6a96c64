/* SIGINT and SIGTERM.
 *
 * The handler notes the signal. Where a loop polls (training, downloads: between hf_interrupt_defer(true) and the
 * matching hf_interrupt_defer(false)) nothing else happens: the loop ends its step, saves, and raises. Elsewhere
 * the handler calls `wake`, with which the program makes Lua raise at its next instruction. A second signal ends
 * the process at once, with status 128 + signal. */
#ifndef HF_INTERRUPT_H
#define HF_INTERRUPT_H
#include <stdbool.h>

/* Installs the handlers and ignores SIGPIPE. `wake` runs inside a signal handler. */
void hf_interrupt_install(void (*wake)(void));

/* The signal that arrived since the last clear (SIGINT, SIGTERM), or 0. */
int hf_interrupt_pending(void);
void hf_interrupt_clear(void);

/* While on, a signal is only noted. Returns the setting before. */
bool hf_interrupt_defer(bool on);

/* Ends the process with status 124 and one line on stderr when `seconds` have passed, whatever runs then: a signal does it,
 * since no hook of Lua runs inside a long call of a C function. */
void hf_interrupt_after(double seconds);

#endif
