#include "controller/metrics/catalogue.h"

#include <string.h>

#include "base/base.h"
#include "base/table.h"

#define NAMES_MAX 4096 /* counters that engines may speak of */

#define METRIC(id, of, kind, units, scale, counters, by, help) \
	{ id, METRIC_##of, METRIC_##kind, units, scale, counters, by, help, 0, 0 },
static struct metric metrics[] = {
#include "controller/metrics/metrics.def"
};

static struct source {
	struct column columns[METRIC_COLUMNS];
	size_t n, kept;
} sources[METRIC_SOURCES];

struct name {
	struct table_link link;
	enum metric_of of;
	char *text;
	bool feeds;
	struct feed feed;
};

static struct table names; /* of counters, as they come */

static unsigned column_of(struct source *s, const char *counters, enum column_how how)
{
	size_t i = 0;

	while (i < s->n && (s->columns[i].how != how || strcmp(s->columns[i].counters, counters) != 0))
		i++;
	if (i == s->n) {
		must(s->n < METRIC_COLUMNS);
		s->columns[s->n++] = (struct column){ .counters = counters, .how = how };
		if (how == COLUMN_MEAN || how == COLUMN_MAX || how == COLUMN_TOTAL)
			s->columns[i].place = (unsigned)s->kept++;
	}
	return (unsigned)i;
}

static void make_columns(void)
{
	static bool made;

	if (made)
		return;
	made = true;
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++) {
		struct metric *m = &metrics[i];
		struct source *s = &sources[m->of];
		enum column_how how = m->kind == METRIC_MEAN	? COLUMN_MEAN
				      : m->kind == METRIC_MAX	? COLUMN_MAX
				      : m->kind == METRIC_TOTAL ? COLUMN_TOTAL
				      : *m->counters == '='	? COLUMN_VALUE
								: COLUMN_RISE;

		m->column = column_of(s, m->counters, how);
		if (*m->by)
			m->by_column = column_of(s, m->by, COLUMN_RISE);
	}
}

const struct metric *metric_all(size_t *n)
{
	make_columns();
	*n = ARRAY_SIZE(metrics);
	return metrics;
}

const struct metric *metric_find(const char *id)
{
	make_columns();
	for (size_t i = 0; i < ARRAY_SIZE(metrics); i++)
		if (strcmp(metrics[i].id, id) == 0)
			return &metrics[i];
	return NULL;
}

bool metric_is_known(const char *id)
{
	static const char *const families[] = { "l4_client", "l4_server", "l7_client", "l7_server", "se_stats", "se_if",
						"vm_stats", "dns_client", "dns_server", "source_insights", "waf_group",
						"waf_rule", "controller_stats", "tenant_stats", "health", "healthscore",
						"user", "process_stats", "rum_client" };
	static const char *const aggregates[] = { "avg_", "sum_", "max_", "min_", "pct_", "apdex", "rum_", "health_score" };
	size_t n = strcspn(id, ".");

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		if (!id[n] || strlen(families[i]) != n || strncmp(families[i], id, n) != 0)
			continue;
		for (size_t k = 0; k < ARRAY_SIZE(aggregates); k++)
			if (strncmp(id + n + 1, aggregates[k], strlen(aggregates[k])) == 0)
				return true;
		return strcmp(families[i], "user") == 0;
	}
	return false;
}

const struct column *metric_columns(enum metric_of of, size_t *n)
{
	make_columns();
	*n = sources[of].n;
	return sources[of].columns;
}

size_t metric_kept(enum metric_of of)
{
	make_columns();
	return sources[of].kept;
}

/* How often COUNTER counts in TERMS. */
static int times_in(const char *terms, const char *counter)
{
	int times = 0, sign = 1;

	for (const char *p = terms; *p;) {
		size_t n = strcspn(p + (*p == '='), "+-") + (*p == '=');
		const char *term = p + (*p == '=');
		size_t len = n - (size_t)(term - p);

		if (len && term[len - 1] == '*' ? strncmp(counter, term, len - 1) == 0
						: strlen(counter) == len && strncmp(counter, term, len) == 0)
			times += sign;
		p += n;
		sign = *p == '-' ? -1 : 1;
		p += *p != '\0';
	}
	return times;
}

static void feed_make(struct name *name)
{
	const struct source *s = &sources[name->of];

	for (size_t i = 0; i < s->n; i++) {
		int times = times_in(s->columns[i].counters, name->text);

		if (!times)
			continue;
		name->feed.rises |= s->columns[i].how == COLUMN_RISE || s->columns[i].how == COLUMN_TOTAL;
		name->feed.to[name->feed.n].column = (uint8_t)i;
		name->feed.to[name->feed.n++].times = (int8_t)times;
	}
	if (name->of == METRIC_SERVICE) {
		CLEANUP_FREE char *sum = xasprintf("services.%s", name->text);

		name->feed.up = metric_feed(METRIC_ENGINE, sum);
	}
	name->feeds = name->feed.n || name->feed.up;
}

const struct feed *metric_feed(enum metric_of of, const char *counter)
{
	uint64_t hash = table_hash(TABLE_SEED + of, counter);
	struct name *name;

	for (struct table_link *l = table_first(&names, hash); l; l = table_next(l)) {
		name = CONTAINER_OF(l, struct name, link);
		if (name->of == of && strcmp(name->text, counter) == 0)
			return name->feeds ? &name->feed : NULL;
	}
	if (names.n >= NAMES_MAX)
		return NULL;
	make_columns();
	name = xcalloc(1, sizeof(*name));
	name->of = of;
	name->text = xstrdup(counter);
	feed_make(name);
	table_put(&names, &name->link, hash);
	return name->feeds ? &name->feed : NULL;
}
