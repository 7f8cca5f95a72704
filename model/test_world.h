/*
 * test_world - what the tests of the model share: a store in which every name exists but
 * "nope", and JSON that can be read in C.
 */
#ifndef SPANWIRE_MODEL_TEST_WORLD_H
#define SPANWIRE_MODEL_TEST_WORLD_H

#include "base/test.h"

#include "model/model.h"

static inline int resolve(struct model_resolver *r, const char *kind, const char *text, char *uuid,
		   size_t size, struct err *e)
{
	const char *name = strstr(text, "name="), *tail = strrchr(text, '/');
	size_t n;

	(void)r;
	/* As the store's: there are no objects of a kind that is not built. */
	if (!kind_find(kind))
		return -ENOENT;
	if (name) {
		name += strlen("name=");
		if (strcmp(name, "nope") == 0)
			return -ENOENT;
		if (strcmp(name, "odd") == 0)
			return err_set(e, -EINVAL, NULL, "Two objects have this name.");
		snprintf(uuid, size, "%s-%s", kind, name);
		return 0;
	}
	tail = tail ? tail + 1 : text;
	n = strcspn(tail, "#");
	snprintf(uuid, size, "%.*s", (int)n, tail);
	return 0;
}

/* "pool-x" is called "x". */
static inline const char *name_of(struct model_resolver *r, const char *kind, const char *uuid)
{
	(void)r;
	return strncmp(uuid, kind, strlen(kind)) == 0 ? uuid + strlen(kind) + 1 : NULL;
}

static struct model_resolver world = { .resolve = resolve, .name = name_of };

static inline json_t *parse(const char *text)
{
	struct err e = { 0 };
	json_t *v = NULL;

	if (json_read(text, strlen(text), &v, &e) < 0)
		fail_msg("%s: %s", text, err_line(&e));
	return v;
}

/* Single quotes for double ones, so that JSON in C can be read. */
static inline json_t *quoted(const char *text)
{
	CLEANUP_FREE char *s = xstrdup(text);

	for (char *p = s; *p; p++)
		if (*p == '\'')
			*p = '"';
	return parse(s);
}

static inline json_t *stored_form(const char *kind, const char *text)
{
	CLEANUP_JSON json_t *wire = quoted(text);
	struct err e = { 0 };
	json_t *out = NULL;

	if (model_read(kind_find(kind), wire, 0, &world, &out, NULL, &e) < 0)
		fail_msg("%s: %s", text, err_line(&e));
	return out;
}

static inline void assert_json(const json_t *have, const char *want)
{
	CLEANUP_JSON json_t *w = quoted(want);
	CLEANUP_FREE char *a = json_text(have);
	CLEANUP_FREE char *b = json_text(w);

	assert_string_equal(a, b);
}

#endif
