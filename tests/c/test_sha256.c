/* The plain SHA-256 against published vectors; files use libcrypto where it is found, so the plain code is tested here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "sha256.h"

static void check(const char *text, size_t size, const char *expected) {
  uint8_t out[HF_SHA256_SIZE];
  char hex[HF_SHA256_HEX];
  hf_sha256(text, size, out);
  for (int i = 0; i < HF_SHA256_SIZE; i++) snprintf(hex + 2 * i, 3, "%02x", out[i]);
  assert_string_equal(hex, expected);
}

static void known_texts(void **state) {
  check("", 0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  check("abc", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const char *two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  check(two_blocks, strlen(two_blocks), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void a_million_letters(void **state) {
  char *text = malloc(1000000);
  memset(text, 'a', 1000000);
  check(text, 1000000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(known_texts), cmocka_unit_test(a_million_letters)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
