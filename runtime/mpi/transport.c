/* hflua_mpi.so: the transport of a process group (process_group.h) over MPI.
 *
 * MPI is told of the end of the program by a function that runs at exit: a process that ends with status 0 leaves in peace, one that
 * fails takes the others with it, which else would wait for it for ever. */
#include "memory.h"
#include "process_group.h"
#include <mpi.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PIECE = 1 << 28 }; /* most elements of one message */

static MPI_Comm channels[HF_CHANNEL_COUNT];
static HfTransport transport;

/* ---- farewells: a process that ends tells the others, so that one that waits for it does not wait for ever */

static struct {
  MPI_Comm comm;
  MPI_Request *from; /* one receive for each process; its own is null */
  int rank, size;
  pthread_mutex_t lock;
  time_t since; /* when somebody was first seen to have left; 0: nobody */
  int who;
} farewell = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool open_farewells(void) {
  MPI_Comm_dup(MPI_COMM_WORLD, &farewell.comm);
  MPI_Comm_rank(farewell.comm, &farewell.rank);
  MPI_Comm_size(farewell.comm, &farewell.size);
  farewell.from = hf_malloc((size_t)farewell.size * sizeof(MPI_Request), "processes", NULL);
  for (int r = 0; r < farewell.size && farewell.from; r++) {
    farewell.from[r] = MPI_REQUEST_NULL;
    if (r != farewell.rank) MPI_Irecv(NULL, 0, MPI_BYTE, r, 0, farewell.comm, &farewell.from[r]);
  }
  return farewell.from != NULL;
}

static long patience(void) {
  const char *given = getenv("HFLUA_MPI_PATIENCE");
  return given && *given ? atol(given) : 30;
}

/* Called while this process waits for an exchange. Whoever left had made all exchanges of its own, and they cannot be done before
 * all have come, so this one will not be: after a while, in which the last messages arrive, all end. */
static void look_for_leavers(void) {
  int found = 0, who = MPI_UNDEFINED;
  pthread_mutex_lock(&farewell.lock);
  if (!farewell.since) MPI_Testany(farewell.size, farewell.from, &who, &found, MPI_STATUS_IGNORE);
  if (found && who != MPI_UNDEFINED) farewell.since = time(NULL), farewell.who = who;
  bool is_over = farewell.since && time(NULL) - farewell.since > patience();
  pthread_mutex_unlock(&farewell.lock);
  if (!is_over) return;
  fprintf(stderr, "hflua (process %d of %d): waits for process %d, which has ended: all processes must make the same calls of Trainer and Accelerator\n",
          farewell.rank, farewell.size, farewell.who);
  MPI_Abort(MPI_COMM_WORLD, 1);
}

static void pause_shortly(void) { nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL); }

static void say_farewell(void) {
  for (int r = 0; r < farewell.size; r++)
    if (r != farewell.rank) MPI_Send(NULL, 0, MPI_BYTE, r, 0, farewell.comm);
  for (int done = 0; MPI_Testall(farewell.size, farewell.from, &done, MPI_STATUSES_IGNORE) == MPI_SUCCESS && !done;) pause_shortly();
}

static void at_exit(int status, void *data) {
  int finalized = 0;
  (void)data;
  if (MPI_Finalized(&finalized) != MPI_SUCCESS || finalized) return;
  if (status) MPI_Abort(MPI_COMM_WORLD, status);
  say_farewell();
  MPI_Finalize();
}

static void read_local(HfProcessGroup *out) {
  MPI_Comm local;
  MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &local);
  MPI_Comm_rank(local, &out->local_rank);
  MPI_Comm_size(local, &out->local_size);
  MPI_Comm_free(&local);
}

static bool open_group(HfProcessGroup *out, char *why, size_t size) {
  int provided;
  if (MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided) != MPI_SUCCESS) return snprintf(why, size, "MPI_Init_thread failed"), false;
  on_exit(at_exit, NULL);
  transport.threaded = provided == MPI_THREAD_MULTIPLE;
  MPI_Comm_rank(MPI_COMM_WORLD, &out->rank);
  MPI_Comm_size(MPI_COMM_WORLD, &out->size);
  read_local(out);
  if (!open_farewells()) return snprintf(why, size, "out of memory"), false;
  for (int i = 0; i < HF_CHANNEL_COUNT; i++) MPI_Comm_dup(MPI_COMM_WORLD, &channels[i]);
  return true;
}

