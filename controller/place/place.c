/*
 * A unit is one vsvip with the services on it. Marks collect between runs: a
 * unit is in the list `marked`, or everything is (`all`). A run makes a snapshot
 * of the marked units and of all engines, decides, writes what changed in one
 * transaction, and only then lets engines hold other assignments.
 */
#include "controller/place/place.h"

#include "base/arena.h"
#include "base/log.h"
#include "controller/audit.h"
#include "controller/link/fleet.h"
#include "controller/resolve.h"

#define SPACE "place"

struct unit {
	struct table_link link;
	struct list in_all, marked, services;
	char *vsvip;
	char *owner, *previous; /* uuids; "": nobody */
	uint64_t term;
	unsigned weight; /* as counted in the owner's load */
	struct place_decision last;
	bool decided;
};

struct service {
	struct table_link link;
	struct list in_unit;
	struct unit *unit;
	char *uuid, *name, *tenant, *group, *cloud;
	bool enabled;
	bool odd; /* of another group than the unit's first: it goes nowhere */
	char odd_reason[256];
	json_t *assignment; /* NULL: none */
	uint64_t revision;
	struct engine *holder; /* who holds the assignment */
};

struct placement {
	struct fleet *fleet;
	struct store *store;
	struct table units, services;
	struct list all_units, marked;
	bool all;
	bool stuck; /* the last decisions could not be stored */
	bool retry; /* there may be room now for those that found none */
};

/* ---- finding --------------------------------------------------------- */

static struct unit *unit_find(struct placement *p, const char *vsvip)
{
	for (struct table_link *l = table_first(&p->units, table_hash(TABLE_SEED, vsvip)); l;
	     l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct unit, link)->vsvip, vsvip) == 0)
			return CONTAINER_OF(l, struct unit, link);
	return NULL;
}

static struct service *service_find(struct placement *p, const char *vs)
{
	for (struct table_link *l = table_first(&p->services, table_hash(TABLE_SEED, vs)); l;
	     l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct service, link)->uuid, vs) == 0)
			return CONTAINER_OF(l, struct service, link);
	return NULL;
}

static void mark(struct placement *p, struct unit *u)
{
	if (list_empty(&u->marked))
		list_insert(&p->marked, &u->marked);
}

static void set(char **text, const char *to)
{
	free(*text);
	*text = xstrdup(to);
}

static struct unit *unit_get(struct placement *p, const char *vsvip)
{
	struct unit *u = unit_find(p, vsvip);
	CLEANUP_FREE char *value = NULL;
	CLEANUP_JSON json_t *kept = NULL;

	if (u)
		return u;
	u = xcalloc(1, sizeof(*u));
	u->vsvip = xstrdup(vsvip);
	list_init(&u->services);
	list_init(&u->marked);
	list_init(&u->in_all);
	list_insert(&p->all_units, &u->in_all);
	table_put(&p->units, &u->link, table_hash(TABLE_SEED, vsvip));
	value = store_value(p->store, SPACE, vsvip);
	if (value)
		json_read(value, strlen(value), &kept, NULL);
	u->owner = xstrdup(json_str(kept, "owner", ""));
	u->previous = xstrdup(json_str(kept, "previous", ""));
	u->term = (uint64_t)json_int(kept, "term", 0);
	return u;
}

static void unit_free(struct placement *p, struct unit *u)
{
	list_remove(&u->marked);
	list_remove(&u->in_all);
	table_take(&p->units, &u->link);
	free(u->vsvip);
	free(u->owner);
	free(u->previous);
	free(u);
}

/* ---- assignments ----------------------------------------------------- */

/* S's assignment becomes OBJECT (taken; NULL: none) in the hands of E. */
static void assign(struct placement *p, struct service *s, json_t *object, struct engine *e)
{
	struct graph *g = p->fleet->graph;
	bool same = json_equal(s->assignment, object) || (!s->assignment && !object);
	struct engine *before = s->holder;

	if (same) {
		json_decref(object);
	} else {
		json_decref(s->assignment);
		s->assignment = object;
		s->revision = store_revision(p->store);
		graph_changed(g, "assignment", s->uuid, NULL, NULL);
	}
	if (e == before)
		return;
	if (before) {
		graph_release(g, &before->holder, "assignment", s->uuid);
		json_object_del(before->services, s->uuid);
	}
	s->holder = e;
	if (e)
		graph_hold(g, &e->holder, "assignment", s->uuid);
}

