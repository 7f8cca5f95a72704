/*
 * names - the addresses of servers that are configured by name.
 *
 * Each name that is wanted is asked for, A and AAAA, and again when the answer's time is over (within
 * NAMES_TTL_LEAST_S and NAMES_TTL_MOST_S). An answer that fails changes nothing but the reason that is shown: the
 * addresses that were there stay. Answers are parsed by c-ares in the proxy, which holds no
 * privilege; the name servers are those of systemconfiguration, else those of the machine's resolv.conf when the proxy
 * starts.
 */
#ifndef SPANWIRE_ENGINE_CONFIG_NAMES_H
#define SPANWIRE_ENGINE_CONFIG_NAMES_H

#include "base/json.h"
#include "net/loop.h"

#define NAMES_TTL_LEAST_S 1
#define NAMES_TTL_MOST_S  3600
#define NAMES_RETRY_S     5
#define NAMES_ADDRESSES   64   /* of a name; further ones are left out */

struct names;

struct names_user {
	/* Addresses or the reason of some name are others. At most once a turn of the loop. */
	void (*news)(struct names_user *u);
};

/* Reads files: before the sandbox. */
struct names *names_new(struct loop *l, struct names_user *u);
void names_free(struct names *n);

/*
 * From now on. SERVERS: addresses of whom to ask; []: the machine's own. SEARCH: domains in which a name without a dot is
 * looked for, one after the other, and then alone.
 */
void names_servers(struct names *n, const json_t *servers, const json_t *search);
/* {name: true}: exactly these. */
void names_want(struct names *n, const json_t *wanted);
/*
 * {name: {"now": ["10.0.0.1", "fd00::1"], "old": [those that it no longer has], "error": "..." or none}}. Borrowed
 * until the next turn.
 */
json_t *names_all(const struct names *n);

#endif
