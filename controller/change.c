#include "controller/change.h"

#include <errno.h>

#include "base/base.h"
#include "controller/audit.h"
#include "controller/derived.h"
#include "controller/doubts.h"
#include "controller/jsonpatch.h"
#include "controller/resolve.h"
#include "controller/rules.h"

void change_begin(struct change *c, struct store *s, const struct change_by *by)
{
	*c = (struct change){
		.store = s, .txn = txn_begin(s), .by = *by, .notes = MODEL_NOTES_INIT
	};
}

int change_commit(struct change *c, struct err *e)
{
	int rc = txn_commit(c->txn, NULL, e);

	c->txn = NULL;
	return rc;
}

int change_commit_soon(struct change *c, struct err *e)
{
	int rc = txn_commit_soon(c->txn, NULL, e);

	c->txn = NULL;
	return rc;
}

void change_abort(struct change *c)
{
	if (c->txn)
		txn_abort(c->txn);
	c->txn = NULL;
}

void change_warn(struct change *c, const char *fmt, ...)
{
	struct buf *b = &c->notes.warnings;
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* Several objects of one change say the same. */
	if (!strstr(buf_cstr(b), text))
		buf_printf(b, "%s%s", b->len ? " " : "", text);
}

bool change_shows(const struct change *c, const struct object *o)
{
	return !c->by.viewer || access_sees(c->by.viewer, o);
}

/* ---- who may write ------------------------------------------------------------ */

static int may(struct change *c, const struct kind_desc *k, const char *tenant,
	       enum access_verb verb, struct err *e)
{
	if (c->by.viewer)
		return access_may(c->by.viewer, guard_of(k), tenant, verb, e);
	return c->by.internal ? 0 : err_set(e, -EACCES, NULL, "Nobody stands for this change.");
}

/* Deletes "list.field" (LEN bytes) wherever it is in V. */
static void without(json_t *v, const char *path, size_t len)
{
	size_t n = MIN(strcspn(path, "."), len), i;
	CLEANUP_FREE char *name = xstrndup(path, n);
	json_t *item;

	if (json_is_array(v))
		json_array_foreach(v, i, item) without(item, path, len);
	else if (n == len)
		json_object_del(v, name);
	else
		without(json_object_get(v, name), path + n + 1, len - n - 1);
}

/* As it is, defaults included: a client that writes back what it read has set them all. */
static json_t *whole(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	struct model_write w = { .base_url = "", .secrets = true };
	struct resolver r;

	resolver_init(&r, c->store, c->txn, "*", "");
	return model_write(k, stored, &w, &r.model);
}

/* Do OLD and NEW differ in FIELDS ("enabled servers.enabled") alone? */
static bool differs_only_in(struct change *c, const struct kind_desc *k, const char *fields,
			    const json_t *old, const json_t *new)
{
	CLEANUP_JSON json_t *a = whole(c, k, old), *b = whole(c, k, new);

	for (const char *p = fields; *p; p += strcspn(p, " "), p += strspn(p, " ")) {
		without(a, p, strcspn(p, " "));
		without(b, p, strcspn(p, " "));
	}
	return json_equal(a, b);
}

/* Who may not write the kind may, as an operator, switch what there is on and off. */
static int may_become(struct change *c, const struct object *o, const json_t *old,
		      const json_t *new, struct err *e)
{
	const char *fields = guard_act_fields(guard_of(o->kind));
	int rc = may(c, o->kind, o->tenant, ACCESS_WRITE, e);

	if (rc < 0 && fields && may(c, o->kind, o->tenant, ACCESS_ACT, NULL) == 0 &&
	    differs_only_in(c, o->kind, fields, old, new))
		rc = 0;
	return rc;
}

/* ---- where an object goes ---------------------------------------------------- */

static void resolver(struct change *c, struct resolver *r, const struct kind_desc *k,
		     const char *tenant, const char *cloud)
{
	/* What has no tenant refers to things of the request's; a superuser's to anything. */
	if (!(k->flags & K_TENANT))
		tenant = c->by.viewer && access_is_superuser(c->by.viewer) ? "*" : c->by.tenant;
	resolver_init(r, c->store, c->txn, tenant, cloud);
	r->viewer = c->by.viewer;
}

