/*
 * openapi - the tables as an OpenAPI 3.1 document: a schema for each message, the paths of each
 * kind. Its schemas are JSON Schema 2020-12, so that anything that validates JSON can use them.
 */
#include "base/base.h"

#include "model/internal.h"

static json_t *schema_ref(const char *message)
{
	return json_pack("{s:o}", "$ref", json_sprintf("#/components/schemas/%s", message));
}

static json_t *word_list(const char *words)
{
	json_t *list = json_array();
	const char *word;
	size_t len;

	while (word_next(&words, &word, &len))
		json_array_append_new(list, json_stringn(word, len));
	return list;
}

static json_t *number_list(const char *text)
{
	json_t *list = json_array();

	while (*text) {
		char *end;

		json_array_append_new(list, json_integer(strtoll(text, &end, 10)));
		text = end + strspn(end, ", ");
	}
	return list;
}

static json_t *number(const struct field_desc *f)
{
	json_t *o = json_pack("{s:s}", "type", f->type == FT_INT ? "integer" : "number");
	json_t *range;

	if (f->one_of) {
		json_object_set_new(o, "enum", number_list(f->one_of));
		return o;
	}
	if (f->min >= f->max)
		return o;
	range = json_pack("{s:I, s:I}", "minimum", (json_int_t)f->min, "maximum",
			  (json_int_t)f->max);
	if (!f->special) {
		json_object_update(o, range);
		json_decref(range);
		return o;
	}
	/* A value outside of the range with a meaning of its own. */
	json_object_set_new(o, "anyOf",
			    json_pack("[o, {s:o}]", range, "enum", number_list(f->special)));
	return o;
}

static json_t *value_schema(const struct field_desc *f)
{
	json_t *o;

	switch (f->type) {
	case FT_BOOL:
		return json_pack("{s:s}", "type", "boolean");
	case FT_INT:
	case FT_FLOAT:
		return number(f);
	case FT_ENUM:
		return json_pack("{s:s, s:o}", "type", "string", "enum", word_list(f->values));
	case FT_MSG:
		return schema_ref(f->msg->name);
	case FT_REF:
		return json_pack("{s:s, s:s}", "type", "string", "x-ref", f->ref);
	case FT_STR:
		break;
	}
	o = json_pack("{s:s}", "type", "string");
	if (f->max)
		json_object_set_new(o, "x-max-bytes", json_integer(f->max));
	return o;
}

static json_t *field_schema(const struct field_desc *f)
{
	json_t *o = value_schema(f);

	if (f->list) {
		o = json_pack("{s:s, s:o}", "type", "array", "items", o);
		if (f->min_items)
			json_object_set_new(o, "minItems", json_integer(f->min_items));
		if (f->max_items)
			json_object_set_new(o, "maxItems", json_integer(f->max_items));
	}
	if (*f->help)
		json_object_set_new(o, "description", json_string(f->help));
	if (f->dflt && f->type != FT_REF)
		json_object_set_new(o, "default", field_default(f, NULL));
	if (f->unit)
		json_object_set_new(o, "x-unit", json_string(f->unit));
	if (f->flags & F_READONLY)
		json_object_set_new(o, "readOnly", json_true());
	if (f->flags & F_SECRET)
		json_object_set_new(o, "writeOnly", json_true());
	if (f->flags & F_DEPRECATED)
		json_object_set_new(o, "deprecated", json_true());
	if (f->inert)
		json_object_set_new(o, "x-inert", json_true());
	return o;
}

static void put_message(json_t *schemas, const struct message_desc *m)
{
	json_t *o, *properties, *required;

	if (json_object_get(schemas, m->name))
		return;
	properties = json_object();
	required = json_array();
	o = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
	json_object_set_new(schemas, m->name, o);
	if (*m->help)
		json_object_set_new(o, "description", json_string(m->help));
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i];

		json_object_set_new(properties, f->name, field_schema(f));
		if ((f->flags & F_REQUIRED) && !f->dflt && !(f->flags & F_READONLY))
			json_array_append_new(required, json_string(f->name));
		if (f->msg)
			put_message(schemas, f->msg);
	}
	if (json_array_size(required))
		json_object_set(o, "required", required);
	json_decref(required);
}

/* ---- paths ----------------------------------------------------------------- */

static json_t *body_of(json_t *schema)
{
	return json_pack("{s:{s:{s:o}}}", "content", "application/json", "schema", schema);
}

static json_t *answer(const char *text, json_t *schema)
{
	json_t *o = schema ? body_of(schema) : json_object();

	json_object_set_new(o, "description", json_string(text));
	return o;
}

