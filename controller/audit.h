/*
 * audit - events of the configuration: who did what to which object, in the shape of EventLog.
 *
 * The event is part of the transaction that it tells of. Secrets are in none.
 */
#ifndef SPANWIRE_CONTROLLER_AUDIT_H
#define SPANWIRE_CONTROLLER_AUDIT_H

#include "controller/store/store.h"

struct change;

/* CONFIG_CREATE, CONFIG_UPDATE or CONFIG_DELETE: OLD is NULL for a create, NEW for a delete. */
void audit_change(struct change *c, const struct kind_desc *k, const char *uuid, const char *tenant,
		  const json_t *old, const json_t *new);

/* What OLD and NEW differ in, as CONFIG_UPDATE tells it: [{"path", "old", "new"}]. New reference. */
json_t *audit_diff(struct change *c, const struct kind_desc *k, const json_t *old, const json_t *new);

/*
 * Any other event, to be given to store_event() or txn_event(). ID is one of the contract's
 * ("SE_UP"); MODULE "CONFIG", "SEMGR" ...; KIND may be NULL; DETAILS, which is taken, becomes
 * event_details (may be NULL).
 */
json_t *audit_event(const char *id, const char *module, const char *kind, const char *uuid,
		    const char *name, const char *tenant, json_t *details, const char *fmt, ...)
	__attribute__((format(printf, 8, 9)));

#endif
