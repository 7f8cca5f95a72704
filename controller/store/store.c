/*
 * Every object is held in memory (shelf.h), parsed, with its references in both directions; the
 * disk is only read when the store is opened (and for values and events). So a
 * question never waits, and costs the same with ten objects or with a million.
 *
 * A write puts a new `held` into the slot of its object at once and remembers the old one in the
 * transaction; abort walks back. That is why a read inside the transaction needs nothing special.
 */
#include "controller/store/store.h"

#include <errno.h>

#include "base/base.h"
#include "controller/store/disk.h"
#include "controller/store/shelf.h"
#include "net/seal.h"

struct op {
	struct slot *slot;
	struct held *old, *new; /* NULL: created; deleted */
	struct list *before; /* deleted: what followed in the shelf */
};

struct setting {
	char *space, *key, *value;
};

struct txn {
	struct store *store;
	bool open;
	uint64_t revision; /* that it will have if it changes objects */
	struct op *ops;
	size_t n_ops;
	struct setting *settings;
	size_t n_settings;
	json_t **events;
	size_t n_events;
};

struct store {
	struct disk *disk;
	struct seal *seal;
	struct disk_state state;
	struct shelves shelves;
	struct store_watch *watches;
	struct slot **bare; /* while it is opened: see seal_later() */
	size_t n_bare;
	bool unsynced; /* commits that the disk need not have yet */
	struct txn txn;
};

/* ---- secrets --------------------------------------------------------- */

/* What is on the disk of a secret field is sealed; what is in memory is not. */
struct sealing {
	struct store *s;
	const char *kind, *uuid;
	bool bare; /* a secret that was not sealed was met */
};

static char *seal_field(void *arg, const char *path, const char *value)
{
	struct sealing *g = arg;
	CLEANUP_FREE char *bound_to = xasprintf("%s/%s/%s", g->kind, g->uuid, path);

	return seal_put(g->s->seal, bound_to, value);
}

/* An older release did not seal, or the field was no secret to it. */
static char *open_field(void *arg, const char *path, const char *value)
{
	struct sealing *g = arg;
	CLEANUP_FREE char *bound_to = xasprintf("%s/%s/%s", g->kind, g->uuid, path);

	if (seal_is(value))
		return seal_take(g->s->seal, bound_to, value);
	g->bare = true;
	return xstrdup(value);
}

/* As the disk gets it. Caller frees. */
static char *body_text(struct store *s, const struct object *o)
{
	struct sealing g = { .s = s, .kind = o->kind->path, .uuid = o->uuid };
	CLEANUP_JSON json_t *sealed = model_map_secrets(o->kind, o->body, seal_field, &g);

	return json_text(sealed);
}

static const char seal_space[] = "seal", seal_proof[] = "what this key has sealed";

/*
 * The first start makes the key and leaves a proof of it in the store; from then on no other key, and no
 * lost one, is accepted: it would look like damage, object by object.
 */
static int open_seal(struct store *s, const char *dir, struct err *e)
{
	CLEANUP_FREE char *proof = disk_value(s->disk, seal_space, "proof"), *opened = NULL;
	CLEANUP_FREE char *fresh = NULL;
	int rc = seal_open(dir, proof == NULL, &s->seal, e);

	if (rc < 0)
		return rc;
	if (proof) {
		opened = seal_take(s->seal, seal_space, proof);
		return opened && strcmp(opened, seal_proof) == 0
			       ? 0
			       : err_set(e, -EKEYREJECTED, NULL,
					 "The key-encryption key %s is not the one that the store in %s was "
					 "sealed with: put that one back.",
					 seal_path(s->seal), dir);
	}
	fresh = seal_put(s->seal, seal_space, seal_proof);
	disk_begin(s->disk, true);
	disk_set(s->disk, seal_space, "proof", fresh);
	return disk_commit(s->disk, &s->state, e);
}

/* ---- opening --------------------------------------------------------- */

/* An object that an older release has written with bare secrets. */
static void seal_later(struct store *s, const struct disk_row *r)
{
	s->bare = one_more(s->bare, s->n_bare, sizeof(*s->bare));
	s->bare[s->n_bare++] = slot_find(&s->shelves, r->kind, r->uuid);
}

