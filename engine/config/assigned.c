#include "engine/config/assigned.h"

#include <errno.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/address.h"
#include "engine/config/snat.h"
#include "engine/clone/clone.h"
#include "engine/clone/copies.h"
#include "engine/guard.h"
#include "engine/clone/legs.h"
#include "engine/link/link.h"
#include "engine/reach/netlink.h"
#include "engine/ports.h"
#include "engine/reach/vip.h"
#include "engine/reach/vrf.h"
#include "model/structs.h"

#define CLONE_SERVERS_MAX 64
#define UDP_IDLE_S        10 /* the profile's default */
#define UDP_LINGER_S      5

struct assigned_table {
	struct list all;
	struct table table, holds; /* by uuid, by VIP */
	struct vips *vips;
	struct clones *clones;
	struct ports *ports;
	struct guards *guards;
	struct vrfs *vrfs;
	struct netlink *netlink;
	struct datapath *datapath;
	unsigned next_index;
	struct assigned_hold **parting;
	size_t n_parting;
};

struct assigned_table *assigned_new(struct vips *v, struct clones *c, struct ports *p, struct guards *g, struct vrfs *r,
				    struct netlink *n, struct datapath *d)
{
	struct assigned_table *t = xcalloc(1, sizeof(*t));

	list_init(&t->all);
	t->vips = v;
	t->clones = c;
	t->ports = p;
	t->guards = g;
	t->vrfs = r;
	t->netlink = n;
	t->datapath = d;
	return t;
}

void assigned_free(struct assigned_table *t)
{
	while (!list_empty(&t->all))
		assigned_drop(LIST_ENTRY(t->all.next, struct assigned, link));
	assigned_parted(t);
	table_fini(&t->table);
	table_fini(&t->holds);
	free(t);
}

struct list *assigned_list(struct assigned_table *t)
{
	return &t->all;
}

struct assigned *assigned_find(const struct assigned_table *t, const char *uuid)
{
	for (struct table_link *l = table_first(&t->table, table_hash(TABLE_SEED, uuid)); l; l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct assigned, by_uuid)->uuid, uuid) == 0)
			return CONTAINER_OF(l, struct assigned, by_uuid);
	return NULL;
}

struct assigned *assigned_make(struct assigned_table *t, const char *uuid)
{
	struct assigned *a = assigned_find(t, uuid);

	if (a)
		return a;
	a = xcalloc(1, sizeof(*a));
	a->table = t;
	a->uuid = xstrdup(uuid);
	a->clone_key = xstrdup("");
	a->copies = copies_new();
	a->index = ++t->next_index;
	a->legs = legs_new(t->datapath, a->index);
	list_init(&a->link);
	list_insert(&t->all, &a->link);
	table_put(&t->table, &a->by_uuid, table_hash(TABLE_SEED, uuid));
	return a;
}

static void trouble(char **at, const struct err *e)
{
	if (!*at)
		*at = xstrdup(err_line(e));
}

static void untrouble(char **at)
{
	free(*at);
	*at = NULL;
}

/* ---- addresses and ports ---- */

struct wanted {
	struct port_want *at;
	size_t n;
};

static const json_t *network_of(const struct link *k, const struct virtual_service *vs, const struct service *s)
{
	const char *uuid = s->override_network_profile_ref ? s->override_network_profile_ref : vs->network_profile_ref;

	return uuid ? json_object_get(link_object(k, "networkprofile", uuid), "profile") : NULL;
}

static bool is_udp(const json_t *network)
{
	return strncmp(json_str(network, "type", ""), "PROTOCOL_TYPE_UDP_", 18) == 0;
}

/* After which a client of datagrams is gone, with a little more for what is under way. */
static unsigned idle_of(const json_t *network)
{
	return (unsigned)json_int(json_object_get(network, "udp_fast_path_profile"), "session_idle_timeout", UDP_IDLE_S) +
	       UDP_LINGER_S;
}

