#include "engine/link/desired.h"

#include <errno.h>

#include "base/base.h"
#include "base/buf.h"
#include "model/model.h"
#include "net/digest.h"
#include "net/seal.h"

#define FILE_MAX (256u << 20)
#define TEXT     "text" /* of an entry: how it stands in the file, which it does not */

void desired_init(struct desired *d)
{
	*d = (struct desired){ .held = json_object(), .staged = json_object() };
}

void desired_fini(struct desired *d)
{
	json_decref(d->held);
	json_decref(d->staged);
}

/* Computed once, when an object comes; a JSON integer is signed, and holds the same 64 bits. */
static uint64_t entry_digest(json_t *entry)
{
	json_t *known = json_object_get(entry, "digest");

	if (!known) {
		known = json_integer((json_int_t)digest_object(json_str(entry, "kind", ""),
							       json_str(entry, "uuid", ""),
							       json_object_get(entry, "object")));
		json_object_set_new(entry, "digest", known);
	}
	return (uint64_t)json_integer_value(known);
}

/* Is it what desired_put() makes, under its own key? */
static bool entry_fits(const char *key, const json_t *entry)
{
	CLEANUP_FREE char *own = xasprintf("%s/%s", json_str(entry, "kind", ""), json_str(entry, "uuid", ""));

	return strcmp(key, own) == 0 && json_is_object(json_object_get(entry, "object"));
}

/* ---- secrets in the file ---- */

struct sealing {
	const struct seal *seal;
	const char *key; /* "kind/uuid" */
};

static char *seal_field(void *arg, const char *path, const char *value)
{
	const struct sealing *g = arg;
	CLEANUP_FREE char *bound_to = xasprintf("%s/%s", g->key, path);

	return seal_put(g->seal, bound_to, value);
}

/* A file of the first format has them bare. */
static char *open_field(void *arg, const char *path, const char *value)
{
	const struct sealing *g = arg;
	CLEANUP_FREE char *bound_to = xasprintf("%s/%s", g->key, path);

	return seal_is(value) ? seal_take(g->seal, bound_to, value) : xstrdup(value);
}

/* The object of ENTRY, in which each secret went through F. New reference; NULL: one did not open. */
static json_t *map_entry(const json_t *entry, const char *key, const struct seal *s,
			 char *(*f)(void *arg, const char *path, const char *value))
{
	const struct kind_desc *k = kind_find(json_str(entry, "kind", ""));
	json_t *object = json_object_get(entry, "object");
	struct sealing g = { s, key };

	return k ? model_map_secrets(k, object, f, &g) : json_incref(object);
}

/* ---- the file ---- */

bool desired_is_sealed(const char *path)
{
	CLEANUP_FREE char *text = NULL;
	size_t len;

	return file_read(path, FILE_MAX, &text, &len) == 0 && strstr(text, "\"sealed:");
}

int desired_load(struct desired *d, const char *path, const struct seal *s, struct err *e)
{
	CLEANUP_FREE char *text = NULL;
	CLEANUP_JSON json_t *file = NULL;
	char sum[17];
	json_t *held, *entry;
	const char *key;
	uint64_t digest = 0;
	size_t len;
	int rc = file_read(path, FILE_MAX, &text, &len);

	if (rc < 0)
		return err_set(e, rc, NULL, "%s: %s", path, strerror(-rc));
	rc = json_read(text, len, &file, e);
	if (rc < 0)
		return rc;
	if (json_int(file, "format", 0) < 1 || json_int(file, "format", 0) > DESIRED_FORMAT)
		return err_set(e, -EINVAL, NULL, "%s has format %lld, and this program knows %d",
			       path, (long long)json_int(file, "format", 0), DESIRED_FORMAT);
	held = json_object_get(file, "held");
	json_object_foreach(held, key, entry) {
		json_t *object;

		if (!entry_fits(key, entry))
			return err_set(e, -EINVAL, NULL, "%s is damaged: %s is no object", path, key);
		object = map_entry(entry, key, s, open_field);
		if (!object)
			return err_set(e, -EKEYREJECTED, NULL,
				       "%s does not open with the key-encryption key %s: put the key that it was "
				       "sealed with back, or remove the file to have the controller send everything "
				       "again",
				       path, seal_path(s));
		json_object_set_new(entry, "object", object);
		json_object_del(entry, "digest"); /* what the file says of itself is no proof */
		json_object_del(entry, TEXT);
		digest += entry_digest(entry);
	}
	snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)digest);
	if (!json_is_object(held) || strcmp(sum, json_str(file, "hash", "")) != 0)
		return err_set(e, -EINVAL, NULL,
			       "%s is damaged: its hash is not that of its objects", path);
	snprintf(d->epoch, sizeof(d->epoch), "%s", json_str(file, "epoch", ""));
	d->revision = (uint64_t)json_int(file, "revision", 0);
	d->digest = digest;
	json_decref(d->held);
	d->held = json_incref(held);
	return 0;
}

