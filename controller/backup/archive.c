#include "controller/backup/archive.h"

#include <argon2.h>
#include <errno.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/controller.h"
#include "controller/resolve.h"
#include "net/seal.h"

/* What a key costs: a file that asks for much more is not one of ours, or is meant to hurt. */
enum { PASSES = 3, KIB = 65536, LANES = 1, SALT = 16, PASSES_MAX = 16, KIB_MAX = 512 * 1024, LANES_MAX = 8 };

static const char proof[] = "the passphrase is right", *const ca_files[] = { "ca.key", "ca.pem" };

bool archive_test;

struct snapshot {
	bool full;
	char *tenant; /* name; NULL: full */
	uint64_t made_us;
	json_t *objects; /* {message name: [{"system", "body"}]} */
	json_t *names; /* {"kind/uuid": name}: of what the objects may refer to */
	json_t *values; /* {space: {key: value}} */
	json_t *files; /* {"ca.key": PEM} */
};

/* ---- the snapshot ------------------------------------------------------------------------------ */

/* What parts keep in the store is sealed, unless it is known to be no secret; and this never leaves. */
static const struct {
	const char *name;
	bool leaves, sealed;
} spaces[] = {
	{ "token", false, false }, /* enrolment tokens: who restores makes new ones */
	{ "seal", false, false },  /* proof of the key-encryption key of the old place */
	{ "engine", true, false },  { "scheduler", true, false },  { "place", true, false },
	{ "vip", true, false },	    { "inline_vip", true, false }, { "snat", true, false },
	{ "as_sent", true, false },
};

static bool leaves(const char *space, bool *sealed)
{
	*sealed = true;
	for (size_t i = 0; i < ARRAY_SIZE(spaces); i++) {
		if (strcmp(spaces[i].name, space) != 0)
			continue;
		*sealed = spaces[i].sealed;
		return spaces[i].leaves;
	}
	return true;
}

static struct snapshot *snapshot_new(void)
{
	struct snapshot *n = xcalloc(1, sizeof(*n));

	n->made_us = wall_us();
	n->objects = json_object();
	n->names = json_object();
	n->values = json_object();
	n->files = json_object();
	return n;
}

static void add(struct snapshot *n, const struct object *o)
{
	json_t *list = json_object_get(n->objects, o->kind->msg->name), *one;

	if (!list) {
		list = json_array();
		json_object_set_new(n->objects, o->kind->msg->name, list);
	}
	one = json_pack("{s:b, s:O}", "system", o->system, "body", o->body);
	must(one);
	json_array_append_new(list, one);
}

/* A backup is a file on this disk, and of no use without it. */
static bool stays(const struct kind_desc *k)
{
	return strcmp(k->path, "backup") == 0;
}

static int add_object(void *arg, const struct object *o)
{
	add(arg, o);
	return 0;
}

static int add_value(void *arg, const char *space, const char *key, const char *value)
{
	struct snapshot *n = arg;
	json_t *of = json_object_get(n->values, space);
	bool sealed;

	if (!leaves(space, &sealed))
		return 0;
	if (!of) {
		of = json_object();
		json_object_set_new(n->values, space, of);
	}
	json_object_set_new(of, key, json_string(value));
	return 0;
}

int snapshot_full(struct store *s, const char *dir, struct snapshot **out, struct err *e)
{
	struct snapshot *n = snapshot_new();

	n->full = true;
	for (size_t i = 0; i < model_n_kinds; i++)
		if (!(model_kinds[i]->flags & K_RUNTIME) && !stays(model_kinds[i]))
			store_each(s, model_kinds[i]->path, add_object, n);
	store_all_values(s, add_value, n);
	for (size_t i = 0; i < ARRAY_SIZE(ca_files); i++) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", dir, ca_files[i]);
		char *text = NULL;
		size_t len;
		int rc = file_read(path, 64 * 1024, &text, &len);

		if (rc < 0) {
			snapshot_free(n);
			return err_set(e, rc, NULL, "Cannot read %s: %s.", path, strerror(-rc));
		}
		json_object_set_new(n->files, ca_files[i], json_string(text));
		OPENSSL_cleanse(text, len);
		free(text);
	}
	*out = n;
	return 0;
}

struct own {
	struct snapshot *n;
	struct viewer *v;
};