static int seal_bare(struct store *s, struct err *e)
{
	CLEANUP_FREE char *unswept = disk_value(s->disk, seal_space, "unswept");
	int rc = 0;

	if (s->n_bare) {
		disk_begin(s->disk, true);
		for (size_t i = 0; i < s->n_bare; i++) {
			const struct object *o = &s->bare[i]->held->o;
			CLEANUP_FREE char *body = body_text(s, o);
			struct disk_row r = { .kind = o->kind->path,
					      .uuid = o->uuid,
					      .name = o->name,
					      .body = body,
					      .revision = o->revision,
					      .last_modified_us = o->last_modified_us };

			disk_update(s->disk, &r);
		}
		disk_set(s->disk, seal_space, "unswept", "1");
		rc = disk_commit(s->disk, &s->state, e);
	}
	free(s->bare);
	s->bare = NULL;
	if (rc == 0 && (s->n_bare || unswept)) {
		/* What was overwritten still stands in free pages and in the log. */
		rc = disk_sweep(s->disk, e);
		if (rc == 0) {
			disk_begin(s->disk, true);
			disk_set(s->disk, seal_space, "unswept", NULL);
			rc = disk_commit(s->disk, &s->state, e);
		}
	}
	return rc;
}

static int load_row(void *arg, const struct disk_row *r, struct err *e)
{
	struct store *s = arg;
	struct shelf *shelf = shelf_of(&s->shelves, r->kind);
	CLEANUP_JSON json_t *written = NULL, *body = NULL;
	struct sealing g = { .s = s, .kind = r->kind, .uuid = r->uuid };
	struct held *h;

	if (!shelf)
		return err_set(e, -EPROTONOSUPPORT, NULL,
			       "The store holds a %s, a kind that this release does not know.",
			       r->kind);
	if (json_read(r->body, strlen(r->body), &written, e) || !json_is_object(written))
		return err_set(e, -EUCLEAN, NULL, "The store is damaged: %s %s is not readable.",
			       r->kind, r->uuid);
	body = model_map_secrets(shelf->kind, written, open_field, &g);
	if (!body)
		return err_set(e, -EUCLEAN, NULL,
			       "The store is damaged: a secret of %s %s does not open with the key-encryption "
			       "key %s.",
			       r->kind, r->uuid, seal_path(s->seal));
	if (store_get(s, r->kind, r->uuid))
		return err_set(e, -EUCLEAN, NULL, "The store is damaged: %s %s is there twice.",
			       r->kind, r->uuid);
	h = held_make(&s->shelves, shelf, r->uuid, r->tenant, r->cloud, body);
	h->o.revision = r->revision;
	h->o.created_revision = r->created_revision;
	h->o.last_modified_us = r->last_modified_us;
	h->o.system = r->system;
	held_enter(&s->shelves, h);
	shelve(h->slot, &shelf->slots);
	if (g.bare)
		seal_later(s, r);
	return 0;
}

int store_open(const char *dir, struct store **out, struct err *e)
{
	struct store *s = xcalloc(1, sizeof(*s));
	int rc;

	s->txn.store = s;
	shelves_init(&s->shelves);
	rc = disk_open(dir, &s->disk, &s->state, e);
	if (!rc)
		rc = open_seal(s, dir, e);
	if (!rc)
		rc = disk_load(s->disk, load_row, s, e);
	if (!rc)
		rc = seal_bare(s, e);
	if (rc) {
		store_close(s);
		s = NULL;
	}
	*out = s;
	return rc;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	must(!s->txn.open);
	shelves_fini(&s->shelves);
	disk_close(s->disk);
	seal_free(s->seal);
	free(s->bare);
	free(s);
}

const char *store_epoch(const struct store *s)
{
	return s->state.epoch;
}

uint64_t store_revision(const struct store *s)
{
	return s->state.revision;
}

int store_new_epoch(struct store *s, struct err *e)
{
	struct disk_state next = s->state;
	unsigned char random[16];
	int rc;

	must(!s->txn.open);
	random_bytes(random, sizeof(random));
	hex_encode(next.epoch, random, sizeof(random));
	disk_begin(s->disk, true);
	rc = disk_commit(s->disk, &next, e);
	if (!rc)
		s->state = next;
	return rc;
}

