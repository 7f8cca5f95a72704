#include "shell/mode.h"

#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/edit.h"
#include "shell/kinds.h"
#include "shell/text.h"

/* ---- levels ---------------------------------------------------------------------- */

static bool is(const json_t *field, const char *type)
{
	return strcmp(json_str(field, "type", ""), type) == 0;
}

static bool is_list(const json_t *field)
{
	return json_bool(field, "list", false);
}

static const char *name_of(const json_t *field)
{
	return json_str(field, "name", "");
}

struct level *mode_level(struct mode *m)
{
	return m->n ? &m->level[m->n - 1] : NULL;
}

void mode_open(struct mode *m, const json_t *model, const json_t *kind, json_t *object, bool is_new)
{
	*m = (struct mode){ .model = model, .kind = kind, .n = 1 };
	m->level[0] = (struct level){ .message = json_str(kind, "message", ""),
				      .value = object,
				      .before = json_deep_copy(object),
				      .is_new = is_new };
}

static void drop(struct level *l)
{
	json_decref(l->value);
	json_decref(l->before);
	*l = (struct level){ 0 };
}

void mode_close(struct mode *m)
{
	while (m->n)
		drop(&m->level[--m->n]);
}

/* Into FIELD, or its item ITEM, of the innermost level. */
static int enter(struct mode *m, const json_t *field, size_t item, struct err *e)
{
	json_t *there = json_object_get(mode_level(m)->value, name_of(field));
	struct level *l = &m->level[m->n];

	if (m->n == MODE_DEPTH)
		return err_set(e, -EINVAL, name_of(field), "There are too many levels.");
	if (is_list(field))
		there = json_array_get(there, item);
	*l = (struct level){ .field = field,
			     .message = json_str(field, "message", ""),
			     .value = json_is_object(there) ? json_deep_copy(there) : json_object(),
			     .item = item,
			     .is_new = !json_is_object(there) };
	l->before = json_deep_copy(l->value);
	m->n++;
	return 0;
}

static void put(struct level *above, const struct level *l)
{
	json_t *list;

	if (!is_list(l->field)) {
		json_object_set(above->value, name_of(l->field), l->value);
		return;
	}
	list = json_object_get(above->value, name_of(l->field));
	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(above->value, name_of(l->field), list);
	}
	if (l->item < json_array_size(list))
		json_array_set(list, l->item, l->value);
	else
		json_array_append(list, l->value);
}

bool mode_up(struct mode *m, bool keep)
{
	if (m->n <= 1)
		return false;
	if (keep)
		put(&m->level[m->n - 2], &m->level[m->n - 1]);
	drop(&m->level[--m->n]);
	return true;
}

bool mode_changed(const struct mode *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (!json_equal(m->level[i].value, m->level[i].before))
			return true;
	return false;
}

char *mode_path(const struct mode *m)
{
	struct buf b = BUF_INIT;
	char *s;

	for (size_t i = 0; i < m->n; i++)
		buf_printf(&b, "%s%s", i ? ":" : "",
			   i ? name_of(m->level[i].field) : json_str(m->kind, "kind", ""));
	s = xstrdup(m->n ? buf_cstr(&b) : "");
	buf_fini(&b);
	return s;
}

/* ---- what stands in a line ----------------------------------------------------------- */

/* Is it the name of a field, whole or as far as one needs? */
static bool names_field(const struct mode *m, const char *message, const char *word)
{
	struct err e;

	return edit_field(m->model, message, word, &e) != NULL;
}

static json_t *one_value(struct mode *m, const json_t *field, const char *word, struct err *e)
{
	CLEANUP_FREE char *text = NULL;

	m->secret |= json_bool(field, "secret", false);
	return edit_text(name_of(field), word, &text, e) ? NULL
							  : edit_value(m->model, field, text, e);
}

