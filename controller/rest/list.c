/*
 * list - GET /api/KIND: filters, order, pages.
 */
#include <errno.h>
#include <strings.h>

#include "base/base.h"
#include "controller/derived.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"

enum { PAGE_SIZE = 25, PAGE_SIZE_MAX = 200, LIMIT_MAX = 1000000 };

struct list_of {
	struct request *q;
	const struct kind_desc *kind;
	struct resolver resolver;
	const char *name; /* what nearly everybody asks for: looked at before anything else */
	const struct object **object;
	struct derived **made_up; /* those of them that are not stored */
	size_t n, room, n_made_up;
	struct err e;
};

/* ---- filters -------------------------------------------------------------------------------- */

/* Parameters that are no filters. */
static bool is_reserved(const char *name)
{
	/* clang-format off */
	static const char *const reserved[] = {
		"page", "page_size", "fields", "sort", "include_name", "include_refs", "skip_default",
		"limit_by", "join_subresources", "join", "search", "isearch", "refers_to",
		"referred_by", "exclude", "include", "step", "limit", "export_key", "decrypt", "timeout",
		"cloud", "cloud_uuid", "tenant",
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (strcmp(reserved[i], name) == 0)
			return true;
	return false;
}

/*
 * "name=x", "name.contains=x", "uuid.in=a,b": the model knows fields and operators, and keeps off
 * secrets.
 */
static bool passes(struct list_of *l, const struct object *o, const char *field, const char *value)
{
	/* A kind without a cloud ignores the filter: clients add it to everything. */
	if (strncmp(field, "cloud_ref.", 10) == 0 && !(l->kind->flags & K_CLOUD))
		return true;
	return model_match(l->kind, o->body, field, value, &l->resolver.model);
}

struct ref_test {
	const char *kind, *uuid;
};

static int refers(void *arg, const char *path, const char *kind, const char *uuid)
{
	const struct ref_test *t = arg;

	(void)path;
	return strcmp(kind, t->kind) == 0 && strcmp(uuid, t->uuid) == 0;
}

/* "pool:pool-1": does O refer to it (BACK: does it refer to O)? */
static bool related(struct list_of *l, const struct object *o, const char *value, bool back)
{
	CLEANUP_FREE char *kind = xstrndup(value, strcspn(value, ":"));
	const char *uuid = strchr(value, ':') ? strchr(value, ':') + 1 : "";
	struct ref_test t = { kind, uuid };
	const struct object *other;

	if (!back)
		return model_refs(o->kind, o->body, refers, &t) != 0;
	other = store_get(l->q->rest->c->store, kind, uuid);
	t = (struct ref_test){ o->kind->path, o->uuid };
	return other && auth_sees(l->q, other) && access_reads(&l->q->viewer, other) &&
	       model_refs(other->kind, other->body, refers, &t) != 0;
}

/*
 * A string anywhere in a message, secrets apart. Only the members that are set: defaults are not
 * searched.
 */
static bool text_in(const struct message_desc *m, const json_t *o, const char *want, bool anycase)
{
	const char *key, *s;
	json_t *v, *item;
	size_t i;

	json_object_foreach((json_t *)o, key, v) {
		/* A scalar is looked at as a list of one. */
		size_t n = json_is_array(v) ? json_array_size(v) : 1;

		for (i = 0; i < n; i++) {
			const struct field_desc *f;

			item = json_is_array(v) ? json_array_get(v, i) : v;
			s = json_string_value(item);
			if (s && !(anycase ? strcasestr(s, want) : strstr(s, want)))
				continue;
			if (!s && !json_is_object(item))
				continue;
			f = field_find(m, key);
			if (s && f && !(f->flags & F_SECRET))
				return true;
			if (!s && f && f->type == FT_MSG && text_in(f->msg, item, want, anycase))
				return true;
		}
	}
	return false;
}

/* `search=x`: in any field; `search=(name,x)|(description,y)`. */
static bool found(struct list_of *l, const struct object *o, const char *value, bool anycase)
{
	char field[128], want[256], op[150];

	if (*value != '(')
		return text_in(o->kind->msg, o->body, value, anycase);
	for (const char *p = value; (p = strchr(p, '(')); p++) {
		if (sscanf(p, "(%127[^,],%255[^)])", field, want) != 2)
			continue;
		snprintf(op, sizeof(op), "%s.%s", field, anycase ? "icontains" : "contains");
		if (model_match(l->kind, o->body, op, want, &l->resolver.model))
			return true;
	}
	return false;
}

static bool cloud_fits(struct list_of *l, const struct object *o, const char *by_name,
		       const char *by_uuid)
{
	if (!(l->kind->flags & K_CLOUD))
		return true;
	return (!by_name ||
		model_match(l->kind, o->body, "cloud_ref.name", by_name, &l->resolver.model)) &&
	       (!by_uuid || strcmp(o->cloud, by_uuid) == 0);
}

static bool selected(struct list_of *l, const struct object *o)
{
	const struct query *query = &l->q->query;
	/* "name" itself cannot be turned round. */
	const char *exclude = query_get(query, "exclude");

	if (!cloud_fits(l, o, query_get(query, "cloud"), query_get(query, "cloud_uuid")))
		return false;
	for (size_t i = 0; i < query->n; i++) {
		const char *name = query->arg[i].name, *value = query->arg[i].value;
		bool ok = true;

		if (strcmp(name, "refers_to") == 0)
			ok = related(l, o, value, false);
		else if (strcmp(name, "referred_by") == 0)
			ok = related(l, o, value, true);
		else if ((strcmp(name, "search") == 0 || strcmp(name, "isearch") == 0) && *value)
			ok = found(l, o, value, *name == 'i');
		else if (!is_reserved(name))
			/* `exclude=uuid.in` turns that filter round. */
			ok = passes(l, o, name, value) != (exclude && strcmp(exclude, name) == 0);
		if (!ok)
			return false;
	}
	return true;
}

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

	if ((l->name && strcmp(o->name, l->name) != 0) || !auth_sees(l->q, o) || !selected(l, o))
		return 0;
	if (strcmp(l->q->tenant_id, "*") == 0 &&
	    auth_may_object(l->q, o, ACCESS_READ, NULL) < 0)
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

	if (!query_get(&l->q->query, "name") || strcmp(l->q->tenant_id, "*") == 0 ||
	    !(l->kind->flags & K_TENANT))
		return;
	for (size_t i = 0; i < l->n; i++)
		if (strcmp(l->object[i]->tenant, l->q->tenant_id) == 0)
			l->object[n++] = l->object[i];
	if (n)
		l->n = n;
}

