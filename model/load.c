/*
 * load - from the stored form to C structs in an arena.
 *
 * Stored objects have passed model_read(), so what does not fit here is a defect of ours, not bad input: must().
 */
#include "base/base.h"

#include "model/internal.h"

/* Exactly one item of F's type at P. */
static void load_item(const struct field_desc *f, const json_t *v, void *p, struct arena *a)
{
	switch (f->type) {
	case FT_BOOL:
		*(bool *)p = json_is_true(v);
		break;
	case FT_INT:
		*(int64_t *)p = json_integer_value(v);
		break;
	case FT_FLOAT:
		*(double *)p = json_number_value(v);
		break;
	case FT_STR:
		must(json_is_string(v));
		*(const char **)p = arena_strndup(a, json_string_value(v), json_string_length(v));
		break;
	case FT_REF:
		must(json_is_string(v));
		*(const char **)p = arena_strdup(a, ref_uuid(json_string_value(v)));
		break;
	case FT_ENUM: {
		int word = json_is_string(v) ? word_index(f->values, json_string_value(v)) : -1;

		must(word >= 0);
		*(unsigned *)p = (unsigned)word; /* an enum without negative constants */
		break;
	}
	case FT_MSG:
		*(const void **)p = model_load(f->msg, v, a);
		break;
	}
}

static void load_into(const struct message_desc *m, const json_t *stored, char *s, struct arena *a);

static void load_list(const struct field_desc *f, const json_t *list, char *s, struct arena *a)
{
	size_t n = json_array_size(list);
	char *items;

	if (!n)
		return;
	items = arena_get(a, MAX(n * f->item_size, (size_t)1));
	must(items);
	for (size_t i = 0; i < n; i++) {
		const json_t *v = json_array_get(list, i);
		char *p = items + i * f->item_size;

		if (f->type == FT_MSG)
			load_into(f->msg, v, p, a); /* a list of messages is an array of structs */
		else
			load_item(f, v, p, a);
	}
	*(const void **)(s + f->offset) = items;
	*(size_t *)(s + f->count_offset) = n;
}

static void load_into(const struct message_desc *m, const json_t *stored, char *s, struct arena *a)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i];
		const json_t *v;
		json_t *dflt = NULL;

		if (f->offset == NO_MEMBER)
			continue;
		v = json_object_get(stored, f->name);
		if (f->list) {
			load_list(f, v, s, a);
			continue;
		}
		if (v && f->has_offset != NO_MEMBER)
			*(bool *)(s + f->has_offset) = true;
		/* "0" that means "as the other field says" is the default spelled out. */
		if (!v || (f->dflt_from && f->dflt && value_is_default(f, v)))
			v = dflt = field_default(f, stored);
		if (v)
			load_item(f, v, s + f->offset, a);
		else if (f->type == FT_MSG && (f->flags & F_ALWAYS))
			*(const void **)(s + f->offset) = model_load(f->msg, NULL, a);
		json_decref(dflt);
	}
}

void *model_load(const struct message_desc *m, const json_t *stored, struct arena *a)
{
	char *s = arena_get(a, MAX(m->size, (size_t)1));

	must(s);
	load_into(m, stored, s, a);
	return s;
}