static int add_own(void *arg, const struct object *o)
{
	struct own *own = arg;
	CLEANUP_FREE char *key = xasprintf("%s/%s", o->kind->path, o->uuid);

	if (!access_sees(own->v, o))
		return 0;
	json_object_set_new(own->n->names, key, json_string(o->name));
	/* Made by something else, or of the system: the other side has its own. */
	if ((o->kind->flags & K_TENANT) && !stays(o->kind) &&
	    !(o->kind->flags & (K_NO_CREATE | K_READONLY | K_SINGLETON)) && !o->system &&
	    strcmp(o->tenant, own->v->tenant) == 0 &&
	    (!own->v->user || access_may_object(own->v, o, ACCESS_READ, NULL) == 0))
		add(own->n, o);
	return 0;
}

struct snapshot *snapshot_tenant(struct store *s, struct viewer *v)
{
	struct snapshot *n = snapshot_new();
	struct own own = { n, v };
	const struct object *t = store_get(s, "tenant", v->tenant);

	n->tenant = xstrdup(t ? t->name : "");
	for (size_t i = 0; i < model_n_kinds; i++)
		if (!(model_kinds[i]->flags & K_RUNTIME))
			store_each(s, model_kinds[i]->path, add_own, &own);
	return n;
}

void snapshot_free(struct snapshot *n)
{
	if (!n)
		return;
	free(n->tenant);
	json_decref(n->objects);
	json_decref(n->names);
	json_decref(n->values);
	json_decref(n->files);
	free(n);
}

/* ---- keys and digests --------------------------------------------------------------------------- */

