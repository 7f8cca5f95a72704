#include "engine/pool_state.h"

#include "base/base.h"
#include "engine/persist.h"

struct pool_state *pool_state_new(void)
{
	struct pool_state *p = xcalloc(1, sizeof(*p));

	atomic_init(&p->refs, 1);
	return p;
}

struct pool_state *pool_state_get(struct pool_state *p)
{
	atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
	return p;
}

void pool_state_put(struct pool_state *p)
{
	if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) {
		persist_free(p->persist);
		free(p);
	}
}
