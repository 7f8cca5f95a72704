#include "engine/capture/service.h"

#include "base/base.h"
#include "base/ip.h"
#include "base/json.h"
#include "engine/link/link.h"
#include "model/model.h"

#define DEEP 10

struct pools {
	const struct link *link;
	bool (*look)(struct pools *p, const json_t *pool); /* false: that is enough */
	unsigned deep;
	struct ipset set;
};

/* Those of a group, of a policy, and who stands in. */
static int visit(void *arg, const char *path, const char *kind, const char *uuid)
{
	static const char *const through[] = { "pool", "poolgroup", "httppolicyset" };
	struct pools *p = arg;
	const json_t *o = link_object(p->link, kind, uuid);
	bool leads = false;
	int rc;

	(void)path;
	for (size_t i = 0; i < ARRAY_SIZE(through); i++)
		leads |= strcmp(kind, through[i]) == 0;
	if (!o || !leads || p->deep == DEEP)
		return 0;
	if (strcmp(kind, "pool") == 0 && !p->look(p, o))
		return 1;
	p->deep++;
	rc = model_refs(kind_find(kind), o, visit, p);
	p->deep--;
	return rc;
}

static bool add_servers(struct pools *p, const json_t *pool)
{
	const json_t *one;
	struct in6_addr ip;
	size_t i;

	json_array_foreach(json_object_get(pool, "servers"), i, one)
		if (ip_parse(json_str(json_object_get(one, "ip"), "addr", ""), &ip) == 0)
			ipset_add(&p->set, &ip);
	return true;
}

struct ipset service_servers(const struct link *k, const char *uuid)
{
	struct pools p = { .link = k, .look = add_servers };
	const json_t *o = link_object(k, "virtualservice", uuid);

	if (o)
		model_refs(kind_find("virtualservice"), o, visit, &p);
	ipset_seal(&p.set);
	return p.set;
}

static bool is_plain(struct pools *p, const json_t *pool)
{
	(void)p;
	return !*json_str(pool, "ssl_profile_ref", "");
}

bool service_speaks_tls(const struct link *k, const char *uuid)
{
	struct pools p = { .link = k, .look = is_plain };
	const json_t *o = link_object(k, "virtualservice", uuid), *port;
	size_t i;

	json_array_foreach(json_object_get(o, "services"), i, port)
		if (json_bool(port, "enable_ssl", false))
			return true;
	return o && model_refs(kind_find("virtualservice"), o, visit, &p) != 0;
}
