/* What is promised of a plan: classes, filters, so many a second, so long; and that an edit of something else changes none of it. */
#include "base/test.h"

#include "base/ip.h"
#include "engine/counters.h"
#include "engine/log_plan.h"
#include "engine/records.h"
#include "model/structs.h"

#define T0     (1000 * NS_PER_S)
#define MINUTE (60 * NS_PER_S)

static struct service_counters counters;
static char room[RECORD_BYTES] __attribute__((aligned(8)));
static struct record *rec = (struct record *)room;

/* A request, or (PATH NULL) a connection. */
static bool kept(const struct log_plan *p, const char *client, const char *path, enum record_reason why, uint64_t now)
{
	memset(room, 0, sizeof(room));
	rec->type = path ? RECORD_REQUEST : RECORD_CONNECTION;
	rec->reason = (uint8_t)why;
	assert_int_equal(address_parse(&rec->client, client, 4000), 0);
	if (path)
		record_text(rec, RECORD_T_PATH, path, strlen(path));
	return log_plan_keeps(p, rec, now, &counters);
}

static bool meant_by(const char *name)
{
	return rec->filtered && rec->texts[RECORD_T_FILTER].len == strlen(name) &&
	       memcmp(rec->text + rec->texts[RECORD_T_FILTER].at, name, strlen(name)) == 0;
}

static unsigned kept_of(unsigned n, const struct log_plan *p, const char *path, enum record_reason why, uint64_t now)
{
	unsigned k = 0;

	for (unsigned i = 0; i < n; i++)
		k += kept(p, "10.0.0.1", path, why, now);
	return k;
}

/* For another service each time. */
static struct log_share *share_new(struct log_share *old, uint64_t now)
{
	struct part *service = part_new();
	struct log_share *s = log_share_for(old, service, now);

	part_put(service);
	return s;
}

static void each_class_has_so_many_a_second(void **state)
{
	static const struct full_client_logs full = { .enabled = true, .throttle = 3 };
	static const struct analytics_policy w = { .full_client_logs = &full, .significant_log_throttle = 2 };
	struct arena a = ARENA_INIT;
	struct part *service = part_new();
	struct log_share *share = log_share_for(NULL, service, T0);
	struct log_plan *p = log_plan_new(&w, share, NULL, NULL, &a);

	(void)state;
	assert_null(log_plan_new(NULL, share, NULL, NULL, &a));
	assert_int_equal(kept_of(100, NULL, "/", RECORD_NONE, T0), 100);
	assert_int_equal(kept_of(10, p, "/", RECORD_NONE, T0), 3);
	assert_int_equal(kept_of(10, p, NULL, RECORD_NONE, T0), 3); /* connections beside them */
	assert_int_equal(kept_of(10, p, "/", RECORD_STATUS_5XX, T0), 2);
	assert_int_equal(counters.records_throttled, 7 + 7 + 8);
	assert_int_equal(kept_of(10, p, "/", RECORD_NONE, T0 + NS_PER_S), 3);
	/* The next snapshot of the same service goes on; that of a changed one begins. */
	log_plan_fini(p);
	share = log_share_for(share, service, T0 + NS_PER_S);
	p = log_plan_new(&w, share, NULL, NULL, &a);
	assert_int_equal(kept_of(10, p, "/", RECORD_NONE, T0 + NS_PER_S), 0);
	log_plan_fini(p);
	share = share_new(share, T0 + NS_PER_S);
	p = log_plan_new(&w, share, NULL, NULL, &a);
	assert_int_equal(kept_of(10, p, "/", RECORD_NONE, T0 + NS_PER_S), 3);
	log_plan_fini(p);
	log_share_put(share);
	part_put(service);
	arena_fini(&a);
}

