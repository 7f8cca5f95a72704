/*
 * pools - where requests of a virtual service may go: its pool or those of its group, and who stands in for them.
 */
#ifndef SPANWIRE_CONTROLLER_POOLS_H
#define SPANWIRE_CONTROLLER_POOLS_H

#include "controller/store/store.h"

enum pools_role {
	POOLS_OWN,    /* pool_ref, or a member of the group */
	POOLS_IDLE,   /* a member of ratio 0: nobody is sent there */
	POOLS_BACKUP, /* by fail_action, one for the other */
};

#define POOLS_BACKUPS_MAX 8 /* in a row */

/* Zero goes on. POOL is borrowed. */
typedef int (*pools_fn)(void *arg, const struct object *pool, enum pools_role role);

/* Calls F for each pool of VS, stored form of a virtual service, once: the backups last, in the order of their turn. */
int pools_each(struct store *s, const json_t *vs, pools_fn f, void *arg);
/* The same of BODY, a pool or a group: its members and backups. */
int pools_each_of(struct store *s, const json_t *body, pools_fn f, void *arg);

/* The pool that stands in for BODY (stored form of a pool or a group), by its fail_action; NULL: none. Borrowed. */
const char *pools_backup(const json_t *body);

/* Calls F for each virtual service that may send requests to the pool, whatever lies between; some more than once. */
int pools_users(struct store *s, const char *pool, int (*f)(void *arg, const struct object *vs), void *arg);

#endif
