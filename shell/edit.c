#include "shell/edit.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/kinds.h"
#include "shell/words.h"

#define FILE_MAX (1 << 20)

/* ---- values ----------------------------------------------------------------- */

static json_t *value_of(const json_t *model, const json_t *field, const char *text, struct err *e);

static bool is_v6(const char *text)
{
	struct in6_addr a;

	return inet_pton(AF_INET6, text, &a) == 1;
}

static bool is_v4(const char *text)
{
	struct in_addr a;

	return inet_pton(AF_INET, text, &a) == 1;
}

static json_t *refuse(struct err *e, const json_t *field, const char *text, const char *wanted)
{
	err_set(e, -EINVAL, json_str(field, "name", ""), "'%s' is not %s.", text, wanted);
	return NULL;
}

/*
 * How well TEXT, in any case, means WORD, a word of an enum: 4 it is it, 3 its last parts, 2 parts of it, 1 the
 * beginning of parts of it; 0: not at all.
 */
static int word_fit(const char *word, const char *text)
{
	size_t len = strlen(text);
	int best = 0;

	if (!strcasecmp(word, text))
		return 4;
	for (const char *at = word; *text && (at = strcasestr(at, text)); at++)
		if (at == word || at[-1] == '_')
			best = MAX(best, !at[len] ? 3 : at[len] == '_' ? 2 : 1);
	return best;
}

static json_t *enum_of(const json_t *field, const char *text, struct err *e)
{
	const json_t *values = json_object_get(field, "values"), *v, *found = NULL;
	struct buf candidates = BUF_INIT;
	size_t i, n = 0;
	int best = 1;

	json_array_foreach((json_t *)values, i, v) {
		const char *word = json_string_value(v);
		int fit = word_fit(word, text);

		if (fit < best)
			continue;
		if (fit > best) {
			best = fit;
			candidates.len = n = 0;
		}
		found = v;
		buf_printf(&candidates, "%s%s", n++ ? ", " : "", word);
	}
	if (n == 0) {
		json_array_foreach((json_t *)values, i, v)
			buf_printf(&candidates, "%s%s", i ? ", " : "", json_string_value(v));
		err_set(e, -EINVAL, json_str(field, "name", ""), "'%s' is none of: %s.", text,
			buf_cstr(&candidates));
	} else if (n > 1) {
		err_set(e, -EINVAL, json_str(field, "name", ""), "'%s' could be any of: %s.", text,
			buf_cstr(&candidates));
	}
	buf_fini(&candidates);
	return n == 1 ? json_incref((json_t *)found) : NULL;
}

static json_t *number_of(const json_t *field, const char *text, struct err *e)
{
	bool whole = strcmp(json_str(field, "type", ""), "float") != 0;
	double real;
	long long n;
	char *end;

	errno = 0;
	n = strtoll(text, &end, 10);
	if (*text && !*end && !errno)
		return json_integer(n);
	if (whole && *text && !*end)
		return refuse(e, field, text, "in range: no number here is so large");
	errno = 0;
	real = strtod(text, &end);
	if (!whole && *text && !*end && !errno)
		return json_real(real);
	return refuse(e, field, text, whole ? "a whole number" : "a number");
}

static json_t *ref_of(const json_t *field, const char *text)
{
	struct buf escaped = BUF_INIT;
	json_t *v;

	if (strncmp(text, "/api/", 5) == 0 || strncmp(text, "https://", 8) == 0)
		return json_string(text);
	for (const char *p = text; *p; p++)
		if (isalnum((unsigned char)*p) || strchr("-._~", *p))
			buf_put(&escaped, p, 1);
		else
			buf_printf(&escaped, "%%%02X", (unsigned char)*p);
	v = json_sprintf("/api/%s?name=%s", json_str(field, "ref", ""), buf_cstr(&escaped));
	buf_fini(&escaped);
	return v;
}

/* ---- messages from one word ---------------------------------------------------- */

static const json_t *fields_of(const json_t *model, const json_t *field)
{
	return kinds_fields(model, json_str(field, "message", ""));
}