static void what_is_not_wanted_is_not_kept_and_not_counted(void **state)
{
	static const struct full_client_logs off = { .enabled = false }, while_long = { .enabled = true, .duration = 30 };
	static const struct analytics_policy none = { .full_client_logs = &off }, a_while = { .full_client_logs = &while_long }, all = { 0 };
	struct arena a = ARENA_INIT;
	struct log_share *share = share_new(NULL, T0);
	struct log_plan *p = log_plan_new(&none, share, NULL, NULL, &a);
	uint64_t before = counters.records_throttled;

	(void)state;
	assert_int_equal(kept_of(5, p, "/", RECORD_NONE, T0), 0);
	assert_int_equal(kept_of(5, p, "/", RECORD_STATUS_4XX, T0), 5);
	log_plan_fini(p);
	p = log_plan_new(&a_while, share, NULL, NULL, &a);
	assert_int_equal(kept_of(5, p, "/", RECORD_NONE, T0 + 30 * MINUTE - 1), 5);
	assert_int_equal(kept_of(5, p, "/", RECORD_NONE, T0 + 30 * MINUTE), 0);
	log_plan_fini(p);
	p = log_plan_new(&all, share, NULL, NULL, &a);
	assert_int_equal(kept_of(50, p, "/", RECORD_NONE, T0 + 900 * MINUTE), 50);
	assert_int_equal(counters.records_throttled, before);
	log_plan_fini(p);
	log_share_put(share);
	arena_fini(&a);
}

static void filters_mean_clients_and_paths(void **state)
{
	static const char *const shop[] = { "/shop/" }, *const broken[] = { "(" };
	static const struct ip_addr one = { .addr = "10.0.0.1", .type = V4 };
	static const struct ip_addr_match clients = { .addrs = &one, .addrs_n = 1, .match_criteria = IS_IN };
	static const struct string_match path = { .match_criteria = BEGINS_WITH, .match_str = shop, .match_str_n = 1 },
					 wrong = { .match_criteria = REGEX_MATCH, .match_str = broken, .match_str_n = 1 };
	static const struct client_log_filter filters[] = {
		{ .name = "client", .index = 2, .enabled = true, .client_ip = &clients, .duration = 5 },
		{ .name = "shop", .index = 1, .enabled = true, .uri = &path },
		{ .name = "off", .index = 0 },
		{ .name = "broken", .index = 0, .enabled = true, .uri = &wrong },
	};
	static const struct full_client_logs off = { 0 };
	static const struct analytics_policy w = { .full_client_logs = &off, .client_log_filters = filters,
						   .client_log_filters_n = ARRAY_SIZE(filters), .udf_log_throttle = 4 };
	struct arena a = ARENA_INIT;
	struct log_share *share = share_new(NULL, T0);
	struct log_plan *p = log_plan_new(&w, share, NULL, NULL, &a);

	(void)state;
	assert_true(kept(p, "10.0.0.1", "/SHOP/tea", RECORD_NONE, T0));
	assert_true(meant_by("shop")); /* of both that fit, by index */
	assert_true(kept(p, "10.0.0.1", "/x", RECORD_NONE, T0));
	assert_true(meant_by("client"));
	assert_false(kept(p, "10.0.0.2", "/x", RECORD_NONE, T0));
	assert_false(rec->filtered);
	assert_true(kept(p, "10.0.0.2", "/shop/", RECORD_STATUS_5XX, T0));
	assert_true(meant_by("shop")); /* significant as well: its share is that of errors */
	assert_true(kept(p, "10.0.0.1", NULL, RECORD_NONE, T0));
	assert_true(meant_by("client"));
	assert_false(kept(p, "10.0.0.2", NULL, RECORD_NONE, T0)); /* a connection has no path */
	assert_int_equal(kept_of(10, p, "/shop/", RECORD_NONE, T0 + MINUTE), 4);
	/* One is over, the other is for ever. */
	assert_false(kept(p, "10.0.0.1", "/x", RECORD_NONE, T0 + 5 * MINUTE));
	assert_true(kept(p, "10.0.0.1", "/shop/", RECORD_NONE, T0 + 5 * MINUTE));
	log_plan_fini(p);
	log_share_put(share);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_class_has_so_many_a_second),
		cmocka_unit_test(what_is_not_wanted_is_not_kept_and_not_counted),
		cmocka_unit_test(filters_mean_clients_and_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
