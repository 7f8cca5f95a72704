#include "controller/rules.h"

#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"

/* clang-format off */
static const struct rule *const rules[] = {
	&rule_applicationpersistenceprofile,
	&rule_backupconfiguration,
	&rule_capture,
	&rule_cloud,
	&rule_cluster,
	&rule_debugserviceengine,
	&rule_debugvirtualservice,
	&rule_ipaddrgroup,
	&rule_network,
	&rule_networkprofile,
	&rule_networksecuritypolicy,
	&rule_pkiprofile,
	&rule_pool,
	&rule_poolgroup,
	&rule_role,
	&rule_scheduler,
	&rule_serviceengine,
	&rule_sslkeyandcertificate,
	&rule_sslprofile,
	&rule_systemconfiguration,
	&rule_tenant,
	&rule_trafficcloneprofile,
	&rule_user,
	&rule_virtualservice,
	&rule_vrfcontext,
	&rule_vsvip,
};
/* clang-format on */

const struct rule *rule_find(const char *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(rules); i++)
		if (strcmp(rules[i]->kind, kind) == 0)
			return rules[i];
	return NULL;
}

struct use {
	struct change *change;
	struct err *e;
};

static int use_of(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct use *u = arg;
	const struct object *o = txn_get(u->change->txn, kind, uuid);
	struct err inner = { 0 };

	if (!o || model_later(o->kind, o->body, &inner) == 0)
		return 0;
	return err_set(u->e, -EINVAL, path, "%s '%s' cannot be used yet: %s", o->kind->msg->name,
		       o->name, err_line(&inner));
}

int rule_uses_built(struct change *c, const struct kind_desc *k, const json_t *stored,
		    struct err *e)
{
	struct use u = { c, e };

	return model_refs(k, stored, use_of, &u);
}

static int first_user(void *arg, const struct object *o)
{
	*(const struct object **)arg = o;
	return 1;
}

int rule_stays_built(struct change *c, const struct kind_desc *k, const char *uuid,
		     const json_t *new, struct err *e)
{
	const struct object *user = NULL;
	struct err inner = { 0 };

	if (model_later(k, new, &inner) == 0)
		return 0;
	store_referrers(c->store, k->path, uuid, first_user, &user);
	if (!user)
		return 0;
	return err_set(e, -EINVAL, inner.path, "%s It is used by %s '%s'.", inner.text,
		       user->kind->msg->name, user->name);
}
