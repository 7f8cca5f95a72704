#include "controller/derived.h"

#include <errno.h>

#include "base/base.h"

void derived_fini(struct derived *d)
{
	json_decref(d->body);
	d->body = NULL;
}

static const struct object *make_up(const struct kind_desc *k, const struct object *base,
				    struct derived *d)
{
	static const char *const taken_over[] = { "name", "tenant_ref", "cloud_ref" };

	derived_fini(d);
	d->o = *base;
	d->o.kind = k;
	d->o.system = false;
	d->o.body = d->body = json_pack("{s:s}", "uuid", base->uuid);
	for (size_t i = 0; i < ARRAY_SIZE(taken_over); i++)
		json_object_set(d->body, taken_over[i],
				json_object_get(base->body, taken_over[i]));
	return &d->o;
}

const struct object *derived_get(struct store *s, const struct kind_desc *k, const char *uuid,
				 struct derived *d)
{
	const struct object *o = store_get(s, k->path, uuid), *base;

	if (o || !k->of)
		return o;
	base = store_get(s, k->of, uuid);
	return base ? make_up(k, base, d) : NULL;
}

struct each {
	struct store *store;
	const struct kind_desc *kind;
	int (*f)(void *arg, const struct object *o);
	void *arg;
};

static int beside(void *arg, const struct object *base)
{
	struct each *x = arg;
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o = store_get(x->store, x->kind->path, base->uuid);

	return x->f(x->arg, o ? o : make_up(x->kind, base, &d));
}

int derived_each(struct store *s, const struct kind_desc *k,
		 int (*f)(void *arg, const struct object *o), void *arg)
{
	struct each x = { s, k, f, arg };

	return k->of ? store_each(s, k->of, beside, &x) : store_each(s, k->path, f, arg);
}

int derived_write(struct store *s, struct txn *t, const struct object *o, json_t *body,
		  uint64_t expect_us, struct err *e)
{
	const struct kind_desc *k = o->kind;
	bool stored = store_get(s, k->path, o->uuid) != NULL;

	if (!k->of)
		return txn_update(t, k, o->uuid, body, expect_us, e);
	json_object_set_new(body, "name", json_string(o->name));
	if (!model_is_default(k, body))
		return stored ? txn_update(t, k, o->uuid, body, expect_us, e)
			      : txn_create(t, k, o->uuid, o->tenant, o->cloud, body, o->system, e);
	return stored ? txn_delete(t, k, o->uuid, e) : 0;
}

int derived_follow(struct store *s, struct txn *t, const struct kind_desc *base, const char *uuid,
		   struct err *e)
{
	const struct object *above = store_get(s, base->path, uuid), *o;
	int rc = 0;

	for (size_t i = 0; rc == 0 && i < model_n_kinds; i++) {
		const struct kind_desc *k = model_kinds[i];
		CLEANUP_JSON json_t *body = NULL;

		if (!k->of || strcmp(k->of, base->path) != 0)
			continue;
		o = store_get(s, k->path, uuid);
		if (!o || (above && strcmp(o->name, above->name) == 0))
			continue;
		if (!above) {
			rc = txn_delete(t, k, uuid, e);
			continue;
		}
		body = json_copy((json_t *)o->body);
		json_object_set_new(body, "name", json_string(above->name));
		rc = txn_update(t, k, uuid, body, 0, e);
	}
	return rc;
}
