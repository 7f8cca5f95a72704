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
struct ip_addr_group;
struct pool;

/* C is borrowed. */
struct books *books_new(struct counters *c);
void books_free(struct books *b);

void books_service(struct books *b, const char *uuid);
void books_service_gone(struct books *b, const char *uuid);
/* Exactly P's servers (engine/config/members.h). */
void books_pool(struct books *b, const char *uuid, const struct pool *p, const struct ip_addr_group *group,
		const json_t *names);
void books_pool_gone(struct books *b, const char *uuid);
/* Exactly the rules of POLICY (a networksecuritypolicy as stored; NULL: none), which service VS is guarded by. */
void books_rules(struct books *b, const char *vs, const json_t *policy);

/* A `slots` message for the proxy: all, or those given out since the last call of either (NULL: none). */
json_t *books_all(struct books *b);
json_t *books_news(struct books *b);

/*
 * {"services": ..., "servers": ..., "rules": ..., "engine": ...} of a `stats` message. Not ALL: only the services and
 * servers whose numbers are others than the last time, {"part": true}, and the services that are "gone"; a thousand
 * services and ten thousand servers rest most of the time.
 */
json_t *books_read(struct books *b, bool all);
/* The proxy is gone: what its gauges counted is gone with it. */
void books_drop_gauges(struct books *b);

#endif
