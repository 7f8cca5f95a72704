/*
 * A history of transactions is written, the end comes at a random moment, and what is found
 * afterwards must be a whole prefix of that history with everything in it that was acknowledged.
 * Once the end is kill -9, once it is the power.
 */
#include "base/test.h"

#include <ftw.h>
#include <poll.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "controller/store/power_vfs.h"
#include "controller/store/store.h"
#include "controller/store/test_kinds.h"

#define ROUNDS 250
#define LIVING 3 /* services that exist at a time */

static uint64_t random_state;

static uint64_t random64(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static char dir[64];

static int make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/swcrash-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

static int remove_dir(void **state)
{
	(void)state;
	return nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* ---- the history ------------------------------------------------------ */

/* Takes BODY. */
static int put(struct txn *t, const struct kind_desc *k, const char *uuid, json_t *body)
{
	int rc;

	if (txn_get(t, k->path, uuid))
		rc = txn_update(t, k, uuid, body, 0, NULL);
	else
		rc = txn_create(t, k, uuid, "", "", body, false, NULL);
	json_decref(body);
	return rc;
}

static json_t *padded(const char *name, uint64_t n)
{
	char padding[6000];
	size_t len = random64() % sizeof(padding);

	memset(padding, 'a' + (int)(n % 26), len);
	return json_pack("{s:s, s:I, s:s%}", "name", name, "n", (json_int_t)n, "padding", padding,
			 len);
}

/*
 * Transaction N of the history: two counters, a pair that comes, a pair that goes, a value, an
 * audit event.
 */
static int write_transaction(struct store *s, uint64_t n, bool soon)
{
	struct txn *t = txn_begin(s);
	char group[48], service[48], gone[48], text[24];
	json_t *body;

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	snprintf(group, sizeof(group), "group-%s", text);
	snprintf(service, sizeof(service), "service-%s", text);
	must(!put(t, &test_group, "group-a", padded("a", n)));
	body = padded(service, n);
	json_object_set_new(body, "group_ref", json_sprintf("/api/group/%s", group));
	must(!put(t, &test_service, service, body));
	must(!put(t, &test_group, group, padded(group, n)));
	if (n > LIVING) {
		snprintf(gone, sizeof(gone), "service-%llu", (unsigned long long)(n - LIVING));
		must(!txn_delete(t, &test_service, gone, NULL));
		snprintf(gone, sizeof(gone), "group-%llu", (unsigned long long)(n - LIVING));
		must(!txn_delete(t, &test_group, gone, NULL));
	}
	txn_set(t, "test", "n", text, NULL);
	txn_event(t, json_pack("{s:s, s:I}", "what", "audit", "n", (json_int_t)n));
	must(!put(t, &test_group, "group-b", padded("b", n)));
	return soon ? txn_commit_soon(t, NULL, NULL) : txn_commit(t, NULL, NULL);
}

/* Behind transaction N: an event of runtime, which a kill may not take, but the power may. */
static int write_event(struct store *s, uint64_t n)
{
	return store_event(s, json_pack("{s:s, s:I}", "what", "runtime", "n", (json_int_t)n), NULL);
}

struct found {
	uint64_t n; /* transactions */
	uint64_t audit, runtime; /* newest events of either sort */
	uint64_t looked_at;
	const char *wrong; /* a sentence, NULL: all is well */
};

#define CHECK(f, cond)                                                                             \
	do {                                                                                       \
		if (!(cond) && !(f)->wrong)                                                        \
			(f)->wrong = "not so: " #cond;                                             \
	} while (0)

static int look_at_event(void *arg, uint64_t id, uint64_t us, const json_t *event)
{
	struct found *f = arg;
	uint64_t n = (uint64_t)json_int(event, "n", 0);
	bool runtime = !strcmp(json_str(event, "what", ""), "runtime");
	uint64_t *newest = runtime ? &f->runtime : &f->audit;
	(void)us;

	/*
	 * They were written in turn; one of runtime that was lost is made up for in the next
	 * life.
	 */
	CHECK(f, id == (runtime ? 2 * n : 2 * n - 1));
	*newest = MAX(*newest, n);
	return ++f->looked_at == 40;
}

static int look_at_service(void *arg, const struct object *o)
{
	struct found *f = arg;
	uint64_t n = (uint64_t)json_int(o->body, "n", 0);

	CHECK(f, n > (f->n > LIVING ? f->n - LIVING : 0) && n <= f->n);
	CHECK(f, o->revision == n);
	return 0;
}

static int look_at_group(void *arg, const struct object *o)
{
	return json_int(o->body, "n", 0) == 0 ? 1 : look_at_service(arg, o);
}

/* What is in the store, and whether it is a whole prefix of the history. */
static struct found look(struct store *s)
{
	const struct object *a = store_get(s, "group", "group-a"),
			    *b = store_get(s, "group", "group-b");
	CLEANUP_FREE char *value = store_value(s, "test", "n");
	struct found f = { .n = a ? (uint64_t)json_int(a->body, "n", 0) : 0 };
	uint64_t living = MIN(f.n, (uint64_t)LIVING);

	CHECK(&f, store_revision(s) == f.n);
	CHECK(&f, (b ? (uint64_t)json_int(b->body, "n", 0) : 0) == f.n);
	CHECK(&f, (value ? strtoull(value, NULL, 10) : 0) == f.n);
	CHECK(&f, store_count(s, "service") == living);
	CHECK(&f, store_count(s, "group") == living + (f.n ? 2 : 0));
	CHECK(&f, store_each(s, "service", look_at_service, &f) == 0);
	CHECK(&f, store_each(s, "group", look_at_group, &f) == 0);
	CHECK(&f, store_events(s, 0, UINT64_MAX, look_at_event, &f) >= 0);
	CHECK(&f, f.audit == f.n);
	CHECK(&f, f.runtime == f.n || f.runtime + 1 == f.n);
	return f;
}

/* ---- kill -9 ---------------------------------------------------------- */

/* Acknowledges on FD: transaction N as 2N-1, the event behind it as 2N. Never returns. */
static void write_until_killed(int fd)
{
	struct store *s;
	uint64_t n;

	if (store_open(dir, &s, NULL))
		_exit(3);
	/* An event that the last life did not come to. */
	n = store_revision(s);
	if (n && look(s).runtime < n && write_event(s, n))
		_exit(4);
	for (n++;; n++) {
		uint64_t done = 2 * n - 1;

		if (write_transaction(s, n, n % 2) ||
		    write(fd, &done, sizeof(done)) != sizeof(done))
			_exit(5);
		done = 2 * n;
		if (write_event(s, n) || write(fd, &done, sizeof(done)) != sizeof(done))
			_exit(6);
	}
}

/*
 * Lets the writer live for some acknowledgements and a part of what comes behind; the last
 * acknowledgement.
 */
static uint64_t live_and_die(uint64_t before)
{
	uint64_t acked = before, wanted = random64() % 40, part_us = random64() % 2000;
	struct timespec part = { .tv_nsec = (long)(part_us * 1000) };
	int fds[2], status;
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[0]);
		write_until_killed(fds[1]);
	}
	close(fds[1]);
	for (uint64_t i = 0; i < wanted; i++) {
		struct pollfd p = { .fd = fds[0], .events = POLLIN };

		assert_int_equal(poll(&p, 1, 60000), 1); /* a slow disk */
		assert_int_equal(read(fds[0], &acked, sizeof(acked)), sizeof(acked));
	}
	nanosleep(&part, NULL); /* the random moment itself */
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
	while (read(fds[0], &acked, sizeof(acked)) == sizeof(acked))
		;
	close(fds[0]);
	return acked;
}

