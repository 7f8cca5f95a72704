#include "shell/objects.h"

#include <errno.h>

#include "base/base.h"

#define PAGE 200

char *objects_path(struct client *c, const json_t *kind, const char *name)
{
	CLEANUP_FREE char *escaped = name ? client_escape(c, name) : NULL;

	return xasprintf("/api/%s%s%s", json_str(kind, "kind", ""), name ? "/" : "",
			 name ? escaped : "");
}

int objects_all(struct client *c, const char *path, const char *options, json_t **out,
		struct err *e)
{
	*out = json_array();
	for (int page = 1;; page++) {
		CLEANUP_FREE char *full = xasprintf("%s?include_name&page_size=%d&page=%d%s", path,
						    PAGE, page, options);
		CLEANUP_JSON json_t *answer = NULL;
		int rc = client_get(c, full, &answer, e);

		if (rc) {
			json_decref(*out);
			*out = NULL;
			return rc;
		}
		json_array_extend(*out, json_object_get(answer, "results"));
		if (!json_is_string(json_object_get(answer, "next")))
			return 0;
	}
}

/* A dot alone would be another path, and a backslash none. */
static bool may_be_uuid(const char *name)
{
	return *name != '.' && !name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.:")];
}

int objects_find(struct client *c, const json_t *kind, const char *name, const char *options,
		 json_t **out, struct err *e)
{
	CLEANUP_FREE char *path = objects_path(c, kind, NULL);
	CLEANUP_FREE char *one = objects_path(c, kind, name);
	CLEANUP_FREE char *by_uuid = xasprintf("%s?include_name%s", one, options);
	CLEANUP_FREE char *escaped = client_escape(c, name);
	CLEANUP_FREE char *by_name = xasprintf("&name=%s%s", escaped, options);
	CLEANUP_JSON json_t *found = NULL;
	int rc = objects_all(c, path, by_name, &found, e);

	*out = NULL;
	if (rc)
		return rc;
	if (json_array_size(found) == 1) {
		*out = json_incref(json_array_get(found, 0));
		return 0;
	}
	if (json_array_size(found) > 1) {
		*out = json_incref(found);
		return err_set(e, -ENOENT, NULL,
			       "%zu objects have the name '%s': give a uuid, or the tenant.",
			       json_array_size(found), name);
	}
	rc = may_be_uuid(name) ? client_get(c, by_uuid, out, e) : -ENOENT;
	if (rc == -ENOENT)
		err_set(e, rc, NULL, "There is no %s '%s'.", json_str(kind, "of", json_str(kind, "kind", "")), name);
	return rc;
}
