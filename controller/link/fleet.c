#include "controller/link/fleet.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "controller/audit.h"
#include "controller/ca.h"
#include "controller/link/ask.h"
#include "controller/link/interfaces.h"
#include "controller/link/records.h"
#include "controller/link/spare.h"
#include "controller/place/place.h"
#include "controller/resolve.h"
#include "net/tls.h"

/* ---- settling -------------------------------------------------------- */

static void settle(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, settle);

	/* No engine runs what the controller might not know any more when the power comes back. */
	if (store_sync(f->store, NULL) < 0) {
		fleet_settle_later(f);
		return;
	}
	placement_run(f->placement);
	spares_follow(f);
	LIST_FOREACH(l, &f->engines)
		session_flush(LIST_ENTRY(l, struct engine, in_fleet));
}

void fleet_settle(struct fleet *f)
{
	if (!f->settle.active)
		timer_in(f->loop, &f->settle, 0, settle);
}

static void settle_again(struct timer *t)
{
	fleet_settle(CONTAINER_OF(t, struct fleet, again));
}

void fleet_settle_later(struct fleet *f)
{
	timer_in(f->loop, &f->again, FLEET_DEAD_MS, settle_again);
}

/* ---- events ---------------------------------------------------------- */

void engine_event(struct engine *e, const char *id, const char *fmt, ...)
{
	struct fleet *f = e->fleet;
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	text_clean(text);
	log_info("%s engine=%s text=\"%s\"", id, e->name, text);
	store_event(f->store,
		    audit_event(id, "SEMGR", "serviceengine", e->uuid, e->name, TENANT_ADMIN, NULL,
				"%s", text),
		    NULL);
}

/* ---- life ------------------------------------------------------------ */

static void grace_over(struct timer *t);

static void set_life(struct engine *e, enum place_life life)
{
	e->life = life;
	e->beats = e->fleet->beats;
	e->since_us = wall_us();
	placement_engine_changed(e->fleet->placement, e);
	fleet_settle(e->fleet);
}

void engine_alive(struct engine *e)
{
	timer_stop(e->fleet->loop, &e->death);
	if (e->life == PLACE_ALIVE)
		return;
	engine_event(e, "SE_UP", "Service engine %s is up.", e->name);
	set_life(e, PLACE_ALIVE);
}

void engine_dead(struct engine *e, const char *why)
{
	timer_stop(e->fleet->loop, &e->death);
	if (e->life == PLACE_DEAD)
		return;
	engine_event(e, "SE_DOWN", "Service engine %s is down: %s.", e->name, why);
	json_object_clear(e->services);
	json_object_clear(e->health);
	set_life(e, PLACE_DEAD);
}

/*
 * A controller that was stopped for a while finds that its engines have hung up, and they come back
 * one by one. Whoever comes first must not be given what the others are serving. Who is missed is counted by beats:
 * a machine that stands still again and again takes longer for a death, and not for ever.
 */
static void heart(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, heart);
	uint64_t now = loop_now(f->loop);

	if (now - f->beat_ns > FLEET_DEAD_MS * NS_PER_MS) {
		log_warn("stood_still ms=%llu", (unsigned long long)((now - f->beat_ns) / NS_PER_MS));
		f->beats = 0;
	} else if (f->beats < FLEET_GRACE_BEATS) {
		f->beats++;
	}
	LIST_FOREACH(l, &f->engines) {
		struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		if (e->life == PLACE_UNSEEN && ++e->beats > FLEET_GRACE_BEATS)
			engine_dead(e, "it has not connected since the controller started or stood still");
	}
	f->beat_ns = now;
	timer_in(f->loop, &f->heart, FLEET_PING_MS, heart);
}

void engine_lost(struct engine *e)
{
	struct fleet *f = e->fleet;

	if (f->beats == FLEET_GRACE_BEATS)
		engine_dead(e, "its connection was lost");
	else if (e->life == PLACE_ALIVE)
		set_life(e, PLACE_UNSEEN);
}

static void grace_over(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, grace);

	f->in_grace = false;
}

void fleet_new_epoch(struct fleet *f, const char *why)
{
	struct err e = { 0 };

	if (store_new_epoch(f->store, &e) < 0)
		log_error("new_epoch_failed error=\"%s\"", err_line(&e));
	log_warn("new_epoch epoch=%s reason=\"%s\"", store_epoch(f->store), why);
	LIST_FOREACH(l, &f->engines) {
		struct engine *x = LIST_ENTRY(l, struct engine, in_fleet);

		if (x->control)
			session_end(x->control, "the controller's store begins a new epoch");
	}
}

/* ---- engines --------------------------------------------------------- */


struct engine *fleet_engine(struct fleet *f, const char *uuid)
{
	for (struct table_link *l = table_first(&f->by_uuid, table_hash(TABLE_SEED, uuid)); l;
	     l = table_next(l))
		if (strcmp(CONTAINER_OF(l, struct engine, link)->uuid, uuid) == 0)
			return CONTAINER_OF(l, struct engine, link);
	return NULL;
}

