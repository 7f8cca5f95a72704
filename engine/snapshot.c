#include "engine/snapshot.h"

#include "base/base.h"
#include "engine/clone/flow_log.h"
#include "engine/http/redaction.h"
#include "engine/log_plan.h"
#include "engine/pool_state.h"
#include "engine/tls/secure.h"

struct snapshot *snapshot_new(void)
{
	struct snapshot *s = xcalloc(1, sizeof(*s));

	atomic_init(&s->refs, 1);
	s->arena.grain = PART_GRAIN;
	return s;
}

struct snapshot *snapshot_get(struct snapshot *s)
{
	atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
	return s;
}

void snapshot_put(struct snapshot *s)
{
	if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < s->n_pools; i++) {
		for (size_t j = 0; j < s->pools[i].n_servers; j++)
			backend_put(s->pools[i].servers[j].backend);
		pool_state_put(s->pools[i].state);
		secure_put(s->pools[i].tls);
	}
	admission_put(s->admission.shared);
	netsec_put(s->admission.netsec);
	for (size_t i = 0; i < s->n_ports; i++)
		snapshot_put(s->ports[i].as);
	secure_put(s->clients_tls);
	flow_sink_put(s->clone.sink);
	redaction_fini(s->redaction);
	log_plan_fini(s->log_plan);
	parts_put(&s->parts);
	arena_fini(&s->arena);
	free(s);
}

struct snapshot *snapshot_for(struct snapshot *s, bool udp, unsigned port)
{
	for (size_t i = 0; s && i < s->n_ports; i++)
		if (s->ports[i].udp == udp && s->ports[i].first <= port && port <= s->ports[i].last)
			return s->ports[i].as;
	return s;
}
