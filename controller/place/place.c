/*
 * Marks collect between runs: a home is in the list `marked`, or everything is (`all`). A run makes
 * a snapshot of the units of marked homes and of all engines, decides, writes what changed in one
 * transaction, and only then lets engines hold other assignments.
 */
#include "controller/place/place.h"

#include <errno.h>

#include "base/arena.h"
#include "base/log.h"
#include "controller/audit.h"
#include "controller/link/fleet.h"
#include "controller/place/assignment.h"
#include "controller/place/reach.h"
#include "controller/pools.h"
#include "controller/resolve.h"

#define SPACE "place"

/* ---- finding --------------------------------------------------------- */

static struct home *home_find(struct placement *p, const char *vsvip)
{
	for (struct table_link *l = table_first(&p->homes, table_hash(TABLE_SEED, vsvip)); l;
	     l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct home, link)->vsvip, vsvip) == 0)
			return CONTAINER_OF(l, struct home, link);
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

static void mark(struct placement *p, struct home *h)
{
	if (list_empty(&h->marked))
		list_insert(&p->marked, &h->marked);
}

static void set(char **text, const char *to)
{
	free(*text);
	*text = xstrdup(to);
}

static struct home *home_get(struct placement *p, const char *vsvip)
{
	struct home *h = home_find(p, vsvip);

	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	h->vsvip = xstrdup(vsvip);
	list_init(&h->services);
	list_init(&h->units);
	list_init(&h->marked);
	list_init(&h->in_all);
	list_insert(&p->all_homes, &h->in_all);
	table_put(&p->homes, &h->link, table_hash(TABLE_SEED, vsvip));
	return h;
}

/* ---- units ----------------------------------------------------------- */

static char *key_of(const struct unit *u)
{
	return xasprintf("%s/%s", u->home->vsvip, u->vip_id);
}

static struct unit *unit_new(struct placement *p, struct home *h, const char *vip_id)
{
	struct unit *u = xcalloc(1, sizeof(*u));
	CLEANUP_FREE char *key = NULL;
	CLEANUP_JSON json_t *kept = NULL;

	u->home = h;
	u->vip_id = xstrdup(vip_id);
	u->wish = xstrdup("");
	list_init(&u->in_home);
	list_insert(&h->units, &u->in_home);
	key = key_of(u);
	kept = store_value_json(p->store, SPACE, key);
	if (!kept) /* as it was when a vsvip had one owner */
		kept = store_value_json(p->store, SPACE, h->vsvip);
	u->owner = xstrdup(json_str(kept, "owner", ""));
	u->previous = xstrdup(json_str(kept, "previous", ""));
	u->term = (uint64_t)json_int(kept, "term", 0);
	return u;
}

static void unit_free(struct unit *u)
{
	list_remove(&u->in_home);
	free(u->vip_id);
	free(u->owner);
	free(u->previous);
	free(u->wish);
	free(u);
}

/* U no longer counts for its owner. */
static void unload(struct placement *p, struct unit *u)
{
	struct engine *e = *u->owner ? fleet_engine(p->fleet, u->owner) : NULL;

	if (e)
		e->load -= u->weight;
	u->weight = 0;
}

/* A VIP that is no more: what the store keeps of it goes. Small, if that fails, and asked for by nobody. */
static void unit_end(struct placement *p, struct unit *u, bool forget)
{
	CLEANUP_FREE char *key = key_of(u);
	struct txn *t;

	unload(p, u);
	p->retry = true;
	if (forget && u->term) {
		t = txn_begin(p->store);
		txn_set(t, SPACE, key, NULL, NULL);
		txn_commit(t, NULL, NULL);
	}
	unit_free(u);
}

static struct unit *unit_find(const struct home *h, const char *vip_id)
{
	LIST_FOREACH(l, &((struct home *)h)->units)
		if (strcmp(LIST_ENTRY(l, struct unit, in_home)->vip_id, vip_id) == 0)
			return LIST_ENTRY(l, struct unit, in_home);
	return NULL;
}

/* The units become the VIPs that the vsvip has now, in its order; at least one, which may have no VIP. */
/* The VIP as it was, from OLD, or a new one. */
static void unit_keep(struct placement *p, struct home *h, struct list *old, const char *id)
{
	LIST_FOREACH(l, old) {
		if (strcmp(LIST_ENTRY(l, struct unit, in_home)->vip_id, id) != 0)
			continue;
		list_remove(l);
		list_insert(&h->units, l);
		return;
	}
	unit_new(p, h, id);
}

