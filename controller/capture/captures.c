#include "controller/capture/captures.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "base/moment.h"
#include "controller/access.h"
#include "controller/audit.h"
#include "controller/capture/film.h"
#include "controller/capture/names.h"
#include "controller/change.h"
#include "controller/resolve.h"
#include "controller/rest/subresource.h"
#include "model/structs.h"

#define TICK_MS      200
#define DRAIN_MS     1500              /* for the last blocks of engines */
#define GONE_TICKS   (3600 * 1000 / TICK_MS)
#define PAST_LIMIT_NS (30 * NS_PER_S)  /* for engines to tell what they have recorded */
#define BUDGET_MIN   (1u << 20)

struct source {
	char *uuid, *name;
	unsigned number;          /* in the film */
	enum { SENDS, LOST, ENDED } state;
	char ended_by[16];
	uint64_t drops, refused;
	uint64_t held_ms;         /* of the past: so far back it had everything */
	int64_t said_ms;          /* ... of what was said inside TLS; -1: it has none */
	int64_t ahead_us;
};

struct running {
	struct list link;
	struct captures *all;
	char *uuid, *tenant;
	char *vs;                 /* the virtual service, or the engine */
	const char *kind;         /* of it */
	struct film *film;        /* NULL: it could not be opened, or is done */
	struct source *sources;
	size_t n_sources;
	uint64_t began_ns, limit_ns, bytes_max; /* limit 0: none */
	bool own_size;            /* that is what was asked for, not the budget's */
	uint64_t now_ending_ns;   /* its object says that it is over; since when */
	bool past;                /* it is what recorders have: over when all have told it */
	bool film_ends, asked;    /* asked: it was tried to write that it is over */
	char why[200];            /* why it is to end; "": it is not */
	void (*awaited)(void *arg, const struct object *o); /* NULL: nobody waits for it */
	void *awaits;
	char trouble[200];
};

struct captures {
	struct controller *c;
	struct list all;
	struct store_watch watch;
	struct timer tick;
	struct subresource runtime;
	char *dir;
	unsigned ticks;
	bool recount;             /* how many are kept may be fewer now */
	bool stops;               /* nobody may wait any more */
};

char *captures_path(const struct controller *c, const char *uuid)
{
	return xasprintf("%s/captures/%s", c->data, uuid);
}

#define OPEN ".open"

char *captures_open_path(const struct controller *c, const char *uuid)
{
	return xasprintf("%s/captures/%s" OPEN, c->data, uuid);
}

static struct running *running_of(struct captures *c, const char *uuid)
{
	LIST_FOREACH(l, &c->all)
		if (strcmp(LIST_ENTRY(l, struct running, link)->uuid, uuid) == 0)
			return LIST_ENTRY(l, struct running, link);
	return NULL;
}

static int64_t property(struct captures *c, const char *name, int64_t dflt)
{
	const struct object *o = store_get(c->c->store, "controllerproperties", "global");

	return o ? json_int(o->body, name, dflt) : dflt;
}

/* ---- it begins ---- */

static bool has_own_size(const json_t *params)
{
	const json_t *size = json_object_get(params, "capture_file_size");

	return json_int(size, "absolute_size", 0) || json_int(size, "percentage_size", 0);
}

/* 2 is the default, which clients write back without meaning it; it and 1 are none. */
static unsigned pieces(const json_t *params)
{
	int64_t n = json_int(params, "file_count", 2);

	return n > 2 && has_own_size(params) ? (unsigned)n : 0;
}

/* What a capture may take: its own limit, and never more than its share of what is free. *OWN: it is the former. */
static uint64_t budget(struct captures *c, const json_t *params, bool twice, bool *own)
{
	const json_t *size = json_object_get(params, "capture_file_size");
	struct statvfs fs;
	uint64_t free_bytes = 0, share, wanted;

	if (statvfs(c->dir, &fs) == 0)
		free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	share = free_bytes / 100 * (uint64_t)property(c, "capture_disk_percent", 25);
	if (pieces(params) || twice)
		share /= 2;
	wanted = MAX((uint64_t)json_int(size, "absolute_size", 0) * 1000000,
		     free_bytes / 100 * (uint64_t)json_int(size, "percentage_size", 0));
	*own = wanted && wanted < share;
	return *own ? wanted : MAX(share, (uint64_t)BUDGET_MIN);
}