static void want_ports(struct wanted *w, const char *ip, const struct virtual_service *vs, const struct link *k,
		       int device)
{
	for (size_t i = 0; i < vs->services_n; i++) {
		int64_t last = MAX(vs->services[i].port_range_end, vs->services[i].port);
		const json_t *network = network_of(k, vs, &vs->services[i]);
		bool udp = is_udp(network);

		w->at = xrealloc(w->at, (w->n + 1) * sizeof(w->at[0]));
		w->at[w->n] = (struct port_want){ .last = (unsigned)last, .udp = udp, .device = device,
						   .idle_s = udp ? idle_of(network) : 0 };
		if (address_parse(&w->at[w->n].address, ip, (unsigned)vs->services[i].port) == 0)
			w->n++;
	}
}

/*
 * The interface to which sockets for V are bound: that of the VIP, on an engine with several routing domains, because the
 * same address may stand in each. Those of the main domain as well: of sockets that share a port the kernel takes the first
 * that fits, not the one that fits best. 0: none, -1: it is not there.
 */
static int device_of(struct assigned *a, const struct assigned_vip *v)
{
	const struct iface *i;
	struct err e = { 0 };

	if (!vrfs_any(a->table->vrfs))
		return 0;
	i = netlink_iface_named(a->table->netlink, v->interface);
	if (i)
		return i->index;
	err_set(&e, -ENODEV, NULL, "Interface %s does not exist.", v->interface);
	trouble(&a->trouble, &e);
	return -1;
}

static uint64_t hash_of_vip(const struct vip *v)
{
	return (uint64_t)(uintptr_t)v / 64 * 0x9e3779b97f4a7c15ULL;
}

static void hold(struct assigned *a, const char *ip, unsigned vrf, const struct assigned_vip *v, bool snat)
{
	uint64_t term = (uint64_t)v->term;
	struct assigned_hold *h;
	struct in6_addr addr;
	struct vip *held;
	struct err e = { 0 };

	if (!*ip)
		return;
	if (ip_parse(ip, &addr) < 0)
		err_set(&e, -EINVAL, NULL, "%s is not an address.", ip);
	else
		vip_hold(a->table->vips, vrf, &addr, v->interface, term, &held, &e);
	/* Sockets may be bound to what the machine has anyway. */
	if (snat && e.code == -EADDRINUSE) {
		err_set(&e, e.code, NULL, "Servers see %s, which is this service engine's own address: it does not move with the VIP.", ip);
		trouble(&a->source_doubt, &e);
		return;
	}
	if (e.code) {
		trouble(&a->trouble, &e);
		return;
	}
	h = xcalloc(1, sizeof(*h));
	*h = (struct assigned_hold){ .holder = a, .vip = held, .id = xstrdup(v->vip_id), .snat = snat,
				     .routed = snat && !v->prefix_len };
	a->vips = xrealloc(a->vips, (a->n_vips + 1) * sizeof(a->vips[0]));
	a->vips[a->n_vips++] = h;
	table_put(&a->table->holds, &h->by_vip, hash_of_vip(held));
}

/* What A holds, which it lets go now, or soon. */
static struct assigned_hold **take_all(struct assigned *a, size_t *n)
{
	struct assigned_hold **vips = a->vips;

	*n = a->n_vips;
	for (size_t i = 0; i < *n; i++)
		table_take(&a->table->holds, &vips[i]->by_vip);
	a->vips = NULL;
	a->n_vips = 0;
	return vips;
}

void assigned_release(struct assigned_hold *h)
{
	if (h->lingers)
		vip_end_linger(h->vip);
	else
		vip_release(h->vip);
	free(h->id);
	free(h);
}

static void release_all(struct assigned_hold **vips, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assigned_release(vips[i]);
	free(vips);
}

