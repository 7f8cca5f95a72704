/*
 * fleet - the engines that the controller knows, their sessions, and what they are to hold.
 *
 * An engine is a serviceengine object and what is known of it at run time. It
 * is UNSEEN until it connects or the controller has waited long enough after
 * its own start (or after it stood still itself), ALIVE while its control session lives (and dead_ms longer, in
 * which it may come back), DEAD otherwise.
 *
 * Whatever changes (a commit of the store, an engine's life, what engines
 * say) only marks; one settle per turn of the loop places what was marked, and sends each engine
 * its difference and a commit. So a change costs what it touches, and a hundred changes in a row
 * cost one message each.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_FLEET_H
#define SPANWIRE_CONTROLLER_LINK_FLEET_H

#include "base/arena.h"
#include "base/table.h"
#include "controller/capture/clock.h"
#include "controller/controller.h"
#include "controller/link/books.h"
#include "controller/link/graph.h"
#include "controller/link/restraint.h"
#include "controller/rest/logs.h"
#include "controller/place/decide.h"
#include "controller/store/store.h"
#include "net/stream.h"

#define FLEET_PING_MS  250
#define FLEET_DEAD_MS  1000
#define FLEET_GRACE_MS 10000 /* after its start the controller takes nobody for dead so long, in which it is awake */
#define FLEET_GRACE_BEATS (FLEET_GRACE_MS / FLEET_PING_MS)

struct fleet;
struct placement;
struct session;
struct tls;

struct engine {
	struct table_link link;        /* in fleet.engines, by uuid */
	struct list in_fleet;
	struct fleet *fleet;
	char *uuid, *name, *group, *cloud; /* as the serviceengine object says */
	enum place_use use;
	enum place_life life;
	unsigned beats;                /* UNSEEN: of the heart, while it was missed */
	bool known;                    /* said hello since the controller began */
	struct timer death;            /* after a lost session */
	struct session *control, *bulk; /* NULL: none */
	char instance[64];
	uint64_t since_us;             /* of the last change of life */

	struct arena arena;            /* of the interfaces */
	struct place_interface *interfaces;
	size_t n_interfaces;
	unsigned load;                 /* virtual services placed here */

	struct holder holder;
	char *capture;                 /* uuid of the one of all its packets; NULL: none */
	struct list commits;           /* sent, and not acknowledged yet */
	bool resync;                   /* at the next hello everything is sent */
	uint64_t acked;                /* revision; 0: none yet */
	double ack_ms;                 /* of the last commit, from its way out */

	struct clock clock;            /* how far its clock is ahead */
	uint64_t events_left, events_s; /* that it may say now; as of which second */

	json_t *services;              /* vs uuid -> {revision, state, reason, since_us} */
	json_t *gateways;              /* [{vrf, ip, up}] */
	json_t *resources;             /* SeResources, as its last hello said; NULL: it did not */
	json_t *health;                /* pool uuid -> servers */
	json_t *throttled;             /* vs uuid -> when it last carried as much as it may, in seconds */
	json_t *lacking;               /* what its machine does not give it: lacks.h */
	struct books books;
	json_t *copying;               /* what is known of its copies: clones.h */
	struct {
		uint64_t bytes_out, bytes_in, puts, deletes, commits, resyncs, unknown;
		uint64_t last_commit_bytes; /* all lines of the last commit */
	} traffic;
};

struct fleet {
	struct controller *controller;
	struct store *store;
	struct loop *loop;
	struct tls *tls;
	struct watch listener;
	int fd;
	struct list engines;
	struct table by_uuid;
	struct list sessions;          /* also those that nobody belongs to yet */
	struct graph *graph;
	struct graph_source source;
	struct placement *placement;
	struct store_watch watch;
	struct timer settle, again, grace, accept_again, heart;
	bool in_grace;
	uint64_t beat_ns;              /* when the heart beat last */
	struct list asks;              /* questions to engines (ask.h) */
	json_int_t asked;
	bool stops;                    /* nobody is asked any more */
	struct log_source log_source;
	unsigned beats;                /* of the heart since we last stood still, up to FLEET_GRACE_BEATS */
	json_t *spares;                /* group uuid -> could it lose its spare engines? (spare.h) */
	struct restraint news;         /* of services, pools and servers, as engines see them */
	unsigned strangers;            /* sessions that nobody belongs to yet */
	unsigned complaints;           /* events about strangers left in this second */
	uint64_t complaints_s;         /* which second that is */
	char complaint[128];           /* the last, and when */
	uint64_t complaint_ns;
};

/* Takes FD, a listening socket. */
int fleet_open(struct controller *c, int fd, struct fleet **out, struct err *e);
/* Nobody is asked any more, and whoever waits for an answer has one soon: before the API stops. */
void fleet_quiesce(struct fleet *f);
/* Says bye to all. Engines go on with what they hold. */
void fleet_close(struct fleet *f);

struct engine *fleet_engine(struct fleet *f, const char *uuid);
/* Something was marked: settle in this turn or the next. */
void fleet_settle(struct fleet *f);
/* The same in a second: what was tried could not be stored. */
void fleet_settle_later(struct fleet *f);

/* ---- for sessions ---- */

void engine_alive(struct engine *e);
void engine_dead(struct engine *e, const char *why);
/* Its connection was lost, and it did not come back: dead, unless we stood still ourselves. */
void engine_lost(struct engine *e);
/* An event about the engine, in the log and in the store. */
void engine_event(struct engine *e, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/*
 * Nobody may take the store's revisions for those of before: all sessions end, and everything is
 * sent again.
 */
void fleet_new_epoch(struct fleet *f, const char *why);

/* session.c */
void session_accept(struct fleet *f, int fd);
/* Says bye; nothing is heard of the session afterwards. */
void session_end(struct session *s, const char *reason);
void sessions_end(struct fleet *f, const char *reason);
/* Sends a question by E's bulk channel. Takes MSG. False: there is none. */
bool session_ask(struct engine *e, json_t *msg);
/* Is an event due to E's word within what it may cause? It counts as one. */
bool engine_may_tell(struct engine *e);
/* Sends what E lacks; nothing while it is not ready for it. */
void session_flush(struct engine *e);
/* Forgets what E did not acknowledge. */
void session_forget(struct engine *e);

/* enrol.c: the answer to an `enrol` message; a `refused` one when E is set. New reference. */
json_t *enrol(struct fleet *f, const json_t *msg, const char *peer, struct err *e);
/* SHA-256 of the certificate that the engine got last; "" when there is none. */
void enrol_fingerprint(struct fleet *f, const char *uuid, char out[static 65]);

/* views.c */
void views_open(struct fleet *f);
/* tallies.c */
void tallies_open(struct fleet *f);
/* ground.c */
void ground_open(struct fleet *f);
/* tools.c */
void tools_open(struct fleet *f);
struct subresource_call;
/* What GET virtualservice/UUID/runtime, pool/UUID/runtime/server answer. */
json_t *view_service(void *fleet, const struct subresource_call *call, struct err *e);
json_t *view_pool(void *fleet, const struct subresource_call *call, struct err *err);
json_t *view_servers(void *fleet, const struct subresource_call *call, struct err *e);

/* trial.c */
void trial_open(struct fleet *f);

/* why.c */
void why_open(struct fleet *f);

#endif
