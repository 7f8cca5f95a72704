/* serviceengine: a group has as many as its max_se says. */
#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rules.h"

struct members {
	const char *but; /* uuid */
	json_int_t n;
};

static int count(void *arg, const struct object *o)
{
	struct members *m = arg;

	m->n += strcmp(o->kind->path, "serviceengine") == 0 && strcmp(o->uuid, m->but) != 0;
	return 0;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	const char *ref = json_str(new, "se_group_ref", NULL);
	const struct object *group = txn_get(c->txn, "serviceenginegroup", ref_target(ref));
	struct members m = { .but = uuid };
	json_int_t max;

	/* Who is in stays, also when the limit came down. */
	if (!group || (old && strcmp(json_str(old, "se_group_ref", ""), ref) == 0))
		return 0;
	max = json_int(group->body, "max_se", 10);
	store_referrers(c->store, "serviceenginegroup", group->uuid, count, &m);
	if (m.n < max)
		return 0;
	return err_set(e, -EINVAL, "se_group_ref",
		       "The service engine group '%s' has %lld of %lld service engines.", group->name,
		       (long long)m.n, (long long)max);
}

const struct rule rule_serviceengine = { .kind = "serviceengine", .check = check };