static void to_end(struct running *r, const char *why)
{
	if (!*r->why)
		snprintf(r->why, sizeof(r->why), "%s", why);
	timer_in(r->all->c->loop, &r->all->tick, 0, r->all->tick.fire);
}

static void film_full(void *arg, const char *reason)
{
	struct running *r = arg;

	if (strcmp(reason, "size") == 0 && !r->own_size)
		reason = "budget";
	to_end(r, reason);
}

static void film_done(void *arg, const char *trouble);

static char *comment_of(const struct object *o)
{
	const char *filter = json_str(o->body, "filter", ""), *reason = json_str(o->body, "reason", "");

	const char *engine = json_str(o->body, "serviceengine_name", NULL);

	return xasprintf("%s %s, captured by %s from %s on; packets: %s%s%s", engine ? "Service engine" : "Virtual service",
			 engine ? engine : json_str(o->body, "virtualservice_name", ""),
			 json_str(o->body, "user", ""), json_str(o->body, "started", ""), *filter ? filter : "all",
			 *reason ? "; why: " : "", reason);
}

static const char *owner_kind(const json_t *capture)
{
	return *json_str(capture, "serviceengine_ref", "") ? "serviceengine" : "virtualservice";
}

static const char *owner_of(const json_t *capture)
{
	const char *engine = json_str(capture, "serviceengine_ref", "");

	return ref_target(*engine ? engine : json_str(capture, "virtualservice_ref", ""));
}

static void begin(struct captures *c, const struct object *o)
{
	const json_t *params = json_object_get(o->body, "capture_params");
	struct running *r = xcalloc(1, sizeof(*r));
	CLEANUP_FREE char *path = captures_path(c->c, o->uuid), *comment = comment_of(o), *open_path = captures_open_path(c->c, o->uuid);
	struct names names;
	struct err e = { 0 };
	uint64_t seconds = (uint64_t)json_int(params, "duration", 0) * 60 + (uint64_t)json_int(params, "duration_seconds", 0);

	r->all = c;
	r->uuid = xstrdup(o->uuid);
	r->kind = owner_kind(o->body);
	r->vs = xstrdup(owner_of(o->body));
	r->tenant = xstrdup(o->tenant);
	r->began_ns = mono_ns();
	r->past = json_int(o->body, "seconds_before", 0) > 0;
	r->limit_ns = r->past ? PAST_LIMIT_NS + (uint64_t)json_int(o->body, "seconds_after", 0) * NS_PER_S : seconds * NS_PER_S;
	r->bytes_max = budget(c, params, r->past && json_bool(params, "plaintext", false), &r->own_size);
	list_init(&r->link);
	list_insert(&c->all, &r->link);
	names = names_of(c->c->store, r->vs);
	if (film_new(&(struct film_config){ .path = path,
					    .open_path = r->past ? open_path : NULL,
					    .classic = !json_bool(params, "pcap_ng", true),
					    .keys = json_bool(params, "enable_ssl_session_key_capture", false),
					    .comment = comment,
					    .hardware = "Spanwire",
					    .names = names.at,
					    .n_names = names.n,
					    .bytes_max = r->bytes_max,
					    .pieces = pieces(params),
					    .packets_max = (uint64_t)json_int(params, "max_packets", 0),
					    .past = r->past,
					    .home = &c->c->inbox,
					    .full = film_full,
					    .done = film_done,
					    .arg = r },
		     &r->film, &e) < 0)
		to_end(r, err_line(&e));
	names_free(&names);
	timer_in(c->c->loop, &c->tick, 0, c->tick.fire);
	log_info("capture_begins capture=%s virtualservice=%s budget=%llu", r->uuid, r->vs, (unsigned long long)r->bytes_max);
}

/* ---- what engines send ---- */

static struct source *source_of(struct running *r, const char *engine)
{
	for (size_t i = 0; i < r->n_sources; i++)
		if (strcmp(r->sources[i].uuid, engine) == 0)
			return &r->sources[i];
	return NULL;
}

static struct source *source_add(struct running *r, const struct captures_from *from)
{
	uint64_t rtt_us;
	struct source *s;

