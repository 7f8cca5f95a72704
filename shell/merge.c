#include "shell/merge.h"

#include "base/base.h"

static json_t *merged(const char *path, const json_t *was, const json_t *mine, const json_t *theirs, json_t *clashes);

static json_t *members(const char *path, const json_t *was, const json_t *mine, const json_t *theirs, json_t *clashes)
{
	CLEANUP_JSON json_t *all = json_copy((json_t *)theirs);
	json_t *out = json_object(), *v;
	const json_t *unused;
	const char *key;

	json_object_update_missing(all, (json_t *)mine);
	json_object_foreach(all, key, unused) {
		CLEANUP_FREE char *below = *path ? xasprintf("%s.%s", path, key) : xstrdup(key);

		v = merged(below, json_object_get(was, key), json_object_get(mine, key), json_object_get(theirs, key), clashes);
		if (v)
			json_object_set_new(out, key, v);
	}
	(void)unused;
	return out;
}

static bool same(const json_t *a, const json_t *b)
{
	return a == b || (a && b && json_equal((json_t *)a, (json_t *)b));
}

static json_t *merged(const char *path, const json_t *was, const json_t *mine, const json_t *theirs, json_t *clashes)
{
	if (same(mine, was) || same(mine, theirs))
		return json_incref((json_t *)theirs);
	if (same(theirs, was))
		return json_incref((json_t *)mine);
	if (json_is_object(mine) && json_is_object(theirs))
		return members(path, was, mine, theirs, clashes);
	json_array_append_new(clashes, json_string(path));
	return json_incref((json_t *)mine);
}

json_t *merge(const json_t *was, const json_t *mine, const json_t *theirs, json_t *clashes)
{
	CLEANUP_JSON json_t *v = merged("", was, mine, theirs, clashes);

	return json_deep_copy(v);
}
