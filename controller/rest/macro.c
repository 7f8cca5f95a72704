/*
 * macro - POST, PUT and DELETE /api/macro: an object and what it refers to in one transaction.
 *
 * {"model_name": "VirtualService", "data": {..., "pool_ref_data": {...}}}: wherever a message has a
 * reference, the object that it is to refer to may stand beside it, under the reference's name with
 * "_data"; a list of references takes a list. Objects inside come first, so that whoever holds them
 * can refer to them; they go where their holder goes unless they say otherwise.
 *
 * An object with the uuid of one that exists replaces it; with PUT the name is enough.
 */
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"

struct macro {
	struct request *q;
	struct change change;
	json_t *made; /* [{"kind", "uuid"}], in the order in which they were written */
};

/* ---- the body --------------------------------------------------------------------------- */

/* "VirtualService", as the contract has it, or "virtualservice". */
static const struct kind_desc *model_named(const char *name)
{
	for (size_t i = 0; i < model_n_kinds; i++)
		if (strcasecmp(model_kinds[i]->msg->name, name) == 0 &&
		    !(model_kinds[i]->flags & K_RUNTIME))
			return model_kinds[i];
	return NULL;
}

/* Answers 400 when the body is no macro. */
static const struct kind_desc *body_kind(struct request *q, json_t **data)
{
	const char *name = json_str(q->json, "model_name", NULL);
	const struct kind_desc *k = name ? model_named(name) : NULL;

	*data = json_object_get(q->json, "data");
	if (!name)
		request_refuse(q, 400, "model_name: a macro names the kind of its object.");
	else if (!k)
		request_refuse(q, 400, "model_name: there are no objects of the kind '%.100s'.",
			       name);
	else if (!json_is_object(*data))
		request_refuse(q, 400, "data: a macro has an object here.");
	else
		return k;
	return NULL;
}

/* ---- writing ------------------------------------------------------------------------------ */

static int write_object(struct macro *m, const struct kind_desc *k, json_t *o, char *uuid,
			struct err *e);

/* V, beside a reference to an object of F's kind, is written; its reference comes out. */
static int write_inner(struct macro *m, const struct field_desc *f, const json_t *holder, json_t *v,
		       json_t **ref, struct err *e)
{
	static const char *const inherited[] = { "tenant_ref", "cloud_ref" };
	const struct kind_desc *k = kind_find(f->ref);
	char uuid[UUID_MAX] = "";
	int rc;

	if (!k)
		return err_set(e, -EINVAL, NULL, "%s objects do not exist yet.",
			       kind_spelling(f->ref));
	if (!json_is_object(v))
		return err_set(e, -EINVAL, NULL, "A %s is a JSON object.", k->msg->name);
	for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
		if (!json_object_get(v, inherited[i]) && json_object_get(holder, inherited[i]) &&
		    field_find(k->msg, inherited[i]))
			json_object_set(v, inherited[i], json_object_get(holder, inherited[i]));
	rc = write_object(m, k, v, uuid, e);
	if (rc == 0)
		*ref = json_sprintf("/api/%s/%s", k->path, uuid);
	return rc;
}

/* The references that a list holds besides the objects stay in front of them. */
static int write_beside(struct macro *m, const struct field_desc *f, const json_t *top, json_t *o,
			struct err *e)
{
	CLEANUP_FREE char *name = xasprintf("%s_data", f->name);
	CLEANUP_JSON json_t *data = json_incref(json_object_get(o, name));
	json_t *v, *ref = NULL, *list;
	size_t i;
	int rc = 0;

	if (!data)
		return 0;
	json_object_del(o, name);
	if (!f->list) {
		rc = write_inner(m, f, top, data, &ref, e);
		if (rc < 0)
			err_within(e, name);
		else
			json_object_set_new(o, f->name, ref);
		return rc;
	}
	if (!json_is_array(data))
		return err_set(e, -EINVAL, name, "A list of objects is wanted.");
	list = json_object_get(o, f->name);
	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(o, f->name, list);
	}
	json_array_foreach(data, i, v) {
		char at[32];

		rc = write_inner(m, f, top, v, &ref, e);
		if (rc < 0) {
			snprintf(at, sizeof(at), "[%zu]", i);
			err_within(e, at);
			err_within(e, name);
			return rc;
		}
		json_array_append_new(list, ref);
	}
	return 0;
}

