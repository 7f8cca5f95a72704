/*
 * note - what is remembered of an exchange: its id, its times, and at its end its record.
 *
 * A note is taken when a request is there and given to the worker's ring (engine/records.h) when its
 * exchange is over, however it ended. Cookies and credentials are never part of it.
 */
#ifndef SPANWIRE_ENGINE_HTTP_NOTE_H
#define SPANWIRE_ENGINE_HTTP_NOTE_H

#include "engine/http/exchange.h"
#include "engine/records.h"

/*
 * The request head H, which stands at IN. Its X-Request-ID is taken over when there is one and it is 1 to 64 letters, digits and
 * "-_.:+/=@"; else one is made.
 */
void note_begin(struct exchange *x, const struct http1_head *h, const char *in);
/* What came was no request. */
void note_malformed(struct exchange *x);
/* It leaves for x->upstream.server. */
void note_sent(struct exchange *x);
/* The head of the answer is there, from a server or (OWN) ours. */
void note_answer(struct exchange *x, unsigned status, bool own);
/* Why it did not go well; the first reason stands. */
void note_reason(struct exchange *x, enum record_reason r);
enum record_reason note_reason_of(const struct refusal *r);
/* The exchange is over; x->upstream is still there. Legal when there is no note. */
void note_end(struct exchange *x);

#endif