/* Names that become part of URLs: what every client can carry there unescaped. */
static int check_uuid(const char *uuid, struct err *e)
{
	size_t n = strspn(uuid,
			  "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._");

	if (n == 0 || uuid[n] || n >= UUID_MAX - 64 || uuid[0] == '.')
		return err_set(
			e, -EINVAL, "uuid",
			"A uuid has at most %d letters, digits, '-', '.' and '_', and no dot in front.",
			UUID_MAX - 65);
	return 0;
}

/* A reference of the body: "" when it is not there or says nothing, NULL when it is no string. */
static const char *given(const json_t *wire, const char *field)
{
	return json_object_get(wire, field) ? json_str(wire, field, NULL) : "";
}

/*
 * A client that works in a tenant other than `admin` said so with each request, and its objects go there: those that it read
 * elsewhere, to copy them, still name the tenant that they are from.
 */
static bool stays_here(struct change *c, struct resolver *r, const char *home, const char *asked)
{
	const struct object *t = txn_get(c->txn, "tenant", home);
	char uuid[UUID_MAX];

	if (c->by.internal || strcmp(home, TENANT_ADMIN) == 0)
		return false;
	if (t && (r->model.resolve(&r->model, "tenant", asked, uuid, sizeof(uuid), NULL) < 0 ||
		  strcmp(uuid, home) != 0))
		change_warn(c,
			    "tenant_ref: The object is made in %.60s, the tenant of the request.",
			    t->name);
	return true;
}

static int place_tenant(struct change *c, const struct kind_desc *k, json_t *wire, char *tenant,
			struct err *e)
{
	struct resolver r;
	const char *asked = given(wire, "tenant_ref");
	const char *home = strcmp(c->by.tenant, "*") == 0 ? TENANT_ADMIN : c->by.tenant;
	char ref[UUID_MAX + 16];
	int rc;

	tenant[0] = '\0';
	if (!(k->flags & K_TENANT))
		return 0;
	if (!asked)
		return err_set(e, -EINVAL, "tenant_ref", "A reference is a string.");
	snprintf(tenant, UUID_MAX, "%s", home);
	resolver(c, &r, k, home, "");
	if (*asked && !stays_here(c, &r, home, asked)) {
		rc = r.model.resolve(&r.model, "tenant", asked, tenant, UUID_MAX, e);
		if (rc < 0) {
			err_within(e, "tenant_ref");
			return rc;
		}
	}
	snprintf(ref, sizeof(ref), "/api/tenant/%s", tenant);
	json_object_set_new(wire, "tenant_ref", json_string(ref));
	return 0;
}

static int place_cloud(struct change *c, const struct kind_desc *k, json_t *wire,
		       const char *tenant, char *cloud, struct err *e)
{
	struct resolver r;
	const char *asked = given(wire, "cloud_ref");
	char ref[UUID_MAX + 16];
	int rc;

	cloud[0] = '\0';
	if (!(k->flags & K_CLOUD))
		return 0;
	if (!asked)
		return err_set(e, -EINVAL, "cloud_ref", "A reference is a string.");
	resolver(c, &r, k, tenant, "");
	rc = r.model.resolve(&r.model, "cloud", *asked ? asked : "/api/cloud?name=Default-Cloud",
			     cloud, UUID_MAX, e);
	if (rc < 0) {
		err_within(e, "cloud_ref");
		return rc;
	}
	snprintf(ref, sizeof(ref), "/api/cloud/%s", cloud);
	json_object_set_new(wire, "cloud_ref", json_string(ref));
	return 0;
}

/* ---- the writes ---------------------------------------------------------------- */

/*
 * OLD, when there is one, may hold what is not built yet: a system object, a profile of a later
 * protocol. Nothing can use it (rule_uses_built), so it may be written back as it was read.
 */
static unsigned read_flags(const struct change *c, const struct object *old)
{
	bool later = c->by.system || (old && model_later(old->kind, old->body, NULL) < 0);

	return (c->by.strict ? MODEL_STRICT : 0) | (later ? MODEL_ALLOW_LATER : 0);
}

/* References of an object that is in CLOUD, one at a time. */
struct home {
	struct change *c;
	const char *cloud;
	struct err *e;
};

