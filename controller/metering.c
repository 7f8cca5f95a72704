#include "controller/metering.h"

#include "base/base.h"
#include "base/machine.h"
#include "controller/controller.h"
#include "controller/metrics/meter.h"
#include "controller/resolve.h"
#include "controller/store/store.h"

#define TURN_MS 1000

struct metering {
	struct controller *c;
	struct timer timer;
	struct store_watch watch;
	unsigned turn;
	struct machine first;
};

static size_t limit_of(struct controller *c)
{
	const struct object *o = store_get(c->store, "controllerproperties", "global");

	return (size_t)(o ? json_int(o->body, "metrics_memory_mb", METER_MEMORY_MB) : METER_MEMORY_MB) << 20;
}

static bool is_there(void *store, enum metric_of of, const char *uuid)
{
	return store_get(store,
			 of == METRIC_POOL	   ? "pool"
			 : of == METRIC_CONTROLLER ? "serviceenginegroup"
						   : "virtualservice",
			 uuid);
}

/* Processors of the engines that are heard. */
struct cores {
	struct meter *meter;
	json_int_t all;
	json_t *groups; /* {uuid: processors} */
};

static int note_group(void *arg, const struct object *o)
{
	struct cores *c = arg;

	json_object_set_new(c->groups, o->uuid, json_integer(0));
	return 0;
}

static int add_cores(void *arg, const struct object *o)
{
	struct cores *c = arg;
	const char *group = ref_target(json_str(o->body, "se_group_ref", ""));
	json_int_t n = meter_hears(c->meter, o->uuid) ? json_int(json_object_get(o->body, "resources"), "num_vcpus", 0) : 0;

	c->all += n;
	if (json_object_get(c->groups, group))
		json_object_set_new(c->groups, group, json_integer(json_int(c->groups, group, 0) + n));
	return 0;
}

static void tell_of_groups(const struct cores *c, uint64_t now_ms)
{
	const char *uuid;
	json_t *n;

	json_object_foreach(c->groups, uuid, n) {
		CLEANUP_JSON json_t *told = json_pack("{s:O}", "cores", n);

		meter_take_own(c->meter, uuid, told, now_ms);
	}
}

static void tell_of_us(struct metering *x)
{
	CLEANUP_JSON json_t *told = NULL;
	struct machine now;
	CLEANUP_JSON json_t *groups = json_object();
	struct cores cores = { .meter = x->c->meter, .groups = groups };
	size_t engines, services;

	machine_read(&now, x->c->data);
	if (!x->turn)
		x->first = now;
	meter_carriers(x->c->meter, &engines, &services);
	store_each(x->c->store, "serviceenginegroup", note_group, &cores);
	store_each(x->c->store, "serviceengine", add_cores, &cores);
	told = json_pack("{s:I, s:I, s:i, s:i, s:I, s:I, s:I}", "cpu_busy_ms",
			 (json_int_t)(now.cpu_busy_ms - MIN(x->first.cpu_busy_ms, now.cpu_busy_ms)), "cpu_idle_ms",
			 (json_int_t)(now.cpu_idle_ms - MIN(x->first.cpu_idle_ms, now.cpu_idle_ms)), "memory_permille",
			 (int)now.memory_permille, "disk_permille", (int)now.disk_permille, "engines", (json_int_t)engines,
			 "services", (json_int_t)services, "cores", cores.all);
	meter_take_own(x->c->meter, NULL, told, wall_us() / 1000);
	tell_of_groups(&cores, wall_us() / 1000);
}

static void turn(struct timer *t)
{
	struct metering *x = CONTAINER_OF(t, struct metering, timer);

	timer_in(x->c->loop, t, TURN_MS, turn);
	meter_turn(x->c->meter, wall_us() / 1000);
	if (x->turn % METER_STEP_S == 0)
		tell_of_us(x);
	if (++x->turn % METER_LONG_STEP_S == 0)
		meter_sweep(x->c->meter, is_there, x->c->store);
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes, size_t n)
{
	struct metering *x = CONTAINER_OF(w, struct metering, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++)
		if (strcmp(changes[i].kind->path, "controllerproperties") == 0)
			meter_limit(x->c->meter, limit_of(x->c));
}

struct metering *metering_open(struct controller *c)
{
	struct metering *x = xcalloc(1, sizeof(*x));

	x->c = c;
	c->meter = meter_new(limit_of(c), wall_us() / 1000);
	x->watch.committed = committed;
	store_watch(c->store, &x->watch);
	timer_in(c->loop, &x->timer, 0, turn);
	return x;
}

void metering_close(struct metering *x)
{
	if (!x)
		return;
	timer_stop(x->c->loop, &x->timer);
	store_unwatch(x->c->store, &x->watch);
	meter_free(x->c->meter);
	x->c->meter = NULL;
	free(x);
}
