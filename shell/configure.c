#include "shell/configure.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "base/base.h"
#include "base/buf.h"
#include "shell/edit.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/text.h"

static int set(const json_t *model, const char *message, json_t *object, const char *field,
	       const char *word, struct err *e)
{
	CLEANUP_FREE char *text = NULL;
	int rc = edit_text(field, word, &text, e);

	return rc ? rc : edit_set(model, message, object, field, text, e);
}

static bool is(const json_t *field, const char *type)
{
	return !strcmp(json_str(field, "type", ""), type);
}

/*
 * Where words lead: "servers index 2 ratio", "servers ip 10.0.0.5 ratio" and "servers 10.0.0.5:80 ratio" are servers.2.ratio.
 */
struct place {
	struct buf path;
	const json_t *field; /* NULL: the path says it, or there is none */
	size_t used;         /* words */
	const char *message; /* the innermost one on the way, and how much of the path leads there; NULL: the object itself */
	size_t inside;
};

/*
 * Which item WORDS mean, of those that LIST has; its size: none. *USED: how many of them said only that, because what they
 * mean of it stands behind them, or it is all that goes (NO).
 */
static size_t item_of(const json_t *model, const json_t *field, const json_t *list, const char *const *words, size_t n, bool no, size_t *used)
{
	const json_t *fields = kinds_fields(model, json_str(field, "message", "")), *key = kinds_field(fields, words[0]), *item;
	bool by_key = key && n > 1 && (json_bool(key, "key", false) || !strcmp(words[0], "name"));
	size_t i, len = by_key ? 2 : 1;
	bool alone = !no && (n == len || !kinds_field(fields, words[len]));

	*used = 0;
	json_array_foreach((json_t *)list, i, item) {
		CLEANUP_FREE char *text = by_key ? text_of(json_object_get(item, words[0])) : kinds_item(model, field, item);

		if (strcmp(text, words[by_key]) || (key && !by_key))
			continue;
		*used = alone ? 0 : len;
		return i;
	}
	return json_array_size(list);
}

static const json_t *at_path(const json_t *v, const char *path)
{
	CLEANUP_FREE char *copy = xstrdup(path);
	char *rest = copy, *part;

	while ((part = strsep(&rest, ".")))
		v = json_is_array(v) ? json_array_get(v, strtoul(part, NULL, 10) - 1) : json_object_get(v, part);
	return v;
}

/* MESSAGE and OBJECT are those at the path that P has already. */
static void place_of(struct place *p, const json_t *model, const char *message, const json_t *object, const char *const *words, size_t n,
		     bool no)
{
	for (;;) {
		/* "--servers.2.ip": where fields are options. */
		const char *word = words[p->used] + (p->used || strncmp(words[0], "--", 2) ? 0 : 2);
		const json_t *f, *next;
		struct err ignored;
		bool list;

		f = strpbrk(word, ".[") ? NULL : edit_field(model, message, word, &ignored);
		buf_puts(&p->path, f ? json_str(f, "name", "") : word);
		p->field = f;
		p->used++;
		list = json_bool(f, "list", false);
		if (!f || !is(f, "message"))
			return;
		message = json_str(f, "message", "");
		object = json_object_get(object, json_str(f, "name", ""));
		next = p->used < n ? kinds_field(kinds_fields(model, message), words[p->used]) : NULL;
		if (list && n > p->used + 1 && !strcasecmp(words[p->used], "index")) {
			buf_printf(&p->path, ".%s", words[p->used + 1]);
			object = json_array_get(object, strtoul(words[p->used + 1], NULL, 10) - 1);
			p->used += 2;
			list = false;
		} else if (list && p->used < n) {
			size_t used, at = item_of(model, f, object, words + p->used, n - p->used, no, &used);

			/* One that is there, or a new one that begins with what it goes by. */
			if (used || next) {
				buf_printf(&p->path, ".%zu", at + 1);
				object = json_array_get(object, at);
				list = false;
			}
			p->used += used;
		}
		next = p->used < n ? kinds_field(kinds_fields(model, message), words[p->used]) : NULL;
		if (list || !next)
			return;
		p->message = message;
		p->inside = p->path.len;
		buf_puts(&p->path, ".");
	}
}

/* Does WORD begin another field, rather than being the value of a boolean? */
static bool begins_field(const json_t *model, const char *message, const char *word)
{
	CLEANUP_FREE char *name = xstrdup(word + (strncmp(word, "--", 2) ? 0 : 2));
	struct err ignored;

	name[strcspn(name, ".[")] = '\0';
	return strcasecmp(word, "true") && strcasecmp(word, "false") &&
	       (!strcmp(word, "no") || edit_field(model, message, name, &ignored));
}

/* A whole list goes where nothing but another field stands behind it: never for an item that is not there. */
static int check_unset(const json_t *fields, struct place *p, const char *const *words, size_t n, struct err *e)
{
	const char *dot = strrchr(buf_cstr(&p->path), '.');
	bool item = dot && dot[1] && !dot[1 + strspn(dot + 1, "0123456789")];

	if (item || !json_bool(p->field, "list", false) || !is(p->field, "message") || p->used == n || !strcmp(words[p->used], "no") ||
	    kinds_field(fields, words[p->used]) || strpbrk(words[p->used], ".[") || !strncmp(words[p->used], "--", 2))
		return 0;
	return err_set(e, -EINVAL, json_str(p->field, "name", ""), "It has no item '%s'.", words[p->used]);
}

/* The innermost message that a field was set in: the next word may be one more of its fields. */
struct inside {
	const char *message; /* NULL: the object itself */
	char *path;
};

