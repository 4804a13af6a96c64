/* The group of processes: read from the launcher's environment, joined through hflua_mpi.so when there is more than one. */
#include "process_group.h"
#include "library.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- what the launcher says: Open MPI's mpirun; MPICH, Intel MPI and srun with PMI; srun with PMIx */

static int number_of(const char *const *names, int otherwise) {
  for (; *names; names++) {
    const char *text = getenv(*names);
    if (text && *text >= '0' && *text <= '9') return atoi(text);
  }
  return otherwise;
}

int hf_launched_size(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", NULL}, *const slurm[] = {"SLURM_STEP_NUM_TASKS", NULL};
  return number_of(names, getenv("PMIX_RANK") ? number_of(slurm, 1) : 1);
}

int hf_launched_rank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", NULL};
  return hf_launched_size() > 1 ? number_of(names, 0) : 0;
}

int hf_launched_local_rank(void) {
  static const char *const names[] = {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "SLURM_LOCALID", NULL};
  return hf_launched_size() > 1 ? number_of(names, 0) : 0;
}

/* ---- joining */

static HfProcessGroup group = {.size = 1, .local_size = 1};
static bool was_tried, is_joined;
static HfError failure; /* of the one try */

static bool join(HfError *err) {
  static const HfLibrary library = {"MPI", "hflua_mpi.so", "HFLUA_MPI_LIBRARY", "hf_transport", "none was found when it was built (libopenmpi-dev)"};
  char why[384];
  HfTransportFn *get;
  *(void **)&get = hf_library_open(&library, why, sizeof why);
  if (!get) return hf_error_set(err, "%d processes were started, but %s; start one process", hf_launched_size(), why);
  HfTransport *transport = get();
  if (transport->version != HF_TRANSPORT_VERSION) return hf_error_set(err, "hflua_mpi.so belongs to another version of hflua");
  HfProcessGroup joined = {.transport = transport};
  if (!transport->open(&joined, why, sizeof why)) return hf_error_set(err, "%s", why);
  if (joined.size != hf_launched_size())
    return hf_error_set(err, "%d processes were started, MPI knows %d: hflua_mpi.so was built for another MPI than the one that started them",
                        hf_launched_size(), joined.size);
  group = joined;
  return true;
}

const HfProcessGroup *hf_process_group(HfError *err) {
  if (hf_launched_size() <= 1) return &group;
  if (!was_tried) is_joined = join(&failure);
  was_tried = true;
  if (!is_joined && err) *err = failure;
  return is_joined ? &group : NULL;
}
