#include "controller/backup/restore.h"

#include <errno.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/base.h"
#include "base/buf.h"
#include "controller/audit.h"
#include "controller/ca.h"
#include "controller/resolve.h"
#include "controller/store/staged.h"

/* ---- everything ------------------------------------------------------------------------------ */

static int put_object(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e)
{
	const char *uuid = json_str(body, "uuid", ""), *tenant = "", *cloud = "";

	if (!*uuid || strlen(uuid) >= UUID_MAX)
		return err_set(e, -EINVAL, "uuid", "An object has one.");
	if (k->flags & K_TENANT)
		tenant = ref_target(json_str(body, "tenant_ref", NULL));
	if (k->flags & K_CLOUD)
		cloud = ref_target(json_str(body, "cloud_ref", NULL));
	return txn_create(arg, k, uuid, tenant, cloud, body, system, e);
}

static int put_value(void *arg, const char *space, const char *key, const char *value, struct err *e)
{
	return txn_set(arg, space, key, value, e);
}

static int fill(const struct archive *a, struct store *s, const char *by, struct err *e)
{
	struct txn *t = txn_begin(s);
	const char *made = json_str(json_object_get(a->root, "META"), "made", "?");
	int rc = archive_objects(a, put_object, t, e);

	if (rc == 0)
		rc = archive_values(a, put_value, t, e);
	/* Without these nobody could log in, and nothing would be found. */
	if (rc == 0 && (!store_get(s, "tenant", TENANT_ADMIN) || !store_get(s, "systemconfiguration", "default") ||
			!store_count(s, "user")))
		rc = err_set(e, -EINVAL, NULL, "The file holds no full system: its tenant admin, its users or its configuration are missing.");
	if (rc < 0) {
		txn_abort(t);
		return rc;
	}
	txn_event(t, audit_event("CONFIG_ACTION", "CONFIG", NULL, NULL, NULL, TENANT_ADMIN,
				 json_pack("{s:{s:s, s:s, s:s}}", "config_action_details", "action_name", "import", "user", by,
					   "status", "SYSERR_SUCCESS"),
				 "The full system of an export of %s was restored by %s.", made, by));
	return txn_commit(t, NULL, e);
}

static int put_file(const struct archive *a, const char *dir, const char *name, unsigned mode, struct err *e)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", dir, name), *text = archive_file(a, name);
	int rc;

	if (!text)
		return err_set(e, -EINVAL, "META.files", "The file is damaged: %s is missing, or does not open.", name);
	rc = file_replace(path, text, strlen(text), mode);
	OPENSSL_cleanse(text, strlen(text));
	return rc < 0 ? err_set(e, rc, NULL, "Cannot write %s: %s.", path, strerror(-rc)) : 0;
}

/* The store that is made seals with the key of the folder where it is going to live. */
static int lend_key(const char *from, const char *to, struct err *e)
{
	CLEANUP_FREE char *here = xasprintf("%s/kek", from), *there = xasprintf("%s/kek", to);
	char *text = NULL;
	size_t len;
	int rc = file_read(here, 4096, &text, &len);

	if (rc == -ENOENT) /* a credential of systemd's */
		return 0;
	if (rc == 0) {
		rc = file_replace(there, text, len, 0600);
		OPENSSL_cleanse(text, len);
		free(text);
	}
	return rc < 0 ? err_set(e, rc, NULL, "Cannot copy %s: %s.", here, strerror(-rc)) : 0;
}

static void take_away(const char *dir, const char *name)
{
	CLEANUP_FREE char *path = xasprintf("%s/%s", dir, name);

	unlink(path);
}

int restore_stage(const struct archive *a, const char *dir, const char *by, struct err *e)
{
	CLEANUP_FREE char *next = NULL;
	struct store *s = NULL;
	struct ca *ca = NULL;
	int rc = staged_begin(dir, &next, e);

	if (rc == 0)
		rc = lend_key(dir, next, e);
	if (rc == 0)
		rc = store_open(next, &s, e);
	if (rc == 0)
		rc = fill(a, s, by, e);
	store_close(s);
	if (rc == 0)
		rc = put_file(a, next, "ca.key", 0600, e);
	if (rc == 0)
		rc = put_file(a, next, "ca.pem", 0644, e);
	/* Do they belong together? And it makes the server's certificate. */
	if (rc == 0)
		rc = ca_open(next, NULL, &ca, e);
	ca_close(ca);
	if (!next)
		return rc;
	take_away(next, "store.lock");
	take_away(next, "kek");
	return rc < 0 ? rc : staged_ready(dir, e);
}

