/*
 * virtualservice: old bodies carry their addresses inside; two services never listen on the same
 * address and port.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rules.h"
#include "controller/rules/clone.h"
#include "controller/rules/snat.h"
#include "controller/rules/tls.h"
#include "controller/rules/vrf.h"

/* Older still: the members of one VIP in place of the list. */
static void list_of_one(json_t *wire)
{
	static const char *const members[] = {
		"ip6_address", "auto_allocate_ip", "auto_allocate_floating_ip", "avi_allocated_vip", "avi_allocated_fip",
		"availability_zone", "floating_ip", "ipam_network_subnet", "network_ref", "subnet", "subnet_uuid",
	};
	json_t *ip = json_object_get(wire, "ip_address"), *automatic = json_object_get(wire, "auto_allocate_ip");
	const char *text = json_string_value(automatic);
	json_t *vip;

	if (!json_is_object(ip) && !json_is_true(automatic) && !(text && strcasecmp(text, "true") == 0))
		return;
	if (!json_array_size(json_object_get(wire, "vip"))) {
		vip = json_object();
		if (json_is_object(ip))
			json_object_set(vip, strcmp(json_str(ip, "type", ""), "V6") == 0 ? "ip6_address" : "ip_address", ip);
		for (size_t i = 0; i < ARRAY_SIZE(members); i++)
			if (json_object_get(wire, members[i]))
				json_object_set(vip, members[i], json_object_get(wire, members[i]));
		json_object_set_new(wire, "vip", json_pack("[o]", vip));
	}
	json_object_del(wire, "ip_address");
	for (size_t i = 0; i < ARRAY_SIZE(members); i++)
		json_object_del(wire, members[i]);
}

static int anybody(void *arg, const struct object *o)
{
	(void)arg;
	(void)o;
	return 1;
}

/*
 * Was the VsVip made of such a body, and has nobody now? Who sends such bodies knows of no VsVip:
 * it goes with its virtual service. The space "inline_vip" of the store has which these are.
 */
static bool is_left_over(struct change *c, const char *vsvip)
{
	CLEANUP_FREE char *mark = vsvip ? store_value(c->store, "inline_vip", vsvip) : NULL;

	return mark && store_referrers(c->store, "vsvip", vsvip, anybody, NULL) == 0;
}

static int make_vsvip(struct change *c, const json_t *body, const json_t *home, char *uuid,
		      struct err *e)
{
	const struct kind_desc *k = kind_find("vsvip");
	const struct object *was = store_find(c->store, "vsvip",
					      ref_target(json_str(home, "tenant_ref", NULL)),
					      ref_target(json_str(home, "cloud_ref", NULL)),
					      json_str(body, "name", ""));
	int rc = 0;

	/* A PUT without addresses left it behind. */
	if (was && is_left_over(c, was->uuid)) {
		CLEANUP_FREE char *old = xstrdup(was->uuid);

		rc = change_delete(c, k, old, e);
	}
	if (rc == 0)
		rc = change_create(c, k, body, uuid, e);
	return rc < 0 ? rc : txn_set(c->txn, "inline_vip", uuid, "1", e);
}

/* As everybody sees them: what is said and what is a default is the same. */
static json_t *vips_of(const struct kind_desc *k, const json_t *stored)
{
	const struct model_write w = { .base_url = "" };
	CLEANUP_JSON json_t *written = model_write(k, stored, &w, NULL);

	return json_incref(json_object_get(written, "vip"));
}

/* What an answer showed comes back in a PUT: it changes nothing, and needs no right to the VsVip. */
static bool has_these(struct change *c, const struct object *vsvip, const json_t *patch)
{
	CLEANUP_JSON json_t *stored = NULL, *has = vips_of(vsvip->kind, vsvip->body),
			    *wanted = NULL;
	struct resolver r;

	resolver_init(&r, c->store, c->txn, vsvip->tenant, vsvip->cloud);
	if (model_patch(vsvip->kind, vsvip->body, patch, MODEL_ALLOW_LATER, &r.model, &stored, NULL,
			NULL) == 0)
		wanted = vips_of(vsvip->kind, stored);
	return wanted && json_equal(wanted, has);
}