static json_t *list_of(struct mode *m, const json_t *field)
{
	json_t *object = mode_level(m)->value, *list = json_object_get(object, name_of(field));

	if (!json_is_array(list)) {
		list = json_array();
		json_object_set_new(object, name_of(field), list);
	}
	return list;
}

static int append(struct mode *m, const json_t *field, const char *word, struct err *e)
{
	bool text = is(field, "string") || strpbrk(word, "{[\"") || *word == '@';
	CLEANUP_FREE char *copy = xstrdup(word);
	char *rest = copy, *one;
	json_t *v;
	int rc = 0;

	/* "10.1.1.1,10.1.1.99"; a string may have its comma. */
	while (!text && strchr(word, ',') && (one = strsep(&rest, ",")) && !rc)
		if (*one)
			rc = append(m, field, one, e);
	if (!text && strchr(word, ','))
		return rc;
	v = one_value(m, field, word, e);
	if (!v)
		return -EINVAL;
	if (json_is_array(v)) {
		json_array_extend(list_of(m, field), v);
		json_decref(v);
	} else {
		json_array_append_new(list_of(m, field), v);
	}
	return 0;
}

/* A message of addresses (debug_ip, client_addr): each word goes to the list of those that it reads as. */
static int by_form(struct mode *m, const json_t *field, const char *const *words, size_t n,
		   struct err *e)
{
	int rc = enter(m, field, 0, e);

	for (size_t i = 0; i < n && !rc; i++) {
		CLEANUP_FREE char *word = xstrdup(words[i]);
		const json_t *list;

		word[strcspn(word, ",")] = '\0'; /* "10.1.1.1, 10.1.1.99" */
		if (!*word)
			continue;
		list = edit_list_for(m->model, json_str(field, "message", ""), word);
		rc = list ? append(m, list, word, e)
			  : err_set(e, -EINVAL, name_of(field), "'%s' is no field of it.", words[i]);
	}
	if (!rc)
		mode_up(m, true);
	return rc;
}

static int edit_words(struct mode *m, const char *const *words, size_t n, struct err *e);

/* How many of WORDS are values of a field: until the name of another one. */
static size_t values_of(const struct mode *m, const char *const *words, size_t n)
{
	const json_t *fields = kinds_fields(m->model, m->level[m->n - 1].message);
	size_t i = 0;

	while (i < n && (i == 0 || !kinds_field(fields, words[i])))
		i++;
	return i;
}

/*
 * The words behind a message's name, inside of it. Left again, but when nothing stands behind it (but for
 * the SKIP words that say which one it is), or the last that was set is a list.
 */
static int edit_inside(struct mode *m, const json_t *field, size_t item, const char *const *words,
		       size_t n, size_t skip, struct err *e)
{
	size_t depth = m->n;
	int rc = enter(m, field, item, e);

	if (rc || !n)
		return rc;
	rc = edit_words(m, words, n, e);
	if (rc == 0 && n == skip)
		return rc;
	if (rc == 1 || rc < 0 || m->n > depth + 1)
		return rc;
	mode_up(m, true);
	return rc;
}

static int edit_message(struct mode *m, const json_t *field, const char *const *words, size_t n,
			struct err *e)
{
	const char *message = json_str(field, "message", "");
	size_t used;
	json_t *v;

	if (!n || names_field(m, message, words[0]))
		return edit_inside(m, field, 0, words, n, 0, e);
	if (edit_list_for(m->model, message, words[0]))
		return by_form(m, field, words, n, e);
	used = values_of(m, words, n);
	if (used > 1) {
		edit_field(m->model, message, words[0], e);
		return -EINVAL;
	}
	v = one_value(m, field, words[0], e);
	if (!v)
		return -EINVAL;
	json_object_set_new(mode_level(m)->value, name_of(field), v);
	return edit_words(m, words + used, n - used, e);
}