/* One prefix of {ip_addr: {addr}, mask}; false: there is none. */
static bool read_net(const json_t *v, struct place_net *out)
{
	const char *text = json_str(json_object_get(v, "ip_addr"), "addr", NULL);

	out->len = (unsigned)json_int(v, "mask", 0);
	return text && ip_parse(text, &out->addr) == 0;
}

/* A list of networks that grows in an arena. */
struct nets {
	struct arena *arena;
	bool v4; /* only of this family */
	struct place_net *all;
	size_t n, room;
};

static void nets_add(struct nets *l, const json_t *prefix)
{
	struct place_net net;

	if (!read_net(prefix, &net) || ip_is_v4(&net.addr) != l->v4)
		return;
	if (l->n == l->room) {
		struct place_net *more = arena_get(l->arena, (l->room * 2 + 4) * sizeof(*more));

		if (l->n)
			memcpy(more, l->all, l->n * sizeof(*more));
		l->all = more;
		l->room = l->room * 2 + 4;
	}
	l->all[l->n++] = net;
}

/* The subnets that are given beside a reference to a network, or else those of the network. */
static void nets_of(struct placement *p, struct nets *l, const json_t *where)
{
	const struct object *o = store_get(p->store, "network",
					   ref_target(json_str(where, "network_ref", NULL)));
	json_t *subnets = o ? json_object_get(o->body, "configured_subnets") : NULL;
	size_t before = l->n;

	nets_add(l, json_object_get(where, "subnet"));
	nets_add(l, json_object_get(where, "subnet6"));
	for (size_t i = 0; l->n == before && i < json_array_size(subnets); i++)
		nets_add(l, json_object_get(json_array_get(subnets, i), "prefix"));
}

/* The networks that VIP asks for, of the family of the address. */
static void read_nets(struct placement *p, const json_t *vip, struct place_address *a,
		      struct arena *arena)
{
	struct nets l = { .arena = arena, .v4 = ip_is_v4(&a->addr) };
	json_t *places = json_object_get(vip, "placement_networks");

	for (size_t i = 0; i < json_array_size(places); i++)
		nets_of(p, &l, json_array_get(places, i));
	if (!json_array_size(places))
		nets_of(p, &l, vip);
	a->nets = l.all;
	a->n_nets = l.n;
}

struct vip_address {
	struct place_address place;
	const char *vip_id, *text;
};

/* All enabled addresses of a vsvip: up to two of each vip. */
static size_t read_addresses(struct placement *p, const char *vsvip, struct vip_address **out,
			     struct arena *arena)
{
	static const char *const fields[] = { "ip_address", "ip6_address" };
	const struct object *o = store_get(p->store, "vsvip", vsvip);
	json_t *vips = o ? json_object_get(o->body, "vip") : NULL;
	struct vip_address *all = arena_get(arena, (json_array_size(vips) * 2 + 1) * sizeof(*all));
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(vips); i++) {
		const json_t *vip = json_array_get(vips, i);

		if (!json_bool(vip, "enabled", true))
			continue;
		for (int f = 0; f < 2; f++) {
			const char *text = json_str(json_object_get(vip, fields[f]), "addr", NULL);

			if (!text || ip_parse(text, &all[n].place.addr) < 0)
				continue;
			all[n].vip_id = json_str(vip, "vip_id", "0");
			all[n].text = text;
			read_nets(p, vip, &all[n].place, arena);
			n++;
		}
	}
	*out = all;
	return n;
}

/* NULL when E has no interface for one of the addresses. New reference. */
static json_t *make_assignment(struct placement *p, const struct service *s, const struct engine *e,
			       uint64_t term)
{
	struct place_engine place = { .interfaces = e->interfaces,
				      .n_interfaces = e->n_interfaces };
	struct arena arena = ARENA_INIT;
	struct vip_address *all;
	size_t n = read_addresses(p, s->unit->vsvip, &all, &arena);
	CLEANUP_FREE char *ref = xasprintf("/api/virtualservice/%s", s->uuid);
	json_t *vips = json_array(), *out;
	bool fits = true;

	for (size_t i = 0; i < n && fits; i++) {
		unsigned len = 0;
		size_t at = place_interface(&place, &all[i].place, &len);
		json_t *vip;

		fits = at != PLACE_NOBODY;
		if (!fits)
			break;
		vip = json_pack("{s:s, s:s, s:i}", "vip_id", all[i].vip_id, "interface",
				e->interfaces[at].name, "prefix_len", len);
		json_object_set_new(vip, ip_is_v4(&all[i].place.addr) ? "addr" : "addr6",
				    json_string(all[i].text));
		json_array_append_new(vips, vip);
	}
	out = json_pack("{s:s, s:s, s:o, s:I, s:b}", "uuid", s->uuid, "virtualservice_ref", ref,
			"vips", vips, "term", (json_int_t)term, "enabled", s->enabled);
	arena_fini(&arena);
	if (!fits) {
		json_decref(out);
		return NULL;
	}
	return out;
}

