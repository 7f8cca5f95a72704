#include "controller/rest/openapi.h"

#include "base/base.h"
#include "controller/rest/handlers.h"
#include "model/model.h"

/* "/api/:kind/:uuid" -> "/api/{kind}/{uuid}", and the parameters that are in it. */
static char *path_of(const char *pattern, const char *inventory, json_t *parameters)
{
	struct buf out = BUF_INIT;
	char *path;

	for (const char *p = pattern; *p;) {
		size_t n = strcspn(++p, "/");
		bool rest = n == 1 && *p == '*';

		if (inventory && strncmp(p, ":inventory", n) == 0) {
			buf_printf(&out, "/%s", inventory);
		} else if (*p == ':' || rest) {
			CLEANUP_FREE char *name = rest ? xstrdup("path") : xstrndup(p + 1, n - 1);

			buf_printf(&out, "/{%s}", name);
			json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:{s:s}}", "name", name, "in", "path",
								    "required", 1, "schema", "type", "string"));
		} else {
			buf_printf(&out, "/%.*s", (int)n, p);
		}
		p += n;
	}
	path = xstrdup(buf_cstr(&out));
	buf_fini(&out);
	return path;
}

/* "get_virtualservice_uuid_runtime": no two paths have the same one, since none differ by a sign only. */
static json_t *id_of(const char *method, const char *path)
{
	CLEANUP_FREE char *id = xasprintf("%s%s", method, path);
	char *o = id;

	for (const char *p = id; *p; p++)
		if (*p != '{' && *p != '}')
			*o++ = *p == '/' || *p == '-' || *p == '.' ? '_' : *p;
	*o = '\0';
	return json_string(id);
}

static json_t *takes(json_t *body, unsigned flags)
{
	json_t *content = json_object();

	if (flags & OPENAPI_FILE)
		json_object_set_new(content, "multipart/form-data",
				    json_pack("{s:{s:s, s:{s:{s:s, s:s}}}}", "schema", "type", "object", "properties", "file",
					      "type", "string", "format", "binary"));
	json_object_set_new(content, "application/json", json_pack("{s:o}", "schema", body));
	return json_pack("{s:o}", "content", content);
}

/* BODY: its schema, or NULL. */
static void add(json_t *document, const char *method, const char *pattern, const char *inventory, const char *help, json_t *body,
		unsigned flags)
{
	json_t *parameters = json_array(), *paths = json_object_get(document, "paths"), *item, *o;
	CLEANUP_FREE char *path = path_of(pattern, inventory, parameters);
	char verb[8];

	for (size_t i = 0; i <= strlen(method); i++)
		verb[i] = method[i] >= 'A' && method[i] <= 'Z' ? (char)(method[i] | 0x20) : method[i];
	item = json_object_get(paths, path);
	if (!item) {
		item = json_object();
		json_object_set_new(paths, path, item);
		if (json_array_size(parameters))
			json_object_set(item, "parameters", parameters);
	}
	json_decref(parameters);
	o = json_pack("{s:o, s:s, s:{s:{s:s}, s:{s:s}}}", "operationId", id_of(verb, path), "summary", help, "responses", "2XX",
		      "description", "Done.", "default", "$ref", "#/components/responses/Error");
	if (flags & OPENAPI_OPEN)
		json_object_set_new(o, "security", json_array());
	if (body)
		json_object_set_new(o, "requestBody", takes(body, flags));
	json_object_set_new(item, verb, o);
}

void openapi_add(json_t *document, const char *method, const char *pattern, const char *help, unsigned flags)
{
	bool many = strstr(pattern, "/:inventory") != NULL, write = method[0] == 'P';
	const char *inventory;

	for (size_t i = 0; (inventory = inventory_name(i)) && (many || i == 0); i++)
		add(document, method, pattern, many ? inventory : NULL, help, write ? json_pack("{s:s}", "type", "object") : NULL,
		    flags);
}

/* ---- views and actions of kinds --------------------------------------------------------------- */

static json_t *schema_of(const json_t *action)
{
	json_t *properties = json_object(), *p;
	size_t i;

	json_array_foreach(json_object_get(action, "parameters"), i, p)
		json_object_set_new(properties, json_str(p, "name", ""),
				    json_pack("{s:s}", "description", json_str(p, "help", "")));
	return json_pack("{s:s, s:o}", "type", "object", "properties", properties);
}

static void add_kind(json_t *document, const json_t *kind)
{
	const char *name = json_str(kind, "kind", "");
	json_t *v;
	size_t i;

	json_array_foreach(json_object_get(kind, "views"), i, v) {
		CLEANUP_FREE char *pattern = xasprintf("/api/%s/:uuid/%s", name, json_string_value(v));

		add(document, "GET", pattern, NULL, "What is so now.", NULL, 0);
	}
	json_array_foreach(json_object_get(kind, "actions"), i, v) {
		CLEANUP_FREE char *pattern = xasprintf("/api/%s/:uuid/%s", name, json_str(v, "name", ""));

		add(document, "POST", pattern, NULL, "An action.", schema_of(v), 0);
	}
}

enum result openapi_get(struct request *q)
{
	json_t *document = model_openapi(CONTRACT_VERSION), *k;
	CLEANUP_JSON json_t *model = model_describe();
	size_t i;

	route_describe(document);
	subresource_describe(q->rest, model);
	json_array_foreach(json_object_get(model, "kinds"), i, k)
		add_kind(document, k);
	request_json(q, 200, document);
	return RESULT_NOW;
}
