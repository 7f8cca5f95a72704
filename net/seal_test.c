#include "base/test.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "net/seal.h"

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	snprintf(dir, sizeof(dir), "/tmp/seal-test-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	CLEANUP_FREE char *kek = xasprintf("%s/kek", dir), *credential = xasprintf("%s/spanwire-kek", dir);

	(void)state;
	unlink(kek);
	unlink(credential);
	return rmdir(dir);
}

static struct seal *opened(bool make)
{
	struct seal *s;
	struct err e = { 0 };

	if (seal_open(dir, make, &s, &e) < 0)
		fail_msg("%s", err_line(&e));
	return s;
}

static void refused(bool make, int code, const char *says)
{
	struct seal *s;
	struct err e = { 0 };

	assert_int_equal(seal_open(dir, make, &s, &e), code);
	assert_null(s);
	assert_non_null(strstr(err_line(&e), says));
}

static void test_what_is_sealed_opens_only_where_it_belongs(void **state)
{
	struct seal *s = opened(true), *again = opened(false);
	CLEANUP_FREE char *a = seal_put(s, "user/1/password", "geheim");
	CLEANUP_FREE char *b = seal_put(s, "user/1/password", "geheim");
	CLEANUP_FREE char *empty = seal_put(s, "x", "");
	CLEANUP_FREE char *opens = seal_take(again, "user/1/password", a);
	CLEANUP_FREE char *nothing = seal_take(again, "x", empty);

	(void)state;
	assert_string_not_equal(a, b); /* the nonce */
	assert_null(strstr(a, "geheim"));
	assert_string_equal(opens, "geheim");
	assert_string_equal(nothing, "");
	assert_null(seal_take(s, "user/2/password", a));
	seal_free(s);
	seal_free(again);
}

static void test_what_was_changed_or_is_no_seal_does_not_open(void **state)
{
	struct seal *s = opened(true);
	CLEANUP_FREE char *a = seal_put(s, "k", "some text that is long enough");
	static const char *const none[] = { "", "geheim", "sealed:1:", "sealed:1:AAAA", "sealed:1:%%%%",
					    "sealed:1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=" };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_null(seal_take(s, "k", none[i]));
	for (size_t i = strlen("sealed:1:"); a[i]; i++) {
		char was = a[i];

		a[i] = was == 'A' ? 'B' : 'A';
		if (a[i + 1] != '=' && a[i + 1]) /* the last digits hold bits that mean nothing */
			assert_null(seal_take(s, "k", a));
		a[i] = was;
	}
	seal_free(s);
}

static void test_another_key_does_not_open(void **state)
{
	struct seal *s = opened(true), *other;
	CLEANUP_FREE char *a = seal_put(s, "k", "text"), *kek = xasprintf("%s/kek", dir);
	struct stat st;

	(void)state;
	assert_int_equal(stat(kek, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	unlink(kek);
	other = opened(true);
	assert_null(seal_take(other, "k", a));
	seal_free(s);
	seal_free(other);
}

static void test_a_key_that_is_none_is_refused(void **state)
{
	CLEANUP_FREE char *kek = xasprintf("%s/kek", dir);

	(void)state;
	refused(false, -ENOENT, "kek is missing");
	file_replace(kek, "0123\n", 5, 0600);
	refused(true, -EINVAL, "must be 64 hexadecimal digits");
	file_replace(kek, "g123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n", 65, 0600);
	refused(true, -EINVAL, "must be 64 hexadecimal digits");
	chmod(kek, 0640);
	refused(true, -EPERM, "open to others (mode 0640)");
}

static void test_the_credential_goes_before_the_file(void **state)
{
	CLEANUP_FREE char *credential = xasprintf("%s/spanwire-kek", dir), *kek = xasprintf("%s/kek", dir);
	struct seal *s;

	(void)state;
	file_replace(credential, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF", 64, 0400);
	setenv("CREDENTIALS_DIRECTORY", dir, 1);
	s = opened(true);
	assert_string_equal(seal_path(s), credential);
	assert_int_equal(access(kek, F_OK), -1);
	seal_free(s);
	unsetenv("CREDENTIALS_DIRECTORY");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_what_is_sealed_opens_only_where_it_belongs, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_what_was_changed_or_is_no_seal_does_not_open, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_another_key_does_not_open, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_a_key_that_is_none_is_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(test_the_credential_goes_before_the_file, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