/* ---- what is watched ------------------------------------------------- */

static void service_leave(struct placement *p, struct service *s)
{
	assign(p, s, NULL, NULL);
	if (!s->unit)
		return;
	list_remove(&s->in_unit);
	mark(p, s->unit);
	s->unit = NULL;
}

static void service_free(struct placement *p, struct service *s)
{
	service_leave(p, s);
	table_take(&p->services, &s->link);
	free(s->uuid);
	free(s->name);
	free(s->tenant);
	free(s->group);
	free(s->cloud);
	free(s);
}

static const char *group_of(struct placement *p, const struct object *o)
{
	const char *ref = json_str(o->body, "se_group_ref", NULL);
	const struct object *g = ref ? NULL
				     : store_find(p->store, "serviceenginegroup", NULL, o->cloud,
						  "Default-Group");

	return ref ? ref_target(ref) : g ? g->uuid : "";
}

static void service_changed(struct placement *p, const char *uuid)
{
	const struct object *o = store_get(p->store, "virtualservice", uuid);
	struct service *s = service_find(p, uuid);
	struct unit *u;

	if (!o) {
		if (s)
			service_free(p, s);
		return;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->uuid = xstrdup(uuid);
		list_init(&s->in_unit);
		table_put(&p->services, &s->link, table_hash(TABLE_SEED, uuid));
	}
	set(&s->name, o->name);
	set(&s->tenant, o->tenant);
	set(&s->group, group_of(p, o));
	set(&s->cloud, o->cloud);
	s->enabled = json_bool(o->body, "enabled", true);
	/* Without a vsvip it is a unit by itself, under its own name, which has no address. */
	u = unit_get(p, *ref_target(json_str(o->body, "vsvip_ref", NULL))
				? ref_target(json_str(o->body, "vsvip_ref", NULL))
				: uuid);
	if (s->unit != u) {
		service_leave(p, s);
		s->unit = u;
		list_insert(&u->services, &s->in_unit);
	}
	mark(p, u);
}

static int service_seen(void *arg, const struct object *o)
{
	service_changed(arg, o->uuid);
	return 0;
}

void placement_changed(struct placement *p, const char *kind, const char *uuid)
{
	struct unit *u;

	if (strcmp(kind, "virtualservice") == 0) {
		service_changed(p, uuid);
	} else if (strcmp(kind, "vsvip") == 0) {
		u = unit_find(p, uuid);
		if (u)
			mark(p, u);
	} else if (strcmp(kind, "serviceenginegroup") == 0 || strcmp(kind, "network") == 0) {
		p->all = true;
	}
}

void placement_engine_changed(struct placement *p, const struct engine *e)
{
	LIST_FOREACH(l, &p->all_units) {
		struct unit *u = LIST_ENTRY(l, struct unit, in_all);

		if (strcmp(u->owner, e->uuid) == 0 || strcmp(u->previous, e->uuid) == 0)
			mark(p, u);
	}
	p->retry = true;
}

void placement_forget(struct placement *p, const struct engine *e)
{
	LIST_FOREACH(a, &p->all_units) {
		struct unit *u = LIST_ENTRY(a, struct unit, in_all);

		if (strcmp(u->owner, e->uuid) == 0) {
			u->weight = 0; /* the load went with the engine */
			mark(p, u);
		}
		LIST_FOREACH(b, &u->services) {
			struct service *s = LIST_ENTRY(b, struct service, in_unit);

			if (s->holder == e)
				assign(p, s, NULL, NULL);
		}
	}
}

void placement_service_said(struct placement *p, const char *vs)
{
	struct service *s = service_find(p, vs);

	if (s && s->unit)
		mark(p, s->unit);
}

struct placement *placement_new(struct fleet *f)
{
	struct placement *p = xcalloc(1, sizeof(*p));