static json_t *operation(const struct kind_desc *k, const char *verb, const char *summary,
			 const char *status, json_t *schema, json_t *takes)
{
	json_t *o = json_pack("{s:o, s:s, s:[s], s:{s:o, s:{s:s}}}", "operationId",
			      json_sprintf("%s_%s", verb, k->path), "summary", summary, "tags",
			      k->path, "responses", status,
			      answer(schema ? "The object." : "Done.", schema), "default", "$ref",
			      "#/components/responses/Error");

	if (takes) {
		json_t *b = body_of(takes);

		json_object_set_new(b, "required", json_true());
		json_object_set_new(o, "requestBody", b);
	}
	return o;
}

static void put_one(json_t *item, const struct kind_desc *k)
{
	const char *m = k->msg->name;

	json_object_set_new(item, "get",
			    operation(k, "get", "Read it.", "200", schema_ref(m), NULL));
	if (k->flags & K_READONLY)
		return;
	json_object_set_new(item, "put",
			    operation(k, "put", "Replace it.", "200", schema_ref(m),
				      schema_ref(m)));
	json_object_set_new(item, "patch",
			    operation(k, "patch", "Change parts of it.", "200", schema_ref(m),
				      schema_ref("Patch")));
}

static void put_kind(json_t *paths, const struct kind_desc *k)
{
	CLEANUP_FREE char *all = xasprintf("/api/%s", k->path);
	CLEANUP_FREE char *one = xasprintf("/api/%s/{uuid}", k->path);
	json_t *item, *list;

	item = json_pack("{s:s}", "summary", k->help);
	json_object_set_new(paths, all, item);
	if (k->flags & K_SINGLETON) {
		put_one(item, k);
		return;
	}
	list = json_pack("{s:s, s:{s:{s:s}, s:{s:s, s:o}}}", "type", "object", "properties",
			 "count", "type", "integer", "results", "type", "array", "items",
			 schema_ref(k->msg->name));
	json_object_set_new(item, "get", operation(k, "list", "List them.", "200", list, NULL));
	if (!(k->flags & (K_READONLY | K_NO_CREATE)))
		json_object_set_new(item, "post",
				    operation(k, "post", "Make one.", "201",
					      schema_ref(k->msg->name), schema_ref(k->msg->name)));
	item = json_pack("{s:s, s:[{s:s, s:s, s:b, s:{s:s}}]}", "summary", k->help, "parameters",
			 "name", "uuid", "in", "path", "required", 1, "schema", "type", "string");
	json_object_set_new(paths, one, item);
	put_one(item, k);
	if (!(k->flags & K_READONLY))
		json_object_set_new(item, "delete",
				    operation(k, "delete", "Delete it.", "204", NULL, NULL));
}

json_t *model_openapi(const char *version)
{
	json_t *schemas = json_object(), *paths = json_object();

	for (size_t i = 0; i < model_n_kinds; i++) {
		if (model_kinds[i]->flags & K_RUNTIME)
			continue;
		put_message(schemas, model_kinds[i]->msg);
		put_kind(paths, model_kinds[i]);
	}
	json_object_set_new(schemas, "Patch",
			    json_pack("{s:s, s:s, s:{s:{s:s}, s:{s:s}, s:{s:s}, s:{s:s}}}",
				      "description",
				      "What is added, replaced or deleted; or a JSON Patch.", "type",
				      "object", "properties", "add", "type", "object", "replace",
				      "type", "object", "delete", "type", "object", "json_patch",
				      "type", "array"));
	json_object_set_new(schemas, "Error",
			    json_pack("{s:s, s:[s], s:{s:{s:s}}}", "type", "object", "required",
				      "error", "properties", "error", "type", "string"));
	return json_pack(
		"{s:s, s:{s:s, s:s}, s:[{s:[]}, {s:[]}], s:o, s:{s:o, s:{s:{s:s, s:{s:{s:{s:s}}}}},"
		" s:{s:{s:s, s:s}, s:{s:s, s:s, s:s}}}}",
		"openapi", "3.1.0", "info", "title", "Spanwire", "version", version, "security",
		"session", "basic", "paths", paths, "components", "schemas", schemas, "responses",
		"Error", "description", "What was wrong, in one sentence.", "content",
		"application/json", "schema", "$ref", "#/components/schemas/Error",
		"securitySchemes", "basic", "type", "http", "scheme", "basic", "session", "type",
		"apiKey", "in", "cookie", "name", "sessionid");
}