static enum place_use use_of(const struct object *o)
{
	static const char *const words[] = { "SE_STATE_ENABLED", "SE_STATE_DISABLED_FOR_PLACEMENT",
					     "SE_STATE_DISABLED", "SE_STATE_DISABLED_FORCE" };
	const char *state = json_str(o->body, "enable_state", words[0]);
	size_t i = 0;

	while (i < ARRAY_SIZE(words) - 1 && strcmp(words[i], state) != 0)
		i++;
	return (enum place_use)i;
}

static void engine_free(struct engine *e)
{
	struct fleet *f = e->fleet;

	if (e->control)
		session_end(e->control, "the service engine was deleted from the controller");
	if (e->bulk)
		session_end(e->bulk, "the service engine was deleted from the controller");
	placement_forget(f->placement, e);
	session_forget(e);
	timer_stop(f->loop, &e->death);
	graph_release(f->graph, &e->holder, "serviceengine", e->uuid);
	holder_fini(f->graph, &e->holder);
	list_remove(&e->in_fleet);
	table_take(&f->by_uuid, &e->link);
	arena_fini(&e->arena);
	books_fini(&e->books);
	json_decref(e->services);
	json_decref(e->throttled);
	json_decref(e->lacking);
	json_decref(e->health);
	json_decref(e->copying);
	json_decref(e->gateways);
	json_decref(e->resources);
	free(e->capture);
	free(e->uuid);
	free(e->name);
	free(e->group);
	free(e->cloud);
	free(e);
}

static void reset(char **text, const char *to)
{
	free(*text);
	*text = xstrdup(to);
}

/* Its gateways are watched before anything is placed: else a service would come and find them silent. */
static void hold_global(struct fleet *f, struct engine *e, const struct object *o)
{
	const struct object *global = store_find(f->store, "vrfcontext", NULL, o->cloud, "global");

	if (global)
		graph_hold(f->graph, &e->holder, "vrfcontext", global->uuid);
}

static void engine_changed(struct fleet *f, const char *uuid)
{
	const struct object *o = store_get(f->store, "serviceengine", uuid);
	struct engine *e = fleet_engine(f, uuid);
	const char *group;

	if (!o) {
		if (e)
			engine_free(e);
		return;
	}
	group = ref_target(json_str(o->body, "se_group_ref", NULL));
	if (!e) {
		e = xcalloc(1, sizeof(*e));
		e->fleet = f;
		e->uuid = xstrdup(uuid);
		e->life = f->in_grace ? PLACE_UNSEEN : PLACE_DEAD;
		e->since_us = wall_us();
		e->services = json_object();
		e->throttled = json_object();
		e->lacking = json_object();
		e->health = json_object();
		e->copying = json_object();
		e->gateways = json_array();
		e->group = xstrdup(group);
		list_init(&e->commits);
		list_init(&e->in_fleet);
		books_init(&e->books);
		holder_init(&e->holder);
		list_insert(&f->engines, &e->in_fleet);
		table_put(&f->by_uuid, &e->link, table_hash(TABLE_SEED, uuid));
		graph_hold(f->graph, &e->holder, "serviceengine", uuid);
		hold_global(f, e, o);
	} else if (use_of(o) != e->use || strcmp(group, e->group) != 0) {
		placement_engine_changed(f->placement, e);
	}
	e->use = use_of(o);
	reset(&e->name, o->name);
	reset(&e->group, group);
	reset(&e->cloud, o->cloud);
	if (interfaces_follow(e))
		placement_engine_changed(f->placement, e);
}

static int engine_seen(void *arg, const struct object *o)
{
	engine_changed(arg, o->uuid);
	return 0;
}

/* ---- the store ------------------------------------------------------- */

static const json_t *source_object(struct graph_source *src, const char *kind, const char *uuid,
				   const char **name, uint64_t *revision)
{
	struct fleet *f = CONTAINER_OF(src, struct fleet, source);
	const struct object *o;

	*name = "";
	*revision = 0;
	if (strcmp(kind, "assignment") == 0)
		return placement_assignment(f->placement, uuid, revision);
	o = store_get(f->store, kind, uuid);
	if (!o)
		return NULL;
	*name = o->name;
	*revision = o->revision;
	return o->body;
}

/* Placement looks at everything again. */
static void network_changed(struct fleet *f)
{
	LIST_FOREACH(l, &f->engines)
		interfaces_follow(LIST_ENTRY(l, struct engine, in_fleet));
}

