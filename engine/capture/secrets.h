/*
 * secrets - TLS secrets of flows whose capture asks for them, from the workers to the warden.
 *
 * They pass through memory only: a datagram each on a socket pair, whose other end the warden reads. A worker never
 * waits for it; what finds no room is missing in the file, where the flow then stays as it was sent. A service whose
 * captures ask for none costs nothing.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_SECRETS_H
#define SPANWIRE_ENGINE_CAPTURE_SECRETS_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stdint.h>

struct conn;

#define SECRETS_LINE_MAX 400

/* What is said on the same way: a secret, or that a trigger fired (engine/capture/trigger.h). */
enum secrets_what { SECRETS_SECRET, SECRETS_TRIGGER };

struct secrets_line {
	uint32_t what;
	uint32_t service;     /* the warden's number of it */
	uint32_t len;
	uint8_t client[16];   /* whose connection, or whom it was opened for */
	uint8_t server[16];   /* zero: it is the client's own */
	char text[SECRETS_LINE_MAX]; /* of a key log, without its end */
};

/* Two ends, both non-blocking. -errno. */
int secrets_pair(int *reader, int *writer);
/* The writer's end of this process; it stays the caller's. */
void secrets_socket(int fd);
/* L, as long as its text. False: there was no room for it. */
bool secrets_send(const struct secrets_line *l);
/* A handshake of C begins, or goes on, with CTX: are its secrets wanted? */
void secrets_watch(SSL_CTX *ctx, const struct conn *c);
/* The next one; false: there is none now. */
bool secrets_take(int reader, struct secrets_line *out);

#endif