static bool is_address(const json_t *model, const json_t *field)
{
	return kinds_field(fields_of(model, field), "addr") != NULL;
}

/* A name has a letter at its end: what has none is an address with a mistake in it. */
static json_t *address_of(const json_t *field, const char *text, struct err *e)
{
	const char *dot = strrchr(text, '.');

	if (!is_v4(text) && !is_v6(text) && dot && dot[1] && !dot[1 + strspn(dot + 1, "0123456789")])
		return refuse(e, field, text, "an address");
	return json_pack("{s:s, s:s}", "addr", text, "type",
			 is_v4(text) ? "V4" : is_v6(text) ? "V6" : "DNS");
}

/* The field of FIELDS to which an address goes; of several, one by the name of its family. */
static const json_t *address_field(const json_t *model, const json_t *fields, const char *text)
{
	const json_t *f, *found = NULL;
	size_t i;

	json_array_foreach((json_t *)fields, i, f)
		if (!json_bool(f, "list", false) && !json_bool(f, "read_only", false) &&
		    is_address(model, f) &&
		    (!found || (is_v6(text) && strchr(json_str(f, "name", ""), '6') &&
				!strchr(json_str(found, "name", ""), '6'))))
			found = f;
	return found;
}

/* Two members with a separator between them: prefixes and ranges. NULL: TEXT is not so. */
static json_t *pair_of(const json_t *model, const json_t *fields, const char *text, char separator,
		       const char *first, const char *second, struct err *e)
{
	const json_t *a = kinds_field(fields, first), *b = kinds_field(fields, second);
	const char *cut = strrchr(text, separator);
	CLEANUP_FREE char *head = cut ? xstrndup(text, (size_t)(cut - text)) : NULL;
	json_t *v, *left, *right;

	if (!a || !b || !cut)
		return NULL;
	left = value_of(model, a, head, e);
	right = left ? value_of(model, b, cut + 1, e) : NULL;
	v = right ? json_pack("{s:o, s:o}", first, left, second, right) : NULL;
	if (!right)
		json_decref(left);
	return v;
}

/* By its keys: the last behind the last colon, "[::1]:80" as in URLs. */
static json_t *keyed(const json_t *model, const json_t *fields, const char *text, struct err *e)
{
	const json_t *keys[2] = { NULL }, *f;
	const char *colon = strrchr(text, ':');
	CLEANUP_FREE char *first = NULL;
	json_t *v, *member;
	size_t i, n = 0;

	json_array_foreach((json_t *)fields, i, f)
		if (json_bool(f, "key", false) && n < ARRAY_SIZE(keys))
			keys[n++] = f;
	if (n == 0 || (!is_address(model, keys[0]) && address_field(model, fields, text)))
		keys[0] = address_field(model, fields, text), n = keys[0] ? 1 : 0;
	if (n == 0)
		return NULL;
	if (n < 2 || is_v6(text))
		colon = NULL;
	first = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
	if (*first == '[' && first[strlen(first) - 1] == ']') {
		first[strlen(first) - 1] = '\0';
		memmove(first, first + 1, strlen(first));
	}
	v = json_object();
	member = value_of(model, keys[0], first, e);
	if (member)
		json_object_set_new(v, json_str(keys[0], "name", ""), member);
	if (member && colon) {
		member = value_of(model, keys[1], colon + 1, e);
		if (member)
			json_object_set_new(v, json_str(keys[1], "name", ""), member);
	}
	if (member)
		return v;
	json_decref(v);
	return NULL;
}

const json_t *edit_list_for(const json_t *model, const char *message, const char *word)
{
	const char *wanted = strchr(word, '/') ? "mask" : strchr(word, '-') ? "begin" : "addr";
	const json_t *f;
	size_t i;

	json_array_foreach((json_t *)kinds_fields(model, message), i, f)
		if (json_bool(f, "list", false) && !strcmp(json_str(f, "type", ""), "message") &&
		    kinds_field(fields_of(model, f), wanted))
			return f;
	return NULL;
}