static void kill_loses_nothing_acknowledged(void **state)
{
	uint64_t acked = 0;
	size_t unacked = 0;
	(void)state;

	for (int round = 0; round < ROUNDS; round++) {
		struct store *s;
		struct found f;
		struct err e;

		acked = live_and_die(acked);
		if (store_open(dir, &s, &e))
			fail_msg("round %d: %s", round, err_line(&e));
		f = look(s);
		if (f.wrong)
			fail_msg("round %d: %s", round, f.wrong);
		assert_true(f.n >= (acked + 1) / 2);
		assert_true(f.n <= (acked + 1) / 2 + 1);
		assert_true(f.runtime >= acked / 2);
		unacked += f.n > (acked + 1) / 2;
		acked = MAX(acked, 2 * f.n - (f.runtime < f.n));
		store_close(s);
	}
	print_message(
		"killed %d times over %llu transactions; %zu times one was there that was not acknowledged yet\n",
		ROUNDS, (unsigned long long)(acked + 1) / 2, unacked);
}

/* ---- the power -------------------------------------------------------- */

/*
 * Runs at the birth of each connection: a small log is moved into the file often, so that the
 * power finds it there.
 */
static int checkpoint_often(sqlite3 *db, const char **why, const struct sqlite3_api_routines *api)
{
	(void)why, (void)api;
	return sqlite3_wal_autocheckpoint(db, 12);
}

