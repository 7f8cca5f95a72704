/*
 * place - keeps the decisions: who owns which address, in the store, through restarts.
 *
 * It watches virtual services and vsvips, groups those that share addresses
 * into homes of units, asks place_decide() when something marked them, writes owner and
 * term into the store's value space "place" (key: uuid of the vsvip, "/", vip_id) before anybody hears
 * of them, and makes the `assignment` objects.
 */
#ifndef SPANWIRE_CONTROLLER_PLACE_PLACE_H
#define SPANWIRE_CONTROLLER_PLACE_PLACE_H

#include <stdint.h>

#include "base/json.h"
#include "controller/place/decide.h"

struct engine;
struct fleet;
struct placement;

struct placement *placement_new(struct fleet *f);
void placement_free(struct placement *p);

/* The store's object was made, changed or deleted; kinds that do not matter are passed over. */
void placement_changed(struct placement *p, const char *kind, const char *uuid);
/*
 * E changed its life, use, interfaces or group: what it has or had is looked at again, and what
 * nobody could take.
 */
void placement_engine_changed(struct placement *p, const struct engine *e);
/* E is about to be freed. */
void placement_forget(struct placement *p, const struct engine *e);
/* An engine says another thing about this service than before. */
void placement_service_said(struct placement *p, const char *vs);
/* Decides what was marked. */
void placement_run(struct placement *p);

/* Object of an assignment; NULL: there is none. Borrowed until the next run. */
const json_t *placement_assignment(struct placement *p, const char *vs, uint64_t *revision);

struct placed {
	enum place_verdict verdict;
	const char *reason;            /* "" when all is well */
	struct engine *owner;          /* NULL: nobody, or one that is no more */
	uint64_t term;
};
/* Of one VIP ("": the first). False: no such virtual service or VIP is known. */
bool placement_of(struct placement *p, const char *vs, const char *vip_id, struct placed *out);

/*
 * An operator wants the VIP (NULL: the only one) to go to the engine TO (NULL: another one). Done
 * when it returns 0; -EINVAL with a sentence why it stays.
 */
int placement_move(struct placement *p, const char *vs, const char *vip_id, const char *to,
		   struct err *e);
/* All that the engine carries is to go, as far as there is somewhere else. *MOVED: VIPs; -EINVAL when there is none. */
int placement_leave(struct placement *p, const char *engine, size_t *moved, struct err *e);

#endif