/* "10.0.0.1,10.1.0.0/16": each into its list. NULL without a sentence: it is no message of addresses. */
static json_t *addresses_of(const json_t *model, const json_t *field, const char *text, struct err *e)
{
	const char *message = json_str(field, "message", "");
	CLEANUP_FREE char *copy = xstrdup(text);
	CLEANUP_JSON json_t *v = json_object();
	char *rest = copy, *one;

	while ((one = strsep(&rest, ","))) {
		const json_t *list = edit_list_for(model, message, one);
		const char *name = json_str(list, "name", "");
		json_t *item = list ? value_of(model, list, one, e) : NULL;

		if (!item)
			return NULL;
		if (!json_object_get(v, name))
			json_object_set_new(v, name, json_array());
		json_array_append_new(json_object_get(v, name), item);
	}
	return json_incref(v);
}

static json_t *message_of(const json_t *model, const json_t *field, const char *text, struct err *e)
{
	const json_t *fields = fields_of(model, field);
	json_t *v;

	if (is_address(model, field))
		return address_of(field, text, e);
	v = pair_of(model, fields, text, '/', "ip_addr", "mask", e);
	if (!v && !e->code)
		v = pair_of(model, fields, text, '-', "begin", "end", e);
	if (!v && !e->code)
		v = keyed(model, fields, text, e);
	if (!v && !e->code)
		v = addresses_of(model, field, text, e);
	if (!v && !e->code)
		err_set(e, -EINVAL, json_str(field, "name", ""),
			"It has members of its own: name one (%s.MEMBER), or give JSON.",
			json_str(field, "name", ""));
	return v;
}

/* One value of the field, or one item of its list. */
static json_t *value_of(const json_t *model, const json_t *field, const char *text, struct err *e)
{
	const char *type = json_str(field, "type", "");

	if (!strcmp(type, "message"))
		return message_of(model, field, text, e);
	if (!strcmp(type, "ref"))
		return ref_of(field, text);
	if (!strcmp(type, "enum"))
		return enum_of(field, text, e);
	if (!strcmp(type, "string"))
		return json_string(text) ?: refuse(e, field, text, "UTF-8");
	if (!strcmp(type, "bool"))
		return !strcasecmp(text, "true")    ? json_true()
		       : !strcasecmp(text, "false") ? json_false()
						    : refuse(e, field, text, "true or false");
	return number_of(field, text, e);
}

/* What was written as JSON, or VALUE_OF. */
static json_t *read_value(const json_t *model, const json_t *field, const char *text,
			  struct err *e)
{
	json_t *v = NULL;
	CLEANUP_JSON json_t *utf8 = json_string(text);

	if (!utf8)
		return refuse(e, field, "what is said", "UTF-8");
	/* A text may begin so; a list of them is JSON. */
	if ((*text != '{' && *text != '[') ||
	    (!strcmp(json_str(field, "type", ""), "string") && !json_bool(field, "list", false)))
		return value_of(model, field, text, e);
	/* "[::1]:80" */
	if (*text == '[' && json_read(text, strlen(text), &v, NULL) && strchr(text, ':') &&
	    !strpbrk(text, "{\""))
		return value_of(model, field, text, e);
	if (!v)
		json_read(text, strlen(text), &v, e);
	return v;
}

static json_t *list_of(const json_t *model, const json_t *field, const char *text, struct err *e)
{
	json_t *list = json_array();
	CLEANUP_FREE char *copy = xstrdup(text);
	char *rest = copy, *item;

	while ((item = strsep(&rest, ","))) {
		json_t *v;
		size_t n;

		item += strspn(item, " ");
		for (n = strlen(item); n && item[n - 1] == ' ';)
			item[--n] = '\0';
		if (!*item)
			continue;
		v = read_value(model, field, item, e);
		if (!v) {
			json_decref(list);
			return NULL;
		}
		json_array_append_new(list, v);
	}
	return list;
}

