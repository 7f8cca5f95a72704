#include "controller/backup/intake.h"

#include <errno.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/resolve.h"

enum { SLICE_MS = 10 };

struct coming {
	const struct kind_desc *kind;
	json_t *body;
	bool done;
};

/* What was written, to be taken back. */
struct written {
	const struct kind_desc *kind;
	char *uuid;
	json_t *before;    /* NULL: it was made */
	uint64_t revision; /* of our write; of another one's it stays */
};

struct intake {
	struct change change; /* of this slice */
	struct coming *object;
	size_t n, done;
	size_t at;        /* in this round */
	size_t round;     /* what was done when it began */
	struct err waits; /* of this round: the first object whose references are still to come */
	json_t *now;      /* {"kind/uuid of the file": uuid here} */
	struct written *written;
	size_t n_written, n_kept; /* by committed slices */
	struct err why;   /* it is taken back */
	size_t left;      /* that could not be */
	char *user, *client, *tenant; /* of the last slice */
};

static int note(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e)
{
	struct intake *m = arg;

	(void)system;
	(void)e;
	/* What the controller makes, or where others have theirs, stays here as it is. */
	if (!(k->flags & K_TENANT) || (k->flags & (K_NO_CREATE | K_READONLY | K_SINGLETON)))
		return 0;
	m->object = xrealloc(m->object, (m->n + 1) * sizeof(*m->object));
	m->object[m->n++] = (struct coming){ .kind = k, .body = json_incref(body) };
	return 0;
}