struct outcome {
	int rounds, in_birth, in_closing;
	uint64_t transactions;
	const char *wrong; /* NULL: nothing was lost, nothing half-done */
};

/* A history and how much of it was acknowledged. */
struct history {
	char epoch[33]; /* "": not born yet */
	uint64_t acked;
};

/* One life: open, look, write, and close if the power lasts that long. */
static void live(struct outcome *o, struct history *h)
{
	uint64_t last = h->acked + random64() % 12;
	struct store *s;
	struct found f;
	struct err e;
	int rc = store_open(dir, &s, &e);

	if (rc) {
		o->in_birth += !*h->epoch;
		if (!power_is_off())
			o->wrong = "the store cannot be opened";
		return;
	}
	f = look(s);
	if (!power_is_off()) {
		if (f.wrong)
			o->wrong = f.wrong;
		else if (f.n < h->acked)
			o->wrong = "an acknowledged transaction is gone";
		else if (*h->epoch && strcmp(h->epoch, store_epoch(s)))
			o->wrong = "another epoch";
		snprintf(h->epoch, sizeof(h->epoch), "%s", store_epoch(s));
		h->acked = f.n;
		if (f.runtime < f.n)
			rc = write_event(s, f.n);
	}
	while (!rc && !o->wrong && h->acked < last) {
		/* Half of them share one sync, and are acknowledged when it is done. */
		uint64_t n = h->acked, share = random64() % 2 ? 1 + random64() % 4 : 0;

		for (uint64_t i = 0; i < share && !rc; i++) {
			rc = write_transaction(s, ++n, true);
			if (!rc)
				rc = write_event(s, n);
		}
		if (!rc)
			rc = share ? store_sync(s, NULL) : write_transaction(s, ++n, false);
		if (rc)
			break;
		o->transactions += n - h->acked;
		h->acked = n;
		if (!share)
			rc = write_event(s, n);
	}
	if (rc && !power_is_off())
		o->wrong = "a write failed";
	o->in_closing -= power_is_off();
	store_close(s);
	o->in_closing += power_is_off();
}

/* ROUNDS power failures, in histories of about five each; more if none has met the birth or the closing of a store. */
static struct outcome fail_often(enum power_lie lie, bool tear)
{
	struct history h = { 0 };
	struct outcome o = { 0 };

	for (; !o.wrong && (o.rounds < ROUNDS || (o.rounds < 10 * ROUNDS && !(o.in_birth && o.in_closing))); o.rounds++) {
		if (random64() % 5 == 0) {
			h = (struct history){ 0 };
			power_reset(lie);
		}
		power_fail_after(1 + random64() % (random64() % 2 ? 60 : 1000));
		while (!power_is_off() && !o.wrong)
			live(&o, &h);
		power_back(tear, random64);
	}
	return o;
}

static void power_loses_nothing_acknowledged(void **state)
{
	(void)state;
	for (int tear = 0; tear < 2; tear++) {
		struct outcome o = fail_often(POWER_HONEST, tear);

		if (o.wrong)
			fail_msg("after %d power failures: %s", o.rounds, o.wrong);
		print_message(
			"power failed %d times over %llu transactions, %d times in birth, %d times in closing; "
			"what was not synced: %s\n",
			o.rounds, (unsigned long long)o.transactions, o.in_birth, o.in_closing,
			tear ? "sectors by chance" : "gone");
		assert_true(o.in_birth && o.in_closing && o.transactions > ROUNDS);
	}
}

/* The test can fail: a disk that only says that it syncs is found out, soon. */
static void a_disk_that_lies_is_found_out(void **state)
{
	(void)state;
	for (int tear = 0; tear < 2; tear++) {
		power_reset(POWER_SYNC_DOES_NOTHING);
		assert_non_null(fail_often(POWER_SYNC_DOES_NOTHING, tear).wrong);
	}
}

/* ---- a disk that says no ------------------------------------------------ */

