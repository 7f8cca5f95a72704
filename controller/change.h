/*
 * change - one write to the configuration by somebody, with its audit event.
 *
 * REST and the controller's own parts (enrolment makes a serviceengine) write objects only by this:
 * rights of the writer (access.h), body validated by the model, cross-object rules of the kind held (controller/rules/), uuid given,
 * tenant and cloud filled in, object and CONFIG_* event put into the caller's transaction. Nothing
 * is visible before txn_commit().
 */
#ifndef SPANWIRE_CONTROLLER_CHANGE_H
#define SPANWIRE_CONTROLLER_CHANGE_H

#include "controller/access.h"
#include "controller/store/store.h"

#define UUID_MAX 192

/* Who writes, from where, in which tenant. */
struct change_by {
	const char *user; /* name; "system" for the controller itself */
	const char *client; /* address; "" */
	const char *tenant; /* uuid: where the object goes unless it says otherwise */
	struct viewer *viewer; /* whose rights are asked; NULL: nobody's, and `internal` must be set */
	bool strict; /* unknown fields are errors */
	bool internal; /* the controller itself: may make and change what clients may only read */
	bool system; /* what is created cannot be deleted by clients */
};

struct change {
	struct store *store;
	struct txn *txn;
	struct change_by by;
	struct model_notes notes; /* collected over all objects of the change */
	bool same;                /* for rules: a system object that is being replaced will say what it said before */
};

/*
 * What is stored and cannot work as it is, or hides something: a sentence with the path of its field, once, for the answer's
 * X-Spanwire-Warning and the event.
 */
void change_warn(struct change *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* May the writer's reader know of O? For sentences that name objects of others. */
bool change_shows(const struct change *c, const struct object *o);

void change_begin(struct change *c, struct store *s, const struct change_by *by);
/* Durable when it returns 0; ends the change in any case. */
int change_commit(struct change *c, struct err *e);
/* Durable after store_sync(): see txn_commit_soon(). */
int change_commit_soon(struct change *c, struct err *e);
void change_abort(struct change *c);

/*
 * As enrolment does it:
 *
 *	struct change_by by = { .user = "system", .client = peer, .tenant = TENANT_ADMIN, .internal = true };
 *	change_begin(&c, store, &by);
 *	if (change_create(&c, kind_find("serviceengine"), wire, uuid, e) < 0)
 *		change_abort(&c);
 *	else
 *		change_commit(&c, e);
 *	model_notes_fini(&c.notes);
 *
 * WIRE is what a client would send, or what the system wants: refs by name, URL or uuid. UUID
 * (UUID_MAX bytes): in: the wished one or ""; out: the object's. -EINVAL, -ENOENT (unresolved ref),
 * -EEXIST, -EACCES.
 */
int change_create(struct change *c, const struct kind_desc *k, const json_t *wire, char *uuid,
		  struct err *e);
/* Full replacement. EXPECT_US as in txn_update(). */
int change_update(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *wire,
		  uint64_t expect_us, struct err *e);
/* {"add", "replace", "delete", "json_patch"}. */
int change_patch(struct change *c, const struct kind_desc *k, const char *uuid, const json_t *patch,
		 struct err *e);
int change_delete(struct change *c, const struct kind_desc *k, const char *uuid, struct err *e);

#endif