	p->fleet = f;
	p->store = f->store;
	list_init(&p->all_units);
	list_init(&p->marked);
	store_each(p->store, "virtualservice", service_seen, p);
	p->all = true;
	return p;
}

void placement_free(struct placement *p)
{
	if (!p)
		return;
	LIST_FOREACH(a, &p->all_units) {
		struct unit *u = LIST_ENTRY(a, struct unit, in_all);

		LIST_FOREACH(b, &u->services)
			service_free(p, LIST_ENTRY(b, struct service, in_unit));
		unit_free(p, u);
	}
	table_fini(&p->units);
	table_fini(&p->services);
	free(p);
}

/* ---- a run ----------------------------------------------------------- */

struct run {
	struct arena arena;
	struct engine **engines;
	struct place_engine *places;
	size_t n_engines, n_units;
	struct unit **units;
	struct place_unit *place_units;
	struct place_decision *decisions;
};

static size_t engine_index(const struct run *r, const char *uuid)
{
	for (size_t i = 0; i < r->n_engines; i++)
		if (strcmp(r->engines[i]->uuid, uuid) == 0)
			return i;
	return PLACE_NOBODY;
}

static void run_engines(struct placement *p, struct run *r)
{
	size_t n = 0;

	LIST_FOREACH(l, &p->fleet->engines)
		n++;
	r->engines = arena_get(&r->arena, n * sizeof(*r->engines) + 1);
	r->places = arena_get(&r->arena, n * sizeof(*r->places) + 1);
	LIST_FOREACH(l, &p->fleet->engines) {
		struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		r->engines[r->n_engines] = e;
		r->places[r->n_engines++] = (struct place_engine){
			.uuid = e->uuid,
			.name = e->name,
			.group = e->group,
			.cloud = e->cloud,
			.life = e->life,
			.use = e->use,
			.interfaces = e->interfaces,
			.n_interfaces = e->n_interfaces,
			.load = e->load,
		};
	}
}

/*
 * Group, cloud and switch of a unit come from its first enabled service; those of other groups
 * are odd.
 */
static void run_unit(struct placement *p, struct run *r, struct unit *u)
{
	struct place_unit *out = &r->place_units[r->n_units];
	struct vip_address *all;
	struct place_address *addresses;
	const struct service *first = NULL;
	const struct object *group;
	size_t n = read_addresses(p, u->vsvip, &all, &r->arena);
	unsigned counted = u->weight;

	LIST_FOREACH(l, &u->services) {
		const struct service *s = LIST_ENTRY(l, struct service, in_unit);

		if (!first || (s->enabled && !first->enabled))
			first = s;
	}
	addresses = arena_get(&r->arena, (n + 1) * sizeof(*addresses));
	for (size_t i = 0; i < n; i++)
		addresses[i] = all[i].place;
	group = store_get(p->store, "serviceenginegroup", first->group);
	*out = (struct place_unit){
		.group = first->group,
		.cloud = first->cloud,
		.enabled = first->enabled,
		.algo = group && strcmp(json_str(group->body, "algo", ""),
					"PLACEMENT_ALGO_DISTRIBUTED") == 0
				? PLACE_DISTRIBUTED
				: PLACE_PACKED,
		.max_load = group ? (unsigned)json_int(group->body, "max_vs_per_se", 10) : 10,
		.addresses = addresses,
		.n_addresses = n,
		.owner = engine_index(r, u->owner),
		.previous = engine_index(r, u->previous),
		.term = u->term,
	};
	LIST_FOREACH(l, &u->services) {
		struct service *s = LIST_ENTRY(l, struct service, in_unit);
		const json_t *said = out->owner == PLACE_NOBODY
					     ? NULL
					     : json_object_get(r->engines[out->owner]->services,
							       s->uuid);

		s->odd = strcmp(s->group, first->group) != 0;
		if (s->odd)
			snprintf(
				s->odd_reason, sizeof(s->odd_reason),
				"it shares its addresses with %.96s, which belongs to another service engine group",
				first->name);
		text_clean(s->odd_reason);
		out->weight += !s->odd;
		out->contested = out->contested ||
				 strcmp(json_str(said, "state", ""), "OPER_PARTITIONED") == 0;
	}
	/* place_decide() counts the owner's load of the units that it is given. */
	if (out->owner != PLACE_NOBODY)
		r->places[out->owner].load -= counted;
	r->units[r->n_units++] = u;
}

