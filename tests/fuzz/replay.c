/* Runs a libFuzzer entry point over stored inputs: every file of the folders and files named on the command
 * line, each also cut short at several places and with single bytes changed. Used where the fuzzer's own
 * driver is not built. Exit status 77 when there was nothing to run. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static long inputs;

/* Gives the target an exact-sized copy, so that a sanitizer sees any read past its end. */
static void run(const uint8_t *data, size_t size) {
  uint8_t *copy = malloc(size ? size : 1);
  if (!copy) exit(1);
  memcpy(copy, data, size);
  LLVMFuzzerTestOneInput(copy, size);
  free(copy);
  inputs++;
}

static void run_variants(uint8_t *data, size_t size) {
  run(data, size);
  size_t step = size / 64 + 1;
  for (size_t cut = 0; cut < size; cut += step) run(data, cut);
  for (size_t at = 0; at < size; at += step) {
    static const uint8_t values[] = {0x00, 0x22, 0x7f, 0x80, 0xff};
    uint8_t old = data[at];
    for (size_t i = 0; i < sizeof values; i++) data[at] = values[i], run(data, size);
    data[at] = old;
  }
}

static void run_file(const char *path) {
  FILE *file = fopen(path, "rb");
  if (!file) return;
  static uint8_t data[1 << 20];
  size_t size = fread(data, 1, sizeof data, file);
  fclose(file);
  run_variants(data, size);
}

static void run_path(const char *path) {
  struct stat info;
  if (stat(path, &info)) return;
  if (!S_ISDIR(info.st_mode)) { run_file(path); return; }
  DIR *dir = opendir(path);
  for (struct dirent *entry; dir && (entry = readdir(dir));) {
    char name[4096];
    if (entry->d_name[0] == '.') continue;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    run_path(name);
  }
  if (dir) closedir(dir);
}

int main(int argc, char **argv) {
  for (int i = 1; i < argc; i++) run_path(argv[i]);
  printf("%ld inputs\n", inputs);
  return inputs ? 0 : 77;
}