/* "/api/pool/UUID#name" of the file: NULL when it is none. Else where it leads here, a new string. */
static json_t *lead(const struct intake *m, const char *text)
{
	CLEANUP_FREE char *key = NULL, *kind = NULL, *uuid = NULL;
	const struct kind_desc *k;
	const struct object *o;
	const char *slash, *hash, *now;
	struct buf b = BUF_INIT;
	json_t *out;

	if (strncmp(text, "/api/", 5) != 0 || !(slash = strchr(text + 5, '/')))
		return NULL;
	kind = xstrndup(text + 5, (size_t)(slash - text - 5));
	k = kind_find(kind);
	hash = strchr(slash, '#');
	if (!k)
		return NULL;
	uuid = xstrndup(slash + 1, hash ? (size_t)(hash - slash - 1) : strlen(slash + 1));
	key = xasprintf("%s/%s", kind, uuid);
	now = json_str(m->now, key, NULL);
	if (now)
		return json_sprintf("/api/%s/%s", kind, now);
	o = txn_get(m->change.txn, kind, uuid);
	if (!hash || (o && strcmp(o->tenant, m->change.by.tenant) == 0))
		return json_sprintf("/api/%s/%s", kind, uuid);
	buf_printf(&b, "/api/%s?name=", kind);
	for (const char *p = hash + 1; *p; p++)
		buf_printf(&b, "%%%02x", (unsigned char)*p);
	out = json_string(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

static void lead_all(const struct intake *m, json_t *v)
{
	const char *key;
	json_t *item, *to;
	void *next;
	size_t i;

	if (json_is_array(v)) {
		json_array_foreach(v, i, item) {
			to = json_is_string(item) ? lead(m, json_string_value(item)) : NULL;
			if (to)
				json_array_set_new(v, i, to);
			else
				lead_all(m, item);
		}
	} else if (json_is_object(v)) {
		json_object_foreach_safe(v, next, key, item) {
			to = json_is_string(item) ? lead(m, json_string_value(item)) : NULL;
			if (to)
				json_object_set_new(v, key, to);
			else
				lead_all(m, item);
		}
	}
}

/* The object here that the one of the file is to be: by uuid, else by name. */
static const struct object *present(const struct intake *m, const struct coming *one, const json_t *body)
{
	const struct object *o = txn_get(m->change.txn, one->kind->path, json_str(body, "uuid", ""));
	const char *tenant = m->change.by.tenant, *name = json_str(body, "name", "");
	char cloud[UUID_MAX] = "";
	struct resolver r;

	if (o && strcmp(o->tenant, tenant) == 0)
		return o;
	if (!*name)
		return NULL;
	if (one->kind->flags & K_CLOUD) {
		resolver_init(&r, m->change.store, m->change.txn, tenant, "");
		if (r.model.resolve(&r.model, "cloud", json_str(body, "cloud_ref", "/api/cloud?name=Default-Cloud"), cloud,
				    sizeof(cloud), NULL) < 0)
			return NULL;
	}
	return store_find(m->change.store, one->kind->path, tenant, one->kind->flags & K_CLOUD ? cloud : NULL, name);
}

static void forget(struct written *w)
{
	free(w->uuid);
	json_decref(w->before);
}

static int write_one(struct intake *m, struct coming *one, struct err *e)
{
	CLEANUP_JSON json_t *body = json_deep_copy(one->body), *before = NULL;
	CLEANUP_FREE char *key = xasprintf("%s/%s", one->kind->path, json_str(body, "uuid", ""));
	char uuid[UUID_MAX];
	const struct object *o;
	int rc;

	json_object_del(body, "tenant_ref"); /* it goes where the request is */
	json_object_del(body, "_system");
	lead_all(m, body);
	o = present(m, one, body);
	before = o ? json_deep_copy(o->body) : NULL;
	snprintf(uuid, sizeof(uuid), "%s", o ? o->uuid : json_str(body, "uuid", ""));
	if (!o && txn_get(m->change.txn, one->kind->path, uuid))
		uuid[0] = '\0'; /* taken, in another tenant */
	json_object_del(body, "uuid");
	rc = o ? change_update(&m->change, one->kind, uuid, body, 0, e)
	       : change_create(&m->change, one->kind, body, uuid, e);
	if (rc < 0)
		return rc;
	json_object_set_new(m->now, key, json_string(uuid));
	m->written = xrealloc(m->written, (m->n_written + 1) * sizeof(*m->written));
	m->written[m->n_written++] = (struct written){ .kind = one->kind, .uuid = xstrdup(uuid), .before = before };
	before = NULL;
	return 0;
}

/* 0: the slice is full, or the file at its end. */
static int write_some(struct intake *m, struct err *e)
{
	uint64_t end = mono_ns() + SLICE_MS * NS_PER_MS;

	for (; m->at < m->n && mono_ns() < end; m->at++) {
		struct coming *one = &m->object[m->at];
		struct err inner = { 0 };
		int rc = one->done ? 0 : write_one(m, one, &inner);

		if (rc == 0) {
			m->done += !one->done;
			one->done = true;
			continue;
		}
		/* The first one that waits, or any that is wrong, is what is told. */
		if (rc != -ENOENT || !m->waits.code)
			err_set(e, rc, inner.path, "%s '%.100s' of the file: %s", one->kind->msg->name,
				json_str(one->body, "name", "?"), inner.text);
		if (rc != -ENOENT)
			return rc;
		if (!m->waits.code)
			m->waits = *e;
	}
	return 0;
}

static int write_slice(struct intake *m, struct store *s, const struct change_by *by, struct model_notes *notes,
		       struct err *e)
{
	int rc;

	change_begin(&m->change, s, by);
	m->change.notes = *notes;
	rc = write_some(m, e);
	if (rc == 0)
		rc = change_commit_soon(&m->change, e);
	else
		change_abort(&m->change);
	*notes = m->change.notes;
	if (rc < 0)
		return rc;
	for (; m->n_kept < m->n_written; m->n_kept++) {
		struct written *w = &m->written[m->n_kept];
		const struct object *o = store_get(s, w->kind->path, w->uuid);

		w->revision = o ? o->revision : 0;
	}
	if (m->at < m->n)
		return 1;
	if (m->done == m->n)
		return 0;
	/* Again and again: whoever refers to one that is still to come waits for the next round. */
	if (m->done == m->round) {
		*e = m->waits;
		return m->waits.code;
	}
	m->at = 0;
	m->round = m->done;
	m->waits = (struct err){ 0 };
	return 1;
}

static bool take_back(struct intake *m, struct store *s, const struct written *w)
{
	const struct change_by by = { .user = m->user, .client = m->client, .tenant = m->tenant, .internal = true };
	const struct object *o = store_get(s, w->kind->path, w->uuid);
	struct err e = { 0 };
	struct change c;
	int rc;

	if (!o)
		return true;
	if (o->revision != w->revision)
		return false;
	change_begin(&c, s, &by);
	rc = w->before ? change_update(&c, w->kind, w->uuid, w->before, 0, &e) : change_delete(&c, w->kind, w->uuid, &e);
	if (rc == 0)
		rc = change_commit_soon(&c, &e);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	return rc == 0;
}

static int take_back_slice(struct intake *m, struct store *s, struct err *e)
{
	uint64_t end = mono_ns() + SLICE_MS * NS_PER_MS;

	while (m->n_written && mono_ns() < end) {
		struct written *w = &m->written[m->n_written - 1];

		/* Those of the slice that failed are not there. */
		if (m->n_written-- <= m->n_kept && !take_back(m, s, w))
			m->left++;
		forget(w);
	}
	if (m->n_written)
		return 1;
	*e = m->why;
	if (m->left)
		err_set(e, m->why.code, m->why.path, "%s (%zu objects, changed or used by others since, stay.)", m->why.text, m->left);
	return e->code;
}

static void keep(char **to, const char *text)
{
	free(*to);
	*to = xstrdup(text);
}

int intake_step(struct intake *m, struct store *s, const struct change_by *by, struct model_notes *notes, struct err *e)
{
	struct err why = { 0 };
	int rc;

	if (m->why.code)
		return take_back_slice(m, s, e);
	keep(&m->user, by->user);
	keep(&m->client, by->client);
	keep(&m->tenant, by->tenant);
	rc = write_slice(m, s, by, notes, &why);
	if (rc >= 0)
		return rc;
	m->why = why;
	return 1;
}

void intake_stop(struct intake *m, int code, const char *why)
{
	if (!m->why.code)
		err_set(&m->why, code, NULL, "%s", why);
}

bool intake_is_stopped(const struct intake *m)
{
	return m->why.code;
}

size_t intake_count(const struct intake *m)
{
	return m->done;
}

struct intake *intake_new(const struct archive *a, struct err *e)
{
	struct intake *m = xcalloc(1, sizeof(*m));

	m->now = json_object();
	if (archive_objects(a, note, m, e) == 0)
		return m;
	intake_free(m);
	return NULL;
}

void intake_free(struct intake *m)
{
	if (!m)
		return;
	for (size_t i = 0; i < m->n; i++)
		json_decref(m->object[i].body);
	for (size_t i = 0; i < m->n_written; i++)
		forget(&m->written[i]);
	free(m->object);
	free(m->written);
	json_decref(m->now);
	free(m->user);
	free(m->client);
	free(m->tenant);
	free(m);
}