static bool moved(const struct run *r, size_t i)
{
	return r->decisions[i].owner != r->place_units[i].owner;
}

/* What the store keeps of a vsvip that is gone. */
static void unkeep(struct placement *p, const struct unit *u)
{
	struct txn *t;

	if (!u->term || store_get(p->store, "vsvip", u->vsvip))
		return;
	t = txn_begin(p->store);
	txn_set(t, SPACE, u->vsvip, NULL, NULL);
	txn_commit(t, NULL, NULL); /* what stays by a failure is small, and nobody asks for it */
}

/* The new owners into the store, all at once. False: nothing may be told to anybody. */
static bool keep(struct placement *p, const struct run *r, struct err *e)
{
	struct txn *t = NULL;
	int rc = 0;

	for (size_t i = 0; i < r->n_units && rc == 0; i++) {
		const struct place_decision *d = &r->decisions[i];
		CLEANUP_JSON json_t *kept = NULL;
		CLEANUP_FREE char *text = NULL;

		if (!moved(r, i))
			continue;
		kept = json_pack("{s:s, s:s, s:I}", "owner", r->engines[d->owner]->uuid, "previous",
				 r->units[i]->owner, "term", (json_int_t)d->term);
		text = json_text(kept);
		if (!t)
			t = txn_begin(p->store);
		rc = txn_set(t, SPACE, r->units[i]->vsvip, text, e);
	}
	if (t && rc == 0)
		rc = txn_commit(t, NULL, e);
	else if (t)
		txn_abort(t);
	return rc == 0;
}

/* Everybody stays where he is, which is said; another try follows soon. */
static void not_kept(struct placement *p, const struct run *r, const struct err *e)
{
	if (!p->stuck)
		log_error("placement_not_kept error=\"%s\"", err_line(e));
	p->stuck = true;
	p->all = true;
	fleet_settle_later(p->fleet);
	for (size_t i = 0; i < r->n_units; i++) {
		struct place_decision *last = &r->units[i]->last;

		if (!moved(r, i))
			continue;
		last->verdict = PLACE_NONE;
		snprintf(last->reason, sizeof(last->reason), "the controller cannot store who does: %s",
			 err_line(e));
		r->units[i]->decided = true;
	}
}


static void tell(struct placement *p, const struct service *s, const char *id, const char *module,
		 const char *text)
{
	log_info("%s virtualservice=%s text=\"%s\"", id, s->name, text);
	store_event(p->store,
		    audit_event(id, module, "virtualservice", s->uuid, s->name, s->tenant, NULL,
				"%s", text),
		    NULL);
}

static void tell_decision(struct placement *p, const struct run *r, size_t i,
			  const struct service *s)
{
	const struct unit *u = r->units[i];
	const struct place_decision *d = &r->decisions[i];
	const struct engine *now = d->owner == PLACE_NOBODY ? NULL : r->engines[d->owner];
	size_t was = r->place_units[i].owner;
	char text[1024];

	if (moved(r, i) && was == PLACE_NOBODY) {
		snprintf(text, sizeof(text), "Service engine %s carries %s, term %llu.", now->name,
			 s->name, (unsigned long long)d->term);
		tell(p, s, "VS_ADD_SE", "VSMGR", text);
	} else if (moved(r, i)) {
		snprintf(text, sizeof(text), "%s moves from service engine %s to %s, term %llu.",
			 s->name, r->engines[was]->name, now->name, (unsigned long long)d->term);
		tell(p, s, "VS_SWITCHOVER", "VSMGR", text);
	}
	if (u->decided && u->last.verdict == d->verdict && strcmp(u->last.reason, d->reason) == 0)
		return;
	if (d->verdict == PLACE_NONE) {
		snprintf(text, sizeof(text), "No service engine can carry %s: %s.", s->name,
			 d->reason);
		tell(p, s, "VS_FSM_AWAITING_SE_ASSIGNMENT", "VSMGR", text);
	} else if (d->verdict == PLACE_WAITS && now->life == PLACE_ALIVE) {
		snprintf(text, sizeof(text), "%s.", d->reason);
		tell(p, s, "VS_FAULT", "VSMGR", text);
	} else if (d->verdict == PLACE_OFF && u->decided) {
		tell(p, s, "VS_FSM_DISABLED", "VSMGR", "The virtual service was disabled.");
	}
}

