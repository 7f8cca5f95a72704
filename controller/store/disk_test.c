/*
 * What a store promises of its folder: who may read it, what it refuses to open, how secrets lie in it.
 */
#include "controller/store/store_world.h"

#include <fcntl.h>
#include <sqlite3.h>

/* ---- the folder ------------------------------------------------------- */

static unsigned mode_of(struct world *w, const char *name)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", w->dir, name);
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

static void only_the_owner_sees_the_folder(void **state)
{
	struct world *w = *state;

	create(w, &test_group, "group-1", named("a"));
	assert_int_equal(mode_of(w, "."), 0700);
	assert_int_equal(mode_of(w, "store.db"), 0600);
	assert_int_equal(mode_of(w, "store.db-wal"), 0600);
	assert_int_equal(mode_of(w, "store.lock"), 0600);
	assert_int_equal(chmod(w->dir, 0755), 0);
	reopen(w);
	assert_int_equal(mode_of(w, "."), 0700);
}

static void a_folder_with_other_things_is_refused(void **state)
{
	struct world *w = *state;
	char dir[] = "/tmp/swstore-XXXXXX", path[64];
	struct store *s;

	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/letter", dir);
	assert_int_equal(file_replace(path, "x", 1, 0600), 0);
	assert_int_equal(chmod(dir, 0755), 0);
	assert_int_equal(store_open(dir, &s, &w->e), -EPERM);
	assert_non_null(strstr(w->e.text, "is open to others"));
	assert_null(s);
	unlink(path);
	rmdir(dir);

	assert_int_equal(store_open("/proc/nowhere/store", &s, &w->e), -ENOENT);
	assert_non_null(strstr(w->e.text, "/proc/nowhere/store"));
}

static void a_second_controller_is_refused(void **state)
{
	struct world *w = *state;
	struct store *second;
	char pid[32];

	assert_int_equal(store_open(w->dir, &second, &w->e), -EBUSY);
	assert_non_null(strstr(w->e.text, "is in use by another controller"));
	snprintf(pid, sizeof(pid), "(process %d)", (int)getpid());
	assert_non_null(strstr(w->e.text, pid));
	assert_null(second);
	create(w, &test_group, "group-1", named("still mine"));
}

static void run_sql(struct world *w, const char *sql)
{
	CLEANUP_FREE char *path = xasprintf("%s/store.db", w->dir);
	sqlite3 *db;

	store_close(w->s);
	w->s = NULL;
	assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
	sqlite3_close(db);
}

static void a_newer_format_is_refused(void **state)
{
	struct world *w = *state;

	run_sql(w, "PRAGMA user_version = 4");
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EPROTONOSUPPORT);
	assert_non_null(strstr(
		w->e.text, "was written by a newer release (format 4; this one reads up to 3)"));
	run_sql(w,
		"PRAGMA user_version = 3; INSERT INTO object VALUES (9, 'teapot', 'teapot-1', '', '', 'x', '{}',"
		" 1, 1, 1, 0)");
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EPROTONOSUPPORT);
	assert_non_null(strstr(w->e.text, "teapot"));
	run_sql(w, "PRAGMA application_id = 1");
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EINVAL);
	assert_non_null(strstr(w->e.text, "is not a store of this program"));
}

/* Format 2 kept a log of changes, which nobody read. */
static void what_older_releases_kept_besides_is_dropped(void **state)
{
	struct world *w = *state;

	create(w, &test_group, "group-1", named("a"));
	run_sql(w, "CREATE TABLE change (revision INTEGER); INSERT INTO change VALUES (1); PRAGMA user_version = 2");
	assert_int_equal(store_open(w->dir, &w->s, &w->e), 0);
	assert_non_null(store_get(w->s, "group", "group-1"));
	run_sql(w, "CREATE TABLE change (it INTEGER); DROP TABLE change"); /* there is none */
	assert_int_equal(store_open(w->dir, &w->s, &w->e), 0);
}

/* ---- secrets ------------------------------------------------------------ */

static bool folder_holds(const struct world *w, const char *text)
{
	static const char *const files[] = { "store.db", "store.db-wal", "store.lock", "kek" };
	bool found = false;

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", w->dir, files[i]), *data = NULL;
		size_t len;

		if (file_read(path, 64u << 20, &data, &len) == 0)
			found = found || memmem(data, len, text, strlen(text));
	}
	return found;
}

static json_t *with_password(const char *name, const char *password)
{
	return json_pack("{s:s, s:s}", "name", name, "password", password);
}

static void expect_password(struct world *w, const char *uuid, const char *password)
{
	const struct object *o = store_get(w->s, "service", uuid);

	assert_non_null(o);
	assert_string_equal(json_str(o->body, "password", ""), password);
}

static void secrets_are_sealed_on_the_disk(void **state)
{
	struct world *w = *state;

	create(w, &test_service, "service-1", with_password("a", "first-secret"));
	expect_password(w, "service-1", "first-secret");
	assert_int_equal(update(w, &test_service, "service-1", with_password("a", "second-secret"), 0), 0);
	assert_int_equal(mode_of(w, "kek"), 0600);
	reopen(w);
	expect_password(w, "service-1", "second-secret");
	assert_false(folder_holds(w, "first-secret") || folder_holds(w, "second-secret"));
	assert_true(folder_holds(w, "sealed:1:"));
}

