/*
 * recite - excerpts of decrypted messages (engine/capture/excerpt.h) as packets of a capture: synthetic TCP segments.
 *
 * Each message becomes one frame of a TCP conversation that is made from what is there: the real addresses and the client's
 * port, the server's port 80, or 8080 where the real one is 80. A frame says how long the message was and holds its
 * beginning, as a capture of cut packets does, so that readers show it and wait for nothing.
 */
#ifndef SPANWIRE_ENGINE_CAPTURE_RECITE_H
#define SPANWIRE_ENGINE_CAPTURE_RECITE_H

#include "engine/capture/excerpt.h"
#include "net/packets.h"

#define RECITE_HEAD  (14 + 40 + 20)
#define RECITE_BYTES (RECITE_HEAD + EXCERPT_SNAP)

/*
 * The headers of M's frame, which says TEXT, at HEAD; NEXT: sequence numbers of who opened the connection, and of the other
 * one. Their length.
 */
size_t recite_head(const struct excerpt_record *m, const char *text, uint32_t next[static 2], uint8_t head[static RECITE_HEAD]);

struct recital;

struct recital *recital_new(void);
void recital_free(struct recital *r);

/* M, later than those before, as F, whose data are DATA; F->port is the caller's. */
void recital_frame(struct recital *r, const struct excerpt_record *m, struct packets_frame *f, uint8_t data[static RECITE_BYTES]);
/* Which request is where, as far as M says it. False: it says nothing of that. */
bool recital_note(const struct excerpt_record *m, struct packets_note *n);

#endif
