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

/* Where a word leads: a path with dots in it is one; "servers index 2 ratio" is servers.2.ratio. */
struct place {
	struct buf path;
	const json_t *field; /* NULL: the path says it, or there is none */
	size_t used;         /* words */
};

static void place_of(struct place *p, const json_t *model, const char *message, const char *const *words, size_t n)
{
	const json_t *f, *next;
	struct err ignored;
	bool list;

	*p = (struct place){ .path = BUF_INIT };
	for (;;) {
		/* "--servers.2.ip": where fields are options. */
		const char *word = words[p->used] + (p->used || strncmp(words[0], "--", 2) ? 0 : 2);

		f = strpbrk(word, ".[") ? NULL : edit_field(model, message, word, &ignored);
		buf_puts(&p->path, f ? json_str(f, "name", "") : word);
		p->field = f;
		p->used++;
		list = json_bool(f, "list", false);
		if (!f || !is(f, "message"))
			return;
		if (list && n > p->used + 1 && !strcasecmp(words[p->used], "index")) {
			buf_printf(&p->path, ".%s", words[p->used + 1]);
			p->used += 2;
			list = false;
		}
		message = json_str(f, "message", "");
		next = p->used < n ? kinds_field(kinds_fields(model, message), words[p->used]) : NULL;
		if (list || !next)
			return;
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

/* How many of WORDS it took; -errno. */
static int apply_one(const json_t *model, const char *message, json_t *object, const char *const *words, size_t n,
		     struct err *e)
{
	const json_t *fields = kinds_fields(model, message);
	bool no = !strcmp(words[0], "no"), alone;
	struct place p;
	int rc;

	if (no && n == 1)
		return err_set(e, -EINVAL, words[0], "no what? Name a field.");
	place_of(&p, model, message, words + no, n - no);
	/* "no fail_action type x" is about two fields, where both are there. */
	if (no && p.used > 1 && kinds_field(fields, words[2])) {
		p.used = 1;
		p.path.len = strcspn(buf_cstr(&p.path), ".");
	}
	/* A boolean alone is true. */
	alone = is(p.field, "bool") && !json_bool(p.field, "list", false) &&
		(p.used == n || begins_field(model, message, words[p.used]));
	if (no)
		rc = edit_unset(model, message, object, buf_cstr(&p.path), e);
	else if (alone)
		rc = edit_set(model, message, object, buf_cstr(&p.path), "true", e);
	else if (p.used == n)
		rc = err_set(e, -EINVAL, buf_cstr(&p.path), "It is given no value.");
	else
		rc = set(model, message, object, buf_cstr(&p.path), words[p.used], e);
	buf_fini(&p.path);
	return rc ? rc : (int)(no + p.used + !(no || alone));
}

static int apply(const json_t *model, const json_t *kind, json_t *object, const char *const *words,
		 size_t n, struct err *e)
{
	int used = 0;

	for (size_t i = 0; i < n && used >= 0; i += (size_t)MAX(used, 0))
		used = apply_one(model, json_str(kind, "message", ""), object, words + i, n - i, e);
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
