#include "controller/rest/subresource.h"

#include <errno.h>

#include "base/base.h"
#include "controller/resolve.h"
#include "controller/rest/handlers.h"

void subresource_add(struct rest *r, struct subresource *s)
{
	s->next = r->subresources;
	r->subresources = s;
}

json_t *subresource_ref(const struct subresource_call *call, const char *kind, const char *uuid,
			const char *name)
{
	bool with_name = call->include_name && name;

	return json_sprintf("%s/api/%s/%s%s%s", call->base_url, kind, uuid, with_name ? "#" : "",
			    with_name ? name : "");
}

static struct subresource *find(struct rest *r, const char *kind, const char *path, size_t len)
{
	for (struct subresource *s = r->subresources; s; s = s->next)
		if (strcmp(s->kind, kind) == 0 && strlen(s->path) == len &&
		    strncmp(s->path, path, len) == 0)
			return s;
	return NULL;
}

static json_t *describe_action(const struct subresource *s)
{
	json_t *list = json_array();

	for (const struct parameter *p = s->parameters; p && p->name; p++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s*, s:s}", "name", p->name, "type",
						      p->type, "ref", p->ref, "help", p->help));
	return json_pack("{s:s, s:o}", "name", s->path, "parameters", list);
}

/* Where ITEM goes, so that a list reads the same whoever registered first. */
static void insert(json_t *list, json_t *item)
{
	const char *name = json_is_string(item) ? json_string_value(item) : json_str(item, "name", "");
	size_t i = 0;

	for (; i < json_array_size(list); i++) {
		const json_t *v = json_array_get(list, i);

		if (strcmp(json_is_string(v) ? json_string_value(v) : json_str(v, "name", ""), name) > 0)
			break;
	}
	json_array_insert_new(list, i, item);
}

void subresource_describe(const struct rest *r, json_t *model)
{
	json_t *k;
	size_t i;

	json_array_foreach(json_object_get(model, "kinds"), i, k) {
		json_t *views = json_array(), *actions = json_array();

		for (const struct subresource *s = r->subresources; s; s = s->next) {
			if (strcmp(s->kind, json_str(k, "kind", "")) != 0)
				continue;
			if (s->get || s->ask)
				insert(views, json_string(s->path));
			if (s->post || s->order)
				insert(actions, describe_action(s));
		}
		json_object_set_new(k, "views", views);
		json_object_set_new(k, "actions", actions);
	}
}

void subresource_answer(struct request *q, json_t *answer, const struct err *e)
{
	if (answer)
		request_json(q, 200, answer);
	else
		request_error(q, e);
	route_done(q);
}