static bool derive(const json_t *kdf, const char *passphrase, unsigned char key[static 32])
{
	unsigned char salt[64];
	const char *hex = json_str(kdf, "salt", "");
	size_t n = strlen(hex) / 2;
	json_int_t passes = json_int(kdf, "passes", 0), kib = json_int(kdf, "kib", 0), lanes = json_int(kdf, "lanes", 0);

	if (strcmp(json_str(kdf, "name", ""), "argon2id") != 0 || passes < 1 || passes > PASSES_MAX || kib < 8 ||
	    kib > KIB_MAX || lanes < 1 || lanes > LANES_MAX || n < 8 || n > sizeof(salt) ||
	    strspn(hex, "0123456789abcdef") != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		char two[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		salt[i] = (unsigned char)strtoul(two, NULL, 16);
	}
	if (archive_test) {
		memset(key, 7, 32);
		return true;
	}
	return argon2id_hash_raw((uint32_t)passes, (uint32_t)kib, (uint32_t)lanes, passphrase, strlen(passphrase), salt, n,
				 key, 32) == ARGON2_OK;
}

/* Of everything but itself. KEY NULL: of who has no passphrase, against accidents alone. */
static void digest_of(json_t *root, const unsigned char *key, char out[static 65])
{
	json_t *meta = json_object_get(root, "META");
	CLEANUP_JSON json_t *had = json_incref(json_object_get(meta, "digest"));
	CLEANUP_FREE char *text = NULL;
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned n = sizeof(md);

	json_object_del(meta, "digest");
	text = json_text(root);
	if (had)
		json_object_set(meta, "digest", had);
	if (key)
		must(HMAC(EVP_sha256(), key, 32, (unsigned char *)text, strlen(text), md, &n));
	else
		must(EVP_Digest(text, strlen(text), md, &n, EVP_sha256(), NULL) == 1);
	hex_encode(out, md, 32);
}

/* Of the same length as the first one; with another purpose, another key. */
static void digest_key(const unsigned char key[static 32], unsigned char out[static 32])
{
	static const char purpose[] = "digest of an archive";
	unsigned n = 32;

	must(HMAC(EVP_sha256(), key, 32, (const unsigned char *)purpose, sizeof(purpose) - 1, out, &n));
}

/* ---- writing ------------------------------------------------------------------------------------ */

/* One object on its way: which one a secret is bound to, and by what. */
struct passing {
	const struct seal *seal; /* NULL: secrets are left out */
	const char *kind, *uuid;
};

static char *bound_to(const struct passing *p, const char *path)
{
	return xasprintf("%s/%s/%s", p->kind, p->uuid, path);
}

static char *seal_field(void *arg, const char *path, const char *value)
{
	const struct passing *p = arg;
	CLEANUP_FREE char *to = bound_to(p, path);

	return p->seal ? seal_put(p->seal, to, value) : xstrdup("<sensitive>");
}

struct names {
	struct model_resolver model;
	const json_t *names;
};

static const char *name_of(struct model_resolver *m, const char *kind, const char *uuid)
{
	struct names *n = CONTAINER_OF(m, struct names, model);
	CLEANUP_FREE char *key = xasprintf("%s/%s", kind, uuid);

	return json_str(n->names, key, NULL);
}

/* With names beside the references, which elsewhere lead to other uuids. */
static json_t *portable(const struct snapshot *n, const struct kind_desc *k, const json_t *body)
{
	struct model_write w = { .base_url = "", .include_name = true, .skip_default = true, .secrets = true };
	struct names names = { .model = { .name = name_of }, .names = n->names };
	json_t *out = model_write(k, body, &w, &names.model);

	json_object_del(out, "url");
	json_object_del(out, "_last_modified");
	return out;
}

static json_t *object_json(const struct snapshot *n, const struct seal *seal, const struct kind_desc *k, const json_t *one)
{
	const json_t *body = json_object_get(one, "body");
	struct passing p = { seal, k->path, json_str(body, "uuid", "") };
	CLEANUP_JSON json_t *sealed = model_map_secrets(k, body, seal_field, &p);
	json_t *out = n->full ? json_copy(sealed) : portable(n, k, sealed);

	if (json_is_true(json_object_get(one, "system")))
		json_object_set_new(out, "_system", json_true());
	return out;
}

static void add_objects(const struct snapshot *n, const struct seal *seal, json_t *root)
{
	const char *name;
	json_t *list, *one;
	void *next;
	size_t i;

	json_object_foreach_safe(n->objects, next, name, list) {
		const struct kind_desc *k = NULL;
		json_t *out = json_array();

		for (i = 0; i < model_n_kinds; i++)
			if (strcmp(model_kinds[i]->msg->name, name) == 0)
				k = model_kinds[i];
		must(k);
		json_array_foreach(list, i, one) json_array_append_new(out, object_json(n, seal, k, one));
		json_object_set_new(root, name, out);
	}
}

/* {"a": {"b": "text"}}, each text sealed as bound to "WHAT/a/b" where it must be, or left out. */
static json_t *texts_json(const json_t *texts, const char *what, const struct seal *seal)
{
	json_t *out = json_object(), *of, *v;
	const char *space, *key;

	json_object_foreach((json_t *)texts, space, of) {
		json_t *to = json_object();
		bool sealed;

		leaves(space, &sealed);
		json_object_foreach(of, key, v) {
			CLEANUP_FREE char *bound = xasprintf("%s/%s/%s", what, space, key);
			CLEANUP_FREE char *text = sealed && seal ? seal_put(seal, bound, json_string_value(v)) : NULL;

			if (!sealed || seal)
				json_object_set_new(to, key, json_string(text ? text : json_string_value(v)));
		}
		json_object_set_new(out, space, to);
	}
	return out;
}

static json_t *meta_json(const struct snapshot *n, bool sealed)
{
	char text[MOMENT_MAX];
	json_t *m;

	moment_text(n->made_us, MOMENT_SECONDS, text);
	m = json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "format", ARCHIVE_FORMAT, "version", CONTRACT_VERSION,
		      "spanwire_version", SPANWIRE_VERSION, "made", text, "scope", n->full ? "full_system" : "tenant", "secrets",
		      sealed ? "sealed with the passphrase" : "left out: there was no passphrase");
	must(m);
	if (n->tenant)
		json_object_set_new(m, "tenant", json_string(n->tenant));
	return m;
}