static void carry_out(struct placement *p, struct run *r, size_t i)
{
	struct unit *u = r->units[i];
	const struct place_decision *d = &r->decisions[i];
	struct engine *was = r->place_units[i].owner == PLACE_NOBODY
				     ? NULL
				     : r->engines[r->place_units[i].owner];
	struct engine *owner = d->owner == PLACE_NOBODY ? NULL : r->engines[d->owner];
	bool serves = owner && d->verdict != PLACE_NONE;

	if (was)
		was->load -= u->weight;
	/* What others found full may have room now. */
	p->retry = p->retry || (was && (moved(r, i) || r->place_units[i].weight < u->weight));
	u->weight = r->place_units[i].weight;
	if (owner)
		owner->load += u->weight;
	if (moved(r, i)) {
		set(&u->previous, u->owner);
		set(&u->owner, owner->uuid);
		u->term = d->term;
	}
	LIST_FOREACH(l, &u->services) {
		struct service *s = LIST_ENTRY(l, struct service, in_unit);
		json_t *object = NULL;

		tell_decision(p, r, i, s);
		if (serves && !s->odd && !owner->known && s->holder == owner)
			continue; /* it goes on with what it has */
		if (serves && !s->odd && owner->known)
			object = make_assignment(p, s, owner, u->term);
		assign(p, s, object, object ? owner : NULL);
	}
	u->last = *d;
	u->decided = true;
}

void placement_run(struct placement *p)
{
	struct run r = { .arena = ARENA_INIT };
	struct err why = { 0 };
	size_t n = 0;

	if (p->all) {
		LIST_FOREACH(l, &p->all_units)
			mark(p, LIST_ENTRY(l, struct unit, in_all));
	}
	if (p->retry)
		LIST_FOREACH(l, &p->all_units) {
			struct unit *u = LIST_ENTRY(l, struct unit, in_all);

			if (u->decided && u->last.verdict == PLACE_NONE)
				mark(p, u);
		}
	p->all = p->retry = false;
	if (list_empty(&p->marked))
		return;
	LIST_FOREACH(l, &p->marked) {
		struct unit *u = LIST_ENTRY(l, struct unit, marked);

		n++;
		if (!list_empty(&u->services))
			continue;
		/*
		 * Nobody is on it any more. Its owner and term stay in the store as long as the
		 * vsvip is there.
		 */
		LIST_FOREACH(e, &p->fleet->engines)
			if (strcmp(LIST_ENTRY(e, struct engine, in_fleet)->uuid, u->owner) == 0)
				LIST_ENTRY(e, struct engine, in_fleet)->load -= u->weight;
		p->retry = true;
		unkeep(p, u);
		unit_free(p, u);
		n--;
	}
	run_engines(p, &r);
	r.units = arena_get(&r.arena, (n + 1) * sizeof(*r.units));
	r.place_units = arena_get(&r.arena, (n + 1) * sizeof(*r.place_units));
	r.decisions = xcalloc(n + 1, sizeof(*r.decisions));
	LIST_FOREACH(l, &p->marked) {
		struct unit *u = LIST_ENTRY(l, struct unit, marked);

		list_remove(&u->marked);
		run_unit(p, &r, u);
	}
	place_decide(&(struct place_snapshot){ r.places, r.n_engines, r.place_units, r.n_units },
		     r.decisions);
	if (keep(p, &r, &why)) {
		p->stuck = false;
		for (size_t i = 0; i < r.n_units; i++)
			carry_out(p, &r, i);
	} else {
		not_kept(p, &r, &why);
	}
	free(r.decisions);
	arena_fini(&r.arena);
	if (p->retry)
		fleet_settle(p->fleet);
}

/* ---- questions ------------------------------------------------------- */

const json_t *placement_assignment(struct placement *p, const char *vs, uint64_t *revision)
{
	struct service *s = service_find(p, vs);

	if (!s || !s->assignment)
		return NULL;
	*revision = s->revision;
	return s->assignment;
}

bool placement_of(struct placement *p, const char *vs, struct placed *out)
{
	struct service *s = service_find(p, vs);
	struct unit *u = s ? s->unit : NULL;

	if (!u)
		return false;
	*out = (struct placed){ .verdict = s->odd	 ? PLACE_NONE
					   : !s->enabled ? PLACE_OFF
							 : u->last.verdict,
				.reason = s->odd       ? s->odd_reason
					  : u->decided ? u->last.reason
						       : "it was not placed yet",
				.owner = fleet_engine(p->fleet, u->owner),
				.term = u->term };
	return true;
}