/* ---- questions ------------------------------------------------------- */

const struct object *store_get(struct store *s, const char *kind, const char *uuid)
{
	struct slot *slot = slot_find(&s->shelves, kind, uuid);

	return slot && slot->held ? &slot->held->o : NULL;
}

const struct object *store_find(struct store *s, const char *kind, const char *tenant,
				const char *cloud, const char *name)
{
	struct held *h = held_find(&s->shelves, kind, tenant, cloud, name);

	return h ? &h->o : NULL;
}

int store_each(struct store *s, const char *kind, int (*f)(void *arg, const struct object *o),
	       void *arg)
{
	struct shelf *shelf = shelf_of(&s->shelves, kind);
	int rc = 0;

	if (!shelf)
		return 0;
	LIST_FOREACH(l, &shelf->slots) {
		rc = f(arg, &LIST_ENTRY(l, struct slot, in_shelf)->held->o);
		if (rc)
			break;
	}
	return rc;
}

size_t store_count(struct store *s, const char *kind)
{
	struct shelf *shelf = shelf_of(&s->shelves, kind);

	return shelf ? shelf->n : 0;
}

int store_referrers(struct store *s, const char *kind, const char *uuid,
		    int (*f)(void *arg, const struct object *o), void *arg)
{
	struct slot *slot = slot_find(&s->shelves, kind, uuid);
	int rc = 0;

	if (!slot)
		return 0;
	LIST_FOREACH(l, &slot->referrers) {
		rc = f(arg, &LIST_ENTRY(l, struct ref, in_target)->from->o);
		if (rc)
			break;
	}
	return rc;
}

/* ---- transactions ---------------------------------------------------- */

static uint64_t next_us(struct store *s)
{
	s->state.last_us = MAX(wall_us(), s->state.last_us + 1);
	return s->state.last_us;
}

struct txn *txn_begin(struct store *s)
{
	must(!s->txn.open);
	s->txn = (struct txn){ .store = s, .open = true, .revision = s->state.revision + 1 };
	return &s->txn;
}

static void remember(struct txn *t, struct slot *slot, struct held *old, struct held *new,
		     struct list *before)
{
	t->ops = one_more(t->ops, t->n_ops, sizeof(*t->ops));
	t->ops[t->n_ops++] = (struct op){ slot, old, new, before };
}

static int name_taken(const struct kind_desc *k, const char *name, struct err *e)
{
	return err_set(e, -EEXIST, NULL, "%s with name '%s' already exists", k->msg->name, name);
}

static int not_there(const struct kind_desc *k, const char *uuid, struct err *e)
{
	return err_set(e, -ENOENT, NULL, "%s object not found: %s", k->msg->name, uuid);
}

int txn_create(struct txn *t, const struct kind_desc *k, const char *uuid, const char *tenant,
	       const char *cloud, const json_t *body, bool system, struct err *e)
{
	struct store *s = t->store;
	struct shelf *shelf = shelf_of(&s->shelves, k->path);
	const char *name = name_of(body);
	struct held *h;

	must(shelf);
	if (store_get(s, k->path, uuid))
		return err_set(e, -EEXIST, NULL, "%s with uuid '%s' already exists", k->msg->name,
			       uuid);
	if (*name && store_find(s, k->path, tenant ? tenant : "", cloud ? cloud : "", name))
		return name_taken(k, name, e);
	h = held_make(&s->shelves, shelf, uuid, tenant, cloud, body);
	h->o.revision = h->o.created_revision = t->revision;
	h->o.last_modified_us = next_us(s);
	h->o.system = system;
	held_enter(&s->shelves, h);
	shelve(h->slot, &shelf->slots);
	remember(t, h->slot, NULL, h, NULL);
	return 0;
}