/* Those that lingered join the other ones that are to go. */
static struct assigned_hold **with_lingering(struct assigned *a, struct assigned_hold **vips, size_t *n)
{
	vips = xrealloc(vips, (*n + a->n_lingering + 1) * sizeof(vips[0]));
	for (size_t i = 0; i < a->n_lingering; i++)
		vips[(*n)++] = a->lingering[i];
	free(a->lingering);
	a->lingering = NULL;
	a->n_lingering = 0;
	return vips;
}

bool assigned_let_go(struct assigned *a)
{
	bool any = a->n_leaving;

	release_all(a->leaving, a->n_leaving);
	a->leaving = NULL;
	a->n_leaving = 0;
	return any;
}

/* The VIPs of one service may be with several engines. */
static bool is_mine(const struct link *k, const struct assigned_vip *v)
{
	return strcmp(v->engine ? v->engine : "", link_uuid(k)) == 0;
}

/* Those that A holds no more go. */
static void let_old_go(struct assigned *a, const struct assignment *as, struct assigned_hold **old, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!snat_keeps(a, as, old[i]))
			assigned_release(old[i]);
	free(old);
}

bool assigned_follow(struct assigned *a, const struct link *k)
{
	const json_t *assignment = link_object(k, "assignment", a->uuid);
	const json_t *service = link_object(k, "virtualservice", a->uuid);
	struct arena arena = ARENA_INIT;
	const struct virtual_service *vs;
	const struct assignment *as;
	struct assigned_hold **old;
	size_t old_n;
	struct wanted want = { 0 };
	struct err e = { 0 };
	CLEANUP_FREE char *was = NULL;
	unsigned vrf = 0;
	bool somewhere;
	int device;

	if (!assignment || !service)
		return false;
	as = model_load(&assignment_message, assignment, &arena);
	vs = model_load(&virtual_service_message, service, &arena);
	a->enabled = as->enabled && vs->enabled;
	was = a->trouble;
	a->trouble = NULL;
	untrouble(&a->source_doubt);
	somewhere = vrfs_find(a->table->vrfs, vs->vrf_context_ref ? vs->vrf_context_ref : "", &vrf);
	a->vrf = vrf;
	if (!somewhere) {
		err_set(&e, -ENODEV, NULL, "No interface of this service engine is in its VRF.");
		trouble(&a->trouble, &e);
		e = (struct err){ 0 };
	}
	for (size_t i = 0; i < as->vips_n && a->enabled && vs->traffic_enabled && !a->silent && somewhere; i++) {
		if (!is_mine(k, &as->vips[i]))
			continue;
		device = device_of(a, &as->vips[i]);
		if (device < 0)
			continue;
		want_ports(&want, as->vips[i].addr ? as->vips[i].addr : "", vs, k, device);
		want_ports(&want, as->vips[i].addr6 ? as->vips[i].addr6 : "", vs, k, device);
	}
	/* Guarded, and their clients known, before they are open. */
	legs_ports(a->legs, want.at, want.n);
	guards_follow(a->table->guards, a->uuid, k, want.at, want.n);
	a->trouble_code = ports_set(a->table->ports, a->uuid, want.at, want.n, &e);
	if (a->trouble_code < 0)
		trouble(&a->trouble, &e);
	/* New ones are held before old ones are let go: an address in both is never withdrawn. */
	old = take_all(a, &old_n);
	/* Who comes to a VIP is to find its way on: sources are probed for first. */
	for (size_t i = 0; i < as->snats_n + as->vips_n && a->enabled && somewhere; i++) {
		bool snat = i < as->snats_n;
		const struct assigned_vip *v = snat ? &as->snats[i] : &as->vips[i - as->snats_n];

		if (!is_mine(k, v))
			continue;
		hold(a, v->addr ? v->addr : "", vrf, v, snat);
		hold(a, v->addr6 ? v->addr6 : "", vrf, v, snat);
	}
	snat_held(a);
	if (!a->enabled)
		old = with_lingering(a, old, &old_n);
	if (a->enabled) {
		let_old_go(a, as, old, old_n);
	} else if (old_n) {
		assigned_let_go(a);
		a->leaving = old;
		a->n_leaving = old_n;
	} else {
		free(old);
	}
	free(want.at);
	arena_fini(&arena);
	if (a->trouble && (!was || strcmp(was, a->trouble) != 0))
		log_warn("service_trouble service=%s reason=\"%s\"", a->uuid, a->trouble);
	return true;
}

