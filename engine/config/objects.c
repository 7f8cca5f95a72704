#include "engine/config/objects.h"

#include "base/base.h"

static uint64_t hash_of(const char *kind, const char *uuid)
{
	return table_hash(table_hash(TABLE_SEED, kind), uuid);
}

struct object *objects_find(const struct objects *o, const char *kind, const char *uuid)
{
	if (!uuid)
		return NULL;
	for (struct table_link *l = table_first(&o->table, hash_of(kind, uuid)); l; l = table_next(l)) {
		struct object *one = CONTAINER_OF(l, struct object, link);

		if (strcmp(one->uuid, uuid) == 0 && strcmp(one->kind->path, kind) == 0)
			return one;
	}
	return NULL;
}

void objects_init(struct objects *o)
{
	*o = (struct objects){ .table = TABLE_INIT };
	list_init(&o->changed);
}

void objects_fini(struct objects *o)
{
	objects_settle(o);
	for (size_t i = 0; i < o->table.size; i++)
		while (o->table.heads[i]) {
			struct object *one = CONTAINER_OF(o->table.heads[i], struct object, link);

			must(one->refs == 1);
			part_put(one->part);
			one->part = NULL;
			object_put(o, one);
		}
	table_fini(&o->table);
}

struct object *object_of(struct objects *o, const char *kind, const char *uuid)
{
	struct object *one;
	const struct kind_desc *k;

	if (!uuid || !*uuid)
		return NULL;
	one = objects_find(o, kind, uuid);
	if (one)
		return object_get(one);
	k = kind_find(kind);
	if (!k)
		return NULL;
	one = xcalloc(1, sizeof(*one) + strlen(uuid) + 1);
	one->refs = 1;
	one->kind = k;
	memcpy(one->uuid, uuid, strlen(uuid) + 1);
	list_init(&one->news);
	table_put(&o->table, &one->link, hash_of(kind, uuid));
	return one;
}

struct object *object_get(struct object *one)
{
	one->refs++;
	return one;
}

void object_put(struct objects *o, struct object *one)
{
	if (!one || --one->refs)
		return;
	table_take(&o->table, &one->link);
	free(one);
}

/* It is PART now. */
static void turn(struct objects *o, const char *kind, const char *uuid, struct part *part)
{
	struct object *one = object_of(o, kind, uuid);

	if (!one) {
		part_put(part);
		return;
	}
	/* One reference, ours, is there while it is here or has news. */
	if (one->part || object_changed(one))
		object_put(o, one);
	if (!object_changed(one))
		list_insert(&o->changed, &one->news);
	part_put(one->part);
	one->part = part;
}

void objects_put(struct objects *o, const char *kind, const char *uuid, const json_t *value)
{
	const struct kind_desc *k = kind_find(kind);
	struct part *part;

	if (!k)
		return;
	part = part_new();
	part->object = model_load(k->msg, value, &part->arena);
	turn(o, kind, uuid, part);
}

void objects_delete(struct objects *o, const char *kind, const char *uuid)
{
	turn(o, kind, uuid, NULL);
}

void objects_settle(struct objects *o)
{
	while (!list_empty(&o->changed)) {
		struct object *one = LIST_ENTRY(o->changed.next, struct object, news);

		list_remove(&one->news);
		if (!one->part)
			object_put(o, one);
	}
}

struct object *needs_add(struct needs *needs, struct objects *o, const char *kind, const char *uuid)
{
	struct object *one = object_of(o, kind, uuid);

	if (!one)
		return NULL;
	if (needs->n == needs->room) {
		needs->room = needs->room * 2 + 4;
		needs->at = xrealloc(needs->at, needs->room * sizeof(needs->at[0]));
	}
	return needs->at[needs->n++] = one;
}

bool needs_changed(const struct needs *needs)
{
	for (size_t i = 0; i < needs->n; i++)
		if (object_changed(needs->at[i]))
			return true;
	return false;
}

void needs_clear(struct needs *needs, struct objects *o)
{
	for (size_t i = 0; i < needs->n; i++)
		object_put(o, needs->at[i]);
	needs->n = 0;
}

void needs_fini(struct needs *needs, struct objects *o)
{
	needs_clear(needs, o);
	free(needs->at);
	*needs = (struct needs){ 0 };
}
