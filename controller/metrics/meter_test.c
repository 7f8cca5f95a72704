#include "base/test.h"

#include "base/err.h"
#include "controller/metrics/meter.h"

#define T0 1700000100000ULL /* a multiple of 300 s */

static struct meter *meter;
static json_t *last[3]; /* what the engines said last; [0]: nothing */

static int begin(void **state)
{
	(void)state;
	meter = meter_new(64 << 20, T0);
	for (size_t i = 0; i < 3; i++)
		last[i] = json_object();
	return 0;
}

static int end(void **state)
{
	(void)state;
	meter_free(meter);
	for (size_t i = 0; i < 3; i++)
		json_decref(last[i]);
	return 0;
}

/* As the books (controller/link/books.h) have the lines of copies. */
static json_t *clones_by_name(const json_t *clones)
{
	json_t *all = json_object(), *lines, *line;
	const char *uuid;
	size_t i;

	json_object_foreach((json_t *)clones, uuid, lines) {
		json_t *mine = json_object();

		json_array_foreach(lines, i, line) {
			char key[64];

			snprintf(key, sizeof(key), "%s %lld", json_str(line, "ip", ""), (long long)json_int(line, "index", 0));
			json_object_set(mine, key, line);
		}
		json_object_set_new(all, uuid, mine);
	}
	return all;
}

/* ENGINE says so MS after T0. A whole message; what it says is what it said last from then on. */
static void says(unsigned engine, uint64_t ms, const char *text)
{
	char name[8];
	json_t *stats = NULL;

	snprintf(name, sizeof(name), "se-%u", engine);
	assert_int_equal(json_read(text, strlen(text), &stats, NULL), 0);
	meter_take(meter, name, last[engine], stats, T0 + ms);
	json_object_set_new(stats, "clones", clones_by_name(json_object_get(stats, "clones")));
	json_decref(last[engine]);
	last[engine] = stats;
}

static void dies(unsigned engine)
{
	json_object_clear(last[engine]);
}

/* So much of METRIC in the step of STEP that began S after T0; -1: not known. ENGINE may be NULL. */
static double value(const char *id, const char *uuid, const char *item, const char *engine, unsigned step, uint64_t s)
{
	const struct metric *m = metric_find(id);
	struct meter_series of = { 0 };
	struct reading r;
	double v;

	assert_non_null(m);
	meter_find(meter, m->of, uuid, item, engine, &of);
	meter_read(meter, m->of, &of, step, T0 / 1000 + s, 1, &r);
	meter_series_free(&of);
	return meter_value(m, &r, &v) ? v : -1;
}

#define SERVICE(n) "{\"services\":{\"a\":{\"http_requests\":" #n ",\"http_2xx\":" #n ",\"conn_total\":1,\"conn_open\":1}}}"

static double requests(uint64_t s)
{
	return value("l7_client.sum_total_requests", "a", NULL, NULL, 5, s);
}

static void what_comes_in_a_step_is_of_that_step(void **state)
{
	(void)state;
	says(1, 100, SERVICE(100)); /* where it stands */
	says(1, 1100, SERVICE(103));
	says(1, 4900, SERVICE(110));
	says(1, 5100, SERVICE(150));
	assert_int_equal(requests(0), 10);
	assert_int_equal(requests(5), -1); /* not over */
	meter_turn(meter, T0 + 10000);
	assert_int_equal(requests(5), 40);
	assert_true(value("l7_client.avg_total_requests", "a", NULL, NULL, 5, 5) == 8.0);
	meter_turn(meter, T0 + 300000);
	assert_int_equal(value("l7_client.sum_resp_2xx", "a", NULL, NULL, 300, 0), 50);
	assert_int_equal(value("l7_client.sum_resp_2xx", "nobody", NULL, NULL, 300, 0), -1);
}

