/* What is promised of logs that are asked for: what is understood, and how it is shown. */
#include "base/test.h"

#include "base/json.h"
#include "controller/rest/log_table.h"

static const char *const rows =
	"[{'report_timestamp': '2026-01-01T00:00:03.000000+00:00', 'method': 'GET', 'uri_path': '/c', 'response_code': 200, 'total_time': 9,"
	" 'significant_log': []},"
	" {'report_timestamp': '2026-01-01T00:00:02.000000+00:00', 'method': 'POST', 'uri_path': '=a,\\`b\\`', 'response_code': 503, 'total_time': 20,"
	" 'significant_log': ['ADF_RESPONSE_CODE_5XX', 'ADF_X']},"
	" {'report_timestamp': '2026-01-01T00:00:01.000000+00:00', 'method': 'GET', 'response_code': 200, 'total_time': 1,"
	" 'significant_log': ['ADF_X']}]";

static json_t *records(void)
{
	CLEANUP_FREE char *text = xstrdup(rows);
	json_t *v;

	for (char *p = text; *p; p++)
		if (*p == '\'' || *p == '`')
			*p = '"';
	v = json_loads(text, 0, NULL);
	assert_non_null(v);
	return v;
}

static int read_as(const char *text, struct query *q, struct log_query *l, struct err *e)
{
	assert_int_equal(query_parse(q, text, strlen(text), NULL), 0);
	return log_query_read(q, LOG_TYPE_REQUESTS, l, e);
}

/* The answer to TEXT, as JSON or as lines. */
static char *shown(const char *text, int64_t *count)
{
	CLEANUP_JSON json_t *all = records(), *page;
	struct buf b = BUF_INIT;
	struct log_query l;
	struct query q;
	char *out;

	assert_int_equal(read_as(text, &q, &l, NULL), 0);
	page = log_table_page(&l, all, count);
	if (l.format != LOG_JSON)
		log_table_lines(&l, page, &b);
	out = l.format == LOG_JSON ? json_dumps(page, JSON_COMPACT) : xstrdup(buf_cstr(&b));
	buf_fini(&b);
	log_query_fini(&l);
	query_fini(&q);
	return out;
}

