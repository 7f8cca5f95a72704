/*
 * rules - what a kind promises beyond its table, across objects.
 *
 * The model checks one object by itself; what needs the others (an address may
 * be in one vsvip only) or the former state (a vip_id may not change) stands
 * in rules/KIND.c. Everybody who writes passes here: see change.h.
 */
#ifndef SPANWIRE_CONTROLLER_RULES_H
#define SPANWIRE_CONTROLLER_RULES_H

#include "controller/change.h"

/* A space of the store: objects whose clients spell something in another way, which show() follows. */
#define RULE_AS_SENT "as_sent"

struct rule {
	const char *kind;
	/*
	 * Before the model reads WIRE, which it may alter (old spellings of clients). OLD: stored,
	 * NULL when new.
	 */
	int (*prepare)(struct change *c, const char *uuid, const json_t *old, json_t *wire,
		       struct err *e);
	/* After it: what the controller gives goes into NEW (addresses of VIPs). Stored forms. */
	int (*fill)(struct change *c, const char *uuid, const json_t *old, json_t *new,
		    struct err *e);
	/* Then: may the object become NEW? Both are stored forms. */
	int (*check)(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		     struct err *e);
	/* It was created: make what comes with it. */
	int (*made)(struct change *c, const char *uuid, const json_t *new, struct err *e);
	/* It is going to be deleted: what came with it goes first. */
	int (*leaving)(struct change *c, const char *uuid, struct err *e);
	/* It was deleted: give back what check() took. */
	int (*gone)(struct change *c, const char *uuid, const json_t *old, struct err *e);
	/* O was written as W says and is going to be shown, as OUT: what changes by itself, or is said elsewhere. */
	void (*show)(struct store *s, const struct object *o, const struct model_write *w,
		     struct model_resolver *r, json_t *out);
};

/* NULL when the kind has none. */
const struct rule *rule_find(const char *kind);

/*
 * -EINVAL when what STORED refers to is of a sort that is not built yet (a health monitor of type
 * SIP): it may be stored, but an engine would have to pretend.
 */
int rule_uses_built(struct change *c, const struct kind_desc *k, const json_t *stored,
		    struct err *e);

/* -EINVAL when an object that others use would become NEW, which is of such a sort. */
int rule_stays_built(struct change *c, const struct kind_desc *k, const char *uuid,
		     const json_t *new, struct err *e);

/* Does a capture with such capture_params have what was encrypted? Then it is for those who may hold keys. */
bool capture_reads_tls(const json_t *params);

struct capture_past {
	unsigned before, after;      /* seconds */
	const char *reason;
	const char *trigger;         /* "": somebody asked for it */
	const char *request_id;      /* "": of all requests */
	bool plaintext;              /* also what was said inside TLS */
};
/*
 * A `capture` of what the engines' recorders have of VS. MADE: its uuid. -EBUSY: another one runs; but one that a trigger made
 * ends when somebody asks.
 */
int rule_capture_past(struct change *c, const struct object *vs, const struct capture_past *p, char made[static UUID_MAX],
		      struct err *e);

/* When a trigger of a virtual service saved last: values by its uuid, microseconds of the wall clock. */
#define RULE_TRIGGER_SPACE "trigger"
#define RULE_NOT_RECORDED  "flight_recorder is false here or at the service engine group: there is nothing that could be saved."
/* Does the flight recorder have packets of this virtualservice? */
bool rule_is_recorded(struct store *s, const json_t *vs);

/* clang-format off */
extern const struct rule rule_applicationpersistenceprofile;
extern const struct rule rule_backupconfiguration;
extern const struct rule rule_capture;
extern const struct rule rule_cloud;
extern const struct rule rule_cluster;
extern const struct rule rule_debugserviceengine;
extern const struct rule rule_debugvirtualservice;
extern const struct rule rule_ipaddrgroup;
extern const struct rule rule_network;
extern const struct rule rule_networkprofile;
extern const struct rule rule_networksecuritypolicy;
extern const struct rule rule_pkiprofile;
extern const struct rule rule_pool;
extern const struct rule rule_poolgroup;
extern const struct rule rule_role;
extern const struct rule rule_scheduler;
extern const struct rule rule_serviceengine;
extern const struct rule rule_sslkeyandcertificate;
extern const struct rule rule_sslprofile;
extern const struct rule rule_systemconfiguration;
extern const struct rule rule_tenant;
extern const struct rule rule_trafficcloneprofile;
extern const struct rule rule_user;
extern const struct rule rule_virtualservice;
extern const struct rule rule_vrfcontext;
extern const struct rule rule_vsvip;
/* clang-format on */

#endif