/* ---- a tenant ---------------------------------------------------------------------------------- */

struct coming {
	const struct kind_desc *kind;
	json_t *body;
	bool done;
};

struct merge {
	struct change *c;
	struct coming *object;
	size_t n, done;
	json_t *now; /* {"kind/uuid of the file": uuid here} */
};

static int note(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e)
{
	struct merge *m = arg;

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
static json_t *lead(const struct merge *m, const char *text)
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
	o = txn_get(m->c->txn, kind, uuid);
	if (!hash || (o && strcmp(o->tenant, m->c->by.tenant) == 0))
		return json_sprintf("/api/%s/%s", kind, uuid);
	buf_printf(&b, "/api/%s?name=", kind);
	for (const char *p = hash + 1; *p; p++)
		buf_printf(&b, "%%%02x", (unsigned char)*p);
	out = json_string(buf_cstr(&b));
	buf_fini(&b);
	return out;
}

static void lead_all(const struct merge *m, json_t *v)
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
static const struct object *present(const struct merge *m, const struct coming *one, const json_t *body)
{
	const struct object *o = txn_get(m->c->txn, one->kind->path, json_str(body, "uuid", ""));
	const char *tenant = m->c->by.tenant, *name = json_str(body, "name", "");
	char cloud[UUID_MAX] = "";
	struct resolver r;

	if (o && strcmp(o->tenant, tenant) == 0)
		return o;
	if (!*name)
		return NULL;
	if (one->kind->flags & K_CLOUD) {
		resolver_init(&r, m->c->store, m->c->txn, tenant, "");
		if (r.model.resolve(&r.model, "cloud", json_str(body, "cloud_ref", "/api/cloud?name=Default-Cloud"), cloud,
				    sizeof(cloud), NULL) < 0)
			return NULL;
	}
	return store_find(m->c->store, one->kind->path, tenant, one->kind->flags & K_CLOUD ? cloud : NULL, name);
}

static int merge_one(struct merge *m, struct coming *one, struct err *e)
{
	CLEANUP_JSON json_t *body = json_deep_copy(one->body);
	CLEANUP_FREE char *key = xasprintf("%s/%s", one->kind->path, json_str(body, "uuid", ""));
	char uuid[UUID_MAX];
	const struct object *o;
	int rc;

	json_object_del(body, "tenant_ref"); /* it goes where the request is */
	json_object_del(body, "_system");
	lead_all(m, body);
	o = present(m, one, body);
	snprintf(uuid, sizeof(uuid), "%s", o ? o->uuid : json_str(body, "uuid", ""));
	if (!o && txn_get(m->c->txn, one->kind->path, uuid))
		uuid[0] = '\0'; /* taken, in another tenant */
	json_object_del(body, "uuid");
	rc = o ? change_update(m->c, one->kind, uuid, body, 0, e) : change_create(m->c, one->kind, body, uuid, e);
	if (rc == 0)
		json_object_set_new(m->now, key, json_string(uuid));
	return rc;
}

/* Again and again: whoever refers to one that is still to come waits for the next round. */
static int merge_all(struct merge *m, struct err *e)
{
	size_t before;
	int rc = 0;

	do {
		before = m->done;
		rc = 0;
		for (size_t i = 0; i < m->n; i++) {
			struct coming *one = &m->object[i];
			struct err inner = { 0 };
			int now;

			if (one->done)
				continue;
			now = merge_one(m, one, &inner);
			if (now == 0) {
				one->done = true;
				m->done++;
				continue;
			}
			/* The first one that waits, or any that is wrong, is what is told. */
			if (rc == 0 || now != -ENOENT) {
				err_set(e, now, inner.path, "%s '%.100s' of the file: %s", one->kind->msg->name,
					json_str(one->body, "name", "?"), inner.text);
				rc = now;
			}
			if (now != -ENOENT)
				return rc;
		}
	} while (m->done < m->n && m->done > before);
	return rc;
}

int restore_merge(const struct archive *a, struct change *c, size_t *n, struct err *e)
{
	struct merge m = { .c = c, .now = json_object() };
	int rc = archive_objects(a, note, &m, e);

	if (rc == 0)
		rc = merge_all(&m, e);
	if (n)
		*n = m.done;
	for (size_t i = 0; i < m.n; i++)
		json_decref(m.object[i].body);
	free(m.object);
	json_decref(m.now);
	return rc;
}
