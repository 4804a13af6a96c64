/* The threads of a block as fibers on one host thread. A thread that never waits runs as a plain call; one that waits keeps
 * its fiber, and another fiber goes on with the threads behind it. Blocks run one after another. */
#include "emulation.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <vector>
#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif
#if !defined(__x86_64__)
#include <ucontext.h>
#endif

dim3 threadIdx, blockIdx, blockDim, gridDim;

enum { MAX_THREADS = 1024, STACK_BYTES = 256 << 10, SHARED_BYTES = 256 << 10 };
enum State { NEW, READY, AT_BARRIER, AT_WARP, DONE };

/* ---- switching between stacks */

struct Fiber {
#if defined(__x86_64__)
  void *sp;
#else
  ucontext_t context;
#endif
  char *stack; /* NULL for the scheduler, which has the program's own */
  void *fake;  /* the sanitizer's */
  size_t size;
};

#if defined(__x86_64__)
/* Saves the registers a call must keep and changes stacks (System V ABI). */
extern "C" void hf_fiber_switch(void **save_sp, void *load_sp);
__asm__(".text\n.type hf_fiber_switch,@function\n.hidden hf_fiber_switch\n.globl hf_fiber_switch\n"
        "hf_fiber_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n  ret\n"
        ".size hf_fiber_switch,.-hf_fiber_switch\n");
#endif

static Fiber scheduler, *running; /* running: the fiber that is not the scheduler */
static Fiber fibers[MAX_THREADS];
static int free_fibers[MAX_THREADS], free_count = -1;

static void switch_to(Fiber *from, Fiber *to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from->fake, to->stack, to->size);
#endif
#if defined(__x86_64__)
  hf_fiber_switch(&from->sp, to->sp);
#else
  swapcontext(&from->context, &to->context);
#endif
#if defined(__SANITIZE_ADDRESS__)
  const void *bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(from->fake, &bottom, &size);
#endif
}

/* ---- the block that runs */

static struct Block {
  HfEmulatedKernel *kernel;
  void *context;
  const char *name;
  int threads, next, alive, waiting;
  State state[MAX_THREADS];
  Fiber *fiber[MAX_THREADS]; /* of a thread that waits */
  int warp_waiting[MAX_THREADS / 32], warp_alive[MAX_THREADS / 32];
  unsigned turn[MAX_THREADS];  /* exchanges done: picks one of two slots */
} block;
static int current;
alignas(64) static char slots[2][MAX_THREADS][HF_EXCHANGE_BYTES];
alignas(64) static char shared_memory[SHARED_BYTES];

void *hf_emulated_shared(void) { return shared_memory; }

static void set_thread(int t) {
  current = t;
  threadIdx = dim3((unsigned)t % blockDim.x, (unsigned)t / blockDim.x % blockDim.y, (unsigned)t / blockDim.x / blockDim.y);
}

static void finish_thread(int t) {
  block.state[t] = DONE;
  block.alive--;
  block.warp_alive[t / 32]--;
}

/* What a fiber does: new threads one after another, until there are none; then it is free. */
static void run_threads(void) {
  while (block.next < block.threads) {
    int t = block.next++;
    set_thread(t);
    block.kernel(block.context);
    finish_thread(current);
  }
}

static void fiber_main(void) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(NULL, (const void **)&scheduler.stack, &scheduler.size);
#endif
  for (;;) {
    run_threads();
    free_fibers[free_count++] = (int)(running - fibers);
    switch_to(running, &scheduler);
  }
}

static void make_fiber(Fiber *f) {
  f->size = STACK_BYTES;
  f->stack = (char *)mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (f->stack == MAP_FAILED) perror("emulation: stack"), abort();
#if defined(__x86_64__)
  void **top = (void **)(f->stack + STACK_BYTES - 64);
  *--top = NULL; /* keeps the stack aligned as after a call */
  *--top = (void *)fiber_main;
  for (int i = 0; i < 6; i++) *--top = NULL;
  f->sp = top;
#else
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack, f->context.uc_stack.ss_size = STACK_BYTES;
  makecontext(&f->context, fiber_main, 0);
#endif
}

static Fiber *take_fiber(void) {
  if (free_count < 0) {
    free_count = MAX_THREADS;
    for (int i = 0; i < MAX_THREADS; i++) free_fibers[i] = MAX_THREADS - 1 - i;
  }
  Fiber *f = &fibers[free_fibers[--free_count]];
  if (!f->stack) make_fiber(f);
  return f;
}

static void resume(Fiber *f) {
  running = f;
  switch_to(&scheduler, f);
}

