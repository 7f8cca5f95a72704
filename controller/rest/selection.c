#include "controller/rest/selection.h"

#include <ctype.h>
#include <errno.h>

#include "base/base.h"
#include "controller/rest/handlers.h"

struct condition {
	bool (*fits)(struct selection *s, const struct condition *c, const struct object *o);
	bool turned; /* by `exclude` */
	const char *value; /* borrowed from the query */
	/* One; `search=(a,x)|(b,y)` has several, of which one is enough. */
	struct model_filter **filter;
	size_t n_filters;
	char kind[64];
	const char *uuid;
};

/* Parameters that are no conditions: how it is shown, or what other clients add to everything. */
static bool is_reserved(const char *name)
{
	/* clang-format off */
	static const char *const reserved[] = {
		"page", "page_size", "fields", "sort", "include_name", "include_refs", "skip_default",
		"limit_by", "join_subresources", "join", "exclude", "include", "step", "limit", "export_key",
		"decrypt", "timeout", "tenant", "start", "end", "stop", "duration",
	};
	/* clang-format on */

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (strcmp(reserved[i], name) == 0)
			return true;
	return false;
}

/* ---- the kinds of conditions ------------------------------------------------------------ */

static bool filters_fit(struct selection *s, const struct condition *c, const struct object *o)
{
	for (size_t i = 0; i < c->n_filters; i++)
		if (model_filter_fits(c->filter[i], o->body, &s->resolver.model))
			return true;
	return false;
}

/* It is kept beside the body: all have 16 digits, and compare as texts. */
static bool modified_fits(struct selection *s, const struct condition *c, const struct object *o)
{
	CLEANUP_JSON json_t *v = json_object();

	(void)s;
	json_object_set_new(v, "_last_modified",
			    json_sprintf("%llu", (unsigned long long)o->last_modified_us));
	return model_filter_fits(c->filter[0], v, NULL);
}

static bool never_fits(struct selection *s, const struct condition *c, const struct object *o)
{
	(void)s;
	(void)c;
	(void)o;
	return false;
}

/* Both parameters mean one marker; each of them alone, any that has it. */
static bool label_fits(struct selection *s, const struct condition *c, const struct object *o)
{
	const char *key = query_get(&s->q->query, "label_key"), *value = query_get(&s->q->query, "label_value");
	size_t i, j;
	json_t *marker, *v;

	(void)c;
	json_array_foreach(json_object_get(o->body, "markers"), i, marker) {
		bool has = !value;

		if (key && strcmp(json_string_value(json_object_get(marker, "key")), key) != 0)
			continue;
		json_array_foreach(json_object_get(marker, "values"), j, v)
			has = has || strcmp(json_string_value(v), value) == 0;
		if (has)
			return true;
	}
	return false;
}

static bool cloud_fits(struct selection *s, const struct condition *c, const struct object *o)
{
	(void)s;
	return strcmp(o->cloud, c->value) == 0;
}

static int is_target(void *arg, const char *path, const char *kind, const char *uuid)
{
	const struct condition *c = arg;

	(void)path;
	return strcmp(kind, c->kind) == 0 && strcmp(uuid, c->uuid) == 0;
}

static bool refers_to(struct selection *s, const struct condition *c, const struct object *o)
{
	(void)s;
	return model_refs(o->kind, o->body, is_target, (void *)c) != 0;
}

static int is_object(void *arg, const char *path, const char *kind, const char *uuid)
{
	const struct object *o = arg;

	(void)path;
	return strcmp(kind, o->kind->path) == 0 && strcmp(uuid, o->uuid) == 0;
}

static bool referred_by(struct selection *s, const struct condition *c, const struct object *o)
{
	const struct object *by = store_get(s->q->rest->c->store, c->kind, c->uuid);

	return by && auth_sees(s->q, by) && access_reads(&s->q->viewer, by) &&
	       model_refs(by->kind, by->body, is_object, (void *)o) != 0;
}

/* strcasestr() prepares itself for long texts, each time anew: here are many short ones. */
static bool has_anycase(const char *s, const char *want)
{
	size_t n = strlen(want);
	int first = tolower((unsigned char)*want);

	for (; *s; s++)
		if (tolower((unsigned char)*s) == first && strncasecmp(s, want, n) == 0)
			return true;
	return !n;
}

static bool scalar_has(const json_t *v, const char *want, bool anycase)
{
	char number[24];
	const char *s = json_string_value(v);

	if (json_is_integer(v)) {
		snprintf(number, sizeof(number), "%lld", (long long)json_integer_value(v));
		s = number;
	}
	return s && (anycase ? has_anycase(s, want) : strstr(s, want) != NULL);
}

/*
 * A string or number anywhere in a message, secrets apart. Only the members that are set: defaults
 * are not searched. The table is asked last: finding a field costs more than looking at its value.
 */
