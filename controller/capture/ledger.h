/*
 * ledger - which request a packet belongs to, and whether what it says can be read.
 *
 * Engines tell in notes when a request is there, which server it goes to by which of their ports, and when it is over
 * (net/packets.h). A packet of a client's connection belongs to the requests that are under way at its time, else to the one
 * that it begins or the one that is just over; a packet of a server's connection to the request that used its port last. What
 * comes from the client belongs also to the requests that were read together with some of its bytes, and what goes to it, where
 * answers share a connection, to those whose answers it has: bytes are counted from the SYN, because no clock tells which of
 * several packets was read when, or what waited to leave. Of a connection whose SYN is not in the file, and where several are
 * under way at once, what comes shortly before the next one begins may have brought it, and those that were read with it. What
 * is remembered is bounded: the newest LEDGER_REQUESTS, and as many pieces of answers.
 */
#ifndef SPANWIRE_CONTROLLER_CAPTURE_LEDGER_H
#define SPANWIRE_CONTROLLER_CAPTURE_LEDGER_H

#include "net/packets.h"

#define LEDGER_REQUESTS 32768u
#define LEDGER_PLAIN    ": its plaintext is" /* ends the label of a connection that nobody can decrypt */
#define LEDGER_TEXT     1400 /* BEGUN_MAX requests at once, with the longest names */

struct ledger;

struct ledger *ledger_new(void);
void ledger_free(struct ledger *l);
/* Of the engine SOURCE; N's time is corrected. Notes of a flow come in the order of time. */
void ledger_note(struct ledger *l, unsigned source, const struct packets_note *n);
/*
 * What there is to be said of F, ", request ..." or "", and its length. AT_NS: its corrected time. It is quick when one
 * packet is asked for after the other in that order.
 */
size_t ledger_say(struct ledger *l, unsigned source, const struct packets_frame *f, uint64_t at_ns, char out[static LEDGER_TEXT]);

#endif
