/*
 * Runtime of what services stand on: networks, clouds, groups of engines, groups of pools.
 */
#include "base/base.h"
#include "controller/controller.h"
#include "controller/ipam.h"
#include "controller/link/fleet.h"
#include "controller/link/spare.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rest/subresource.h"

static json_t *oper(const char *state, const char *reason)
{
	return json_pack("{s:s, s:o}", "state", state, "reason",
			 *reason ? json_pack("[s]", reason) : json_array());
}

static json_t *network_runtime(void *arg, const struct subresource_call *call, struct err *err)
{
	struct fleet *f = arg;

	(void)err;
	return json_pack("{s:s, s:s, s:o}", "uuid", call->object->uuid, "name", call->object->name,
			 "subnet_runtime", ipam_subnets(f->controller->ipam, call->object));
}

/* ---- clouds ---------------------------------------------------------------------------- */

/* Engines here are servers that somebody has set up: there is nothing to connect to, and nothing to wait for. */
static json_t *cloud_status(void *arg, const struct subresource_call *call, struct err *err)
{
	(void)arg;
	(void)err;
	return json_pack("{s:s, s:s, s:s, s:s}", "uuid", call->object->uuid, "name",
			 call->object->name, "state", "CLOUD_STATE_PLACEMENT_READY", "reason", "");
}

struct engines {
	unsigned all, up, services;
};

/* Engines whose group or cloud is UUID. */
static struct engines engines_of(struct fleet *f, const char *group, const char *cloud)
{
	struct engines n = { 0 };

	LIST_FOREACH(l, &f->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		if ((group && strcmp(e->group, group) != 0) || (cloud && strcmp(e->cloud, cloud) != 0))
			continue;
		n.all++;
		n.up += e->life == PLACE_ALIVE;
		n.services += e->load;
	}
	return n;
}

static json_t *counts(const struct engines *n)
{
	return json_pack("{s:i, s:i, s:i, s:o}", "num_se", (int)n->all, "num_se_up", (int)n->up,
			 "num_virtualservices", (int)n->services, "oper_status",
			 n->up	  ? oper("OPER_UP", "")
			 : n->all ? oper("OPER_DOWN", "No service engine of it is connected.")
				  : oper("OPER_UNUSED", "It has no service engines."));
}

static json_t *cloud_runtime(void *arg, const struct subresource_call *call, struct err *err)
{
	struct engines n = engines_of(arg, NULL, call->object->uuid);
	json_t *out = counts(&n);
	CLEANUP_JSON json_t *status = cloud_status(arg, call, err);

	json_object_update(out, status);
	return out;
}

static json_t *group_runtime(void *arg, const struct subresource_call *call, struct err *err)
{
	struct engines n = engines_of(arg, call->object->uuid, NULL);
	json_t *out = counts(&n);

	(void)err;
	json_object_set_new(out, "spare", spare_shown(arg, call->object));
	return out;
}

/* ---- groups of pools --------------------------------------------------------------------- */

struct group {
	struct fleet *fleet;
	const struct subresource_call *call;
	json_t *members, *backups;
	json_int_t servers, enabled, up;
	size_t asked, pools_up, backups_up;
	json_int_t score, backup_score; /* of those that requests go to; of the first backup that has one */
};

static int add_pool(void *arg, const struct object *pool, enum pools_role role)
{
	struct group *g = arg;
	struct subresource_call of = *g->call;
	struct err none;
	json_t *one;
	bool is_up;

	of.object = pool;
	one = view_pool(g->fleet, &of, &none);
	is_up = strcmp(json_str(json_object_get(one, "oper_status"), "state", ""), "OPER_UP") == 0;
	json_object_set_new(one, "pool_ref", subresource_ref(g->call, "pool", pool->uuid, pool->name));
	json_array_append_new(role == POOLS_BACKUP ? g->backups : g->members, one);
	g->asked += role == POOLS_OWN;
	if (role == POOLS_OWN)
		g->score += json_int(one, "performance_score", 0);
	if (role == POOLS_BACKUP) {
		g->backup_score = g->backup_score ? g->backup_score : json_int(one, "performance_score", 0);
		g->backups_up += is_up;
		return 0;
	}
	g->servers += json_int(one, "num_servers", 0);
	g->enabled += json_int(one, "num_servers_enabled", 0);
	g->up += json_int(one, "num_servers_up", 0);
	g->pools_up += is_up;
	return 0;
}

static json_t *pools_runtime(void *arg, const struct subresource_call *call, struct err *err)
{
	struct group g = { .fleet = arg, .call = call, .members = json_array(), .backups = json_array() };
	json_t *out;
	size_t n;

	(void)err;
	pools_each_of(g.fleet->store, call->object->body, add_pool, &g);
	n = json_array_size(g.members);
	out = json_pack("{s:I, s:I, s:I, s:i, s:i, s:o, s:o}", "num_servers", g.servers,
			"num_servers_enabled", g.enabled, "num_servers_up", g.up, "num_pools", (int)n,
			"num_pools_up", (int)g.pools_up, "members", g.members, "oper_status",
			g.pools_up     ? oper("OPER_UP", "")
			: g.backups_up ? oper("OPER_UP", "No pool of it is up; a backup pool answers.")
			: n	       ? oper("OPER_DOWN", "No pool of it is up.")
				       : oper("OPER_UNUSED", "It has no pools."));
	json_object_set_new(out, "performance_score",
			    json_integer(g.pools_up ? g.score / (json_int_t)MAX(g.asked, (size_t)1) : g.backup_score));
	if (json_array_size(g.backups))
		json_object_set(out, "backups", g.backups);
	json_decref(g.backups);
	return out;
}

static json_t *pools_detail(void *arg, const struct subresource_call *call, struct err *err)
{
	json_t *one = pools_runtime(arg, call, err);

	json_object_set_new(one, "name", json_string(call->object->name));
	json_object_set_new(one, "uuid", json_string(call->object->uuid));
	return json_pack("[o]", one);
}

static struct subresource views[] = {
	{ .kind = "network", .path = "runtime", .get = network_runtime },
	{ .kind = "cloud", .path = "runtime", .get = cloud_runtime },
	{ .kind = "cloud", .path = "status", .get = cloud_status },
	{ .kind = "cloud", .path = "health", .get = cloud_runtime },
	{ .kind = "serviceenginegroup", .path = "runtime", .get = group_runtime },
	{ .kind = "poolgroup", .path = "runtime", .get = pools_runtime },
	{ .kind = "poolgroup", .path = "runtime/detail", .get = pools_detail },
};

void ground_open(struct fleet *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(views); i++) {
		views[i].arg = f;
		subresource_add(f->controller->rest, &views[i]);
	}
}
