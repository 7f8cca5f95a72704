/*
 * load - from the stored form to C structs in an arena.
 *
 * Stored objects have passed somebody's model_read(), but that may have been a controller of
 * another version, or a file of last year: a value that does not fit here counts as unset.
 * model_fits() tells beforehand.
 */
#include "base/base.h"

#include "model/internal.h"

static bool fits(const struct field_desc *f, const json_t *v)
{
	switch (f->type) {
	case FT_BOOL:
		return json_is_boolean(v);
	case FT_INT:
		return json_is_integer(v);
	case FT_FLOAT:
		return json_is_number(v);
	case FT_STR:
	case FT_REF:
		return json_is_string(v);
	case FT_ENUM:
		return json_is_string(v) && word_index(f->values, json_string_value(v)) >= 0;
	case FT_MSG:
		return json_is_object(v);
	}
	return false;
}

/* One item of F's type at P; V fits. */
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
		*(const char **)p = arena_strndup(a, json_string_value(v), json_string_length(v));
		break;
	case FT_REF:
		*(const char **)p = arena_strdup(a, ref_target(json_string_value(v)));
		break;
	case FT_ENUM: /* an enum without negative constants */
		*(unsigned *)p = (unsigned)word_index(f->values, json_string_value(v));
		break;
	case FT_MSG:
		*(const void **)p = model_load(f->msg, v, a);
		break;
	}
}

/* The table's default, which fits and lives as long as the program. False: F has none. */
static bool load_default(const struct field_desc *f, void *p)
{
	if (!f->dflt)
		return false;
	switch (f->type) {
	case FT_BOOL:
		*(bool *)p = strcmp(f->dflt, "true") == 0;
		return true;
	case FT_INT:
		*(int64_t *)p = strtoll(f->dflt, NULL, 10);
		return true;
	case FT_FLOAT:
		*(double *)p = strtod(f->dflt, NULL);
		return true;
	case FT_STR:
		*(const char **)p = f->dflt;
		return true;
	case FT_ENUM:
		*(unsigned *)p = (unsigned)word_index(f->values, f->dflt);
		return true;
	case FT_REF: /* a name, resolved when it is read */
	case FT_MSG:
		break;
	}
	return false;
}

static void load_into(const struct message_desc *m, const json_t *stored, char *s, struct arena *a);

static void load_list(const struct field_desc *f, const json_t *list, char *s, struct arena *a)
{
	size_t n = 0, i;
	const json_t *v;
	char *items;

	if (!json_array_size(list))
		return;
	items = arena_get(a, MAX(json_array_size(list) * f->item_size, (size_t)1));
	must(items);
	json_array_foreach(list, i, v) {
		char *p = items + n * f->item_size;

		if (!fits(f, v))
			continue;
		if (f->type == FT_MSG)
			load_into(f->msg, v, p, a); /* a list of messages is an array of structs */
		else
			load_item(f, v, p, a);
		n++;
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
		if (v && !fits(f, v))
			v = NULL;
		if (v && f->has_offset != NO_MEMBER)
			*(bool *)(s + f->has_offset) = true;
		if (!v && !f->dflt_from && load_default(f, s + f->offset))
			continue;
		/* "0" that means "as the other field says" is the default spelled out. */
		if (!v || (f->dflt_from && f->dflt && value_is_default(f, v)))
			v = dflt = field_default(f, stored);
		if (v && fits(f, v)) /* dflt_from may have led anywhere */
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
