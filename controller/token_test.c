#include "base/test.h"

#include "controller/token.h"

static const char FINGERPRINT[] =
	"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

static char dir[64];
static struct store *store;

static int open_store(void **state)
{
	struct err e = { 0 };

	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/sw-token-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	return store_open(dir, &store, &e);
}

static int drop_store(void **state)
{
	static const char *const files[] = { "store.db", "store.db-wal", "store.db-shm",
					     "store.lock", "kek" };

	(void)state;
	store_close(store);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", dir, files[i]);

		remove(path);
	}
	return remove(dir);
}

static void make(uint64_t expires_us, int64_t uses, char *text)
{
	struct txn *t = txn_begin(store);

	assert_int_equal(token_make(t, "serviceenginegroup-1", FINGERPRINT, expires_us, uses, text,
				    NULL),
			 0);
	assert_int_equal(txn_commit(t, NULL, NULL), 0);
}

static int spend(const char *text, uint64_t now_us, bool commit, struct token *out, struct err *e)
{
	struct txn *t = txn_begin(store);
	int rc = token_spend(store, t, text, now_us, out, e);

	if (commit && rc == 0)
		assert_int_equal(txn_commit(t, NULL, NULL), 0);
	else
		txn_abort(t);
	return rc;
}

static void it_is_used_as_often_as_it_says(void **state)
{
	char text[TOKEN_MAX];
	struct token token;
	struct err e = { 0 };

	(void)state;
	make(1000, 2, text);
	assert_string_equal(token_fingerprint(text), FINGERPRINT);
	assert_int_equal(spend(text, 1, true, &token, &e), 0);
	assert_string_equal(token.group, "serviceenginegroup-1");
	assert_int_equal(token.uses, 1);
	/* A transaction that fails gives the use back. */
	assert_int_equal(spend(text, 1, false, &token, &e), 0);
	assert_int_equal(spend(text, 1, true, &token, &e), 0);
	assert_int_equal(token.uses, 0);
	assert_int_equal(spend(text, 1, true, &token, &e), -EACCES);
	assert_non_null(strstr(e.text, "used up"));
}

static void it_ends(void **state)
{
	char text[TOKEN_MAX];
	struct token token;
	struct err e = { 0 };

	(void)state;
	make(1000, 2, text);
	assert_int_equal(spend(text, 999, true, &token, &e), 0);
	assert_int_equal(spend(text, 1000, true, &token, &e), -EACCES);
	assert_non_null(strstr(e.text, "expired"));
}

static void what_is_no_token_is_refused(void **state)
{
	static const char *const bad[] = { "", "swt1", "swt1.", "swt1..",
					   "swt2.0123456789abcdef0123456789abcdef.0" };
	char text[TOKEN_MAX];
	struct token token;
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(spend(bad[i], 1, true, &token, &e), -EACCES);
	make(1000, 1, text);
	text[6] = text[6] == '0' ? '1' : '0';
	assert_int_equal(spend(text, 1, true, &token, &e), -EACCES);
	assert_non_null(strstr(e.text, "unknown"));
}

static int holds(void *arg, const char *key, const char *value)
{
	return strstr(key, arg) || strstr(value, arg);
}

static void the_store_does_not_know_it(void **state)
{
	char text[TOKEN_MAX], secret[33];

	(void)state;
	make(1000, 1, text);
	snprintf(secret, sizeof(secret), "%.32s", text + 5);
	assert_int_equal(store_values(store, "token", holds, secret), 0);
	assert_int_equal(store_values(store, "token", holds, (char *)"serviceenginegroup-1"), 1);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(it_is_used_as_often_as_it_says, open_store,
						drop_store),
		cmocka_unit_test_setup_teardown(it_ends, open_store, drop_store),
		cmocka_unit_test_setup_teardown(what_is_no_token_is_refused, open_store,
						drop_store),
		cmocka_unit_test_setup_teardown(the_store_does_not_know_it, open_store, drop_store),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
