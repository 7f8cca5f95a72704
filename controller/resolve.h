/*
 * resolve - references as clients write them, to uuids; and back to names.
 *
 * "/api/pool?name=p", "/api/pool/?tenant=admin&name=p&cloud=Default-Cloud",
 * "/api/pool/UUID", "https://any-host/api/pool/UUID#name", a bare uuid or name.
 * By name the caller's tenant comes first, then what `admin` provides to it
 * (access.def says what); objects of other tenants are not found.
 */
#ifndef SPANWIRE_CONTROLLER_RESOLVE_H
#define SPANWIRE_CONTROLLER_RESOLVE_H

#include "controller/access.h"
#include "controller/store/store.h"

struct resolver {
	struct model_resolver model;
	struct store *store;
	struct txn *txn; /* NULL: committed state only */
	const char *tenant; /* uuid; "*": any */
	const char *cloud; /* uuid: preferred; "": any */
	/* Whose references they are; NULL: the controller's own. What he does not see is not found. */
	const struct viewer *viewer;
};

void resolver_init(struct resolver *r, struct store *s, struct txn *t, const char *tenant,
		   const char *cloud);

/*
 * The message's spelling of a kind, also of one that is not built yet: "VsVip". Borrowed, per
 * thread, until the next call.
 */
const char *kind_spelling(const char *path);

#endif