	r->sources = xrealloc(r->sources, (r->n_sources + 1) * sizeof(*r->sources));
	s = &r->sources[r->n_sources++];
	*s = (struct source){ .uuid = xstrdup(from->uuid), .name = xstrdup(from->name), .said_ms = -1 };
	s->ahead_us = clock_ahead_us(from->clock, &rtt_us);
	s->number = film_source(r->film, s->name, s->ahead_us * (int64_t)NS_PER_US, rtt_us * NS_PER_US);
	return s;
}

static bool all_ended(const struct running *r, const char *by)
{
	for (size_t i = 0; i < r->n_sources; i++)
		if (r->sources[i].state == SENDS || (by && strcmp(r->sources[i].ended_by, by) != 0))
			return false;
	return r->n_sources > 0;
}

void captures_take(struct captures *c, const struct captures_from *from, const json_t *head, void *bytes, size_t len)
{
	struct running *r = c ? running_of(c, json_str(head, "capture", "")) : NULL;
	struct source *s = r ? source_of(r, from->uuid) : NULL;
	const char *ended = json_str(head, "ended", NULL);

	if (!r || !r->film || r->film_ends || (!s && (!from->holds || r->now_ending_ns)) || (s && s->state == ENDED && !from->holds)) {
		free(bytes);
		return;
	}
	if (!s)
		s = source_add(r, from);
	s->state = SENDS;
	if (r->now_ending_ns)
		r->now_ending_ns = mono_ns(); /* as long as something comes, more may */
	s->drops = (uint64_t)json_int(head, "drops", 0) + s->refused;
	if (len && !film_block(r->film, s->number, bytes, len, (uint64_t)json_int(head, "until_ns", 0)))
		s->refused += (uint64_t)json_int(head, "packets", 0);
	else if (!len && !film_block(r->film, s->number, bytes, 0, (uint64_t)json_int(head, "until_ns", 0)))
		s->refused++;
	if (!ended)
		return;
	s->state = ENDED;
	s->held_ms = (uint64_t)json_int(head, "held_ms", 0);
	s->said_ms = json_int(head, "said_ms", -1);
	snprintf(s->ended_by, sizeof(s->ended_by), "%s", ended);
	film_source_end(r->film, s->number, s->drops);
	if (all_ended(r, "packets"))
		to_end(r, "packets");
	else if (r->past && all_ended(r, NULL) && r->n_sources > from->others)
		to_end(r, all_ended(r, "unknown") ? "unknown" : "saved");
	timer_in(c->c->loop, &c->tick, 0, c->tick.fire);
}

void captures_lost(struct captures *c, const char *engine)
{
	if (!c)
		return;
	LIST_FOREACH(l, &c->all) {
		struct source *s = source_of(LIST_ENTRY(l, struct running, link), engine);

		if (s && s->state == SENDS)
			s->state = LOST;
	}
}

/* ---- it ends ---- */

static struct change_by by_system(const char *tenant)
{
	return (struct change_by){ .user = "system", .client = "", .tenant = tenant, .internal = true };
}

static int debug_off(struct change *change, const char *kind, const char *vs, struct err *e)
{
	CLEANUP_FREE char *debug = xasprintf("debug%s", kind);
	const struct object *o = store_get(change->store, debug, vs);
	CLEANUP_JSON json_t *body = o ? json_deep_copy(o->body) : NULL;

	if (!o || !json_bool(body, "capture", false))
		return 0;
	json_object_del(body, "capture");
	return change_update(change, o->kind, vs, body, 0, e);
}

static int commit(struct change *change, int rc, const char *what, struct err *e)
{
	if (rc == 0)
		rc = change_commit(change, e);
	else
		change_abort(change);
	model_notes_fini(&change->notes);
	if (rc < 0)
		log_error("%s error=\"%s\"", what, err_line(e));
	return rc;
}

/* The object, and debugvirtualservice, say that it is over. */
static int write_over(struct captures *c, const struct object *o, const char *why)
{
	struct change_by by = by_system(o->tenant);
	CLEANUP_JSON json_t *body = json_deep_copy(o->body);
	CLEANUP_FREE char *vs = xstrdup(owner_of(o->body));
	CLEANUP_FREE char *uuid = xstrdup(o->uuid);
	const char *kind = owner_kind(o->body);
	struct change change;
	struct err e = { 0 };
	int rc;

	json_object_set_new(body, "running", json_false());
	json_object_set_new(body, "ended_by", json_string(why));
	change_begin(&change, c->c->store, &by);
	rc = change_update(&change, o->kind, uuid, body, 0, &e);
	if (rc == 0)
		rc = debug_off(&change, kind, vs, &e);
	return commit(&change, rc, "capture_not_ended", &e);
}

