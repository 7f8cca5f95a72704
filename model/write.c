/*
 * write - from the stored form to what a client receives.
 */
#include "base/base.h"

#include "model/internal.h"

const char model_masked[] = "<sensitive>";

struct writer {
	const struct model_write *w;
	struct model_resolver *resolver;
};

static json_t *write_message(const struct writer *w, const struct message_desc *m,
			     const json_t *stored, const struct kind_desc *top);

static json_t *write_ref(const struct writer *w, const struct field_desc *f, const char *stored)
{
	const char *uuid = ref_target(stored), *name = NULL;
	const char *base = w->w->base_url ? w->w->base_url : "";

	if (w->w->include_name && w->resolver)
		name = w->resolver->name(w->resolver, f->ref, uuid);
	return json_sprintf("%s/api/%s/%s%s%s", base, f->ref, uuid, name ? "#" : "",
			    name ? name : "");
}

static json_t *write_item(const struct writer *w, const struct field_desc *f, const json_t *v)
{
	if (f->type == FT_MSG)
		return write_message(w, f->msg, v, NULL);
	if ((f->flags & F_SECRET) && !w->w->secrets)
		return json_string(model_masked);
	if (f->type == FT_REF && json_is_string(v))
		return write_ref(w, f, json_string_value(v));
	return json_incref((json_t *)v);
}

static json_t *write_list(const struct writer *w, const struct field_desc *f, const json_t *list)
{
	json_t *out = json_array();
	const json_t *v;
	size_t i;

	json_array_foreach(list, i, v)
		json_array_append_new(out, write_item(w, f, v));
	return out;
}

static json_t *write_url(const struct writer *w, const struct kind_desc *k, const json_t *stored)
{
	const char *base = w->w->base_url ? w->w->base_url : "";
	const char *name = w->w->include_name && w->w->name_in_url ? json_str(stored, "name", NULL)
								   : NULL;

	if (k->flags & K_SINGLETON)
		return json_sprintf("%s/api/%s", base, k->path);
	return json_sprintf("%s/api/%s/%s%s%s", base, k->path, json_str(stored, "uuid", ""),
			    name ? "#" : "", name ? name : "");
}

/* The value as it goes out, or NULL when the field stays away. */
static json_t *write_field(const struct writer *w, const struct field_desc *f, const json_t *stored)
{
	const json_t *v = json_object_get(stored, f->name);

	if (v && f->list)
		return write_list(w, f, v);
	if (w->w->skip_default) {
		bool keep = v && (f->type == FT_MSG || (f->flags & F_REQUIRED) || !f->dflt ||
				  !value_is_default(f, v));

		return keep ? write_item(w, f, v) : NULL;
	}
	if (!v && (f->flags & F_SHOWN))
		return write_message(w, f->msg, NULL, NULL);
	if (!v || (f->dflt_from && f->dflt && value_is_default(f, v)))
		return field_default(f, stored);
	return write_item(w, f, v);
}

static json_t *write_message(const struct writer *w, const struct message_desc *m,
			     const json_t *stored, const struct kind_desc *top)
{
	json_t *out = json_object();

	if (top && field_find(m, "url"))
		json_object_set_new(out, "url", write_url(w, top, stored));
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i];
		json_t *v;

		if (top && strcmp(f->name, "url") == 0)
			continue;
		v = write_field(w, f, stored);
		if (v)
			json_object_set_new(out, f->name, v);
	}
	return out;
}

json_t *model_write(const struct kind_desc *k, const json_t *stored, const struct model_write *w,
		    struct model_resolver *r)
{
	const struct writer writer = { .w = w, .resolver = r };

	return write_message(&writer, k->msg, stored, k);
}