void assigned_parted(struct assigned_table *t)
{
	release_all(t->parting, t->n_parting);
	t->parting = NULL;
	t->n_parting = 0;
}

void assigned_drop(struct assigned *a)
{
	struct assigned_table *t = a->table;
	struct assigned_hold **old;
	size_t n;

	old = take_all(a, &n);
	old = with_lingering(a, old, &n);
	t->parting = xrealloc(t->parting, (t->n_parting + n + 1) * sizeof(t->parting[0]));
	for (size_t i = 0; i < n; i++) {
		vip_mute(old[i]->vip);
		t->parting[t->n_parting++] = old[i];
	}
	free(old);
	assigned_let_go(a);
	ports_set(a->table->ports, a->uuid, NULL, 0, NULL);
	guards_gone(a->table->guards, a->uuid);
	legs_free(a->legs);
	assigned_retire_clone(a);
	copies_follow(a->copies, a->clone, NULL);
	copies_free(a->copies);
	list_remove(&a->link);
	table_take(&t->table, &a->by_uuid);
	json_decref(a->made_of);
	json_decref(a->plain);
	json_decref(a->sources);
	untrouble(&a->trouble);
	untrouble(&a->clone_trouble);
	untrouble(&a->source_doubt);
	free(a->clone_key);
	free(a->uuid);
	free(a);
}

struct assigned_hold *assigned_holds(const struct assigned_table *t, const struct vip *v, const struct assigned_hold *behind)
{
	struct table_link *l = behind ? table_next(&behind->by_vip) : table_first(&t->holds, hash_of_vip(v));

	while (l && CONTAINER_OF(l, struct assigned_hold, by_vip)->vip != v)
		l = table_next(l);
	return l ? CONTAINER_OF(l, struct assigned_hold, by_vip) : NULL;
}

const char *assigned_state_of(const struct vip *v)
{
	static const char *const states[] = {
		[VIP_ABSENT] = "OPER_DOWN",         [VIP_PROBING] = "OPER_INITIALIZING",
		[VIP_WAITING] = "OPER_PARTITIONED", [VIP_OWNED] = "OPER_UP",
		[VIP_LAPSED] = "OPER_INITIALIZING", [VIP_WITHDRAWN] = "OPER_DOWN",
	};

	return states[vip_state(v)];
}

const char *assigned_state(struct assigned *a, const char **reason)
{
	const char *why, *state;

	*reason = "";
	if (!a->enabled) {
		*reason = "It is disabled.";
		return "OPER_DISABLED";
	}
	if (a->trouble) {
		*reason = a->trouble;
		return "OPER_DOWN";
	}
	for (size_t i = 0; i < a->n_vips; i++) {
		if (a->vips[i]->snat || vip_state(a->vips[i]->vip) == VIP_OWNED)
			continue;
		*reason = vip_reason(a->vips[i]->vip);
		return assigned_state_of(a->vips[i]->vip);
	}
	for (size_t i = 0; i < a->n_vips; i++) {
		why = a->vips[i]->snat ? snat_trouble(a, a->vips[i], &state) : NULL;
		if (why) {
			*reason = why;
			return state;
		}
	}
	if (a->clone_trouble) /* served, but not copied: up, and said */
		*reason = a->clone_trouble;
	else if (a->source_doubt)
		*reason = a->source_doubt;
	return "OPER_UP";
}