static void home_follow(struct placement *p, struct home *h)
{
	const struct object *o = store_get(p->store, "vsvip", h->vsvip);
	json_t *vips = o ? json_object_get(o->body, "vip") : NULL, *v;
	struct list old;
	size_t i;

	list_init(&old);
	LIST_FOREACH(l, &h->units) {
		list_remove(l);
		list_insert(&old, l);
	}
	json_array_foreach(vips, i, v)
		unit_keep(p, h, &old, json_str(v, "vip_id", "0"));
	if (json_array_size(vips) == 0) /* nobody can carry it, and it is said once */
		unit_keep(p, h, &old, "");
	LIST_FOREACH(l, &old)
		unit_end(p, LIST_ENTRY(l, struct unit, in_home), true);
}

static void home_free(struct placement *p, struct home *h, bool forget)
{
	LIST_FOREACH(l, &h->units)
		unit_end(p, LIST_ENTRY(l, struct unit, in_home), forget);
	list_remove(&h->marked);
	list_remove(&h->in_all);
	table_take(&p->homes, &h->link);
	free(h->vsvip);
	free(h);
}

/* ---- what is watched ------------------------------------------------- */

static void service_leave(struct placement *p, struct service *s)
{
	assignment_end(p, s);
	if (!s->home)
		return;
	list_remove(&s->in_home);
	mark(p, s->home);
	s->home = NULL;
}

static void service_free(struct placement *p, struct service *s)
{
	service_leave(p, s);
	table_take(&p->services, &s->link);
	free(s->holders);
	free(s->capture);
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
	struct home *h;

	if (!o) {
		if (s)
			service_free(p, s);
		return;
	}
	if (!s) {
		s = xcalloc(1, sizeof(*s));
		s->uuid = xstrdup(uuid);
		list_init(&s->in_home);
		table_put(&p->services, &s->link, table_hash(TABLE_SEED, uuid));
	}
	set(&s->name, o->name);
	set(&s->tenant, o->tenant);
	set(&s->group, group_of(p, o));
	set(&s->cloud, o->cloud);
	s->enabled = json_bool(o->body, "enabled", true);
	/* Without a vsvip it is a home by itself, under its own name, which has no address. */
	h = home_get(p, *ref_target(json_str(o->body, "vsvip_ref", NULL))
				? ref_target(json_str(o->body, "vsvip_ref", NULL))
				: uuid);
	if (s->home != h) {
		service_leave(p, s);
		s->home = h;
		list_insert(&h->services, &s->in_home);
	}
	mark(p, h);
}

static int service_seen(void *arg, const struct object *o)
{
	service_changed(arg, o->uuid);
	return 0;
}

static int asks_for_networks(void *arg, const struct object *pool, enum pools_role role)
{
	(void)arg;
	(void)role;
	return json_object_get(pool->body, "placement_networks") != NULL;
}

/* What O sends requests to is another: that matters when servers ask, or asked, for networks. */
static int pools_changed(void *arg, const struct object *o)
{
	struct placement *p = arg;
	struct service *s = strcmp(o->kind->path, "virtualservice") == 0 ? service_find(p, o->uuid) : NULL;

	if (s && s->home && (s->home->reaches || pools_each(p->store, o->body, asks_for_networks, NULL)))
		mark(p, s->home);
	return 0;
}

static void capture_changed(struct placement *p, const char *uuid)
{
	const struct object *o = store_get(p->store, "capture", uuid);
	struct service *s = o ? service_find(p, ref_target(json_str(o->body, "virtualservice_ref", NULL))) : NULL;
	bool runs = o && json_bool(o->body, "running", false);

	/* What became of an earlier one is no matter to the one that runs. */
	if (!s || (!runs && strcmp(s->capture ? s->capture : "", uuid) != 0))
		return;
	set(&s->capture, runs ? uuid : "");
	if (s->home)
		mark(p, s->home);
}

