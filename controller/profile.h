/*
 * profile - the useraccountprofile that holds for a user: his own, else Default-User-Account-Profile; and what is kept of
 * his passwords for it, beside his object, as hashes.
 */
#ifndef SPANWIRE_CONTROLLER_PROFILE_H
#define SPANWIRE_CONTROLLER_PROFILE_H

#include "controller/store/store.h"

struct profile {
	uint64_t failures, lock_ns, window_ns; /* see struct lockout_limits (rest/lockout.h) */
	uint64_t sessions;		       /* at once; 0: any number */
	uint64_t age_us;		       /* of a password; 0: any */
	size_t history;			       /* passwords that are not taken again */
};

/* USER NULL: of nobody, the default. Without profiles there are no limits. */
void profile_of(struct store *s, const struct object *user, struct profile *out);

/*
 * UUID gets another password at NOW_US; OLD, the record that it replaces, may be NULL. His tokens end: whoever had the
 * old password may have made some. Part of T.
 */
int password_replaced(struct store *s, struct txn *t, const char *uuid, const char *old,
		      uint64_t now_us, struct err *e);
/* The user is gone, and with him his tokens: another one may come to have his uuid. */
int password_forgotten(struct store *s, struct txn *t, const char *uuid, struct err *e);
/* When UUID's password was set; 0: before anybody noted it. */
uint64_t password_set_us(struct store *s, const char *uuid);
/* The last N records, the present one of USER first. New list of strings. */
json_t *password_history(struct store *s, const struct object *user, size_t n);

#endif
