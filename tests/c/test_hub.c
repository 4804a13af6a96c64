/* URLs, headers, and what servers say in them: what is taken and what is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>
#include "hub/headers.h"
#include "hub/url.h"

static void check_parse(const char *text, const char *expected) {
  HfUrl url = {0};
  HfError err;
  HfBuffer out = {0};
  if (!hf_url_parse(text, &url, &err)) fail_msg("%s", err.message);
  assert_true(hf_url_write(&url, &out, &err));
  assert_string_equal(out.data, expected);
  hf_buffer_free(&out);
  hf_url_free(&url);
}

static void urls_are_written_anew(void **state) {
  check_parse("https://huggingface.co", "https://huggingface.co/");
  check_parse("HTTPS://HuggingFace.co:443/a?b#c", "https://huggingface.co/a?b");
  check_parse("http://127.0.0.1:8080?x", "http://127.0.0.1:8080/?x");
  check_parse("http://[::1]:80/x", "http://[::1]/x");
  check_parse("https://h/a b\xc3\xa4", "https://h/a%20b%C3%A4");
}

static void urls_that_are_refused(void **state) {
  static const char *const texts[] = {"", "huggingface.co", "ftp://h/", "file:///etc/passwd", "https://", "https:///x", "https://u@h/", "https://u:p@h/",
                                      "https://h:0/", "https://h:65536/", "https://h:99999999999999/", "https://h:x/", "https://h\\@evil/", "https://h\r\nX: y/",
                                      "https://h/\r\nX: y", "https://[::1/", "https://[]/", "https://h%00/", "http:/h/"};
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    HfUrl url = {0};
    HfError err;
    if (hf_url_parse(texts[i], &url, &err)) fail_msg("taken: %s", texts[i]);
    assert_null(url.target.data);
  }
}

static void check_resolve(const char *location, const char *expected, bool same_origin) {
  HfUrl base = {0}, url = {0};
  HfError err;
  HfBuffer out = {0};
  assert_true(hf_url_parse("https://hub/a/b?c=/d", &base, &err));
  if (!hf_url_resolve(&base, location, &url, &err)) fail_msg("%s", err.message);
  assert_true(hf_url_write(&url, &out, &err));
  assert_string_equal(out.data, expected);
  assert_int_equal(hf_url_same_origin(&base, &url), same_origin);
  hf_buffer_free(&out);
  hf_url_free(&url);
  hf_url_free(&base);
}

static void where_redirects_point(void **state) {
  check_resolve("/x?y", "https://hub/x?y", true);
  check_resolve("x", "https://hub/a/x", true);
  check_resolve("?x", "https://hub/a/b?x", true);
  check_resolve("", "https://hub/a/b", true);
  check_resolve("//hub/x", "https://hub/x", true);
  check_resolve("//cdn/x", "https://cdn/x", false);
  check_resolve("https://HUB:443/x", "https://hub/x", true);
  check_resolve("https://hub:8443/x", "https://hub:8443/x", false);
  check_resolve("http://hub/x", "http://hub/x", false);
  check_resolve("https://hub.evil/x", "https://hub.evil/x", false);
}

static void add(HfHeaders *headers, const char *line) { assert_true(hf_headers_add(headers, line, strlen(line), NULL)); }

static void headers_of_the_last_answer(void **state) {
  HfHeaders headers = {0};
  add(&headers, "HTTP/1.1 100 Continue\r\n");
  add(&headers, "X-Old: 1\r\n");
  add(&headers, "HTTP/1.1 200 OK\r\n");
  add(&headers, "X-Repo-Commit:  abc \r\n");
  add(&headers, "x-repo-commit: def\r\n");
  add(&headers, "nonsense\r\n");
  add(&headers, "X-Control: a\001b\r\n");
  assert_string_equal(hf_headers_get(&headers, "x-repo-commit"), "abc");
  assert_null(hf_headers_get(&headers, "x-old"));
  assert_null(hf_headers_get(&headers, "x-control"));
  hf_headers_free(&headers);
}

static void sizes_and_ranges(void **state) {
  uint64_t n;
  assert_true(hf_parse_size("18446744073709551615", &n) && n == UINT64_MAX);
  assert_false(hf_parse_size("18446744073709551616", &n) || hf_parse_size("", &n) || hf_parse_size("-1", &n) || hf_parse_size("1 ", &n));
  assert_true(hf_parse_content_range("bytes 4-9/10", 10, &n) && n == 4);
  static const char *const wrong[] = {"bytes 4-8/10", "bytes 4-9/11", "bytes 4-9/*", "bytes 9-4/10", "4-9/10", "bytes 4-/10", "bytes -9/10", "bytes 4-9/10x", ""};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(hf_parse_content_range(wrong[i], 10, &n));
  assert_false(hf_parse_content_range("bytes 0-18446744073709551615/0", 0, &n));
}

static void etags(void **state) {
  char etag[65];
  const char *hex = "0123456789abcdef0123456789abcdef01234567";
  assert_true(hf_parse_etag("W/\"0123456789abcdef0123456789abcdef01234567\"", etag));
  assert_string_equal(etag, hex);
  assert_true(hf_parse_etag(hex, etag) && hf_is_commit(hex));
  static const char *const wrong[] = {"", "\"\"", "../x", "\"0123456789abcdef0123456789abcdef01234567", "0123456789ABCDEF0123456789abcdef01234567", "0123456789abcdef", "W/"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) assert_false(hf_parse_etag(wrong[i], etag) || hf_is_commit(wrong[i]));
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(urls_are_written_anew), cmocka_unit_test(urls_that_are_refused), cmocka_unit_test(where_redirects_point),
                                     cmocka_unit_test(headers_of_the_last_answer), cmocka_unit_test(sizes_and_ranges), cmocka_unit_test(etags)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
