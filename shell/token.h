/*
 * token - a login that is kept: ~/.config/spanwire/token, mode 0600, beside the credentials.
 *
 * A token of the controller's (POST /api/user-token) stands for the password of one user at one
 * controller, for a day.
 */
#ifndef SPANWIRE_SHELL_TOKEN_H
#define SPANWIRE_SHELL_TOKEN_H

#include <stdio.h>

#include "shell/client.h"

/* Into C, when there is one for its controller and user. -EPERM when others may read the file. */
int token_find(struct credentials *c, struct err *e);
/* Asks the controller for one and writes it down. */
int token_make(struct client *client, const struct credentials *c, FILE *out, struct err *e);
/* Forgets it; in the controller as well, when CLIENT is not NULL. */
int token_drop(struct client *client, const struct credentials *c, struct err *e);

#endif
