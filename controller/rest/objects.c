/*
 * objects - one object of any kind: made, read, replaced, patched, deleted.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/derived.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"
#include "controller/rules.h"

/* ---- how an object is shown --------------------------------------------------------------- */

/* Calls F for each of "a,b"; stops and returns its non-zero answer. */
static int each_word(const char *list, int (*f)(void *arg, const char *word), void *arg)
{
	int rc = 0;

	for (const char *p = list; rc == 0 && *p; p += strcspn(p, ","), p += *p == ',') {
		CLEANUP_FREE char *word = xstrndup(p, strcspn(p, ","));

		rc = *word ? f(arg, word) : 0;
	}
	return rc;
}

struct join_check {
	const struct kind_desc *kind;
	struct err *e;
};

/* A word of `join` is a reference, or the kind of some. */
static bool joins(const struct field_desc *f, const char *word)
{
	return f->type == FT_REF && (strcmp(f->name, word) == 0 || strcmp(f->ref, word) == 0);
}

static int join_is_ref(void *arg, const char *word)
{
	const struct join_check *c = arg;

	for (size_t i = 0; i < c->kind->msg->n_fields; i++)
		if (joins(&c->kind->msg->fields[i], word))
			return 0;
	return err_set(c->e, -EINVAL, "join", "'%.60s' is no reference of a %s.", word,
		       c->kind->msg->name);
}

int view_init(struct view *v, const struct request *q, const struct kind_desc *k, struct err *e)
{
	struct join_check check = { k, e };
	int rc;

	*v = (struct view){
		.write = { .base_url = q->base_url },
		.fields = query_get(&q->query, "fields"),
		.subresources = query_get(&q->query, "join_subresources"),
		.join = query_get(&q->query, "join"),
	};
	if (q->method == METHOD_GET)
		/*
		 * Ansible sends include_refs beside include_name; older clients meant the same by
		 * it.
		 */
		v->write.include_name = query_flag(&q->query, "include_name") ||
					query_flag(&q->query, "include_refs");
	else
		v->write.include_name = v->write.name_in_url = true;
	v->write.skip_default = query_flag(&q->query, "skip_default");
	rc = v->join ? each_word(v->join, join_is_ref, &check) : 0;
	if (rc == 0 && v->subresources)
		rc = subresource_check(v, q, e);
	if (rc < 0)
		v->join = v->subresources = NULL;
	return rc;
}

static bool wanted(const char *fields, const char *name)
{
	static const char *const always[] = { "url", "uuid", "name", "tenant_ref" };
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		if (strcmp(always[i], name) == 0)
			return true;
	for (const char *p = fields; *p; p += strcspn(p, ","), p += *p == ',')
		if (strcspn(p, ",") == n && strncmp(p, name, n) == 0)
			return true;
	return false;
}

static void project(json_t *o, const char *fields)
{
	const char *key;
	json_t *v;
	void *next;

	json_object_foreach_safe(o, next, key, v) if (!wanted(fields, key)) json_object_del(o, key);
}

static json_t *write_whole(const struct view *v, struct request *q, const struct object *o)
{
	const struct rule *rule = rule_find(o->kind->path);
	struct resolver r;
	json_t *out;

	q->asked = true;
	if (!access_reads(&q->viewer, o))
		return NULL;
	resolver_init(&r, q->rest->c->store, NULL, "*", "");
	out = model_write(o->kind, o->body, &v->write, &r.model);
	if (rule && rule->show)
		rule->show(q->rest->c->store, o, &v->write, &r.model, out);
	json_object_set_new(out, "_last_modified",
			    json_sprintf("%llu", (unsigned long long)o->last_modified_us));
	return out;
}

struct join {
	const struct view *view;
	struct request *q;
	const struct object *object;
	json_t *out;
};

/* What a reference leads to, as far as the caller may see it. */
static json_t *join_target(const struct join *j, const struct field_desc *f, const json_t *ref)
{
	const struct object *o = store_get(j->q->rest->c->store, f->ref,
					   ref_target(json_string_value(ref)));

	return o && auth_sees(j->q, o) ? write_whole(j->view, j->q, o) : NULL;
}

/* The objects that a field refers to, under its name with "_data". */
static void join_field(const struct join *j, const struct field_desc *f)
{
	const json_t *v = json_object_get(j->object->body, f->name), *item;
	CLEANUP_FREE char *name = xasprintf("%s_data", f->name);
	json_t *one, *list;
	size_t i;

	if (!v)
		return;
	if (!f->list) {
		one = join_target(j, f, v);
		if (one)
			json_object_set_new(j->out, name, one);
		return;
	}
	list = json_array();
	json_array_foreach(v, i, item) {
		one = join_target(j, f, item);
		if (one)
			json_array_append_new(list, one);
	}
	json_object_set_new(j->out, name, list);
}

static int join_word(void *arg, const char *word)
{
	const struct join *j = arg;
	const struct message_desc *m = j->object->kind->msg;

	for (size_t i = 0; i < m->n_fields; i++)
		if (joins(&m->fields[i], word))
			join_field(j, &m->fields[i]);
	return 0;
}