static void bare_secrets_of_an_older_release_are_sealed(void **state)
{
	struct world *w = *state;

	create(w, &test_group, "group-1", named("g"));
	/* As the first release left it: no key, no proof, and something deleted in a free page. */
	run_sql(w, "DELETE FROM value WHERE space = 'seal';"
		   "INSERT INTO object VALUES (9, 'service', 'service-1', '', '', 'a',"
		   " '{\"name\": \"a\", \"password\": \"bare-secret\"}', 1, 1, 1, 0);"
		   "INSERT INTO object VALUES (10, 'service', 'service-2', '', '', 'b',"
		   " '{\"name\": \"b\", \"password\": \"bare-secret-2\"}', 1, 1, 1, 0);"
		   "DELETE FROM object WHERE id = 10; PRAGMA user_version = 1");
	{
		CLEANUP_FREE char *kek = xasprintf("%s/kek", w->dir);

		unlink(kek);
	}
	assert_true(folder_holds(w, "bare-secret"));
	if (store_open(w->dir, &w->s, &w->e))
		fail_msg("%s", err_line(&w->e));
	expect_password(w, "service-1", "bare-secret");
	assert_false(folder_holds(w, "bare-secret"));
	reopen(w);
	expect_password(w, "service-1", "bare-secret");
}

static void without_its_key_a_store_is_not_opened(void **state)
{
	struct world *w = *state;
	CLEANUP_FREE char *kek = xasprintf("%s/kek", w->dir), *other = xasprintf("%s/other", w->dir);

	create(w, &test_service, "service-1", with_password("a", "secret"));
	store_close(w->s);
	w->s = NULL;
	assert_int_equal(rename(kek, other), 0);
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -ENOENT);
	assert_non_null(strstr(w->e.text, "kek is missing"));
	assert_int_equal(access(kek, F_OK), -1);
	file_replace(kek, "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n", 65, 0600);
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EKEYREJECTED);
	assert_non_null(strstr(w->e.text, "is not the one that the store"));
	assert_int_equal(rename(other, kek), 0);
	assert_int_equal(store_open(w->dir, &w->s, &w->e), 0);
	expect_password(w, "service-1", "secret");
	/* A sealed text that was moved to another object. */
	run_sql(w, "INSERT INTO object SELECT 9, kind, 'service-9', tenant, cloud, 'b', body, 1, 1, 1, 0"
		   " FROM object WHERE uuid = 'service-1'");
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EUCLEAN);
	assert_non_null(strstr(w->e.text, "a secret of service service-9 does not open"));
}

static void overwrite(struct world *w, off_t at, size_t n)
{
	CLEANUP_FREE char *path = xasprintf("%s/store.db", w->dir);
	CLEANUP_FREE char *junk = xmalloc(n);
	CLEANUP_FD int fd = open(path, O_WRONLY);

	store_close(w->s);
	w->s = NULL;
	memset(junk, 0x5a, n);
	assert_int_equal(pwrite(fd, junk, n, at), (ssize_t)n);
}

static void damage_is_a_sentence(void **state)
{
	struct world *w = *state;

	create(w, &test_group, "group-1", named("a"));
	overwrite(w, 4096, 4096);
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EUCLEAN);
	assert_non_null(strstr(w->e.text, "/store.db is damaged ("));
	overwrite(w, 0, 200);
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EUCLEAN);
	assert_non_null(strstr(w->e.text, "is damaged (file is not a database): restore a backup"));
}

static void an_unreadable_object_is_a_sentence(void **state)
{
	struct world *w = *state;

	create(w, &test_group, "group-1", named("a"));
	run_sql(w, "UPDATE object SET body = '{'");
	assert_int_equal(store_open(w->dir, &w->s, &w->e), -EUCLEAN);
	assert_string_equal(w->e.text, "The store is damaged: group group-1 is not readable.");
}

static void an_epoch_is_for_life_or_until_restored(void **state)
{
	struct world *w = *state;
	CLEANUP_FREE char *first = xstrdup(store_epoch(w->s));
	CLEANUP_FREE char *second = NULL;

	assert_int_equal(strlen(first), 32);
	create(w, &test_group, "group-1", named("a"));
	reopen(w);
	assert_string_equal(store_epoch(w->s), first);
	assert_int_equal(store_new_epoch(w->s, &w->e), 0);
	second = xstrdup(store_epoch(w->s));
	assert_int_equal(strlen(second), 32);
	assert_string_not_equal(second, first);
	assert_int_equal(store_revision(w->s), 1);
	reopen(w);
	assert_string_equal(store_epoch(w->s), second);
	assert_int_equal(store_revision(w->s), 1);
}

/* Time never runs back for a reader, whatever the clock does. */
static void stamps_rise_also_when_the_clock_falls_back(void **state)
{
	struct world *w = *state;
	uint64_t future = wall_us() + 3600 * 1000000ULL;
	char sql[80];

	create(w, &test_group, "group-1", named("a"));
	snprintf(sql, sizeof(sql), "UPDATE state SET last_us = %llu", (unsigned long long)future);
	run_sql(w, sql);
	assert_int_equal(store_open(w->dir, &w->s, &w->e), 0);
	assert_int_equal(update(w, &test_group, "group-1", named("b"), 0), 0);
	assert_true(store_get(w->s, "group", "group-1")->last_modified_us == future + 1);
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)
	const struct CMUnitTest tests[] = {
		T(only_the_owner_sees_the_folder),
		T(a_folder_with_other_things_is_refused),
		T(a_second_controller_is_refused),
		T(a_newer_format_is_refused),
		T(what_older_releases_kept_besides_is_dropped),
		T(secrets_are_sealed_on_the_disk),
		T(bare_secrets_of_an_older_release_are_sealed),
		T(without_its_key_a_store_is_not_opened),
		T(damage_is_a_sentence),
		T(an_unreadable_object_is_a_sentence),
		T(an_epoch_is_for_life_or_until_restored),
		T(stamps_rise_also_when_the_clock_falls_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
