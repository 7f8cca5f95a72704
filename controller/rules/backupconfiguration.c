/*
 * backupconfiguration: the prefix becomes part of file names.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/rules.h"

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	const char *prefix = json_str(new, "backup_file_prefix", "");

	(void)c;
	(void)uuid;
	(void)old;
	if (prefix[strspn(prefix, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")] || strlen(prefix) > 128)
		return err_set(e, -EINVAL, "backup_file_prefix", "It has at most 128 letters, digits, '-' and '_'.");
	return 0;
}

const struct rule rule_backupconfiguration = { .kind = "backupconfiguration", .check = check };
