#include "engine/http/redaction.h"

#include <strings.h>

#include "base/base.h"
#include "engine/text_match.h"
#include "model/structs.h"

struct rule {
	const struct sensitive_field_rule *says;
	struct text_match names; /* broken: it fits all, because better too little is shown */
};

struct rules {
	size_t n;
	struct rule *at; /* the lowest index first */
};

struct redaction {
	struct rules header, query;
};

/* Asked of each field of each head: most differ in length already. */
static const struct {
	size_t len;
	const char *name;
} always[] = {
#define NAME(name) { sizeof(name) - 1, name }
	NAME("authorization"), NAME("proxy-authorization"), NAME("cookie"), NAME("set-cookie"), NAME("x-api-key"), NAME("x-auth-token"),
#undef NAME
};

/* ---- life ---- */

static int by_index(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;

	return x->says->index < y->says->index ? -1 : x->says->index > y->says->index;
}

static struct rules rules_of(const struct sensitive_field_rule *rules, size_t n, struct arena *a)
{
	struct rules out = { .at = arena_get(a, (n + 1) * sizeof(*out.at)) };

	for (size_t i = 0; i < n; i++)
		if (rules[i].enabled && rules[i].match)
			out.at[out.n++] = (struct rule){ &rules[i], text_match_of(rules[i].match, a) };
	qsort(out.at, out.n, sizeof(*out.at), by_index);
	return out;
}

struct redaction *redaction_new(const struct sensitive_log_profile *w, struct arena *a)
{
	struct redaction *v;

	if (!w || (!w->header_field_rules_n && !w->uri_query_field_rules_n))
		return NULL;
	v = arena_get(a, sizeof(*v));
	v->header = rules_of(w->header_field_rules, w->header_field_rules_n, a);
	v->query = rules_of(w->uri_query_field_rules, w->uri_query_field_rules_n, a);
	return v;
}

static void rules_fini(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		text_match_fini(&r->at[i].names);
}

void redaction_fini(struct redaction *v)
{
	if (!v)
		return;
	rules_fini(&v->header);
	rules_fini(&v->query);
}

/* ---- what fits ---- */

/* By the first that fits. */
static enum redaction_how by_rules(const struct rules *rules, const char *name, size_t len)
{
	for (size_t i = 0; i < rules->n; i++)
		if (rules->at[i].names.broken || text_match_fits(&rules->at[i].names, name, len))
			return rules->at[i].says->action == LOG_FIELD_MASKOFF ? REDACTION_STARS : REDACTION_GONE;
	return REDACTION_NONE;
}

enum redaction_how redaction_header(const struct redaction *v, const char *name, size_t n)
{
	enum redaction_how how = v ? by_rules(&v->header, name, n) : REDACTION_NONE;

	for (size_t i = 0; i < ARRAY_SIZE(always) && how == REDACTION_NONE; i++)
		if (n == always[i].len && strncasecmp(name, always[i].name, n) == 0)
			how = REDACTION_STARS;
	return how;
}

const char *redaction_query(const struct redaction *v, const char *query, size_t *n)
{
	static _Thread_local char text[4096];
	size_t used = 0;

	if (!v || !v->query.n)
		return query;
	for (size_t at = 0, to; at < *n; at = to + 1) {
		const char *end = memchr(query + at, '&', *n - at), *equals;
		size_t name, len;
		enum redaction_how how;

		to = end ? (size_t)(end - query) : *n;
		equals = memchr(query + at, '=', to - at);
		name = equals ? (size_t)(equals - query) - at : to - at;
		how = by_rules(&v->query, query + at, name);
		len = how == REDACTION_NONE ? to - at : name;
		if (how == REDACTION_GONE)
			continue;
		if (used + len + sizeof(REDACTION_TEXT) + 2 > sizeof(text))
			break;
		if (used)
			text[used++] = '&';
		memcpy(text + used, query + at, len);
		used += len;
		if (how == REDACTION_STARS && equals) {
			memcpy(text + used, "=" REDACTION_TEXT, sizeof(REDACTION_TEXT));
			used += sizeof(REDACTION_TEXT);
		}
	}
	*n = used;
	return text;
}