static void pages_orders_groups_and_lines(void **state)
{
	static const struct { const char *query, *want; } cases[] = {
		{ "cols=uri_path&page_size=1", "[{\"uri_path\":\"/c\"}]" },
		{ "cols=total_time&orderby=-total_time", "[{\"total_time\":20},{\"total_time\":9},{\"total_time\":1}]" },
		{ "cols=total_time&orderby=method,-total_time", "[{\"total_time\":9},{\"total_time\":1},{\"total_time\":20}]" },
		{ "cols=total_time&orderby=%2Bresponse_code&page=2&page_size=2", "[{\"total_time\":20}]" },
		{ "cols=uri_path&orderby=uri_path&page_size=1", "[{}]" },
		{ "groupby=method", "[{\"method\":\"GET\",\"count\":2},{\"method\":\"POST\",\"count\":1}]" },
		{ "groupby=method&orderby=method&page=2&page_size=1", "[{\"method\":\"POST\",\"count\":1}]" },
		{ "groupby=significant_log", "[{\"significant_log\":\"ADF_X\",\"count\":2},{\"significant_log\":\"ADF_RESPONSE_CODE_5XX\",\"count\":1}]" },
		{ "groupby=method&cols=sum(total_time),max(response_code%2Btotal_time),avg(1)&orderby=-col1",
		  "[{\"method\":\"POST\",\"count\":1,\"col0\":20,\"col1\":523,\"col2\":1.0},"
		  "{\"method\":\"GET\",\"count\":2,\"col0\":10,\"col1\":209,\"col2\":1.0}]" },
		{ "groupby=uri_path&cols=min(server_response_code)&page_size=1&orderby=uri_path", "[{\"uri_path\":null,\"count\":1,\"col0\":null}]" },
		{ "format=csv&cols=method,uri_path,significant_log&page_size=2",
		  "method,uri_path,significant_log\r\nGET,/c,[]\r\nPOST,\"'=a,\"\"b\"\"\",\"[\"\"ADF_RESPONSE_CODE_5XX\"\",\"\"ADF_X\"\"]\"\r\n" },
		{ "format=txt&cols=response_code,uri_path&page=3&page_size=1", "response_code\turi_path\n200\t\n" },
		{ "format=csv&groupby=method", "method,count\r\nGET,2\r\nPOST,1\r\n" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t count = 3;
		char *got = shown(cases[i].query, &count);

		if (strcmp(got, cases[i].want) != 0)
			fail_msg("%s: %s", cases[i].query, got);
		/* So many groups, or records. */
		assert_int_equal(count, strstr(cases[i].query, "groupby=") && !strstr(cases[i].query, "groupby=uri_path") ? 2 : 3);
		free(got);
	}
}

static void what_is_not_understood_is_said_with_the_name_of_the_parameter(void **state)
{
	static const char *const bad[][2] = {
		{ "type=3", "type" }, { "start=yesterday", "start" }, { "end=2024-13-01", "end" }, { "page=0", "page" },
		{ "page_size=0", "page_size" }, { "duration=-1", "duration" }, { "nf=perhaps", "nf" }, { "adf=2", "adf" },
		{ "filter=like(a,b)", "filter" }, { "filter=eq(uri_pth,/)", "filter" }, { "filter=eq(rx_bytes,1)", "filter" },
		{ "filter=eq(method.x,1)", "filter" }, { "orderby=speed", "orderby" }, { "orderby=method,,host", "orderby" },
		{ "cols=method,colour", "cols" }, { "cols=sum(total_time)", "cols" }, { "groupby=method&cols=sum(host)", "cols" },
		{ "groupby=method&cols=sum()", "cols" }, { "groupby=nothing", "groupby" }, { "groupby=method&orderby=host", "orderby" },
		{ "format=xml", "format" }, { "type=2&filter=eq(uri_path,/)", "filter" }, { "type=0&orderby=uri_path", "orderby" },
	};
	static const char *const good[] = {
		"filter=eq(waf_log.rule,1)&filter=co(all,x)", "type=2&filter=eq(event_details.a.b,c)&cols=event_details.x", "nf=True&udf=FALSE",
		"query_id=7&timeout=2&js_compat=true&_=1", "cols=client_browser,client_os", "orderby=-report_timestamp", "type=0&cols=rx_bytes",
	};
	struct log_query l;
	struct query q;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct err e = { 0 };

		if (read_as(bad[i][0], &q, &l, &e) == 0 || strcmp(e.path, bad[i][1]) != 0 || strlen(e.text) < 10)
			fail_msg("%s: %s: %s", bad[i][0], e.path, e.text);
		log_query_fini(&l);
		query_fini(&q);
	}
	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		struct err e = { 0 };

		if (read_as(good[i], &q, &l, &e) < 0)
			fail_msg("%s: %s", good[i], err_line(&e));
		log_query_fini(&l);
		query_fini(&q);
	}
}

/* adf is asked for unless it is not; of nothing at all: everything. */
static void who_asks_for_the_rest_gets_what_is_significant_too(void **state)
{
	static const struct { const char *query; bool significant, filtered, rest; } cases[] = {
		{ "", true, true, true }, { "nf=true&udf=true", true, true, true }, { "adf=true", true, false, false },
		{ "adf=false&nf=true", false, false, true }, { "nf=false", true, false, false }, { "udf=true", true, true, false },
		{ "udf=true&adf=false", false, true, false },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct log_query l;
		struct query q;

		assert_int_equal(read_as(cases[i].query, &q, &l, NULL), 0);
		if (l.significant != cases[i].significant || l.filtered != cases[i].filtered || l.rest != cases[i].rest)
			fail_msg("%s", cases[i].query);
		log_query_fini(&l);
		query_fini(&q);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pages_orders_groups_and_lines),
		cmocka_unit_test(what_is_not_understood_is_said_with_the_name_of_the_parameter),
		cmocka_unit_test(who_asks_for_the_rest_gets_what_is_significant_too),
	};

	return cmocka_run_group_tests_name("log_table", tests, NULL, NULL);
}
