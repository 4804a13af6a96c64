/* SHA-1 and SHA-256 against published vectors: the plain code, and libcrypto where it is found. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "digest.h"

/* Adds `text` in parts of `part` bytes. */
static void check_parts(HfDigest *digest, const char *text, size_t size, size_t part, const char *expected) {
  char hex[HF_DIGEST_HEX];
  for (size_t at = 0; at < size; at += part) hf_digest_add(digest, text + at, size - at < part ? size - at : part);
  hf_digest_end(digest, hex);
  assert_string_equal(hex, expected);
}

static void check(HfDigestKind kind, const char *text, size_t size, const char *expected) {
  static const size_t parts[] = {1, 63, 64, 65, 1000003};
  HfDigest digest;
  for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
    hf_digest_start_plain(&digest, kind);
    check_parts(&digest, text, size, parts[i], expected);
    hf_digest_start(&digest, kind);
    check_parts(&digest, text, size, parts[i], expected);
  }
}

static const char two_blocks[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";

static void sha256_of_known_texts(void **state) {
  check(HF_SHA256, "", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  check(HF_SHA256, "abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  check(HF_SHA256, two_blocks, strlen(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void sha1_of_known_texts(void **state) {
  check(HF_SHA1, "", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709");
  check(HF_SHA1, "abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d");
  check(HF_SHA1, two_blocks, strlen(two_blocks), "84983e441c3bd26ebaae4aa1f95129e5e54670f1");
}

static void a_million_letters(void **state) {
  char *text = malloc(1000000);
  memset(text, 'a', 1000000);
  check(HF_SHA256, text, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  check(HF_SHA1, text, 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f");
  free(text);
}

/* `printf 'hello\n' | git hash-object --stdin` */
static void names_of_git(void **state) {
  char path[] = "/tmp/hflua-digest-XXXXXX", hex[HF_DIGEST_HEX];
  HfError err;
  int fd = mkstemp(path);
  assert_int_equal(write(fd, "hello\n", 6), 6);
  close(fd);
  assert_true(hf_digest_git_file(path, hex, &err));
  assert_string_equal(hex, "ce013625030ba8dba906f756967f9e9ca394464a");
  assert_true(hf_digest_file(path, HF_SHA256, hex, &err));
  assert_string_equal(hex, "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03");
  unlink(path);
  assert_false(hf_digest_git_file(path, hex, &err));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(sha256_of_known_texts), cmocka_unit_test(sha1_of_known_texts),
                                     cmocka_unit_test(a_million_letters), cmocka_unit_test(names_of_git)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
