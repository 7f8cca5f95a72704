#include "shell/service.h"

#include "base/base.h"
#include "shell/kinds.h"
#include "shell/objects.h"

int service_ask(struct client *c, const char *method, const char *name, const char *path, const json_t *body, FILE *out,
		bool json, json_t **answer, struct err *e)
{
	CLEANUP_JSON json_t *object = NULL;
	CLEANUP_FREE char *service = NULL, *full = NULL;
	const json_t *model, *kind;
	int rc = client_model(c, &model, e);

	rc = rc ? rc : kinds_find(model, "virtualservice", &kind, e);
	rc = rc ? rc : objects_find(c, kind, name, "&skip_default=true", &object, e);
	if (rc)
		return rc;
	service = objects_path(c, kind, json_str(object, "uuid", ""));
	full = xasprintf("%s/%s", service, path);
	rc = strcmp(method, "GET") == 0 ? client_get(c, full, answer, e) : client_send(c, method, full, body, answer, e);
	if (!rc && json) {
		json_dumpf(*answer, out, JSON_INDENT(2));
		fputc('\n', out);
	}
	return rc;
}
