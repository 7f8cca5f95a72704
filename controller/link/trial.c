/*
 * POST virtualservice/UUID/clone-test: each engine that carries the service sends each of its clone servers one
 * labelled conversation (engine/clone/trial.h), and what became of it is the answer, when all have said.
 *
 *	{"virtualservice", "profile", "looks_for": "uid=0(root) ...", "frames", "sent", "complete": bool,
 *	 "engines": [{"se_uuid", "se_name", "clone_servers": [{"ip" or "mac", "ready", "text", "filter", ...}]} or with "error"]}
 */
#include <errno.h>

#include "base/base.h"
#include "base/buf.h"
#include "base/ip.h"
#include "controller/controller.h"
#include "controller/audit.h"
#include "controller/link/ask.h"
#include "controller/link/fleet.h"
#include "controller/resolve.h"
#include "controller/rest/request.h"
#include "controller/rest/subresource.h"

enum { LIMIT_MS = 5000 };

struct trial {
	struct request *request;
	json_t *answer, *engines;
	json_t *profile;         /* stored form, as it was asked */
	size_t waiting;
	json_int_t frames, sent;
};

struct asked {
	struct trial *trial;
	json_t *block;           /* of this engine, in the answer */
};

static void trial_end(struct trial *t)
{
	json_object_set_new(t->answer, "frames", json_integer(t->frames));
	json_object_set_new(t->answer, "sent", json_integer(t->sent));
	json_object_set_new(t->answer, "complete", json_boolean(t->frames > 0 && t->sent == t->frames));
	json_object_set_new(t->answer, "engines", t->engines);
	json_decref(t->profile);
	subresource_answer(t->request, t->answer, NULL);
	free(t);
}

/* The encapsulation of the clone server that a line of an engine is about; NULL: none. */
static const json_t *encapsulation_of(const json_t *profile, const json_t *line)
{
	const char *ip = json_str(line, "ip", NULL);
	struct in6_addr a, b;
	json_t *server;
	size_t i;

	json_array_foreach(json_object_get(profile, "clone_servers"), i, server) {
		const char *addr = json_str(json_object_get(server, "ip_address"), "addr", NULL);

		if (ip && addr && ip_parse(ip, &a) == 0 && ip_parse(addr, &b) == 0 && ip_equal(&a, &b))
			return json_object_get(server, "encapsulation");
	}
	return NULL;
}

/* For tcpdump, on the sensor. */
static json_t *filter_of(const json_t *profile, const json_t *line)
{
	const json_t *encap = encapsulation_of(profile, line);
	const char *type = json_str(encap, "type", "CLONE_ENCAP_NONE");
	json_int_t port = json_int(encap, "port", 0);
	bool v6 = strchr(json_str(line, "ip", ""), ':');

	if (strcmp(type, "CLONE_ENCAP_VXLAN") == 0)
		return json_sprintf("udp dst port %lld", (long long)(port ? port : 4789));
	if (strcmp(type, "CLONE_ENCAP_GENEVE") == 0)
		return json_sprintf("udp dst port %lld", (long long)(port ? port : 6081));
	if (strcmp(type, "CLONE_ENCAP_NONE") != 0)
		return json_string(v6 ? "ip6 proto 47" : "ip proto 47");
	return json_sprintf("host %s and tcp port %lld", json_str(line, "client", ""),
			    (long long)json_int(line, "client_port", 0));
}

/* What kept frames back, or that nothing did. */
static json_t *text_of_line(const json_t *line)
{
	json_int_t frames = json_int(line, "frames", 0), sent = json_int(line, "sent", 0);
	const char *state = json_str(line, "state", ""), *key;
	struct buf b = BUF_INIT;
	json_t *v, *out;

	if (strncmp(state, "ready", 5) != 0)
		buf_printf(&b, "not ready: %s; ", state);
	else if (strncmp(state, "ready: ", 7) == 0)
		buf_printf(&b, "%s; ", state + 7);
	buf_printf(&b, "%lld of %lld frames sent", (long long)sent, (long long)frames);
	json_object_foreach(json_object_get(line, "dropped"), key, v)
		buf_printf(&b, ", %lld %s", (long long)json_integer_value(v), key);
	out = json_string(buf_cstr(&b));
	buf_fini(&b);
	return out ? out : json_string("");
}

