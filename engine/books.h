/*
 * books - which counter slot is whose, and what the counters say.
 *
 * The warden keeps them: a service and a server hold their slots for as long
 * as they are configured, also while proxies come and go. A slot that becomes
 * free is given out again as late as possible, and cleared then: the last
 * connections of its former owner may still be counting.
 */
#ifndef SPANWIRE_ENGINE_BOOKS_H
#define SPANWIRE_ENGINE_BOOKS_H

#include "base/json.h"
#include "engine/counters.h"

struct books;
struct link;

/* C and K, which holds the objects, are borrowed. */
struct books *books_new(struct counters *c, const struct link *k);
void books_free(struct books *b);

/* An object came, changed or went: services, servers of pools (engine/config/members.h). All: after a start. */
void books_follow(struct books *b, const char *kind, const char *uuid);
void books_follow_all(struct books *b);
/* What names in pools are now, see names_all(). Borrowed; its servers get theirs. */
void books_names(struct books *b, json_t *names);
/* The rules of each service's policy have books of their own: some of them may have changed. */
void books_policies(struct books *b);

/* A `slots` message for the proxy: all, or those given out since the last call of either (NULL: none). */
json_t *books_all(struct books *b);
json_t *books_news(struct books *b);

/*
 * {"services": ..., "servers": ..., "rules": ..., "engine": ...} of a `stats` message. Not ALL: only the services and
 * servers whose numbers are others than the last time, {"part": true}, and the services that are "gone"; a thousand
 * services and ten thousand servers rest most of the time. Of more than a thousand each server has its turn at every fifth reading.
 */
json_t *books_read(struct books *b, bool all);
/* The proxy is gone: what its gauges counted is gone with it. */
void books_drop_gauges(struct books *b);

#endif