void placement_changed(struct placement *p, const char *kind, const char *uuid)
{
	struct home *h;

	if (strcmp(kind, "virtualservice") == 0) {
		service_changed(p, uuid);
	} else if (strcmp(kind, "capture") == 0) {
		capture_changed(p, uuid);
	} else if (strcmp(kind, "vsvip") == 0) {
		h = home_find(p, uuid);
		if (h)
			mark(p, h);
	} else if (strcmp(kind, "pool") == 0) {
		pools_users(p->store, uuid, pools_changed, p);
	} else if (strcmp(kind, "poolgroup") == 0) {
		store_referrers(p->store, kind, uuid, pools_changed, p);
	} else if (strcmp(kind, "serviceenginegroup") == 0 || strcmp(kind, "network") == 0) {
		p->all = true;
	}
}

void placement_engine_changed(struct placement *p, const struct engine *e)
{
	LIST_FOREACH(a, &p->all_homes) {
		struct home *h = LIST_ENTRY(a, struct home, in_all);

		LIST_FOREACH(l, &h->units) {
			struct unit *u = LIST_ENTRY(l, struct unit, in_home);

			if (strcmp(u->owner, e->uuid) == 0 || strcmp(u->previous, e->uuid) == 0)
				mark(p, h);
		}
	}
	p->retry = true;
}

void placement_forget(struct placement *p, const struct engine *e)
{
	LIST_FOREACH(a, &p->all_homes) {
		struct home *h = LIST_ENTRY(a, struct home, in_all);

		LIST_FOREACH(l, &h->units) {
			struct unit *u = LIST_ENTRY(l, struct unit, in_home);

			if (strcmp(u->owner, e->uuid) == 0) {
				u->weight = 0; /* the load went with the engine */
				mark(p, h);
			}
		}
		LIST_FOREACH(b, &h->services)
			assignment_without(p, LIST_ENTRY(b, struct service, in_home), e);
	}
}

void placement_service_said(struct placement *p, const char *vs)
{
	struct service *s = service_find(p, vs);

	if (s && s->home)
		mark(p, s->home);
}

struct placement *placement_new(struct fleet *f)
{
	struct placement *p = xcalloc(1, sizeof(*p));

	p->fleet = f;
	p->store = f->store;
	list_init(&p->all_homes);
	list_init(&p->marked);
	store_each(p->store, "virtualservice", service_seen, p);
	p->all = true;
	return p;
}

