/*
 * access - who may do what with which object: users, their roles, tenants.
 *
 * One table, access.def, says what a role must grant for each kind. Three questions stand here, and whoever reads or writes
 * for a client asks them: does the viewer see the object at all (else it is "not found"), may he do this with it (else 403),
 * and does he hold himself what he is about to give to others.
 *
 * Writing is asked by change.c for everybody, reading by view_object() for every object that is shown: a route that forgets
 * to ask shows and changes nothing. Nothing is remembered between requests: a role that is taken away is gone at the next one.
 */
#ifndef SPANWIRE_CONTROLLER_ACCESS_H
#define SPANWIRE_CONTROLLER_ACCESS_H

#include "controller/store/store.h"

#define TENANT_ADMIN "admin"
/* In questions about rights: every tenant, those to come too. */
#define TENANT_EVERY "every tenant"

enum guard_id {
	GUARD_CLOSED, /* opens for nobody */
#define GUARD(id, resource, act, reach) GUARD_##id,
#define ACT_FIELDS(id, fields)
#include "controller/access.def"
#undef GUARD
#undef ACT_FIELDS
};

enum access_verb { ACCESS_READ, ACCESS_ACT, ACCESS_WRITE };

/* Somebody who looks, from where. */
struct viewer {
	struct store *store;
	const struct object *user; /* borrowed, of this turn */
	const char *tenant; /* uuid; "*": all that he may see */
	/* The last answer: lists ask the same again for each of their objects. */
	struct {
		const json_t *access;
		int resource; /* enum permission_resource */
		char tenant[192];
		int level; /* 1 + enum access; 0: nothing is remembered */
	} last;
};

enum guard_id guard_of(const struct kind_desc *k);
/* By path of a kind, or name of what is none ("logs"); GUARD_CLOSED: unknown. */
enum guard_id guard_named(const char *name);
/* The fields that ACT opens; NULL: none. */
const char *guard_act_fields(enum guard_id g);

bool access_is_superuser(const struct viewer *v);
/* Has he any role in TENANT (uuid)? */
bool access_enters(const struct viewer *v, const char *tenant);
/* Has he one that was given for all tenants, those to come too? */
bool access_enters_all(const struct viewer *v);

/* Is O in what the viewer's tenant shows to him? */
bool access_sees(const struct viewer *v, const struct object *o);
/* Without a viewer: may objects of TENANT (uuid, "*") refer to O? O's kind has a tenant. */
bool access_reaches(struct store *s, const char *tenant, const struct object *o);

/* -EACCES with a sentence. TENANT: uuid; "" for what has none; "*" when reading: somewhere. */
int access_may(struct viewer *v, enum guard_id g, const char *tenant, enum access_verb verb, struct err *e);
int access_may_object(struct viewer *v, const struct object *o, enum access_verb verb, struct err *e);

/* May he see and read O at all, from whichever of his tenants? */
bool access_reads(struct viewer *v, const struct object *o);

/*
 * Whoever gives rights must hold them himself, there: PRIVILEGES of a role in TENANT. -EACCES names the first that he does
 * not hold.
 */
int access_covers(struct viewer *v, const char *tenant, const json_t *privileges, struct err *e);

/* A setting of a tenant (its stored form): of its config_settings, or of the configuration for tenants without. */
bool access_tenant_setting(struct store *s, const json_t *tenant, const char *name, bool dflt);

#endif
