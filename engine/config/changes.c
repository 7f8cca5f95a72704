#include "engine/config/changes.h"

#include "base/base.h"
#include "engine/link/link.h"
#include "model/model.h"

struct changes {
	json_t *objects;   /* "kind/uuid" -> true */
	json_t *revisions; /* "kind/uuid" -> revision, of all that are held */
};

struct changes *changes_new(void)
{
	struct changes *c = xcalloc(1, sizeof(*c));

	c->objects = json_object();
	c->revisions = json_object();
	return c;
}

void changes_free(struct changes *c)
{
	if (!c)
		return;
	json_decref(c->objects);
	json_decref(c->revisions);
	free(c);
}

static char *key_of(const char *kind, const char *uuid)
{
	return xasprintf("%s/%s", kind, uuid);
}

void changes_put(struct changes *c, const char *kind, const char *uuid, uint64_t revision)
{
	CLEANUP_FREE char *key = key_of(kind, uuid);

	json_object_set_new(c->objects, key, json_true());
	json_object_set_new(c->revisions, key, json_integer((json_int_t)revision));
}

void changes_gone(struct changes *c, const char *kind, const char *uuid)
{
	CLEANUP_FREE char *key = key_of(kind, uuid);

	json_object_set_new(c->objects, key, json_true());
	json_object_del(c->revisions, key);
}

void changes_clear(struct changes *c)
{
	json_object_clear(c->objects);
}

bool changes_none(const struct changes *c)
{
	return json_object_size(c->objects) == 0;
}

bool changes_any(const struct changes *c, const char *kind)
{
	size_t n = strlen(kind);
	const char *key;
	json_t *v;

	json_object_foreach(c->objects, key, v)
		if (strncmp(key, kind, n) == 0 && key[n] == '/')
			return true;
	return false;
}

bool changes_one(const struct changes *c, const char *kind, const char *uuid)
{
	CLEANUP_FREE char *key = key_of(kind, uuid);

	return json_object_get(c->objects, key) != NULL;
}

void changes_each(struct changes *c, void (*f)(void *arg, const char *kind, const char *uuid), void *arg)
{
	const char *key;
	json_t *v;

	json_object_foreach(c->objects, key, v) {
		const char *slash = strchr(key, '/');
		CLEANUP_FREE char *kind = xstrndup(key, (size_t)(slash - key));

		f(arg, kind, slash + 1);
	}
}

struct newest {
	const struct changes *changes;
	const struct link *link;
	uint64_t revision;
	json_t *made_of;
};

static int newest_of(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct newest *n = arg;
	CLEANUP_FREE char *key = key_of(kind, uuid);
	const json_t *o = link_object(n->link, kind, uuid);
	uint64_t revision = (uint64_t)json_int(n->changes->revisions, key, 0);

	(void)path;
	n->revision = MAX(n->revision, revision);
	if (json_object_get(n->made_of, key))
		return 0;
	json_object_set_new(n->made_of, key, json_true());
	if (o && (strcmp(kind, "pool") == 0 || strcmp(kind, "networksecuritypolicy") == 0))
		model_refs(kind_find(kind), o, newest_of, n);
	return 0;
}

uint64_t changes_newest(const struct changes *c, const struct link *k, const char *uuid, json_t **made_of)
{
	struct newest n = { .changes = c, .link = k, .made_of = json_object() };
	const json_t *o = link_object(k, "virtualservice", uuid);

	newest_of(&n, "", "virtualservice", uuid);
	if (o)
		model_refs(kind_find("virtualservice"), o, newest_of, &n);
	json_decref(*made_of);
	*made_of = n.made_of;
	return n.revision;
}

bool changes_concern(const struct changes *c, const json_t *made_of)
{
	const char *key;
	json_t *v;

	if (!made_of)
		return true;
	json_object_foreach((json_t *)made_of, key, v)
		if (json_object_get(c->objects, key))
			return true;
	return false;
}