/* Views of other controllers that have nothing to show here. */
static const char *absent_because(const char *kind, const char *path)
{
	static const struct {
		const char *kind, *path, *why;
	} absent[] = {
		{ "virtualservice", "client",
		  "clients are not counted one by one; requests are at /api/analytics/logs" },
		{ "virtualservice", "clientsummary",
		  "clients are not counted one by one; requests are at /api/analytics/logs" },
		{ "virtualservice", "keyval",
		  "no script keeps tables; how many clients stayed with a server is in runtime/detail" },
		{ "virtualservice", "userdefineddatascriptcounters", "there are no scripts" },
		{ "virtualservice", "httppolicysetstats", "HTTP policies have no effect yet" },
		{ "virtualservice", "dnstable", "there is no DNS service" },
		{ "pool", "persistence",
		  "each engine keeps its own table; how many clients stayed is in virtualservice/UUID/runtime/detail" },
		{ "pool", "httpcache", "nothing is cached yet" },
		{ "serviceengine", "bgp", "no routes are announced" },
		{ "serviceengine", "bfd", "no routes are announced" },
		{ "serviceengine", "lldp",
		  "an engine does not listen for neighbours: ask its machine" },
		{ "serviceengine", "arpstat",
		  "the kernel keeps the neighbours: arptable and ndtable" },
		{ "serviceengine", "mbufstats", "packets are the kernel's; memory is at meminfo" },
		{ "serviceengine", "dpmetrics",
		  "packets are the kernel's; what is counted is at virtualservice/UUID/runtime/detail" },
		{ "serviceengine", "vshash",
		  "a VIP is on one engine at a time: virtualservice/UUID/placement" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++) {
		size_t n = strlen(absent[i].path);

		if (strcmp(kind, absent[i].kind) == 0 && strncmp(path, absent[i].path, n) == 0 &&
		    (path[n] == '\0' || path[n] == '/'))
			return absent[i].why;
	}
	return NULL;
}

/* Actions with routes of their own. */
static bool is_routed_action(const char *kind, const char *path)
{
	return (strcmp(kind, "serviceenginegroup") == 0 && strcmp(path, "token") == 0) ||
	       (strcmp(kind, "serviceengine") == 0 && strcmp(path, "forcedelete") == 0);
}

/* Ansible's avi_api_session looks what is there before it posts, and gives up when it is not told: nothing. */
enum result action_get(struct request *q)
{
	const struct object *o = q->uuid ? store_get(q->rest->c->store, q->kind, q->uuid) : NULL;
	struct err e = { 0 };

	q->asked = true;
	if (q->uuid && (!o || !auth_sees(q, o)))
		request_refuse(q, 404, "%s object not found!", kind_spelling(q->kind));
	else if (o && auth_may_object(q, o, ACCESS_READ, &e) < 0)
		request_error(q, &e);
	else
		request_json(q, 200, json_pack("{s:i, s:[]}", "count", 0, "results"));
	return RESULT_NOW;
}

static enum result serve(struct request *q, bool post)
{
	const struct kind_desc *k = kind_find(q->kind);
	const struct object *o = k ? store_get(q->rest->c->store, q->kind, q->uuid) : NULL;
	struct subresource *s = find(q->rest, q->kind, q->rest_path, strlen(q->rest_path));
	struct subresource_call call = {
		.object = o, .base_url = q->base_url, .query = &q->query, .body = q->json
	};
	json_t *(*f)(void *arg, const struct subresource_call *call, struct err *e);
	struct err e = { 0 };
	json_t *out;

	q->asked = true;
	if (!o || !auth_sees(q, o)) {
		request_refuse(q, 404, "%s object not found!", kind_spelling(q->kind));
		return RESULT_NOW;
	}
	if (auth_may_object(q, o, post ? ACCESS_ACT : ACCESS_READ, &e) < 0) {
		request_error(q, &e);
		return RESULT_NOW;
	}
	if (!s && !post && is_routed_action(q->kind, q->rest_path))
		return action_get(q);
	if (!s) {
		const char *why = absent_because(q->kind, q->rest_path);

		request_refuse(q, 404, "There is nothing at %s%s%s.", q->path, why ? ": " : "",
			       why ? why : "");
		return RESULT_NOW;
	}
	call.include_name = query_flag(&q->query, "include_name") ||
			    query_flag(&q->query, "include_refs");
	if (post ? s->order : s->ask) {
		(post ? s->order : s->ask)(s->arg, &call, q);
		return RESULT_LATER;
	}
	f = post ? s->post : s->get;
	if (!f && post) {
		refuse_method(q, "GET");
		return RESULT_NOW;
	}
	if (!f) {
		return action_get(q);
	}
	out = f(s->arg, &call, &e);
	if (out)
		request_json(q, 200, out);
	else
		request_error(q, &e);
	return RESULT_NOW;
}

enum result subresource_get(struct request *q)
{
	return serve(q, false);
}

enum result subresource_post(struct request *q)
{
	return serve(q, true);
}

int subresource_check(const struct view *v, const struct request *q, struct err *e)
{
	for (const char *p = v->subresources; *p; p += strcspn(p, ","), p += *p == ',') {
		size_t n = strcspn(p, ",");
		const struct subresource *s = q->rest->subresources;

		while (s && (strlen(s->path) != n || strncmp(s->path, p, n) != 0))
			s = s->next;
		if (!s && n)
			return err_set(e, -EINVAL, "join_subresources",
				       "Nothing has a sub-resource '%.*s'.", (int)MIN(n, 60), p);
	}
	return 0;
}

json_t *subresource_show(const struct view *v, struct request *q, const struct object *o,
			 const char *path)
{
	struct subresource *s = find(q->rest, o->kind->path, path, strlen(path));
	struct subresource_call call = { .object = o,
					 .base_url = q->base_url,
					 .query = &q->query,
					 .include_name = v->write.include_name };

	return s && s->get ? s->get(s->arg, &call, NULL) : NULL;
}

void subresource_join(const struct view *v, struct request *q, const struct object *o, json_t *out)
{
	for (const char *p = v->subresources; *p; p += strcspn(p, ","), p += *p == ',') {
		CLEANUP_FREE char *path = xstrndup(p, strcspn(p, ","));
		json_t *sub = subresource_show(v, q, o, path);

		if (sub)
			json_object_set_new(out, path, sub);
	}
}