static void a_gap_is_a_gap(void **state)
{
	(void)state;
	says(1, 0, SERVICE(1));
	says(1, 1000, SERVICE(2));
	meter_turn(meter, T0 + 8000);
	meter_turn(meter, T0 + 16000);
	meter_turn(meter, T0 + 24000);
	/* It was silent for longer than anybody may say when that was; within the long step it was. */
	says(1, 26000, SERVICE(100));
	says(1, 27000, SERVICE(101));
	meter_turn(meter, T0 + 34000);
	assert_int_equal(requests(0), 1);
	for (uint64_t s = 5; s < 25; s += 5)
		assert_int_equal(requests(s), -1);
	assert_int_equal(requests(25), 1);
	for (uint64_t s = 40; s <= 600; s += 8)
		meter_turn(meter, T0 + s * 1000);
	assert_int_equal(value("l7_client.sum_total_requests", "a", NULL, NULL, 300, 0), 100);
	/* Nobody turned it for a minute: no step of that time is there. */
	meter_turn(meter, T0 + 700000);
	assert_int_equal(value("l7_client.sum_total_requests", "a", NULL, NULL, 5, 650), -1);
}

static void a_new_life_counts_from_zero(void **state)
{
	(void)state;
	says(1, 0, SERVICE(1000));
	says(1, 1000, SERVICE(1010));
	dies(1);
	says(1, 3000, SERVICE(7));
	meter_turn(meter, T0 + 5000);
	assert_int_equal(requests(0), 17);
	/* The same without that anybody said so. */
	says(1, 6000, SERVICE(3));
	meter_turn(meter, T0 + 10000);
	assert_int_equal(requests(5), 3);
}

static void engines_are_added_up(void **state)
{
	(void)state;
	for (unsigned e = 1; e <= 2; e++)
		says(e, 0, "{\"services\":{\"a\":{\"http_time_us\":0,\"http_time_le_1ms\":0,\"conn_open\":0}}}");
	says(1, 1000, "{\"services\":{\"a\":{\"http_time_us\":9000,\"http_time_le_1ms\":9,\"conn_open\":3}}}");
	says(2, 1000, "{\"services\":{\"a\":{\"http_time_us\":11000,\"http_time_le_1ms\":1,\"conn_open\":4}}}");
	meter_turn(meter, T0 + 5000);
	/* Nine of 1 ms and one of 11: a mean is one of all of them, not of the engines. */
	assert_true(value("l7_client.avg_client_txn_latency", "a", NULL, NULL, 5, 0) == 2.0);
	assert_true(value("l7_client.avg_client_txn_latency", "a", NULL, "se-2", 5, 0) == 11.0);
	assert_int_equal(value("l4_client.max_open_conns", "a", NULL, NULL, 5, 0), 7);
	assert_true(value("l4_client.avg_open_conns", "a", NULL, NULL, 5, 0) == 5.6);
	assert_int_equal(value("se_stats.max_connections", "se-2", NULL, NULL, 5, 0), 4);
	assert_int_equal(value("se_stats.max_num_vs", "se-2", NULL, NULL, 5, 0), 1);
	/* They stay open, and nobody says it again. One engine goes, and its connections with it. */
	says(1, 6000, "{\"part\":true,\"services\":{},\"gone\":[]}");
	dies(2);
	says(2, 9000, "{\"services\":{\"a\":{\"conn_open\":1}}}");
	says(1, 11000, "{\"part\":true,\"services\":{},\"gone\":[]}");
	says(1, 14000, "{\"part\":true,\"services\":{},\"gone\":[\"a\"]}");
	meter_turn(meter, T0 + 15000);
	assert_int_equal(value("l4_client.max_open_conns", "a", NULL, NULL, 5, 5), 7);
	assert_int_equal(value("l4_client.max_open_conns", "a", NULL, NULL, 5, 10), 4);
	assert_int_equal(value("se_stats.max_connections", "se-1", NULL, NULL, 5, 10), 3);
	says(1, 16000, "{\"part\":true,\"services\":{}}");
	meter_turn(meter, T0 + 20000);
	assert_int_equal(value("se_stats.max_connections", "se-1", NULL, NULL, 5, 15), 0);
}

