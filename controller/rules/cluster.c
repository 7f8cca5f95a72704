/*
 * cluster: for the time being one controller. Who asked for three and got one would find out on the worst of days.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rules.h"

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	size_t n = json_array_size(json_object_get(new, "nodes")), had = json_array_size(json_object_get(old, "nodes"));

	(void)c;
	(void)uuid;
	if (n <= 1 || n <= had)
		return 0;
	return err_set(e, -EINVAL, "nodes", "%zu nodes: a cluster of several controllers is not built yet; name one.", n);
}

const struct rule rule_cluster = { .kind = "cluster", .check = check };
