#include "controller/place/assignment.h"

#include "base/arena.h"
#include "base/base.h"
#include "controller/link/fleet.h"
#include "controller/place/reach.h"
#include "controller/rules/snat.h"

static bool is_among(struct engine *const *all, size_t n, const struct engine *e)
{
	for (size_t i = 0; i < n; i++)
		if (all[i] == e)
			return true;
	return false;
}

/* S's assignment becomes OBJECT (taken; NULL: none) in the hands of ENGINES. */
static void assign(struct placement *p, struct service *s, json_t *object, struct engine **engines,
		   size_t n)
{
	struct graph *g = p->fleet->graph;
	bool same = json_equal(s->assignment, object) || (!s->assignment && !object);
	struct engine **before = s->holders;
	size_t n_before = s->n_holders;

	if (same) {
		json_decref(object);
	} else {
		json_decref(s->assignment);
		s->assignment = object;
		s->revision = store_revision(p->store);
		graph_changed(g, "assignment", s->uuid, NULL, NULL);
	}
	s->holders = xcalloc(n + 1, sizeof(struct engine *));
	s->n_holders = n;
	for (size_t i = 0; i < n; i++)
		s->holders[i] = engines[i];
	for (size_t i = 0; i < n_before; i++)
		if (!is_among(engines, n, before[i])) {
			graph_release(g, &before[i]->holder, "assignment", s->uuid);
			json_object_del(before[i]->services, s->uuid);
		}
	for (size_t i = 0; i < n; i++)
		if (!is_among(before, n_before, engines[i]))
			graph_hold(g, &engines[i]->holder, "assignment", s->uuid);
	free(before);
}

/* What S has of its VIPs in the assignment that it has: entries of one of them. */
static void copy_entries(const struct service *s, const char *vip_id, const char *list, json_t *to)
{
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(s->assignment, list), i, v)
		if (strcmp(json_str(v, "vip_id", ""), vip_id) == 0)
			json_array_append(to, v);
}

static json_t *entry(const struct unit *u, const struct engine *e, const struct in6_addr *a, const char *text, size_t interface,
		     unsigned len)
{
	json_t *v = json_pack("{s:s, s:s, s:s, s:i, s:I}", "vip_id", u->vip_id, "engine", e->uuid, "interface",
			      e->interfaces[interface].name, "prefix_len", len, "term", (json_int_t)u->term);

	json_object_set_new(v, ip_is_v4(a) ? "addr" : "addr6", json_string(text));
	return v;
}

/*
 * The addresses from which S speaks to servers where E has the VIP, the one that is at PLACE: on the network that holds them,
 * or else on the interface of the VIP.
 */
static void make_snats(struct placement *p, const struct service *s, const struct unit *u, const struct engine *e, size_t place,
		       size_t vip_interface, json_t *snats)
{
	const struct object *vs = store_get(p->store, "virtualservice", s->uuid);
	struct place_engine at = { .interfaces = e->interfaces, .n_interfaces = e->n_interfaces };
	struct in6_addr all[SNATS_MAX];
	char text[IP_TEXT_MAX];

	for (int v6 = 0; v6 < 2 && vs; v6++) {
		struct place_address a = { .vrf = ref_target(json_str(vs->body, "vrf_context_ref", NULL)) };
		unsigned len = 0;
		size_t i;

		if (snat_addresses(vs->body, v6, all) <= place)
			continue;
		a.addr = all[place];
		i = place_interface(&at, &a, &len);
		json_array_append_new(snats, entry(u, e, &a.addr, ip_text(&a.addr, text),
						   i == PLACE_NOBODY ? vip_interface : i, i == PLACE_NOBODY ? 0 : len));
	}
}

/* The entries of one VIP in the hands of E, and where the first is; false: it has no interface for one of the addresses. */
static bool make_entries(struct placement *p, const struct unit *u, const struct engine *e,
			 json_t *vips, size_t *interface)
{
	const struct object *vsvip = store_get(p->store, "vsvip", u->home->vsvip);
	struct place_engine place = { .interfaces = e->interfaces,
				      .n_interfaces = e->n_interfaces };
	CLEANUP_JSON json_t *mine = json_array();
	struct arena arena = ARENA_INIT;
	struct reach_address *all;
	size_t n = reach_addresses(p->store, vsvip, u->vip_id, &all, &arena);
	bool fits = true;

	for (size_t i = 0; i < n && fits; i++) {
		unsigned len = 0;
		size_t at = place_interface(&place, &all[i].place, &len);

		fits = at != PLACE_NOBODY;
		if (!fits)
			break;
		if (i == 0)
			*interface = at;
		json_array_append_new(mine, entry(u, e, &all[i].place.addr, all[i].text, at, len));
	}
	if (fits)
		json_array_extend(vips, mine);
	arena_fini(&arena);
	return fits;
}

static bool serves(const struct unit *u)
{
	return u->decided && u->last.verdict != PLACE_NONE && *u->owner;
}

void assignment_follow(struct placement *p, struct service *s)
{
	CLEANUP_JSON json_t *vips = json_array(), *snats = json_array();
	CLEANUP_FREE char *ref = xasprintf("/api/virtualservice/%s", s->uuid);
	CLEANUP_FREE struct engine **engines = NULL;
	json_t *object = NULL;
	uint64_t term = 0;
	size_t n = 0, place = 0;

	LIST_FOREACH(l, &s->home->units) {
		const struct unit *u = LIST_ENTRY(l, struct unit, in_home);
		struct engine *e = serves(u) ? fleet_engine(p->fleet, u->owner) : NULL;
		size_t mine = place++, interface = 0;

		/* Of a service that is enabled: the VIP itself is not. */
		if (!e || s->odd || (s->enabled && u->last.verdict == PLACE_OFF))
			continue;
		if (e->known) {
			if (!make_entries(p, u, e, vips, &interface))
				continue;
			make_snats(p, s, u, e, mine, interface, snats);
		} else if (is_among(s->holders, s->n_holders, e)) {
			copy_entries(s, u->vip_id, "vips", vips); /* it goes on with what it has */
			copy_entries(s, u->vip_id, "snats", snats);
		} else {
			continue;
		}
		term = MAX(term, u->term);
		if (is_among(engines, n, e))
			continue;
		engines = xrealloc(engines, (n + 1) * sizeof(struct engine *));
		engines[n++] = e;
	}
	if (n)
		object = json_pack("{s:s, s:s, s:O, s:I, s:b}", "uuid", s->uuid, "virtualservice_ref", ref, "vips", vips, "term",
				   (json_int_t)term, "enabled", s->enabled);
	if (n && json_array_size(snats))
		json_object_set(object, "snats", snats);
	if (n && s->capture && *s->capture)
		json_object_set_new(object, "capture_ref", json_sprintf("/api/capture/%s", s->capture));
	assign(p, s, object, engines, n);
}

void assignment_end(struct placement *p, struct service *s)
{
	assign(p, s, NULL, NULL, 0);
}

void assignment_without(struct placement *p, struct service *s, const struct engine *e)
{
	CLEANUP_FREE struct engine **left = NULL;
	size_t n = 0;

	if (!is_among(s->holders, s->n_holders, e))
		return;
	left = xcalloc(s->n_holders, sizeof(struct engine *));
	for (size_t i = 0; i < s->n_holders; i++)
		if (s->holders[i] != e)
			left[n++] = s->holders[i];
	assign(p, s, n ? json_incref(s->assignment) : NULL, left, n);
}
