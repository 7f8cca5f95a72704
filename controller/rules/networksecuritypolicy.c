/* networksecuritypolicy: a group whose members nobody here knows would match no one, or everybody. */
#include "base/base.h"
#include "controller/rules.h"

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	(void)uuid;
	(void)old;
	return rule_uses_built(c, kind_find("networksecuritypolicy"), new, e);
}

const struct rule rule_networksecuritypolicy = { .kind = "networksecuritypolicy", .check = check };
