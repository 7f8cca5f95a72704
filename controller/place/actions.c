#include "controller/place/actions.h"

#include <errno.h>

#include "controller/change.h"
#include "controller/link/fleet.h"
#include "controller/place/balance.h"
#include "controller/place/place.h"
#include "controller/resolve.h"
#include "controller/rest/subresource.h"

/* The engine that FIELD of the body names, as clients write references; "" when it names none. */
static int engine_of(struct fleet *f, const struct subresource_call *call, const char *field,
		     char *uuid, size_t size, struct err *e)
{
	const char *text = json_str(call->body, field, NULL);
	struct resolver r;
	int rc;

	uuid[0] = '\0';
	if (!text)
		return json_object_get(call->body, field)
			       ? err_set(e, -EINVAL, field, "A reference is a string.")
			       : 0;
	resolver_init(&r, f->store, NULL, "*", call->object->cloud);
	rc = r.model.resolve(&r.model, "serviceengine", text, uuid, size, e);
	if (rc < 0)
		err_within(e, field);
	return rc;
}

static json_t *move(struct fleet *f, const struct subresource_call *call, const char *to_field,
		    struct err *e)
{
	const char *vip = json_str(call->body, "vip_id", NULL), *vs = call->object->uuid;
	char from[UUID_MAX], to[UUID_MAX];
	struct placed at;

	if (engine_of(f, call, "from_se_ref", from, sizeof(from), e) < 0 ||
	    engine_of(f, call, to_field, to, sizeof(to), e) < 0)
		return NULL;
	if (json_bool(call->body, "to_new_se", false)) {
		err_set(e, -EINVAL, "to_new_se", "The controller does not make service engines here.");
		return NULL;
	}
	if (*from && placement_of(f->placement, vs, vip ? vip : "", &at) && at.owner &&
	    strcmp(at.owner->uuid, from) != 0) {
		err_set(e, -EINVAL, "from_se_ref", "It is carried by service engine %s.",
			at.owner->name);
		return NULL;
	}
	if (placement_move(f->placement, vs, vip, *to ? to : NULL, e) < 0)
		return NULL;
	fleet_settle(f); /* tells the engines */
	return json_pack("{s:s}", "status", "ok");
}

static json_t *migrate(void *arg, const struct subresource_call *call, struct err *e)
{
	return move(arg, call, "to_se_ref", e);
}

static json_t *switchover(void *arg, const struct subresource_call *call, struct err *e)
{
	return move(arg, call, "se_uuid", e);
}

/* Of an engine: all that it carries, to wherever else it can be. */
static json_t *empty_engine(void *arg, const struct subresource_call *call, struct err *e)
{
	struct fleet *f = arg;
	size_t moved;

	if (placement_leave(f->placement, call->object->uuid, &moved, e) < 0)
		return NULL;
	fleet_settle(f); /* tells the engines */
	return json_pack("{s:s, s:I}", "status", "ok", "vips_moved", (json_int_t)moved);
}

static json_t *retry(void *arg, const struct subresource_call *call, struct err *e)
{
	struct fleet *f = arg;

	(void)e;
	placement_service_said(f->placement, call->object->uuid);
	fleet_settle(f);
	return json_pack("{s:s}", "status", "ok");
}

static json_t *redistribute(void *arg, const struct subresource_call *call, struct err *e)
{
	struct fleet *f = arg;
	size_t moved = balance_group(f, call->object->uuid);

	(void)e;
	fleet_settle(f); /* tells the engines */
	return json_pack("{s:s, s:I}", "status", "ok", "vips_moved", (json_int_t)moved);
}

#define VIP { "vip_id", "string", NULL, "Which VIP, when there are several." }
#define FROM { "from_se_ref", "ref", "serviceengine", "The engine that carries it now." }
#define TO { "to_se_ref", "ref", "serviceengine", "The engine that is to carry it; any other when not said." }
#define NEW { "to_new_se", "bool", NULL, "On an engine that does not exist yet." }

static const struct parameter migrate_parameters[] = { FROM, TO, NEW, VIP, { 0 } };
static const struct parameter switchover_parameters[] = {
	{ "se_uuid", "ref", "serviceengine", "The engine that is to carry it; any other when not said." }, VIP, { 0 }
};
static const struct parameter scaleout_parameters[] = { TO, NEW, VIP, { 0 } };
static const struct parameter scalein_parameters[] = { FROM, VIP, { 0 } };

static struct subresource actions[] = {
	{ .kind = "virtualservice", .path = "migrate", .post = migrate, .parameters = migrate_parameters },
	{ .kind = "virtualservice", .path = "switchover", .post = switchover, .parameters = switchover_parameters },
	{ .kind = "virtualservice", .path = "retryplacement", .post = retry },
	{ .kind = "serviceengine", .path = "switchover", .post = empty_engine },
	{ .kind = "virtualservice", .path = "resync", .post = retry },
	{ .kind = "serviceenginegroup", .path = "redistribute", .post = redistribute },
};

/* ---- what nobody does here --------------------------------------------------- */

#define ONE_OWNER \
	"A VIP is carried by one service engine at a time. Give the VsVip another VIP: it goes to an engine of its own."
#define NO_SERVERS "The controller makes no servers: add them to the pool, or take them out of it."

static struct refused {
	const char *sentence;
	struct subresource action;
} refused[] = {
	{ ONE_OWNER, { .kind = "virtualservice", .path = "scaleout", .parameters = scaleout_parameters } },
	{ ONE_OWNER, { .kind = "virtualservice", .path = "scalein", .parameters = scalein_parameters } },
	{ "The keys of session tickets are each engine's own, and change by themselves.",
	  { .kind = "virtualservice", .path = "rotatekeys" } },
	{ NO_SERVERS, { .kind = "pool", .path = "scaleout" } },
	{ NO_SERVERS, { .kind = "pool", .path = "scalein" } },
	{ "The machine of an engine is not the controller's: restart the service spanwire-engine on it.",
	  { .kind = "serviceengine", .path = "reboot" } },
};

static json_t *refuse(void *arg, const struct subresource_call *call, struct err *e)
{
	const struct refused *r = arg;

	(void)call;
	err_set(e, -EINVAL, NULL, "%s", r->sentence);
	return NULL;
}

void actions_open(struct fleet *f)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		refused[i].action.post = refuse;
		refused[i].action.arg = &refused[i];
		subresource_add(f->controller->rest, &refused[i].action);
	}
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		actions[i].arg = f;
		subresource_add(f->controller->rest, &actions[i]);
	}
}
