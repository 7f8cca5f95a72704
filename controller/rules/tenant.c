/*
 * tenant: one that has engines, or a routing domain, of its own gets them under the names that
 * clients look for, and they go with it.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rules.h"

/* What a tenant whose SETTING is VALUE has of its own in each cloud. */
static const struct {
	const char *setting;
	bool value;
	const char *kind, *name;
} comes_with[] = {
	{ "se_in_provider_context", false, "serviceenginegroup", "Default-Group" },
	{ "tenant_vrf", true, "vrfcontext", "global" },
};

static bool wants(struct change *c, const json_t *tenant, size_t i)
{
	/* The contract's default is the other one. */
	return access_tenant_setting(c->store, tenant, comes_with[i].setting, !comes_with[i].value) ==
	       comes_with[i].value;
}

static int make(struct change *c, const char *uuid, const char *cloud, size_t i, struct err *e)
{
	CLEANUP_JSON json_t *v = json_pack("{s:s}", "name", comes_with[i].name);
	char made_uuid[UUID_MAX] = "";

	json_object_set_new(v, "tenant_ref", json_sprintf("/api/tenant/%s", uuid));
	json_object_set_new(v, "cloud_ref", json_sprintf("/api/cloud/%s", cloud));
	return change_create(c, kind_find(comes_with[i].kind), v, made_uuid, e);
}

struct clouds {
	struct store *store;
	const char *tenant;
	json_t *list; /* uuids of those that the tenant may use */
};

static int note_cloud(void *arg, const struct object *o)
{
	struct clouds *c = arg;

	if (access_reaches(c->store, c->tenant, o))
		json_array_append_new(c->list, json_string(o->uuid));
	return 0;
}

static json_t *clouds_of(struct change *c, const char *tenant)
{
	struct clouds clouds = { c->store, tenant, json_array() };

	store_each(c->store, "cloud", note_cloud, &clouds);
	return clouds.list;
}

static int made(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	CLEANUP_JSON json_t *clouds = clouds_of(c, uuid);
	json_t *cloud;
	size_t n;
	int rc = 0;

	for (size_t i = 0; strcmp(uuid, TENANT_ADMIN) != 0 && i < ARRAY_SIZE(comes_with); i++)
		json_array_foreach(clouds, n, cloud)
			if (rc == 0 && wants(c, new, i))
				rc = make(c, uuid, json_string_value(cloud), i, e);
	return rc;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	for (size_t i = 0; old && i < ARRAY_SIZE(comes_with) && strcmp(uuid, TENANT_ADMIN) != 0; i++) {
		char path[64];

		if (wants(c, old, i) == wants(c, new, i))
			continue;
		snprintf(path, sizeof(path), "config_settings.%s", comes_with[i].setting);
		return err_set(e, -EINVAL, path, "It is fixed when the tenant is made.");
	}
	return 0;
}

static int leaving(struct change *c, const char *uuid, struct err *e)
{
	CLEANUP_JSON json_t *clouds = clouds_of(c, uuid);
	const struct object *t = txn_get(c->txn, "tenant", uuid);
	json_t *cloud;
	size_t n;
	int rc = 0;

	for (size_t i = 0; strcmp(uuid, TENANT_ADMIN) != 0 && i < ARRAY_SIZE(comes_with); i++) {
		json_array_foreach(clouds, n, cloud) {
			const struct object *o = store_find(c->store, comes_with[i].kind, uuid,
							    json_string_value(cloud), comes_with[i].name);
			CLEANUP_FREE char *id = o ? xstrdup(o->uuid) : NULL;

			if (rc == 0 && id && wants(c, t->body, i))
				rc = change_delete(c, kind_find(comes_with[i].kind), id, e);
		}
	}
	return rc;
}

const struct rule rule_tenant = {
	.kind = "tenant", .check = check, .made = made, .leaving = leaving
};