static json_t *field_value(const json_t *model, const json_t *field, const json_t *old,
			   const char *text, struct err *e)
{
	bool add = *text == '+', json;
	json_t *v;

	if (!json_bool(field, "list", false))
		return read_value(model, field, text, e);
	text += add;
	json = *text == '[' && strpbrk(text, "{\"") != NULL;
	v = json || !strcmp(text, "[]") ? read_value(model, field, text, e)
	    : *text == '{'		? read_value(model, field, text, e)
					: list_of(model, field, text, e);
	if (v && !json_is_array(v))
		v = json_pack("[o]", v);
	if (v && add && old) {
		json_t *all = json_copy((json_t *)old);

		json_array_extend(all, v);
		json_decref(v);
		return all;
	}
	return v;
}

/* ---- paths ------------------------------------------------------------------------ */

struct edit {
	const json_t *model;
	const char *value; /* NULL: unset */
	struct err *e;
};

static int walk(const struct edit *w, const char *message, json_t *object, const char *path);

/* The same in MEMBER: the field, or item AT of its list when that is not below 0. */
static int walk_within(const struct edit *w, const json_t *field, int at, json_t *member, const char *path)
{
	int rc = walk(w, json_str(field, "message", ""), member, path);
	char number[16] = "", name[96];

	if (at >= 0)
		snprintf(number, sizeof(number), ".%d", at + 1);
	snprintf(name, sizeof(name), "%s%s", json_str(field, "name", ""), number);
	if (rc < 0)
		err_within(w->e, name);
	return rc;
}

static int no_field(const struct edit *w, const char *message, const char *name)
{
	const json_t *f;
	struct buf near = BUF_INIT;
	size_t i;
	int rc;

	json_array_foreach((json_t *)kinds_fields(w->model, message), i, f)
		if (strcasestr(json_str(f, "name", ""), name))
			buf_printf(&near, "%s%s", near.len ? ", " : "", json_str(f, "name", ""));
	rc = near.len ? err_set(w->e, -EINVAL, name, "There is no such field in %s; there is: %s.",
				message, buf_cstr(&near))
		      : err_set(w->e, -EINVAL, name, "There is no such field in %s.", message);
	buf_fini(&near);
	return rc;
}

/* Which item of LIST the path names: -EINVAL; its size for a new one. PATH goes behind it. */
static int item_at(const struct edit *w, const json_t *field, const json_t *list, const char **path)
{
	const char *name = json_str(field, "name", ""), *p = *path;
	size_t n = json_array_size(list), i;
	CLEANUP_FREE char *key = NULL;
	const json_t *item;
	char *end;

	if (*p == '[') {
		/* The key of an IPv6 server has brackets of its own: the last one closes. */
		const char *dot = strstr(p, "].") ?: p + strlen(p) - 1;

		if (*dot != ']')
			return err_set(w->e, -EINVAL, name, "The bracket is not closed.");
		key = xstrndup(p + 1, (size_t)(dot - p - 1));
		*path = dot + 1;
		json_array_foreach((json_t *)list, i, item) {
			CLEANUP_FREE char *text = kinds_item(w->model, field, item);

			if (!strcmp(text, key))
				return (int)i;
		}
		return err_set(w->e, -EINVAL, name, "It has no item '%s'.", key);
	}
	i = strtoul(p + 1, &end, 10);
	if (p[1] < '0' || p[1] > '9' || (*end && *end != '.'))
		return err_set(w->e, -EINVAL, name,
			       "It is a list: name an item by its number, from 1, or [KEY].");
	if (i < 1 || i > n + (w->value != NULL))
		return err_set(w->e, -EINVAL, name, "It has %zu item%s, and no number %.*s.", n, n == 1 ? "" : "s", (int)(end - p - 1), p + 1);
	*path = end;
	return (int)i - 1;
}

