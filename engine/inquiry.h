/*
 * inquiry - questions of the controller whose answer takes a while.
 *
 *	logs              records of connections and requests (records.h)
 *	tcp-flows         TCP connections by state, and the first thousand of them (reach/tcp_flows.h)
 *
 * Each is answered by a thread of its own, so that the warden renews its leases meanwhile; at most
 * INQUIRIES_MAX at a time, who asks more is told to come again. Answers are made into text there, and leave in pieces.
 */
#ifndef SPANWIRE_ENGINE_INQUIRY_H
#define SPANWIRE_ENGINE_INQUIRY_H

#include "base/json.h"
#include "net/loop.h"

#define INQUIRIES_MAX 4

struct inquiries;
struct link;
struct records;

/* R and K are borrowed. */
struct inquiries *inquiries_new(struct loop *l, const struct records *r, struct link *k);
/* An `ask` message. */
void inquiries_take(struct inquiries *q, const json_t *ask);
/* Waits for those that are under way. */
void inquiries_free(struct inquiries *q);

#endif