static json_t *engines_json(const struct running *r)
{
	json_t *out = json_array();

	for (size_t i = 0; i < r->n_sources; i++) {
		const struct source *s = &r->sources[i];
		struct film_count n = r->film ? film_count(r->film, s->number) : (struct film_count){ 0 };

		json_array_append_new(out, json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:s, s:o*, s:o*}", "uuid", s->uuid, "name", s->name, "packets",
						     (json_int_t)n.packets, "bytes", (json_int_t)n.bytes, "drops", (json_int_t)s->drops,
						     "clock_us", (json_int_t)s->ahead_us, "ended_by",
						     s->state == LOST ? "connection lost" : s->ended_by, "seconds_held",
						     r->past ? json_real((double)s->held_ms / 1e3) : NULL, "plaintext_seconds_held",
						     r->past && s->said_ms >= 0 ? json_real((double)s->said_ms / 1e3) : NULL));
	}
	return out;
}

static uint64_t drops_of(const struct running *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->n_sources; i++)
		n += r->sources[i].drops;
	return n;
}

/* An engine that never had the request, for which it was asked, lacks nothing. */
static bool has_past(const struct source *s)
{
	return strcmp(s->ended_by, "unknown") != 0;
}

/* So far back all have everything. */
static json_t *held_json(const struct running *r)
{
	uint64_t ms = UINT64_MAX;

	for (size_t i = 0; i < r->n_sources; i++)
		if (has_past(&r->sources[i]))
			ms = MIN(ms, r->sources[i].held_ms);
	return r->past ? json_real(ms < UINT64_MAX ? (double)ms / 1e3 : 0) : NULL;
}

/* The same of what was said inside TLS, where one has any. */
static json_t *said_json(const struct running *r)
{
	int64_t ms = INT64_MAX;

	for (size_t i = 0; i < r->n_sources; i++)
		if (r->sources[i].said_ms >= 0 && has_past(&r->sources[i]))
			ms = MIN(ms, r->sources[i].said_ms);
	return r->past && ms < INT64_MAX ? json_real((double)ms / 1e3) : NULL;
}

/* What made itself is kept beside what was asked for: it drives out none of it. */
struct kept {
	const char *tenant;
	bool triggered;
	json_t *uuids; /* oldest first */
};

static int of_tenant(void *arg, const struct object *o)
{
	const struct kept *k = arg;

	if (strcmp(o->tenant, k->tenant) == 0 && !json_bool(o->body, "running", false) &&
	    k->triggered == (*json_str(o->body, "trigger", "") != '\0'))
		json_array_append_new(k->uuids, json_string(o->uuid));
	return 0;
}

void captures_forget(struct captures *c, const char *uuid)
{
	const struct object *o = store_get(c->c->store, "capture", uuid);
	CLEANUP_FREE char *tenant = o ? xstrdup(o->tenant) : NULL;
	struct change_by by = by_system(tenant);
	struct change change;
	struct err e = { 0 };

	if (!o)
		return;
	change_begin(&change, c->c->store, &by);
	commit(&change, change_delete(&change, o->kind, uuid, &e), "capture_not_forgotten", &e);
}

/* What its files take: also the one that is made for who may not read what was said inside TLS. */
static uint64_t bytes_of(const struct captures *c, const char *uuid)
{
	CLEANUP_FREE char *path = captures_path(c->c, uuid), *open_path = captures_open_path(c->c, uuid);
	const char *const paths[] = { path, open_path };
	uint64_t bytes = 0;
	struct stat st;

	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (stat(paths[i], &st) == 0)
			bytes += (uint64_t)st.st_size;
	return bytes;
}