/* The list of a virtual service that has a VsVip already replaces that one's. */
static int change_vsvip(struct change *c, const char *uuid, json_t *vip, struct err *e)
{
	CLEANUP_JSON json_t *patch = json_pack("{s:{s:O}}", "replace", "vip", vip);
	const struct object *o = txn_get(c->txn, "vsvip", uuid);

	if (o && has_these(c, o, patch))
		return 0;
	return change_patch(c, kind_find("vsvip"), uuid, patch, e);
}

/* The VsVip that WIRE refers to, for a service that is at HOME; NULL: none that can be found. */
static const struct object *referred(struct change *c, const json_t *wire, const json_t *home)
{
	const char *asked = json_str(wire, "vsvip_ref", "");
	char uuid[UUID_MAX];
	struct resolver r;

	resolver_init(&r, c->store, c->txn, ref_target(json_str(home, "tenant_ref", "")),
		      ref_target(json_str(home, "cloud_ref", "")));
	if (!*asked || r.model.resolve(&r.model, "vsvip", asked, uuid, sizeof(uuid), NULL) < 0)
		return NULL;
	return txn_get(c->txn, "vsvip", uuid);
}

static bool refers_elsewhere(struct change *c, const json_t *wire, const json_t *old,
			     const char *had)
{
	const struct object *o = referred(c, wire, old);

	return *json_str(wire, "vsvip_ref", "") && (!o || strcmp(o->uuid, ref_target(had)) != 0);
}

/*
 * A reference and a list: the reference is the newer word. The list is shown again where both say the same; else it is old, or
 * what an answer had beside another reference.
 */
static int agree(struct change *c, const char *uuid, json_t *wire, const json_t *home,
		 struct err *e)
{
	const struct object *o = referred(c, wire, home);
	CLEANUP_JSON json_t *patch = json_pack("{s:{s:O}}", "replace", "vip",
					       json_object_get(wire, "vip"));

	json_object_del(wire, "vip");
	return o && has_these(c, o, patch) ? 0 : txn_set(c->txn, RULE_AS_SENT, uuid, NULL, e);
}

/* What is copied to another cloud still names the default domain of the old one; what was meant is the default. */
static void leave_domain(struct change *c, json_t *wire)
{
	const char *asked = json_str(wire, "vrf_context_ref", "");
	const struct object *o = NULL;
	char uuid[UUID_MAX];
	struct resolver r;

	resolver_init(&r, c->store, c->txn, "*", "");
	if (*asked && r.model.resolve(&r.model, "vrfcontext", asked, uuid, sizeof(uuid), NULL) == 0)
		o = txn_get(c->txn, "vrfcontext", uuid);
	if (o && strcmp(o->name, "global") == 0 &&
	    strcmp(o->cloud, ref_target(json_str(wire, "cloud_ref", ""))) != 0)
		json_object_del(wire, "vrf_context_ref");
}

/*
 * Before 20.1 a virtual service had its VIPs inside. Such a body still comes from playbooks: a
 * VsVip is made of them, and, on an update, that VsVip is what the list replaces.
 */
static int prepare(struct change *c, const char *uuid, const json_t *old, json_t *wire,
		   struct err *e)
{
	const char *had = json_str(old, "vsvip_ref", NULL), *name = json_str(wire, "name", "");
	CLEANUP_JSON json_t *body = NULL;
	char vsvip[UUID_MAX] = "", ref[UUID_MAX + 16];
	json_t *vip;
	int rc;

