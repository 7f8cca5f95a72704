/*
 * rest_query - what a stranger writes into a URL, a form, a cookie line, a filter of logs and the other questions about them.
 *
 * The first byte chooses. What comes out of a path is held against what is promised of it: it begins
 * with a slash, has no empty part, no "." and no "..", no backslash and no control character, and
 * taken apart once more it is the same. A query that is built anew has the same arguments.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "base/filter.h"
#include "controller/rest/log_table.h"
#include "controller/rest/query.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int nothing(void *arg, const char *name, const char *value)
{
	*(size_t *)arg += strlen(name) + strlen(value);
	return 0;
}

static void check_path(const char *text)
{
	char path[1024], target[3 * sizeof(path)], again[1024];
	size_t n = 0;

	if (path_normalise(text, path, sizeof(path), NULL) < 0)
		return;
	must(path[0] == '/');
	must(strcmp(path, "/") == 0 || path[strlen(path) - 1] != '/');
	must(!strstr(path, "//") && !strchr(path, '\\'));
	for (const char *p = path; *p; p += strcspn(p + 1, "/") + 1) {
		size_t part = strcspn(p + 1, "/");

		must(part != 1 || p[1] != '.');
		must(part != 2 || p[1] != '.' || p[2] != '.');
		if (!part)
			break;
	}
	for (const char *p = path; *p; p++) {
		must((unsigned char)*p >= ' ');
		n += (size_t)snprintf(target + n, sizeof(target) - n,
				      strchr("%?#", *p) ? "%%%02X" : "%c", *p);
	}
	must(path_normalise(target, again, sizeof(again), NULL) == 0 && strcmp(path, again) == 0);
}

static void check_query(const char *text, size_t size)
{
	struct query q, again;
	struct buf b = BUF_INIT;

	if (query_parse(&q, text, size, NULL) < 0)
		return;
	query_rebuild(&q, "\x01", &b); /* no argument has this name */
	must(query_parse(&again, b.len ? b.data : "", b.len, NULL) == 0 && again.n == q.n);
	for (size_t i = 0; i < q.n; i++) {
		must(strcmp(q.arg[i].name, again.arg[i].name) == 0);
		must(strcmp(q.arg[i].value, again.arg[i].value) == 0);
	}
	query_fini(&q);
	query_fini(&again);
	buf_fini(&b);
}

/* What asks of records: OP(FIELD,VALUE). */
static void check_filter(const char *text)
{
	CLEANUP_JSON json_t *record = json_pack("{s:i, s:s, s:[s], s:{s:b}}", "response_code", 200, "uri_path", "/",
						"significant_log", "ADF", "a", "b", 1);
	struct filter f;

	if (filter_read(text, &f, NULL) == 0) {
		must(f.op[0] && f.field[0] && !strchr(f.field, ','));
		filter_passes(&f, record);
	}
}

/* What logs are asked: all parameters, and a table by them. */
static void check_logs(const char *text, size_t size)
{
	CLEANUP_JSON json_t *rows = json_pack("[{s:s, s:i, s:s, s:[s]}, {s:s, s:b}]", "report_timestamp", "2026-01-01T00:00:00.000000+00:00",
					      "response_code", 503, "uri_path", "=/\"", "significant_log", "ADF", "method", "GET", "adf", 1);
	struct buf b = BUF_INIT;
	struct log_query l;
	struct query q;

	if (query_parse(&q, text, size, NULL) < 0)
		return;
	if (log_query_read(&q, LOG_TYPE_REQUESTS, &l, NULL) == 0) {
		int64_t count = 2;
		CLEANUP_JSON json_t *page = log_table_page(&l, rows, &count);

		must(json_array_size(page) <= l.size && l.size <= LOG_PAGE_SIZE_MAX);
		log_query_passes(&l, json_array_get(rows, 0));
		log_table_lines(&l, page, &b);
		buf_fini(&b);
	}
	log_query_fini(&l);
	query_fini(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *text = NULL;
	size_t total = 0;

	if (!size)
		return 0;
	text = xstrndup((const char *)data + 1, size - 1);
	if (data[0] == 'f') {
		check_filter(text);
		return 0;
	}
	if (data[0] == 'l') {
		check_logs((const char *)data + 1, size - 1);
		return 0;
	}
	switch (data[0] % 3) {
	case 0:
		check_path(text);
		break;
	case 1:
		check_query((const char *)data + 1, size - 1);
		break;
	default:
		cookie_each(text, nothing, &total);
		must(total <= size);
	}
	return 0;
}
