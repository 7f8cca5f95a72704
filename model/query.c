/*
 * query - questions about stored objects: references, differences, what is not built.
 */
#include "base/base.h"

#include <errno.h>

#include "model/internal.h"

/* ---- references ------------------------------------------------------ */

struct ref_walk {
	int (*f)(void *arg, const char *path, const char *kind, const char *uuid);
	void *arg;
};

static int walk_refs(const struct ref_walk *w, const struct message_desc *m, const json_t *o,
		     const struct place *at);

static int walk_item(const struct ref_walk *w, const struct field_desc *f, const json_t *v,
		     const struct place *at)
{
	char path[192];

	if (f->type == FT_MSG)
		return walk_refs(w, f->msg, v, at);
	return w->f(w->arg, place_text(at, path, sizeof(path)), f->ref,
		    ref_target(json_string_value(v)));
}

static int walk_refs(const struct ref_walk *w, const struct message_desc *m, const json_t *o,
		     const struct place *at)
{
	const char *key;
	json_t *v, *item;
	size_t i;
	int rc;

	json_object_foreach((json_t *)o, key, v) {
		const struct field_desc *f = field_find(m, key);
		struct place here = { .up = at, .name = key };

		if (!f || (f->type != FT_MSG && f->type != FT_REF))
			continue;
		if (!f->list) {
			rc = walk_item(w, f, v, &here);
			if (rc)
				return rc;
			continue;
		}
		json_array_foreach(v, i, item) {
			struct place one = { .up = &here, .index = i };

			rc = walk_item(w, f, item, &one);
			if (rc)
				return rc;
		}
	}
	return 0;
}

int model_refs(const struct kind_desc *k, const json_t *stored,
	       int (*f)(void *arg, const char *path, const char *kind, const char *uuid), void *arg)
{
	const struct ref_walk w = { .f = f, .arg = arg };

	return walk_refs(&w, k->msg, stored, NULL);
}

/* ---- differences ----------------------------------------------------- */

enum { PATHS_MAX = 4096 };

static void put_path(struct buf *paths, const struct place *at)
{
	char path[192];

	if (!paths || paths->len > PATHS_MAX)
		return;
	buf_puts(paths, paths->len ? "," : "");
	buf_puts(paths, place_text(at, path, sizeof(path)));
	if (paths->len > PATHS_MAX)
		buf_puts(paths, ",...");
}

static enum apply_class diff_message(const struct message_desc *m, const json_t *old,
				     const json_t *new, struct buf *paths, const struct place *at);

static void raise_to(enum apply_class *class, enum apply_class other)
{
	if (other > *class)
		*class = other;
}

/* A change of anything below a field costs at least what the field says. */
static enum apply_class diff_field(const struct field_desc *f, const json_t *old, const json_t *new,
				   struct buf *paths, const struct place *at)
{
	enum apply_class class = f->apply;

	if (f->type != FT_MSG || !old || !new ||
	    (f->list && json_array_size(old) != json_array_size(new))) {
		put_path(paths, at);
		return class;
	}
	if (!f->list) {
		raise_to(&class, diff_message(f->msg, old, new, paths, at));
		return class;
	}
	for (size_t i = 0; i < json_array_size(old); i++) {
		const json_t *a = json_array_get(old, i), *b = json_array_get(new, i);
		struct place here = { .up = at, .index = i };

		if (!json_equal(a, b))
			raise_to(&class, diff_message(f->msg, a, b, paths, &here));
	}
	return class;
}

static enum apply_class diff_message(const struct message_desc *m, const json_t *old,
				     const json_t *new, struct buf *paths, const struct place *at)
{
	enum apply_class class = APPLY_NONE;

	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i];
		const json_t *a = json_object_get(old, f->name), *b = json_object_get(new, f->name);
		struct place here = { .up = at, .name = f->name };

		if (a == b || (f->flags & F_READONLY) || (a && b && json_equal(a, b)))
			continue;
		raise_to(&class, diff_field(f, a, b, paths, &here));
	}
	return class;
}

enum apply_class model_diff(const struct kind_desc *k, const json_t *old, const json_t *new,
			    struct buf *paths)
{
	return diff_message(k->msg, old, new, paths, NULL);
}

/* ---- what is not built ----------------------------------------------- */

static int later_message(const struct message_desc *m, const json_t *o, const struct place *at,
			 struct err *e);

static int later_item(const struct field_desc *f, const json_t *v, const struct place *at,
		      struct err *e)
{
	const char *s = json_string_value(v);

	if (f->built && s && !(f->flags & F_PASSED_OVER) && word_index(f->built, s) < 0)
		return place_err(e, -EINVAL, at, "%s is not built yet; built: %s.", s, f->built);
	return f->type == FT_MSG ? later_message(f->msg, v, at, e) : 0;
}

/* Items of which each may be passed over, and all of them are. */
static const struct field_desc *all_passed_over(const struct message_desc *m, const json_t *list)
{
	const json_t *item;
	size_t i;

	for (size_t n = 0; m && n < m->n_fields; n++) {
		const struct field_desc *f = &m->fields[n];

		if (!(f->flags & F_PASSED_OVER))
			continue;
		json_array_foreach((json_t *)list, i, item)
			if (word_index(f->built, json_str(item, f->name, "")) >= 0)
				return NULL;
		return json_array_size(list) ? f : NULL;
	}
	return NULL;
}

static int later_message(const struct message_desc *m, const json_t *o, const struct place *at,
			 struct err *e)
{
	const struct field_desc *over;
	const char *key;
	json_t *v, *item;
	size_t i;
	int rc = 0;

	json_object_foreach((json_t *)o, key, v) {
		const struct field_desc *f = field_find(m, key);
		struct place here = { .up = at, .name = key };

		if (!f)
			continue;
		if ((f->flags & F_DANGEROUS) && !value_is_default(f, v))
			return place_err(e, -EINVAL, &here, "%s",
					 f->why ? f->why : "Is not built yet.");
		if (!f->list) {
			rc = later_item(f, v, &here, e);
			if (rc < 0)
				return rc;
			continue;
		}
		over = all_passed_over(f->msg, v);
		if (over)
			return place_err(e, -EINVAL, &here, "None of them is built; built: %s.%s%s", over->built,
					 over->why ? " " : "", over->why ? over->why : "");
		json_array_foreach(v, i, item) {
			struct place one = { .up = &here, .index = i };

			rc = later_item(f, item, &one, e);
			if (rc < 0)
				return rc;
		}
	}
	return 0;
}

int model_later(const struct kind_desc *k, const json_t *stored, struct err *e)
{
	return later_message(k->msg, stored, NULL, e);
}