static void a_pool_is_the_sum_of_its_servers(void **state)
{
	(void)state;
	says(1, 0, "{\"servers\":{\"p\":{\"1:80\":{\"conn_total\":5,\"conn_open\":2},\"2:80\":{\"conn_total\":5,\"conn_open\":0}}}}");
	says(1, 1000, "{\"servers\":{\"p\":{\"1:80\":{\"conn_total\":8,\"conn_open\":1},\"2:80\":{\"conn_total\":9,\"conn_open\":4}}}}");
	meter_turn(meter, T0 + 5000);
	assert_int_equal(value("l4_server.avg_new_established_conns", "p", NULL, NULL, 5, 0) * 5, 7);
	assert_int_equal(value("l4_server.avg_new_established_conns", "p", "2:80", NULL, 5, 0) * 5, 4);
	assert_int_equal(value("l4_server.sum_finished_conns", "p", "1:80", NULL, 5, 0), 4);
	assert_int_equal(value("l4_server.max_open_conns", "p", NULL, NULL, 5, 0), 5);
	/* A server is taken away, and what was open with it. */
	says(1, 6000, "{\"servers\":{\"p\":{\"1:80\":{\"conn_total\":8,\"conn_open\":1}}}}");
	says(1, 11000, "{\"part\":true}");
	meter_turn(meter, T0 + 15000);
	assert_int_equal(value("l4_server.max_open_conns", "p", "2:80", NULL, 5, 10), 0);
	assert_int_equal(value("l4_server.max_open_conns", "p", NULL, NULL, 5, 10), 1);
}

static void totals_of_copies_never_go_back(void **state)
{
	double before = 0, now;

	(void)state;
	says(1, 0, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.1\",\"index\":0,\"eligible\":7,\"sent\":7}]}}");
	says(1, 1000, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.1\",\"index\":0,\"eligible\":10,\"sent\":9,\"dropped_memory\":1}]}}");
	dies(1);
	says(1, 6000, "{\"clones\":{\"a\":[{\"ip\":\"10.0.0.1\",\"index\":0,\"eligible\":4,\"sent\":4}]}}");
	says(1, 11000, "{\"clones\":{}}");
	meter_turn(meter, T0 + 15000);
	assert_int_equal(value("clone.sum_eligible_pkts", "a", NULL, NULL, 5, 0), 3);
	assert_int_equal(value("clone.sum_dropped_pkts", "a", NULL, NULL, 5, 0), 1);
	for (uint64_t s = 0; s < 15; s += 5) {
		now = value("clone.total_eligible_pkts", "a", NULL, NULL, 5, s);
		assert_true(now >= before);
		before = now;
	}
	assert_int_equal(value("clone.total_eligible_pkts", "a", NULL, NULL, 5, 0), 10);
	assert_int_equal(before, 14);
}

static void a_clock_that_is_set_back_takes_the_future_with_it(void **state)
{
	(void)state;
	says(1, 0, SERVICE(1));
	says(1, 1000, SERVICE(2));
	for (uint64_t s = 5; s < 60; s += 5)
		meter_turn(meter, T0 + s * 1000);
	assert_int_equal(requests(0), 1);
	meter_turn(meter, T0 - 600000);
	assert_int_equal(requests(0), -1);
	dies(1);
	meter_turn(meter, T0 - 595000);
	meter_turn(meter, T0 - 590000);
	assert_int_equal(value("l7_client.sum_total_requests", "a", NULL, NULL, 5, (uint64_t)-595), -1);
}

