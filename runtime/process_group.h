/* The processes of one run (MPI's ranks), and what they exchange through host memory.
 *
 * A program that mpirun or srun started with more than one process has a transport: hflua_mpi.so beside the program, opened at the
 * first call here. Every other program is a group of one, and nothing is opened.
 *
 *   const HfProcessGroup *group = hf_process_group(&err);
 *   if (group && group->size > 1) group->transport->all_reduce(HF_CHANNEL_MAIN, numbers, n, HF_FLOAT32, HF_SUM);
 *
 * Exchanges are called by all processes in the same order. They do not fail: when one cannot be done, MPI says why and ends all
 * processes, and so does a process that ends with an exit status other than 0.
 */
#ifndef HF_PROCESS_GROUP_H
#define HF_PROCESS_GROUP_H
#include "error.h"
#include "kernels.h"

/* Two exchanges may be under way at once when they go through different channels and the transport is `threaded`. */
typedef enum HfChannel { HF_CHANNEL_MAIN, HF_CHANNEL_BACKGROUND, HF_CHANNEL_COUNT } HfChannel;

#define HF_TRANSPORT_VERSION 1

struct HfProcessGroup;

/* What hflua_mpi.so fills. Buffers are host memory. Whoever waits for the others sleeps after a moment. */
typedef struct HfTransport {
  int version; /* HF_TRANSPORT_VERSION */
  bool threaded;
  bool (*open)(struct HfProcessGroup *out, char *why, size_t size); /* once */
  void (*barrier)(HfChannel channel); /* returns when all processes have called it */
  void (*broadcast)(void *bytes, int64_t size, int root);
  /* In place: float32, int64, uint8 with HF_SUM, HF_MAX or HF_MIN. The sum is the same to the bit in all processes. */
  void (*all_reduce)(HfChannel channel, void *data, int64_t n, HfDtype dtype, HfReduce op);
  void (*all_gather)(void *out, const void *in, int64_t size); /* out: size bytes of each process, in order of rank */
} HfTransport;

typedef HfTransport *HfTransportFn(void);

typedef struct HfProcessGroup {
  int rank, size;             /* of all processes */
  int local_rank, local_size; /* of those on this host */
  const HfTransport *transport; /* NULL when size is 1 */
} HfProcessGroup;

/* The group, opened at the first call; NULL with the reason when the transport cannot be had. err may be NULL. */
const HfProcessGroup *hf_process_group(HfError *err);

/* As the launcher says in the environment; nothing is opened. 0, 1, 0 without one. */
int hf_launched_rank(void);
int hf_launched_size(void);
int hf_launched_local_rank(void);

#endif