/* Those that are too many, or with those behind them too large; the newest stays. */
static void forget_oldest(struct captures *c, const char *tenant, bool triggered)
{
	CLEANUP_JSON json_t *uuids = json_array();
	struct kept k = { tenant, triggered, uuids };
	size_t keep = (size_t)MAX(property(c, "max_pcap_per_tenant", 4), 0), n;
	uint64_t mb = (uint64_t)property(c, "max_pcap_mb_per_tenant", 10240), bytes = 0;

	store_each(c->c->store, "capture", of_tenant, &k);
	n = json_array_size(uuids);
	for (size_t i = n; i-- > 0;) {
		const char *uuid = json_string_value(json_array_get(uuids, i));

		bytes += bytes_of(c, uuid);
		if (n - i > keep || (n - i > 1 && mb && bytes > mb * 1000000))
			captures_forget(c, uuid);
	}
}

/* RESULT: fields of the object; taken. */
static void write_result(struct captures *c, const struct object *o, json_t *result, const char *trouble)
{
	struct change_by by = by_system(o->tenant);
	CLEANUP_JSON json_t *body = json_deep_copy(o->body);
	CLEANUP_FREE char *path = captures_path(c->c, o->uuid), *tenant = xstrdup(o->tenant), *uuid = xstrdup(o->uuid);
	struct stat st = { 0 };
	bool triggered = *json_str(o->body, "trigger", "") != '\0';
	struct change change;
	struct err e = { 0 };
	char now[MOMENT_MAX];

	if (stat(path, &st) < 0)
		log_error("capture_file_gone path=%s", path);
	moment_text(wall_us(), MOMENT_MICROS, now);
	json_object_set_new(body, "ended", json_string(now));
	json_object_set_new(body, "size", json_integer(st.st_size));
	json_object_update(body, result);
	json_decref(result);
	if (trouble)
		json_object_set_new(body, "ended_by", json_string(trouble));
	change_begin(&change, c->c->store, &by);
	commit(&change, change_update(&change, o->kind, uuid, body, 0, &e), "capture_not_noted", &e);
	forget_oldest(c, tenant, triggered);
}

static void running_free(struct running *r)
{
	list_remove(&r->link);
	for (size_t i = 0; i < r->n_sources; i++) {
		free(r->sources[i].uuid);
		free(r->sources[i].name);
	}
	free(r->sources);
	free(r->uuid);
	free(r->vs);
	free(r->tenant);
	free(r);
}

static void awaited_tell(struct running *r)
{
	void (*awaited)(void *arg, const struct object *o) = r->awaited;

	r->awaited = NULL;
	if (awaited)
		awaited(r->awaits, store_get(r->all->c->store, "capture", r->uuid));
}

static json_t *result_of(const struct running *r)
{
	return json_pack("{s:I, s:I, s:I, s:o, s:o*, s:o*}", "packets", (json_int_t)(r->film ? film_packets(r->film) : 0), "drops",
			 (json_int_t)drops_of(r), "plaintext_packets", (json_int_t)(r->film ? film_plaintext(r->film) : 0), "engines",
			 engines_json(r), "seconds_held", held_json(r), "plaintext_seconds_held", said_json(r));
}

static void over(struct running *r, const char *trouble)
{
	struct captures *c = r->all;
	const struct object *o = store_get(c->c->store, "capture", r->uuid);

	log_info("capture_ends capture=%s packets=%llu", r->uuid, (unsigned long long)(r->film ? film_packets(r->film) : 0));
	if (o)
		write_result(c, o, result_of(r), trouble);
	awaited_tell(r);
	running_free(r);
}

static void film_done(void *arg, const char *trouble)
{
	over(arg, trouble);
}

/* Its last blocks are here, or have had their time. */
static void drain(struct running *r)
{
	if (r->film_ends || (!all_ended(r, NULL) && r->n_sources && mono_ns() - r->now_ending_ns < DRAIN_MS * NS_PER_MS))
		return;
	r->film_ends = true;
	for (size_t i = 0; i < r->n_sources && r->film; i++)
		if (r->sources[i].state != ENDED) {
			r->sources[i].state = LOST;
			film_source_end(r->film, r->sources[i].number, r->sources[i].drops);
		}
	if (r->film)
		film_end(r->film);
	else
		over(r, NULL);
}

static int expired(void *arg, const struct object *o)
{
	json_t *uuids = arg;

	if (!json_bool(o->body, "running", false))
		json_array_append_new(uuids, json_string(o->uuid));
	return 0;
}

