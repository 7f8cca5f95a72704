/*
 * selection - which objects of a kind the parameters of a request mean.
 *
 * FIELD[.SUB][.OP]=VALUE (model_filter_new), `exclude=FIELD.OP` to turn one round, `search` and
 * `isearch`, `refers_to` and `referred_by`, the clouds of `cloud` and `cloud_uuid`, the markers of
 * `label_key` and `label_value`; and that the caller may see them at all. What other parameters mean is not its business.
 */
#ifndef SPANWIRE_CONTROLLER_REST_SELECTION_H
#define SPANWIRE_CONTROLLER_REST_SELECTION_H

#include "controller/resolve.h"
#include "controller/rest/request.h"

struct condition;

struct selection {
	struct request *q;
	const struct kind_desc *kind;
	struct resolver resolver;
	const char *name; /* what nearly everybody asks for: looked at before anything else */
	struct condition *condition;
	size_t n;
};

/* -EINVAL with a sentence: a parameter that is no condition on this kind. */
int selection_init(struct selection *s, struct request *q, const struct kind_desc *k,
		   struct err *e);
void selection_fini(struct selection *s);
bool selection_has(struct selection *s, const struct object *o);

#endif
