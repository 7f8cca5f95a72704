/*
 * A change in three steps: the new address is held, and probed for; when it is ours the proxy is told; what it used before
 * lingers until nothing runs from it. Where no client comes yet (the VIP is not ours) the first step is left out: the proxy uses
 * the new one from the beginning, and reaches nobody until it is there.
 */
#include "engine/config/snat.h"

#include "base/base.h"
#include "engine/link/link.h"
#include "engine/reach/sockets.h"
#include "engine/reach/vip.h"
#include "model/structs.h"

#define LOOKS 8 /* at once; the others have their turn a second later */

/* ---- which is used ---- */

/* What there is for the clients of VIP id ID in LIST. */
static json_t *source_in(const json_t *list, const char *id)
{
	json_t *s;
	size_t i;

	json_array_foreach(list, i, s)
		if (strcmp(json_str(s, "id", ""), id) == 0)
			return s;
	return NULL;
}

/* The one of our VIPs with that id, made where there is none. */
static json_t *source_at(json_t *list, const char *id)
{
	json_t *s = source_in(list, id);

	if (s)
		return s;
	s = json_pack("{s:s, s:[], s:s, s:s}", "id", id, "vips", "v4", "", "v6", "");
	json_array_append_new(list, s);
	return s;
}

/* Is the source IP, one of HOLDS, ours, that is: may sockets be bound to it? */
static bool is_owned(struct assigned_hold *const *holds, size_t n, const char *ip)
{
	struct in6_addr addr;

	for (size_t i = 0; ip_parse(ip, &addr) == 0 && i < n; i++)
		if (holds[i]->snat && ip_equal(vip_addr(holds[i]->vip), &addr))
			return vip_state(holds[i]->vip) == VIP_OWNED;
	return false;
}

/* Or does the machine have it anyway? */
static bool is_machines(const struct assigned *a, const char *ip)
{
	struct in6_addr addr;

	return ip_parse(ip, &addr) == 0 && assigned_has_anyway(a, &addr);
}

/* Do clients come by that VIP now? */
static bool is_served(const struct assigned *a, const char *id)
{
	for (size_t i = 0; i < a->n_vips; i++)
		if (!a->vips[i]->snat && strcmp(a->vips[i]->id, id) == 0 && vip_state(a->vips[i]->vip) == VIP_OWNED)
			return true;
	return false;
}

/* The address of an entry of the assignment. */
static json_t *source_text(const json_t *v)
{
	json_t *v4 = json_object_get(v, "addr");

	return v4 ? v4 : json_object_get(v, "addr6");
}

bool snat_follow(struct assigned *a, const struct link *k)
{
	static const char *const families[] = { "v4", "v6" };
	const json_t *assignment = link_object(k, "assignment", a->uuid), *v;
	CLEANUP_JSON json_t *next = json_array();
	json_t *list = json_object_get(assignment, "snats"), *s;
	size_t i;

	if (!json_array_size(list) && !a->sources)
		return false; /* nearly always */
	if (!json_bool(assignment, "enabled", true))
		list = NULL;
	json_array_foreach(list, i, v)
		if (strcmp(json_str(v, "engine", ""), link_uuid(k)) == 0)
			json_object_set(source_at(next, json_str(v, "vip_id", "")),
					json_object_get(v, "addr") ? "v4" : "v6", source_text(v));
	json_array_foreach(json_object_get(assignment, "vips"), i, v) {
		s = source_in(next, json_str(v, "vip_id", ""));
		json_array_append(json_object_get(s, "vips"), source_text(v));
	}
	json_array_foreach(next, i, s)
		for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
			const char *id = json_str(s, "id", ""), *wanted = json_str(s, families[f], "");
			const char *now = json_str(source_in(a->sources, id), families[f], "");

			if (*wanted && strcmp(wanted, now) != 0 && is_served(a, id) && !is_owned(a->vips, a->n_vips, wanted) &&
			    !is_machines(a, wanted) &&
			    (!*now || is_owned(a->vips, a->n_vips, now) || is_owned(a->lingering, a->n_lingering, now) ||
			     is_machines(a, now)))
				json_object_set_new(s, families[f], json_string(now));
		}
	if (a->sources ? json_equal(a->sources, next) : !json_array_size(next))
		return false;
	json_decref(a->sources);
	a->sources = json_array_size(next) ? json_incref(next) : NULL;
	return true;
}