static void forget_expired(struct captures *c)
{
	uint64_t days = (uint64_t)property(c, "capture_expiry_days", 30), now = wall_us();
	CLEANUP_JSON json_t *uuids = json_array();
	json_t *uuid;
	size_t i;

	store_each(c->c->store, "capture", expired, uuids);
	json_array_foreach(uuids, i, uuid) {
		const struct object *o = store_get(c->c->store, "capture", json_string_value(uuid));

		if (o && days && now >= o->last_modified_us + days * 86400 * 1000000)
			captures_forget(c, json_string_value(uuid));
	}
}

static int tenant_of(void *arg, const struct object *o)
{
	json_object_set_new(arg, o->tenant, json_true());
	return 0;
}

/* Those of each tenant that are too many since it was said anew how many are kept. */
static void forget_surplus(struct captures *c)
{
	CLEANUP_JSON json_t *tenants = json_object();
	const char *tenant;
	json_t *v;

	store_each(c->c->store, "capture", tenant_of, tenants);
	json_object_foreach(tenants, tenant, v) {
		forget_oldest(c, tenant, false);
		forget_oldest(c, tenant, true);
	}
}

static void tick(struct timer *t)
{
	struct captures *c = CONTAINER_OF(t, struct captures, tick);

	LIST_FOREACH(l, &c->all) {
		struct running *r = LIST_ENTRY(l, struct running, link);
		const struct object *o = store_get(c->c->store, "capture", r->uuid);

		if (r->limit_ns && mono_ns() - r->began_ns >= r->limit_ns && !*r->why)
			snprintf(r->why, sizeof(r->why), "duration");
		if (!store_get(c->c->store, r->kind, r->vs) && !*r->why)
			snprintf(r->why, sizeof(r->why), "gone");
		if (r->now_ending_ns)
			drain(r);
		else if (*r->why && o)
			write_over(c, o, r->why);
	}
	if (++c->ticks % GONE_TICKS == 0)
		forget_expired(c);
	if (c->recount)
		forget_surplus(c);
	c->recount = false;
	timer_in(c->c->loop, t, TICK_MS, tick);
}

static void capture_changed(struct captures *c, const char *uuid, bool deleted)
{
	const struct object *o = deleted ? NULL : store_get(c->c->store, "capture", uuid);
	struct running *r = running_of(c, uuid);
	bool runs = o && json_bool(o->body, "running", false);

	if (deleted) {
		CLEANUP_FREE char *path = captures_path(c->c, uuid), *open_path = captures_open_path(c->c, uuid);

		unlink(path);
		unlink(open_path);
	} else if (runs && !r) {
		begin(c, o);
	} else if (!runs && r && !r->now_ending_ns) {
		r->now_ending_ns = mono_ns();
		timer_in(c->c->loop, &c->tick, 0, tick);
	}
}

static void committed(struct store_watch *w, uint64_t revision, const struct store_change *changes, size_t n)
{
	struct captures *c = CONTAINER_OF(w, struct captures, watch);

	(void)revision;
	for (size_t i = 0; i < n; i++)
		if (strcmp(changes[i].kind->path, "capture") == 0)
			capture_changed(c, changes[i].uuid, changes[i].deleted);
		else if (strcmp(changes[i].kind->path, "controllerproperties") == 0)
			c->recount = true;
}

bool captures_await(struct captures *c, const char *uuid, void (*done)(void *arg, const struct object *o), void *arg)
{
	struct running *r = c ? running_of(c, uuid) : NULL;

	if (!r || r->awaited || c->stops)
		return false;
	r->awaited = done;
	r->awaits = arg;
	return true;
}

/* ---- views ---- */

static json_t *progress(const struct running *r)
{
	uint64_t ns = mono_ns() - r->began_ns;
	json_t *out = json_pack("{s:s, s:b, s:f, s:I, s:I, s:I, s:I, s:o}", "uuid", r->uuid, "running", r->now_ending_ns == 0, "seconds",
				(double)ns / 1e9, "packets", (json_int_t)(r->film ? film_packets(r->film) : 0), "size",
				(json_int_t)(r->film ? film_size(r->film) : 0), "size_max", (json_int_t)r->bytes_max, "drops",
				(json_int_t)drops_of(r), "engines", engines_json(r));

	if (r->limit_ns)
		json_object_set_new(out, "seconds_left", json_real(ns < r->limit_ns ? (double)(r->limit_ns - ns) / 1e9 : 0));
	return out;
}

