/* --sandbox: what a stranger's recipe may reach. docs/internals/sandbox.md says what protects what.
 *
 *   hf_sandbox_keep_environment(with_token, network);   // before anything reads the environment
 *   hf_path_allow(...);                                 // sandbox_path.h: the folders
 *   hf_sandbox_enter(&settings, walls, err);            // for good: nothing below takes a wall down
 *
 * Code that opens connections asks hf_sandbox_network and hf_sandbox_may_send_token before it does, and puts its writes to the Hub
 * cache between hf_path_engine(true) and hf_path_engine(false). Without --sandbox everything is allowed. */
#ifndef HF_SANDBOX_H
#define HF_SANDBOX_H
#include <stdbool.h>
#include "error.h"

typedef enum HfNetwork {
  HF_NETWORK_NONE,     /* no connection at all */
  HF_NETWORK_ENDPOINT, /* the Hub's endpoint as configured, and where it redirects to */
  HF_NETWORK_ANY
} HfNetwork;

typedef struct HfSandbox {
  HfNetwork network;
  bool with_token; /* the Hub token may be sent */
} HfSandbox;

enum { HF_WALLS_SIZE = 160 };

/* An error where the working folder is no place for a stranger's files to be written (the home folder or one above it), or where the
 * loader would take libraries from it. */
bool hf_sandbox_check_folder(HfError *err);

/* Takes out of the environment all variables but those that hflua, its libraries and the terminal read, and overwrites their
 * bytes. The token stays with `with_token`, proxies with a network. */
void hf_sandbox_keep_environment(const HfSandbox *settings);

/* Seals the names of files and puts the walls of the kernel up, as far as this kernel has them; `walls` tells which are up. Before
 * any thread is started. */
bool hf_sandbox_enter(const HfSandbox *settings, char walls[HF_WALLS_SIZE], HfError *err);

bool hf_sandbox_is_on(void);
HfNetwork hf_sandbox_network(void);
bool hf_sandbox_may_send_token(void);

/* Landlock: file access beneath the allowed folders and the system's own alone, no connections without a network, no signals to
 * others. The version of the kernel's interface, or 0 when it has none (then nothing is done). -1 on failure, errno set. */
int hf_sandbox_landlock(HfNetwork network);
/* seccomp: no new programs or processes, no tracing, mounts or namespaces, no sockets without a network. 1, or 0 when the kernel or
 * the processor has no filter; -1 on failure. */
int hf_sandbox_seccomp(HfNetwork network);

#endif
