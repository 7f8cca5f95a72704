/*
 * server - HTTPS: libmicrohttpd in a thread of its own, one request at a time to the core.
 *
 * It holds the limits of strangers: header and body sizes (413), the time that a request may take
 * to arrive, connections in all and per address. What it cannot take apart it answers itself; the
 * rest goes to the core by inbox and sleeps until answered. A form with files (multipart/form-data)
 * goes there twice: with its head, whether it may come at all, and when its body has come.
 */
#ifndef SPANWIRE_CONTROLLER_REST_SERVER_H
#define SPANWIRE_CONTROLLER_REST_SERVER_H

#include "base/err.h"
#include "controller/rest/request.h"

struct server;

struct server_config {
	int fd; /* listening; taken */
	bool ipv6;
	const char *key_pem, *cert_pem, *ca_pem; /* borrowed while it runs */
	struct rest *rest;
	struct inbox *core;
	void (*handle)(
		struct request
			*q); /* on the core's thread; answers now or later by server_answer() */
};

int server_start(const struct server_config *cfg, struct server **out, struct err *e);
/* On the core's thread: Q has its answer; it is not the core's any more. */
void server_answer(struct request *q);
/* The same, of a request whose head was shown (STAGE_HEAD): it goes on with its body. */
void server_go_on(struct request *q);
/* Close connections whose request does not arrive. Called by the core now and then. */
void server_sweep(struct server *s);
/* No new requests: they are answered 503 from now on. */
void server_quiesce(struct server *s);
/* The core has answered all. */
bool server_drained(struct server *s);
/* ... and the answers are on their way. */
bool server_has_sent(struct server *s);
/* Only when drained. Answers that are not sent yet are cut. */
void server_stop(struct server *s);

#endif