json_t *assigned_vips(const struct assigned *a)
{
	json_t *all = json_object();

	for (size_t i = 0; i < a->n_vips && a->enabled && !a->trouble; i++) {
		const struct assigned_hold *h = a->vips[i];

		if (h->snat)
			continue;
		/* Of the two families of a VIP the one that is not up speaks. */
		if (vip_state(h->vip) != VIP_OWNED || !json_object_get(all, h->id))
			json_object_set_new(all, h->id, json_pack("{s:s, s:s}", "state", assigned_state_of(h->vip), "reason",
								  vip_reason(h->vip)));
	}
	if (json_object_size(all) < 2) { /* the state says it */
		json_decref(all);
		return NULL;
	}
	return all;
}

/* ---- the clone ---- */

static bool prefix_of(const struct ip_addr_prefix *p, struct clone_want *w)
{
	if (!p || !p->ip_addr || ip_parse(p->ip_addr->addr, &w->subnet) < 0)
		return false;
	w->subnet_len = (unsigned)p->mask;
	w->has_subnet = true;
	return true;
}

/* The subnet of a network in which IP lies, or its first. */
static void subnet_of_network(const struct link *k, const char *uuid, struct clone_want *w, struct arena *arena)
{
	const json_t *o = link_object(k, "network", uuid);
	const struct network *n;

	if (!o)
		return;
	n = model_load(&network_message, o, arena);
	for (size_t i = 0; i < n->configured_subnets_n; i++)
		if (prefix_of(n->configured_subnets[i].prefix, w) &&
		    (!w->has_ip || ip_within(&w->ip, &w->subnet, w->subnet_len)))
			return;
}

static void wrap_of(const struct clone_encapsulation *e, struct clone_want *w)
{
	static const enum clone_wrap_kind kinds[] = {
		[CLONE_ENCAP_NONE] = CLONE_WRAP_NONE,		[CLONE_ENCAP_VXLAN] = CLONE_WRAP_VXLAN,
		[CLONE_ENCAP_GRE] = CLONE_WRAP_GRE,		[CLONE_ENCAP_ERSPAN_II] = CLONE_WRAP_ERSPAN_II,
		[CLONE_ENCAP_ERSPAN_III] = CLONE_WRAP_ERSPAN_III, [CLONE_ENCAP_GENEVE] = CLONE_WRAP_GENEVE,
	};

	if (!e)
		return;
	w->wrap = kinds[e->type];
	w->vni = (uint32_t)e->vni;
	w->port = (uint16_t)e->port;
	w->session = (uint32_t)e->session_id;
	w->has_key = e->has_key;
	w->key = (uint32_t)e->key;
}

static size_t clone_wants(const struct link *k, const struct traffic_clone_profile *p, const char *vrf,
			  struct clone_want *w, struct arena *arena)
{
	size_t n = MIN(p->clone_servers_n, (size_t)CLONE_SERVERS_MAX);

	for (size_t i = 0; i < n; i++) {
		const struct clone_server *s = &p->clone_servers[i];

		memset(&w[i], 0, sizeof(w[i]));
		w[i].has_ip = s->ip_address && ip_parse(s->ip_address->addr, &w[i].ip) == 0;
		w[i].has_mac = s->mac && mac_parse(s->mac, w[i].mac) == 0;
		if (!prefix_of(s->subnet, &w[i]) && s->network_ref)
			subnet_of_network(k, s->network_ref, &w[i], arena);
		wrap_of(s->encapsulation, &w[i]);
		snprintf(w[i].vrf, sizeof(w[i].vrf), "%s", vrf);
	}
	return n;
}

static json_t *words(const char *const *list, size_t n)
{
	json_t *a = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(a, json_string(list[i]));
	return a;
}

/* Where lines about flows go; NULL: nowhere. New reference. */
static json_t *log_of(const struct clone_flow_log *l)
{
	if (!l)
		return NULL;
	if (l->type == CLONE_LOG_FILE)
		return json_pack("{s:s*}", "file", l->file_name);
	return json_pack("{s:b, s:s*, s:I}", "syslog", l->type == CLONE_LOG_SYSLOG, "ip",
			 l->ip_address ? l->ip_address->addr : NULL, "port", (json_int_t)(l->port ? l->port : 514));
}