static bool text_in(const struct message_desc *m, const json_t *o, const char *want, bool anycase)
{
	const char *key;
	json_t *v, *item;

	json_object_foreach((json_t *)o, key, v) {
		/* A scalar is looked at as a list of one. */
		size_t n = json_is_array(v) ? json_array_size(v) : 1;
		const struct field_desc *f = NULL;

		for (size_t i = 0; i < n; i++) {
			item = json_is_array(v) ? json_array_get(v, i) : v;
			if (!json_is_object(item) && !scalar_has(item, want, anycase))
				continue;
			f = f ? f : field_find(m, key);
			if (!f || (f->flags & F_SECRET))
				break;
			if (!json_is_object(item) ||
			    (f->type == FT_MSG && text_in(f->msg, item, want, anycase)))
				return true;
		}
	}
	return false;
}

static bool has_text(struct selection *s, const struct condition *c, const struct object *o)
{
	(void)s;
	return text_in(o->kind->msg, o->body, c->value, false);
}

static bool has_text_anycase(struct selection *s, const struct condition *c, const struct object *o)
{
	(void)s;
	return text_in(o->kind->msg, o->body, c->value, true);
}

/* ---- making them ----------------------------------------------------------------------------- */

static int add_filter(struct condition *c, const struct kind_desc *k, const char *field,
		      const char *value, struct err *e)
{
	c->fits = filters_fit;
	c->filter = xrealloc(c->filter, (c->n_filters + 1) * sizeof(struct model_filter *));
	return model_filter_new(k, field, value, &c->filter[c->n_filters++], e);
}

enum { SEARCH_DEPTH_MAX = 6 };

/* A filter for each FIELD inside of the messages of M, which is at PATH: `(fqdn,x)` of a vsvip is dns_info.fqdn. */
static void search_inside(struct condition *c, const struct kind_desc *k, const struct message_desc *m, const char *path,
			  const char *field, const char *op, const char *text, int depth)
{
	for (size_t i = 0; i < m->n_fields; i++) {
		const struct field_desc *f = &m->fields[i], *inner = f->msg ? field_find(f->msg, field) : NULL;
		char at[192], full[384];

		if (!f->msg || (f->flags & F_SECRET) || depth == SEARCH_DEPTH_MAX)
			continue;
		snprintf(at, sizeof(at), "%s%s.", path, f->name);
		snprintf(full, sizeof(full), "%s%s.%s", at, field, op);
		if (inner && !(inner->flags & F_SECRET) && !inner->msg && add_filter(c, k, full, text, NULL) < 0)
			c->n_filters--;
		search_inside(c, k, f->msg, at, field, op, text, depth + 1);
	}
}

static int want_search(struct selection *s, struct condition *c, const char *name, struct err *e)
{
	bool anycase = *name == 'i';
	const char *op = anycase ? "icontains" : "contains", *p = c->value;
	char field[128], want[256], path[160];
	int n, rc = 0;
	size_t had;

	if (*p != '(') {
		c->fits = anycase ? has_text_anycase : has_text;
		return 0;
	}
	for (;;) {
		n = 0;
		if (sscanf(p, "(%127[^,()],%255[^()])%n", field, want, &n) != 2 || n == 0)
			return err_set(e, -EINVAL, name,
				       "It is a text, or (field,text)|(field,text).");
		had = c->n_filters;
		snprintf(path, sizeof(path), "%s.%s", field, op);
		rc = add_filter(c, s->kind, path, want, e);
		if (rc < 0) {
			c->n_filters--;
			search_inside(c, s->kind, s->kind->msg, "", field, op, want, 0);
		}
		if (rc < 0 && c->n_filters == had) {
			err_set(e, rc, name, "%s has no field '%.60s' to search in.",
				s->kind->msg->name, field);
			return rc;
		}
		p += n;
		if (*p == '\0')
			return 0;
		if (*p++ != '|')
			return err_set(e, -EINVAL, name,
				       "It is a text, or (field,text)|(field,text).");
	}
}

/* "pool:pool-1" */
static int want_relation(struct selection *s, struct condition *c, const char *name, struct err *e)
{
	const char *colon = strchr(c->value, ':');
	size_t n = colon ? (size_t)(colon - c->value) : 0;

	(void)s;
	if (n == 0 || !colon[1] || n >= sizeof(c->kind))
		return err_set(e, -EINVAL, name, "It names an object: kind:uuid.");
	memcpy(c->kind, c->value, n);
	c->uuid = colon + 1;
	if (!kind_find(c->kind))
		return err_set(e, -EINVAL, name, "There are no objects of the kind '%s'.", c->kind);
	c->fits = strcmp(name, "refers_to") == 0 ? refers_to : referred_by;
	return 0;
}

/* As the operators of container clusters find what they made. */
static int want_label(struct selection *s, struct condition *c, const char *name, struct err *e)
{
	(void)s;
	(void)name;
	(void)e;
	c->fits = label_fits;
	return 0;
}

