/* Test driver: an HTTP server on loopback that answers with what files say, to the byte, so that a test can make a Hub of any manners.
 * Usage: hub_server FOLDER. Prints its port. The answer to "GET /a/b?c" is the file FOLDER/GET/a/b (a folder there: FOLDER/GET/a/b/index):
 * first b.1, b.2, ... once each where they are, then b, else FOLDER/default. The file is sent as it is, headers and all; a first line
 * of its own may say how:
 *   !pause BYTES MS   that many bytes at a time, with a pause between
 *   !stall BYTES      that many bytes, then nothing more
 * Requests are written to FOLDER/log: "METHOD /path", then the headers Authorization, Range and If-Range, one to a line. The server
 * ends when FOLDER/stop is there, its parent is gone, or nobody asked for two minutes. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { REQUEST_LIMIT = 65536, NAME_LIMIT = 4096, LAST_NUMBER = 20, POLL_MS = 20, IDLE_MS = 120000 };

static const char *root;

/* Reads up to the empty line behind the headers; false when the client leaves before. */
static int read_request(int client, char *text) {
  size_t size = 0;
  while (size < REQUEST_LIMIT - 1) {
    ssize_t got = read(client, text + size, REQUEST_LIMIT - 1 - size);
    if (got <= 0) return 0;
    size += (size_t)got;
    text[size] = '\0';
    if (*text < 'A' || *text > 'Z') return 0; /* TLS */
    if (strstr(text, "\r\n\r\n")) return 1;
  }
  return 0;
}

/* One write, so that lines of requests at the same time stay together. */
static void write_log(const char *method, const char *path, char *headers) {
  static const char *const logged[] = {"authorization:", "range:", "if-range:"};
  char name[NAME_LIMIT], text[REQUEST_LIMIT];
  snprintf(name, sizeof name, "%s/log", root);
  int size = snprintf(text, sizeof text, "%s %s\n", method, path);
  for (char *line = strtok(headers, "\r\n"); line; line = strtok(NULL, "\r\n"))
    for (size_t i = 0; i < sizeof logged / sizeof *logged; i++)
      if (!strncasecmp(line, logged[i], strlen(logged[i]))) size += snprintf(text + size, sizeof text - (size_t)size, "%s\n", line);
  int log = open(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
  if (write(log, text, (size_t)size) != size) perror(name);
  close(log);
}

/* The file with the answer; numbered ones are used up. NULL when there is none. */
static FILE *find_answer(const char *method, const char *path) {
  char name[NAME_LIMIT], used[NAME_LIMIT + 8];
  struct stat info;
  if ((size_t)snprintf(name, sizeof name, "%s/%s%s", root, method, path) >= sizeof name) return NULL;
  if (!stat(name, &info) && S_ISDIR(info.st_mode)) strncat(name, "/index", sizeof name - strlen(name) - 1);
  size_t length = strlen(name);
  for (int number = 1; number <= LAST_NUMBER; number++) {
    snprintf(name + length, sizeof name - length, ".%d", number);
    snprintf(used, sizeof used, "%s.used", name);
    if (!rename(name, used)) return fopen(used, "rb");
  }
  name[length] = '\0';
  FILE *file = fopen(name, "rb");
  if (file) return file;
  snprintf(name, sizeof name, "%s/default", root);
  return fopen(name, "rb");
}

static void send_part(int client, FILE *file, long bytes, long pause_ms) {
  char part[65536];
  while (bytes > 0) {
    size_t got = fread(part, 1, bytes < (long)sizeof part ? (size_t)bytes : sizeof part, file);
    if (!got || write(client, part, got) != (ssize_t)got) exit(0);
    bytes -= (long)got;
  }
  usleep((useconds_t)pause_ms * 1000);
}

static void send_answer(int client, FILE *file) {
  char line[256] = "";
  long bytes = 1 << 30, pause_ms = 0;
  if (fgetc(file) == '!' && fgets(line, sizeof line, file)) {
    if (sscanf(line, "stall %ld", &bytes) == 1) pause_ms = 3600000;
    else if (sscanf(line, "pause %ld %ld", &bytes, &pause_ms) != 2) exit(1);
  } else {
    rewind(file);
  }
  for (;;) send_part(client, file, bytes, pause_ms); /* ends with the file */
}

/* In a process of its own. */
static void serve(int client) {
  static char text[REQUEST_LIMIT];
  char method[16], path[NAME_LIMIT];
  if (!read_request(client, text) || sscanf(text, "%15s %4000s", method, path) != 2 || strstr(path, "..")) exit(1);
  write_log(method, path, text);
  path[strcspn(path, "?")] = '\0';
  FILE *file = find_answer(method, path);
  if (file) send_answer(client, file);
  exit(0);
}

static int must_end(pid_t parent) {
  char name[NAME_LIMIT];
  snprintf(name, sizeof name, "%s/stop", root);
  return getppid() != parent || !access(name, F_OK);
}

int main(int argc, char **argv) {
  if (argc != 2) return fprintf(stderr, "usage: hub_server FOLDER\n"), 2;
  root = argv[1];
  pid_t parent = getppid();
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (server < 0 || bind(server, (struct sockaddr *)&address, size) || listen(server, 16) || getsockname(server, (struct sockaddr *)&address, &size))
    return perror("hub_server"), 1;
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  signal(SIGCHLD, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  setpgid(0, 0); /* what stalls goes with the server */
  for (int idle = 0; idle < IDLE_MS && !must_end(parent); idle += POLL_MS) {
    struct pollfd poller = {.fd = server, .events = POLLIN};
    if (poll(&poller, 1, POLL_MS) <= 0) continue;
    idle = 0;
    int client = accept(server, NULL, NULL);
    if (client >= 0 && !fork()) close(server), serve(client);
    if (client >= 0) close(client);
  }
  signal(SIGTERM, SIG_IGN);
  kill(0, SIGTERM);
  return 0;
}