/* What of the plaintext is copied, and how it looks; NULL: packets as they are. New reference. */
static json_t *plain_of(const struct traffic_clone_profile *p, struct clone_plan *plan)
{
	const struct clone_filter *f = p->filter;
	char text[18];

	if (p->payload != CLONE_DECRYPTED)
		return NULL;
	plan->plain = true;
	if (p->marker_mac && mac_parse(p->marker_mac, plan->marker) < 0)
		memset(plan->marker, 0, sizeof(plan->marker));
	return json_pack("{s:s, s:I, s:o, s:o, s:o, s:o*}", "marker", mac_text(plan->marker, text), "port",
			 (json_int_t)(p->decrypted_port ? p->decrypted_port : 80), "masked_headers",
			 words(p->masked_headers, p->masked_headers_n), "hosts",
			 words(f ? f->hosts : NULL, f ? f->hosts_n : 0), "path_prefixes",
			 words(f ? f->path_prefixes : NULL, f ? f->path_prefixes_n : 0), "log", log_of(p->flow_log));
}

static void clone_plan_of(const struct traffic_clone_profile *p, struct clone_plan *plan)
{
	memset(plan, 0, sizeof(*plan)); /* it becomes text */
	plan->bits_per_s = p->max_bits_per_second;
	plan->packets_per_s = (uint64_t)p->max_packets_per_second;
	if (!p->filter)
		return;
	plan->sample_percent = (unsigned)p->filter->sample_percent;
	for (size_t i = 0; i < p->filter->client_prefixes_n && plan->prefixes_n < CLONE_PREFIXES_MAX; i++) {
		const struct ip_addr_prefix *net = &p->filter->client_prefixes[i];
		struct clone_prefix *to = &plan->prefixes[plan->prefixes_n];

		to->len = (unsigned)net->mask;
		if (net->ip_addr && ip_parse(net->ip_addr->addr, &to->net) == 0)
			plan->prefixes_n++;
	}
}

/* Everything that the targets are made of, as text: equal text, same targets. */
static char *clone_key_of(const struct clone_want *w, size_t n, const struct clone_plan *plan, bool preserve,
			  enum clone_side side, const json_t *plain)
{
	CLEANUP_FREE char *wants = xmalloc(n * sizeof(*w) * 2 + 1);
	CLEANUP_FREE char *plans = xmalloc(sizeof(*plan) * 2 + 1);
	CLEANUP_FREE char *rules = plain ? json_dumps(plain, JSON_COMPACT) : NULL;

	hex_encode(wants, w, n * sizeof(*w));
	hex_encode(plans, plan, sizeof(*plan));
	return xasprintf("%s%c%d%s%s", wants, preserve ? '+' : '-', side, plans, rules ? rules : "");
}