static int is_at_home(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct home *h = arg;
	const struct object *o = txn_get(h->c->txn, kind, uuid);

	if (!o || !*o->cloud || strcmp(o->cloud, h->cloud) == 0)
		return 0;
	return err_set(h->e, -EINVAL, path, "%s '%s' is in another cloud.", o->kind->msg->name,
		       o->name);
}

/* Engines of one cloud never hear of what is in another. */
static int stays_in_cloud(struct change *c, const struct kind_desc *k, const json_t *new,
			  struct err *e)
{
	struct home h = { c, ref_target(json_str(new, "cloud_ref", NULL)), e };

	return k->flags & K_CLOUD ? model_refs(k, new, is_at_home, &h) : 0;
}

static int check(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *old,
		 json_t *new, struct err *e)
{
	const struct rule *r = rule_find(k->path);
	int rc = stays_in_cloud(c, k, new, e);

	if (rc == 0 && r && r->fill)
		rc = r->fill(c, uuid, old, new, e);
	if (rc == 0 && r && r->check)
		rc = r->check(c, uuid, old, new, e);
	if (rc == 0)
		doubts_tell(c, k, new);
	return rc;
}

static int made(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *new,
		struct err *e)
{
	const struct rule *r = rule_find(k->path);

	if (!r || !r->made)
		return 0;
	/* What comes with an object is the controller's doing: whoever may make it needs no right for that. */
	struct change_by by = c->by;
	int rc;

	c->by.viewer = NULL;
	c->by.internal = true;
	rc = r->made(c, uuid, new, e);
	c->by = by;
	return rc;
}

static int leaving(struct change *c, const struct kind_desc *k, const char *uuid, struct err *e)
{
	const struct rule *r = rule_find(k->path);

	if (!r || !r->leaving)
		return 0;
	struct change_by by = c->by;
	int rc;

	c->by.viewer = NULL;
	c->by.internal = true;
	rc = r->leaving(c, uuid, e);
	c->by = by;
	return rc;
}

static int gone(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *old,
		struct err *e)
{
	const struct rule *r = rule_find(k->path);

	return r && r->gone ? r->gone(c, uuid, old, e) : 0;
}

static int prepare(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *old,
		   json_t *wire, struct err *e)
{
	const struct rule *r = rule_find(k->path);

	return r && r->prepare ? r->prepare(c, uuid, old, wire, e) : 0;
}

int change_create(struct change *c, const struct kind_desc *k, const json_t *wire, char *uuid,
		  struct err *e)
{
	CLEANUP_JSON json_t *w = json_deep_copy(wire), *stored = NULL;
	char tenant[UUID_MAX], cloud[UUID_MAX], id[37];
	struct resolver r;
	int rc;

	if (!json_is_object(wire))
		return err_set(e, -EINVAL, NULL, "A %s is a JSON object.", k->path);
	if ((k->flags & (K_NO_CREATE | K_READONLY | K_SINGLETON)) && !c->by.internal)
		return err_set(e, -EPERM, NULL,
			       "Objects of the kind %s are made by the controller.", k->path);
	rc = place_tenant(c, k, w, tenant, e);
	if (rc == 0)
		rc = may(c, k, tenant, ACCESS_WRITE, e);
	if (rc == 0)
		rc = place_cloud(c, k, w, tenant, cloud, e);
	if (rc < 0)
		return rc;
	if (!*uuid) {
		uuid4(id);
		snprintf(uuid, UUID_MAX, "%s-%s", k->path, id);
	}
	rc = check_uuid(uuid, e);
	if (rc == 0)
		rc = prepare(c, k, uuid, NULL, w, e);
	if (rc < 0)
		return rc;
	json_object_set_new(w, "uuid", json_string(uuid));
	resolver(c, &r, k, tenant, cloud);
	rc = model_read(k, w, read_flags(c, NULL), &r.model, &stored, &c->notes, e);
	/* What was read elsewhere has "<sensitive>" for its secrets: here there are none to keep. */
	if (rc == 0)
		rc = model_replace(k, NULL, stored, e);
	/* Who makes it twice is told that, and not that the first one has its address. */
	if (rc == 0 && (!*json_str(stored, "name", "") ||
			!store_find(c->store, k->path, tenant, cloud, json_str(stored, "name", ""))))
		rc = check(c, k, uuid, NULL, stored, e);
	if (rc == 0)
		rc = txn_create(c->txn, k, uuid, tenant, cloud, stored, c->by.system, e);
	if (rc == 0)
		audit_change(c, k, uuid, tenant, NULL, stored);
	return rc < 0 ? rc : made(c, k, uuid, stored, e);
}

