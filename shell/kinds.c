#include "shell/kinds.h"

#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/text.h"
#include "shell/words.h"

/*
 * How many characters of TEXT, without hyphens and underscores, KIND begins with; -1 when they
 * differ before.
 */
static int matching(const char *kind, const char *text)
{
	int n = 0;

	for (; *text; text++) {
		if (*text == '-' || *text == '_')
			continue;
		if (tolower((unsigned char)*text) != tolower((unsigned char)kind[n]))
			return -1;
		n++;
	}
	return n;
}

int kinds_find(const json_t *model, const char *text, const json_t **kind, struct err *e)
{
	struct buf candidates = BUF_INIT;
	const json_t *k;
	size_t i, n = 0;
	int rc = 0;

	*kind = NULL;
	json_array_foreach(json_object_get(model, "kinds"), i, k) {
		const char *path = json_str(k, "kind", "");
		int len = matching(path, text);

		if (json_bool(k, "runtime", false) || len <= 0)
			continue;
		if ((size_t)len == strlen(path)) {
			*kind = k;
			n = 1;
			break;
		}
		*kind = k;
		buf_printf(&candidates, "%s%s", n++ ? ", " : "", path);
	}
	if (n == 0)
		rc = err_set(e, -EINVAL, NULL, "There is no kind '%s'; `show` lists them.",
			     text);
	else if (n > 1)
		rc = err_set(e, -EINVAL, NULL, "'%s' could be any of: %s.", text,
			     buf_cstr(&candidates));
	buf_fini(&candidates);
	return rc;
}

const json_t *kinds_fields(const json_t *model, const char *message)
{
	return json_object_get(json_object_get(json_object_get(model, "messages"), message),
			       "fields");
}

const json_t *kinds_field(const json_t *fields, const char *name)
{
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)fields, i, f)
		if (!strcmp(json_str(f, "name", ""), name))
			return f;
	return NULL;
}

bool kinds_is_secret(const json_t *model, const char *path)
{
	const char *dot = strrchr(path, '.'), *name = dot ? dot + 1 : path, *message;
	const json_t *m;

	name += strspn(name, "-");
	json_object_foreach(json_object_get(model, "messages"), message, m) {
		const json_t *f = kinds_field(json_object_get(m, "fields"), name);

		if (json_bool(f, "secret", false))
			return true;
	}
	return false;
}

bool kinds_may_be_secret(const json_t *model, const char *word)
{
	const char *dot = strrchr(word, '.'), *name = dot ? dot + 1 : word, *message;
	const json_t *m, *f;
	size_t i;

	name += strspn(name, "-");
	json_object_foreach(json_object_get(model, "messages"), message, m)
		json_array_foreach(json_object_get(m, "fields"), i, f)
			if (*name && json_bool(f, "secret", false) && !strncasecmp(json_str(f, "name", ""), name, strlen(name)))
				return true;
	return false;
}

static const char *action_name(const void *actions, size_t i)
{
	return json_str(json_array_get(actions, i), "name", "");
}

const json_t *kinds_action(const json_t *kind, const char *name)
{
	const json_t *actions = json_object_get(kind, "actions");
	int at = words_choose(name, json_array_size(actions), action_name, actions);

	return at < 0 ? NULL : json_array_get(actions, (size_t)at);
}

/* "runtime/server/detail" */
#define VIEW_PARTS 3

static size_t parts_of(const char *path)
{
	size_t n = 1;

	for (; (path = strchr(path, '/')); path++)
		n++;
	return n;
}

/* Is each part of WORDS the beginning of VIEW's? */
static bool view_fits(const char *view, const char *words)
{
	for (;; view++, words++) {
		size_t len = strcspn(words, "/"), have = strcspn(view, "/");

		if (!len || len > have || strncasecmp(view, words, len))
			return false;
		view += have;
		words += len;
		if (!*view || !*words)
			return !*view && !*words;
	}
}

/* Words of other products' shells. */
static const struct {
	const char *word, *here;
} views_elsewhere[] = {
#define VIEW_ELSEWHERE(word, here) { word, here },
#include "shell/elsewhere.def"
};

const char *kinds_view(const json_t *kind, const char *words, struct err *e)
{
	struct buf several = BUF_INIT;
	const char *found = NULL;
	const json_t *v;
	size_t i, n = 0;

	e->code = 0;
	json_array_foreach(json_object_get(kind, "views"), i, v)
		if (!strcasecmp(json_string_value(v), words))
			return json_string_value(v);
	/* Whole ones first, then ends: the nearest. */
	for (size_t skip = 0; skip < VIEW_PARTS && !n; skip++)
		json_array_foreach(json_object_get(kind, "views"), i, v) {
			const char *view = json_string_value(v);

			if (parts_of(view) != parts_of(words) + skip)
				continue;
			for (size_t j = 0; j < skip; j++)
				view = strchr(view, '/') + 1;
			if (!view_fits(view, words))
				continue;
			found = json_string_value(v);
			buf_printf(&several, "%s%s", n++ ? ", " : "", found);
		}
	/* What others call it. */
	for (i = 0; !n && i < ARRAY_SIZE(views_elsewhere); i++)
		if (!strcasecmp(views_elsewhere[i].word, words))
			found = kinds_view(kind, views_elsewhere[i].here, e);
	if (found && !n)
		return found;
	if (n > 1)
		err_set(e, -EINVAL, NULL, "'%s' could be any of: %s.", words, buf_cstr(&several));
	buf_fini(&several);
	return n == 1 ? found : NULL;
}

