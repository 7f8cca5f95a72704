/*
 * The space "snat" of the store has who speaks from an address: ipam_vip_key() ->
 * {"home": vsvip, "place": which VIP of it, "services": [uuid ...]}. Part of the same transaction as the objects.
 */
#include "controller/rules/snat.h"

#include <errno.h>

#include "base/base.h"
#include "controller/ipam.h"
#include "controller/resolve.h"

#define SPACE "snat"

/* IPv6 in the first as well, as clients wrote it before there was the second. */
static const char *const fields[] = { "snat_ip", "snat_ip6_addresses" };

struct snat {
	struct in6_addr addr;
	const char *text;
	size_t place;       /* among those of its family */
	char path[48];
};

/* F's answer, when it is not 0, ends it. */
static int each(const json_t *vs, int (*f)(void *arg, const struct snat *s), void *arg)
{
	size_t n[2] = { 0 };
	int rc = 0;

	for (size_t k = 0; k < ARRAY_SIZE(fields); k++) {
		const json_t *list = json_object_get(vs, fields[k]);

		for (size_t i = 0; i < json_array_size(list) && rc == 0; i++) {
			struct snat s = { .text = json_str(json_array_get(list, i), "addr", "") };

			snprintf(s.path, sizeof(s.path), "%s[%zu]", fields[k], i);
			if (ip_parse(s.text, &s.addr) == 0)
				s.place = n[!ip_is_v4(&s.addr)]++;
			rc = f(arg, &s);
		}
	}
	return rc;
}

struct family {
	bool v6;
	struct in6_addr *out;
	size_t n;
};

static int pick(void *arg, const struct snat *s)
{
	struct family *f = arg;

	if (!ip_is_zero(&s->addr) && ip_is_v4(&s->addr) != f->v6 && f->n < SNATS_MAX)
		f->out[f->n++] = s->addr;
	return 0;
}

size_t snat_addresses(const json_t *vs, bool v6, struct in6_addr out[static SNATS_MAX])
{
	struct family f = { v6, out, 0 };

	each(vs, pick, &f);
	return f.n;
}

/* Not the machine's own, not many at once, not of one wire only. */
static bool can_be_source(const struct in6_addr *a)
{
	if (ip_is_zero(a))
		return false;
	if (ip_is_v4(a))
		return a->s6_addr[12] != 0 && a->s6_addr[12] != 127 && a->s6_addr[12] < 224;
	return !IN6_IS_ADDR_MULTICAST(a) && !IN6_IS_ADDR_LOOPBACK(a) && !IN6_IS_ADDR_LINKLOCAL(a);
}

/* ---- who has which ---- */

static const char *home_of(const char *uuid, const json_t *vs)
{
	return ref_target(json_str(vs, "vsvip_ref", uuid));
}

static const char *vrf_of(const json_t *o)
{
	return ref_target(json_str(o, "vrf_context_ref", NULL));
}

static int keep(struct change *c, const char *key, const json_t *h, struct err *e)
{
	CLEANUP_FREE char *text = json_array_size(json_object_get(h, "services")) ? json_text(h) : NULL;

	return txn_set(c->txn, SPACE, key, text, e);
}

bool snat_is_taken(struct store *s, const char *vrf, const struct in6_addr *a)
{
	char key[IPAM_VIP_KEY_MAX];
	CLEANUP_FREE char *text = NULL;

	ipam_vip_key(vrf, a, key);
	text = store_value(s, SPACE, key);
	return text;
}

struct taking {
	struct change *change;
	const char *uuid;
	const json_t *vs;
	json_t *seen;
	struct err *e;
};

static int give_back(void *arg, const struct snat *s)
{
	struct taking *t = arg;
	char key[IPAM_VIP_KEY_MAX];
	CLEANUP_JSON json_t *had = NULL;
	json_t *services, *v;
	size_t i;

	ipam_vip_key(vrf_of(t->vs), &s->addr, key);
	had = store_value_json(t->change->store, SPACE, key);
	services = json_object_get(had, "services");
	json_array_foreach(services, i, v)
		if (strcmp(json_string_value(v), t->uuid) == 0) {
			json_array_remove(services, i);
			return keep(t->change, key, had, t->e);
		}
	return 0;
}

static int is_vip(const struct taking *t, const struct snat *s, const char *key)
{
	CLEANUP_FREE char *owner = store_value(t->change->store, "vip", key);
	const struct object *o = owner ? txn_get(t->change->txn, "vsvip", owner) : NULL;

	if (!o)
		return 0;
	if (!change_shows(t->change, o))
		return err_set(t->e, -EINVAL, s->path, "%s is a VIP of another tenant in the same VRF.", s->text);
	return err_set(t->e, -EINVAL, s->path, "%s is a VIP, of VsVip '%s': servers cannot see it as their client.", s->text, o->name);
}