/* Clients, and the defaults of our own tables, find system objects by name. */
static int keeps_name(const struct change *c, const struct object *o, const json_t *new,
		      struct err *e)
{
	if (!o->system || c->by.system || (o->kind->flags & K_SINGLETON) ||
	    strcmp(o->name, json_str(new, "name", "")) == 0)
		return 0;
	return err_set(e, -EINVAL, "name", "Cannot rename system default object '%s'.", o->name);
}

/* Would anybody see that OLD became NEW? A default that is written out says nothing new. */
static bool says_the_same(struct change *c, const struct object *o, const json_t *old, const json_t *new)
{
	const struct model_write w = { .base_url = "", .secrets = true };
	struct resolver r;

	/* A capture that is asked for once more is asked for. */
	if (o->kind->of && !model_is_default(o->kind, new))
		return false;
	if (json_equal(old, new))
		return true;
	resolver(c, &r, o->kind, o->tenant, o->cloud);
	CLEANUP_JSON json_t *was = model_write(o->kind, old, &w, &r.model), *is = model_write(o->kind, new, &w, &r.model);

	return json_equal(was, is);
}

/* The second half of PUT and PATCH. Takes NEW. Who writes back what he has read changes nothing, and makes no news. */
static int update_with(struct change *c, const struct object *o, json_t *new, uint64_t expect_us,
		       struct err *e)
{
	CLEANUP_JSON json_t *stored = new;
	/* Ours: the store may give O up when it is replaced. */
	CLEANUP_JSON json_t *old = json_incref((json_t *)o->body);
	CLEANUP_FREE char *uuid = xstrdup(o->uuid), *tenant = xstrdup(o->tenant);
	const struct kind_desc *k = o->kind;
	int rc;

	rc = model_replace(k, old, stored, e);
	if (rc == 0)
		rc = may_become(c, o, old, stored, e);
	if (rc == 0)
		rc = keeps_name(c, o, stored, e);
	c->same = rc == 0 && o->system && says_the_same(c, o, old, stored);
	if (rc == 0)
		rc = rule_stays_built(c, k, uuid, stored, e);
	if (rc == 0)
		rc = check(c, k, uuid, old, stored, e);
	/* Asked again: a rule may have filled in what it reads out of the object. */
	if (rc == 0 && says_the_same(c, o, old, stored))
		return 0;
	if (rc == 0)
		rc = derived_write(c->store, c->txn, o, stored, expect_us, e);
	if (rc == 0)
		rc = derived_follow(c->store, c->txn, k, uuid, e);
	if (rc == 0)
		audit_change(c, k, uuid, tenant, old, stored);
	return rc;
}

static int existing(struct change *c, const struct kind_desc *k, const char *uuid,
		    enum access_verb verb, const struct object **o, struct derived *d, struct err *e)
{
	int rc;

	*o = derived_get(c->store, k, uuid, d);
	/* A superuser may have sent it to another tenant than he looks from, a moment ago. */
	if (!*o || (c->by.viewer && !access_is_superuser(c->by.viewer) && !change_shows(c, *o)))
		return err_set(e, -ENOENT, NULL, "%s object not found!", k->msg->name);
	rc = may(c, k, (*o)->tenant, verb, e);
	if (rc < 0)
		return rc;
	if ((k->flags & K_READONLY) && !c->by.internal)
		return err_set(e, -EPERM, NULL, "Objects of the kind %s can only be read.",
			       k->path);
	return 0;
}

static int read_again(struct change *c, const struct object *o, json_t *wire, uint64_t expect_us,
		      struct err *e)
{
	json_t *stored = NULL;
	struct resolver r;
	int rc = prepare(c, o->kind, o->uuid, o->body, wire, e);

