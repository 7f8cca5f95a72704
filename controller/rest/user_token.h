/*
 * user_token - long-lived tokens in the place of a password (POST /api/user-token, `token` in a
 * login).
 *
 * A list is shown with the tokens themselves, as clients that renew theirs
 * expect; so that no token lies in the store, a token is HMAC-SHA256 of its
 * uuid under a key kept beside, and is computed when it is shown or compared.
 */
#ifndef SPANWIRE_CONTROLLER_REST_USER_TOKEN_H
#define SPANWIRE_CONTROLLER_REST_USER_TOKEN_H

#include <stdbool.h>

#include "controller/rest/rest.h"

/* Reads the key, or makes it. */
int user_token_init(struct rest *r, struct err *e);
bool user_token_fits(struct rest *r, const char *user, const char *token);

#endif