static void take_line(struct trial *t, json_t *list, const json_t *line)
{
	json_t *row;

	if (!json_is_object(line) || json_array_size(list) >= 64)
		return;
	t->frames += json_int(line, "frames", 0);
	t->sent += json_int(line, "sent", 0);
	row = json_copy((json_t *)line);
	if (json_str(line, "ip", NULL))
		json_object_del(row, "mac");
	else
		json_object_del(row, "ip");
	json_object_set_new(row, "destination_mac", json_string(json_str(line, "mac", "")));
	json_object_set_new(row, "ready", json_boolean(strncmp(json_str(line, "state", ""), "ready", 5) == 0));
	json_object_set_new(row, "encapsulation",
			    json_string(json_str(encapsulation_of(t->profile, line), "type", "CLONE_ENCAP_NONE")));
	json_object_set_new(row, "text", text_of_line(line));
	json_object_set_new(row, "filter", filter_of(t->profile, line));
	json_array_append_new(list, row);
}

static void heard(void *arg, const json_t *piece, bool last, const char *trouble)
{
	struct asked *a = arg;
	struct trial *t = a->trial;
	json_t *lines = json_object_get(json_object_get(piece, "data"), "clone_servers"), *line;
	size_t i;

	if (!last)
		return;
	if (json_is_array(lines)) {
		json_t *list = json_array();

		json_array_foreach(lines, i, line)
			take_line(t, list, line);
		json_object_set_new(a->block, "clone_servers", list);
	} else {
		json_object_set_new(a->block, "error", json_string(trouble ? trouble : "It said nothing."));
	}
	json_decref(a->block);
	free(a);
	if (--t->waiting == 0)
		trial_end(t);
}

static void ask_one(struct trial *t, const struct subresource_call *call, struct engine *e)
{
	struct asked *a = xcalloc(1, sizeof(*a));

	a->trial = t;
	a->block = json_pack("{s:s, s:s}", "se_uuid", e->uuid, "se_name", e->name);
	json_array_append(t->engines, a->block);
	t->waiting++;
	ask_engine(e,
		   json_pack("{s:s, s:s, s:o}", "what", "clone_test", "virtualservice", call->object->uuid, "label",
			     json_sprintf("%.60s on %.60s", call->object->name, e->name)),
		   LIMIT_MS, heard, a);
}

/* An IDS is going to alarm somebody, who wants to know that it was a test. */
static void tell(struct fleet *f, const struct object *vs, const struct request *request)
{
	const char *user = request->user ? request->user->name : "somebody";

	store_event(f->store,
		    audit_event("CONFIG_TRAFFIC_CLONE_TEST", "CONFIG", "virtualservice", vs->uuid, vs->name, vs->tenant,
				json_pack("{s:{s:s, s:s}}", "traffic_clone_details", "user", user, "client_ip", request->client),
				"The way of copies of virtual service %.128s was tested by %.128s.", vs->name, user),
		    NULL);
}

static void test(void *arg, const struct subresource_call *call, struct request *request)
{
	struct fleet *f = arg;
	const char *ref = json_str(call->object->body, "traffic_clone_profile_ref", NULL);
	const struct object *profile = store_get(f->store, "trafficcloneprofile", ref_target(ref));
	struct trial *t;
	struct err err = { 0 };

	if (!profile) {
		err_set(&err, -EINVAL, "traffic_clone_profile_ref", "Virtual service '%s' has no clone profile: nothing is copied.",
			call->object->name);
		subresource_answer(request, NULL, &err);
		return;
	}
	t = xcalloc(1, sizeof(*t));
	t->request = request;
	t->profile = json_incref((json_t *)profile->body);
	t->engines = json_array();
	t->answer = json_pack("{s:s, s:s, s:s}", "virtualservice", call->object->name, "profile", profile->name, "looks_for",
			      "uid=0(root) gid=0(root) groups=0(root)");
	t->waiting = 1; /* us, until all are asked */
	LIST_FOREACH(l, &f->engines) {
		struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		if (holder_has(f->graph, &e->holder, "assignment", call->object->uuid))
			ask_one(t, call, e);
	}
	if (json_array_size(t->engines)) {
		tell(f, call->object, request);
		t->waiting--;
		return;
	}
	json_decref(t->answer);
	json_decref(t->engines);
	json_decref(t->profile);
	free(t);
	err_set(&err, -EINVAL, NULL, "No service engine carries virtual service '%s'.", call->object->name);
	subresource_answer(request, NULL, &err);
}

void trial_open(struct fleet *f)
{
	static struct subresource action = { .kind = "virtualservice", .path = "clone-test", .order = test };

	action.arg = f;
	subresource_add(f->controller->rest, &action);
}