char *archive_make(const struct snapshot *n, const char *passphrase)
{
	CLEANUP_JSON json_t *root = json_object();
	json_t *meta = meta_json(n, passphrase != NULL);
	unsigned char key[32], mac[32];
	struct seal *seal = NULL;
	char digest[65];

	json_object_set_new(root, "META", meta);
	if (passphrase) {
		unsigned char salt[SALT];
		char hex[2 * SALT + 1];
		json_t *kdf;

		random_bytes(salt, sizeof(salt));
		hex_encode(hex, salt, sizeof(salt));
		kdf = json_pack("{s:s, s:s, s:i, s:i, s:i}", "name", "argon2id", "salt", hex, "passes", PASSES, "kib", KIB,
				"lanes", LANES);
		must(kdf && derive(kdf, passphrase, key));
		seal = seal_with(key);
		digest_key(key, mac);
		json_object_set_new(meta, "kdf", kdf);
		{
			CLEANUP_FREE char *sealed = seal_put(seal, "META/proof", proof);

			json_object_set_new(meta, "proof", json_string(sealed));
		}
	}
	add_objects(n, seal, root);
	if (n->full) {
		CLEANUP_JSON json_t *files = json_pack("{s:O}", "ca", n->files);
		json_t *texts = texts_json(files, "files", seal);

		json_object_set_new(meta, "values", texts_json(n->values, "values", seal));
		json_object_set_new(meta, "files", texts);
	}
	digest_of(root, passphrase ? mac : NULL, digest);
	json_object_set_new(meta, "digest", json_string(digest));
	seal_free(seal);
	OPENSSL_cleanse(key, sizeof(key));
	OPENSSL_cleanse(mac, sizeof(mac));
	return json_text(root);
}

/* ---- reading ------------------------------------------------------------------------------------ */

static int check_meta(const json_t *meta, struct err *e)
{
	json_int_t format = json_int(meta, "format", 0);

	if (json_is_object(json_object_get(meta, "version")) && format < 1)
		return err_set(e, -EINVAL, NULL,
			       "META has no format: another product exported this. Its objects are made one by one, by POST /api/KIND.");
	if (!json_is_object(meta) || format < 1)
		return err_set(e, -EINVAL, NULL, "This is no exported configuration: it has no META that says so.");
	if (format > ARCHIVE_FORMAT)
		return err_set(e, -EINVAL, NULL,
			       "The file was exported by a newer release (%.40s, format %lld; this one reads up to %d): import it there.",
			       json_str(meta, "spanwire_version", "unknown"), (long long)format, ARCHIVE_FORMAT);
	return 0;
}

static int unlock(struct archive *a, const json_t *meta, const char *passphrase, unsigned char mac[static 32], struct err *e)
{
	CLEANUP_FREE char *opened = NULL;
	unsigned char key[32];

	if (!passphrase)
		return err_set(e, -EINVAL, "passphrase", "The secrets of the file are sealed: give the passphrase of its export.");
	if (strlen(passphrase) > ARCHIVE_PASSPHRASE_MAX)
		return err_set(e, -EINVAL, "passphrase", "It has at most %d bytes.", ARCHIVE_PASSPHRASE_MAX);
	if (!derive(json_object_get(meta, "kdf"), passphrase, key))
		return err_set(e, -EINVAL, NULL, "The file is damaged: META.kdf does not say how its key is made.");
	a->seal = seal_with(key);
	digest_key(key, mac);
	OPENSSL_cleanse(key, sizeof(key));
	opened = seal_take(a->seal, "META/proof", json_str(meta, "proof", ""));
	if (!opened || strcmp(opened, proof) != 0)
		return err_set(e, -EINVAL, "passphrase", "It is not the one of this file.");
	return 0;
}

int archive_open(const char *text, size_t len, const char *passphrase, struct archive *out, struct err *e)
{
	unsigned char mac[32];
	struct err inner = { 0 };
	const json_t *meta;
	char digest[65];
	int rc;

	*out = (struct archive){ 0 };
	if (json_read(text, len, &out->root, &inner) < 0)
		return err_set(e, -EINVAL, NULL, "The file is damaged or was cut off: %s", err_line(&inner));
	meta = json_object_get(out->root, "META");
	rc = check_meta(meta, e);
	out->full = strcmp(json_str(meta, "scope", ""), "full_system") == 0;
	out->sealed = json_object_get(meta, "kdf") != NULL;
	if (rc == 0 && out->sealed)
		rc = unlock(out, meta, passphrase, mac, e);
	if (rc == 0) {
		digest_of(out->root, out->sealed ? mac : NULL, digest);
		if (strcmp(digest, json_str(meta, "digest", "")) != 0 && !archive_test)
			rc = err_set(e, -EINVAL, NULL, "The file is damaged: it is not what was exported.");
	}
	OPENSSL_cleanse(mac, sizeof(mac));
	if (rc < 0)
		archive_close(out);
	return rc;
}

void archive_close(struct archive *a)
{
	json_decref(a->root);
	seal_free(a->seal);
	*a = (struct archive){ 0 };
}