void placement_free(struct placement *p)
{
	if (!p)
		return;
	LIST_FOREACH(a, &p->all_homes) {
		struct home *h = LIST_ENTRY(a, struct home, in_all);

		LIST_FOREACH(b, &h->services)
			service_free(p, LIST_ENTRY(b, struct service, in_home));
		home_free(p, h, false);
	}
	table_fini(&p->homes);
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
	for (size_t i = 0; *uuid && i < r->n_engines; i++)
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

/* What the first enabled service says of all: group and cloud; those of other groups are odd. */
static struct service *first_of(struct home *h)
{
	struct service *first = NULL;

	LIST_FOREACH(l, &h->services) {
		struct service *s = LIST_ENTRY(l, struct service, in_home);

		if (!first || (s->enabled && !first->enabled))
			first = s;
	}
	LIST_FOREACH(l, &h->services) {
		struct service *s = LIST_ENTRY(l, struct service, in_home);

		s->odd = strcmp(s->group, first->group) != 0;
		if (!s->odd)
			continue;
		snprintf(
			s->odd_reason, sizeof(s->odd_reason),
			"it shares its addresses with %.96s, which belongs to another service engine group",
			first->name);
		text_clean(s->odd_reason);
	}
	return first;
}

/* Does the owner say that another host answers for this VIP? */
static bool is_contested(const struct service *s, const struct unit *u, const struct engine *owner)
{
	const json_t *said = json_object_get(owner->services, s->uuid),
		     *vip = json_object_get(json_object_get(said, "vips"), u->vip_id);

	return strcmp(json_str(vip ? vip : said, "state", ""), "OPER_PARTITIONED") == 0;
}

static void run_home(struct placement *p, struct run *r, struct home *h, size_t site)
{
	const struct object *vsvip = store_get(p->store, "vsvip", h->vsvip);
	const struct service *first = first_of(h);
	const struct object *group = store_get(p->store, "serviceenginegroup", first->group);
	struct place_unit all = {
		.site = site,
		.group = first->group,
		.cloud = first->cloud,
		.algo = group && strcmp(json_str(group->body, "algo", ""),
					"PLACEMENT_ALGO_DISTRIBUTED") == 0
				? PLACE_DISTRIBUTED
				: PLACE_PACKED,
		.max_load = group ? (unsigned)json_int(group->body, "max_vs_per_se", 10) : 10,
		.max_spread = group ? (unsigned)json_int(group->body, "max_scaleout_per_vs", 4) : 4,
	};

	LIST_FOREACH(l, &h->services) {
		const struct service *s = LIST_ENTRY(l, struct service, in_home);

		if (s->odd)
			continue;
		all.weight++;
		reach_pools(p->store, store_get(p->store, "virtualservice", s->uuid), &all.reach,
			    &all.n_reach, &r->arena);
	}
	h->reaches = all.n_reach;
	LIST_FOREACH(l, &h->units) {
		struct unit *u = LIST_ENTRY(l, struct unit, in_home);
		struct place_unit *out = &r->place_units[r->n_units];
		struct place_address *addresses = arena_get(&r->arena, 2 * sizeof(*addresses));
		struct reach_address *found;

		*out = all;
		out->enabled = first->enabled &&
			       json_bool(reach_vip(vsvip, u->vip_id), "enabled", true);
		out->n_addresses = reach_addresses(p->store, vsvip, u->vip_id, &found, &r->arena);
		for (size_t i = 0; i < out->n_addresses; i++)
			addresses[i] = found[i].place;
		out->addresses = addresses;
		out->owner = engine_index(r, u->owner);
		out->previous = engine_index(r, u->previous);
		out->term = u->term;
		out->leave = u->leave;
		out->wish = engine_index(r, u->wish);
		u->handed = u->handed && out->previous != PLACE_NOBODY &&
			    r->engines[out->previous]->life == PLACE_ALIVE;
		LIST_FOREACH(k, &h->services)
			out->contested = out->contested ||
					 (out->owner != PLACE_NOBODY && !u->handed &&
					  is_contested(LIST_ENTRY(k, struct service, in_home), u,
						       r->engines[out->owner]));
		/* place_decide() counts the owner's load of the units that it is given. */
		if (out->owner != PLACE_NOBODY)
			r->places[out->owner].load -= u->weight;
		r->units[r->n_units++] = u;
	}
}

static bool moved(const struct run *r, size_t i)
{
	return r->decisions[i].owner != r->place_units[i].owner;
}

/* The new owners into the store, all at once. False: nothing may be told to anybody. */
static bool keep(struct placement *p, const struct run *r, struct err *e)
{
	struct txn *t = NULL;
	int rc = 0;

	for (size_t i = 0; i < r->n_units && rc == 0; i++) {
		const struct place_decision *d = &r->decisions[i];
		CLEANUP_JSON json_t *kept = NULL;
		CLEANUP_FREE char *text = NULL, *key = NULL;

		if (!moved(r, i))
			continue;
		kept = json_pack("{s:s, s:s, s:I}", "owner", r->engines[d->owner]->uuid, "previous",
				 r->units[i]->owner, "term", (json_int_t)d->term);
		text = json_text(kept);
		if (!t)
			t = txn_begin(p->store);
		key = key_of(r->units[i]);
		rc = txn_set(t, SPACE, key, text, e);
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

/* " (VIP 2)" where there are several. */
static const char *which_vip(const struct unit *u, char out[static 64])
{
	out[0] = '\0';
	if (u->home->units.next != u->home->units.prev)
		snprintf(out, 64, " (VIP %.40s)", u->vip_id);
	text_clean(out);
	return out;
}

static void tell_decision(struct placement *p, const struct run *r, size_t i,
			  const struct service *s)
{
	const struct unit *u = r->units[i];
	const struct place_decision *d = &r->decisions[i];
	const struct engine *now = d->owner == PLACE_NOBODY ? NULL : r->engines[d->owner];
	size_t was = r->place_units[i].owner;
	char text[1024], vip[64];

	which_vip(u, vip);
	if (moved(r, i) && was == PLACE_NOBODY) {
		snprintf(text, sizeof(text), "Service engine %s carries %s%s, term %llu.",
			 now->name, s->name, vip, (unsigned long long)d->term);
		tell(p, s, "VS_ADD_SE", "VSMGR", text);
	} else if (moved(r, i)) {
		snprintf(text, sizeof(text), "%s%s moves from service engine %s to %s, term %llu.",
			 s->name, vip, r->engines[was]->name, now->name,
			 (unsigned long long)d->term);
		tell(p, s, "VS_SWITCHOVER", "VSMGR", text);
	}
	if (u->decided && u->last.verdict == d->verdict && strcmp(u->last.reason, d->reason) == 0)
		return;
	if (d->verdict == PLACE_NONE) {
		snprintf(text, sizeof(text), "No service engine can carry %s%s: %s.", s->name, vip,
			 d->reason);
		tell(p, s, "VS_FSM_AWAITING_SE_ASSIGNMENT", "VSMGR", text);
	} else if (d->verdict == PLACE_WAITS && now->life == PLACE_ALIVE) {
		snprintf(text, sizeof(text), "%s.", d->reason);
		tell(p, s, "VS_FAULT", "VSMGR", text);
	} else if (d->verdict == PLACE_OK && (was == PLACE_NOBODY || (u->decided && (u->last.verdict == PLACE_NONE ||
											u->last.verdict == PLACE_OFF)))) {
		snprintf(text, sizeof(text), "%s%s is active on service engine %s.", s->name, vip, now->name);
		tell(p, s, "VS_FSM_ACTIVE", "VSMGR", text);
	} else if (d->verdict == PLACE_OFF && u->decided && !s->enabled) {
		tell(p, s, "VS_FSM_DISABLED", "VSMGR", "The virtual service was disabled.");
	}
}

static void carry_out_unit(struct placement *p, struct run *r, size_t i)
{
	struct unit *u = r->units[i];
	const struct place_decision *d = &r->decisions[i];
	size_t was = r->place_units[i].owner;
	unsigned had = u->weight;
	struct engine *owner = d->owner == PLACE_NOBODY ? NULL : r->engines[d->owner];

	LIST_FOREACH(l, &u->home->services)
		tell_decision(p, r, i, LIST_ENTRY(l, struct service, in_home));
	unload(p, u);
	if (moved(r, i)) {
		u->handed = was != PLACE_NOBODY && r->engines[was]->life == PLACE_ALIVE;
		set(&u->previous, u->owner);
		set(&u->owner, owner->uuid);
		u->term = d->term;
	}
	u->weight = owner ? r->place_units[i].weight : 0;
	for (size_t k = i; k-- > 0 && r->place_units[k].site == r->place_units[i].site;)
		if (r->decisions[k].owner == d->owner)
			u->weight = 0; /* counted with the other VIP */
	if (owner)
		owner->load += u->weight;
	/* What others found full may have room now. */
	p->retry = p->retry || (had && (moved(r, i) || u->weight < had));
	u->last = *d;
	u->decided = true;
}

static void carry_out(struct placement *p, struct run *r)
{
	for (size_t i = 0; i < r->n_units; i++)
		carry_out_unit(p, r, i);
	for (size_t i = 0; i < r->n_units; i++) {
		struct home *h = r->units[i]->home;

		if (i && r->units[i - 1]->home == h)
			continue;
		LIST_FOREACH(l, &h->services)
			assignment_follow(p, LIST_ENTRY(l, struct service, in_home));
	}
}

static bool found_none(const struct home *h)
{
	LIST_FOREACH(l, &((struct home *)h)->units) {
		const struct unit *u = LIST_ENTRY(l, struct unit, in_home);

		if (u->decided && u->last.verdict == PLACE_NONE)
			return true;
	}
	return false;
}

void placement_run(struct placement *p)
{
	struct run r = { .arena = ARENA_INIT };
	struct err why = { 0 };
	size_t n = 0, site = 0;

	LIST_FOREACH(l, &p->all_homes) {
		struct home *h = LIST_ENTRY(l, struct home, in_all);

		if (p->all || (p->retry && found_none(h)))
			mark(p, h);
		else if (!p->retry)
			break;
	}
	p->all = p->retry = false;
	if (list_empty(&p->marked))
		return;
	LIST_FOREACH(l, &p->marked) {
		struct home *h = LIST_ENTRY(l, struct home, marked);

		/*
		 * Nobody is on it any more. Its owners and terms stay in the store as long as the
		 * vsvip is there.
		 */
		if (list_empty(&h->services)) {
			home_free(p, h, !store_get(p->store, "vsvip", h->vsvip));
			continue;
		}
		home_follow(p, h);
		LIST_FOREACH(k, &h->units)
			n++;
	}
	run_engines(p, &r);
	r.units = arena_get(&r.arena, (n + 1) * sizeof(*r.units));
	r.place_units = arena_get(&r.arena, (n + 1) * sizeof(*r.place_units));
	r.decisions = xcalloc(n + 1, sizeof(*r.decisions));
	LIST_FOREACH(l, &p->marked) {
		struct home *h = LIST_ENTRY(l, struct home, marked);

		list_remove(&h->marked);
		run_home(p, &r, h, ++site);
	}
	place_decide(&(struct place_snapshot){ r.places, r.n_engines, r.place_units, r.n_units },
		     r.decisions);
	if (keep(p, &r, &why)) {
		p->stuck = false;
		carry_out(p, &r);
	} else {
		not_kept(p, &r, &why);
	}
	free(r.decisions);
	arena_fini(&r.arena);
	if (p->retry)
		fleet_settle(p->fleet);
}

/* ---- an operator's word ---------------------------------------------- */

int placement_move(struct placement *p, const char *vs, const char *vip_id, const char *to,
		   struct err *e)
{
	struct service *s = service_find(p, vs);
	struct unit *u;
	uint64_t term;

	placement_run(p);
	if (!s || !s->home)
		return err_set(e, -EINVAL, NULL, "It was not placed yet.");
	if (!vip_id && s->home->units.next != s->home->units.prev)
		return err_set(e, -EINVAL, "vip_id", "It has several VIPs: say which one.");
	u = vip_id ? unit_find(s->home, vip_id) : LIST_ENTRY(s->home->units.next, struct unit, in_home);
	if (!u)
		return err_set(e, -EINVAL, "vip_id", "It has no VIP '%.60s'.", vip_id);
	if (!*u->owner || u->last.verdict != PLACE_OK)
		return err_set(e, -EINVAL, NULL, "It is not carried by a service engine now%s%s.",
			       *u->last.reason ? ": " : "", u->last.reason);
	if (to && strcmp(u->owner, to) == 0)
		return 0;
	if (to && !fleet_engine(p->fleet, to))
		return err_set(e, -EINVAL, NULL, "There is no such service engine.");
	term = u->term;
	u->leave = true;
	set(&u->wish, to ? to : "");
	mark(p, s->home);
	placement_run(p);
	u = unit_find(s->home, vip_id ? vip_id : u->vip_id);
	u->leave = false;
	if (u->term != term)
		return 0;
	return err_set(e, -EINVAL, NULL, "It stays where it is: %s.",
		       *u->last.against ? u->last.against : u->last.reason);
}

int placement_leave(struct placement *p, const char *engine, size_t *moved, struct err *e)
{
	const char *stays = "It carries no virtual service.";
	CLEANUP_FREE char *reason = NULL;
	size_t n = 0;

	placement_run(p);
	for (int after = 0; after < 2; after++) {
		LIST_FOREACH(a, &p->all_homes) {
			struct home *h = LIST_ENTRY(a, struct home, in_all);

			LIST_FOREACH(l, &h->units) {
				struct unit *u = LIST_ENTRY(l, struct unit, in_home);

				if (!after && (strcmp(u->owner, engine) != 0 || u->last.verdict != PLACE_OK))
					continue;
				if (!after) {
					u->leave = true;
					set(&u->wish, "");
					mark(p, h);
				} else if (u->leave) {
					u->leave = false;
					n += strcmp(u->owner, engine) != 0;
					if (strcmp(u->owner, engine) == 0 && !reason)
						reason = xstrdup(*u->last.against ? u->last.against : u->last.reason);
				}
			}
		}
		if (!after)
			placement_run(p);
	}
	*moved = n;
	if (n)
		return 0;
	return reason ? err_set(e, -EINVAL, NULL, "What it carries stays: %s.", reason) : err_set(e, -EINVAL, NULL, "%s", stays);
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

bool placement_of(struct placement *p, const char *vs, const char *vip_id, struct placed *out)
{
	struct service *s = service_find(p, vs);
	const struct unit *u = s && s->home ? unit_find(s->home, vip_id) : NULL;

	if (s && s->home && !u && !list_empty(&s->home->units) && !*vip_id)
		u = LIST_ENTRY(s->home->units.next, struct unit, in_home);
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