	if (rc < 0)
		return rc;
	json_object_set_new(wire, "uuid", json_string(o->uuid));
	if (o->kind->of)
		json_object_set_new(wire, "name", json_string(o->name));
	resolver(c, &r, o->kind, o->tenant, o->cloud);
	rc = model_read(o->kind, wire, read_flags(c, o), &r.model, &stored, &c->notes, e);
	return rc < 0 ? rc : update_with(c, o, stored, expect_us, e);
}

int change_update(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *wire,
		  uint64_t expect_us, struct err *e)
{
	CLEANUP_JSON json_t *w = json_deep_copy(wire);
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o;
	int rc = existing(c, k, uuid, ACCESS_ACT, &o, &d, e);

	if (rc < 0)
		return rc;
	if (!json_is_object(wire))
		return err_set(e, -EINVAL, NULL, "A %s is a JSON object.", k->path);
	/*
	 * Before anything else is complained about: who has read something old should learn that
	 * first.
	 */
	if (expect_us && expect_us != o->last_modified_us)
		return err_set(e, -ESTALE, NULL,
			       "Concurrent update: the object was changed since it was read. "
			       "Need to reload object data %s.",
			       k->msg->name);
	return read_again(c, o, w, expect_us, e);
}

int change_patch(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *patch,
		 struct err *e)
{
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o;
	json_t *ops = json_object_get(patch, "json_patch");
	CLEANUP_JSON json_t *wire = NULL, *patched = NULL;
	json_t *stored = NULL;
	struct resolver r;
	int rc = existing(c, k, uuid, ACCESS_ACT, &o, &d, e);

	if (rc < 0)
		return rc;
	if (!json_is_object(patch))
		return err_set(e, -EINVAL, NULL,
			       "A PATCH is an object with add, replace, delete or json_patch.");
	resolver(c, &r, o->kind, o->tenant, o->cloud);
	if (ops) {
		struct model_write w = { .base_url = "" };

		if (json_object_size(patch) != 1)
			return err_set(e, -EINVAL, "json_patch",
				       "It cannot be mixed with add, replace and delete.");
		/*
		 * On the object as a client sees it: it may replace a field that still has its
		 * default, and neither copy a secret to where it is shown nor test what it is.
		 */
		wire = model_write(k, o->body, &w, &r.model);
		/* The url is ours to say, and its host is not known here. */
		json_object_del(wire, "url");
		rc = jsonpatch_apply(wire, ops, &patched, e);
		return rc < 0 ? rc : read_again(c, o, patched, 0, e);
	}
	rc = model_patch(k, o->body, patch, read_flags(c, o), &r.model, &stored, &c->notes, e);
	if (rc < 0)
		return rc;
	json_object_set_new(stored, "uuid", json_string(o->uuid));
	return update_with(c, o, stored, 0, e);
}

static int is_hidden(void *arg, const struct object *o)
{
	return !change_shows(arg, o);
}

int change_delete(struct change *c, const struct kind_desc *k, const char *uuid, struct err *e)
{
	CLEANUP_DERIVED struct derived d = { 0 };
	const struct object *o;
	CLEANUP_JSON json_t *old = NULL;
	CLEANUP_FREE char *tenant = NULL;
	int rc = existing(c, k, uuid, ACCESS_WRITE, &o, &d, e);

	if (rc < 0)
		return rc;
	old = json_incref((json_t *)o->body);
	tenant = xstrdup(o->tenant);
	if (o == &d.o)
		return 0; /* it has its defaults already */
	rc = leaving(c, k, uuid, e);
	if (rc == 0)
		rc = txn_delete(c->txn, k, uuid, e);
	/* The sentence names who is in the way; of other tenants only that there is somebody. */
	if (rc == -EBUSY && store_referrers(c->store, k->path, uuid, is_hidden, c))
		err_set(e, rc, NULL,
			"Cannot delete, object is referred by objects of other tenants; X-Avi-Tenant: * names those that you may see.");
	if (rc == 0)
		rc = derived_follow(c->store, c->txn, k, uuid, e);
	if (rc == 0)
		rc = gone(c, k, uuid, old, e);
	if (rc == 0)
		audit_change(c, k, uuid, tenant, old, NULL);
	return rc;
}
