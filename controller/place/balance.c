#include "controller/place/balance.h"

#include "base/base.h"
#include "base/json.h"
#include "controller/link/fleet.h"
#include "controller/place/place.h"
#include "controller/resolve.h"

/* A VIP of a vsvip, which all services on it share. */
struct carried {
	char *vsvip, *vs, *vip; /* VS: one of its services */
	struct engine *owner;
	unsigned weight;
};

struct balance {
	struct fleet *fleet;
	const char *group;
	json_t *seen; /* "vsvip/vip_id" -> index in all */
	struct carried *all;
	size_t n, size;
};

static void note_vip(struct balance *b, const struct object *vs, const struct object *vsvip, const char *vip)
{
	CLEANUP_FREE char *key = xasprintf("%s/%s", vsvip->uuid, vip);
	const json_t *had = json_object_get(b->seen, key);
	struct placed at;

	if (had) {
		b->all[json_integer_value(had)].weight++;
		return;
	}
	if (!placement_of(b->fleet->placement, vs->uuid, vip, &at) || !at.owner || at.verdict != PLACE_OK ||
	    strcmp(at.owner->group, b->group) != 0)
		return;
	if (b->n == b->size) {
		b->size = b->size ? 2 * b->size : 64;
		b->all = xrealloc(b->all, b->size * sizeof(b->all[0]));
	}
	json_object_set_new(b->seen, key, json_integer((json_int_t)b->n));
	b->all[b->n++] = (struct carried){ xstrdup(vsvip->uuid), xstrdup(vs->uuid), xstrdup(vip), at.owner, 1 };
}

static int note_service(void *arg, const struct object *vs)
{
	struct balance *b = arg;
	const struct object *vsvip =
		store_get(b->fleet->store, "vsvip", ref_target(json_str(vs->body, "vsvip_ref", NULL)));
	json_t *v;
	size_t i;

	json_array_foreach(vsvip ? json_object_get(vsvip->body, "vip") : NULL, i, v)
		note_vip(b, vs, vsvip, json_str(v, "vip_id", ""));
	return 0;
}

static unsigned load_of(const struct balance *b, const struct engine *e)
{
	unsigned sum = 0;

	for (size_t i = 0; i < b->n; i++)
		sum += b->all[i].owner == e ? b->all[i].weight : 0;
	return sum;
}

static bool has_sister(const struct balance *b, const struct engine *e, const struct carried *c)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->all[i].owner == e && strcmp(b->all[i].vsvip, c->vsvip) == 0)
			return true;
	return false;
}

/* The emptiest engine that C makes the group more even on; of equals the first in the fleet. */
static struct engine *better(const struct balance *b, const struct carried *c)
{
	unsigned least = load_of(b, c->owner);
	struct engine *best = NULL;

	LIST_FOREACH(l, &b->fleet->engines) {
		struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);
		unsigned load;

		if (strcmp(e->group, b->group) != 0 || e->life != PLACE_ALIVE || e->use != PLACE_ENABLED || has_sister(b, e, c))
			continue;
		load = load_of(b, e) + c->weight;
		if (load < least) {
			least = load;
			best = e;
		}
	}
	return best;
}

size_t balance_group(struct fleet *f, const char *group)
{
	struct balance b = { .fleet = f, .group = group, .seen = json_object() };
	size_t moved = 0;

	store_each(f->store, "virtualservice", note_service, &b);
	for (size_t i = 0; i < b.n && moved < BALANCE_MAX; i++) {
		struct carried *c = &b.all[i];
		struct engine *to = better(&b, c);
		struct err e;

		/* What cannot go there, stays: another one may fit. */
		if (!to || placement_move(f->placement, c->vs, c->vip, to->uuid, &e) < 0)
			continue;
		c->owner = to;
		moved++;
	}
	for (size_t i = 0; i < b.n; i++) {
		free(b.all[i].vsvip);
		free(b.all[i].vs);
		free(b.all[i].vip);
	}
	free(b.all);
	json_decref(b.seen);
	return moved;
}
