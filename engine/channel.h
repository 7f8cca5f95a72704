/*
 * channel - lines of JSON between warden and proxy, with descriptors.
 *
 * A stream socket pair; one JSON object a line. A line may bring one
 * descriptor, which travels as SCM_RIGHTS with the line's first byte. Sending
 * never blocks: what the kernel does not take waits here. The peer is our own
 * program, but after a defect in the proxy it may be anybody: the warden reads
 * with limits and believes nothing that it can check.
 */
#ifndef SPANWIRE_ENGINE_CHANNEL_H
#define SPANWIRE_ENGINE_CHANNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"
#include "net/loop.h"

#define CHANNEL_LINE_MAX (4u << 20)

struct channel;

/* What the owner hears. He may free the channel in either. */
struct channel_user {
	/* A message of TYPE; FD is -1 or the receiver's from now on. M is borrowed. */
	void (*message)(struct channel_user *u, const char *type, const json_t *m, int fd);
	/* The peer is gone (RC 0) or broke the rules (-errno); nothing follows. */
	void (*closed)(struct channel_user *u, int rc);
};

/* Takes FD, a connected stream socket. */
struct channel *channel_new(struct loop *l, int fd, struct channel_user *u);
/* Frees at the end of the turn. NULL is legal. */
void channel_free(struct channel *c);

/*
 * Takes M, borrows FD (-1: none; it is duplicated while it waits; M must say "fd": true then). The type is M's member
 * "type".
 */
void channel_send(struct channel *c, json_t *m, int fd);
/* Bytes that wait for the peer to read. */
size_t channel_backlog(const struct channel *c);

#endif
