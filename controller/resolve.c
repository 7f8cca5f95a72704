#include "controller/resolve.h"

#include <errno.h>

#include "base/base.h"
#include "controller/rest/query.h"

const char *kind_spelling(const char *path)
{
	/*
	 * Kinds of the contract that are not built yet, as its clients spell them in what they look
	 * for.
	 */
	/* clang-format off */
	static const struct { const char *path, *name; } later[] = {
		{ "authprofile", "AuthProfile" },
		{ "autoscalelaunchconfig", "AutoScaleLaunchConfig" },
		{ "botdetectionpolicy", "BotDetectionPolicy" },
		{ "dnspolicy", "DnsPolicy" },
		{ "ipamdnsproviderprofile", "IpamDnsProviderProfile" },
		{ "securitypolicy", "SecurityPolicy" },
		{ "serverautoscalepolicy", "ServerAutoScalePolicy" },
		{ "ssopolicy", "SSOPolicy" },
		{ "vsdatascriptset", "VSDataScriptSet" },
		{ "wafpolicy", "WafPolicy" },
	};
	/* clang-format on */
	const struct kind_desc *k = kind_find(path);

	if (k)
		return k->msg->name;
	for (size_t i = 0; i < ARRAY_SIZE(later); i++)
		if (strcmp(later[i].path, path) == 0)
			return later[i].name;
	return path;
}

static const struct object *get(const struct resolver *r, const char *kind, const char *uuid)
{
	return r->txn ? txn_get(r->txn, kind, uuid) : store_get(r->store, kind, uuid);
}

static bool in_reach(const struct resolver *r, const struct kind_desc *k, const struct object *o)
{
	if (k->flags & K_TENANT)
		return access_reaches(r->store, r->tenant, o);
	return !r->viewer || access_sees(r->viewer, o);
}

/* By name: in the tenant, then in `admin`, and where everything is looked at, anywhere. CLOUD NULL: in any. */
static const struct object *find_in(const struct resolver *r, const struct kind_desc *k,
				    const char *cloud, const char *name)
{
	bool all = strcmp(r->tenant, "*") == 0;
	const char *const tenants[] = { all ? TENANT_ADMIN : r->tenant, all ? NULL : TENANT_ADMIN };
	const struct object *o = NULL;

	if (!(k->flags & K_TENANT))
		return store_find(r->store, k->path, NULL, NULL, name);
	for (size_t i = 0; !o && i < ARRAY_SIZE(tenants); i++)
		o = store_find(r->store, k->path, tenants[i], k->flags & K_CLOUD ? cloud : NULL, name);
	return o;
}

static const struct object *by_name(const struct resolver *r, const struct kind_desc *k,
				    const struct query *q, const char *name)
{
	const char *tenant = query_get(q, "tenant"), *cloud = query_get(q, "cloud");
	const struct object *o = NULL, *t, *c;
	struct resolver there = *r;

	if (!cloud)
		cloud = query_get(q, "cloud_ref.name");
	if (cloud) {
		c = find_in(r, kind_find("cloud"), NULL, cloud);
		if (!c)
			c = store_get(r->store, "cloud", cloud);
		if (!c)
			return NULL;
		cloud = c->uuid;
	}
	if (tenant && (k->flags & K_TENANT)) {
		t = store_find(r->store, "tenant", NULL, NULL, tenant);
		if (!t)
			return NULL;
		there.tenant = t->uuid;
	}
	/* Nobody wanted a cloud: rather the own one, in whichever tenant, than another. */
	if (!cloud && *r->cloud)
		o = find_in(&there, k, r->cloud, name);
	if (!o)
		o = find_in(&there, k, cloud, name);
	/* What came with the system is in every tenant, the own one too. */
	return o && (!tenant || !(k->flags & K_TENANT) || strcmp(o->tenant, there.tenant) == 0 ||
		     (o->system && strcmp(there.tenant, r->tenant) == 0))
		       ? o : NULL;
}

/* TEXT without scheme, host, slashes in front and "api/"; NULL when it is no path at all. */
static const char *api_path(const char *text)
{
	const char *p = strstr(text, "://");

	if (p && p < text + 8) {
		p = strchr(p + 3, '/');
		if (!p)
			return NULL;
		text = p;
	} else if (*text != '/' && strncmp(text, "api/", 4) != 0) {
		return NULL;
	}
	text += strspn(text, "/");
	return strncmp(text, "api/", 4) == 0 ? text + 4 + strspn(text + 4, "/") : NULL;
}

/* Of "tenant/admin/role/UUID" what is below the tenant; the uuid says it all. */
static const char *below_tenant(const char *path, const char *kind)
{
	size_t n = strlen("tenant/"),
	       id = strncmp(path, "tenant/", n) == 0 ? strcspn(path + n, "/?#") : 0;

	if (!id || path[n + id] != '/' || strncmp(path + n + id + 1, kind, strlen(kind)) != 0)
		return path;
	return path + n + id + 1;
}

static int resolve(struct model_resolver *m, const char *kind, const char *text, char *uuid,
		   size_t size, struct err *e)
{
	struct resolver *r = CONTAINER_OF(m, struct resolver, model);
	const struct kind_desc *k = kind_find(kind);
	const char *path = api_path(text);
	const struct object *o = NULL;
	struct query q = { 0 };
	size_t n;

	if (!k)
		return err_set(e, -ENOENT, NULL,
			       "%s object not found: objects of this kind do not exist yet.",
			       kind_spelling(kind));
	if (path) {
		const char *question;
		CLEANUP_FREE char *id = NULL;

		path = below_tenant(path, kind);
		n = strcspn(path, "/?#");
		if (strlen(kind) != n || strncmp(path, kind, n) != 0)
			return err_set(e, -EINVAL, NULL,
				       "This refers to a '%.*s', but a %s is wanted here.",
				       (int)MIN(n, 60), path, kind);
		path += n;
		path += strspn(path, "/");
		id = xstrndup(path, strcspn(path, "/?#"));
		question = strchr(path, '?');
		if (*id) {
			o = get(r, kind, id);
		} else if (question) {
			if (query_parse(&q, question + 1, strcspn(question + 1, "#"), e) < 0)
				return -EINVAL;
			if (query_get(&q, "name"))
				o = by_name(r, k, &q, query_get(&q, "name"));
			else if (query_get(&q, "uuid"))
				o = get(r, kind, query_get(&q, "uuid"));
			query_fini(&q);
		}
	} else {
		CLEANUP_FREE char *bare = xstrndup(text, strcspn(text, "#"));

		o = get(r, kind, bare);
		if (!o)
			o = by_name(r, k, &q, text);
	}
	if (!o || !in_reach(r, k, o))
		return err_set(e, -ENOENT, NULL, "%s object not found: '%.200s'.", k->msg->name,
			       text);
	if (strlen(o->uuid) >= size)
		return err_set(e, -EINVAL, NULL, "The uuid of the object is too long.");
	snprintf(uuid, size, "%s", o->uuid);
	return 0;
}

static const char *name_of(struct model_resolver *m, const char *kind, const char *uuid)
{
	struct resolver *r = CONTAINER_OF(m, struct resolver, model);
	const struct object *o = get(r, kind, uuid);

	return o ? o->name : NULL;
}

void resolver_init(struct resolver *r, struct store *s, struct txn *t, const char *tenant,
		   const char *cloud)
{
	*r = (struct resolver){ .model = { .resolve = resolve, .name = name_of },
				.store = s,
				.txn = t,
				.tenant = tenant,
				.cloud = cloud };
}
