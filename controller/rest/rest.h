/*
 * rest - the API: routes, sessions, and the kinds of the model behind /api/KIND.
 *
 * What the Avi clients expect on the wire is what this folder does; docs/rest.md says it for
 * people.
 */
#ifndef SPANWIRE_CONTROLLER_REST_REST_H
#define SPANWIRE_CONTROLLER_REST_REST_H

#include "controller/change.h"
#include "controller/controller.h"
#include "controller/listen.h"
#include "controller/rest/lockout.h"
#include "controller/rest/password.h"
#include "controller/rest/session.h"
#include "controller/rest/subresource.h"

struct files;
struct log_source;
struct server;

struct rest {
	struct controller *c;
	struct server *server;
	struct sessions sessions;
	struct files *files;
	struct password_cache passwords;
	struct lockout lockout;
	struct subresource *subresources;
	const struct log_source *log_source; /* NULL: there are no engines to ask */
	struct store_watch watch;
	uint64_t refusal_told_ns; /* when the last refused login made an event */
	unsigned refusals_untold;
	char portal[UUID_MAX]; /* whose certificate the API shows; "": its own */
	struct timer sweep;
	struct list unsynced; /* struct request, whose answers wait for the disk */
	struct message
		sync; /* to ourselves, behind the requests that are here; while there are some */
	bool restoring; /* a full system is read in: there is one place for it, and nothing else comes after it */
	uint8_t token_key[32]; /* user tokens are made from it (user_token.c) */
};

/* C's loop, inbox, pool, store and ca must stand. FD listens; it is taken. */
int rest_start(struct controller *c, int fd, bool ipv6, struct rest **out, struct err *e);
/* Answers what is under way, then ends. Turns the loop. */
void rest_stop(struct rest *r);

/* The objects that a fresh controller holds (system.c). PASSWORD: of the user `admin`. */
int system_objects_make(struct store *s, const char *password, struct err *e);
bool system_objects_exist(struct store *s);
/* What an older controller did not have is made, and its roles become those of this one. */
int system_objects_follow(struct store *s, struct err *e);

#endif
