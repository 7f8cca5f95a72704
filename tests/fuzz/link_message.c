/*
 * What comes over the link, at both of its ends: the first byte says in which pieces the rest arrives. The same
 * messages must come out as when it arrives at once, and whatever they say, what an engine holds keeps its digest, and the
 * controller's books forget nothing, and no rate is negative.
 */
#include "base/base.h"

#include <errno.h>

#include "controller/link/books.h"
#include "controller/metrics/meter.h"
#include "engine/link/desired.h"
#include "net/digest.h"
#include "net/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Canonical text of all messages, and how it ended. */
static int messages(const uint8_t *data, size_t len, size_t piece, struct buf *out)
{
	struct buf b = BUF_INIT;
	size_t scanned = 0;
	int rc = 0;

	for (size_t at = 0; at < len && rc >= 0; at += piece) {
		const char *type;
		json_t *msg;

		buf_put(&b, data + at, MIN(piece, len - at));
		while ((rc = lines_take(&b, &scanned, &msg, &type, NULL)) == 1) {
			must(type[0] == json_str(msg, "type", "?")[0]);
			lines_put(out, msg);
		}
	}
	buf_fini(&b);
	return rc;
}

static void put(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	(void)arg;
	(void)revision;
	(void)object;
	must(kind && uuid);
}

static void removed(void *arg, const char *kind, const char *uuid)
{
	(void)arg;
	must(kind && uuid);
}

static const struct desired_diff diff = { put, removed };

/* The engine's end: batches, as link.c stages them. */
static void engine(struct desired *d, const char *type, const json_t *msg)
{
	json_t *object = json_object_get(msg, "object");

	if (strcmp(type, "put") == 0 && json_is_object(object))
		desired_put(d, json_str(msg, "kind", ""), json_str(msg, "uuid", ""),
			    (uint64_t)json_int(msg, "revision", 0), object);
	else if (strcmp(type, "delete") == 0)
		desired_remove(d, json_str(msg, "kind", ""), json_str(msg, "uuid", ""));
	else if (strcmp(type, "commit") == 0)
		desired_commit(d, json_str(msg, "epoch", ""), (uint64_t)json_int(msg, "revision", 0), &diff, NULL);
	else if (strcmp(type, "welcome") == 0)
		desired_begin(d, !json_bool(msg, "resume", false));
}

static void check_digest(const struct desired *d)
{
	uint64_t sum = 0;
	const char *key;
	json_t *entry;

	json_object_foreach(d->held, key, entry)
		sum += digest_object(json_str(entry, "kind", ""), json_str(entry, "uuid", ""),
				     json_object_get(entry, "object"));
	must(sum == d->digest);
}

#define BEGAN_MS 1700000100000ULL
#define STEPS    60

/* Whatever was said, no step has less than nothing in it. */
static void check_meter(struct meter *m, uint64_t now_ms)
{
	struct reading r[STEPS];

	meter_turn(m, now_ms + 300000);
	for (enum metric_of of = 0; of < METRIC_SOURCES; of++) {
		struct meter_series s = { 0 };

		meter_find(m, of, of == METRIC_ENGINE ? "engine" : "a", NULL, NULL, &s);
		meter_read(m, of, &s, METER_STEP_S, BEGAN_MS / 1000, STEPS, r);
		for (size_t i = 0; i < STEPS; i++)
			for (size_t c = 0; c < METRIC_COLUMNS; c++)
				must(r[i].v[c] >= 0);
		meter_series_free(&s);
	}
}

/* The controller's end. What one life counted is never lost: the total is at least what the last message says. */
static void controller(struct books *b, struct meter *m, uint64_t now_ms, const char *type, const json_t *msg)
{
	CLEANUP_JSON json_t *sum = NULL;
	json_int_t n = json_int(json_object_get(msg, "engine"), "n", 0);

	if (strcmp(type, "hello") == 0)
		books_end(b);
	if (strcmp(type, "stats") != 0 || n < 0 || n > INT32_MAX)
		return;
	meter_take(m, "engine", b->last, msg, now_ms);
	books_take(b, msg);
	json_decref(books_clones(b, "a"));
	json_decref(books_copies(b, "a"));
	json_decref(books_hurt(b, "a"));
	sum = books_get(b, "engine", NULL, NULL);
	must(json_int(sum, "n", 0) >= n);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buf whole = BUF_INIT, pieces = BUF_INIT;
	struct desired d;
	struct books b;
	struct meter *m;
	uint64_t now_ms = BEGAN_MS;
	size_t scanned = 0;
	const char *type;
	json_t *msg;
	int rc;

	if (len < 2)
		return 0;
	rc = messages(data + 1, len - 1, len, &whole);
	must(messages(data + 1, len - 1, 1 + data[0], &pieces) == rc);
	must(whole.len == pieces.len && (whole.len == 0 || memcmp(whole.data, pieces.data, whole.len) == 0));
	buf_fini(&pieces);

	desired_init(&d);
	books_init(&b);
	m = meter_new(1 << 20, now_ms);
	while (lines_take(&whole, &scanned, &msg, &type, NULL) == 1) {
		engine(&d, type, msg);
		controller(&b, m, now_ms += 1100, type, msg);
		json_decref(msg);
	}
	must(whole.len == 0); /* what was put can be taken */
	check_digest(&d);
	check_meter(m, now_ms);
	meter_free(m);
	books_fini(&b);
	desired_fini(&d);
	buf_fini(&whole);
	return 0;
}