/* The item that "KEY VALUE" means; the size of the list: none has it. */
static size_t item_with(struct mode *m, const json_t *field, const char *const *words, size_t n)
{
	const json_t *list = json_object_get(mode_level(m)->value, name_of(field)), *item, *f;
	struct err e;
	size_t i;

	f = edit_field(m->model, json_str(field, "message", ""), words[0], &e);
	if (!f || n < 2 || (!json_bool(f, "key", false) && strcmp(name_of(f), "name")))
		return json_array_size(list);
	json_array_foreach((json_t *)list, i, item) {
		CLEANUP_FREE char *text = text_of(json_object_get(item, name_of(f)));

		if (!strcmp(text, words[1]))
			return i;
	}
	return json_array_size(list);
}

/* Have the items a number of their own, as rules of a policy? */
static bool has_index(const struct mode *m, const json_t *field)
{
	return kinds_field(kinds_fields(m->model, json_str(field, "message", "")), "index") != NULL;
}

/*
 * Which item `index WORD` means: the one at that place, from 1; where items have a member of that name and
 * there is no such place, the one with that number in it. The size of the list, where MAY_BE_NEW: a new one.
 */
static int index_of(const struct mode *m, const json_t *field, const json_t *list, const char *word, bool may_be_new,
		    size_t *at, struct err *e)
{
	size_t n = json_array_size(list);
	unsigned long i = strtoul(word, NULL, 10);
	bool own = has_index(m, field);

	if (!*word || word[strspn(word, "0123456789")])
		return err_set(e, -EINVAL, name_of(field), "'%s' is no number: items count from 1.",
			       word);
	for (*at = 0; own && *at < n && (i < 1 || i > n); ++*at)
		if (json_int(json_array_get(list, *at), "index", -1) == (json_int_t)i)
			return 0;
	if (own && may_be_new && (i < 1 || i > n)) {
		*at = n;
		return 0;
	}
	if (i < 1 || i > n + may_be_new)
		return err_set(e, -EINVAL, name_of(field), "It has %zu item%s, and no number %s.", n,
			       n == 1 ? "" : "s", word);
	*at = i - 1;
	return 0;
}

/* The item that goes by WORD ("10.0.0.5:80"); the size of the list: none does. */
static size_t item_called(const struct mode *m, const json_t *field, const json_t *list,
			  const char *word)
{
	const json_t *item;
	size_t i;

	json_array_foreach((json_t *)list, i, item) {
		CLEANUP_FREE char *text = kinds_item(m->model, field, item);

		if (!strcmp(text, word))
			return i;
	}
	return json_array_size(list);
}

/* Is an item of the list nothing but an address, a prefix, a range? */
static bool is_whole(const struct mode *m, const json_t *field)
{
	const json_t *fields = kinds_fields(m->model, json_str(field, "message", ""));

	return kinds_field(fields, "addr") || kinds_field(fields, "mask") || kinds_field(fields, "begin");
}

static int edit_list(struct mode *m, const json_t *field, const char *const *words, size_t n,
		     struct err *e)
{
	const json_t *list = json_object_get(mode_level(m)->value, name_of(field));
	size_t at = json_array_size(list);
	int rc = 0;

	if (n && !strcasecmp(words[0], "index")) {
		if (n == 1)
			return err_set(e, -EINVAL, name_of(field), "Which index? Items count from 1.");
		rc = index_of(m, field, list, words[1], true, &at, e);
		if (rc)
			return rc;
		/* A new one has the number that it was made by. */
		return at == json_array_size(list) && has_index(m, field) ? edit_inside(m, field, at, words, n, 2, e)
									  : edit_inside(m, field, at, words + 2, n - 2, 0, e);
	}
	/* What an item goes by wins over the beginning of a field's name. */
	if (n == 1 && item_called(m, field, list, words[0]) < at && is_whole(m, field))
		return 1; /* it is there */
	if (n == 1 && item_called(m, field, list, words[0]) < at &&
	    !kinds_field(kinds_fields(m->model, json_str(field, "message", "")), words[0]))
		return enter(m, field, item_called(m, field, list, words[0]), e);
	if (!n || names_field(m, json_str(field, "message", ""), words[0])) {
		if (n) {
			at = item_with(m, field, words, n);
			if (at < json_array_size(list) && n == 2)
				n = 0;
		}
		return edit_inside(m, field, at, words, n, 0, e);
	}
	for (size_t i = 0; i < n && !rc; i++)
		rc = append(m, field, words[i], e);
	return rc ? rc : 1;
}