static int want_cloud(struct selection *s, struct condition *c, const char *name, struct err *e)
{
	if (strcmp(name, "cloud") == 0)
		return add_filter(c, s->kind, "cloud_ref.name", c->value, e);
	c->fits = cloud_fits;
	return 0;
}

static int want(struct selection *s, struct condition *c, const char *name, struct err *e)
{
	static const struct {
		const char *name;
		int (*want)(struct selection *s, struct condition *c, const char *name,
			    struct err *e);
	} special[] = {
		{ "search", want_search },	{ "isearch", want_search },
		{ "refers_to", want_relation }, { "referred_by", want_relation },
		{ "cloud", want_cloud },	{ "cloud_uuid", want_cloud },
		{ "label_key", want_label },	{ "label_value", want_label },
	};
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(special); i++)
		if (strcmp(special[i].name, name) == 0)
			return special[i].want(s, c, name, e);
	/* Clients mark what is theirs; what cannot be marked is nobody's. */
	if (strcmp(name, "created_by") == 0 && !field_find(s->kind->msg, name)) {
		c->fits = never_fits;
		return 0;
	}
	rc = add_filter(c, s->kind, name, c->value, e);
	if (rc < 0)
		c->n_filters--;
	else if (strncmp(name, "_last_modified", strlen("_last_modified")) == 0)
		c->fits = modified_fits;
	return rc;
}

/* Is it about the cloud, and the kind has none? Clients add such a condition to everything. */
static bool is_idle(const struct kind_desc *k, const char *name, const char *value)
{
	bool cloud = strncmp(name, "cloud_ref", 9) == 0 || strcmp(name, "cloud") == 0 ||
		     strcmp(name, "cloud_uuid") == 0;

	return (cloud && !(k->flags & K_CLOUD)) ||
	       (!*value && (strcmp(name, "search") == 0 || strcmp(name, "isearch") == 0));
}

/* "uuid.in", or several of them with commas. */
static bool in_list(const char *list, const char *name)
{
	size_t n = strlen(name);

	for (; list && *list; list += strcspn(list, ","), list += *list == ',')
		if (strcspn(list, ",") == n && strncmp(list, name, n) == 0)
			return true;
	return false;
}

static void condition_fini(struct condition *c)
{
	for (size_t i = 0; i < c->n_filters; i++)
		model_filter_free(c->filter[i]);
	free(c->filter);
}

/*
 * What `exclude` names may be absent: clients say it of all that they might ask for. But it must be something to ask for: with
 * another name the list would be of those that were to be left out.
 */
static int exclude_reads(struct selection *s, const char *list, struct err *e)
{
	int rc = 0;

	for (; rc == 0 && list && *list; list += strcspn(list, ","), list += *list == ',') {
		CLEANUP_FREE char *name = xstrndup(list, strcspn(list, ","));
		bool relation = strcmp(name, "refers_to") == 0 || strcmp(name, "referred_by") == 0;
		struct condition c = { .value = relation ? "pool:0" : "0" }; /* some value that all can read */

		if (!*name || query_get(&s->q->query, name) || is_idle(s->kind, name, ""))
			continue;
		rc = want(s, &c, name, e);
		if (rc < 0)
			err_within(e, "exclude");
		condition_fini(&c);
	}
	return rc;
}

int selection_init(struct selection *s, struct request *q, const struct kind_desc *k, struct err *e)
{
	const char *exclude = query_get(&q->query, "exclude");
	int rc = 0;

	*s = (struct selection){ .q = q, .kind = k };
	if (!in_list(exclude, "name"))
		s->name = query_get(&q->query, "name");
	resolver_init(&s->resolver, q->rest->c->store, NULL, "*", "");
	s->condition = xcalloc(q->query.n + 1, sizeof(*s->condition));
	for (size_t i = 0; rc == 0 && i < q->query.n; i++) {
		const char *name = q->query.arg[i].name;
		struct condition *c = &s->condition[s->n];

		c->value = q->query.arg[i].value;
		if (is_reserved(name) || is_idle(k, name, c->value))
			continue;
		s->n++;
		c->turned = in_list(exclude, name);
		rc = want(s, c, name, e);
	}
	if (rc == 0)
		rc = exclude_reads(s, exclude, e);
	if (rc < 0)
		selection_fini(s);
	return rc;
}

void selection_fini(struct selection *s)
{
	for (size_t i = 0; i < s->n; i++)
		condition_fini(&s->condition[i]);
	free(s->condition);
	s->condition = NULL;
	s->n = 0;
}

bool selection_has(struct selection *s, const struct object *o)
{
	if ((s->name && strcmp(o->name, s->name) != 0) || !auth_sees(s->q, o))
		return false;
	for (size_t i = 0; i < s->n; i++)
		if (s->condition[i].fits(s, &s->condition[i], o) == s->condition[i].turned)
			return false;
	/* With `*` each object's tenant is asked for its permission, one by one. */
	return strcmp(s->q->tenant_id, "*") != 0 ||
	       auth_may_object(s->q, o, ACCESS_READ, NULL) == 0;
}
