/*
 * conn_record - the record that a client's TCP connection leaves (engine/records.h).
 *
 * What the session knows it says itself (l4: bytes and server); of the others, TLS that failed and connections
 * that requests came on, the kernel's counters of the socket say it: their bytes are those on the wire. Asking the
 * kernel is most of what a record costs, once a connection, and nothing where no records are kept.
 */
#ifndef SPANWIRE_ENGINE_CONN_RECORD_H
#define SPANWIRE_ENGINE_CONN_RECORD_H

struct conn;
struct record;
struct snapshot;

/* REC is empty: the part that all have. SERVER may be NULL, and SNAP. */
void conn_record_begin(struct record *rec, struct conn *client, struct conn *server, const struct snapshot *snap);
/* CLIENT ends, and has no session that tells of it. */
void conn_record(struct conn *client);

#endif
