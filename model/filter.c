/*
 * filter - conditions on stored objects, as the parameters of a list's URL name them.
 *
 * A field is found in the tables once, when the filter is made; a match is a walk down the object.
 */
#include "base/base.h"

#include <errno.h>

#include "model/internal.h"

enum { DEPTH_MAX = 8 };

enum op {
	OP_IS,
	OP_NE,
	OP_CONTAINS,
	OP_ICONTAINS,
	OP_STARTSWITH,
	OP_ENDSWITH,
	OP_IN,
	OP_GT,
	OP_GE,
	OP_LT,
	OP_LE
};

static const struct {
	const char *name;
	enum op op;
} ops[] = {
	{ "exact", OP_IS },
	{ "eq", OP_IS },
	{ "ne", OP_NE },
	{ "contains", OP_CONTAINS },
	{ "icontains", OP_ICONTAINS },
	{ "startswith", OP_STARTSWITH },
	{ "endswith", OP_ENDSWITH },
	{ "in", OP_IN },
	{ "gt", OP_GT },
	{ "gte", OP_GE },
	{ "ge", OP_GE },
	{ "lt", OP_LT },
	{ "lte", OP_LE },
	{ "le", OP_LE },
};

/* Of a reference: what of its target is compared. */
enum part { PART_ANY, PART_NAME, PART_UUID };

struct model_filter {
	const struct field_desc *step[DEPTH_MAX]; /* messages, and the field at their end */
	size_t n;
	enum op op;
	enum part part;
	double number; /* of `want`, where the field is one */
	char want[];
};

/* ---- making one ------------------------------------------------------------------------ */

static const struct field_desc *field_findn(const struct message_desc *m, const char *name,
					    size_t n)
{
	for (size_t i = 0; i < m->n_fields; i++)
		if (strlen(m->fields[i].name) == n && memcmp(m->fields[i].name, name, n) == 0)
			return &m->fields[i];
	return NULL;
}

static int op_find(const char *name, enum op *op)
{
	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (strcmp(ops[i].name, name) == 0) {
			*op = ops[i].op;
			return 0;
		}
	}
	return -1;
}

/* What stands behind the last field: "", "OP", and of a reference "name", "uuid.OP" ... */
static int tail_read(struct model_filter *f, const struct field_desc *last, const char *tail,
		     const char *path, struct err *e)
{
	size_t n = strcspn(tail, ".");

	if (last->type == FT_REF && n == 4 && memcmp(tail, "name", 4) == 0)
		f->part = PART_NAME;
	else if (last->type == FT_REF && n == 4 && memcmp(tail, "uuid", 4) == 0)
		f->part = PART_UUID;
	else
		n = 0;
	tail += n + (n && tail[n] == '.');
	if (*tail && op_find(tail, &f->op) < 0)
		return err_set(e, -EINVAL, path, "There is no operator '%.60s' for %s.", tail,
			       last->name);
	return 0;
}

static bool is_number(const struct field_desc *f)
{
	return f->type == FT_INT || f->type == FT_FLOAT;
}

static int want_read(struct model_filter *f, const struct field_desc *last, const char *path,
		     struct err *e)
{
	bool as_is = f->op == OP_IS || f->op == OP_NE;
	bool order = f->op >= OP_GT;
	char *end;

	if (last->type == FT_BOOL) {
		if (f->op == OP_IN)
			return 0;
		if (!as_is)
			return err_set(e, -EINVAL, path, "A boolean is true or false.");
		if (strcasecmp(f->want, "true") == 0 || strcmp(f->want, "1") == 0)
			f->number = 1;
		else if (strcasecmp(f->want, "false") != 0 && strcmp(f->want, "0") != 0)
			return err_set(e, -EINVAL, path, "'%.60s' is neither true nor false.",
				       f->want);
	} else if (is_number(last) && (as_is || order)) {
		f->number = strtod(f->want, &end);
		if (end == f->want || *end)
			return err_set(e, -EINVAL, path, "'%.60s' is not a number.", f->want);
	}
	return 0;
}

int model_filter_new(const struct kind_desc *k, const char *field, const char *value,
		     struct model_filter **out, struct err *e)
{
	struct model_filter *f = xcalloc(1, sizeof(*f) + strlen(value) + 1);
	const struct message_desc *m = k->msg;
	const struct field_desc *last = NULL;
	const char *p = field;
	int rc = 0;

	memcpy(f->want, value, strlen(value) + 1);
	while (m && rc == 0) {
		size_t n = strcspn(p, ".");

		last = f->n < DEPTH_MAX ? field_findn(m, p, n) : NULL;
		if (!last) {
			rc = err_set(e, -EINVAL, field, "%s has no field '%.*s' to filter by.",
				     m->name, (int)MIN(n, 60), p);
			break;
		}
		f->step[f->n++] = last;
		p += n + (p[n] == '.');
		m = last->type == FT_MSG ? last->msg : NULL;
		if (m && !*p)
			rc = err_set(e, -EINVAL, field,
				     "It holds a %s: name one of its fields, behind a dot.",
				     m->name);
	}
	if (rc == 0)
		rc = tail_read(f, last, p, field, e);
	if (rc == 0)
		rc = want_read(f, last, field, e);
	if (rc < 0)
		model_filter_free(f);
	else
		*out = f;
	return rc;
}