bool assigned_follow_clone(struct assigned *a, const struct link *k)
{
	const json_t *service = link_object(k, "virtualservice", a->uuid);
	const char *ref = json_str(service, "traffic_clone_profile_ref", "");
	const json_t *profile = *ref ? link_object(k, "trafficcloneprofile", ref_target(ref)) : NULL;
	struct clone_want want[CLONE_SERVERS_MAX];
	struct arena arena = ARENA_INIT;
	struct clone_set *set = NULL;
	struct err e = { 0 };
	enum clone_side side = CLONE_SIDE_SERVER;
	bool preserve = false;
	struct clone_plan plan = { 0 };
	json_t *plain = NULL;
	char *key;

	memset(want, 0, sizeof(want));
	if (profile) {
		const struct traffic_clone_profile *p =
			model_load(&traffic_clone_profile_message, profile, &arena);
		const char *vrf = json_str(service, "vrf_context_ref", "");
		size_t n = clone_wants(k, p, ref_target(vrf), want, &arena);

		preserve = p->preserve_client_ip;
		side = p->side;
		clone_plan_of(p, &plan);
		plain = plain_of(p, &plan);
		key = clone_key_of(want, n, &plan, preserve, side, plain);
		if (n && strcmp(key, a->clone_key) != 0 && (!plain || clones_open_outlet(a->table->clones, &e) == 0))
			clone_set_new(a->table->clones, &plan, want, n, &set, &e);
	} else {
		key = xstrdup("");
	}
	arena_fini(&arena);
	if (strcmp(key, a->clone_key) == 0) {
		free(key);
		json_decref(plain);
		return false;
	}
	untrouble(&a->clone_trouble);
	if (e.code) {
		trouble(&a->clone_trouble, &e);
		log_warn("clone_trouble service=%s reason=\"%s\"", a->uuid, a->clone_trouble);
	}
	free(a->clone_key);
	a->clone_key = key;
	a->preserve_client_ip = preserve;
	a->clone_by_network = plan.prefixes_n;
	a->clone_side = side;
	json_decref(a->plain);
	a->plain = plain;
	if (plain && set)
		json_object_set_new(plain, "mtu", json_integer(clone_set_mtu(set)));
	assigned_retire_clone(a);
	a->old_clone = a->clone;
	a->clone = set;
	a->clone_changed = true;
	/* Plaintext of clients is the proxy's affair. */
	legs_clone(a->legs, set && side != CLONE_SIDE_SERVER && !plain ? clone_set_range(set) : (struct clone_range){ 0 });
	return true;
}

void assigned_retire_clone(struct assigned *a)
{
	if (!a->clone_changed)
		return;
	copies_follow(a->copies, a->old_clone, a->clone);
	a->old_clone = NULL;
	a->clone_changed = false;
}

bool assigned_clone_has_news(const struct assigned *a)
{
	return a->clone && clone_set_room(a->clone) != a->clone_room;
}

json_t *assigned_clone_message(struct assigned *a)
{
	struct clone_range r = a->clone ? clone_set_range(a->clone) : (struct clone_range){ 0 };

	a->clone_room = a->clone ? clone_set_room(a->clone) : 0;
	return json_pack("{s:s, s:s, s:b, s:i, s:I, s:I, s:I, s:b, s:b, s:b, s:b, s:b, s:i, s:i, s:b, s:i, s:b, s:I, s:i, s:O*}", "type", "clone", "virtualservice", a->uuid, "on",
			 a->clone && a->clone_side != CLONE_SIDE_CLIENT, "service", (int)a->index, "first", (json_int_t)r.first, "count",
			 (json_int_t)r.count, "generation", (json_int_t)r.generation, "preserve_client_ip",
			 a->preserve_client_ip, "by_client", a->clone_side == CLONE_SIDE_BOTH, "one_client",
			 a->preserve_client_ip || a->clone_by_network, "follow", (int)a->follows, "keys",
			 (int)a->capture.keys, "room", (int)a->clone_room, "client_room",
			 a->clone_side != CLONE_SIDE_SERVER && !a->plain ? (int)a->clone_room : 0, "clients",
			 a->clone && a->plain && a->clone_side != CLONE_SIDE_SERVER, "tells", (int)a->capture.tells, "retells",
			 (int)a->capture.plaintext, "capture", (json_int_t)a->capture.number, "excerpt", (int)a->excerpt, "plain", a->plain);
}

const char *assigned_log_file(const struct assigned *a)
{
	return json_str(json_object_get(a->clone ? a->plain : NULL, "log"), "file", NULL);
}

bool assigned_has_anyway(const struct assigned *a, const struct in6_addr *addr)
{
	return vips_foreign(a->table->vips, a->vrf, addr);
}

void assigned_clone_trouble(struct assigned *a, const struct err *e)
{
	trouble(&a->clone_trouble, e);
}

json_t *assigned_clone_books(struct assigned *a)
{
	return copies_read(a->copies, a->clone);
}