json_t *view_object(const struct view *v, struct request *q, const struct object *o)
{
	json_t *out = write_whole(v, q, o);
	struct join join = { v, q, o, out };

	if (!out)
		return NULL;
	if (v->fields && *v->fields)
		project(out, v->fields);
	if (v->join)
		each_word(v->join, join_word, &join);
	if (v->subresources)
		subresource_join(v, q, o, out);
	return out;
}

struct change_by change_by(struct request *q)
{
	q->asked = true;
	return (struct change_by){
		.user = q->user->name,
		.client = q->client,
		.tenant = q->tenant_id[0] ? q->tenant_id : TENANT_ADMIN,
		.viewer = &q->viewer,
		.strict = q->strict,
	};
}

static void notes_header(struct request *q, const char *name, const struct buf *b)
{
	CLEANUP_FREE char *text = NULL;

	if (!b->len)
		return;
	/*
	 * A header is no place for a book. Field names of a stranger may hold anything: only what a
	 * header can carry.
	 */
	text = xstrndup(b->data, MIN(b->len, 2000));
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || (unsigned char)*p >= 0x7f)
			*p = '?';
	request_header(q, name, text);
}

void notes_headers(struct request *q, const struct model_notes *n)
{
	notes_header(q, "X-Spanwire-Ignored", &n->ignored);
	notes_header(q, "X-Spanwire-Inert", &n->inert);
	notes_header(q, "X-Spanwire-Warning", &n->warnings);
}

/* ---- common steps ---------------------------------------------------------------------------- */

/* The kind of the path; answers 404 when there is none. */
static const struct kind_desc *kind_of(struct request *q)
{
	const struct kind_desc *k = kind_find(q->kind);

	if (k && !(k->flags & K_RUNTIME))
		return k;
	request_refuse(q, 404, "%s object not found: there are no objects of this kind.",
		       kind_spelling(q->kind));
	return NULL;
}

static int first_of(void *arg, const struct object *o)
{
	*(const struct object **)arg = o;
	return 1;
}

const struct object *object_of(struct request *q, const struct kind_desc *k, enum access_verb verb,
			       struct derived *d)
{
	struct store *s = q->rest->c->store;
	const struct object *o = NULL;
	struct err e = { 0 };

	if (strcmp(q->tenant_id, "*") != 0 &&
	    access_may(&q->viewer, guard_of(k), k->flags & K_TENANT ? q->tenant_id : "", verb, &e) < 0) {
		request_error(q, &e);
		return NULL;
	}
	if (k->flags & K_SINGLETON)
		store_each(s, k->path, first_of, &o);
	if (q->uuid && !(o && strcmp(o->uuid, q->uuid) == 0))
		o = derived_get(s, k, q->uuid, d);
	if (!o || !auth_sees(q, o)) {
		request_refuse(q, 404, "%s object not found!", k->msg->name);
		return NULL;
	}
	if (auth_may_object(q, o, verb, &e) == 0)
		return o;
	request_error(q, &e);
	return NULL;
}

const char *object_methods(const struct kind_desc *k, bool one)
{
	/* By its uuid it is a system object like others: Terraform takes the 403 of those for gone, and a 405 for an error. */
	if (k->flags & K_SINGLETON)
		return one ? "GET, PUT, PATCH, DELETE" : "GET, PUT, PATCH";
	if (k->flags & K_READONLY)
		return "GET";
	if (one)
		return "GET, PUT, PATCH, DELETE";
	return k->flags & K_NO_CREATE ? "GET" : "GET, POST";
}

static bool method_fits(struct request *q, const struct kind_desc *k)
{
	const char *allow = object_methods(k, q->uuid != NULL);

	if (strstr(allow, q->method_text))
		return true;
	refuse_method(q, allow);
	return false;
}

static void answer_object(struct request *q, int status, const struct kind_desc *k,
			  const char *uuid)
{
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o = derived_get(q->rest->c->store, k, uuid, &d);
	struct err e = { 0 };
	struct view v;
	json_t *out;

	/* Deleted by somebody's watcher between the commit and here? Nobody does that. */
	must(o);
	/* What was written is written, however its answer was wanted. */
	if (view_init(&v, q, k, &e) < 0 && q->method == METHOD_GET) {
		request_error(q, &e);
		return;
	}
	out = view_object(&v, q, o);
	if (status == 201)
		request_header(q, "Location", json_str(out, "url", ""));
	request_json(q, status, out);
}

void object_finish(struct request *q, struct change *c, int rc, struct err *e)
{
	CLEANUP_FREE char *user = xstrdup(q->user->uuid);

	if (rc == 0)
		rc = change_commit_soon(c, e);
	else
		change_abort(c);
	if (rc == 0)
		notes_headers(q, &c->notes);
	else
		request_error(q, e);
	model_notes_fini(&c->notes);
	/* It may have been his own object that changed, or went. */
	q->user = q->viewer.user = store_get(q->rest->c->store, "user", user);
}

