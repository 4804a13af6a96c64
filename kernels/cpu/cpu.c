/* The processor's kernel table: the best instruction set the machine has, chosen once. */
#include "cpu.h"
#include "product_library.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void hf_cpu_plain_fill(HfKernels *k);
#ifdef HF_X86_64
void hf_cpu_v3_fill(HfKernels *k);
void hf_cpu_v4_fill(HfKernels *k);
#endif

typedef struct InstructionSet {
  const char *name, *title;
  bool (*is_supported)(void);
  void (*fill)(HfKernels *k);
} InstructionSet;

static bool supports_plain(void) { return true; }

#ifdef HF_X86_64
static bool supports_v3(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2");
}

static bool supports_v4(void) {
  return supports_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#define PLAIN_TITLE "x86-64"
#else
#define PLAIN_TITLE "plain C"
#endif

static const InstructionSet instruction_sets[] = { /* best first */
#ifdef HF_X86_64
  {"v4", "x86-64-v4", supports_v4, hf_cpu_v4_fill},
  {"v3", "x86-64-v3", supports_v3, hf_cpu_v3_fill},
#endif
  {"plain", PLAIN_TITLE, supports_plain, hf_cpu_plain_fill},
};

/* The set HFLUA_ISA names when the machine has it, else the best one. */
static const InstructionSet *choose(void) {
  const char *wanted = getenv("HFLUA_ISA");
  const InstructionSet *last = instruction_sets + sizeof instruction_sets / sizeof *instruction_sets - 1, *best = NULL;
  for (const InstructionSet *set = last; set >= instruction_sets; set--) {
    if (!set->is_supported()) continue;
    best = set;
    if (wanted && !strcmp(wanted, set->name)) break;
  }
  return best;
}

static const InstructionSet *chosen;

const HfKernels *hf_cpu_kernels(void) {
  static HfKernels table;
  if (chosen) return &table;
  const InstructionSet *set = choose();
  table.name = "cpu";
  hf_host_fill_table(&table);
  set->fill(&table);
  chosen = set;
  return &table;
}

const char *hf_cpu_description(void) {
  static char text[128];
  hf_cpu_kernels();
  int threads = hf_thread_count();
  snprintf(text, sizeof text, "%s, %s, %d thread%s", chosen->title, hf_product_library()->name, threads, threads == 1 ? "" : "s");
  return text;
}
