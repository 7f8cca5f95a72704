#include "shell/filter.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/edit.h"
#include "shell/text.h"

int filter_cut(struct filter *f, const char *const *words, size_t n, size_t *left, struct err *e)
{
	size_t i = MIN(n, (size_t)1);

	while (i < n && strcasecmp(words[i], "filter"))
		i++;
	*left = i;
	*f = (struct filter){ 0 };
	if (i == n)
		return 0;
	*f = (struct filter){ words + i + 1, n - i - 1 };
	if (f->n && f->n % 2 == 0)
		return 0;
	return err_set(e, -EINVAL, NULL, "Behind filter stand pairs of a field and its value: filter enabled true.");
}

/* ---- by the controller ------------------------------------------------------------------- */

/* What the API calls it: fields whole, an object by its name, a word of an enum whole. */
static int put_pair(struct buf *b, struct client *c, const json_t *model, const json_t *kind, const char *key,
		    const char *value, struct err *e)
{
	const json_t *field = strchr(key, '.') ? NULL : edit_field(model, json_str(kind, "message", ""), key, e);
	const char *type = json_str(field, "type", ""), *name = json_str(field, "name", key);
	CLEANUP_JSON json_t *word = NULL;
	CLEANUP_FREE char *escaped = NULL;

	if (!field && !strchr(key, '.'))
		return -EINVAL;
	if (!strcmp(type, "enum")) {
		word = edit_value(model, field, value, e);
		if (!word)
			return -EINVAL;
		if (json_is_string(word))
			value = json_string_value(word);
	}
	escaped = client_escape(c, value);
	buf_printf(b, "&%s%s=%s", name, strcmp(type, "ref") ? "" : ".name", escaped);
	return 0;
}

char *filter_query(const struct filter *f, struct client *c, const json_t *model, const json_t *kind, struct err *e)
{
	struct buf b = BUF_INIT;
	char *s = NULL;
	int rc = 0;

	for (size_t i = 0; i < f->n && !rc; i += 2)
		rc = put_pair(&b, c, model, kind, f->words[i], f->words[i + 1], e);
	if (!rc)
		s = xstrdup(b.len ? buf_cstr(&b) : "");
	buf_fini(&b);
	return s;
}

/* ---- here -------------------------------------------------------------------------------- */

struct choice {
	const char *key, *value;
};

/* Is KEY the last parts of PATH? */
static bool ends_with(const char *path, const char *key)
{
	size_t len = strlen(path), k = strlen(key);

	return k <= len && !strcasecmp(path + len - k, key) && (k == len || path[len - k - 1] == '.');
}

/* 1: the row has it; 0: it has another value; -1: it has no such member. Rows below it do not count. */
static int row_has(const struct choice *c, const char *path, const json_t *v)
{
	const json_t *member;
	const char *name;
	int found = -1;

	if (!json_is_object(v) || text_is_flat(v)) {
		CLEANUP_FREE char *text = NULL;

		if ((json_is_array(v) && !text_is_flat(v)) || !ends_with(path, c->key))
			return -1;
		text = text_of(v);
		return !strcasecmp(text, c->value);
	}
	json_object_foreach((json_t *)v, name, member) {
		CLEANUP_FREE char *below = *path ? xasprintf("%s.%s", path, name) : xstrdup(name);

		found = MAX(found, row_has(c, below, member));
	}
	return found;
}

/* The list, by its path, whose rows have the member: the outermost. NULL: none. Caller frees. */
static char *list_with(const struct choice *c, const char *path, const json_t *v)
{
	const json_t *member;
	char *found = NULL;
	const char *name;
	size_t i;

	json_array_foreach((json_t *)v, i, member)
		if (row_has(c, "", member) >= 0)
			return xstrdup(path);
	json_array_foreach((json_t *)v, i, member)
		if (!found)
			found = list_with(c, path, member);
	json_object_foreach((json_t *)v, name, member) {
		CLEANUP_FREE char *below = xasprintf("%s/%s", path, name);

		if (!found)
			found = list_with(c, below, member);
	}
	return found;
}

static void choose(const struct choice *c, const char *list, const char *path, json_t *v)
{
	bool here = json_is_array(v) && !strcmp(list, path);
	json_t *member;
	const char *name;

	for (size_t i = json_array_size(v); i-- > 0;) {
		if (!here)
			choose(c, list, path, json_array_get(v, i));
		else if (row_has(c, "", json_array_get(v, i)) != 1)
			json_array_remove(v, i);
	}
	json_object_foreach(v, name, member) {
		CLEANUP_FREE char *below = xasprintf("%s/%s", path, name);

		choose(c, list, below, member);
	}
}

int filter_rows(const struct filter *f, json_t *answer, struct err *e)
{
	for (size_t i = 0; i < f->n; i += 2) {
		struct choice c = { .key = f->words[i], .value = f->words[i + 1] };
		CLEANUP_FREE char *list = list_with(&c, "", answer);

		if (list)
			choose(&c, list, "", answer);
		else if (i == 0) /* where an earlier pair left nothing, nothing can be missing */
			return err_set(e, -EINVAL, c.key, "No row has such a member.");
	}
	return 0;
}