/* All that stands beside references in a message. TOP: the object that it is part of. */
static int write_within(struct macro *m, const struct message_desc *msg, const json_t *top,
			json_t *o, struct err *e)
{
	int rc = 0;

	for (size_t i = 0; rc == 0 && json_is_object(o) && i < msg->n_fields; i++) {
		const struct field_desc *f = &msg->fields[i];
		json_t *v = json_object_get(o, f->name), *item;
		size_t j;

		if (f->type == FT_REF) {
			rc = write_beside(m, f, top, o, e);
			continue;
		}
		if (f->type != FT_MSG || !v)
			continue;
		if (!f->list) {
			rc = write_within(m, f->msg, top, v, e);
			if (rc < 0)
				err_within(e, f->name);
			continue;
		}
		json_array_foreach(v, j, item) {
			char at[32];

			rc = write_within(m, f->msg, top, item, e);
			if (rc == 0)
				continue;
			snprintf(at, sizeof(at), "[%zu]", j);
			err_within(e, at);
			err_within(e, f->name);
			break;
		}
	}
	return rc;
}

static const char *place_of(struct macro *m, const json_t *o, const char *field, const char *kind,
			    char uuid[static UUID_MAX])
{
	const char *ref = json_str(o, field, "");
	struct resolver r;

	resolver_init(&r, m->change.store, m->change.txn, m->change.by.tenant, "");
	return *ref && r.model.resolve(&r.model, kind, ref, uuid, UUID_MAX, NULL) == 0 ? uuid
											: NULL;
}

/* The object that O is about to replace; NULL: it is new. */
static const struct object *present(struct macro *m, const struct kind_desc *k, const json_t *o)
{
	const char *uuid = json_str(o, "uuid", ""), *tenant;
	const struct object *found = *uuid ? txn_get(m->change.txn, k->path, uuid) : NULL;
	char in_tenant[UUID_MAX], in_cloud[UUID_MAX];

	if (!found && m->q->method == METHOD_PUT) {
		tenant = place_of(m, o, "tenant_ref", "tenant", in_tenant);
		found = store_find(m->change.store, k->path,
				   !(k->flags & K_TENANT) ? NULL
				   : tenant		  ? tenant
							  : m->change.by.tenant,
				   place_of(m, o, "cloud_ref", "cloud", in_cloud),
				   json_str(o, "name", ""));
	}
	return found && auth_sees(m->q, found) ? found : NULL;
}

static int write_object(struct macro *m, const struct kind_desc *k, json_t *o, char *uuid,
			struct err *e)
{
	const struct object *old;
	int rc = write_within(m, k->msg, o, o, e);

	if (rc < 0)
		return rc;
	old = present(m, k, o);
	if (old) {
		snprintf(uuid, UUID_MAX, "%s", old->uuid);
		rc = change_update(&m->change, k, uuid, o, object_seen(o), e);
	} else {
		snprintf(uuid, UUID_MAX, "%s",
			 object_uuid_from_input(m->q) ? json_str(o, "uuid", "") : "");
		rc = change_create(&m->change, k, o, uuid, e);
	}
	if (rc == 0)
		json_array_append_new(m->made,
				      json_pack("{s:s, s:s}", "kind", k->path, "uuid", uuid));
	return rc;
}

static json_t *answer(struct macro *m, const struct kind_desc *k)
{
	json_t *out = json_array(), *one;
	struct view v;
	size_t i;

	view_init(&v, m->q, k, NULL);
	/* It says how the one object would be shown; here are several kinds. */
	v.join = v.subresources = v.fields = NULL;
	json_array_foreach(m->made, i, one) {
		const struct object *o = store_get(m->q->rest->c->store, json_str(one, "kind", ""),
						   json_str(one, "uuid", ""));

		/* An object that was written twice is shown once, as it is now. */
		for (size_t j = 0; o && j < i; j++)
			if (json_equal(json_array_get(m->made, j), one))
				o = NULL;
		if (o)
			json_array_append_new(out, view_object(&v, m->q, o));
	}
	return out;
}

