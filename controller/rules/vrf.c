#include "controller/rules/vrf.h"

#include <errno.h>

#include "base/base.h"
#include "base/ip.h"
#include "controller/pools.h"
#include "controller/resolve.h"
#include "controller/rules.h"

/* One virtual service, and what is going to be changed of its way to servers. */
struct course {
	struct change *change;
	const char *uuid, *name, *vrf;
	const char *path; /* of the field that leads to the pools that are looked at */
	const struct object *other;
	struct err *e;
};

static const char *vrf_of(const json_t *vs)
{
	return ref_target(json_str(vs, "vrf_context_ref", NULL));
}

static int other_vrf(void *arg, const struct object *vs)
{
	struct course *t = arg;

	if (strcmp(vs->uuid, t->uuid) == 0 || strcmp(vrf_of(vs->body), t->vrf) == 0)
		return 0;
	t->other = vs;
	return 1;
}

/* A pool that says nothing is in the domain of whom it serves. */
static int pool_fits(void *arg, const struct object *pool, enum pools_role role)
{
	struct course *t = arg;
	const char *says = json_str(pool->body, "vrf_ref", NULL);

	(void)role;
	if (says && strcmp(ref_target(says), t->vrf) != 0 && t->name)
		return err_set(t->e, -EINVAL, t->path, "Pool '%s' is in another VRF than virtual service '%s', which it would serve.",
			       pool->name, t->name);
	if (says && strcmp(ref_target(says), t->vrf) != 0)
		return err_set(t->e, -EINVAL, t->path, "Pool '%s' is in another VRF than the virtual service.", pool->name);
	if (!says && pools_users(t->change->store, pool->uuid, other_vrf, t) != 0)
		return err_set(t->e, -EINVAL, t->path, "Pool '%s' serves virtual service '%s', which is in another VRF.",
			       pool->name, t->other->name);
	return 0;
}

int rule_vrf_of_service(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	bool group = json_object_get(new, "pool_group_ref");
	struct course t = { .change = c, .uuid = uuid, .vrf = vrf_of(new), .e = e,
			    .path = group ? "pool_group_ref" : "pool_ref" };

	return pools_each(c->store, new, pool_fits, &t);
}

struct becoming {
	struct course course;
	const json_t *new;
};

static int user_fits(void *arg, const struct object *vs)
{
	struct becoming *b = arg;
	const char *says = json_str(b->new, "vrf_ref", NULL);

	b->course.uuid = vs->uuid;
	b->course.name = vs->name;
	b->course.vrf = vrf_of(vs->body);
	if (says && strcmp(ref_target(says), b->course.vrf) != 0)
		return err_set(b->course.e, -EINVAL, "vrf_ref", "Virtual service '%s', which it serves, is in another VRF.",
			       vs->name);
	return pools_each_of(b->course.change->store, b->new, pool_fits, &b->course);
}

int rule_vrf_of_pool(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	struct becoming b = { { .change = c, .e = e, .path = "fail_action.backup_pool.backup_pool_ref" }, new };

	return pools_users(c->store, uuid, user_fits, &b);
}

static int user_of_group_fits(void *arg, const struct object *o)
{
	return strcmp(o->kind->path, "virtualservice") == 0 ? user_fits(arg, o) : 0;
}

int rule_vrf_of_group(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	struct becoming b = { { .change = c, .e = e, .path = "members" }, new };

	return store_referrers(c->store, "poolgroup", uuid, user_of_group_fits, &b);
}

/* ---- the domain itself ---- */

static bool family(const json_t *ip, bool *v4)
{
	struct in6_addr a;

	if (ip_parse(json_str(ip, "addr", ""), &a) < 0)
		return false;
	*v4 = ip_is_v4(&a);
	return true;
}

/* One network has one way: of two routes to it the later one holds. */
static void warn_of_same(struct change *c, const json_t *routes, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (json_equal(json_object_get(json_array_get(routes, i), "prefix"),
			       json_object_get(json_array_get(routes, at), "prefix"))) {
			change_warn(c, "static_routes[%zu].prefix: static_routes[%zu] leads to the same network; only one of them holds.",
				    at, i);
			return;
		}
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	json_t *route;
	size_t i;

	(void)uuid;
	(void)old;
	json_array_foreach(json_object_get(new, "static_routes"), i, route) {
		bool to = false, by = false;
		char path[48];

		snprintf(path, sizeof(path), "static_routes[%zu].next_hop", i);
		if (family(json_object_get(json_object_get(route, "prefix"), "ip_addr"), &to) &&
		    family(json_object_get(route, "next_hop"), &by) && to != by)
			return err_set(e, -EINVAL, path, "An IPv%c gateway cannot lead to an IPv%c network.", by ? '4' : '6',
				       to ? '4' : '6');
		warn_of_same(c, json_object_get(new, "static_routes"), i);
	}
	return 0;
}

const struct rule rule_vrfcontext = { .kind = "vrfcontext", .check = check };
