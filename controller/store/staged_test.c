#include "base/test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "controller/store/staged.h"

static char dir[] = "/tmp/staged_test_XXXXXX";

static void put(const char *path, const char *text)
{
	CLEANUP_FREE char *full = xasprintf("%s/%s", dir, path);

	assert_int_equal(file_replace(full, text, strlen(text), 0600), 0);
}

/* What PATH holds; "-": there is no such file. */
static void holds(const char *path, const char *want)
{
	CLEANUP_FREE char *full = xasprintf("%s/%s", dir, path);
	char *text = NULL;
	size_t len;

	if (file_read(full, 100, &text, &len) < 0)
		text = xstrdup("-");
	if (strcmp(text, want) != 0)
		fail_msg("%s holds \"%s\", not \"%s\"", path, text, want);
	free(text);
}

static void enter(void)
{
	CLEANUP_FD int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct err e = { 0 };

	if (staged_enter(fd, dir, &e) < 0)
		fail_msg("%s", err_line(&e));
}

static void fresh(bool ready)
{
	struct err e = { 0 };
	CLEANUP_FREE char *path = NULL;

	put("store.db", "old store");
	put("store.db-wal", "old log");
	put("ca.key", "old key");
	put("kek", "the key of this place");
	assert_int_equal(staged_begin(dir, &path, &e), 0);
	put("restore/store.db", "new store");
	put("restore/ca.key", "new key");
	if (ready)
		assert_int_equal(staged_ready(dir, &e), 0);
}

static void is_new(void)
{
	holds("store.db", "new store");
	holds("ca.key", "new key");
	holds("store.db-wal", "-");
	holds("kek", "the key of this place");
	holds("before-restore/store.db", "old store");
	holds("before-restore/store.db-wal", "old log");
	holds("before-restore/ca.key", "old key");
}

static void nothing_happens_before_it_is_ready(void **state)
{
	(void)state;
	fresh(false);
	enter();
	holds("store.db", "old store");
	holds("store.db-wal", "old log");
	holds("ca.key", "old key");
	holds("restore/store.db", "-");
	holds("restore/ca.key", "-");
}

static void what_is_ready_comes_in_once(void **state)
{
	(void)state;
	fresh(true);
	enter();
	is_new();
	put("store.db", "changed since");
	enter();
	holds("store.db", "changed since");
}

static void move(const char *from, const char *to)
{
	CLEANUP_FREE char *a = xasprintf("%s/%s", dir, from), *b = xasprintf("%s/%s", dir, to);

	assert_int_equal(rename(a, b), 0);
}

/* A crash after any of the moves: the next start goes on, and nothing of the old is lost. */
static void a_crash_in_between_goes_on(void **state)
{
	static const char *const moves[][2] = {
		{ "store.db", "before-restore/store.db" }, { "ca.key", "before-restore/ca.key" },
		{ "store.db-wal", "before-restore/store.db-wal" }, { "restore/ready", "restore/gone" },
		{ "restore/store.db", "store.db" },	     { "restore/ca.key", "ca.key" },
	};

	(void)state;
	for (size_t after = 0; after <= ARRAY_SIZE(moves); after++) {
		fresh(true);
		for (size_t i = 0; i < after; i++)
			move(moves[i][0], moves[i][1]);
		enter();
		is_new();
		holds("restore/ready", "-");
		holds("restore/gone", "-");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_happens_before_it_is_ready),
		cmocka_unit_test(what_is_ready_comes_in_once),
		cmocka_unit_test(a_crash_in_between_goes_on),
	};
	static const char *const files[] = { "store.db", "store.db-wal", "ca.key", "kek", "before-restore/store.db",
					     "before-restore/store.db-wal", "before-restore/ca.key", "restore", "before-restore", "" };
	int failed;

	must(mkdtemp(dir));
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", dir, files[i]);

		remove(path);
	}
	return failed;
}
