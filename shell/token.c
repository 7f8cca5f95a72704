#include "shell/token.h"

#include <errno.h>
#include <unistd.h>

#include "base/base.h"
#include "base/settings.h"

#define HOURS 24

struct kept {
	char *controller, *user, *token, *uuid;
};

static void kept_fini(struct kept *k)
{
	free(k->controller);
	free(k->user);
	if (k->token)
		explicit_bzero(k->token, strlen(k->token));
	free(k->token);
	free(k->uuid);
}

static char *token_path(void)
{
	return credentials_beside("token");
}

static int take(void *arg, const char *name, const char *value, struct err *e)
{
	struct kept *k = arg;
	char **at = !strcmp(name, "controller") ? &k->controller
		    : !strcmp(name, "user")	? &k->user
		    : !strcmp(name, "token")	? &k->token
		    : !strcmp(name, "uuid")	? &k->uuid
						: NULL;

	if (!at || *at)
		return err_set(e, -EINVAL, NULL, "this is no token.");
	*at = xstrdup(value);
	return 0;
}

/* -ENOENT: there is none. */
static int read_kept(struct kept *k, struct err *e)
{
	CLEANUP_FREE char *path = token_path(), *text = NULL;
	int rc;

	*k = (struct kept){ 0 };
	if (!path)
		return -ENOENT;
	rc = credentials_read_private(path, &text, e);
	rc = rc ? rc : settings_read(text, path, take, k, e);
	if (!rc && (!k->controller || !k->user || !k->token || !k->uuid))
		rc = -ENOENT;
	return rc == -ENOTDIR ? -ENOENT : rc;
}

int token_find(struct credentials *c, struct err *e)
{
	struct kept k;
	int rc = read_kept(&k, e);

	if (!rc && !strcmp(k.controller, c->controller) && (!c->user || !strcmp(k.user, c->user))) {
		free(c->token);
		c->token = xstrdup(k.token);
		if (!c->user)
			c->user = xstrdup(k.user);
	}
	kept_fini(&k);
	return rc == -ENOENT ? 0 : rc;
}

int token_make(struct client *client, const struct credentials *c, FILE *out, struct err *e)
{
	CLEANUP_JSON json_t *body = json_pack("{s:i}", "hours", HOURS), *answer = NULL;
	CLEANUP_FREE char *path = token_path(), *text = NULL;
	int rc;

	if (!path)
		return err_set(e, -EINVAL, NULL, "There is no home to keep a token in: HOME is not set.");
	rc = client_send(client, "POST", "/api/user-token", body, &answer, e);
	if (rc)
		return rc;
	text = xasprintf("controller = %s\nuser = %s\ntoken = %s\nuuid = %s\n", c->controller, c->user,
			 json_str(answer, "token", ""), json_str(answer, "uuid", ""));
	rc = file_replace(path, text, strlen(text), 0600);
	explicit_bzero(text, strlen(text));
	if (rc)
		return err_set(e, rc, NULL, "%s cannot be written: %s.", path, strerror(-rc));
	fprintf(out, "The login is kept in %s for %d hours.\n", path, HOURS);
	return 0;
}

int token_drop(struct client *client, const struct credentials *c, struct err *e)
{
	CLEANUP_FREE char *path = token_path(), *at = NULL;
	struct kept k;
	int rc = read_kept(&k, e);

	(void)c;
	if (!rc && client) {
		at = xasprintf("/api/user-token/%s", k.uuid);
		rc = client_send(client, "DELETE", at, NULL, NULL, e);
	}
	kept_fini(&k);
	/* One that the controller does not know any more is forgotten all the same. */
	if (path && unlink(path) && errno != ENOENT)
		return err_set(e, -errno, NULL, "%s cannot be removed: %s.", path, strerror(errno));
	return rc == -ENOENT ? 0 : rc;
}
