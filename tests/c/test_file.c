/* Files and folders: whole reads, atomic writes, private mappings, folders, wrong kinds of files. Runs in tests/. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "file.h"

static char folder[64];

static const char *inside(const char *name) {
  static char path[8][256];
  static int next;
  snprintf(path[next = (next + 1) % 8], sizeof path[0], "%s/%s", folder, name);
  return path[next];
}

static int make_folder(void **state) {
  strcpy(folder, "/tmp/hflua_test_XXXXXX");
  return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) { return hf_folder_remove(folder, NULL) ? 0 : -1; }

static void check_content(const char *path, const char *expected) {
  HfBuffer text = {0};
  HfError err;
  if (!hf_file_read(path, &text, &err)) fail_msg("%s", err.message);
  assert_string_equal(text.data, expected);
  hf_buffer_free(&text);
}

static size_t count_names(const char *path) {
  HfNameList list = {0};
  assert_true(hf_folder_list(path, &list, NULL));
  size_t count = list.count;
  hf_name_list_free(&list);
  return count;
}

static void a_write_replaces_the_file_and_leaves_nothing_else(void **state) {
  HfError err;
  struct stat info;
  assert_true(hf_file_write(inside("a"), "one", 3, &err));
  assert_int_equal(chmod(inside("a"), 0600), 0);
  assert_true(hf_file_write(inside("a"), "second", 6, &err));
  check_content(inside("a"), "second");
  stat(inside("a"), &info);
  assert_int_equal(info.st_mode & 0777, 0600);
  assert_int_equal(count_names(folder), 1);
}

static void an_abandoned_write_keeps_the_old_file(void **state) {
  HfError err;
  HfFileWriter writer;
  assert_true(hf_file_write(inside("a"), "old", 3, &err));
  assert_true(hf_file_writer_open(&writer, inside("a"), &err) && hf_file_writer_write(&writer, "new", 3, &err));
  assert_int_equal(count_names(folder), 2);
  hf_file_writer_abort(&writer);
  check_content(inside("a"), "old");
  assert_int_equal(count_names(folder), 1);
}

static void a_link_is_replaced_not_followed(void **state) {
  HfError err;
  assert_true(hf_file_write(inside("target"), "kept", 4, &err));
  assert_int_equal(symlink("target", inside("link")), 0);
  assert_true(hf_file_write(inside("link"), "new", 3, &err));
  check_content(inside("target"), "kept");
  check_content(inside("link"), "new");
}

static void a_mapping_is_private_and_outlives_the_file(void **state) {
  HfError err;
  assert_true(hf_file_write(inside("a"), "abc", 3, &err));
  HfMapping *mapping = hf_file_map(inside("a"), &err);
  assert_non_null(mapping);
  hf_mapping_retain(mapping);
  hf_mapping_release(mapping);
  *(char *)mapping->data = 'X';
  check_content(inside("a"), "abc");
  assert_true(hf_file_write(inside("a"), "other", 5, &err) && hf_file_remove(inside("a"), &err));
  assert_memory_equal(mapping->data, "Xbc", 3);
  hf_mapping_release(mapping);
  assert_true(hf_file_write(inside("empty"), "", 0, &err));
  mapping = hf_file_map(inside("empty"), &err);
  assert_int_equal(mapping->size, 0);
  hf_mapping_release(mapping);
}

static void folders_are_made_listed_and_removed(void **state) {
  HfError err;
  assert_true(hf_folder_make(inside("x/y//z/"), &err) && hf_folder_make(inside("x/y"), &err));
  assert_true(hf_file_write(inside("x/y/b"), "", 0, &err) && hf_file_write(inside("x/y/a"), "", 0, &err));
  assert_true(hf_file_write(inside("outside"), "kept", 4, &err));
  assert_int_equal(symlink("../outside", inside("x/link")), 0);
  HfNameList list = {0};
  assert_true(hf_folder_list(inside("x/y"), &list, &err));
  assert_int_equal(list.count, 3);
  assert_string_equal(list.names[0], "a");
  assert_string_equal(list.names[2], "z");
  hf_name_list_free(&list);
  assert_int_equal(hf_file_type(inside("x")), HF_FILE_FOLDER);
  assert_true(hf_folder_remove(inside("x"), &err));
  assert_int_equal(hf_file_type(inside("x")), HF_FILE_MISSING);
  check_content(inside("outside"), "kept");
}

static void errors_name_the_path_and_the_reason(void **state) {
  HfError err;
  HfBuffer text = {0};
  char expected[256];
  assert_false(hf_file_read(inside("none"), &text, &err));
  snprintf(expected, sizeof expected, "%s/none: cannot be opened: No such file or directory", folder);
  assert_string_equal(err.message, expected);
  assert_null(hf_file_map(folder, &err));
  snprintf(expected, sizeof expected, "%s: expected a file: Is a directory", folder);
  assert_string_equal(err.message, expected);
  assert_false(hf_file_write(inside("none/x"), "", 0, &err));
  assert_true(hf_file_write(inside("file"), "", 0, &err));
  assert_false(hf_folder_make(inside("file/x"), &err));
  assert_false(hf_file_rename(inside("none"), inside("file"), &err));
  hf_buffer_free(&text);
}

static void free_space_is_told_where_nothing_is_yet(void **state) {
  HfError err;
  uint64_t here = 0, below = 0;
  assert_true(hf_file_free_space(folder, &here, &err) && hf_file_free_space(inside("not/yet/there"), &below, &err));
  assert_true(here > 0 && below > 0);
}

static void wrong_kinds_of_files_are_named(void **state) {
  assert_non_null(strstr(hf_file_kind("", 0), "an empty file"));
  assert_non_null(strstr(hf_file_kind("\0\0\0", 3), "zero bytes only"));
  assert_non_null(strstr(hf_file_kind("version https://git-lfs.github.com/spec/v1", 42), "Git LFS pointer"));
  assert_non_null(strstr(hf_file_kind("\n <HTML>", 8), "an HTML page"));
  assert_non_null(strstr(hf_file_kind("PK\3\4", 4), "a zip archive"));
  assert_non_null(strstr(hf_file_kind("\xfe\xff\0{", 4), "UTF-16"));
  assert_null(hf_file_kind("{\"a\": 1}", 8));
  assert_null(hf_file_kind("   ", 3));
}

int main(void) {
  const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(a_write_replaces_the_file_and_leaves_nothing_else, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown(an_abandoned_write_keeps_the_old_file, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown(a_link_is_replaced_not_followed, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown(a_mapping_is_private_and_outlives_the_file, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown(folders_are_made_listed_and_removed, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown(errors_name_the_path_and_the_reason, make_folder, remove_folder),
    cmocka_unit_test_setup_teardown(free_space_is_told_where_nothing_is_yet, make_folder, remove_folder),
    cmocka_unit_test(wrong_kinds_of_files_are_named),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