/*
 * ---- order
 * ---------------------------------------------------------------------------------------
 */

static int compare_values(const json_t *a, const json_t *b)
{
	if (json_is_string(a) && json_is_string(b))
		return strcmp(json_string_value(a), json_string_value(b));
	if (json_is_number(a) && json_is_number(b)) {
		double x = json_number_value(a), y = json_number_value(b);

		return x < y ? -1 : x > y;
	}
	return (a != NULL) - (b != NULL);
}

static int compare(const void *a, const void *b, void *arg)
{
	const struct object *x = *(const struct object *const *)a,
			    *y = *(const struct object *const *)b;
	const char *field = arg;
	bool down = *field == '-';
	int c;

	field += down;
	if (strcmp(field, "_last_modified") == 0)
		c = x->last_modified_us < y->last_modified_us
			    ? -1
			    : x->last_modified_us > y->last_modified_us;
	else
		c = compare_values(json_object_get(x->body, field),
				   json_object_get(y->body, field));
	/* The same order every time, or pages overlap. */
	if (c == 0)
		return x->created_revision < y->created_revision ? -1 : strcmp(x->uuid, y->uuid);
	return down ? -c : c;
}

/*
 * ---- the answer
 * ------------------------------------------------------------------------------------
 */

static void answer(struct list_of *l)
{
	struct request *q = l->q;
	struct view v;
	int64_t page, size, limit;
	json_t *results, *out;
	size_t first;

	if (query_int(&q->query, "page", 1, LIMIT_MAX, false, 1, &page, &l->e) < 0 ||
	    query_int(&q->query, "page_size", 1, PAGE_SIZE_MAX, true, PAGE_SIZE, &size, &l->e) <
		    0 ||
	    query_int(&q->query, "limit_by", 1, LIMIT_MAX, true, LIMIT_MAX, &limit, &l->e) < 0) {
		request_error(q, &l->e);
		return;
	}
	l->n = MIN(l->n, (size_t)limit);
	first = (size_t)((page - 1) * size);
	if (page > 1 && first >= l->n) {
		request_refuse(q, 404, "page: there is no page %lld.", (long long)page);
		return;
	}
	view_init(&v, q);
	results = json_array();
	for (size_t i = first; i < l->n && i < first + (size_t)size; i++)
		json_array_append_new(results, view_object(&v, q, l->object[i]));
	out = json_pack("{s:I, s:o}", "count", (json_int_t)l->n, "results", results);
	if (first + (size_t)size < l->n) {
		struct buf b = BUF_INIT;

		buf_printf(&b, "%s/api/%s?page=%lld", q->base_url, l->kind->path,
			   (long long)page + 1);
		if (q->query.n > (query_get(&q->query, "page") ? 1u : 0u))
			buf_puts(&b, "&");
		query_rebuild(&q->query, "page", &b);
		json_object_set_new(out, "next", json_string(buf_cstr(&b)));
		buf_fini(&b);
	}
	request_json(q, 200, out);
}

enum result object_list(struct request *q)
{
	struct list_of l = { .q = q,
			     .kind = kind_find(q->kind),
			     .name = query_get(&q->query, "name") };
	const char *sort = query_get(&q->query, "sort");
	bool everywhere = strcmp(q->tenant_id, "*") == 0;

	if (!l.kind || (l.kind->flags & (K_RUNTIME | K_SINGLETON)))
		return object_get(q);
	/* With `*` each object's tenant is asked for its permission, one by one. */
	if (!everywhere && auth_may(q, q->kind, l.kind->flags & K_TENANT ? q->tenant_id : "", false, &l.e) < 0) {
		request_error(q, &l.e);
		return RESULT_NOW;
	}
	resolver_init(&l.resolver, q->rest->c->store, NULL, "*", "");
	derived_each(q->rest->c->store, l.kind, collect, &l);
	hide_doubles(&l);
	if (sort && *sort && l.n)
		qsort_r(l.object, l.n, sizeof(*l.object), compare, (void *)sort);
	answer(&l);
	for (size_t i = 0; i < l.n_made_up; i++) {
		derived_fini(l.made_up[i]);
		free(l.made_up[i]);
	}
	free(l.made_up);
	free(l.object);
	return RESULT_NOW;
}
