#include "base/test.h"

#include <ftw.h>
#include <time.h>

#include "controller/expiry.h"

#define DAY_US (86400ULL * 1000000)
/* 2030-01-01 00:00:00 UTC */
#define END_US (1893456000ULL * 1000000)

static char dir[64];
static struct store *s;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int setup(void **state)
{
	struct err e = { 0 };

	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	snprintf(dir, sizeof(dir), "/tmp/swexpiry-XXXXXX");
	assert_non_null(mkdtemp(dir));
	return store_open(dir, &s, &e);
}

static int teardown(void **state)
{
	(void)state;
	store_close(s);
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *kind, const char *uuid, json_t *body, bool fresh)
{
	struct txn *t = txn_begin(s);
	struct err e = { 0 };
	int rc = fresh ? txn_create(t, kind_find(kind), uuid, "", "", body, false, &e)
		       : txn_update(t, kind_find(kind), uuid, body, 0, &e);

	json_decref(body);
	assert_int_equal(rc, 0);
	assert_int_equal(txn_commit(t, NULL, &e), 0);
}

static json_t *certificate(const char *print)
{
	return json_pack("{s:s, s:{s:s, s:s}}", "name", "shop", "certificate", "not_after", "2030-01-01 00:00:00",
			 "fingerprint", print);
}

struct told {
	int n;
	char newest[256];
};

static int note(void *arg, uint64_t id, uint64_t us, const json_t *event)
{
	struct told *t = arg;

	(void)id, (void)us;
	assert_string_equal(json_str(event, "event_id", ""), "SSL_CERT_EXPIRE");
	if (!t->n++)
		snprintf(t->newest, sizeof(t->newest), "%s", json_str(event, "event_description", ""));
	return 0;
}

/* So many events so far, the newest says ... */
static void told(int n, const char *says)
{
	struct told t = { 0 };

	store_events(s, 0, UINT64_MAX, note, &t);
	assert_int_equal(t.n, n);
	if (says && !strstr(t.newest, says))
		fail_msg("%s", t.newest);
}

static void each_warning_is_told_once(void **state)
{
	struct err e = { 0 };

	(void)state;
	put("sslkeyandcertificate", "sslkeyandcertificate-1", certificate("SHA1 Fingerprint=AA"), true);
	expiry_look(s, END_US - 31 * DAY_US);
	told(0, NULL);
	for (int i = 0; i < 3; i++)
		expiry_look(s, END_US - 29 * DAY_US - (uint64_t)i * 3600);
	told(1, "Certificate shop expires in 29 days (2030-01-01 00:00:00 UTC).");
	expiry_look(s, END_US - 8 * DAY_US);
	told(1, NULL);
	expiry_look(s, END_US - 5 * DAY_US);
	told(2, "expires in 5 days");
	/* Also by the next process. */
	store_close(s);
	assert_int_equal(store_open(dir, &s, &e), 0);
	expiry_look(s, END_US - 4 * DAY_US);
	told(2, NULL);
	/* Whoever was away for long hears of what is, not of what was. */
	expiry_look(s, END_US + DAY_US);
	told(3, "has expired");
	expiry_look(s, END_US + 9 * DAY_US);
	told(3, NULL);
	/* Another certificate begins anew. */
	put("sslkeyandcertificate", "sslkeyandcertificate-1", certificate("SHA1 Fingerprint=BB"), false);
	expiry_look(s, END_US - DAY_US / 2);
	told(4, "expires in 0 days");
}

static void the_days_are_the_operator_s(void **state)
{
	(void)state;
	put("controllerproperties", "global", json_pack("{s:[i, i]}", "ssl_certificate_expiry_warning_days", 100, 2), true);
	put("sslkeyandcertificate", "sslkeyandcertificate-1", certificate("SHA1 Fingerprint=AA"), true);
	expiry_look(s, END_US - 101 * DAY_US);
	told(0, NULL);
	expiry_look(s, END_US - 99 * DAY_US);
	told(1, "99 days");
	expiry_look(s, END_US - 5 * DAY_US);
	told(1, NULL);
	expiry_look(s, END_US - 1 * DAY_US);
	told(2, "1 days");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(each_warning_is_told_once, setup, teardown),
		cmocka_unit_test_setup_teardown(the_days_are_the_operator_s, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
