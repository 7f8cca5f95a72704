#include "shell/configure.h"

#include <errno.h>
#include <string.h>

#include "base/base.h"
#include "shell/edit.h"
#include "shell/kinds.h"
#include "shell/objects.h"
#include "shell/text.h"

#define FILE_MAX (1 << 20)

/* "@FILE": what is in it. Caller frees. */
static int value_text(const char *field, const char *word, char **text, struct err *e)
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

static int set(const json_t *model, const char *message, json_t *object, const char *field,
	       const char *word, struct err *e)
{
	CLEANUP_FREE char *text = NULL;
	int rc = value_text(field, word, &text, e);

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

static void tell(const struct configure *c, const json_t *kind, const json_t *answer,
		 const char *what)
{
	CLEANUP_FREE char *inert = client_header(c->client, "X-Spanwire-Inert");
	CLEANUP_FREE char *warning = client_header(c->client, "X-Spanwire-Warning");

	if (c->json) {
		json_dumpf(answer, c->out, JSON_INDENT(2));
		fputc('\n', c->out);
	} else {
		CLEANUP_FREE char *name = text_harmless(text_of(json_object_get(answer, "name")));

		fprintf(c->out, "%s %s %s.\n", json_str(kind, "kind", ""), name, what);
	}
	if (inert)
		fprintf(c->warn, "spanwire: stored, but without effect yet: %s\n",
			text_harmless(inert));
	if (warning)
		fprintf(c->warn, "spanwire: %s\n", text_harmless(warning));
}

static int with_kind(struct client *c, const char *word, json_t **model, const json_t **kind,
		     struct err *e)
{
	int rc = client_get(c, "/api/model", model, e);

	return rc ? rc : kinds_find(*model, word, kind, e);
}

int configure(const struct configure *c, const char *word, const char *name,
	      const char *const *words, size_t n, struct err *e)
{
	CLEANUP_JSON json_t *model = NULL, *object = NULL, *answer = NULL;
	CLEANUP_FREE char *path = NULL;
	const json_t *kind;
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
	CLEANUP_JSON json_t *model = NULL, *object = NULL;
	CLEANUP_FREE char *path = NULL;
	const json_t *kind;
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
