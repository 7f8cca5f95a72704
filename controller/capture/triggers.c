#include "controller/capture/triggers.h"

#include <errno.h>

#include "base/arena.h"
#include "base/base.h"
#include "base/list.h"
#include "base/log.h"
#include "base/table.h"
#include "controller/audit.h"
#include "controller/change.h"
#include "controller/pools.h"
#include "controller/rules.h"
#include "model/structs.h"

#define SECONDS_MAX 60 /* as long as answers may be counted, see packet_triggers.server_errors_seconds */

struct state {
	struct table_link link;
	struct list due;                /* in triggers.due: it fired */
	char *vs;
	uint64_t last_us;               /* when it saved, by the wall clock; 0: not yet */
	uint64_t saved, suppressed;
	char trigger[32], text[320];    /* the last */
	struct {
		uint64_t second, n;
	} seconds[SECONDS_MAX];         /* answers 5xx of each, at its number modulo that */
};

struct triggers {
	struct controller *c;
	struct store_watch watch;
	struct table states;            /* of services that something fired for, or is counted of */
	struct list due;
	struct timer save;
};

static struct state *state_of(const struct triggers *t, const char *vs)
{
	for (struct table_link *l = table_first(&t->states, table_hash(TABLE_SEED, vs)); l; l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct state, link)->vs, vs) == 0)
			return CONTAINER_OF(l, struct state, link);
	return NULL;
}

static struct state *state_make(struct triggers *t, const char *vs)
{
	struct state *s = state_of(t, vs);
	CLEANUP_FREE char *last = s ? NULL : store_value(t->c->store, RULE_TRIGGER_SPACE, vs);

	if (s)
		return s;
	s = xcalloc(1, sizeof(*s));
	s->vs = xstrdup(vs);
	s->last_us = last ? strtoull(last, NULL, 10) : 0;
	list_init(&s->due);
	table_put(&t->states, &s->link, table_hash(TABLE_SEED, vs));
	return s;
}

static void state_drop(struct triggers *t, struct state *s)
{
	list_remove(&s->due);
	table_take(&t->states, &s->link);
	free(s->vs);
	free(s);
}

static const json_t *wants_of(const struct object *vs)
{
	return vs ? json_object_get(vs->body, "packet_triggers") : NULL;
}

/* What a virtual service wants, defaults filled in; NULL: nothing. */
static const struct packet_triggers *load(const struct object *vs, struct arena *a)
{
	const json_t *w = wants_of(vs);

	return w ? model_load(&packet_triggers_message, w, a) : NULL;
}

static int save(struct triggers *t, const struct object *vs, const struct packet_triggers *w, const struct state *s,
		char uuid[static UUID_MAX], struct err *e)
{
	struct change_by by = { .user = "system", .client = "", .tenant = vs->tenant, .internal = true };
	CLEANUP_FREE char *reason = xasprintf("trigger %s: %s", s->trigger, s->text),
			  *now = xasprintf("%llu", (unsigned long long)wall_us());
	struct capture_past past = { .before = (unsigned)w->seconds_before, .after = (unsigned)w->seconds_after, .reason = reason,
				     .trigger = s->trigger, .request_id = "", .plaintext = true };
	struct change change;
	int rc;

	change_begin(&change, t->c->store, &by);
	rc = rule_is_recorded(t->c->store, vs->body) ? rule_capture_past(&change, vs, &past, uuid, e)
						     : err_set(e, -ENOENT, "flight_recorder", "%s", RULE_NOT_RECORDED);
	if (rc == 0)
		rc = txn_set(change.txn, RULE_TRIGGER_SPACE, vs->uuid, now, e);
	if (rc == 0)
		rc = change_commit(&change, e);
	else
		change_abort(&change);
	model_notes_fini(&change.notes);
	return rc;
}

static void tell(struct triggers *t, const struct state *s, const char *capture)
{
	const struct object *vs = store_get(t->c->store, "virtualservice", s->vs);

	if (vs)
		store_event(t->c->store,
			    audit_event("TRAFFIC_CAPTURE_TRIGGERED", "CONFIG", "virtualservice", vs->uuid, vs->name, vs->tenant,
					json_pack("{s:s, s:s}", "trigger", s->trigger, "capture", capture),
					"Packets of virtual service %.128s are saved by its trigger %s: %s.", vs->name, s->trigger, s->text),
			    NULL);
}

static void save_one(struct triggers *t, struct state *s)
{
	const struct object *vs = store_get(t->c->store, "virtualservice", s->vs);
	struct arena a = ARENA_INIT;
	const struct packet_triggers *w = load(vs, &a);
	char uuid[UUID_MAX] = "";
	struct err e = { 0 };

	if (w && save(t, vs, w, s, uuid, &e) == 0) {
		s->last_us = wall_us();
		s->saved++;
		tell(t, s, uuid);
	} else if (w) {
		log_info("trigger_suppressed virtualservice=%s trigger=%s reason=\"%s\"", s->vs, s->trigger, err_line(&e));
		s->suppressed++;
	}
	arena_fini(&a);
}

static void save_due(struct timer *timer)
{
	struct triggers *t = CONTAINER_OF(timer, struct triggers, save);

	while (!list_empty(&t->due)) {
		struct state *s = LIST_ENTRY(t->due.next, struct state, due);

		list_remove(&s->due);
		save_one(t, s);
	}
}

