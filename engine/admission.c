#include "engine/admission.h"

#include "base/base.h"
#include "engine/worker.h"

struct admission *admission_new(void)
{
	struct admission *l = xcalloc(1, sizeof(*l));

	atomic_init(&l->refs, 1);
	return l;
}

struct admission *admission_get(struct admission *l)
{
	if (l)
		atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	return l;
}

void admission_put(struct admission *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	rate_table_free(l->clients);
	free(l);
}

static struct rule_counters *rule_counters(struct worker_service *ws, const struct admission_plan *p, uint32_t rule)
{
	const struct worker *w = ws->worker;

	return counters_rule_of(w->counters, w->id, p->rule_slots ? p->rule_slots[rule] : COUNTERS_NO_SLOT);
}

static bool policy_admits(struct worker_service *ws, const struct admission_plan *p, const union address *client,
			  unsigned port)
{
	uint32_t rule;
	enum netsec_verdict v = netsec_ask(p->netsec, client, port, loop_now(ws->worker->loop), &rule);

	if (rule == NETSEC_NO_RULE)
		return true;
	counter_add(&rule_counters(ws, p, rule)->matched, 1);
	if (v == NETSEC_ALLOW)
		return true;
	counter_add(&rule_counters(ws, p, rule)->refused, 1);
	counter_add(&ws->counters->conn_refused_policy, 1);
	return false;
}

/* The rate of all clients; *ANSWER when they are too many. */
static bool rate_admits(struct worker_service *ws, const struct admission_plan *p, enum admission_answer *answer)
{
	if (rate_take(&p->shared->connections, &p->connections, loop_now(ws->worker->loop)))
		return true;
	counter_add(&ws->counters->conn_over_rate, 1);
	if (p->connections_action == LIMIT_COUNT)
		return true;
	*answer = p->connections_action == LIMIT_CLOSE ? ADMIT_NOT_CLOSE : ADMIT_NOT;
	return false;
}

enum admission_answer admission_ask(struct worker_service *ws, const struct snapshot *s, const union address *client,
			    unsigned port)
{
	const struct admission_plan *p = &s->admission;
	enum admission_answer answer = ADMIT_NOT;
	unsigned before;

	if (p->netsec && !policy_admits(ws, p, client, port))
		return ADMIT_NOT;
	if (!p->shared)
		return ADMIT;
	if (p->clients && !rate_table_take(p->clients, client, &p->each_client, p->punish,
						   loop_now(ws->worker->loop))) {
		counter_add(&ws->counters->conn_refused_client_rate, 1);
		return ADMIT_NOT;
	}
	if (!rate_admits(ws, p, &answer))
		return answer;
	before = atomic_fetch_add_explicit(&p->shared->open, 1, memory_order_relaxed);
	if (!p->open_max || before < p->open_max)
		return ADMIT;
	atomic_fetch_sub_explicit(&p->shared->open, 1, memory_order_relaxed);
	counter_add(&ws->counters->conn_refused_limit, 1);
	return ADMIT_NOT;
}

void admission_left(struct worker_service *ws)
{
	struct admission *l = ws->admission;

	if (l)
		must(atomic_fetch_sub_explicit(&l->open, 1, memory_order_relaxed) > 0);
}

bool admission_still(struct worker_service *ws, const struct snapshot *s, const union address *client, unsigned port)
{
	uint32_t rule;

	if (!s->admission.netsec || netsec_ask(s->admission.netsec, client, port, 0, &rule) != NETSEC_DENY)
		return true;
	counter_add(&rule_counters(ws, &s->admission, rule)->matched, 1);
	counter_add(&rule_counters(ws, &s->admission, rule)->refused, 1);
	return false;
}

bool admission_request(struct worker_service *ws, const struct snapshot *s)
{
	const struct admission_plan *p = &s->admission;

	if (!p->shared || rate_take(&p->shared->requests, &p->requests, loop_now(ws->worker->loop)))
		return true;
	counter_add(&ws->counters->http_over_rate, 1);
	return p->requests_action == LIMIT_COUNT;
}