static bool has_body(struct request *q)
{
	if (json_is_object(q->json))
		return true;
	request_refuse(q, 400,
		       q->json ? "The body must be a JSON object."
			       : "The request needs a JSON object as its body.");
	return false;
}

/*
 * ---- handlers
 * ------------------------------------------------------------------------------------
 */

bool object_uuid_from_input(const struct request *q)
{
	const struct object *s = store_get(q->rest->c->store, "systemconfiguration", "default");

	return s && json_bool(json_object_get(s->body, "portal_configuration"),
			      "use_uuid_from_input", false);
}

enum result object_create(struct request *q)
{
	const struct kind_desc *k = kind_of(q);
	struct change_by by = change_by(q);
	struct change c;
	struct err e = { 0 };
	char uuid[UUID_MAX] = "";

	if (!k || !method_fits(q, k))
		return RESULT_NOW;
	if (strcmp(by.tenant, "*") != 0 && auth_may(q, k->path, k->flags & K_TENANT ? by.tenant : "", true, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if (!has_body(q))
		return RESULT_NOW;
	snprintf(uuid, sizeof(uuid), "%s",
		 *q->slug		     ? q->slug
		 : object_uuid_from_input(q) ? json_str(q->json, "uuid", "")
					     : "");
	change_begin(&c, q->rest->c->store, &by);
	object_finish(q, &c, change_create(&c, k, q->json, uuid, &e), &e);
	if (!q->status)
		answer_object(q, 201, k, uuid);
	return RESULT_NOW;
}

enum result object_get(struct request *q)
{
	const struct kind_desc *k = kind_of(q);
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o = k ? object_of(q, k, ACCESS_READ, &d) : NULL;

	if (o)
		answer_object(q, 200, k, o->uuid);
	return RESULT_NOW;
}

/* What a request does to the object UUID; 0 or negative errno. */
typedef int object_edit(struct request *q, struct change *c, const struct kind_desc *k,
			const char *uuid, struct err *e);

/*
 * One object, one transaction. True when it is done and nobody was answered yet; *UUID is the
 * caller's to free.
 */
static bool edited(struct request *q, const struct kind_desc *k, object_edit *edit, char **uuid)
{
	CLEANUP_DERIVED struct derived d = { 0 };
	bool whole = q->method == METHOD_DELETE;
	const struct object *o = object_of(q, k, whole ? ACCESS_WRITE : ACCESS_ACT, &d);
	struct change_by by = change_by(q);
	struct change c;
	struct err e = { 0 };

	if (!o || (!whole && !has_body(q)))
		return false;
	*uuid = xstrdup(o->uuid); /* what was read is gone with the commit */
	change_begin(&c, q->rest->c->store, &by);
	object_finish(q, &c, edit(q, &c, k, *uuid, &e), &e);
	return !q->status;
}

static enum result write_object(struct request *q, object_edit *edit)
{
	const struct kind_desc *k = kind_of(q);
	CLEANUP_FREE char *uuid = NULL;

	if (k && method_fits(q, k) && edited(q, k, edit, &uuid))
		answer_object(q, 200, k, uuid);
	return RESULT_NOW;
}

uint64_t object_seen(const json_t *body)
{
	const json_t *v = json_object_get(body, "_last_modified");
	const char *text = json_string_value(v);
	char *end;
	uint64_t us;

	if (json_is_integer(v))
		return (uint64_t)MAX(json_integer_value(v), (json_int_t)1);
	if (!text || !*text)
		return 0;
	us = strtoull(text, &end, 10);
	return *end || !us ? 1 : us;
}

static int replace(struct request *q, struct change *c, const struct kind_desc *k, const char *uuid,
		   struct err *e)
{
	return change_update(c, k, uuid, q->json, object_seen(q->json), e);
}

static int patch(struct request *q, struct change *c, const struct kind_desc *k, const char *uuid,
		 struct err *e)
{
	return change_patch(c, k, uuid, q->json, e);
}

static int delete (struct request *q, struct change *c, const struct kind_desc *k, const char *uuid,
		   struct err *e)
{
	(void)q;
	return change_delete(c, k, uuid, e);
}

enum result object_replace(struct request *q)
{
	return write_object(q, replace);
}

enum result object_patch(struct request *q)
{
	return write_object(q, patch);
}

enum result object_delete(struct request *q)
{
	const struct kind_desc *k = kind_of(q);
	CLEANUP_FREE char *uuid = NULL;

	if (k && method_fits(q, k) && edited(q, k, delete, &uuid))
		request_empty(q, 204);
	return RESULT_NOW;
}

/* An engine goes at any time, whatever it carries: the word that clients have for it is no other one. */
enum result engine_forget(struct request *q)
{
	CLEANUP_FREE char *uuid = NULL;

	q->method = METHOD_DELETE;
	if (edited(q, kind_find("serviceengine"), delete, &uuid))
		request_json(q, 200, json_pack("{s:s}", "status", "ok"));
	return RESULT_NOW;
}
