/*
 * list - GET /api/KIND: what was selected, in order, in pages.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/derived.h"
#include "controller/rest/handlers.h"
#include "controller/rest/selection.h"

enum { PAGE_SIZE = 25, PAGE_SIZE_MAX = 200, PAGE_SIZE_ALL = 1000, LIMIT_MAX = 1000000 };

struct list_of {
	struct request *q;
	const struct kind_desc *kind;
	struct selection selection;
	const struct object **object;
	struct derived **made_up; /* those of them that are not stored */
	size_t n, room, n_made_up;
	struct err e;
};

/* An object that outlives the walk: stored, or made up once more. */
static const struct object *keep(struct list_of *l, const struct object *o)
{
	struct derived *d = xcalloc(1, sizeof(*d));

	if (l->n_made_up % 64 == 0)
		l->made_up = xrealloc(l->made_up, (l->n_made_up + 64) * sizeof(*l->made_up));
	l->made_up[l->n_made_up++] = d;
	return derived_get(l->q->rest->c->store, l->kind, o->uuid, d);
}

static int collect(void *arg, const struct object *o)
{
	struct list_of *l = arg;

	if (!selection_has(&l->selection, o))
		return 0;
	if (l->n == l->room) {
		l->room = l->room ? 2 * l->room : 64;
		l->object = xrealloc(l->object, l->room * sizeof(*l->object));
	}
	l->object[l->n++] = l->kind->of ? keep(l, o) : o;
	return 0;
}

/*
 * A name of the own tenant hides the same name of `admin`: clients that look an object up by its
 * name take two answers for an error.
 */
static void hide_doubles(struct list_of *l)
{
	size_t n = 0;

	if (!l->selection.name || strcmp(l->q->tenant_id, "*") == 0 || !(l->kind->flags & K_TENANT))
		return;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->object[i]->tenant, l->q->tenant_id) == 0)
			l->object[n++] = l->object[i];
	if (n)
		l->n = n;
}

/* ---- order ------------------------------------------------------------------------------- */

struct order {
	const char *field;
	bool down;
};

static int order_read(struct list_of *l, struct order *order)
{
	const char *sort = query_get(&l->q->query, "sort");
	const struct field_desc *f;

	order->down = sort && *sort == '-';
	order->field = sort ? sort + order->down : "";
	if (!*order->field || strcmp(order->field, "_last_modified") == 0)
		return 0;
	f = field_find(l->kind->msg, order->field);
	/* The place of a secret among others that one chose oneself would tell what it is. */
	if (f && !(f->flags & F_SECRET))
		return 0;
	return err_set(&l->e, -EINVAL, "sort", "%s has no field '%.60s' to sort by.",
		       l->kind->msg->name, order->field);
}

static int compare_values(const json_t *a, const json_t *b)
{
	if (json_is_string(a) && json_is_string(b))
		return strcmp(json_string_value(a), json_string_value(b));
	if (json_is_number(a) && json_is_number(b)) {
		double x = json_number_value(a), y = json_number_value(b);

		return x < y ? -1 : x > y;
	}
	if (json_is_boolean(a) && json_is_boolean(b))
		return json_is_true(a) - json_is_true(b);
	return (a != NULL) - (b != NULL);
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct object *x = *(const struct object *const *)a,
			    *y = *(const struct object *const *)b;
	const struct order *order = arg;
	int c;

	if (strcmp(order->field, "_last_modified") == 0)
		c = x->last_modified_us < y->last_modified_us
			    ? -1
			    : x->last_modified_us > y->last_modified_us;
	else
		c = compare_values(json_object_get(x->body, order->field),
				   json_object_get(y->body, order->field));
	/* The same order every time, or pages overlap. */
	if (c == 0)
		c = x->created_revision < y->created_revision	? -1
		    : x->created_revision > y->created_revision ? 1
								: strcmp(x->uuid, y->uuid);
	return order->down ? -c : c;
}

/* ---- the answer ---------------------------------------------------------------------------- */

/* -1 asks for all of them. It gets many: an answer may hold up the others only so long, and `next` has the rest. */
static int page_size(const struct query *q, int64_t *size, struct err *e)
{
	const char *v = query_get(q, "page_size");

	if (!v || strcmp(v, "-1") != 0)
		return query_int(q, "page_size", 1, PAGE_SIZE_MAX, true, PAGE_SIZE, size, e);
	*size = PAGE_SIZE_ALL;
	return 0;
}

static void answer(struct list_of *l, list_row *row)
{
	struct request *q = l->q;
	struct view v;
	int64_t page, size, limit;
	json_t *results, *out;
	size_t first;

	if (query_int(&q->query, "page", 1, LIMIT_MAX, false, 1, &page, &l->e) < 0 ||
	    page_size(&q->query, &size, &l->e) < 0 ||
	    query_int(&q->query, "limit_by", 1, LIMIT_MAX, true, LIMIT_MAX, &limit, &l->e) < 0 ||
	    view_init(&v, q, l->kind, &l->e) < 0) {
		request_error(q, &l->e);
		return;
	}
	l->n = MIN(l->n, (size_t)limit);
	first = (size_t)((page - 1) * size);
	if (page > 1 && first >= l->n) {
		request_refuse(q, 404, "page: there is no page %lld.", (long long)page);
		return;
	}
	results = json_array();
	for (size_t i = first; i < l->n && i < first + (size_t)size; i++)
		json_array_append_new(results, row(&v, q, l->object[i]));
	out = json_pack("{s:I, s:o}", "count", (json_int_t)l->n, "results", results);
	if (first + (size_t)size < l->n) {
		struct buf b = BUF_INIT;

		buf_printf(&b, "%s%s?page=%lld", q->base_url, q->path, (long long)page + 1);
		if (q->query.n > (query_get(&q->query, "page") ? 1u : 0u))
			buf_puts(&b, "&");
		query_rebuild(&q->query, "page", &b);
		json_object_set_new(out, "next", json_string(buf_cstr(&b)));
		buf_fini(&b);
	}
	request_json(q, 200, out);
}

enum result list_answer(struct request *q, const struct kind_desc *k, list_row *row)
{
	struct list_of l = { .q = q, .kind = k };
	bool everywhere = strcmp(q->tenant_id, "*") == 0;
	struct order order;

	q->asked = true; /* with `*` about each object, see selection.c */
	if ((!everywhere && auth_may(q, k->path, k->flags & K_TENANT ? q->tenant_id : "", false, &l.e) < 0) ||
	    order_read(&l, &order) < 0 || selection_init(&l.selection, q, k, &l.e) < 0) {
		request_error(q, &l.e);
		return RESULT_NOW;
	}
	derived_each(q->rest->c->store, k, collect, &l);
	hide_doubles(&l);
	if (*order.field && l.n)
		qsort_r(l.object, l.n, sizeof(*l.object), compare, &order);
	answer(&l, row);
	selection_fini(&l.selection);
	for (size_t i = 0; i < l.n_made_up; i++) {
		derived_fini(l.made_up[i]);
		free(l.made_up[i]);
	}
	free(l.made_up);
	free(l.object);
	return RESULT_NOW;
}

enum result object_list(struct request *q)
{
	const struct kind_desc *k = kind_find(q->kind);

	if (!k || (k->flags & (K_RUNTIME | K_SINGLETON)))
		return object_get(q);
	return list_answer(q, k, view_object);
}