	if (!old)
		leave_domain(c, wire);
	list_of_one(wire);
	vip = json_object_get(wire, "vip");
	rc = txn_set(c->txn, RULE_AS_SENT, uuid, json_array_size(vip) ? "vip" : NULL, e);
	if (rc < 0 || !json_array_size(vip))
		return rc;
	if (json_object_get(wire, "vsvip_ref") && (!had || refers_elsewhere(c, wire, old, had)))
		return agree(c, uuid, wire, old ? old : wire, e);
	body = json_pack("{s:O}", "vip", vip);
	json_object_set_new(body, "name", json_sprintf("vsvip-%.200s", name));
	for (size_t i = 0; i < 3; i++) {
		static const char *const same[] = { "tenant_ref", "cloud_ref", "vrf_context_ref" };
		json_t *v = json_object_get(wire, same[i]);

		if (!v)
			v = json_object_get(old, same[i]);
		if (v)
			json_object_set(body, same[i], v);
	}
	if (had) {
		snprintf(vsvip, sizeof(vsvip), "%s", ref_target(had));
		rc = change_vsvip(c, vsvip, vip, e);
	} else {
		rc = make_vsvip(c, body, old ? old : wire, vsvip, e);
	}
	if (rc < 0)
		return rc;
	snprintf(ref, sizeof(ref), "/api/vsvip/%s", vsvip);
	json_object_set_new(wire, "vsvip_ref", json_string(ref));
	json_object_del(wire, "vip");
	return 0;
}

/* ---- ports ---- */

/* What one entry of `services` listens on. */
struct ports {
	json_int_t first, last;
	bool udp;
};

static const struct object *profile_of(struct change *c, const char *kind, const json_t *vs,
				       const json_t *service, const char *own, const char *field)
{
	const char *ref = json_str(service, own, json_str(vs, field, NULL));

	return ref ? txn_get(c->txn, kind, ref_target(ref)) : NULL;
}

static const struct object *network_of(struct change *c, const json_t *vs, const json_t *service)
{
	return profile_of(c, "networkprofile", vs, service, "override_network_profile_ref",
			  "network_profile_ref");
}

static const char *protocol_of(const struct object *network)
{
	const json_t *body = network ? network->body : NULL;

	return json_str(json_object_get(body, "profile"), "type", "PROTOCOL_TYPE_TCP_PROXY");
}

/* Of all its services; to be freed. */
static struct ports *ports_of(struct change *c, const json_t *vs)
{
	const json_t *services = json_object_get(vs, "services"), *service;
	struct ports *all = xcalloc(json_array_size(services) + 1, sizeof(*all));
	size_t i;

	json_array_foreach(services, i, service) {
		const char *protocol = protocol_of(network_of(c, vs, service));

		all[i].first = json_int(service, "port", 0);
		all[i].last = MAX(json_int(service, "port_range_end", 0), all[i].first);
		all[i].udp = strncmp(protocol, "PROTOCOL_TYPE_UDP_", 18) == 0;
	}
	return all;
}

static bool overlap(const struct ports *a, const struct ports *b)
{
	return a->udp == b->udp && a->first <= b->last && b->first <= a->last;
}

#define PORTS_TEXT    32
#define UDP_RANGE_MAX 4096 /* an engine has a socket for each */

static const char *ports_text(const struct ports *p, char out[static PORTS_TEXT])
{
	const char *proto = p->udp ? "UDP" : "TCP";

	if (p->first == p->last)
		snprintf(out, PORTS_TEXT, "%s %lld", proto, (long long)p->first);
	else
		snprintf(out, PORTS_TEXT, "%s %lld-%lld", proto, (long long)p->first,
			 (long long)p->last);
	return out;
}

static int ports_check(const struct ports *all, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++)
		if (all[i].udp && all[i].last - all[i].first >= UDP_RANGE_MAX) {
			char path[64];

			snprintf(path, sizeof(path), "services[%zu].port_range_end", i);
			return err_set(e, -EINVAL, path, "A range of UDP ports has at most %d of them.",
				       UDP_RANGE_MAX);
		}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < i; j++) {
			char path[40], a[PORTS_TEXT], b[PORTS_TEXT];

			if (!overlap(&all[i], &all[j]))
				continue;
			snprintf(path, sizeof(path), "services[%zu]", i);
			return err_set(e, -EINVAL, path, "%s has ports in common with services[%zu], %s.",
				       ports_text(&all[i], a), j, ports_text(&all[j], b));
		}
	return 0;
}