static int needs_value(struct mode *m, const json_t *field, struct err *e)
{
	if (is(field, "string") && !is_list(field))
		m->asked = field;
	if (json_bool(field, "secret", false)) {
		m->asked = field;
		m->secret = true;
		return err_set(e, -EAGAIN, name_of(field), "It needs a value.");
	}
	return err_set(e, -EINVAL, name_of(field), "It needs a value (%s).",
		       json_str(field, "type", ""));
}

static bool has_word(const json_t *field, const char *word)
{
	const json_t *v;
	size_t i;

	json_array_foreach(json_object_get(field, "values"), i, v)
		if (!strcasecmp(json_string_value(v), word))
			return true;
	return false;
}

/* The enum that alone has this word: `debug_vs_hm_include` says enough. NULL: none, or several. */
static const json_t *field_with(const struct mode *m, const char *message, const char *word)
{
	const json_t *f, *found = NULL;
	size_t i;

	json_array_foreach((json_t *)kinds_fields(m->model, message), i, f) {
		if (!is(f, "enum") || !has_word(f, word))
			continue;
		if (found)
			return NULL;
		found = f;
	}
	return found;
}

static bool is_truth(const char *word)
{
	return !strcasecmp(word, "true") || !strcasecmp(word, "false");
}

/* 1: the last that was set is a list. */
static int edit_words(struct mode *m, const char *const *words, size_t n, struct err *e)
{
	int rc = 0;

	while (n && rc >= 0) {
		struct level *l = mode_level(m);
		const json_t *field;
		json_t *v;
		size_t used = 1;

		/* "--servers.2.ip": where fields are options. */
		if (!strncmp(words[0], "--", 2) || strpbrk(words[0], ".[")) {
			const char *path = words[0] + (strncmp(words[0], "--", 2) ? 0 : 2);
			CLEANUP_FREE char *text = NULL;

			if (n < 2)
				return err_set(e, -EINVAL, path, "It needs a value.");
			rc = edit_text(path, words[1], &text, e);
			rc = rc ? rc : edit_set(m->model, l->message, l->value, path, text, e);
			words += 2;
			n -= 2;
			continue;
		}
		field = edit_field(m->model, l->message, words[0], e) ?: field_with(m, l->message, words[0]);
		if (!field)
			return -EINVAL;
		if (!is(field, "enum") || !has_word(field, words[0])) {
			words++;
			n--;
		}
		if (is(field, "message"))
			return is_list(field) ? edit_list(m, field, words, n, e)
					      : edit_message(m, field, words, n, e);
		if (is(field, "bool") && !is_list(field) && (!n || !is_truth(words[0]))) {
			json_object_set_new(l->value, name_of(field), json_true());
			rc = 0;
			continue;
		}
		if (!n)
			return needs_value(m, field, e);
		if (is_list(field) && n > 2 && !strcasecmp(words[0], "index")) {
			json_t *list = list_of(m, field);
			size_t at;

			rc = index_of(m, field, list, words[1], true, &at, e);
			v = rc ? NULL : one_value(m, field, words[2], e);
			if (!v)
				return -EINVAL;
			rc = at == json_array_size(list) ? json_array_append_new(list, v) : json_array_set_new(list, at, v);
			used = 3;
		} else if (is_list(field)) {
			used = values_of(m, words, n);
			for (size_t i = 0; i < used; i++)
				if (append(m, field, words[i], e))
					return -EINVAL;
			rc = 1;
		} else {
			v = one_value(m, field, words[0], e);
			if (!v)
				return -EINVAL;
			json_object_set_new(l->value, name_of(field), v);
			rc = 0;
		}
		words += used;
		n -= used;
	}
	return rc;
}

