/* One process at a time in a folder: an advisory lock on a file that names its holder.
 *
 *   HfFileLock *lock = hf_file_lock("out/.lock", err);
 *   ...
 *   hf_file_unlock(lock);   // also when the process ends
 */
#ifndef HF_FILE_LOCK_H
#define HF_FILE_LOCK_H
#include <stdbool.h>
#include "error.h"

typedef struct HfFileLock HfFileLock;

/* Makes the file if need be and writes the process id into it. NULL when another process (named in the error) holds it. */
HfFileLock *hf_file_lock(const char *path, HfError *err);
/* As above for a file that many wait for in turn: nothing is written into it, and *held tells when another process holds it. */
HfFileLock *hf_file_try_lock(const char *path, bool *held, HfError *err);
void hf_file_unlock(HfFileLock *lock); /* NULL is fine */

#endif