/* Requests are read out of a stream, and TLS is one: they need the proxy. */
static bool needs_stream(const struct object *app, const json_t *service)
{
	const char *type = app ? json_str(app->body, "type", "") : "";

	return strcmp(type, "APPLICATION_PROFILE_TYPE_HTTP") == 0 ||
	       strcmp(type, "APPLICATION_PROFILE_TYPE_SSL") == 0 || json_bool(service, "enable_ssl", false);
}

static int protocols_check(struct change *c, const json_t *vs, struct err *e)
{
	const json_t *service;
	size_t i;

	json_array_foreach(json_object_get(vs, "services"), i, service) {
		const struct object *app = profile_of(c, "applicationprofile", vs, service,
						      "override_application_profile_ref",
						      "application_profile_ref");
		const struct object *net = network_of(c, vs, service);
		bool own = json_object_get(service, "override_network_profile_ref");
		char path[64];

		if (!net || !needs_stream(app, service) ||
		    strcmp(protocol_of(net), "PROTOCOL_TYPE_TCP_PROXY") == 0)
			continue;
		snprintf(path, sizeof(path), "services[%zu].override_network_profile_ref", i);
		if (json_bool(service, "enable_ssl", false))
			return err_set(e, -EINVAL, own ? path : "network_profile_ref",
				       "TLS needs a TCP proxy; NetworkProfile '%s' is %s.", net->name,
				       protocol_of(net));
		return err_set(e, -EINVAL, own ? path : "network_profile_ref",
			       "ApplicationProfile '%s' needs a TCP proxy; NetworkProfile '%s' is %s.",
			       app->name, net->name, protocol_of(net));
	}
	return 0;
}

struct clash {
	struct change *change;
	const char *uuid;
	const json_t *new;
	const struct ports *mine;
	struct err *e;
};

/*
 * Objects in two vsvips never share an address (rules/vsvip.c), so the same VsVip is all that can
 * collide.
 */
static int clashes_with(void *arg, const struct object *o)
{
	struct clash *c = arg;
	const char *vsvip = json_str(c->new, "vsvip_ref", NULL);
	size_t n = json_array_size(json_object_get(c->new, "services"));
	CLEANUP_FREE struct ports *theirs = NULL;

	if (strcmp(o->kind->path, "virtualservice") != 0 || strcmp(o->uuid, c->uuid) == 0 ||
	    !vsvip || strcmp(json_str(o->body, "vsvip_ref", ""), vsvip) != 0)
		return 0;
	theirs = ports_of(c->change, o->body);
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < json_array_size(json_object_get(o->body, "services")); j++) {
			char path[40], a[PORTS_TEXT], b[PORTS_TEXT];

			if (!overlap(&c->mine[i], &theirs[j]))
				continue;
			snprintf(path, sizeof(path), "services[%zu].port", i);
			return err_set(c->e, -EINVAL, path,
				       "%s is in use on the same VIP by virtual service '%s', which has %s.",
				       ports_text(&c->mine[i], a), o->name, ports_text(&theirs[j], b));
		}
	return 0;
}

/*
 * A service is in the routing domain of its addresses: who did not say so, and has `global` by
 * default, is moved there; who said another one is told.
 */
