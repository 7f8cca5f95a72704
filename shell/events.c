#include "shell/events.h"

#include <errno.h>

#include "base/base.h"
#include "shell/show.h"
#include "shell/text.h"

#define SHOWN "25" /* when nobody says how many */

/* What a reader wants to see of each; the rest is in --json. */
static const char *const of_event[] = { "report_timestamp", "event_id", "obj_type", "obj_name", "event_description", NULL };
static const char *const of_log[] = { "report_timestamp", "client_ip", "method", "uri_path", "response_code", "server_ip", "total_time",
				      "significant_log", "request_id", NULL };

static bool is_number(const char *word)
{
	return *word && !word[strspn(word, "0123456789")];
}

/* The members of COLUMNS that some have, of all, the other way round. */
static json_t *rows_of(const json_t *results, const char *const *columns)
{
	json_t *rows = json_array();

	for (size_t i = json_array_size(results); i-- > 0;) {
		const json_t *one = json_array_get(results, i);
		json_t *row = json_object();

		for (size_t j = 0; columns[j]; j++)
			if (json_object_get(one, columns[j]))
				json_object_set(row, columns[j], json_object_get(one, columns[j]));
		json_array_append_new(rows, row);
	}
	return rows;
}

static int ask(struct session *s, const char *query, const char *count, json_t **answer, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("/api/analytics/logs?page_size=%s&%s", count, query);

	return client_get(s->client, path, answer, e);
}

static void print(struct session *s, const json_t *answer, const char *const *columns, const char *nothing)
{
	const json_t *results = json_object_get(answer, "results");
	CLEANUP_JSON json_t *rows = rows_of(results, columns);

	if (s->json) {
		json_dumpf(answer, s->out, JSON_INDENT(2));
		fputc('\n', s->out);
	} else if (json_array_size(rows)) {
		show_tree(s->out, rows);
	} else {
		fprintf(s->out, "%s\n", nothing);
	}
}

int events_show(struct session *s, const char *const *words, size_t n, struct err *e)
{
	const char *count = n && is_number(words[n - 1]) ? words[--n] : SHOWN;
	CLEANUP_FREE char *name = n ? client_escape(s->client, words[0]) : NULL;
	CLEANUP_FREE char *query = xasprintf("type=2%s%s%s", name ? "&filter=eq(obj_name," : "", name ? name : "", name ? ")" : "");
	CLEANUP_JSON json_t *answer = NULL;
	int rc = ask(s, query, count, &answer, e);

	if (!rc)
		print(s, answer, of_event, "There is none.");
	return rc;
}

int events_logs(struct session *s, const char *const *words, size_t n, struct err *e)
{
	CLEANUP_FREE char *name = client_escape(s->client, words[0]);
	CLEANUP_JSON json_t *answer = NULL;
	int rc = 0;

	if (n > 1 && !is_number(words[1]))
		return err_set(e, -EINVAL, NULL, "'%s' is no number.", words[1]);
	/* Of a service of HTTP requests, else connections. */
	for (int type = 1; type >= 0 && !rc && !json_array_size(json_object_get(answer, "results")); type--) {
		CLEANUP_FREE char *query = xasprintf("type=%d&virtualservice=%s", type, name);

		json_decref(answer);
		answer = NULL;
		rc = ask(s, query, n > 1 ? words[1] : SHOWN, &answer, e);
	}
	if (!rc)
		print(s, answer, of_log, "Nothing was asked of it, or its engines have forgotten it.");
	return rc;
}
