/*
 * cloud: each has a service engine group and routing domains of its own, under the names that
 * clients look for.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rules.h"

static const struct {
	const char *kind, *name;
} comes_with[] = {
	{ "serviceenginegroup", "Default-Group" },
	{ "vrfcontext", "global" },
	{ "vrfcontext", "management" },
};

static int made(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	char ref[UUID_MAX + 16];
	int rc = 0;

	/* A fresh controller's own cloud: rest/system.c makes these. */
	if (c->by.system)
		return 0;
	snprintf(ref, sizeof(ref), "/api/cloud/%s", uuid);
	for (size_t i = 0; i < ARRAY_SIZE(comes_with) && rc == 0; i++) {
		CLEANUP_JSON json_t *v = json_pack("{s:s, s:s, s:O}", "name", comes_with[i].name,
						   "cloud_ref", ref, "tenant_ref",
						   json_object_get(new, "tenant_ref"));
		char made_uuid[UUID_MAX] = "";

		if (strcmp(comes_with[i].kind, "vrfcontext") == 0)
			json_object_set_new(v, "system_default", json_true());
		rc = change_create(c, kind_find(comes_with[i].kind), v, made_uuid, e);
	}
	return rc;
}

static int leaving(struct change *c, const char *uuid, struct err *e)
{
	const struct object *cloud = store_get(c->store, "cloud", uuid);
	int rc = 0;

	/* What is in use says so. The system's own cloud, which stays, says that first. */
	if (cloud->system)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(comes_with) && rc == 0; i++) {
		const struct object *o = store_find(c->store, comes_with[i].kind, NULL, uuid,
						    comes_with[i].name);
		CLEANUP_FREE char *id = o ? xstrdup(o->uuid) : NULL;

		if (id)
			rc = change_delete(c, kind_find(comes_with[i].kind), id, e);
	}
	return rc;
}

const struct rule rule_cloud = { .kind = "cloud", .made = made, .leaving = leaving };