json_t *snat_message(const struct assigned *a)
{
	return json_pack("{s:s, s:s, s:O*}", "type", "sources", "virtualservice", a->uuid, "sources", a->sources);
}

/* Is it the one that the proxy was told? */
static bool is_used(const struct assigned *a, const struct vip *v)
{
	char text[IP_TEXT_MAX];
	const char *field = ip_is_v4(vip_addr(v)) ? "v4" : "v6";
	json_t *s;
	size_t i;

	ip_text(vip_addr(v), text);
	json_array_foreach(a->sources, i, s)
		if (strcmp(json_str(s, field, ""), text) == 0)
			return true;
	return false;
}

const char *snat_trouble(struct assigned *a, const struct assigned_hold *h, const char **state)
{
	char text[IP_TEXT_MAX];

	ip_text(vip_addr(h->vip), text);
	*state = "OPER_UP";
	if (vip_state(h->vip) == VIP_OWNED) {
		if (!h->routed)
			return NULL;
		snprintf(a->said, sizeof(a->said),
			 "No network of this service engine holds the SNAT address %s: it is announced on %s, and servers need a route to it.",
			 text, vip_interface(h->vip));
		return a->said;
	}
	if (is_used(a, h->vip)) {
		/* OPER_PARTITIONED is said of a VIP, and makes the controller give it back. */
		*state = vip_state(h->vip) == VIP_WAITING ? "OPER_DOWN" : assigned_state_of(h->vip);
		snprintf(a->said, sizeof(a->said), "SNAT address %s: %s", text, vip_reason(h->vip));
	} else {
		snprintf(a->said, sizeof(a->said), "SNAT address %s is not used yet: %s", text, vip_reason(h->vip));
	}
	return a->said;
}

/* ---- what lingers ---- */

static bool is_at(const struct assigned_vip *v, const struct in6_addr *a)
{
	const char *text = v->addr && *v->addr ? v->addr : v->addr6;
	struct in6_addr b;

	return text && ip_parse(text, &b) == 0 && ip_equal(a, &b);
}

bool snat_keeps(struct assigned *a, const struct assignment *as, struct assigned_hold *h)
{
	bool lingers = h->snat && vip_state(h->vip) != VIP_ABSENT && vip_state(h->vip) != VIP_WAITING;

	/* Whom else it goes to, on another engine or here, is not kept waiting. */
	for (size_t i = 0; i < as->snats_n && lingers; i++)
		lingers = !is_at(&as->snats[i], vip_addr(h->vip));
	for (size_t i = 0; i < a->n_lingering && lingers; i++)
		lingers = a->lingering[i]->vip != h->vip;
	if (!lingers)
		return false;
	vip_linger(h->vip);
	h->lingers = true;
	a->lingering = xrealloc(a->lingering, (a->n_lingering + 1) * sizeof(a->lingering[0]));
	a->lingering[a->n_lingering++] = h;
	return true;
}

static void unlinger(struct assigned *a, size_t i)
{
	assigned_release(a->lingering[i]);
	a->lingering[i] = a->lingering[--a->n_lingering];
}

void snat_held(struct assigned *a)
{
	for (size_t i = a->n_lingering; i-- > 0;)
		for (size_t v = 0; v < a->n_vips; v++)
			if (a->vips[v]->vip == a->lingering[i]->vip) {
				unlinger(a, i);
				break;
			}
}

void snat_linger(struct list *all, size_t turn)
{
	size_t lingering = 0, n = 0, each;

	LIST_FOREACH(l, all)
		lingering += LIST_ENTRY(l, struct assigned, link)->n_lingering;
	each = lingering / LOOKS + 1;
	LIST_FOREACH(l, all) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);

		for (size_t i = a->n_lingering; i-- > 0;)
			if (n++ % each == turn % each && !is_used(a, a->lingering[i]->vip) &&
			    !sockets_run_from(vip_addr(a->lingering[i]->vip)))
				unlinger(a, i);
	}
}
