/*
 * derived - objects that exist once for each object of another kind (kind_desc.of), under its uuid
 * and name, in its tenant and cloud: debugvirtualservice beside virtualservice.
 *
 * As long as such an object is nothing but defaults it is not stored: it is made up when somebody
 * asks. Ten thousand virtual services have ten thousand of them, and they cost nothing. It comes
 * and goes with its base and takes over its name; a DELETE brings the defaults back.
 */
#ifndef SPANWIRE_CONTROLLER_DERIVED_H
#define SPANWIRE_CONTROLLER_DERIVED_H

#include "controller/store/store.h"

/* Room for one that is made up; zeroed before use. */
struct derived {
	struct object o;
	json_t *body;
};
void derived_fini(struct derived *d);
#define CLEANUP_DERIVED __attribute__((cleanup(derived_fini)))

/*
 * The object (KIND, UUID), also of kinds that are not derived: as store_get(), or made up in D.
 * NULL when there is none. Borrowed until the next commit or derived_fini().
 */
const struct object *derived_get(struct store *s, const struct kind_desc *k, const char *uuid,
				 struct derived *d);
/* As store_each(); an object that is made up lives until F returns. */
int derived_each(struct store *s, const struct kind_desc *k,
		 int (*f)(void *arg, const struct object *o), void *arg);

/* O, from derived_get(), becomes BODY: as txn_update(), but what is all defaults is not stored. */
int derived_write(struct store *s, struct txn *t, const struct object *o, json_t *body,
		  uint64_t expect_us, struct err *e);
/* The base was written or deleted: what stands beside it follows. */
int derived_follow(struct store *s, struct txn *t, const struct kind_desc *base, const char *uuid,
		   struct err *e);

#endif
