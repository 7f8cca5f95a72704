/*
 * networksecuritypolicy, ipaddrgroup: a group whose members nobody here knows would match no one, or everybody; and so would a
 * name among them, since clients have addresses.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rules.h"

/* The place of the first name among the addresses of GROUP, -1: there is none. */
static int name_in(const json_t *group)
{
	const json_t *addr;
	size_t i;

	json_array_foreach(json_object_get(group, "addrs"), i, addr)
		if (strcmp(json_str(addr, "type", ""), "DNS") == 0)
			return (int)i;
	return -1;
}

struct use {
	struct change *change;
	struct err *e;
};

static int group_of_addresses(void *arg, const char *path, const char *kind, const char *uuid)
{
	const struct use *u = arg;
	const struct object *o = strcmp(kind, "ipaddrgroup") == 0 ? txn_get(u->change->txn, kind, uuid) : NULL;
	int at = o ? name_in(o->body) : -1;

	if (at < 0)
		return 0;
	return err_set(u->e, -EINVAL, path, "addrs[%d] of the group '%s' is a name; a client has an address.", at, o->name);
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	const struct kind_desc *k = kind_find("networksecuritypolicy");
	struct use u = { c, e };
	int rc = rule_uses_built(c, k, new, e);

	(void)uuid;
	(void)old;
	return rc < 0 ? rc : model_refs(k, new, group_of_addresses, &u);
}

static int policy_of(void *arg, const struct object *o)
{
	if (strcmp(o->kind->path, "networksecuritypolicy") != 0)
		return 0;
	*(const struct object **)arg = o;
	return 1;
}

static int check_group(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	const struct object *user = NULL;
	int at = name_in(new);
	char path[32];

	if (at < 0 || !old)
		return 0;
	store_referrers(c->store, "ipaddrgroup", uuid, policy_of, &user);
	if (!user)
		return 0;
	snprintf(path, sizeof(path), "addrs[%d].type", at);
	return err_set(e, -EINVAL, path, "A client has an address, not a name: the group is used by %s '%s'.",
		       user->kind->msg->name, user->name);
}

const struct rule rule_networksecuritypolicy = { .kind = "networksecuritypolicy", .check = check };
const struct rule rule_ipaddrgroup = { .kind = "ipaddrgroup", .check = check_group };