static void assert_whole(struct store *s, uint64_t n)
{
	struct found f = look(s);

	assert_null(f.wrong);
	assert_int_equal(f.n, n);
}

static void a_full_disk_refuses_and_is_tried_again(void **state)
{
	struct store *s;
	struct err e;
	(void)state;

	assert_int_equal(store_open(dir, &s, &e), 0);
	assert_int_equal(write_transaction(s, 1, false), 0);
	power_refuse(SQLITE_FULL);
	for (int i = 0; i < 3; i++) {
		struct txn *t = txn_begin(s);

		assert_int_equal(put(t, &test_group, "group-x", padded("x", 2)), 0);
		assert_int_equal(txn_commit(t, NULL, &e), -ENOSPC);
		assert_string_equal(e.text, "The change was not stored: database or disk is full.");
		assert_whole(s, 1);
	}
	assert_int_equal(write_event(s, 1), -ENOSPC);
	power_refuse(0);
	for (uint64_t n = 2; n < 20; n++) {
		assert_int_equal(write_event(s, n - 1), 0);
		assert_int_equal(write_transaction(s, n, false), 0);
	}
	assert_whole(s, 19);
	store_close(s);
	assert_int_equal(store_open(dir, &s, &e), 0);
	assert_whole(s, 19);
	store_close(s);
}

static bool shared; /* its address: the sync is one that several transactions share */

/* What a failed sync left on the disk nobody knows: only a new start, which reads it, may go on. */
static void after_a_failed_sync_nothing_more_is_written(void **state)
{
	struct store *s;
	struct err e;
	struct txn *t;
	uint64_t n;
	(void)state;

	assert_int_equal(store_open(dir, &s, &e), 0);
	assert_int_equal(write_transaction(s, 1, false), 0);
	if (*state) {
		assert_int_equal(write_event(s, 1), 0);
		assert_int_equal(write_transaction(s, 2, true), 0);
	}
	power_refuse(SQLITE_IOERR_FSYNC);
	if (*state)
		assert_int_equal(store_sync(s, NULL), -EIO);
	else
		assert_int_equal(write_transaction(s, 2, false), -EIO);
	power_refuse(0);
	assert_whole(s, *state ? 2 : 1);
	t = txn_begin(s);
	txn_set(t, "test", "n", "2", NULL);
	assert_int_equal(txn_commit(t, NULL, &e), -EIO);
	assert_non_null(strstr(e.text, "start the controller again"));
	assert_whole(s, *state ? 2 : 1);
	store_close(s);
	power_back(false, random64);
	assert_int_equal(store_open(dir, &s, &e), 0);
	n = store_revision(s);
	assert_true(n == 1 || n == 2);
	if (!*state) {
		assert_whole(s, n);
		assert_int_equal(write_event(s, n), 0);
	}
	assert_int_equal(write_transaction(s, n + 1, false), 0);
	store_close(s);
}

static int files_in_memory(void **state)
{
	(void)state;
	power_register();
	power_reset(POWER_HONEST);
	sqlite3_auto_extension((void (*)(void))checkpoint_often);
	return make_dir(state);
}

static int files_on_disk(void **state)
{
	(void)state;
	sqlite3_reset_auto_extension();
	sqlite3_vfs_unregister(sqlite3_vfs_find("power"));
	power_reset(POWER_HONEST);
	return remove_dir(state);
}

int main(void)
{
	const char *seed = getenv("SPANWIRE_TEST_SEED");
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(kill_loses_nothing_acknowledged, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(power_loses_nothing_acknowledged, files_in_memory,
						files_on_disk),
		cmocka_unit_test_setup_teardown(a_disk_that_lies_is_found_out, files_in_memory,
						files_on_disk),
		cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_is_tried_again,
						files_in_memory, files_on_disk),
		cmocka_unit_test_setup_teardown(after_a_failed_sync_nothing_more_is_written,
						files_in_memory, files_on_disk),
		cmocka_unit_test_prestate_setup_teardown(after_a_failed_sync_nothing_more_is_written,
							 files_in_memory, files_on_disk, &shared),
	};

	if (seed)
		random_state = strtoull(seed, NULL, 10) | 1;
	else
		random_state = wall_us() | 1;
	print_message("SPANWIRE_TEST_SEED=%llu\n", (unsigned long long)random_state);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