enum result macro_write(struct request *q)
{
	json_t *data;
	const struct kind_desc *k = body_kind(q, &data);

	q->asked = true; /* change.c asks about each object */
	return k ? certificate_macro(q, k, data) : RESULT_NOW;
}

enum result macro_write_now(struct request *q)
{
	json_t *data;
	const struct kind_desc *k = body_kind(q, &data);
	struct change_by by = change_by(q);
	struct macro m = { .q = q };
	char uuid[UUID_MAX] = "";
	struct err e = { 0 };
	int rc;

	if (!k)
		return RESULT_NOW;
	m.made = json_array();
	change_begin(&m.change, q->rest->c->store, &by);
	rc = write_object(&m, k, data, uuid, &e);
	if (rc < 0)
		err_within(&e, "data");
	object_finish(q, &m.change, rc, &e);
	if (!q->status)
		request_json(q, q->method == METHOD_POST ? 201 : 200, answer(&m, k));
	json_decref(m.made);
	return RESULT_NOW;
}

/* ---- deleting --------------------------------------------------------------------------------- */

/* What a virtual service stands on stays, whoever refers to it. */
static bool is_ground(const struct object *o)
{
	static const char *const ground[] = { "cloud",	    "network",	"role", "serviceengine",
					      "serviceenginegroup", "tenant", "user", "vrfcontext" };

	for (size_t i = 0; i < ARRAY_SIZE(ground); i++)
		if (strcmp(o->kind->path, ground[i]) == 0)
			return true;
	return o->system || (o->kind->flags & (K_READONLY | K_NO_CREATE | K_SINGLETON));
}

static int anybody(void *arg, const struct object *o)
{
	(void)arg;
	(void)o;
	return 1;
}

static int note_child(void *arg, const char *path, const char *kind, const char *uuid)
{
	(void)path;
	json_array_append_new(arg, json_pack("{s:s, s:s}", "kind", kind, "uuid", uuid));
	return 0;
}

static int delete_object(struct macro *m, const struct object *o, struct err *e)
{
	CLEANUP_JSON json_t *children = json_array();
	CLEANUP_FREE char *uuid = xstrdup(o->uuid), *tenant = xstrdup(o->tenant);
	json_t *one;
	size_t i;
	int rc;

	model_refs(o->kind, o->body, note_child, children);
	rc = change_delete(&m->change, o->kind, uuid, e);
	json_array_foreach(children, i, one) {
		const char *kind = json_str(one, "kind", ""), *child = json_str(one, "uuid", "");
		const struct object *c;

		if (rc < 0)
			return rc;
		c = txn_get(m->change.txn, kind, child);
		/* What another tenant provides is not this one's to delete. */
		if (c && !is_ground(c) && strcmp(c->tenant, tenant) == 0 &&
		    store_referrers(m->change.store, kind, child, anybody, NULL) == 0)
			rc = delete_object(m, c, e);
	}
	return rc;
}

enum result macro_delete(struct request *q)
{
	json_t *data;
	const struct kind_desc *k = body_kind(q, &data);
	struct change_by by = change_by(q);
	struct macro m = { .q = q };
	const struct object *o;
	struct err e = { 0 };
	const char *uuid;

	if (!k)
		return RESULT_NOW;
	uuid = json_str(data, "uuid", NULL);
	if (!uuid) {
		request_refuse(q, 400, "data.uuid: it says which object is to be deleted.");
		return RESULT_NOW;
	}
	o = store_get(q->rest->c->store, k->path, uuid);
	if (!o || !auth_sees(q, o)) {
		request_refuse(q, 404, "%s object not found!", k->msg->name);
		return RESULT_NOW;
	}
	change_begin(&m.change, q->rest->c->store, &by);
	object_finish(q, &m.change, delete_object(&m, o, &e), &e);
	if (!q->status)
		request_empty(q, 204);
	return RESULT_NOW;
}
