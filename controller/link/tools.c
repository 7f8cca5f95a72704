/*
 * The operator's tools: GET serviceengine/UUID/cpu and the like, asked of the engine at once.
 *
 * What an engine answers to is in engine/reach/inspect.h. The answer is an array with one element: a list
 * stands in it under the tool's name, an object is the element.
 */
#include <errno.h>

#include "base/base.h"
#include "controller/controller.h"
#include "controller/link/ask.h"
#include "controller/link/fleet.h"
#include "controller/rest/subresource.h"

enum { LIMIT_MS = 3000 };

/* `of`: what the engine is asked for, when that has another name; `only`: the one member of it that is told. */
struct tool {
	const char *name, *of, *only;
	struct fleet *fleet;
	struct subresource view;
};

struct asking {
	struct request *request;
	char *uuid, *name, *url;
	const struct tool *tool;
};

static void asking_free(struct asking *a)
{
	free(a->uuid);
	free(a->name);
	free(a->url);
	free(a);
}

static void heard(void *arg, const json_t *piece, bool last, const char *trouble)
{
	struct asking *a = arg;
	json_t *data = json_object_get(piece, "data"), *one;
	struct err e = { 0 };

	if (!last)
		return;
	if (data) {
		one = json_pack("{s:s, s:s, s:s}", "se_uuid", a->uuid, "se_name", a->name, "se_ref", a->url);
		/* Who it is, is ours to say. */
		if (json_is_object(data) && a->tool->only)
			json_object_set(one, a->tool->only, json_object_get(data, a->tool->only));
		else if (json_is_object(data))
			json_object_update_missing(one, data);
		else
			json_object_set(one, a->tool->name, data);
		subresource_answer(a->request, json_pack("[o]", one), NULL);
	} else {
		err_set(&e, -EAGAIN, NULL, "Service engine %s does not say: %s", a->name,
			trouble ? trouble : "It said nothing.");
		subresource_answer(a->request, NULL, &e);
	}
	asking_free(a);
}

static void ask(void *arg, const struct subresource_call *call, struct request *request)
{
	struct tool *t = arg;
	struct engine *e = fleet_engine(t->fleet, call->object->uuid);
	struct err err = { 0 };
	struct asking *a;

	if (!e) {
		err_set(&err, -EAGAIN, NULL, "The service engine is not known yet.");
		subresource_answer(request, NULL, &err);
		return;
	}
	a = xcalloc(1, sizeof(*a));
	a->request = request;
	a->uuid = xstrdup(e->uuid);
	a->name = xstrdup(e->name);
	a->url = xasprintf("%s/api/serviceengine/%s%s%s", call->base_url, e->uuid,
			   call->include_name ? "#" : "", call->include_name ? e->name : "");
	a->tool = t;
	ask_engine(e, json_pack("{s:s}", "what", t->of ? t->of : t->name), LIMIT_MS, heard, a);
}

/* clang-format off */
static struct tool tools[] = {
	{ "cpu" }, { "meminfo" }, { "interface" }, { "interfacesummary" }, { "arptable" }, { "ndtable" }, { "route" },
	{ "ipstat" }, { "icmpstat" }, { "vnicdb" }, { "tcp-flows" },
	{ "flowtable", .of = "tcp-flows" }, { "flowtablestat", .of = "tcp-flows", .only = "states" },
};
/* clang-format on */

void tools_open(struct fleet *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(tools); i++) {
		struct tool *t = &tools[i];

		t->fleet = f;
		t->view = (struct subresource){
			.kind = "serviceengine", .path = t->name, .ask = ask, .arg = t
		};
		subresource_add(f->controller->rest, &t->view);
	}
}
