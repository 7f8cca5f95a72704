#include "controller/store/shelf.h"

#include "base/base.h"

struct shelf *shelf_of(struct shelves *s, const char *kind)
{
	for (size_t i = 0; i < model_n_kinds; i++)
		if (s->of[i].kind->path == kind || !strcmp(s->of[i].kind->path, kind))
			return &s->of[i];
	return NULL;
}

struct slot *slot_find(struct shelves *s, const char *kind, const char *uuid)
{
	uint64_t hash = table_hash(table_hash(TABLE_SEED, kind), uuid);

	for (struct table_link *l = table_first(&s->ids, hash); l; l = table_next(l)) {
		struct slot *slot = CONTAINER_OF(l, struct slot, by_id);

		if (!strcmp(slot->uuid, uuid) && !strcmp(slot->shelf->kind->path, kind))
			return slot;
	}
	return NULL;
}

static struct slot *slot_pin(struct shelves *s, struct shelf *shelf, const char *uuid)
{
	struct slot *slot = slot_find(s, shelf->kind->path, uuid);
	size_t size = strlen(uuid) + 1;

	if (!slot) {
		slot = xcalloc(1, sizeof(*slot) + size);
		memcpy(slot->uuid, uuid, size);
		slot->shelf = shelf;
		list_init(&slot->in_shelf);
		list_init(&slot->referrers);
		table_put(&s->ids, &slot->by_id,
			  table_hash(table_hash(TABLE_SEED, shelf->kind->path), uuid));
	}
	slot->pins++;
	return slot;
}

static void slot_unpin(struct shelves *s, struct slot *slot)
{
	if (--slot->pins)
		return;
	must(!slot->held && list_empty(&slot->referrers) && list_empty(&slot->in_shelf));
	table_take(&s->ids, &slot->by_id);
	free(slot);
}

const char *name_of(const json_t *body)
{
	return json_str(body, "name", "");
}

/* What goes along a walk over the references of an object. */
struct collect {
	struct shelves *s;
	struct held *h;
};

static int collect_ref(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct collect *c = arg;
	struct held *h = c->h;
	struct shelf *shelf = shelf_of(c->s, kind);
	(void)path;

	if (!shelf || !*uuid)
		return 0;
	h->refs = one_more(h->refs, h->n_refs, sizeof(*h->refs));
	h->refs[h->n_refs++] = (struct ref){ .from = h, .target = slot_pin(c->s, shelf, uuid) };
	return 0;
}

struct held *held_make(struct shelves *s, struct shelf *shelf, const char *uuid, const char *tenant,
		       const char *cloud, const json_t *body)
{
	struct held *h = xcalloc(1, sizeof(*h));
	struct collect c = { s, h };

	h->slot = slot_pin(s, shelf, uuid);
	h->name = xstrdup(name_of(body));
	h->tenant = xstrdup(tenant ? tenant : "");
	h->cloud = xstrdup(cloud ? cloud : "");
	/* The count of references is the one thing in it that changes. */
	h->body = json_incref((json_t *)body);
	h->o = (struct object){ .kind = shelf->kind,
				.uuid = h->slot->uuid,
				.name = h->name,
				.tenant = h->tenant,
				.cloud = h->cloud,
				.body = h->body };
	/*
	 * Belonging is a reference like any other: a tenant or cloud with objects in it cannot be
	 * deleted.
	 */
	collect_ref(&c, "tenant_ref", "tenant", h->tenant);
	collect_ref(&c, "cloud_ref", "cloud", h->cloud);
	model_refs(shelf->kind, body, collect_ref, &c);
	return h;
}

void held_free(struct shelves *s, struct held *h)
{
	for (size_t i = 0; i < h->n_refs; i++)
		slot_unpin(s, h->refs[i].target);
	slot_unpin(s, h->slot);
	json_decref(h->body);
	free(h->refs);
	free(h->name);
	free(h->tenant);
	free(h->cloud);
	free(h);
}

/*
 * An object that refers to the same target twice is in its list once: it would be the last one
 * there.
 */
static bool is_listed(const struct ref *r)
{
	return !list_empty(&r->target->referrers) &&
	       LIST_ENTRY(r->target->referrers.prev, struct ref, in_target)->from == r->from;
}

void held_enter(struct shelves *s, struct held *h)
{
	h->slot->held = h;
	table_put(&s->names, &h->by_name,
		  table_hash(table_hash(TABLE_SEED, h->o.kind->path), h->name));
	for (size_t i = 0; i < h->n_refs; i++) {
		struct ref *r = &h->refs[i];

		list_init(&r->in_target);
		if (is_listed(r))
			continue;
		list_insert(&r->target->referrers, &r->in_target);
		r->target->n_referrers++;
	}
}

void held_leave(struct shelves *s, struct held *h)
{
	h->slot->held = NULL;
	table_take(&s->names, &h->by_name);
	for (size_t i = 0; i < h->n_refs; i++) {
		struct ref *r = &h->refs[i];

		if (list_empty(&r->in_target))
			continue;
		list_remove(&r->in_target);
		r->target->n_referrers--;
	}
}

void shelve(struct slot *slot, struct list *before)
{
	list_insert(before, &slot->in_shelf);
	slot->shelf->n++;
}

void unshelve(struct slot *slot)
{
	list_remove(&slot->in_shelf);
	slot->shelf->n--;
}

struct held *held_find(struct shelves *s, const char *kind, const char *tenant, const char *cloud,
		       const char *name)
{
	uint64_t hash = table_hash(table_hash(TABLE_SEED, kind), name);

	for (struct table_link *l = table_first(&s->names, hash); l; l = table_next(l)) {
		struct held *h = CONTAINER_OF(l, struct held, by_name);

		if (!strcmp(h->name, name) && !strcmp(h->o.kind->path, kind) &&
		    (!tenant || !strcmp(h->tenant, tenant)) && (!cloud || !strcmp(h->cloud, cloud)))
			return h;
	}
	return NULL;
}

void shelves_init(struct shelves *s)
{
	*s = (struct shelves){ .of = xcalloc(model_n_kinds, sizeof(*s->of)) };
	for (size_t i = 0; i < model_n_kinds; i++) {
		s->of[i].kind = model_kinds[i];
		list_init(&s->of[i].slots);
	}
}

void shelves_fini(struct shelves *s)
{
	for (size_t i = 0; i < model_n_kinds; i++) {
		LIST_FOREACH(l, &s->of[i].slots) {
			struct slot *slot = LIST_ENTRY(l, struct slot, in_shelf);
			struct held *h = slot->held;

			held_leave(s, h);
			unshelve(slot);
			held_free(s, h);
		}
	}
	table_fini(&s->ids);
	table_fini(&s->names);
	free(s->of);
}