/* Whatever an engine says, numbers are bounded and nothing is negative. */
static void nonsense_is_bounded(void **state)
{
	(void)state;
	says(1, 0, SERVICE(0));
	says(1, 1000, "{\"services\":{\"a\":{\"http_requests\":9223372036854775807,\"conn_open\":-5,\"conn_total\":\"x\"}},"
		      "\"gone\":[5,\"nobody\"],\"servers\":{\"p\":[],\"q\":{\"s\":7}},\"clones\":{\"a\":[3,{}]},\"engine\":[]}");
	says(1, 2000, "{\"services\":[1],\"gone\":{},\"servers\":3}");
	meter_turn(meter, T0 + 5000);
	assert_true(requests(0) <= 1e15);
	assert_true(value("l4_client.avg_open_conns", "a", NULL, NULL, 5, 0) == 0.2);
}

/* A thousand services that work all the time, in room for a fraction of that. */
static void the_budget_holds(void **state)
{
	size_t limit = 4 << 20;

	(void)state;
	meter_limit(meter, limit);
	for (unsigned turn = 0; turn < 400; turn++) {
		json_t *services = json_object();

		for (unsigned i = 0; i < 1000; i++) {
			char name[16];

			snprintf(name, sizeof(name), "vs-%u", i);
			json_object_set_new(services, name, json_pack("{s:i, s:i, s:i}", "http_requests", (int)(turn * i),
								      "conn_total", (int)turn, "bytes_to_client", (int)(turn * 1000)));
		}
		json_t *stats = json_pack("{s:o}", "services", services);

		meter_take(meter, "se-1", last[1], stats, T0 + turn * 5000);
		json_decref(last[1]);
		last[1] = stats;
	}
	assert_true(meter_bytes(meter) < limit);
	/* The newest are there. */
	assert_int_equal(value("l7_client.sum_total_requests", "vs-7", NULL, NULL, 5, 398 * 5), 7);
	assert_int_equal(value("l7_client.sum_total_requests", "vs-7", NULL, NULL, 5, 5), -1);
}

static bool nobody(void *arg, enum metric_of of, const char *uuid)
{
	(void)arg, (void)of, (void)uuid;
	return false;
}

static void what_is_no_more_is_forgotten(void **state)
{
	size_t begun = meter_bytes(meter);

	(void)state;
	says(1, 0, SERVICE(0));
	says(1, 1000, SERVICE(5));
	meter_turn(meter, T0 + 5000);
	meter_sweep(meter, nobody, NULL);
	assert_int_equal(requests(0), 5); /* as long as it is on a page */
	meter_limit(meter, 0);
	for (uint64_t s = 10; s < 900; s += 5)
		meter_turn(meter, T0 + s * 1000);
	assert_int_equal(requests(0), -1);
	assert_true(meter_bytes(meter) < begun + 6000);
}

static void every_metric_is_made_of_something(void **state)
{
	size_t n;
	const struct metric *all = metric_all(&n);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(metric_find(all[i].id), &all[i]);
		assert_int_equal(all[i].help[strlen(all[i].help) - 1], '.');
		assert_int_equal(all[i].kind == METRIC_RATIO, *all[i].by != '\0');
	}
	assert_true(metric_is_known("dns_client.avg_complete_queries") && metric_is_known("l4_client.apdexc"));
	assert_false(metric_is_known("l4_client.bandwidth") || metric_is_known("nonsense") || metric_is_known("l5_x.avg_a"));
	assert_null(metric_feed(METRIC_SERVICE, "no_such_counter"));
	assert_non_null(metric_feed(METRIC_SERVICE, "tls_failed_other"));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(what_comes_in_a_step_is_of_that_step),
		TEST(a_gap_is_a_gap),
		TEST(a_new_life_counts_from_zero),
		TEST(engines_are_added_up),
		TEST(a_pool_is_the_sum_of_its_servers),
		TEST(totals_of_copies_never_go_back),
		TEST(a_clock_that_is_set_back_takes_the_future_with_it),
		TEST(nonsense_is_bounded),
		TEST(the_budget_holds),
		TEST(what_is_no_more_is_forgotten),
		TEST(every_metric_is_made_of_something),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
