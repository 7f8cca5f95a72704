/*
 * describe - the tables as data: what GET /api/model answers, and what shell, console, OpenAPI and
 * the manual are made from.
 */
#include "base/base.h"

#include "model/internal.h"

static void put_text(json_t *o, const char *key, const char *text)
{
	if (text)
		json_object_set_new(o, key, json_string(text));
}

static void put_true(json_t *o, const char *key, bool value)
{
	if (value)
		json_object_set_new(o, key, json_true());
}

static void put_words(json_t *o, const char *key, const char *words)
{
	json_t *list;
	const char *word;
	size_t len;

	if (!words)
		return;
	list = json_array();
	while (word_next(&words, &word, &len))
		json_array_append_new(list, json_stringn(word, len));
	json_object_set_new(o, key, list);
}

/* "0,-1" as numbers. */
static void put_numbers(json_t *o, const char *key, const char *text)
{
	json_t *list;

	if (!text)
		return;
	list = json_array();
	while (*text) {
		char *end;

		json_array_append_new(list, json_integer(strtoll(text, &end, 10)));
		text = end + strspn(end, ", ");
	}
	json_object_set_new(o, key, list);
}

static const char *type_text(const struct field_desc *f)
{
	static const char *const types[] = {
		[FT_BOOL] = "bool", [FT_FLOAT] = "float", [FT_STR] = "string",
		[FT_ENUM] = "enum", [FT_REF] = "ref",	  [FT_MSG] = "message"
	};
	static const char *const ints[] = {
		[W_INT32] = "int32",
		[W_UINT32] = "uint32",
		[W_INT64] = "int64",
		[W_UINT64] = "uint64",
	};

	return f->type == FT_INT ? ints[f->width] : types[f->type];
}

static void put_limits(json_t *o, const struct field_desc *f)
{
	bool number = f->type == FT_INT || f->type == FT_FLOAT;

	if (number && f->min < f->max) {
		json_object_set_new(o, "min", json_integer(f->min));
		json_object_set_new(o, "max", json_integer(f->max));
	}
	if (f->type == FT_STR && f->max)
		json_object_set_new(o, "max_bytes", json_integer(f->max));
	put_numbers(o, "special", f->special);
	put_numbers(o, "one_of", f->one_of);
	if (f->min_items)
		json_object_set_new(o, "min_items", json_integer(f->min_items));
	if (f->max_items)
		json_object_set_new(o, "max_items", json_integer(f->max_items));
}

static json_t *describe_field(const struct field_desc *f)
{
	static const char *const applies[] = { [APPLY_NEXT_CONN] = "next connection",
					       [APPLY_NOW] = "now",
					       [APPLY_BPF] = "bpf",
					       [APPLY_REBIND] = "rebind" };
	json_t *o = json_object();

	put_text(o, "name", f->name);
	put_text(o, "type", type_text(f));
	put_true(o, "list", f->list);
	put_text(o, "message", f->msg ? f->msg->name : NULL);
	put_text(o, "ref", f->ref);
	put_words(o, "values", f->values);
	put_words(o, "built", f->built);
	if (f->dflt)
		json_object_set_new(o, "default",
				    f->type == FT_REF ? json_string(f->dflt)
						      : field_default(f, NULL));
	put_text(o, "default_from", f->dflt_from);
	put_limits(o, f);
	put_text(o, "unit", f->unit);
	put_true(o, "required", f->flags & F_REQUIRED);
	put_true(o, "key", f->flags & F_KEY);
	put_true(o, "secret", f->flags & F_SECRET);
	put_true(o, "read_only", f->flags & F_READONLY);
	put_true(o, "immutable", f->flags & F_IMMUTABLE);
	put_true(o, "refused", f->flags & F_DANGEROUS);
	put_true(o, "passed_over", f->flags & F_PASSED_OVER);
	put_text(o, "why", f->why);
	put_true(o, "extension", f->flags & F_EXTENSION);
	put_true(o, "deprecated", f->flags & F_DEPRECATED);
	put_true(o, "inert", f->inert);
	put_true(o, "kept", !f->inert && f->offset == NO_MEMBER);
	if (f->apply != APPLY_NONE)
		put_text(o, "apply", applies[f->apply]);
	put_text(o, "help", *f->help ? f->help : "Stored and returned; without effect.");
	return o;
}

static void describe_message(json_t *messages, const struct message_desc *m)
{
	json_t *o, *fields;

	if (json_object_get(messages, m->name))
		return;
	o = json_object();
	fields = json_array();
	json_object_set_new(messages, m->name, o);
	put_text(o, "help", *m->help ? m->help : NULL);
	json_object_set_new(o, "fields", fields);
	for (size_t i = 0; i < m->n_fields; i++) {
		json_array_append_new(fields, describe_field(&m->fields[i]));
		if (m->fields[i].msg)
			describe_message(messages, m->fields[i].msg);
	}
}

json_t *model_describe(void)
{
	json_t *out = json_object(), *kinds = json_array(), *messages = json_object();

	for (size_t i = 0; i < model_n_kinds; i++) {
		const struct kind_desc *k = model_kinds[i];
		json_t *o = json_object();

		put_text(o, "kind", k->path);
		put_text(o, "message", k->msg->name);
		put_text(o, "help", k->help);
		put_text(o, "of", k->of);
		put_true(o, "tenant", k->flags & K_TENANT);
		put_true(o, "cloud", k->flags & K_CLOUD);
		put_true(o, "singleton", k->flags & K_SINGLETON);
		put_true(o, "read_only", k->flags & K_READONLY);
		put_true(o, "runtime", k->flags & K_RUNTIME);
		put_true(o, "no_create", k->flags & K_NO_CREATE);
		json_array_append_new(kinds, o);
		describe_message(messages, k->msg);
	}
	json_object_set_new(out, "kinds", kinds);
	json_object_set_new(out, "messages", messages);
	return out;
}