int txn_update(struct txn *t, const struct kind_desc *k, const char *uuid, const json_t *body,
	       uint64_t expect_us, struct err *e)
{
	struct store *s = t->store;
	struct slot *slot = slot_find(&s->shelves, k->path, uuid);
	struct held *old = slot ? slot->held : NULL;
	const char *name = name_of(body);
	const struct object *namesake;
	struct held *h;

	if (!old)
		return not_there(k, uuid, e);
	if (expect_us && expect_us != old->o.last_modified_us)
		return err_set(e, -ESTALE, NULL,
			       "%s '%s' was changed by somebody else since it was read",
			       k->msg->name, old->name);
	namesake = *name ? store_find(s, k->path, old->tenant, old->cloud, name) : NULL;
	if (namesake && namesake != &old->o)
		return name_taken(k, name, e);
	h = held_make(&s->shelves, slot->shelf, uuid, old->tenant, old->cloud, body);
	h->o.revision = t->revision;
	h->o.created_revision = old->o.created_revision;
	h->o.last_modified_us = next_us(s);
	h->o.system = old->o.system;
	held_leave(&s->shelves, old);
	held_enter(&s->shelves, h);
	remember(t, slot, old, h, NULL);
	return 0;
}

#define NAMED_REFERRERS 5

/* At most 60 bytes of a name, whole characters. */
static int shortened(const char *name)
{
	int n = (int)strnlen(name, 60);

	while (name[n] && ((unsigned char)name[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static int still_referred(const struct slot *slot, struct err *e)
{
	CLEANUP_FREE char *text = xstrdup("");
	size_t named = 0, total = slot->n_referrers;

	for (const struct list *l = slot->referrers.next;
	     l != &slot->referrers && named < NAMED_REFERRERS; l = l->next) {
		const struct held *from = LIST_ENTRY(l, struct ref, in_target)->from;
		const char *name = *from->name ? from->name : from->o.uuid;
		char *longer;

		/*
		 * Itself holds nobody back; it may stand behind the named ones, but then those
		 * hold it.
		 */
		if (from->slot == slot) {
			total--;
			continue;
		}
		longer = xasprintf("%s%s'%s %.*s'", text, named++ ? ", " : "",
				   from->o.kind->msg->name, shortened(name), name);
		free(text);
		text = longer;
	}
	if (!named)
		return 0;
	if (named == total)
		return err_set(e, -EBUSY, NULL, "Cannot delete, object is referred by: [%s]", text);
	return err_set(e, -EBUSY, NULL,
		       "Cannot delete, object is referred by: [%s, ...], %zu in total", text,
		       total);
}

int txn_delete(struct txn *t, const struct kind_desc *k, const char *uuid, struct err *e)
{
	struct store *s = t->store;
	struct slot *slot = slot_find(&s->shelves, k->path, uuid);
	struct held *old = slot ? slot->held : NULL;
	struct list *before;
	int rc;

	if (!old)
		return not_there(k, uuid, e);
	if (old->o.system)
		return err_set(e, -EPERM, NULL, "Cannot delete system default object");
	rc = still_referred(slot, e);
	if (rc)
		return rc;
	before = slot->in_shelf.next;
	held_leave(&s->shelves, old);
	unshelve(slot);
	remember(t, slot, old, NULL, before);
	return 0;
}

const struct object *txn_get(struct txn *t, const char *kind, const char *uuid)
{
	return store_get(t->store, kind, uuid);
}

void txn_event(struct txn *t, json_t *event)
{
	t->events = one_more(t->events, t->n_events, sizeof(*t->events));
	t->events[t->n_events++] = event;
}

int txn_set(struct txn *t, const char *space, const char *key, const char *value, struct err *e)
{
	(void)e;
	t->settings = one_more(t->settings, t->n_settings, sizeof(*t->settings));
	t->settings[t->n_settings++] = (struct setting){ xstrdup(space), xstrdup(key),
							 value ? xstrdup(value) : NULL };
	return 0;
}

/* Ends T and frees what it replaced (COMMITTED) or what it brought (not). */
static void finish(struct txn *t, bool committed)
{
	for (size_t i = 0; i < t->n_ops; i++) {
		struct held *gone = committed ? t->ops[i].old : t->ops[i].new;

		if (gone)
			held_free(&t->store->shelves, gone);
	}
	for (size_t i = 0; i < t->n_settings; i++) {
		free(t->settings[i].space);
		free(t->settings[i].key);
		free(t->settings[i].value);
	}
	for (size_t i = 0; i < t->n_events; i++)
		json_decref(t->events[i]);
	free(t->ops);
	free(t->settings);
	free(t->events);
	*t = (struct txn){ .store = t->store };
}

void txn_abort(struct txn *t)
{
	struct store *s = t->store;

	must(t->open);
	for (size_t i = t->n_ops; i-- > 0;) {
		struct op *op = &t->ops[i];

		if (op->new) {
			held_leave(&s->shelves, op->new);
			if (!op->old)
				unshelve(op->slot);
		}
		if (op->old) {
			held_enter(&s->shelves, op->old);
			if (!op->new)
				shelve(op->slot, op->before);
		}
	}
	finish(t, false);
}

struct missing {
	struct store *s;
	struct err *e;
};

static int find_missing(void *arg, const char *path, const char *kind, const char *uuid)
{
	struct missing *m = arg;
	struct shelf *shelf = shelf_of(&m->s->shelves, kind);

	if (!shelf || !*uuid || store_get(m->s, kind, uuid))
		return 0;
	err_set(m->e, -ENOENT, path, "%s object not found: %s", shelf->kind->msg->name, uuid);
	return 1;
}

/* What a transaction wrote refers only to what is there. */
static int check_references(struct txn *t, struct err *e)
{
	for (size_t i = 0; i < t->n_ops; i++) {
		struct held *h = t->ops[i].new;
		struct missing m = { t->store, e };
		bool whole = true;

		if (!h || h->slot->held != h)
			continue;
		for (size_t j = 0; j < h->n_refs; j++)
			whole = whole && h->refs[j].target->held;
		if (whole)
			continue;
		if (!find_missing(&m, "tenant_ref", "tenant", h->tenant) &&
		    !find_missing(&m, "cloud_ref", "cloud", h->cloud))
			model_refs(h->o.kind, h->body, find_missing, &m);
		return -ENOENT;
	}
	return 0;
}

static void write_op(struct store *s, const struct op *op)
{
	struct disk *d = s->disk;
	const struct object *o = op->new ? &op->new->o : &op->old->o;
	CLEANUP_FREE char *body = NULL;
	struct disk_row r = {
		.kind = o->kind->path,
		.uuid = o->uuid,
		.tenant = o->tenant,
		.cloud = o->cloud,
		.name = o->name,
		.revision = o->revision,
		.created_revision = o->created_revision,
		.last_modified_us = o->last_modified_us,
		.system = o->system,
	};

	if (!op->new) {
		disk_delete(d, r.kind, r.uuid);
		return;
	}
	r.body = body = body_text(s, o);
	if (op->old)
		disk_update(d, &r);
	else
		disk_create(d, &r);
}

static void write_event(struct store *s, struct disk_state *next, const json_t *event)
{
	CLEANUP_FREE char *text = json_text(event);

	next->last_us = next_us(s);
	disk_event(s->disk, next->next_event++, next->last_us, text);
	if (next->next_event - next->first_event > DISK_EVENTS_KEPT)
		next->first_event = next->next_event - DISK_EVENTS_KEPT;
}

/* What the world hears of: the last that happened to each object. */
static struct store_change *changes_of(struct txn *t, size_t *n)
{
	struct store_change *changes = xcalloc(t->n_ops + 1, sizeof(*changes));

	*n = 0;
	for (size_t i = 0; i < t->n_ops; i++) {
		const struct op *op = &t->ops[i];
		struct store_change *c = &changes[*n];

		if (op->slot->held != op->new)
			continue;
		*c = (struct store_change){ t->revision, op->slot->shelf->kind, op->slot->uuid,
					    !op->new };
		(*n)++;
	}
	return changes;
}

static int commit(struct txn *t, bool sync, uint64_t *revision, struct err *e)
{
	CLEANUP_FREE struct store_change *changes = NULL;
	struct store *s = t->store;
	struct disk_state next;
	size_t n;
	int rc;

	must(t->open);
	rc = check_references(t, e);
	if (rc) {
		txn_abort(t);
		return rc;
	}
	next = s->state;
	if (t->n_ops)
		next.revision = t->revision;
	disk_begin(s->disk, sync);
	for (size_t i = 0; i < t->n_ops; i++)
		write_op(s, &t->ops[i]);
	changes = changes_of(t, &n);
	for (size_t i = 0; i < t->n_settings; i++)
		disk_set(s->disk, t->settings[i].space, t->settings[i].key, t->settings[i].value);
	for (size_t i = 0; i < t->n_events; i++)
		write_event(s, &next, t->events[i]);
	rc = disk_commit(s->disk, &next, e);
	if (rc) {
		txn_abort(t);
		return rc;
	}
	s->state = next;
	s->unsynced = !sync;
	if (revision)
		*revision = next.revision;
	if (n) {
		for (struct store_watch *w = s->watches, *behind; w; w = behind) {
			behind = w->next;
			w->committed(w, next.revision, changes, n);
		}
	}
	finish(t, true);
	return 0;
}

int txn_commit(struct txn *t, uint64_t *revision, struct err *e)
{
	return commit(t, true, revision, e);
}

int txn_commit_soon(struct txn *t, uint64_t *revision, struct err *e)
{
	return commit(t, false, revision, e);
}

bool store_is_synced(const struct store *s)
{
	return !s->unsynced;
}

int store_sync(struct store *s, struct err *e)
{
	unsigned char raw[8];
	char text[2 * sizeof(raw) + 1];
	int rc;

	if (!s->unsynced)
		return 0;
	/*
	 * A commit that is synced takes all before it along. It must change something: one that
	 * writes what is there already writes nothing, and syncs nothing.
	 */
	random_bytes(raw, sizeof(raw));
	hex_encode(text, raw, sizeof(raw));
	disk_begin(s->disk, true);
	disk_set(s->disk, "sync", "", text);
	rc = disk_commit(s->disk, &s->state, e);
	if (rc == 0)
		s->unsynced = false;
	return rc;
}

/* ---- values, events ----------------------------------------- */

char *store_value(struct store *s, const char *space, const char *key)
{
	for (size_t i = s->txn.n_settings; i-- > 0;) {
		const struct setting *v = &s->txn.settings[i];

		if (!strcmp(v->space, space) && !strcmp(v->key, key))
			return v->value ? xstrdup(v->value) : NULL;
	}
	return disk_value(s->disk, space, key);
}

json_t *store_value_json(struct store *s, const char *space, const char *key)
{
	CLEANUP_FREE char *text = store_value(s, space, key);
	json_t *v = NULL;

	if (text)
		json_read(text, strlen(text), &v, NULL);
	return v;
}

int store_values(struct store *s, const char *space,
		 int (*f)(void *arg, const char *key, const char *value), void *arg)
{
	return disk_values(s->disk, space, f, arg);
}

int store_all_values(struct store *s,
		     int (*f)(void *arg, const char *space, const char *key, const char *value),
		     void *arg)
{
	return disk_all_values(s->disk, f, arg);
}

void store_watch(struct store *s, struct store_watch *w)
{
	struct store_watch **at = &s->watches;

	while (*at)
		at = &(*at)->next;
	w->next = NULL;
	*at = w;
}

void store_unwatch(struct store *s, struct store_watch *w)
{
	for (struct store_watch **at = &s->watches; *at; at = &(*at)->next) {
		if (*at == w) {
			*at = w->next;
			return;
		}
	}
}

int store_event(struct store *s, json_t *event, struct err *e)
{
	struct disk_state next = s->state;
	int rc;

	if (s->txn.open) {
		txn_event(&s->txn, event);
		return 0;
	}
	disk_begin(s->disk, false);
	write_event(s, &next, event);
	json_decref(event);
	rc = disk_commit(s->disk, &next, e);
	if (!rc)
		s->state = next;
	return rc;
}

struct events_reader {
	int (*f)(void *arg, uint64_t id, uint64_t us, const json_t *event);
	void *arg;
};

static int pass_event(void *arg, uint64_t id, uint64_t us, const char *body)
{
	struct events_reader *r = arg;
	CLEANUP_JSON json_t *event = NULL;
	int rc = json_read(body, strlen(body), &event, NULL);

	return rc ? rc : r->f(r->arg, id, us, event);
}

int store_events(struct store *s, uint64_t start_us, uint64_t end_us,
		 int (*f)(void *arg, uint64_t id, uint64_t us, const json_t *event), void *arg)
{
	struct events_reader r = { f, arg };

	return disk_events(s->disk, start_us, end_us, pass_event, &r);
}

uint64_t store_events_dropped(const struct store *s)
{
	return s->state.first_event - 1;
}
