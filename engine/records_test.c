/* What is promised of records: the newest are there, errors are not pushed out, and a wild writer harms nobody. */
#include "base/test.h"

#include <unistd.h>

#include "engine/records.h"

#define SLOTS 40

static struct records r;

static int setup(void **state)
{
	(void)state;
	assert_int_equal(records_new(&r, 2, 2 * (SLOTS + 1) * RECORD_BYTES), 0);
	assert_int_equal(r.slots[0] + r.slots[1] + r.slots[2], SLOTS);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	records_fini(&r);
	return 0;
}

static void put_as(enum record_type type, unsigned worker, uint64_t us, enum record_reason why, const char *path)
{
	char room[RECORD_BYTES] __attribute__((aligned(8))) = "";
	struct record *rec = (struct record *)room;

	rec->type = (uint8_t)type;
	rec->http = true;
	rec->report_us = us;
	rec->reason = (uint8_t)why;
	rec->status = why ? 503 : 200;
	record_text(rec, RECORD_T_VS, "vs-1", 4);
	record_text(rec, RECORD_T_PATH, path, strlen(path));
	records_put(&r, worker, rec);
}

static void put(unsigned worker, uint64_t us, enum record_reason why, const char *path)
{
	put_as(RECORD_REQUEST, worker, us, why, path);
}

static void gather(void *arg, json_t *record)
{
	json_array_append_new(arg, record);
}

/* The paths of what QUERY finds, joined; the number of all. */
static int64_t ask(const char *query, char *out, size_t size, uint64_t *overwritten)
{
	CLEANUP_JSON json_t *q = json_loads(query, 0, NULL), *found = json_array();
	uint64_t lost;
	int64_t n = records_read(&r, q, gather, found, overwritten ? overwritten : &lost);
	json_t *rec;
	size_t i;

	out[0] = '\0';
	json_array_foreach(found, i, rec) {
		size_t len = strlen(out);

		snprintf(out + len, size - len, "%s ", json_str(rec, "uri_path", "-"));
	}
	return n;
}

static void the_newest_of_all_workers_come_in_order(void **state)
{
	char got[256];

	(void)state;
	put(0, 10, RECORD_NONE, "/a");
	put(1, 30, RECORD_NONE, "/c");
	put(0, 20, RECORD_NO_SERVER, "/b");
	assert_int_equal(ask("{}", got, sizeof(got), NULL), 3);
	assert_string_equal(got, "/c /b /a ");
	assert_int_equal(ask("{\"max\": 2, \"oldest_first\": true}", got, sizeof(got), NULL), 3);
	assert_string_equal(got, "/a /b ");
	assert_int_equal(ask("{\"rest\": false}", got, sizeof(got), NULL), 1);
	assert_string_equal(got, "/b ");
	assert_int_equal(ask("{\"significant\": false, \"start_us\": 15}", got, sizeof(got), NULL), 1);
	assert_string_equal(got, "/c ");
	assert_int_equal(ask("{\"filters\": [\"eq(response_code,503)\"]}", got, sizeof(got), NULL), 1);
	assert_int_equal(ask("{\"virtualservice\": \"vs-2\"}", got, sizeof(got), NULL), 0);
	assert_int_equal(ask("{\"virtualservice\": \"vs-1\", \"records\": 0}", got, sizeof(got), NULL), 0);
}

static void good_traffic_does_not_push_out_errors(void **state)
{
	uint64_t overwritten = 0;
	char got[4096];

	(void)state;
	put(0, 1, RECORD_SERVER_LOST, "/error");
	for (uint64_t i = 0; i < 1000; i++)
		put(0, 10 + i, RECORD_NONE, "/good");
	assert_int_equal(ask("{\"max\": 100}", got, sizeof(got), &overwritten), r.slots[0] + 1);
	assert_non_null(strstr(got, "/error"));
	assert_int_equal(overwritten, 1000 - r.slots[0]);
}

static void connections_do_not_push_out_their_requests(void **state)
{
	char got[4096];

	(void)state;
	put(0, 1, RECORD_NONE, "/request");
	for (uint64_t i = 0; i < 1000; i++)
		put_as(RECORD_CONNECTION, 0, 10 + i, RECORD_NONE, "/connection");
	put_as(RECORD_CONNECTION, 0, 2000, RECORD_SSL_HANDSHAKE, "/broken");
	assert_int_equal(ask("{}", got, sizeof(got), NULL), 1);
	assert_string_equal(got, "/request ");
	assert_int_equal(ask("{\"records\": 0, \"significant\": false}", got, sizeof(got), NULL), r.slots[RECORD_RING_CARRIERS]);
	assert_int_equal(ask("{\"records\": 0, \"rest\": false}", got, sizeof(got), NULL), 1);
	assert_string_equal(got, "/broken ");
}