static int fill(struct change *c, const char *uuid, const json_t *old, json_t *new, struct err *e)
{
	const struct object *vsvip = txn_get(c->txn, "vsvip",
					     ref_target(json_str(new, "vsvip_ref", NULL)));
	const struct object *mine = txn_get(c->txn, "vrfcontext",
					    ref_target(json_str(new, "vrf_context_ref", NULL)));
	const json_t *wanted = vsvip ? json_object_get(vsvip->body, "vrf_context_ref") : NULL;

	(void)uuid;
	(void)old;
	if (!wanted || !mine || strcmp(json_string_value(wanted), json_str(new, "vrf_context_ref", "")) == 0)
		return 0;
	if (strcmp(mine->name, "global") != 0)
		return err_set(e, -EINVAL, "vrf_context_ref",
			       "VsVip '%s' is in another VRF than the virtual service.", vsvip->name);
	json_object_set(new, "vrf_context_ref", (json_t *)wanted);
	return 0;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	CLEANUP_FREE struct ports *ports = ports_of(c, new);
	struct clash clash = { c, uuid, new, ports, e };
	int rc;

	if (old && json_object_get(old, "vrf_context_ref") &&
	    strcmp(json_str(old, "vrf_context_ref", ""), json_str(new, "vrf_context_ref", "")) != 0)
		return err_set(e, -EINVAL, "vrf_context_ref",
			       "Cannot modify VrfContext of an existing VirtualService.");
	rc = rule_uses_built(c, kind_find("virtualservice"), new, e);
	if (rc == 0)
		rc = rule_vrf_of_service(c, uuid, new, e);
	if (rc == 0)
		rc = ports_check(ports, json_array_size(json_object_get(new, "services")), e);
	if (rc == 0)
		rc = protocols_check(c, new, e);
	if (rc == 0)
		rc = rule_tls_of_service(c, new, e);
	if (rc == 0)
		rc = rule_clone_of_service(c, uuid, old, new, e);
	if (rc == 0)
		rc = rule_snat_of_service(c, uuid, old, new, e);
	if (rc < 0)
		return rc;
	if (json_object_get(new, "pool_ref") && json_object_get(new, "pool_group_ref"))
		change_warn(c, "pool_ref: The service has a pool_group_ref as well, and that is where its requests go.");
	if (json_object_get(new, "packet_triggers") && !rule_is_recorded(c->store, new))
		change_warn(c, "packet_triggers: " RULE_NOT_RECORDED);
	return store_referrers(c->store, "vsvip", ref_target(json_str(new, "vsvip_ref", NULL)),
			       clashes_with, &clash);
}

static int gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	CLEANUP_FREE char *vsvip = xstrdup(ref_target(json_str(old, "vsvip_ref", "")));

	int rc = rule_snat_service_gone(c, uuid, old, e);

	if (rc == 0)
		rc = txn_set(c->txn, RULE_TRIGGER_SPACE, uuid, NULL, e);
	if (rc == 0)
		rc = txn_set(c->txn, RULE_AS_SENT, uuid, NULL, e);
	if (rc < 0)
		return rc;
	rule_clone_service_gone(c, uuid, old);
	return is_left_over(c, vsvip) ? change_delete(c, kind_find("vsvip"), vsvip, e) : 0;
}

/* Who has the addresses inside finds them there again: a playbook compares, and a plan. */
static void show(struct store *s, const struct object *o, const struct model_write *w,
		 struct model_resolver *r, json_t *out)
{
	const char *uuid = ref_target(json_str(o->body, "vsvip_ref", ""));
	CLEANUP_FREE char *mark = store_value(s, RULE_AS_SENT, o->uuid);
	const struct object *vsvip = mark ? store_get(s, "vsvip", uuid) : NULL;
	CLEANUP_JSON json_t *written = vsvip ? model_write(vsvip->kind, vsvip->body, w, r) : NULL;

	if (!written)
		return;
	rule_find("vsvip")->show(s, vsvip, w, r, written);
	json_object_set(out, "vip", json_object_get(written, "vip"));
}

const struct rule rule_virtualservice = {
	.kind = "virtualservice",
	.prepare = prepare,
	.fill = fill,
	.check = check,
	.gone = gone,
	.show = show,
};