int mode_edit(struct mode *m, const char *const *words, size_t n, struct err *e)
{
	size_t depth = m->n;
	json_t *was = json_deep_copy(mode_level(m)->value);
	int rc;

	m->asked = NULL;
	m->secret = false;
	*e = (struct err){ 0 };
	rc = edit_words(m, words, n, e);
	if (rc < 0) {
		while (m->n > depth)
			mode_up(m, false);
		json_decref(mode_level(m)->value);
		mode_level(m)->value = was;
		return rc;
	}
	json_decref(was);
	return 0;
}

/* The item that WORD reads as ("http_2xx"); the size of the list: none does. */
static size_t item_equal(struct mode *m, const json_t *field, const json_t *list, const char *word)
{
	struct err ignored;
	CLEANUP_JSON json_t *v = one_value(m, field, word, &ignored);
	size_t i = 0;

	while (i < json_array_size(list) && !json_equal(v, json_array_get(list, i)))
		i++;
	return i;
}

/* `no FIELD VALUE`: only when it is that. */
static int unset_value(struct mode *m, const json_t *field, const char *word, struct err *e)
{
	json_t *object = mode_level(m)->value;
	CLEANUP_JSON json_t *v = one_value(m, field, word, e);
	CLEANUP_FREE char *text = text_of(json_object_get(object, name_of(field)));

	if (!v)
		return -EINVAL;
	if (!json_equal(v, json_object_get(object, name_of(field))) && strcmp(text, word))
		return err_set(e, -EINVAL, name_of(field), "It is not '%s'.", word);
	return json_object_del(object, name_of(field));
}

int mode_unset(struct mode *m, const char *const *words, size_t n, struct err *e)
{
	struct level *l = mode_level(m);
	size_t at, depth = m->n;
	const json_t *field;
	json_t *list;
	int rc;

	*e = (struct err){ 0 };
	if (!n)
		return err_set(e, -EINVAL, NULL, "no what? Name a field.");
	if (strpbrk(words[0], ".["))
		return edit_unset(m->model, l->message, l->value, words[0], e);
	field = edit_field(m->model, l->message, words[0], e);
	if (!field)
		return -EINVAL;
	if (n == 1) {
		if (is(field, "bool") && !is_list(field))
			return json_object_set_new(l->value, name_of(field), json_false());
		json_object_del(l->value, name_of(field));
		return 0;
	}
	if (is(field, "message") && !is_list(field)) {
		rc = enter(m, field, 0, e);
		rc = rc ? rc : mode_unset(m, words + 1, n - 1, e);
		if (m->n > depth)
			mode_up(m, !rc && json_is_object(json_object_get(l->value, name_of(field))));
		return rc;
	}
	list = json_object_get(l->value, name_of(field));
	if (!is_list(field))
		return unset_value(m, field, words[1], e);
	if (!strcasecmp(words[1], "index")) {
		if (n < 3)
			return err_set(e, -EINVAL, name_of(field), "Which index? Items count from 1.");
		rc = index_of(m, field, list, words[2], false, &at, e);
		if (!rc && n > 3) {
			rc = enter(m, field, at, e);
			rc = rc ? rc : mode_unset(m, words + 3, n - 3, e);
			if (m->n > depth)
				mode_up(m, !rc);
			return rc;
		}
	} else {
		at = item_called(m, field, list, words[1]);
		if (at == json_array_size(list) && n > 2)
			at = item_with(m, field, words + 1, n - 1);
		else if (at == json_array_size(list) && !is(field, "message"))
			at = item_equal(m, field, list, words[1]);
		rc = at < json_array_size(list)
			     ? 0
			     : err_set(e, -EINVAL, name_of(field), "It has no item '%s'.", words[1]);
	}
	if (!rc)
		json_array_remove(list, at);
	/* A list of nothing is none, where that is the default. */
	if (!rc && !json_array_size(list) && !json_object_get(field, "default"))
		json_object_del(l->value, name_of(field));
	return rc;
}