/* Who asks again from behind the last one on misses nothing. */
static void no_two_have_one_time_and_none_comes_behind(void **state)
{
	CLEANUP_JSON json_t *q = json_loads("{\"max\": 100}", 0, NULL), *found = json_array();
	unsigned shown = 4;
	uint64_t lost, young;
	int n;
	char got[256];

	(void)state;
	for (unsigned i = 0; i < 4; i++)
		put(i % 2, 1000, RECORD_NONE, "/at-once");
	put(0, 999, RECORD_NONE, "/after-the-clock-stepped-back");
	assert_int_equal(records_read(&r, q, gather, found, &lost), 5);
	for (size_t i = 0; i < 5; i++)
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(json_str(json_array_get(found, i), "report_timestamp", ""),
						json_str(json_array_get(found, j), "report_timestamp", ""));
	do { /* until it is still young when the answer is there */
		young = wall_us();
		put(1, young, RECORD_NONE, "/young");
		n = ask("{}", got, sizeof(got), NULL);
		shown++;
	} while (wall_us() - young >= 50000);
	assert_int_equal(n, shown);
	while (ask("{}", got, sizeof(got), NULL) == n)
		assert_in_range(wall_us(), young, young + 60000000);
	assert_true(wall_us() - young >= 50000);
}

/* Whoever asks by a member's name finds it: the table of logs has each, with the type that it is shown with. */
static void each_member_stands_in_the_table(void **state)
{
	enum { LOG_CONNECTIONS = 1, LOG_REQUESTS = 2, LOG_EVENTS = 4 };
	enum { NUMBER, TEXT, BOOL, TIME, LIST, OBJECT };
	static const struct { const char *name; int logs, type; } table[] = {
#define LOG_FIELD(name, logs, type) { #name, logs, type },
#include "model/log_fields.def"
	};
	char room[RECORD_BYTES] __attribute__((aligned(8))) = "";
	struct record *rec = (struct record *)room;

	(void)state;
	address_parse(&rec->client, "fd00::5", 80);
	address_parse(&rec->server, "10.0.0.5", 80);
	rec->server_src_port = 1;
	rec->server_status = 200;
	rec->reason = RECORD_IDLE;
	for (unsigned i = 0; i < RECORD_TEXTS_N; i++)
		record_text(rec, i, "x", 1);
	for (int type = 0; type < 2; type++) {
		CLEANUP_JSON json_t *q = json_pack("{s:i}", "records", type), *found = json_array();
		const char *name;
		uint64_t lost;
		json_t *v;

		rec->type = (uint8_t)type;
		records_put(&r, 0, rec);
		assert_int_equal(records_read(&r, q, gather, found, &lost), 1);
		json_object_foreach(json_array_get(found, 0), name, v) {
			size_t i = 0;

			while (i < ARRAY_SIZE(table) && strcmp(table[i].name, name) != 0)
				i++;
			/* A connection says as much of a request as is known of it: nothing. */
			if (i == ARRAY_SIZE(table) || (!(table[i].logs & 1 << type) && !json_is_string(v)))
				fail_msg("%s is not in the table", name);
			if ((table[i].type == NUMBER) != json_is_integer(v) || (table[i].type == BOOL) != json_is_boolean(v) ||
			    (table[i].type == LIST) != json_is_array(v))
				fail_msg("%s is of another type", name);
		}
	}
}

static void a_wild_writer_harms_nobody(void **state)
{
	char got[4096];

	(void)state;
	srand(1);
	for (int round = 0; round < 200; round++) {
		for (size_t i = 0; i < r.bytes; i++)
			r.mem[i] = (uint8_t)rand();
		ask("{\"max\": 1000, \"records\": 1}", got, sizeof(got), NULL);
		ask("{\"max\": 1000, \"records\": 0, \"filters\": [\"co(uri_path,x)\"]}", got, sizeof(got), NULL);
	}
}

static void nothing_is_kept_where_there_is_no_room(void **state)
{
	struct records none;
	char room[RECORD_BYTES] __attribute__((aligned(8))) = "";

	(void)state;
	assert_int_equal(records_new(&none, 4, 0), 0);
	records_put(&none, 0, (struct record *)room);
	records_put(NULL, 0, (struct record *)room);
	records_fini(&none);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_newest_of_all_workers_come_in_order),
		TEST(good_traffic_does_not_push_out_errors),
		TEST(connections_do_not_push_out_their_requests),
		TEST(no_two_have_one_time_and_none_comes_behind),
		TEST(each_member_stands_in_the_table),
		TEST(a_wild_writer_harms_nobody),
		cmocka_unit_test(nothing_is_kept_where_there_is_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
