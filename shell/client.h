/*
 * client - a session with a controller: log in, ask, log out.
 *
 * An answer is JSON. What the controller refuses comes back as its own sentence: -ENOENT for 404,
 * -EACCES for 401, -EREMOTEIO for anything else; what keeps us from asking at all (no connection, a
 * certificate that is not trusted) is -ENOTCONN; -EINTR after Ctrl-C (interrupt.h).
 */
#ifndef SPANWIRE_SHELL_CLIENT_H
#define SPANWIRE_SHELL_CLIENT_H

#include <stdio.h>

#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "shell/credentials.h"

struct client;

/* Logs in. C must outlive the client. */
int client_open(const struct credentials *c, struct client **out, struct err *e);
/*
 * A session that ended is begun anew, unseen. Where password or token do not serve any more, somebody is asked for a
 * password: ASK answers NULL or one, for us to free.
 */
void client_ask_password(struct client *c, char *(*ask)(void *arg), void *arg);
/* Logs out, as far as that can be done. */
void client_close(struct client *c);
/* PATH begins with a slash and is escaped (client_escape). A new reference in *OUT. */
int client_get(struct client *c, const char *path, json_t **out, struct err *e);
/* POST, PUT or DELETE; BODY (borrowed) and OUT may be NULL. */
int client_send(struct client *c, const char *method, const char *path, const json_t *body,
		json_t **out, struct err *e);
/* What /api/model answers, asked for once. Borrowed. */
int client_model(struct client *c, const json_t **model, struct err *e);
/* In which tenant the next requests are. */
const char *client_tenant(const struct client *c);
void client_switch(struct client *c, const char *tenant);
/* On a terminal with a line that says how far it is. */
int client_download(struct client *c, const char *path, FILE *file, struct err *e);
/* As a form with one file. */
int client_upload(struct client *c, const char *path, const char *file, json_t **out, struct err *e);
/*
 * What is at PATH from byte FROM on, as much as there is now (nothing is no error), to SINK, which may refuse it with
 * -errno.
 */
int client_part(struct client *c, const char *path, uint64_t from, int (*sink)(void *arg, const void *p, size_t n), void *arg,
		struct err *e);
/* A header of the last answer; NULL: it had none. Caller frees. */
char *client_header(struct client *c, const char *name);
/* For a part of a path or a query. Caller frees. */
char *client_escape(struct client *c, const char *text);

#endif