/* MPI's own waiting looks all the time, and takes the core from who computes on it. This sleeps after some microseconds. */
static void wait_for(MPI_Request *request) {
  enum { LOOKS = 200, LOOKS_FOR_LEAVERS = 1000 };
  for (int done = 0, looks = 0; MPI_Test(request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && !done; looks++) {
    if (looks >= LOOKS) pause_shortly();
    if (looks % LOOKS_FOR_LEAVERS == LOOKS_FOR_LEAVERS - 1) look_for_leavers();
  }
}

static void barrier(HfChannel channel) {
  MPI_Request request;
  MPI_Ibarrier(channels[channel], &request);
  wait_for(&request);
}

/* Small messages are waited for asleep; before a large one all meet, so that it waits for nobody. */
static bool is_small(int64_t bytes) { return bytes <= 65536; }
static int piece_of(int64_t left) { return left < PIECE ? (int)left : PIECE; }

static void broadcast(void *bytes, int64_t size, int root) {
  barrier(HF_CHANNEL_MAIN); /* also so that `root` does not leave before all have come */
  for (int64_t at = 0; at < size; at += PIECE) MPI_Bcast((char *)bytes + at, piece_of(size - at), MPI_BYTE, root, channels[HF_CHANNEL_MAIN]);
}

static MPI_Datatype type_of(HfDtype dtype) { return dtype == HF_FLOAT32 ? MPI_FLOAT : dtype == HF_INT64 ? MPI_INT64_T : MPI_UINT8_T; }
static MPI_Op op_of(HfReduce op) { return op == HF_MAX ? MPI_MAX : op == HF_MIN ? MPI_MIN : MPI_SUM; }

static void all_reduce(HfChannel channel, void *data, int64_t n, HfDtype dtype, HfReduce op) {
  MPI_Request request;
  int64_t element = dtype == HF_FLOAT32 ? sizeof(float) : dtype == HF_INT64 ? sizeof(int64_t) : 1;
  if (is_small(n * element)) {
    MPI_Iallreduce(MPI_IN_PLACE, data, (int)n, type_of(dtype), op_of(op), channels[channel], &request);
    wait_for(&request);
    return;
  }
  barrier(channel);
  for (int64_t at = 0; at < n; at += PIECE)
    MPI_Allreduce(MPI_IN_PLACE, (char *)data + at * element, piece_of(n - at), type_of(dtype), op_of(op), channels[channel]);
}

/* Blocks too large for one message go from each process in turn. */
static void gather_in_turn(char *out, const void *in, int64_t size) {
  int rank, count;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &count);
  memcpy(out + rank * size, in, (size_t)size);
  for (int r = 0; r < count; r++) broadcast(out + r * size, size, r);
}

static void all_gather(void *out, const void *in, int64_t size) {
  MPI_Request request;
  MPI_Comm comm = channels[HF_CHANNEL_MAIN];
  if (is_small(size)) {
    MPI_Iallgather(in, (int)size, MPI_BYTE, out, (int)size, MPI_BYTE, comm, &request);
    wait_for(&request);
  } else if (size <= PIECE) {
    barrier(HF_CHANNEL_MAIN);
    MPI_Allgather(in, (int)size, MPI_BYTE, out, (int)size, MPI_BYTE, comm);
  } else {
    gather_in_turn(out, in, size);
  }
}

static HfTransport transport = {.version = HF_TRANSPORT_VERSION,
                                .open = open_group,
                                .barrier = barrier,
                                .broadcast = broadcast,
                                .all_reduce = all_reduce,
                                .all_gather = all_gather};

HfTransport *hf_transport(void);
__attribute__((visibility("default"))) HfTransport *hf_transport(void) { return &transport; }
