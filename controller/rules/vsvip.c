/*
 * vsvip: an address belongs to one vsvip of a routing domain.
 */
#include <errno.h>

#include "base/base.h"
#include "base/ip.h"
#include "controller/ipam.h"
#include "controller/resolve.h"
#include "controller/rules.h"
#include "controller/rules/snat.h"

/* "0", "1" ... where a client left the key out, as the contract's controllers do. */
static int prepare(struct change *c, const char *uuid, const json_t *old, json_t *wire,
		   struct err *e)
{
	json_t *vips = json_object_get(wire, "vip"), *v;
	size_t i;

	(void)uuid;
	(void)c;
	(void)old;
	(void)e;
	json_array_foreach(vips, i, v) {
		char id[24];

		snprintf(id, sizeof(id), "%zu", i);
		if (json_is_object(v) && !json_object_get(v, "vip_id"))
			json_object_set_new(v, "vip_id", json_string(id));
	}
	return 0;
}

static const char *const families[] = { "ip_address", "ip6_address" };

static bool address(const json_t *vip, const char *field, struct in6_addr *out)
{
	const char *text = json_str(json_object_get(vip, field), "addr", NULL);

	return text && ip_parse(text, out) == 0;
}

/* See ipam_vip_key(). Part of the same transaction as the object, and found without looking through all of them. */
static void key_of(const json_t *body, const struct in6_addr *a, char key[static IPAM_VIP_KEY_MAX])
{
	ipam_vip_key(ref_target(json_str(body, "vrf_context_ref", NULL)), a, key);
}

static int release(struct change *c, const json_t *old, struct err *e)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(old, "vip"), i, v) {
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			char key[IPAM_VIP_KEY_MAX];
			struct in6_addr a;
			int rc = 0;

			if (!address(v, families[f], &a))
				continue;
			key_of(old, &a, key);
			rc = txn_set(c->txn, "vip", key, NULL, e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

static int first_service(void *arg, const struct object *o)
{
	if (strcmp(o->kind->path, "virtualservice") != 0)
		return 0;
	*(const struct object **)arg = o;
	return 1;
}

/* The name that the operator knows is that of the service. */
static int in_use(struct change *c, const char *text, const struct object *by, const char *path,
		  struct err *e)
{
	const struct object *vs = NULL;

	if (!change_shows(c, by))
		return err_set(e, -EINVAL, path, "The address %s is in use by another tenant in the same VRF.",
			       text);
	store_referrers(c->store, "vsvip", by->uuid, first_service, &vs);
	return err_set(e, -EINVAL, path, "The address %s is in use by %s%s%sVsVip '%s' in the same VRF.",
		       text, vs ? "virtual service '" : "", vs ? vs->name : "", vs ? "' through " : "",
		       by->name);
}

static int take(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(new, "vip"), i, v) {
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			CLEANUP_FREE char *owner = NULL;
			const struct object *o;
			char key[IPAM_VIP_KEY_MAX], path[64];
			struct in6_addr a;
			int rc;

			if (!address(v, families[f], &a))
				continue;
			key_of(new, &a, key);
			owner = store_value(c->store, "vip", key);
			o = owner ? txn_get(c->txn, "vsvip", owner) : NULL;
			snprintf(path, sizeof(path), "vip[%zu].%s", i, families[f]);
			if (o && strcmp(o->uuid, uuid) != 0)
				return in_use(c, json_str(json_object_get(v, families[f]), "addr", "?"),
					      o, path, e);
			rc = txn_set(c->txn, "vip", key, uuid, e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

/* Notes that item I has KEY; returns the item that had it before, or -1. */
static json_int_t once(json_t *seen, const char *key, size_t i)
{
	const json_t *had = json_object_get(seen, key);

	if (had)
		return json_integer_value(had);
	json_object_set_new(seen, key, json_integer((json_int_t)i));
	return -1;
}

/* No vip_id and no address twice. That both stay together is the model's to hold. */
static int check_ids(const json_t *new, struct err *e)
{
	CLEANUP_JSON json_t *ids = json_object(), *addresses = json_object();
	json_int_t before;
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(new, "vip"), i, v) {
		const char *id = json_str(v, "vip_id", "");
		char path[40];

		snprintf(path, sizeof(path), "vip[%zu].vip_id", i);
		if (once(ids, id, i) >= 0)
			return err_set(e, -EINVAL, path, "Two VIPs have the vip_id '%s'.", id);
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			char text[IP_TEXT_MAX];
			struct in6_addr a;

			if (!address(v, families[f], &a))
				continue;
			snprintf(path, sizeof(path), "vip[%zu].%s", i, families[f]);
			before = once(addresses, ip_text(&a, text), i);
			if (before >= 0)
				return err_set(e, -EINVAL, path, "vip[%lld] has the same address.",
					       (long long)before);
		}
	}
	return 0;
}

static int fill(struct change *c, const char *uuid, const json_t *old, json_t *new, struct err *e)
{
	struct ipam *i = ipam_of(c->store);

	must(i);
	return ipam_fill(i, c, uuid, old, new, e);
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	int rc = check_ids(new, e);

	if (rc < 0)
		return rc;
	if (old &&
	    strcmp(json_str(old, "vrf_context_ref", ""), json_str(new, "vrf_context_ref", "")) != 0)
		return err_set(e, -EINVAL, "vrf_context_ref",
			       "Cannot modify VrfContext of an existing VsVip.");
	rc = rule_snat_of_vsvip(c, uuid, new, e);
	if (rc < 0)
		return rc;
	rc = old ? release(c, old, e) : 0;
	return rc < 0 ? rc : take(c, uuid, new, e);
}

static int gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	int rc = txn_set(c->txn, "inline_vip", uuid, NULL, e);

	return rc < 0 ? rc : release(c, old, e);
}

/* Of an address that was given here, the network is ours, too: who asks without defaults compares what he said himself. */
static void show(struct store *s, const struct object *o, const struct model_write *w, struct model_resolver *r, json_t *out)
{
	json_t *vip;
	size_t i;

	(void)s;
	(void)o;
	(void)r;
	if (!w->skip_default)
		return;
	json_array_foreach(json_object_get(out, "vip"), i, vip)
		if (json_bool(vip, "auto_allocate_ip", false) && json_bool(vip, "avi_allocated_vip", false))
			json_object_del(vip, "discovered_networks");
}

const struct rule rule_vsvip = {
	.kind = "vsvip", .prepare = prepare, .fill = fill, .check = check, .gone = gone, .show = show
};
