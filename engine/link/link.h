/*
 * link - the warden's side of the line to the controller.
 *
 * It enrols once with a token, keeps key, certificate and CA in the state
 * folder, dials both channels, backs off with jitter, and resumes where it
 * was. Whoever owns it sees none of that: he sees objects that come and go in
 * commits, and says what runs.
 *
 * What the controller wants is held here, in memory and in STATE/desired.json
 * (replaced whole at each commit). link_start() first plays what the disk
 * holds, as one commit: an engine whose controller is gone serves from that.
 * A full resync of the controller is compared with what is held, so that the
 * owner sees only true differences; a batch that was cut off before its commit
 * is never seen at all.
 *
 * One thread (the warden's loop) owns a link. All json_t given out are
 * borrowed and immutable (json_incref() keeps them); all taken in are taken.
 */
#ifndef SPANWIRE_ENGINE_LINK_LINK_H
#define SPANWIRE_ENGINE_LINK_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "net/loop.h"

struct link;

struct link_config {
	const char *controller;  /* "https://ADDR:PORT", with or without the scheme; ADDR may be a name */
	const char *token_file;  /* NULL: none; read until it has joined */
	const char *name;        /* of the engine, unique in its controller */
	const char *state_dir;   /* made when missing, 0700; its files are 0600 */
	unsigned cores;
	unsigned memory_mb;
};

/*
 * What the owner hears. Never called from inside one of his own link_...() calls, but for
 * link_start().
 */
struct link_user {
	/*
	 * A batch: any number of put and removed, then committed. Apply it at once at
	 * committed(), and say link_applied(REVISION) when it runs. Order within a batch means
	 * nothing: an object may come before what it refers to. put() of what did not change does
	 * not happen.
	 */
	void (*put)(struct link_user *u, const char *kind, const char *uuid, uint64_t revision,
		    const json_t *object);
	void (*removed)(struct link_user *u, const char *kind, const char *uuid);
	void (*committed)(struct link_user *u, uint64_t revision);
	/*
	 * The control channel is up (after welcome), or was lost: for logs and counters; nothing
	 * else may depend on it.
	 */
	void (*connected)(struct link_user *u, bool up);
	/* A question: an `ask` message, borrowed. Say link_answer() some time, with its `n`. */
	void (*asked)(struct link_user *u, const json_t *ask);
	/* {"servers": name servers to ask (addresses; [] those of the machine), "search": domains}. NULL: nobody asks any. */
	void (*resolvers)(struct link_user *u, const json_t *told);
};

/*
 * Reads or makes the state folder. -EINVAL for a bad address, a state folder of a newer format or
 * of another name,
 * -ENOENT when there is neither certificate nor token. Strings are copied; USER is borrowed.
 */
int link_new(const struct link_config *c, struct loop *l, struct link_user *user, struct link **out,
	     struct err *e);
/*
 * Plays what the disk holds (put ..., committed) before it returns, then dials. INTERFACES as the
 * `hello` message has them: [{name, mac, mtu, up, addresses: ["10.0.0.5/24"]}].
 */
void link_start(struct link *k, json_t *interfaces);
/* Says bye with REASON, closes, frees at the end of the turn. */
void link_free(struct link *k, const char *reason);

/* ---- what is held (as of the last commit) ---- */

/* NULL when it is not held. */
const json_t *link_object(const struct link *k, const char *kind, const char *uuid);
/* In no order. Stops and returns F's non-zero answer. */
int link_each(const struct link *k,
	      int (*f)(void *arg, const char *kind, const char *uuid, uint64_t revision,
		       const json_t *object),
	      void *arg);
uint64_t link_revision(const struct link *k); /* of the last commit; 0: none ever */
bool link_is_up(const struct link *k);
/*
 * The uuid that the controller gave at enrolment, and that its serviceengine object has; ""
 * before.
 */
const char *link_uuid(const struct link *k);

/* ---- what the owner says; all of it is legal while the controller is away ---- */

/*
 * Everything up to the commit of REVISION runs. Sends the acknowledgement, with the services that
 * link_service() told.
 */
void link_applied(struct link *k, uint64_t revision);
/*
 * State of a placed service: the revision of it that runs, an OperState ("OPER_UP",
 * "OPER_INITIALIZING" while probing, "OPER_PARTITIONED" when a probe was answered: owner alive
 * elsewhere, "OPER_DOWN" ...) and a sentence ("" when up); VIPS (taken, NULL: none) has those of
 * single VIPs. Kept, sent when it changed and again
 * after each reconnect. Forgotten when the service's assignment is removed. Tell it before
 * link_applied() to have both in one acknowledgement.
 */
void link_service(struct link *k, const char *vs_uuid, uint64_t revision, const char *state,
		  const char *reason, json_t *vips);
/* Whether gateways answer: see gateway.h. Takes GATEWAYS; to be said again after each reconnect. */
void link_gateways(struct link *k, json_t *gateways);
/* They changed. Takes INTERFACES. */
void link_interfaces(struct link *k, json_t *interfaces);

/*
 * Bulk channel. Statistics are absolute values, so those that find no room are dropped. Takes
 * STATS: a `stats` message without type, time_us and instance.
 */
void link_stats(struct link *k, json_t *stats);
/* Should the next ones be whole, not only what changed? */
bool link_wants_all(const struct link *k);
/*
 * Health of a pool's servers: `servers` of a `health` message, whole or, PART, those that changed, each with its
 * place "at". What is known of each pool is kept and told again after a reconnect. Takes SERVERS; NULL: the pool is
 * gone.
 */
void link_health(struct link *k, const char *pool_uuid, json_t *servers, bool part);
/*
 * An `event` message without type and time_us. Kept while the controller is away, the newest
 * 1,000. Takes EVENT.
 */
void link_event(struct link *k, json_t *event);
/* An `answer` message, or one of several. Takes ANSWER; nobody waits for it while the controller is away. */
void link_answer(struct link *k, json_t *answer);
/* The same as text, a line with its end. 0; -EAGAIN: the channel is full, come again; -ENOTCONN: nobody waits for it. */
int link_answer_text(struct link *k, const char *line, size_t len);
/*
 * A message with LEN bytes behind it; HEAD says `bytes`: LEN. Takes HEAD. False: the channel is full or away, and nothing
 * was taken but HEAD.
 */
bool link_bytes(struct link *k, json_t *head, const void *p, size_t len);

#endif