static int walk_list(const struct edit *w, const json_t *field, json_t *object, const char *path)
{
	const char *name = json_str(field, "name", "");
	json_t *list = json_object_get(object, name), *v;
	int at;

	if (!list) {
		list = json_array();
		json_object_set_new(object, name, list);
	}
	at = item_at(w, field, list, &path);
	if (at < 0)
		return at;
	if (!*path) {
		v = w->value ? read_value(w->model, field, w->value, w->e) : NULL;
		if (w->value && !v)
			return -EINVAL;
		if (!v)
			json_array_remove(list, (size_t)at);
		else if ((size_t)at == json_array_size(list))
			json_array_append_new(list, v);
		else
			json_array_set_new(list, (size_t)at, v);
		return 0;
	}
	if ((size_t)at == json_array_size(list))
		json_array_append_new(list, json_object());
	return walk_within(w, field, at, json_array_get(list, (size_t)at), path + 1);
}

static int walk(const struct edit *w, const char *message, json_t *object, const char *path)
{
	size_t len = strcspn(path, ".[");
	CLEANUP_FREE char *word = xstrndup(path, len);
	const json_t *field = edit_field(w->model, message, word, w->e);
	const char *name = json_str(field, "name", "");
	json_t *below, *v;

	if (!field)
		return -EINVAL;
	if (!json_is_object(object))
		return no_field(w, message, word);
	path += len;
	if (!*path) {
		if (!w->value) {
			json_object_del(object, name);
			return 0;
		}
		v = field_value(w->model, field, json_object_get(object, name), w->value, w->e);
		return v ? json_object_set_new(object, name, v) : -EINVAL;
	}
	if (json_bool(field, "list", false))
		return walk_list(w, field, object, path);
	if (*path != '.' || strcmp(json_str(field, "type", ""), "message"))
		return err_set(w->e, -EINVAL, name, "It has no members.");
	below = json_object_get(object, name);
	if (!below) {
		if (!w->value)
			return 0;
		below = json_object();
		json_object_set_new(object, name, below);
	}
	return walk_within(w, field, -1, below, path + 1);
}

static const char *name_of(const void *fields, size_t i)
{
	return json_str(json_array_get(fields, i), "name", "");
}

const json_t *edit_field(const json_t *model, const char *message, const char *word, struct err *e)
{
	struct edit w = { .model = model, .e = e };
	const json_t *fields = kinds_fields(model, message);
	struct buf several = BUF_INIT;
	int at = words_choose(word, json_array_size(fields), name_of, fields);

	if (at >= 0)
		return json_array_get(fields, (size_t)at);
	if (at == -1) {
		no_field(&w, message, word);
		return NULL;
	}
	for (size_t i = 0; i < json_array_size(fields); i++)
		if (!strncasecmp(name_of(fields, i), word, strlen(word)))
			buf_printf(&several, "%s%s", several.len ? ", " : "", name_of(fields, i));
	err_set(e, -EINVAL, word, "It could be any of: %s.", buf_cstr(&several));
	buf_fini(&several);
	return NULL;
}

int edit_text(const char *field, const char *word, char **text, struct err *e)
{
	size_t len;
	int rc;

	*text = NULL;
	if (*word != '@') {
		*text = xstrdup(word);
		return 0;
	}
	rc = file_read(word + 1, FILE_MAX, text, &len);
	if (rc < 0)
		return err_set(e, rc == -ENOENT ? -EINVAL : rc, field, "%s cannot be read: %s.",
			       word + 1, strerror(-rc));
	if (strlen(*text) != len)
		return err_set(e, -EINVAL, field, "%s is not text.", word + 1);
	return 0;
}

json_t *edit_value(const json_t *model, const json_t *field, const char *text, struct err *e)
{
	*e = (struct err){ 0 };
	return read_value(model, field, text, e);
}

int edit_set(const json_t *model, const char *message, json_t *object, const char *path,
	     const char *value, struct err *e)
{
	struct edit w = { model, value, e };

	*e = (struct err){ 0 };
	return walk(&w, message, object, path);
}

int edit_unset(const json_t *model, const char *message, json_t *object, const char *path,
	       struct err *e)
{
	struct edit w = { model, NULL, e };

	*e = (struct err){ 0 };
	return walk(&w, message, object, path);
}