char *kinds_views(const json_t *kind)
{
	struct buf b = BUF_INIT;
	const json_t *v;
	size_t i;
	char *s;

	json_array_foreach(json_object_get(kind, "views"), i, v)
		buf_printf(&b, "%s%s", i ? ", " : "", json_string_value(v));
	s = xstrdup(b.len ? buf_cstr(&b) : "");
	buf_fini(&b);
	return s;
}

/* Do the items of the list have something to go by: a key, or an address? */
static bool has_names(const json_t *model, const json_t *field)
{
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)kinds_fields(model, json_str(field, "message", "")), i, f)
		if (json_bool(f, "key", false) ||
		    kinds_field(kinds_fields(model, json_str(f, "message", "")), "addr"))
			return true;
	return false;
}

/* 0: no column of its own; else the smaller the sooner. */
static int rank(const json_t *model, const json_t *field)
{
	static const char *const elsewhere[] = { "name",       "uuid",	    "url",
						 "tenant_ref", "cloud_ref", "description" };
	static const char *const never[] = { "read_only", "secret", "inert", "deprecated" };
	const char *name = json_str(field, "name", ""), *type = json_str(field, "type", "");

	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
		if (!strcmp(name, elsewhere[i]))
			return 0;
	for (size_t i = 0; i < ARRAY_SIZE(never); i++)
		if (json_bool(field, never[i], false))
			return 0;
	if (!strcmp(type, "message"))
		return json_bool(field, "list", false) && has_names(model, field) ? 1 : 0;
	if (json_bool(field, "required", false) || !strcmp(type, "ref"))
		return json_object_get(field, "default") || json_object_get(field, "default_from")
			       ? 3
			       : 1;
	return !strcmp(name, "enabled") ? 1 : 2;
}

/* Is it set in some object? Whether something is enabled is told in any case. */
static bool is_told(const json_t *objects, const json_t *field)
{
	const char *name = json_str(field, "name", "");
	const json_t *o;
	size_t i;

	json_array_foreach((json_t *)objects, i, o)
		if (json_object_get(o, name))
			return true;
	return !strcmp(name, "enabled");
}

/* What happened is not told apart by what it refers to. */
static const struct {
	const char *kind, *columns[8];
} happened[] = {
	{ "capture", { "virtualservice_name", "serviceengine_name", "started", "ended_by", "packets", "drops", "size" } },
};

static const char *const *columns_of(const json_t *kind)
{
	for (size_t i = 0; i < ARRAY_SIZE(happened); i++)
		if (!strcmp(json_str(kind, "kind", ""), happened[i].kind))
			return happened[i].columns;
	return NULL;
}

size_t kinds_columns(const json_t *model, const json_t *kind, const json_t *objects,
		     const json_t **columns, size_t max)
{
	const json_t *fields = kinds_fields(model, json_str(kind, "message", "")), *f;
	const char *const *named = columns_of(kind);
	size_t i, n = 0, wanted = 0;
	int last = 0;

	for (; named && *named; named++) {
		f = kinds_field(fields, *named);
		if (n < max && f && is_told(objects, f))
			columns[n++] = f;
	}
	if (n)
		return n;
	/* First how many of which rank there is room for, then those in the order of the model. */
	for (int r = 1; r <= 3 && wanted < max; r++) {
		size_t here = 0;

		json_array_foreach((json_t *)fields, i, f)
			here += rank(model, f) == r && is_told(objects, f);
		if (wanted + here > max && wanted)
			break;
		wanted += here;
		last = r;
	}
	json_array_foreach((json_t *)fields, i, f) {
		int r = rank(model, f);

		if (n < max && r && r <= last && is_told(objects, f))
			columns[n++] = f;
	}
	return n;
}

/* The first of FIELDS that has an address in ITEM; NULL: none. */
static const json_t *find_address(const json_t *fields, const json_t *item)
{
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)fields, i, f) {
		const json_t *v = json_object_get(item, json_str(f, "name", ""));

		if (json_is_object(v) && text_is_flat(v))
			return f;
	}
	return NULL;
}

/*
 * An item of a list by its key fields, "10.0.0.5:80"; by its address, if it has one that is no
 * key.
 */
static void put_item(const json_t *fields, const json_t *item, struct buf *b)
{
	const json_t *address = find_address(fields, item), *f;
	bool by_keys = !address || json_bool(address, "key", false), first = true;
	size_t i;

	json_array_foreach((json_t *)fields, i, f) {
		const json_t *v = json_object_get(item, json_str(f, "name", ""));
		CLEANUP_FREE char *text = NULL;

		if (!v || (by_keys ? !json_bool(f, "key", false) : f != address))
			continue;
		text = text_of(v);
		/* As in URLs: an IPv6 address before a port stands in brackets. */
		if (by_keys && f == address && strchr(text, ':'))
			buf_printf(b, "[%s]", text);
		else
			buf_printf(b, "%s%s", first ? "" : ":", text);
		first = false;
	}
}

char *kinds_item(const json_t *model, const json_t *field, const json_t *item)
{
	struct buf b = BUF_INIT;
	char *s;

	put_item(kinds_fields(model, json_str(field, "message", "")), item, &b);
	s = b.len ? xstrdup(buf_cstr(&b)) : text_of(item);
	buf_fini(&b);
	return s;
}

char *kinds_cell(const json_t *model, const json_t *field, const json_t *value)
{
	const json_t *fields = kinds_fields(model, json_str(field, "message", "")), *item;
	struct buf b = BUF_INIT;
	char *s;
	size_t i;

	if (!value)
		value = json_object_get(field, "default");
	if (!json_is_array(value) || !fields)
		return text_of(value);
	json_array_foreach((json_t *)value, i, item) {
		if (i)
			buf_puts(&b, ", ");
		put_item(fields, item, &b);
	}
	s = xstrdup(b.len ? buf_cstr(&b) : "");
	buf_fini(&b);
	return s;
}
