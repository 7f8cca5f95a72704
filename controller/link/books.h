/*
 * books - what an engine counted, over all its lives.
 *
 * An engine sends absolute values since its instance began. When an instance
 * ends, or something is no longer counted (a service that moved away) or counted anew, its last
 * values are added to a base, so that base + last never goes backwards. A name
 * that ends in `_open` or `_used` is a gauge: it ends with what it measured.
 *
 * Shape: {"services": {uuid: {counter: n}}, "servers": {pool: {"ip:port": {...}}},
 * "rules": {service: {rule: {...}}}, "clones": {uuid: {"ip index": {...}}}, "engine": {...}}.
 *
 * Copies are counted twice: "clones" over all that a service ever copied, "copies" since its profile changed last
 * ({uuid: {"ip index set": {...}}}). Those of another set than the present one are forgotten.
 */
#ifndef SPANWIRE_CONTROLLER_LINK_BOOKS_H
#define SPANWIRE_CONTROLLER_LINK_BOOKS_H

#include <stdint.h>

#include "base/json.h"

struct books {
	json_t *last, *base;
	json_t *hurt;         /* {number % 256: {...}}: flows of copies that lost frames */
	uint64_t time_us;     /* of last, by the engine's clock; 0: none */
};

void books_init(struct books *b);
void books_fini(struct books *b);
/* A `stats` message. What is not as it should be in it is passed over. */
void books_take(struct books *b, const json_t *stats);
/* The instance is gone. */
void books_end(struct books *b);
/*
 * {counter: n} under the two or three keys ("services", UUID, NULL), base and last together. New
 * reference; {} if none.
 */
json_t *books_get(const struct books *b, const char *group, const char *key, const char *item);

/*
 * An operator's word: what is counted under the two keys (KEY NULL: in all of the group) begins at 0 again; what is open stays. Until the
 * controller restarts: then engines tell what they counted since they began.
 */
void books_clear(struct books *b, const char *group, const char *key);

/* {ip or MAC: {counter: n}} of all clone servers that a virtual service ever had. New reference. */
json_t *books_clones(const struct books *b, const char *vs);
/* {ip or MAC: {counter: n, "state": ...}} of those that it has, since its profile changed. New reference. */
json_t *books_copies(const struct books *b, const char *vs);

/* The engine's last flows of a virtual service's copies that lost frames, the newest first. New reference. */
json_t *books_hurt(const struct books *b, const char *vs);

/* Add all numbers of FROM to those of TO, recursively. GAUGES: also the gauges. */
void books_add(json_t *to, const json_t *from, bool gauges);

#endif