/*
 * "KEY":{...}, made once in the life of an entry: a change costs what it changes, however much else is held. Borrowed.
 */
static const char *entry_text(json_t *entry, const char *key, const struct seal *s)
{
	json_t *known = json_object_get(entry, TEXT);

	if (!known) {
		CLEANUP_JSON json_t *copy = json_copy(entry), *line = json_object();
		CLEANUP_FREE char *text = NULL;

		json_object_set_new(copy, "object", map_entry(entry, key, s, seal_field));
		json_object_set(line, key, copy);
		text = json_text(line);
		known = json_stringn(text + 1, strlen(text) - 2); /* without the braces */
		json_object_set_new(entry, TEXT, known);
	}
	return json_string_value(known);
}

char *desired_text(const struct desired *d, const struct seal *s)
{
	struct buf b = BUF_INIT;
	CLEANUP_FREE char *epoch = NULL;
	CLEANUP_JSON json_t *name = json_string(d->epoch);
	const char *key, *comma = "";
	json_t *entry;

	epoch = json_dumps(name, JSON_ENCODE_ANY);
	buf_printf(&b, "{\"epoch\":%s,\"format\":%d,\"hash\":\"%016llx\",\"revision\":%lld,\"held\":{",
		   epoch ? epoch : "\"\"", DESIRED_FORMAT, (unsigned long long)d->digest, (long long)d->revision);
	json_object_foreach(d->held, key, entry) {
		buf_puts(&b, comma);
		buf_puts(&b, entry_text(entry, key, s));
		comma = ",";
	}
	buf_puts(&b, "}}");
	return buf_cstr(&b); /* nothing was taken from it, so it is what malloc gave */
}

void desired_begin(struct desired *d, bool replaces)
{
	json_object_clear(d->staged);
	d->replaces = replaces;
}

/* "kind/uuid"; caller frees. */
static char *key_of(const char *kind, const char *uuid)
{
	return xasprintf("%s/%s", kind, uuid);
}

void desired_put(struct desired *d, const char *kind, const char *uuid, uint64_t revision,
		 json_t *object)
{
	CLEANUP_FREE char *key = key_of(kind, uuid);

	json_object_set_new(d->staged, key,
			    json_pack("{s:s, s:s, s:I, s:O}", "kind", kind, "uuid", uuid,
				      "revision", (json_int_t)revision, "object", object));
}

void desired_remove(struct desired *d, const char *kind, const char *uuid)
{
	CLEANUP_FREE char *key = key_of(kind, uuid);

	json_object_set_new(d->staged, key, json_null());
}

const json_t *desired_get(const struct desired *d, const char *kind, const char *uuid)
{
	CLEANUP_FREE char *key = key_of(kind, uuid);

	return json_object_get(json_object_get(d->held, key), "object");
}

json_t *desired_digests(const struct desired *d)
{
	json_t *out = json_object(), *entry;
	const char *key;

	json_object_foreach(d->held, key, entry)
		json_object_set_new(out, key, json_integer((json_int_t)entry_digest(entry)));
	return out;
}

static void drop(struct desired *d, const char *key, const struct desired_diff *diff, void *arg)
{
	CLEANUP_JSON json_t *old = json_incref(json_object_get(d->held, key));

	if (!old)
		return;
	json_object_del(d->held, key);
	d->digest -= entry_digest(old);
	diff->removed(arg, json_str(old, "kind", ""), json_str(old, "uuid", ""));
}

static void take(struct desired *d, const char *key, json_t *entry, const struct desired_diff *diff,
		 void *arg)
{
	json_t *old = json_object_get(d->held, key);
	bool same = old &&
		    json_equal(json_object_get(old, "object"), json_object_get(entry, "object"));

	if (!same) {
		d->digest += entry_digest(entry);
		if (old)
			d->digest -= entry_digest(old);
	}
	json_object_set(d->held, key, entry);
	if (!same)
		diff->put(arg, json_str(entry, "kind", ""), json_str(entry, "uuid", ""),
			  (uint64_t)json_int(entry, "revision", 0),
			  json_object_get(entry, "object"));
}

void desired_commit(struct desired *d, const char *epoch, uint64_t revision,
		    const struct desired_diff *diff, void *arg)
{
	CLEANUP_JSON json_t *staged = d->staged;
	json_t *entry;
	const char *key;
	void *next;

	d->staged = json_object();
	if (d->replaces) {
		json_object_foreach_safe(d->held, next, key, entry)
		{
			CLEANUP_FREE char *copy = xstrdup(key); /* the key dies with its entry */

			if (!json_object_get(staged, copy))
				drop(d, copy, diff, arg);
		}
	}
	d->replaces = false;
	json_object_foreach(staged, key, entry) {
		if (json_is_null(entry))
			drop(d, key, diff, arg);
		else
			take(d, key, entry, diff, arg);
	}
	snprintf(d->epoch, sizeof(d->epoch), "%s", epoch);
	d->revision = revision;
}
