#include "engine/log_plan.h"

#include "base/base.h"
#include "engine/counters.h"
#include "engine/rate.h"
#include "engine/records.h"
#include "engine/snapshot.h"
#include "engine/text_match.h"
#include "engine/worker.h"
#include "model/structs.h"

#define MINUTE_NS (60 * NS_PER_S)

enum class { SIGNIFICANT, FILTERED, REST, CLASSES };

struct log_share {
	atomic_uint refs;
	struct part *service; /* a reference: so that no other one is at its place */
	uint64_t since_ns;
	struct rate rates[CLASSES][2]; /* by enum record_type */
};

struct one_filter {
	const struct client_log_filter *says;
	struct ipset clients;
	struct text_match path; /* says NULL: any, and what has none */
};

struct log_plan {
	struct log_share *share; /* a reference */
	const struct full_client_logs *full; /* NULL: all of the rest */
	struct rate_limit limits[CLASSES];
	size_t n;
	struct one_filter *filters; /* the lowest index first */
};

/* ---- what is shared ---- */

struct log_share *log_share_for(struct log_share *old, struct part *service, uint64_t now_ns)
{
	struct log_share *s;

	if (old && old->service == service)
		return old;
	log_share_put(old);
	s = xcalloc(1, sizeof(*s));
	atomic_init(&s->refs, 1);
	s->service = part_get(service);
	s->since_ns = now_ns;
	return s;
}

struct log_share *log_share_get(struct log_share *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void log_share_put(struct log_share *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	part_put(s->service);
	free(s);
}

/* ---- the plan ---- */

static int by_index(const void *a, const void *b)
{
	const struct one_filter *x = a, *y = b;

	if (x->says->index != y->says->index)
		return x->says->index < y->says->index ? -1 : 1;
	return x->says < y->says ? -1 : 1; /* as they were written */
}

static struct rate_limit so_many(uint64_t a_second)
{
	return a_second ? rate_limit_of(a_second, NS_PER_S, a_second) : (struct rate_limit){ 0 };
}

struct log_plan *log_plan_new(const struct analytics_policy *w, struct log_share *share, netsec_group *group, void *arg,
			      struct arena *a)
{
	struct log_plan *p;

	if (!w)
		return NULL;
	p = arena_get(a, sizeof(*p));
	*p = (struct log_plan){ .share = log_share_get(share), .full = w->full_client_logs };
	p->limits[SIGNIFICANT] = so_many((uint64_t)w->significant_log_throttle);
	p->limits[FILTERED] = so_many((uint64_t)w->udf_log_throttle);
	p->limits[REST] = so_many(p->full ? (uint64_t)p->full->throttle : 0);
	p->filters = arena_get(a, (w->client_log_filters_n + 1) * sizeof(p->filters[0]));
	for (size_t i = 0; i < w->client_log_filters_n; i++) {
		const struct client_log_filter *f = &w->client_log_filters[i];

		if (!f->enabled)
			continue;
		p->filters[p->n] = (struct one_filter){ .says = f, .clients = netsec_clients(f->client_ip, group, arg) };
		if (f->uri)
			p->filters[p->n].path = text_match_of(f->uri, a);
		p->n++;
	}
	qsort(p->filters, p->n, sizeof(p->filters[0]), by_index);
	return p;
}

void log_plan_fini(struct log_plan *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < p->n; i++) {
		ipset_fini(&p->filters[i].clients);
		text_match_fini(&p->filters[i].path);
	}
	log_share_put(p->share);
}

/* ---- what is kept ---- */

static bool lasts(const struct log_plan *p, int64_t minutes, uint64_t now_ns)
{
	return !minutes || now_ns - p->share->since_ns < (uint64_t)minutes * MINUTE_NS;
}

static bool fits(const struct one_filter *f, const struct record *rec, const struct in6_addr *client)
{
	size_t n = rec->texts[RECORD_T_PATH].len;

	return ipset_has(&f->clients, client) &&
	       (!f->path.says || (n && text_match_fits(&f->path, rec->text + rec->texts[RECORD_T_PATH].at, n)));
}

static void look_for_filter(const struct log_plan *p, struct record *rec, uint64_t now_ns)
{
	struct in6_addr client;

	address_mapped(&rec->client, client.s6_addr);
	for (size_t i = 0; i < p->n && !rec->filtered; i++) {
		const struct client_log_filter *f = p->filters[i].says;

		if (!lasts(p, f->duration, now_ns) || !fits(&p->filters[i], rec, &client))
			continue;
		rec->filtered = true;
		record_text(rec, RECORD_T_FILTER, f->name, strlen(f->name));
	}
}

bool log_plan_keeps(const struct log_plan *p, struct record *rec, uint64_t now_ns, struct service_counters *counters)
{
	enum class class;

	if (!p)
		return true;
	look_for_filter(p, rec, now_ns);
	class = rec->reason != RECORD_NONE ? SIGNIFICANT : rec->filtered ? FILTERED : REST;
	if (class == REST && p->full && !(p->full->enabled && lasts(p, p->full->duration, now_ns)))
		return false;
	if (rate_take(&p->share->rates[class][rec->type], &p->limits[class], now_ns))
		return true;
	counter_add(&counters->records_throttled, 1);
	return false;
}

void log_plan_put(const struct snapshot *s, const struct worker *w, struct service_counters *counters, struct record *rec)
{
	if (!s || !s->log_plan || log_plan_keeps(s->log_plan, rec, mono_ns(), counters))
		records_put(w->counters->records, w->id, rec);
}
