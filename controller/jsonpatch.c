#include "controller/jsonpatch.h"

#include <errno.h>

#include "base/base.h"

enum { OPS_MAX = 1000 };

/* The next token of a pointer at *P (which stands on a '/'), unescaped, into OUT. */
static int token(const char **p, char *out, size_t size, struct err *e)
{
	const char *s = *p + 1;
	size_t n = 0;

	for (; *s && *s != '/'; s++) {
		char c = *s;

		if (c == '~') {
			s++;
			if (*s != '0' && *s != '1')
				return err_set(e, -EINVAL, NULL,
					       "'~' in a path must be followed by 0 or 1.");
			c = *s == '0' ? '~' : '/';
		}
		if (n + 1 >= size)
			return err_set(e, -EINVAL, NULL, "The path has too long a part.");
		out[n++] = c;
	}
	out[n] = '\0';
	*p = s;
	return 0;
}

/* Index in an array of SIZE; "-" is SIZE. RFC 6901: no leading zeros. */
static int array_index(const char *text, size_t size, size_t *index, struct err *e)
{
	char *end;

	if (strcmp(text, "-") == 0) {
		*index = size;
		return 0;
	}
	*index = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || (text[0] == '0' && text[1]) || *index > size)
		return err_set(e, -EINVAL, NULL, "'%.40s' is not an index of the list.", text);
	return 0;
}

static json_t *child(json_t *v, const char *name)
{
	size_t i;

	if (json_is_object(v))
		return json_object_get(v, name);
	if (json_is_array(v) && array_index(name, json_array_size(v), &i, NULL) == 0)
		return json_array_get(v, i);
	return NULL;
}

/* The container of what PATH names, and its last token. */
static int walk(json_t *doc, const char *path, json_t **parent, char *last, size_t size,
		struct err *e)
{
	const char *p = path;

	if (*p != '/')
		return err_set(e, -EINVAL, NULL, "'%.100s' is not a path inside the object.", path);
	for (;;) {
		int rc = token(&p, last, size, e);

		if (rc < 0)
			return rc;
		if (!*p) {
			*parent = doc;
			return 0;
		}
		doc = child(doc, last);
		if (!doc)
			return err_set(e, -EINVAL, NULL, "There is nothing at '%.100s'.", path);
	}
}

static int get(json_t *doc, const char *path, json_t **out, struct err *e)
{
	char last[256];
	json_t *parent;
	int rc = walk(doc, path, &parent, last, sizeof(last), e);

	if (rc < 0)
		return rc;
	*out = child(parent, last);
	return *out ? 0 : err_set(e, -EINVAL, NULL, "There is nothing at '%.100s'.", path);
}

static int put(json_t *doc, const char *path, json_t *value, bool replace, struct err *e)
{
	char last[256];
	json_t *parent;
	size_t i;
	int rc = walk(doc, path, &parent, last, sizeof(last), e);

	if (rc < 0)
		return rc;
	if (json_is_object(parent)) {
		json_object_set(parent, last, value);
		return 0;
	}
	if (!json_is_array(parent))
		return err_set(e, -EINVAL, NULL,
			       "'%.100s' lies in something that is neither object nor list.", path);
	rc = array_index(last, json_array_size(parent), &i, e);
	if (rc < 0)
		return rc;
	if (replace && i == json_array_size(parent))
		return err_set(e, -EINVAL, NULL, "There is nothing at '%.100s'.", path);
	if (replace)
		json_array_set(parent, i, value);
	else
		json_array_insert(parent, i, value);
	return 0;
}

static int drop(json_t *doc, const char *path, struct err *e)
{
	char last[256];
	json_t *parent, *v;
	size_t i;
	int rc = get(doc, path, &v, e);

	if (rc < 0)
		return rc;
	rc = walk(doc, path, &parent, last, sizeof(last), e);
	if (rc < 0)
		return rc;
	if (json_is_object(parent))
		json_object_del(parent, last);
	else if (array_index(last, json_array_size(parent), &i, e) == 0)
		json_array_remove(parent, i);
	return 0;
}

static int apply_one(json_t *doc, const json_t *op, struct err *e)
{
	const char *name = json_str(op, "op", ""), *path = json_str(op, "path", NULL);
	const char *from = json_str(op, "from", NULL);
	json_t *value = json_object_get(op, "value"), *found = NULL;
	CLEANUP_JSON json_t *moved = NULL;
	int rc;

	if (!path)
		return err_set(e, -EINVAL, "path", "An operation needs a path.");
	if ((strcmp(name, "add") == 0 || strcmp(name, "replace") == 0 ||
	     strcmp(name, "test") == 0) &&
	    !value)
		return err_set(e, -EINVAL, "value", "'%s' needs a value.", name);
	if (strcmp(name, "add") == 0 || strcmp(name, "replace") == 0) {
		/* A copy: the same literal may be changed by a later operation. */
		moved = json_deep_copy(value);
		return put(doc, path, moved, strcmp(name, "replace") == 0, e);
	}
	if (strcmp(name, "remove") == 0)
		return drop(doc, path, e);
	if (strcmp(name, "test") == 0) {
		rc = get(doc, path, &found, e);
		if (rc == 0 && !json_equal(found, value))
			rc = err_set(e, -EINVAL, NULL, "'%.100s' has another value.", path);
		return rc;
	}
	if (strcmp(name, "move") == 0 || strcmp(name, "copy") == 0) {
		if (!from)
			return err_set(e, -EINVAL, "from", "'%s' needs a 'from'.", name);
		rc = get(doc, from, &found, e);
		if (rc < 0)
			return rc;
		moved = json_deep_copy(found);
		if (strcmp(name, "move") == 0)
			rc = drop(doc, from, e);
		return rc < 0 ? rc : put(doc, path, moved, false, e);
	}
	return err_set(e, -EINVAL, "op",
		       "'%.40s' is none of add, remove, replace, move, copy, test.", name);
}

int jsonpatch_apply(const json_t *doc, const json_t *ops, json_t **out, struct err *e)
{
	CLEANUP_JSON json_t *work = json_deep_copy(doc);
	json_t *op;
	size_t i;

	if (!json_is_array(ops))
		return err_set(e, -EINVAL, "json_patch", "A list of operations is wanted.");
	if (json_array_size(ops) > OPS_MAX)
		return err_set(e, -EINVAL, "json_patch", "More than %d operations.", OPS_MAX);
	json_array_foreach((json_t *)ops, i, op) {
		int rc = json_is_object(op)
				 ? apply_one(work, op, e)
				 : err_set(e, -EINVAL, NULL, "An operation is an object.");

		if (rc < 0) {
			char where[40];

			snprintf(where, sizeof(where), "json_patch[%zu]", i);
			err_within(e, where);
			return rc;
		}
	}
	*out = json_incref(work);
	return 0;
}