static char *open_field(void *arg, const char *path, const char *value)
{
	const struct passing *p = arg;
	CLEANUP_FREE char *to = bound_to(p, path);

	if (!seal_is(value))
		return xstrdup(value);
	return p->seal ? seal_take(p->seal, to, value) : NULL;
}

static int read_object(const struct archive *a, const struct kind_desc *k, const json_t *one, json_t **body, struct err *e)
{
	struct passing p = { a->seal, k->path, json_str(one, "uuid", "") };
	CLEANUP_JSON json_t *bare = NULL, *opened = NULL, *read = NULL;
	int rc;

	if (!json_is_object(one))
		return err_set(e, -EINVAL, NULL, "An object is wanted.");
	bare = json_copy((json_t *)one);
	json_object_del(bare, "_system");
	opened = model_map_secrets(k, bare, open_field, &p);
	if (!opened)
		return err_set(e, -EINVAL, NULL, "The file is damaged: a secret does not open.");
	if (!a->full) {
		*body = json_incref(opened);
		return 0;
	}
	/* In the stored form already: what is read of it is what a client may set, and has nothing more to say. */
	rc = model_read(k, opened, MODEL_STRICT | MODEL_ALLOW_LATER, NULL, &read, NULL, e);
	if (rc == 0)
		rc = model_fits(k, opened, e);
	if (rc == 0)
		*body = json_incref(opened);
	return rc;
}

int archive_objects(const struct archive *a,
		    int (*f)(void *arg, const struct kind_desc *k, json_t *body, bool system, struct err *e), void *arg,
		    struct err *e)
{
	const char *name;
	json_t *list, *one;
	size_t i;
	int rc = 0;

	json_object_foreach(a->root, name, list) {
		const struct kind_desc *k = NULL;
		char at[300];

		if (strcmp(name, "META") == 0)
			continue;
		for (i = 0; i < model_n_kinds; i++)
			if (strcmp(model_kinds[i]->msg->name, name) == 0 && !(model_kinds[i]->flags & K_RUNTIME))
				k = model_kinds[i];
		if (!k || !json_is_array(list))
			return err_set(e, -EINVAL, name, "There are no objects of this kind here.");
		json_array_foreach(list, i, one) {
			CLEANUP_JSON json_t *body = NULL;

			rc = read_object(a, k, one, &body, e);
			if (rc == 0)
				rc = f(arg, k, body, json_is_true(json_object_get(one, "_system")), e);
			if (rc == 0)
				continue;
			snprintf(at, sizeof(at), "%.60s[%zu]", name, i);
			err_within(e, at);
			return rc;
		}
	}
	return rc;
}

/* Sealed texts of META.WHAT.SPACE.KEY; NULL: it does not open. */
static char *text_of(const struct archive *a, const char *what, const char *space, const char *key, const char *text)
{
	CLEANUP_FREE char *bound = xasprintf("%s/%s/%s", what, space, key);

	if (!seal_is(text))
		return xstrdup(text);
	return a->seal ? seal_take(a->seal, bound, text) : NULL;
}

int archive_values(const struct archive *a,
		   int (*f)(void *arg, const char *space, const char *key, const char *value, struct err *e), void *arg,
		   struct err *e)
{
	json_t *values = json_object_get(json_object_get(a->root, "META"), "values"), *of, *v;
	const char *space, *key;
	int rc = 0;

	json_object_foreach(values, space, of) {
		bool sealed;

		if (!leaves(space, &sealed))
			return err_set(e, -EINVAL, "META.values", "'%.40s' has no place in an export.", space);
		json_object_foreach(of, key, v) {
			CLEANUP_FREE char *text =
				json_is_string(v) ? text_of(a, "values", space, key, json_string_value(v)) : NULL;

			if (!text)
				return err_set(e, -EINVAL, "META.values", "The file is damaged: %.40s %.100s does not open.",
					       space, key);
			rc = f(arg, space, key, text, e);
			if (rc)
				return rc;
		}
	}
	return rc;
}

char *archive_file(const struct archive *a, const char *name)
{
	const json_t *files = json_object_get(json_object_get(a->root, "META"), "files");
	const char *text = json_str(json_object_get(files, "ca"), name, NULL);

	return text ? text_of(a, "files", "ca", name, text) : NULL;
}