/* ---- what may come next ------------------------------------------------------------------- */

static const json_t *message_named(const json_t *model, const char *name)
{
	return json_object_get(json_object_get(model, "messages"), name);
}

struct expect mode_expect(const json_t *model, const char *message, const json_t *object,
			  const char *const *words, size_t n)
{
	struct mode m = { .model = model };
	struct expect x = { .message = message_named(model, message), .object = object };
	size_t i = 0;

	while (i < n) {
		struct err e;
		const json_t *f = edit_field(model, message, words[i++], &e), *v;
		bool inside;

		if (!f)
			return (struct expect){ 0 };
		v = json_object_get(object, name_of(f));
		if (is(f, "message")) {
			const char *below = json_str(f, "message", "");

			if (i == n)
				return (struct expect){ .message = message_named(model, below),
							.field = f,
							.value = v,
							.object = is_list(f) ? NULL : v };
			if (is_list(f) && !strcasecmp(words[i], "index")) {
				size_t at = i + 1 < n ? strtoul(words[i + 1], NULL, 10) : 0;

				if (i + 1 == n)
					return (struct expect){ .field = f, .value = v, .index = true };
				v = at ? json_array_get(v, at - 1) : NULL;
				i += 2;
				inside = true;
			} else {
				inside = names_field(&m, below, words[i]);
				v = is_list(f) ? NULL : v;
			}
			if (!inside)
				return (struct expect){ .field = f, .value = v };
			message = below;
			object = v;
			x = (struct expect){ .message = message_named(model, below), .object = v };
			continue;
		}
		if (i == n) {
			x = (struct expect){ .field = f, .value = v };
			if (is(f, "bool") && !is_list(f)) {
				x.message = message_named(model, message);
				x.object = object;
			}
			return x;
		}
		if (is(f, "bool") && !is_list(f)) {
			i += is_truth(words[i]);
			continue;
		}
		i++;
		while (is_list(f) && i < n && !kinds_field(kinds_fields(model, message), words[i]))
			i++;
		if (is_list(f) && i == n)
			return (struct expect){ .message = message_named(model, message),
						.field = f,
						.value = v,
						.object = object };
	}
	return x;
}

/* ---- what would change ----------------------------------------------------------------------- */

static void each_leaf(json_t *out, const char *path, const json_t *v)
{
	const json_t *member;
	const char *key;
	size_t i;

	if (json_is_object(v) && !text_is_flat(v)) {
		json_object_foreach((json_t *)v, key, member) {
			CLEANUP_FREE char *below = *path ? xasprintf("%s.%s", path, key) : xstrdup(key);

			each_leaf(out, below, member);
		}
	} else if (json_is_array(v) && !text_is_flat(v)) {
		json_array_foreach((json_t *)v, i, member) {
			CLEANUP_FREE char *below = xasprintf("%s[%zu]", path, i + 1);

			each_leaf(out, below, member);
		}
	} else {
		CLEANUP_FREE char *text = text_of(v);

		json_object_set_new(out, path, json_string(text));
	}
}

json_t *mode_diff(const json_t *was, const json_t *is)
{
	CLEANUP_JSON json_t *a = json_object(), *b = json_object();
	json_t *out = json_array(), *v;
	const char *path;

	each_leaf(a, "", was);
	each_leaf(b, "", is);
	json_object_foreach(a, path, v)
		if (!json_equal(v, json_object_get(b, path)))
			json_array_append_new(out, json_pack("{s:s, s:O, s:s}", "field", path, "was", v,
							     "is", json_str(b, path, "")));
	json_object_foreach(b, path, v)
		if (!json_object_get(a, path))
			json_array_append_new(out, json_pack("{s:s, s:s, s:O}", "field", path, "was", "",
							     "is", v));
	return out;
}