/* An engine holds the capture of its own packets while that runs. */
static void capture_changed(struct fleet *f, const char *uuid)
{
	const struct object *o = store_get(f->store, "capture", uuid);
	struct engine *e = o ? fleet_engine(f, ref_target(json_str(o->body, "serviceengine_ref", ""))) : NULL;
	bool runs = o && json_bool(o->body, "running", false), held = e && e->capture && strcmp(e->capture, uuid) == 0;

	if (!e || runs == held || (runs && e->capture))
		return;
	if (runs)
		graph_hold(f->graph, &e->holder, "capture", uuid);
	else
		graph_release(f->graph, &e->holder, "capture", uuid);
	free(e->capture);
	e->capture = runs ? xstrdup(uuid) : NULL;
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes,
		      size_t n)
{
	struct fleet *f = CONTAINER_OF(w, struct fleet, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++) {
		const char *kind = changes[i].kind->path;

		if (strcmp(kind, "serviceengine") == 0)
			engine_changed(f, changes[i].uuid);
		else if (strcmp(kind, "network") == 0 || strcmp(kind, "serviceenginegroup") == 0)
			network_changed(f);
		else if (strcmp(kind, "capture") == 0)
			capture_changed(f, changes[i].uuid);
		placement_changed(f->placement, kind, changes[i].uuid);
		graph_changed(f->graph, kind, changes[i].uuid, NULL, NULL);
	}
	fleet_settle(f);
}

/* ---- life of the fleet ----------------------------------------------- */

#define ACCEPT_PAUSE_MS 100

static void accept_ready(struct watch *w, uint32_t events);

static void accept_again(struct timer *t)
{
	struct fleet *f = CONTAINER_OF(t, struct fleet, accept_again);

	must(watch_start(f->loop, &f->listener, f->fd, EPOLLIN, accept_ready) == 0);
}

static void accept_ready(struct watch *w, uint32_t events)
{
	struct fleet *f = CONTAINER_OF(w, struct fleet, listener);

	(void)events;
	for (int i = 0; i < 64; i++) { /* the others want their turn as well */
		int fd = accept4(f->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EAGAIN || errno == ECONNABORTED || errno == EINTR)
				return;
			/*
			 * Out of descriptors: the listener stays readable, and trying at once
			 * would be all that we do.
			 */
			log_error("accept_failed error=\"%s\"", strerror(errno));
			watch_stop(f->loop, w);
			timer_in(f->loop, &f->accept_again, ACCEPT_PAUSE_MS, accept_again);
			return;
		}
		session_accept(f, fd);
	}
}

int fleet_open(struct controller *c, int fd, struct fleet **out, struct err *e)
{
	struct fleet *f = xcalloc(1, sizeof(*f));
	CLEANUP_FREE char *chain = xasprintf("%s%s", ca_server_pem(c->ca), ca_pem(c->ca));
	const struct tls_config tls = { .server = true,
					.certificate = chain,
					.key = ca_server_key_pem(c->ca),
					.ca = ca_pem(c->ca) };
	int rc;

	f->controller = c;
	f->store = c->store;
	f->loop = c->loop;
	f->fd = fd;
	f->in_grace = true;
	f->beats = FLEET_GRACE_BEATS;
	f->spares = json_object();
	list_init(&f->engines);
	list_init(&f->sessions);
	list_init(&f->asks);
	rc = tls_new(&tls, &f->tls, e);
	if (rc == 0) {
		rc = watch_start(f->loop, &f->listener, fd, EPOLLIN, accept_ready);
		if (rc < 0)
			err_set(e, rc, NULL, "watching the engine port: %s", strerror(-rc));
	}
	if (rc < 0) {
		tls_free(f->tls);
		close(fd);
		json_decref(f->spares);
		free(f);
		return rc;
	}
	f->source.object = source_object;
	f->graph = graph_new(&f->source);
	/*
	 * The graph may ask for assignments, placement may say that they changed: both must stand
	 * before either speaks.
	 */
	f->placement = placement_new(f);
	store_each(f->store, "serviceengine", engine_seen, f);
	f->watch.committed = committed;
	store_watch(f->store, &f->watch);
	/* The loop's clock is as old as the loop: reading the store and making keys is neither grace nor standing still. */
	f->beat_ns = mono_ns();
	timer_at(f->loop, &f->grace, f->beat_ns + FLEET_GRACE_MS * NS_PER_MS, grace_over);
	timer_in(f->loop, &f->heart, FLEET_PING_MS, heart);
	fleet_settle(f);
	views_open(f);
	ground_open(f);
	tallies_open(f);
	tools_open(f);
	trial_open(f);
	why_open(f);
	records_open(f);
	*out = f;
	return 0;
}

void fleet_quiesce(struct fleet *f)
{
	asks_stop(f);
}

void fleet_close(struct fleet *f)
{
	if (!f)
		return;
	store_unwatch(f->store, &f->watch);
	watch_stop(f->loop, &f->listener);
	close(f->fd);
	sessions_end(f, "the controller stops");
	while (!list_empty(&f->engines))
		engine_free(LIST_ENTRY(f->engines.next, struct engine, in_fleet));
	placement_free(f->placement);
	graph_free(f->graph);
	timer_stop(f->loop, &f->settle);
	timer_stop(f->loop, &f->again);
	timer_stop(f->loop, &f->grace);
	timer_stop(f->loop, &f->accept_again);
	timer_stop(f->loop, &f->heart);
	tls_free(f->tls);
	table_fini(&f->by_uuid);
	json_decref(f->spares);
	free(f);
}