static int is_others(const struct taking *t, const struct snat *s, const json_t *had)
{
	const char *uuid = json_string_value(json_array_get(json_object_get(had, "services"), 0));
	const struct object *o = uuid ? txn_get(t->change->txn, "virtualservice", uuid) : NULL;
	const char *name = o && change_shows(t->change, o) ? o->name : NULL;

	if (strcmp(json_str(had, "home", ""), home_of(t->uuid, t->vs)) != 0)
		return err_set(t->e, -EINVAL, s->path,
			       "%s is used by virtual service %s%s%s on another VsVip: two service engines could answer for it.",
			       s->text, name ? "'" : "", name ? name : "of another tenant", name ? "'" : "");
	return err_set(t->e, -EINVAL, s->path,
		       "%s goes with another VIP for virtual service %s%s%s: two service engines could answer for it.", s->text,
		       name ? "'" : "", name ? name : "of another tenant", name ? "'" : "");
}

static int take(void *arg, const struct snat *s)
{
	struct taking *t = arg;
	char key[IPAM_VIP_KEY_MAX], text[IP_TEXT_MAX];
	CLEANUP_JSON json_t *had = NULL;
	int rc;

	if (!can_be_source(&s->addr))
		return err_set(t->e, -EINVAL, s->path, "'%.64s' is not an address that servers could see.", s->text);
	if (strncmp(s->path, fields[1], strlen(fields[1])) == 0 && ip_is_v4(&s->addr))
		return err_set(t->e, -EINVAL, s->path, "%s is not an IPv6 address.", s->text);
	if (json_object_get(t->seen, ip_text(&s->addr, text)))
		return err_set(t->e, -EINVAL, s->path, "%s is there twice.", s->text);
	json_object_set_new(t->seen, text, json_true());
	ipam_vip_key(vrf_of(t->vs), &s->addr, key);
	rc = is_vip(t, s, key);
	if (rc < 0)
		return rc;
	had = store_value_json(t->change->store, SPACE, key);
	if (had && (strcmp(json_str(had, "home", ""), home_of(t->uuid, t->vs)) != 0 ||
		    (size_t)json_int(had, "place", 0) != s->place))
		return is_others(t, s, had);
	if (!had)
		had = json_pack("{s:s, s:I, s:[]}", "home", home_of(t->uuid, t->vs), "place", (json_int_t)s->place, "services");
	json_array_append_new(json_object_get(had, "services"), json_string(t->uuid));
	return keep(t->change, key, had, t->e);
}

/* Has VS one for each of N VIPs, of each family that it has any of? PATH NULL: its own fields. */
static int enough(const struct object *named, const json_t *vs, size_t n, const char *path, struct err *e)
{
	struct in6_addr all[SNATS_MAX];

	for (int v6 = 0; v6 < 2; v6++) {
		size_t has = snat_addresses(vs, v6, all);

		if (!has || has >= n)
			continue;
		if (named)
			return err_set(e, -EINVAL, path, "Virtual service '%s' has an SNAT address for %zu of these %zu VIPs.",
				       named->name, has, n);
		return err_set(e, -EINVAL, json_object_get(vs, fields[v6]) ? fields[v6] : fields[0],
			       "Its VsVip has %zu VIPs, and each needs an SNAT address of its own; %zu %s.", n, has,
			       has == 1 ? "is given" : "are given");
	}
	return 0;
}

int rule_snat_of_service(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	CLEANUP_JSON json_t *seen = json_object();
	struct taking t = { c, uuid, old, seen, e };
	const struct object *vsvip = txn_get(c->txn, "vsvip", ref_target(json_str(new, "vsvip_ref", NULL)));
	int rc = old ? each(old, give_back, &t) : 0;

	t.vs = new;
	if (rc == 0)
		rc = each(new, take, &t);
	return rc < 0 ? rc : enough(NULL, new, vsvip ? json_array_size(json_object_get(vsvip->body, "vip")) : 0, NULL, e);
}

int rule_snat_service_gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	struct taking t = { c, uuid, old, NULL, e };

	return each(old, give_back, &t);
}

struct growth {
	size_t n;
	struct change *change;
	struct err *e;
};

static int service_has_enough(void *arg, const struct object *o)
{
	struct growth *g = arg;

	return strcmp(o->kind->path, "virtualservice") == 0 ? enough(o, o->body, g->n, "vip", g->e) : 0;
}

int rule_snat_of_vsvip(struct change *c, const char *uuid, const json_t *new, struct err *e)
{
	static const char *const families[] = { "ip_address", "ip6_address" };
	struct growth g = { json_array_size(json_object_get(new, "vip")), c, e };
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(new, "vip"), i, v)
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			const char *text = json_str(json_object_get(v, families[f]), "addr", "");
			struct in6_addr a;
			char path[48];

			snprintf(path, sizeof(path), "vip[%zu].%s", i, families[f]);
			if (ip_parse(text, &a) == 0 && snat_is_taken(c->store, vrf_of(new), &a))
				return err_set(e, -EINVAL, path, "A virtual service has %s as an SNAT address.", text);
		}
	return store_referrers(c->store, "vsvip", uuid, service_has_enough, &g);
}
