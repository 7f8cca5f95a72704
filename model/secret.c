/*
 * secret - the fields of an object that nobody may read, and what is done to all of them.
 */
#include "base/base.h"

#include "model/internal.h"

bool has_secrets(const struct message_desc *m)
{
	for (size_t i = 0; i < m->n_fields; i++)
		if ((m->fields[i].flags & F_SECRET) ||
		    (m->fields[i].msg && has_secrets(m->fields[i].msg)))
			return true;
	return false;
}

/* The same of a whole kind, which is asked for each object: remembered, whoever finds it out first. */
static bool kind_has_secrets(const struct kind_desc *k)
{
	static _Atomic char known[512]; /* 'y', 'n'; 0: not asked yet */
	size_t i = 0;

	while (i < model_n_kinds && model_kinds[i] != k)
		i++;
	if (i >= ARRAY_SIZE(known))
		return has_secrets(k->msg);
	if (!known[i])
		known[i] = has_secrets(k->msg) ? 'y' : 'n';
	return known[i] == 'y';
}

struct walk {
	char *(*f)(void *arg, const char *path, const char *value);
	void *arg;
	bool failed;
};

static json_t *map_message(struct walk *w, const struct message_desc *m, json_t *o,
			   const struct place *at);

/* A new reference: V itself, or what becomes of it. */
static json_t *map_value(struct walk *w, const struct field_desc *f, json_t *v, const struct place *at)
{
	char path[256];
	json_t *out;
	char *text;

	if (f->type == FT_MSG)
		return map_message(w, f->msg, v, at);
	if (!json_is_string(v) || w->failed)
		return json_incref(v);
	text = w->f(w->arg, place_text(at, path, sizeof(path)), json_string_value(v));
	if (!text) {
		w->failed = true;
		return json_incref(v);
	}
	out = json_string(text);
	explicit_bzero(text, strlen(text));
	free(text);
	return out ? out : json_incref(v);
}

static json_t *map_list(struct walk *w, const struct field_desc *f, json_t *list, const struct place *at)
{
	json_t *out = json_array(), *v;
	size_t i;

	json_array_foreach(list, i, v) {
		struct place here = { .up = at, .index = i };

		json_array_append_new(out, map_value(w, f, v, &here));
	}
	return out;
}

static json_t *map_message(struct walk *w, const struct message_desc *m, json_t *o,
			   const struct place *at)
{
	json_t *out = NULL;

	for (size_t i = 0; i < m->n_fields && json_is_object(o); i++) {
		const struct field_desc *f = &m->fields[i];
		struct place here = { .up = at, .name = f->name };
		json_t *v, *mapped;

		if (!(f->flags & F_SECRET) && f->type != FT_MSG)
			continue;
		v = json_object_get(o, f->name);
		if (!v || (f->type == FT_MSG && !has_secrets(f->msg)))
			continue;
		mapped = f->list ? map_list(w, f, v, &here) : map_value(w, f, v, &here);
		if (mapped == v) {
			json_decref(mapped);
			continue;
		}
		if (!out)
			out = json_copy(o);
		json_object_set_new(out, f->name, mapped);
	}
	return out ? out : json_incref(o);
}

json_t *model_map_secrets(const struct kind_desc *k, const json_t *stored,
			  char *(*f)(void *arg, const char *path, const char *value), void *arg)
{
	struct walk w = { .f = f, .arg = arg };
	json_t *out;

	if (!kind_has_secrets(k))
		return json_incref((json_t *)stored);
	out = map_message(&w, k->msg, (json_t *)stored, NULL);
	if (w.failed) {
		json_decref(out);
		return NULL;
	}
	return out;
}
