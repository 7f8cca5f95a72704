/* The questions about a meter: meter.h. */
#include "controller/metrics/meter_inside.h"

#include <string.h>

#include "base/base.h"

void meter_find(const struct meter *m, enum metric_of of, const char *uuid, const char *item, const char *engine,
		struct meter_series *out)
{
	for (struct table_link *l = series_first(&m->all, of, uuid, item); l; l = table_next(l)) {
		const struct series *s = CONTAINER_OF(l, struct series, link);

		if (!series_is_of(s, of, uuid, item) || (engine && strcmp(m->all.series[s->engine]->uuid, engine) != 0))
			continue;
		out->ids = one_more(out->ids, out->n, sizeof(*out->ids));
		out->ids[out->n++] = s->id;
	}
}

void meter_series_free(struct meter_series *s)
{
	free(s->ids);
	*s = (struct meter_series){ 0 };
}

void meter_items(const struct meter *m, enum metric_of of, const char *uuid, void (*f)(void *arg, const char *item), void *arg)
{
	for (size_t i = 0; i < m->all.room; i++)
		if (m->all.series[i] && m->all.series[i]->of == of && m->all.series[i]->item && strcmp(m->all.series[i]->uuid, uuid) == 0)
			f(arg, m->all.series[i]->item);
}

bool meter_has_step(unsigned step_s)
{
	return step_s == METER_STEP_S || (step_s && step_s % METER_LONG_STEP_S == 0 && step_s <= 86400);
}

uint64_t meter_last_step(unsigned step_s, uint64_t now_ms)
{
	uint64_t now = now_ms / 1000 / step_s * step_s;

	return now - MIN(now, (uint64_t)step_s);
}

static void add_page(const struct meter *m, const struct page *p, const struct column *columns, size_t columns_n,
		     const struct meter_series *s, struct reading *out)
{
	int64_t v[METRIC_COLUMNS] = { 0 };
	uint32_t reports = 0;

	for (size_t i = 0; i < s->n; i++) {
		const struct series *one = m->all.series[s->ids[i]];
		bool seen = false;

		for (size_t k = 0; k < i && !seen; k++) /* an engine carries several of them: it reports once */
			seen = m->all.series[s->ids[k]]->engine == one->engine;
		reports += seen ? 0 : page_reports(p, one->engine);
		page_add(p, one->id, v, columns_n);
	}
	if (!reports || !p->covered_ms)
		return;
	out->known = true;
	out->reports += reports;
	out->covered_ms += p->covered_ms;
	for (size_t c = 0; c < columns_n; c++)
		if (columns[c].how == COLUMN_MAX)
			out->v[c] = MAX(out->v[c], v[c]);
		else
			out->v[c] = sum_of(out->v[c], v[c]);
}

/* What was counted in all since the beginning: what it is now, without what came after each step. */
static void totals(const struct meter *m, const struct column *columns, size_t columns_n, const struct meter_series *s, size_t k,
		   unsigned step_s, size_t n, struct reading *out)
{
	const struct tape *t = &m->tapes[k];
	int64_t v[METRIC_COLUMNS] = { 0 };
	size_t left = t->n, at = n;

	for (size_t i = 0; i < s->n; i++) {
		const struct live *l = m->all.series[s->ids[i]]->live;

		for (size_t c = 0; l && c < columns_n; c++)
			if (columns[c].how == COLUMN_TOTAL)
				v[c] = sum_of(v[c], sum_of(l->kept[columns[c].place], -l->sums[k][c]));
	}
	while (at--) {
		for (; left; left--) {
			const struct page *p = tape_at(t, left - 1);
			int64_t came[METRIC_COLUMNS] = { 0 };

			if (p->at_s < out[at].at_s + step_s)
				break;
			for (size_t i = 0; i < s->n; i++)
				page_add(p, s->ids[i], came, columns_n);
			for (size_t c = 0; c < columns_n; c++)
				v[c] = sum_of(v[c], -came[c]);
		}
		for (size_t c = 0; c < columns_n; c++)
			if (columns[c].how == COLUMN_TOTAL)
				out[at].v[c] = MAX(v[c], (int64_t)0);
	}
}

void meter_read(const struct meter *m, enum metric_of of, const struct meter_series *s, unsigned step_s, uint64_t from_s,
		size_t n, struct reading *out)
{
	size_t k = step_s == METER_STEP_S ? 0 : 1, columns_n;
	const struct column *columns = metric_columns(of, &columns_n);

	for (size_t i = 0; i < n; i++) {
		out[i] = (struct reading){ .at_s = from_s + i * step_s };
		for (uint64_t at = out[i].at_s; at < out[i].at_s + step_s; at += meter_steps_s[k]) {
			const struct page *p = tape_page(&m->tapes[k], at);

			if (p)
				add_page(m, p, columns, columns_n, s, &out[i]);
		}
	}
	if (of == METRIC_CLONE)
		totals(m, columns, columns_n, s, k, step_s, n, out);
}

bool meter_value(const struct metric *metric, const struct reading *r, double *value)
{
	double sum = (double)r->v[metric->column];

	*value = 0;
	if (!r->known)
		return false;
	switch (metric->kind) {
	case METRIC_RATE:
		*value = metric->scale * sum * 1000 / (double)r->covered_ms;
		return true;
	case METRIC_MEAN:
		*value = metric->scale * sum / (double)r->covered_ms;
		return true;
	case METRIC_SUM:
	case METRIC_MAX:
	case METRIC_TOTAL:
		*value = metric->scale * sum;
		return true;
	case METRIC_RATIO:
		if (r->v[metric->by_column] > 0)
			*value = metric->scale * sum / (double)r->v[metric->by_column];
		return r->v[metric->by_column] > 0;
	}
	return false;
}
