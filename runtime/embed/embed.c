/* Build tool: writes a C file that holds Lua sources as byte arrays.
 * Usage: hflua_embed OUT.c ROOT FILE...    (FILE relative to ROOT: hflua/nn/linear.lua becomes module hflua.nn.linear) */
#include <stdio.h>
#include <string.h>

static void write_bytes(FILE *out, FILE *in, int index) {
  fprintf(out, "static const unsigned char source_%d[] = {", index);
  for (int c, n = 0; (c = fgetc(in)) != EOF; n++) fprintf(out, n % 32 ? "%d," : "\n%d,", c);
  fprintf(out, "0};\n");
}

/* hflua/init.lua -> hflua, hflua/nn/linear.lua -> hflua.nn.linear */
static void write_module_name(FILE *out, const char *file) {
  size_t length = strlen(file) - strlen(".lua");
  const char *init = "/init";
  if (length > strlen(init) && !strncmp(file + length - strlen(init), init, strlen(init))) length -= strlen(init);
  for (size_t i = 0; i < length; i++) fputc(file[i] == '/' ? '.' : file[i], out);
}

int main(int argc, char **argv) {
  if (argc < 3) return fprintf(stderr, "usage: hflua_embed OUT.c ROOT FILE...\n"), 2;
  FILE *out = fopen(argv[1], "w");
  if (!out) return perror(argv[1]), 1;
  for (int i = 3; i < argc; i++) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", argv[2], argv[i]);
    FILE *in = fopen(path, "rb");
    if (!in) return perror(path), 1;
    write_bytes(out, in, i);
    fclose(in);
  }
  fprintf(out, "#include \"state.h\"\nconst HfEmbeddedSource hf_embedded_sources[] = {\n");
  for (int i = 3; i < argc; i++) {
    fprintf(out, "  {\"");
    write_module_name(out, argv[i]);
    fprintf(out, "\", (const char *)source_%d, sizeof source_%d - 1},\n", i, i);
  }
  fprintf(out, "  {0, 0, 0}};\n");
  return fclose(out) ? 1 : 0;
}
