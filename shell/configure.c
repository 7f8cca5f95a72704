#include "shell/configure.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"
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

static int apply(const json_t *model, const json_t *kind, json_t *object, const char *const *words,
		 size_t n, struct err *e)
{
	const char *message = json_str(kind, "message", "");
	int rc = 0;

	for (size_t i = 0; i < n && !rc; i += 2) {
		if (i + 1 == n)
			return err_set(e, -EINVAL, words[i], "It is given no value.");
		rc = strcmp(words[i], "no") == 0
			     ? edit_unset(model, message, object, words[i + 1], e)
			     : set(model, message, object, words[i], words[i + 1], e);
	}
	return rc;
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