/* How many of WORDS it took; -errno. */
static int apply_one(const json_t *model, const char *message, json_t *object, struct inside *in, const char *const *words, size_t n,
		     struct err *e)
{
	const json_t *fields = kinds_fields(model, message);
	bool no = !strcmp(words[0], "no"), alone, within = in->message && kinds_field(kinds_fields(model, in->message), words[0]);
	struct place p = { .path = BUF_INIT };
	int rc = 0;

	if (no && n == 1)
		return err_set(e, -EINVAL, words[0], "no what? Name a field.");
	if (within) {
		buf_printf(&p.path, "%s.", in->path);
		p.message = in->message;
		p.inside = strlen(in->path);
	}
	place_of(&p, model, within ? in->message : message, within ? at_path(object, in->path) : object, words + no, n - no, no);
	/* "no fail_action type x" is about two fields, where both are there. */
	if (no && p.used > 1 && kinds_field(fields, words[2])) {
		p.used = 1;
		p.path.len = strcspn(buf_cstr(&p.path), ".");
		p.message = NULL;
	}
	/* A boolean alone is true. */
	alone = is(p.field, "bool") && !json_bool(p.field, "list", false) &&
		(p.used == n || begins_field(model, p.message ? p.message : message, words[p.used]) ||
		 begins_field(model, message, words[p.used]));
	if (no)
		rc = check_unset(fields, &p, words + 1, n - 1, e) ?: edit_unset(model, message, object, buf_cstr(&p.path), e);
	else if (alone)
		rc = edit_set(model, message, object, buf_cstr(&p.path), "true", e);
	else if (p.used == n)
		rc = err_set(e, -EINVAL, buf_cstr(&p.path), "It is given no value.");
	else
		rc = set(model, message, object, buf_cstr(&p.path), words[p.used], e);
	free(in->path);
	*in = no || !p.message ? (struct inside){ 0 } : (struct inside){ p.message, xstrndup(buf_cstr(&p.path), p.inside) };
	buf_fini(&p.path);
	return rc ? rc : (int)(no + p.used + !(no || alone));
}

static int apply(const json_t *model, const json_t *kind, json_t *object, const char *const *words,
		 size_t n, struct err *e)
{
	struct inside in = { 0 };
	int used = 0;

	for (size_t i = 0; i < n && used >= 0; i += (size_t)MAX(used, 0))
		used = apply_one(model, json_str(kind, "message", ""), object, &in, words + i, n - i, e);
	free(in.path);
	return MIN(used, 0);
}

void configure_tell(struct client *c, FILE *warn)
{
	CLEANUP_FREE char *inert = client_header(c, "X-Spanwire-Inert");
	CLEANUP_FREE char *warning = client_header(c, "X-Spanwire-Warning");

	if (inert)
		fprintf(warn, "spanwire: stored, but without effect yet: %s\n",
			text_harmless(inert));
	if (warning)
		fprintf(warn, "spanwire: %s\n", text_harmless(warning));
}

static void tell(const struct configure *c, const json_t *kind, const json_t *answer,
		 const char *what)
{
	if (c->json) {
		json_dumpf(answer, c->out, JSON_INDENT(2));
		fputc('\n', c->out);
	} else {
		CLEANUP_FREE char *name = text_harmless(text_of(json_object_get(answer, "name")));

		fprintf(c->out, "%s %s %s.\n", json_str(kind, "kind", ""), name, what);
	}
	configure_tell(c->client, c->warn);
}

static int with_kind(struct client *c, const char *word, const json_t **model, const json_t **kind,
		     struct err *e)
{
	int rc = client_model(c, model, e);

	return rc ? rc : kinds_find(*model, word, kind, e);
}

int configure(const struct configure *c, const char *word, const char *name,
	      const char *const *words, size_t n, struct err *e)
{
	CLEANUP_JSON json_t *object = NULL, *answer = NULL;
	CLEANUP_FREE char *path = NULL;
	const json_t *model, *kind;
	bool made = false;
	int rc = with_kind(c->client, word, &model, &kind, e);

	if (rc)
		return rc;
	if (json_bool(kind, "singleton", false)) {
		path = objects_path(c->client, kind, NULL);
		rc = client_get(c->client, path, &object, e);
	} else {
		rc = objects_find(c->client, kind, name, "&skip_default=true", &object, e);
		made = rc == -ENOENT && !object;
		if (made) {
			object = json_pack("{s:s}", "name", name);
			rc = object ? 0 : err_set(e, -EINVAL, "name", "It is not UTF-8.");
		}
		path = objects_path(c->client, kind,
				    made ? NULL : json_str(object, "uuid", NULL));
	}
	rc = rc ? rc : apply(model, kind, object, words, n, e);
	if (rc)
		return rc;
	rc = client_send(c->client, made ? "POST" : "PUT", path, object, &answer, e);
	if (!rc)
		tell(c, kind, answer, made ? "was made" : "was changed");
	return rc;
}

int configure_delete(const struct configure *c, const char *word, const char *name, struct err *e)
{
	CLEANUP_JSON json_t *object = NULL;
	CLEANUP_FREE char *path = NULL;
	const json_t *model, *kind;
	int rc = with_kind(c->client, word, &model, &kind, e);

	rc = rc ? rc : objects_find(c->client, kind, name, "&skip_default=true", &object, e);
	if (rc)
		return rc;
	path = objects_path(c->client, kind, json_str(object, "uuid", ""));
	rc = client_send(c->client, "DELETE", path, NULL, NULL, e);
	if (!rc)
		tell(c, kind, object, "was deleted");
	return rc;
}
