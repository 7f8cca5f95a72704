#include "base/filter.h"

#include <errno.h>
#include <stdio.h>

#include "base/base.h"

static const char *const ops[] = { "eq", "ne", "co", "nc", "sw", "gt", "ge", "lt", "le" };

int filter_read(const char *text, struct filter *f, struct err *e)
{
	int end = 0;

	f->value[0] = '\0';
	if (text && sscanf(text, "%2[a-z](%127[^,],%255[^)])%n", f->op, f->field, f->value, &end) == 3 && !text[end])
		for (size_t i = 0; i < ARRAY_SIZE(ops); i++)
			if (strcmp(ops[i], f->op) == 0)
				return 0;
	return err_set(e, -EINVAL, "filter",
		       "'%.60s' is not OP(FIELD,VALUE) with OP one of eq ne co nc sw gt ge lt le.", text ? text : "");
}

static int order(const char *have, const char *want)
{
	char *end1, *end2;
	double a = strtod(have, &end1), b = strtod(want, &end2);

	if (*have && *want && !*end1 && !*end2)
		return a < b ? -1 : a > b;
	return strcmp(have, want);
}

static bool holds(const char *op, const char *have, const char *want)
{
	if (strcmp(op, "eq") == 0)
		return strcmp(have, want) == 0;
	if (strcmp(op, "ne") == 0)
		return strcmp(have, want) != 0;
	if (strcmp(op, "co") == 0)
		return strcasestr(have, want) != NULL;
	if (strcmp(op, "nc") == 0)
		return strcasestr(have, want) == NULL;
	if (strcmp(op, "sw") == 0)
		return strncmp(have, want, strlen(want)) == 0;
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
	if (json_is_integer(v)) {
		snprintf(number, size, "%lld", (long long)json_integer_value(v));
		return number;
	}
	return json_is_true(v) ? "true" : json_is_false(v) ? "false" : "";
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

bool filter_passes(const struct filter *f, const json_t *object)
{
	const json_t *v = at(object, f->field);
	bool none = strcmp(f->op, "ne") == 0 || strcmp(f->op, "nc") == 0;
	char number[32];

	if (!json_is_array(v))
		return holds(f->op, text_of(v, number, sizeof(number)), f->value);
	for (size_t i = 0; i < json_array_size(v); i++)
		if (holds(f->op, text_of(json_array_get(v, i), number, sizeof(number)), f->value) != none)
			return !none;
	return none;
}