/* Whoever reports what fires is in the middle of something: it is saved a turn later. */
static void fire(struct triggers *t, const struct object *vs, const struct packet_triggers *w, const char *trigger, const char *text)
{
	struct state *s = state_make(t, vs->uuid);
	uint64_t now = wall_us(), least = (uint64_t)w->seconds_between * 1000000;

	/* A clock that was set back holds up nothing. */
	if (!list_empty(&s->due) || (s->last_us && s->last_us <= now && now - s->last_us < least)) {
		s->suppressed++;
		return;
	}
	snprintf(s->trigger, sizeof(s->trigger), "%s", trigger);
	snprintf(s->text, sizeof(s->text), "%s", text);
	list_insert(&t->due, &s->due);
	timer_in(t->c->loop, &t->save, 0, save_due);
}

void triggers_request(struct triggers *t, const char *vs, const char *trigger, const char *text)
{
	const struct object *o = t ? store_get(t->c->store, "virtualservice", vs) : NULL;
	struct arena a = ARENA_INIT;
	const struct packet_triggers *w = load(o, &a);
	bool slow = strcmp(trigger, "response_time") == 0;

	if (w && (slow ? w->response_ms > 0 : w->request_n > 0))
		fire(t, o, w, slow ? "response_time" : "request", text);
	arena_fini(&a);
}

static void count(struct triggers *t, const struct object *vs, uint64_t was, uint64_t errors)
{
	struct state *s = state_make(t, vs->uuid);
	uint64_t now = mono_ns() / NS_PER_S, sum = 0;
	struct arena a = ARENA_INIT;
	const struct packet_triggers *w = load(vs, &a);
	size_t at = now % SECONDS_MAX;

	if (s->seconds[at].second != now) {
		s->seconds[at].second = now;
		s->seconds[at].n = 0;
	}
	s->seconds[at].n += errors >= was ? errors - was : errors;
	/* A second more: engines tell once in one, each at its own time. */
	for (size_t i = 0; i < SECONDS_MAX; i++)
		if (now - s->seconds[i].second <= (uint64_t)w->server_errors_seconds)
			sum += s->seconds[i].n;
	if (w->server_errors && sum >= (uint64_t)w->server_errors) {
		CLEANUP_FREE char *text = xasprintf("%llu answers 5xx within %lld s", (unsigned long long)sum,
						    (long long)w->server_errors_seconds);

		memset(s->seconds, 0, sizeof(s->seconds));
		fire(t, vs, w, "server_errors", text);
	}
	arena_fini(&a);
}

void triggers_stats(struct triggers *t, const json_t *before, const json_t *stats)
{
	const char *uuid;
	json_t *v;

	if (!t || !before)
		return;
	json_object_foreach(json_object_get(stats, "services"), uuid, v) {
		const struct object *vs = store_get(t->c->store, "virtualservice", uuid);

		if (json_object_get(wants_of(vs), "server_errors"))
			count(t, vs, (uint64_t)json_int(json_object_get(json_object_get(before, "services"), uuid), "http_5xx", 0),
			      (uint64_t)json_int(v, "http_5xx", 0));
	}
}

static int user(void *arg, const struct object *vs)
{
	json_t *uuids = arg;

	if (wants_of(vs))
		json_object_set_new(uuids, vs->uuid, json_true());
	return 0;
}

void triggers_pool(struct triggers *t, const char *pool, const char *trigger, const char *text)
{
	CLEANUP_JSON json_t *uuids = json_object();
	const char *uuid;
	json_t *v;

	if (!t)
		return;
	pools_users(t->c->store, pool, user, uuids);
	json_object_foreach(uuids, uuid, v) {
		const struct object *vs = store_get(t->c->store, "virtualservice", uuid);
		struct arena a = ARENA_INIT;
		const struct packet_triggers *w = load(vs, &a);

		if (w && (strcmp(trigger, "pool_down") == 0 ? w->pool_down : w->server_down))
			fire(t, vs, w, trigger, text);
		arena_fini(&a);
	}
}

json_t *triggers_view(const struct triggers *t, const char *vs)
{
	const struct state *s = t ? state_of(t, vs) : NULL;
	const struct object *o = t ? store_get(t->c->store, "virtualservice", vs) : NULL;

	if (!wants_of(o))
		return NULL;
	return json_pack("{s:I, s:I, s:s, s:s*}", "saved", (json_int_t)(s ? s->saved : 0), "suppressed", (json_int_t)(s ? s->suppressed : 0),
			 "last", s ? s->trigger : "", "trouble", rule_is_recorded(t->c->store, o->body) ? NULL : RULE_NOT_RECORDED);
}

static void forget(struct triggers *t, const char *vs)
{
	struct state *s = state_of(t, vs);

	if (s)
		state_drop(t, s);
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes, size_t n)
{
	struct triggers *t = CONTAINER_OF(w, struct triggers, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++)
		if (changes[i].deleted && strcmp(changes[i].kind->path, "virtualservice") == 0)
			forget(t, changes[i].uuid);
}

struct triggers *triggers_open(struct controller *c)
{
	struct triggers *t = xcalloc(1, sizeof(*t));

	t->c = c;
	list_init(&t->due);
	t->watch.committed = committed;
	store_watch(c->store, &t->watch);
	return t;
}

void triggers_close(struct triggers *t)
{
	if (!t)
		return;
	store_unwatch(t->c->store, &t->watch);
	timer_stop(t->c->loop, &t->save);
	for (size_t i = 0; i < t->states.size; i++)
		while (t->states.heads[i])
			state_drop(t, CONTAINER_OF(t->states.heads[i], struct state, link));
	table_fini(&t->states);
	free(t);
}