/* The running thread waits in its fiber; the scheduler goes on. */
static void wait_as(State state) {
  int t = current;
  block.state[t] = state;
  block.fiber[t] = running;
  Fiber *own = running;
  switch_to(own, &scheduler);
  running = own;
}

void __syncthreads(void) {
  block.waiting++;
  wait_as(AT_BARRIER);
}

const char *hf_emulated_exchange(const void *in, size_t size) {
  int t = current, warp = t / 32;
  unsigned slot = block.turn[t]++ & 1;
  memcpy(slots[slot][t], in, size);
  block.warp_waiting[warp]++;
  wait_as(AT_WARP);
  return slots[slot][warp * 32];
}

void hf_emulated_shuffle(void *out, const void *in, size_t size, int from) {
  int t = current;
  const char *all = hf_emulated_exchange(in, size);
  if (t / 32 * 32 + from >= block.threads) from = t % 32;
  memcpy(out, all + from * HF_EXCHANGE_BYTES, size);
}

/* ---- queued copies, of each thread in order */

struct Copy {
  void *to;
  const void *from;
  size_t size;
  int group;
};
static std::vector<Copy> copies[MAX_THREADS];
static int groups[MAX_THREADS]; /* closed so far in this block */

void hf_emulated_queue_copy(void *to, const void *from, size_t size) {
  memset(to, 0xff, size);
  copies[current].push_back(Copy{to, from, size, groups[current]});
}

void hf_emulated_commit_copies(void) { groups[current]++; }

void hf_emulated_wait_copies(int pending) {
  std::vector<Copy> &queue = copies[current];
  size_t done = 0;
  for (; done < queue.size() && queue[done].group < groups[current] - pending; done++) {
    const Copy &c = queue[done];
    if (c.from) memcpy(c.to, c.from, c.size);
    else memset(c.to, 0, c.size);
  }
  queue.erase(queue.begin(), queue.begin() + (long)done);
}

/* Threads whose wait is over become ready; true when there are any. */
static bool release(void) {
  bool any = false;
  for (int w = 0; w * 32 < block.threads; w++) {
    if (!block.warp_waiting[w] || block.warp_waiting[w] < block.warp_alive[w]) continue;
    block.warp_waiting[w] = 0;
    for (int t = w * 32; t < block.threads && t < w * 32 + 32; t++)
      if (block.state[t] == AT_WARP) block.state[t] = READY, any = true;
  }
  if (any || !block.waiting || block.waiting < block.alive) return any;
  block.waiting = 0;
  for (int t = 0; t < block.threads; t++)
    if (block.state[t] == AT_BARRIER) block.state[t] = READY;
  return true;
}

static void run_block(void) {
  block.next = block.waiting = 0;
  block.alive = block.threads;
  for (int t = 0; t < block.threads; t++) block.state[t] = NEW, block.turn[t] = 0, groups[t] = 0, copies[t].clear();
  for (int w = 0; w * 32 < block.threads; w++)
    block.warp_waiting[w] = 0, block.warp_alive[w] = block.threads - w * 32 < 32 ? block.threads - w * 32 : 32;
  while (block.next < block.threads) resume(take_fiber());
  while (block.alive > 0) {
    if (!release()) {
      fprintf(stderr, "emulation: %s: %d threads wait for others that have left or wait elsewhere\n", block.name, block.alive);
      abort();
    }
    for (int t = 0; t < block.threads; t++)
      if (block.state[t] == READY) {
        block.state[t] = NEW; /* running */
        set_thread(t);
        resume(block.fiber[t]);
      }
  }
}

void hf_emulate(HfEmulatedKernel *kernel, void *context, dim3 grid, dim3 threads, size_t shared, const char *name) {
  HfDeviceAccess access;
  int count = (int)(threads.x * threads.y * threads.z);
  if (count < 1 || count > MAX_THREADS || shared > SHARED_BYTES || !grid.x || !grid.y || !grid.z || grid.y > 65535 || grid.z > 65535) {
    fprintf(stderr, "emulation: %s: no device launches %u x %u x %u blocks of %d threads with %zu bytes\n", name, grid.x, grid.y, grid.z, count, shared);
    abort();
  }
  block.kernel = kernel, block.context = context, block.name = name, block.threads = count;
  blockDim = threads, gridDim = grid;
  for (unsigned z = 0; z < grid.z; z++)
    for (unsigned y = 0; y < grid.y; y++)
      for (unsigned x = 0; x < grid.x; x++) {
        blockIdx = dim3(x, y, z);
        memset(shared_memory, 0xff, shared); /* NaN: nothing may rest on what was there */
        run_block();
      }
}
