/* pool: the monitors that it uses must be built. */
#include "base/base.h"
#include "controller/rules.h"
#include "controller/rules/tls.h"
#include "controller/resolve.h"

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	(void)uuid;
	(void)old;
	int rc = rule_uses_built(c, kind_find("pool"), new, e);

	return rc < 0 ? rc : rule_tls_of_pool(c, new, e);
}

const struct rule rule_pool = { .kind = "pool", .check = check };
