/* A seccomp filter: a short program that the kernel runs at every system call. Calls that no recipe needs get EPERM: those that start
 * programs or processes, look into or signal other processes, change mounts, namespaces or identities, reach the kernel by
 * unusual ways, and, without a network, make sockets. */
#include "sandbox.h"
#include <stddef.h>
#include <stdint.h>

#if defined(__x86_64__) || defined(__aarch64__)
#if __has_include(<linux/seccomp.h>)
#define HAVE_SECCOMP 1
#endif
#endif

#ifdef HAVE_SECCOMP
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef __x86_64__
enum { ARCHITECTURE = AUDIT_ARCH_X86_64, X32_BIT = 0x40000000 };
#else
enum { ARCHITECTURE = AUDIT_ARCH_AARCH64, X32_BIT = 0x40000000 };
#endif

enum { OPEN_BY_NEWER_CLONE = 435, MAX_LENGTH = 400 };

static const int refused[] = {
    SYS_execve, SYS_execveat,
#ifdef SYS_fork
    SYS_fork, SYS_vfork,
#endif
    SYS_ptrace, SYS_process_vm_readv, SYS_process_vm_writev, SYS_kcmp, SYS_tkill, SYS_rt_sigqueueinfo, SYS_rt_tgsigqueueinfo, 424 /* pidfd_send_signal */,
    434 /* pidfd_open */, 438 /* pidfd_getfd */, 440 /* process_madvise */, 448 /* process_mrelease */,
    SYS_mount, SYS_umount2, SYS_pivot_root, SYS_chroot, SYS_unshare, SYS_setns, 428 /* open_tree */, 429 /* move_mount */, 430 /* fsopen */,
    431 /* fsconfig */, 432 /* fsmount */, 433 /* fspick */, 442 /* mount_setattr */, SYS_quotactl, SYS_swapon, SYS_swapoff, SYS_acct,
    425 /* io_uring_setup */, 426 /* io_uring_enter */, 427 /* io_uring_register */,
    SYS_bpf, SYS_perf_event_open, SYS_userfaultfd, SYS_add_key, SYS_request_key, SYS_keyctl, SYS_open_by_handle_at, SYS_name_to_handle_at,
    SYS_init_module, SYS_finit_module, SYS_delete_module, SYS_kexec_load, SYS_reboot, SYS_personality, SYS_settimeofday, SYS_clock_settime,
    SYS_adjtimex, SYS_sethostname, SYS_setdomainname, SYS_syslog, SYS_vhangup,
    SYS_setuid, SYS_setgid, SYS_setreuid, SYS_setregid, SYS_setresuid, SYS_setresgid, SYS_setgroups, SYS_setfsuid, SYS_setfsgid, SYS_capset,
    SYS_linkat, SYS_mknodat, SYS_fchownat, SYS_fchown,
#ifdef __x86_64__
    SYS_link, SYS_mknod, SYS_chown, SYS_lchown, SYS_iopl, SYS_ioperm, SYS_modify_ldt, SYS_uselib,
#endif
};
static const int refused_links[] = { /* the Hub cache is made of them */
    SYS_symlinkat,
#ifdef SYS_symlink
    SYS_symlink,
#endif
};
static const int refused_sockets[] = {SYS_socket, SYS_socketpair, SYS_connect, SYS_bind, SYS_listen};

typedef struct Program {
  struct sock_filter code[MAX_LENGTH];
  unsigned short length;
} Program;

static void add(Program *p, unsigned short code, uint32_t value, uint8_t if_true, uint8_t if_false) {
  p->code[p->length++] = (struct sock_filter){code, if_true, if_false, value};
}

static void load(Program *p, size_t offset) { add(p, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0); }
static void give(Program *p, uint32_t action) { add(p, BPF_RET | BPF_K, action, 0, 0); }
static void give_error(Program *p, int error) { give(p, SECCOMP_RET_ERRNO | (uint32_t)error); }
static void load_number(Program *p) { load(p, offsetof(struct seccomp_data, nr)); }
/* The lower half of an argument, on the little-endian processors named above. */
static void load_argument(Program *p, int i) { load(p, offsetof(struct seccomp_data, args) + 8 * (size_t)i); }

static void refuse(Program *p, const int *numbers, size_t count) {
  for (size_t i = 0; i < count; i++) {
    add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)numbers[i], 0, 1);
    give_error(p, EPERM);
  }
}

/* A call that is allowed only where its argument i is `value`. */
static void allow_value(Program *p, int number, int i, uint32_t value) {
  add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
  load_argument(p, i);
  add(p, BPF_JMP | BPF_JEQ | BPF_K, value, 1, 0);
  give_error(p, EPERM);
  give(p, SECCOMP_RET_ALLOW);
}

/* A call that is refused where its argument i is `value`. */
static void refuse_value(Program *p, int number, int i, uint32_t value) {
  add(p, BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 4);
  load_argument(p, i);
  add(p, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
  give_error(p, EPERM);
  load_number(p);
}

/* clone makes threads alone; the newer call, whose flags lie in memory, is said not to be there, so that clone is used. */
static void allow_threads(Program *p) {
  add(p, BPF_JMP | BPF_JEQ | BPF_K, OPEN_BY_NEWER_CLONE, 0, 1);
  give_error(p, ENOSYS);
  add(p, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
  load_argument(p, 0);
  add(p, BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0);
  give_error(p, EPERM);
  give(p, SECCOMP_RET_ALLOW);
}

static void write_program(Program *p, HfNetwork network) {
  load(p, offsetof(struct seccomp_data, arch));
  add(p, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
  give(p, SECCOMP_RET_KILL_PROCESS);
  load_number(p);
  add(p, BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1);
  give_error(p, ENOSYS);
  refuse(p, refused, sizeof refused / sizeof *refused);
  if (network == HF_NETWORK_NONE) {
    refuse(p, refused_sockets, sizeof refused_sockets / sizeof *refused_sockets);
    refuse(p, refused_links, sizeof refused_links / sizeof *refused_links);
  }
  refuse_value(p, SYS_ioctl, 1, TIOCSTI); /* types into the terminal */
  refuse_value(p, SYS_ioctl, 1, TIOCLINUX);
  allow_threads(p);
  allow_value(p, SYS_prlimit64, 0, 0);
  allow_value(p, SYS_kill, 0, (uint32_t)getpid());
  allow_value(p, SYS_tgkill, 0, (uint32_t)getpid());
  give(p, SECCOMP_RET_ALLOW);
}

int hf_sandbox_seccomp(HfNetwork network) {
  Program program = {.length = 0};
  write_program(&program, network);
  struct sock_fprog filter = {.len = program.length, .filter = program.code};
  if (!syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &filter)) return 1;
  return errno == ENOSYS || errno == EINVAL ? 0 : -1;
}
#else
int hf_sandbox_seccomp(HfNetwork network) { return 0; }
#endif
