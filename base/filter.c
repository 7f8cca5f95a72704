#include "base/filter.h"

#include <errno.h>
#include <stdio.h>
#include <strings.h>

#include "base/base.h"
#include "base/moment.h"

static const char *const ops[] = { "eq", "ne", "co", "nc", "sw", "gt", "ge", "lt", "le" };

/* Without the blanks and the quotes around it. */
static int value_read(const char *from, const char *to, char out[static 256])
{
	while (from < to && *from == ' ')
		from++;
	while (from < to && to[-1] == ' ')
		to--;
	if (to - from >= 2 && *from == '"' && to[-1] == '"') {
		from++;
		to--;
	}
	if (to - from > 255)
		return -EINVAL;
	memcpy(out, from, (size_t)(to - from));
	out[to - from] = '\0';
	return 0;
}

int filter_read(const char *text, struct filter *f, struct err *e)
{
	const char *end = text ? strrchr(text, ')') : NULL;
	int at = 0;

	if (text && sscanf(text, "%2[a-z](%127[^,()],%n", f->op, f->field, &at) == 2 && at && end && end > text + at && !end[1] &&
	    value_read(text + at, end, f->value) == 0 && f->value[0])
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
			if (strcmp(ops[i], f->op) == 0)
				return 0;
	return err_set(e, -EINVAL, "filter",
		       "'%.60s' is not OP(FIELD,VALUE) with OP one of eq ne co nc sw gt ge lt le.", text ? text : "");
}

static bool is_number(const char *s, double *v)
{
	char *end;

	*v = strtod(s, &end);
	return *s && !*end;
}

static int order(const char *have, const char *want)
{
	uint64_t t, u;
	double a, b;

	if (is_number(have, &a) && is_number(want, &b))
		return a < b ? -1 : a > b;
	if (moment_read(have, &t) == 0 && moment_read(want, &u) == 0)
		return t < u ? -1 : t > u;
	return strcmp(have, want);
}

static bool is_same(const json_t *v, const char *have, const char *want)
{
	double a, b;

	if (json_is_boolean(v))
		return strcasecmp(have, want) == 0 || strcmp(want, json_is_true(v) ? "1" : "0") == 0;
	if (json_is_number(v) && is_number(have, &a) && is_number(want, &b))
		return a <= b && a >= b;
	return strcmp(have, want) == 0;
}

static bool holds(const char *op, const json_t *v, const char *have, const char *want)
{
	if (strcmp(op, "eq") == 0)
		return is_same(v, have, want);
	if (strcmp(op, "ne") == 0)
		return !is_same(v, have, want);
	if (strcmp(op, "co") == 0)
		return strcasestr(have, want) != NULL;
	if (strcmp(op, "nc") == 0)
		return strcasestr(have, want) == NULL;
	if (strcmp(op, "sw") == 0)
		return strncmp(have, want, strlen(want)) == 0;
	/* Of what is not there nobody knows the order. */
	if (!v || json_is_null(v))
		return false;
	if (strcmp(op, "gt") == 0)
		return order(have, want) > 0;
	if (strcmp(op, "ge") == 0)
		return order(have, want) >= 0;
	if (strcmp(op, "lt") == 0)
		return order(have, want) < 0;
	return order(have, want) <= 0; /* le */
}

/* "" when there is none. */
static const char *text_of(const json_t *v, char *number, size_t size)
{
	if (json_is_string(v))
		return json_string_value(v);
	if (json_is_integer(v))
		snprintf(number, size, "%lld", (long long)json_integer_value(v));
	else if (json_is_real(v))
		snprintf(number, size, "%.17g", json_real_value(v));
	else
		return json_is_true(v) ? "true" : json_is_false(v) ? "false" : "";
	return number;
}

static bool value_holds(const char *op, const json_t *v, const char *want)
{
	char number[32];

	return holds(op, v, text_of(v, number, sizeof(number)), want);
}

static const json_t *at(const json_t *v, const char *path)
{
	char part[128];

	while (v && *path) {
		size_t n = MIN(strcspn(path, "."), sizeof(part) - 1);

		memcpy(part, path, n);
		part[n] = '\0';
		path += n + (path[n] == '.');
		v = json_object_get(v, part);
	}
	return v;
}

/* Does any of what V has in it, at whatever depth? */
static bool any_holds(const char *op, json_t *v, const char *want)
{
	const char *key;
	json_t *member;
	size_t i;

	if (!json_is_object(v) && !json_is_array(v))
		return value_holds(op, v, want);
	json_array_foreach(v, i, member)
		if (any_holds(op, member, want))
			return true;
	json_object_foreach(v, key, member)
		if (any_holds(op, member, want))
			return true;
	return false;
}

bool filter_passes(const struct filter *f, const json_t *object)
{
	bool all = strcmp(f->field, "all") == 0;
	const json_t *v = all ? object : at(object, f->field);
	bool none = strcmp(f->op, "ne") == 0 || strcmp(f->op, "nc") == 0;

	if (!all && !json_is_array(v))
		return value_holds(f->op, v, f->value);
	if (none)
		return !any_holds(f->op[0] == 'n' && f->op[1] == 'e' ? "eq" : "co", (json_t *)v, f->value);
	return any_holds(f->op, (json_t *)v, f->value);
}