json_t *captures_progress(struct captures *c, const char *vs)
{
	if (!c)
		return NULL;
	LIST_FOREACH(l, &c->all)
		if (strcmp(LIST_ENTRY(l, struct running, link)->vs, vs) == 0)
			return progress(LIST_ENTRY(l, struct running, link));
	return NULL;
}

static json_t *view_runtime(void *arg, const struct subresource_call *call, struct err *e)
{
	struct captures *c = arg;
	struct running *r = running_of(c, call->object->uuid);
	json_t *out;

	(void)e;
	if (r)
		return progress(r);
	out = json_copy((json_t *)call->object->body);
	json_object_set_new(out, "running", json_false());
	return out;
}

/* ---- life ---- */

/* Captures of before our start: what is there of them is what they are. */
static int of_before(void *arg, const struct object *o)
{
	if (json_bool(o->body, "running", false) || !*json_str(o->body, "ended", ""))
		json_array_append_new(arg, json_string(o->uuid));
	return 0;
}

static void end_those_of_before(struct captures *c)
{
	CLEANUP_JSON json_t *uuids = json_array();
	json_t *uuid;
	size_t i;

	store_each(c->c->store, "capture", of_before, uuids);
	json_array_foreach(uuids, i, uuid) {
		const char *text = json_string_value(uuid);
		const struct object *o = store_get(c->c->store, "capture", text);
		CLEANUP_FREE char *path = captures_path(c->c, text);
		uint64_t packets = film_mend(path);

		if (json_bool(o->body, "running", false))
			write_over(c, o, "restart");
		o = store_get(c->c->store, "capture", text);
		write_result(c, o, json_pack("{s:I, s:I}", "packets", (json_int_t)packets, "drops", (json_int_t)json_int(o->body, "drops", 0)), NULL);
	}
}

static void sweep(struct captures *c)
{
	DIR *d = opendir(c->dir);
	const struct dirent *i;

	while (d && (i = readdir(d))) {
		CLEANUP_FREE char *path = xasprintf("%s/%s", c->dir, i->d_name), *uuid = xstrdup(i->d_name);
		char *suffix = strstr(uuid, OPEN);

		if (suffix)
			*suffix = '\0';
		if (i->d_name[0] != '.' && !store_get(c->c->store, "capture", uuid))
			unlink(path);
	}
	if (d)
		closedir(d);
}

struct captures *captures_open(struct controller *controller)
{
	struct captures *c = xcalloc(1, sizeof(*c));

	c->c = controller;
	list_init(&c->all);
	c->dir = xasprintf("%s/captures", controller->data);
	if (mkdir(c->dir, 0700) < 0 && errno != EEXIST)
		log_error("captures_folder path=%s error=\"%s\"", c->dir, strerror(errno));
	forget_expired(c);
	sweep(c); /* their files too: nobody watches yet */
	end_those_of_before(c);
	c->watch.committed = committed;
	store_watch(controller->store, &c->watch);
	timer_in(controller->loop, &c->tick, TICK_MS, tick);
	c->runtime = (struct subresource){ .kind = "capture", .path = "runtime", .get = view_runtime, .arg = c };
	subresource_add(controller->rest, &c->runtime);
	return c;
}

void captures_quiesce(struct captures *c)
{
	c->stops = true;
	LIST_FOREACH(l, &c->all)
		awaited_tell(LIST_ENTRY(l, struct running, link));
}

void captures_close(struct captures *c)
{
	if (!c)
		return;
	timer_stop(c->c->loop, &c->tick);
	store_unwatch(c->c->store, &c->watch);
	/* The next start ends them, as one after a crash does. */
	LIST_FOREACH(l, &c->all) {
		struct running *r = LIST_ENTRY(l, struct running, link);

		if (r->film && !r->film_ends)
			film_end(r->film);
		r->film_ends = true;
		if (!r->film)
			running_free(r);
	}
	while (!list_empty(&c->all))
		loop_turn(c->c->loop, 100);
	free(c->dir);
	free(c);
}
