#include "controller/capture/names.h"

#include "base/base.h"
#include "base/ip.h"
#include "controller/resolve.h"

#define NAMES_MAX 1024

static void name_add(struct names *n, const char *ip, const char *fmt, const char *a, const char *b)
{
	struct in6_addr addr;

	if (n->n == NAMES_MAX || ip_parse(ip, &addr) < 0)
		return;
	n->at = xrealloc(n->at, (n->n + 1) * sizeof(*n->at));
	n->at[n->n++] = (struct pcapng_name){ addr, xasprintf(fmt, a, b) };
}

static void names_of_vip(struct names *n, const struct object *vs)
{
	const struct object *o = store_get(n->store, "vsvip", ref_target(json_str(vs->body, "vsvip_ref", "")));
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(o ? o->body : NULL, "vip"), i, v) {
		name_add(n, json_str(json_object_get(v, "ip_address"), "addr", ""), "%s%s", vs->name, "");
		name_add(n, json_str(json_object_get(v, "ip6_address"), "addr", ""), "%s%s", vs->name, "");
	}
}

static int names_of_pool(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct names *n = arg;
	const struct object *o = store_get(n->store, kind, uuid);
	json_t *s;
	size_t i;

	(void)path;
	if (o && strcmp(kind, "poolgroup") == 0)
		model_refs(o->kind, o->body, names_of_pool, n);
	if (!o || strcmp(kind, "pool") != 0)
		return 0;
	json_array_foreach(json_object_get(o->body, "servers"), i, s) {
		const char *ip = json_str(json_object_get(s, "ip"), "addr", "");

		name_add(n, ip, "%s/%s", o->name, json_str(s, "hostname", ip));
	}
	return 0;
}

static int names_of_engine(void *arg, const struct object *o)
{
	struct names *n = arg;
	json_t *nic, *net;
	size_t i, j;

	json_array_foreach(json_object_get(o->body, "data_vnics"), i, nic)
		json_array_foreach(json_object_get(nic, "vnic_networks"), j, net)
			name_add(n, json_str(json_object_get(json_object_get(net, "ip"), "ip_addr"), "addr", ""), "%s/%s", o->name,
				 json_str(nic, "if_name", ""));
	return 0;
}

struct names names_of(struct store *s, const char *vs)
{
	struct names n = { .store = s };
	const struct object *o = store_get(s, "virtualservice", vs);

	if (!o)
		return n;
	names_of_vip(&n, o);
	model_refs(o->kind, o->body, names_of_pool, &n);
	store_each(s, "serviceengine", names_of_engine, &n);
	return n;
}

void names_free(struct names *n)
{
	for (size_t i = 0; i < n->n; i++)
		free((char *)n->at[i].name);
	free(n->at);
}