void model_filter_free(struct model_filter *f)
{
	free(f);
}

/* ---- matching --------------------------------------------------------------------------- */

static bool text_in_list(const char *text, const char *list)
{
	size_t n = strlen(text);

	while (*list) {
		size_t len = strcspn(list, ",");

		if (len == n && memcmp(list, text, n) == 0)
			return true;
		list += len + (list[len] == ',');
	}
	return false;
}

static bool text_fits(const struct model_filter *f, const char *text)
{
	size_t have = strlen(text), want = strlen(f->want);

	switch (f->op) {
	case OP_IS:
	case OP_NE: /* turned round by model_filter_fits() */
		return strcmp(text, f->want) == 0;
	case OP_CONTAINS:
		return strstr(text, f->want) != NULL;
	case OP_ICONTAINS:
		return strcasestr(text, f->want) != NULL;
	case OP_STARTSWITH:
		return strncmp(text, f->want, want) == 0;
	case OP_ENDSWITH:
		return have >= want && strcmp(text + have - want, f->want) == 0;
	case OP_IN:
		return text_in_list(text, f->want);
	case OP_GT:
		return strcmp(text, f->want) > 0;
	case OP_GE:
		return strcmp(text, f->want) >= 0;
	case OP_LT:
		return strcmp(text, f->want) < 0;
	case OP_LE:
		return strcmp(text, f->want) <= 0;
	}
	return false;
}

static bool number_fits(const struct model_filter *f, const json_t *v)
{
	double n = json_number_value(v);
	char text[64];

	switch (f->op) {
	case OP_IS:
	case OP_NE:
		return n == f->number;
	case OP_GT:
		return n > f->number;
	case OP_GE:
		return n >= f->number;
	case OP_LT:
		return n < f->number;
	case OP_LE:
		return n <= f->number;
	default:
		break;
	}
	if (json_is_integer(v))
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
	else
		snprintf(text, sizeof(text), "%.15g", n);
	return text_fits(f, text);
}

/* By uuid or name when the filter says so, else by whatever the value looks like. */
static bool ref_fits(const struct model_filter *f, const struct field_desc *field,
		     const char *stored, struct model_resolver *r)
{
	const char *uuid = ref_target(stored), *name = NULL, *hash, *tail;

	if (f->part == PART_UUID)
		return text_fits(f, uuid);
	if (r)
		name = r->name(r, field->ref, uuid);
	if (f->part == PART_NAME)
		return name && text_fits(f, name);
	if (text_fits(f, uuid) || (name && text_fits(f, name)))
		return true;
	hash = strchr(f->want, '#');
	tail = strrchr(f->want, '/');
	tail = tail ? tail + 1 : f->want;
	return (size_t)((hash ? hash : tail + strlen(tail)) - tail) == strlen(uuid) &&
	       strncmp(tail, uuid, strlen(uuid)) == 0;
}

static bool scalar_fits(const struct model_filter *f, const struct field_desc *field,
			const json_t *v, struct model_resolver *r)
{
	if (field->flags & F_SECRET)
		return false;
	switch (json_typeof(v)) {
	case JSON_STRING:
		return field->type == FT_REF ? ref_fits(f, field, json_string_value(v), r)
					     : text_fits(f, json_string_value(v));
	case JSON_INTEGER:
	case JSON_REAL:
		return number_fits(f, v);
	case JSON_TRUE:
	case JSON_FALSE:
		return f->op == OP_IN ? text_fits(f, json_is_true(v) ? "true" : "false")
				      : json_is_true(v) == (f->number == 1);
	default:
		return false;
	}
}

static bool step_fits(const struct model_filter *f, size_t step, const json_t *message,
		      struct model_resolver *r)
{
	const struct field_desc *field = f->step[step];
	const json_t *v = json_object_get(message, field->name), *item;
	CLEANUP_JSON json_t *dflt = NULL;
	size_t i, n;

	if (!v)
		v = dflt = field_default(field, message);
	/* A scalar is looked at as a list of one. */
	n = !v ? 0 : field->list ? json_array_size(v) : 1;
	for (i = 0; i < n; i++) {
		item = field->list ? json_array_get(v, i) : v;
		if (step + 1 < f->n ? step_fits(f, step + 1, item, r)
				    : scalar_fits(f, field, item, r))
			return true;
	}
	return false;
}

bool model_filter_fits(const struct model_filter *f, const json_t *stored, struct model_resolver *r)
{
	/* Whether a secret is something or not is not told either. */
	if (f->step[f->n - 1]->flags & F_SECRET)
		return false;
	return step_fits(f, 0, stored, r) != (f->op == OP_NE);
}
