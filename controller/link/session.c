/*
 * One connection of an engine:
 *
 *	            TLS                hello, welcome
 *	  OPENING ------> GREETING ----------------------> UP
 *	                     |  enrol, answered             |
 *	                     |  refused                     |  silent, closed, bye
 *	                     v                              v
 *	                  LEAVING ------------------------> gone
 *
 * A session that is refused is not closed at once: what the other end still
 * sends would make the kernel throw away the sentence that says why. It is left
 * to the other end to close, or to a timer.
 */
#include <errno.h>
#include <math.h>

#include "base/log.h"
#include "controller/audit.h"
#include "controller/capture/captures.h"
#include "controller/capture/triggers.h"
#include "controller/link/ask.h"
#include "controller/link/clones.h"
#include "controller/link/fleet.h"
#include "controller/link/interfaces.h"
#include "controller/link/lacks.h"
#include "controller/link/verdicts.h"
#include "controller/metrics/meter.h"
#include "controller/place/place.h"
#include "controller/resolve.h"
#include "net/lines.h"
#include "net/packets.h"
#include "net/tls.h"

#define PROTOCOL	1
#define OPEN_TIMEOUT_MS 5000
#define GREET_MS	10000
#define LEAVE_MS	2000
#define STRANGERS_MAX	256	    /* sessions of whom nobody knows yet */
#define STRANGER_BYTES	(64u << 10) /* what one of them may say before it is believed */
#define EVENTS_BURST	1000ULL	    /* events of an engine: as many as one keeps that was cut off */
#define EVENTS_PER_S	10
#define EVENT_BYTES	(16u << 10)
#define COMPLAINTS_MAX	5 /* events about them in a second: nobody may wash the log away */
/* The same refusal again is news after this only: who is refused asks again. */
#define SAME_AGAIN_NS (60 * NS_PER_S)

enum session_state { GREETING, UP, LEAVING };

struct session {
	struct grave grave;
	struct stream stream;
	struct list in_fleet;
	struct fleet *fleet;
	struct engine *engine; /* UP only */
	enum session_state state;
	bool is_bulk;
	bool trusted;	    /* it showed a certificate of ours */
	bool is_stranger;   /* counted as such */
	bool fresh;	    /* after welcome: the next flush ends with a commit in any case */
	struct timer pulse; /* GREETING, LEAVING: the end; UP: every FLEET_PING_MS */
	unsigned silent;
	uint64_t heard;
	json_int_t pings, commits; /* so many were sent */
	uint64_t pinged_us;	   /* when the last ping left */
	json_t *head;		   /* of a message with bytes behind it that did not come yet; NULL: none */
	size_t behind;		   /* how many */
	json_t *resolvers;	   /* name servers, as last told; NULL: never */
	size_t scanned;
};

/* A commit that was sent. */
struct commit {
	struct list link;
	json_int_t n; /* of its session, from 1 */
	uint64_t revision, digest, sent_ns;
};

static void session_release(struct grave *g)
{
	struct session *s = CONTAINER_OF(g, struct session, grave);

	json_decref(s->resolvers);
	json_decref(s->head);
	free(s);
}

static void say(struct session *s, json_t *msg)
{
	size_t n = lines_send(&s->stream, msg);

	if (s->engine)
		s->engine->traffic.bytes_out += n;
	stream_flush(&s->stream);
}

bool session_ask(struct engine *e, json_t *msg)
{
	if (!e->bulk) {
		json_decref(msg);
		return false;
	}
	say(e->bulk, msg);
	return true;
}

void session_forget(struct engine *e)
{
	LIST_FOREACH(l, &e->commits) {
		list_remove(l);
		free(LIST_ENTRY(l, struct commit, link));
	}
}

static void death(struct timer *t)
{
	engine_lost(CONTAINER_OF(t, struct engine, death));
}

/* The session is over. AT_ONCE: the engine said so itself, or was silent long enough to be dead. */
static void session_gone(struct session *s, const char *why, bool at_once)
{
	struct engine *e = s->engine;

	log_info("session_over engine=%s channel=%s peer=%s reason=\"%s\"", e ? e->name : "?",
		 s->is_bulk ? "bulk" : "control", s->stream.peer, why);
	s->engine = NULL;
	s->fleet->strangers -= s->is_stranger;
	stream_close(&s->stream);
	timer_stop(s->fleet->loop, &s->pulse);
	list_remove(&s->in_fleet);
	loop_bury(s->fleet->loop, &s->grave, session_release);
	if (!e)
		return;
	if (s->is_bulk) {
		e->bulk = NULL;
		ask_lost(e, "It went away.");
		captures_lost(s->fleet->controller->captures, e->uuid);
		return;
	}
	e->control = NULL;
	session_forget(e);
	if (e->bulk)
		session_end(e->bulk, "the control channel is gone");
	if (at_once)
		engine_dead(e, why);
	else
		timer_in(s->fleet->loop, &e->death, FLEET_DEAD_MS, death);
}

void session_end(struct session *s, const char *reason)
{
	say(s, json_pack("{s:s, s:s}", "type", "bye", "reason", reason));
	session_gone(s, reason, false);
}

void sessions_end(struct fleet *f, const char *reason)
{
	while (!list_empty(&f->sessions))
		session_end(LIST_ENTRY(f->sessions.next, struct session, in_fleet), reason);
}

/* ---- refusals -------------------------------------------------------- */

static void left(struct timer *t)
{
	session_gone(CONTAINER_OF(t, struct session, pulse), "it was told to leave, and stayed",
		     false);
}

static void leave(struct session *s, json_t *last_words)
{
	say(s, last_words);
	s->state = LEAVING;
	timer_in(s->fleet->loop, &s->pulse, LEAVE_MS, left);
}

/* May there be an event about this refusal, of somebody who did (or did not) prove who he is? */
static bool may_complain(struct fleet *f, const char *reason, bool trusted)
{
	uint64_t now_ns = loop_now(f->loop), now = now_ns / NS_PER_S;
	bool same = strncmp(f->complaint, reason, sizeof(f->complaint) - 1) == 0;

	if (same && now_ns - f->complaint_ns < SAME_AGAIN_NS)
		return false;
	snprintf(f->complaint, sizeof(f->complaint), "%.127s", reason);
	f->complaint_ns = now_ns;
	if (trusted)
		return true;
	if (now != f->complaints_s) {
		f->complaints_s = now;
		f->complaints = COMPLAINTS_MAX;
	}
	if (!f->complaints)
		return false;
	f->complaints--;
	return true;
}

/* With an event: about E where it is known, else about engines in general. */
static void refuse(struct session *s, struct engine *e, bool retry, const char *reason)
{
	struct fleet *f = s->fleet;
	struct err said;

	/* It quotes a stranger, and may have been cut in the middle of a letter. */
	err_set(&said, -EACCES, NULL, "%s", reason);
	reason = said.text;
	if (may_complain(f, reason, s->trusted)) {
		log_warn("refused peer=%s reason=\"%s\"", s->stream.peer, reason);
		store_event(f->store,
			    audit_event("SE_CONNECTION_REFUSED", "SEMGR", "serviceengine",
					e ? e->uuid : NULL, e ? e->name : NULL, TENANT_ADMIN, NULL,
					"Refused %s: %s.", s->stream.peer, reason),
			    NULL);
	}
	leave(s, json_pack("{s:s, s:s, s:b}", "type", "refused", "reason", reason, "retry", retry));
}

/* ---- what an engine lacks -------------------------------------------- */

static void sink_put(void *arg, const char *kind, const char *uuid, const char *name,
		     uint64_t revision, const json_t *object)
{
	struct session *s = arg;

	s->engine->traffic.puts++;
	s->engine->traffic.last_commit_bytes += lines_send(
		&s->stream,
		json_pack("{s:s, s:s, s:s, s:s, s:I, s:O}", "type", "put", "kind", kind, "uuid",
			  uuid, "name", name, "revision", (json_int_t)revision, "object", object));
}

static void sink_remove(void *arg, const char *kind, const char *uuid)
{
	struct session *s = arg;

	s->engine->traffic.deletes++;
	s->engine->traffic.last_commit_bytes +=
		lines_send(&s->stream, json_pack("{s:s, s:s, s:s, s:I}", "type", "delete", "kind",
						 kind, "uuid", uuid, "revision",
						 (json_int_t)store_revision(s->fleet->store)));
}

static const struct graph_sink sink = { sink_put, sink_remove };

/* What systemconfiguration says of names, for servers that are names; of name servers the engine's own when there are none. */
static void tell_resolvers(struct session *s)
{
	const struct object *o = store_get(s->fleet->store, "systemconfiguration", "default");
	const json_t *said = json_object_get(o ? o->body : NULL, "dns_configuration"), *server;
	const char *domain = json_str(said, "search_domain", "");
	json_t *servers = json_array(), *search = json_array(), *now;
	size_t i;

	json_array_foreach(json_object_get(said, "server_list"), i, server)
		json_array_append_new(servers, json_string(json_str(server, "addr", "")));
	for (size_t n; *(domain += strspn(domain, ", ")); domain += n)
		json_array_append_new(search, json_stringn(domain, n = strcspn(domain, ", ")));
	now = json_pack("{s:s, s:o, s:o}", "type", "resolvers", "servers", servers, "search", search);
	if (s->resolvers ? json_equal(s->resolvers, now) : json_array_size(servers) + json_array_size(search) == 0) {
		json_decref(now);
		return;
	}
	json_decref(s->resolvers);
	s->resolvers = now;
	say(s, json_incref(now));
	stream_flush(&s->stream);
}

void session_flush(struct engine *e)
{
	struct session *s = e->control;
	struct fleet *f = e->fleet;
	struct commit *m;

	if (!s || s->state != UP || stream_is_full(&s->stream))
		return;
	tell_resolvers(s);
	if (!holder_is_dirty(&e->holder) && !s->fresh)
		return;
	if (!s->fresh)
		e->traffic.last_commit_bytes = 0;
	if (graph_flush(f->graph, &e->holder, &sink, s) == 0 && !s->fresh)
		return;
	s->fresh = false;
	e->traffic.last_commit_bytes +=
		lines_send(&s->stream, json_pack("{s:s, s:I, s:s, s:I}", "type", "commit", "n",
						 ++s->commits, "epoch", store_epoch(f->store),
						 "revision", (json_int_t)store_revision(f->store)));
	stream_flush(&s->stream);
	e->traffic.commits++;
	e->traffic.bytes_out += e->traffic.last_commit_bytes;
	m = xcalloc(1, sizeof(*m));
	m->n = s->commits;
	m->revision = store_revision(f->store);
	m->digest = e->holder.digest;
	m->sent_ns = mono_ns();
	list_init(&m->link);
	list_insert(&e->commits, &m->link);
}

static void session_drained(struct stream *st)
{
	struct session *s = CONTAINER_OF(st, struct session, stream);

	if (s->engine && !s->is_bulk)
		session_flush(s->engine);
}

/* ---- hello ----------------------------------------------------------- */

static void pulse(struct timer *t)
{
	struct session *s = CONTAINER_OF(t, struct session, pulse);

	/*
	 * Pulses are counted, not time: a controller that was stopped must not take everybody for
	 * dead.
	 */
	s->silent = s->stream.bytes_in == s->heard ? s->silent + 1 : 0;
	s->heard = s->stream.bytes_in;
	if (s->silent * FLEET_PING_MS >= FLEET_DEAD_MS) {
		session_gone(s, "it is silent", true);
		return;
	}
	s->pinged_us = wall_us();
	say(s, json_pack("{s:s, s:I}", "type", "ping", "n", ++s->pings));
	timer_in(s->fleet->loop, &s->pulse, FLEET_PING_MS, pulse);
}

static json_int_t amount(const json_t *msg, const char *of)
{
	return MAX(MIN(json_int(msg, of, 0), (json_int_t)INT32_MAX), (json_int_t)0);
}

static void take_resources(struct engine *e, const json_t *msg)
{
	json_decref(e->resources);
	e->resources = json_object_get(msg, "cores")
			       ? json_pack("{s:I, s:I, s:I}", "num_vcpus", amount(msg, "cores"), "memory",
					   amount(msg, "memory_mb"), "disk", amount(msg, "disk_gb"))
			       : NULL;
}

/* Does the one that says MSG own the identity that it claims? NULL and a refusal if not. */
static struct engine *recognise(struct session *s, const json_t *msg)
{
	const char *uuid = json_str(msg, "uuid", ""), *name = json_str(msg, "name", "");
	struct engine *e;
	struct tls_peer peer;
	char newest[TLS_FINGERPRINT], why[512];

	tls_peer(&s->stream, &peer);
	if (!peer.trusted) {
		snprintf(why, sizeof(why), "the certificate of %s is not accepted: %s",
			 *name ? name : "the engine", peer.why);
		refuse(s, NULL, false, why);
		return NULL;
	}
	if (json_int(msg, "min_version", 0) > PROTOCOL || json_int(msg, "version", 0) < PROTOCOL) {
		snprintf(
			why, sizeof(why),
			"%s speaks versions %lld to %lld of the protocol, the controller version %d",
			name, (long long)json_int(msg, "min_version", 0),
			(long long)json_int(msg, "version", 0), PROTOCOL);
		refuse(s, NULL, false, why);
		return NULL;
	}
	if (strcmp(peer.name, uuid) != 0) {
		snprintf(why, sizeof(why), "%s calls itself %s, its certificate says %s", name,
			 uuid, peer.name);
		refuse(s, NULL, false, why);
		return NULL;
	}
	e = fleet_engine(s->fleet, uuid);
	if (!e) {
		snprintf(
			why, sizeof(why),
			"the controller does not know %s (%s): it was deleted, or the controller was restored from a backup "
			"that is older than its enrolment",
			name, uuid);
		refuse(s, NULL, true, why);
		return NULL;
	}
	enrol_fingerprint(s->fleet, uuid, newest);
	if (strcmp(newest, peer.fingerprint) != 0) {
		snprintf(why, sizeof(why),
			 "the certificate of %s was replaced by a later enrolment", name);
		refuse(s, e, false, why);
		return NULL;
	}
	return e;
}

static void welcome_bulk(struct session *s, struct engine *e, const char *instance)
{
	if (!e->control || strcmp(e->instance, instance) != 0) {
		refuse(s, NULL, true,
		       "a bulk channel needs the control channel of the same engine");
		return;
	}
	if (e->bulk)
		session_end(e->bulk, "a new bulk channel takes its place");
	e->bulk = s;
	s->fleet->strangers -= s->is_stranger;
	s->is_stranger = false;
	s->is_bulk = true;
}

static void unwanted(void *arg, const char *kind, const char *uuid)
{
	sink_remove(arg, kind, uuid);
}

/* Where the session came from, without the port. */
static void address_of(const struct session *s, char out[static 64])
{
	const char *from = s->stream.peer;
	const char *colon = strrchr(from, ':');
	size_t n = colon ? (size_t)(colon - from) : strlen(from);

	if (*from == '[') {
		from++;
		n -= 2;
	}
	snprintf(out, 64, "%.*s", (int)n, from);
}

static void welcome_control(struct session *s, struct engine *e, const json_t *msg)
{
	struct fleet *f = s->fleet;
	const char *instance = json_str(msg, "instance", ""), *epoch = json_str(msg, "epoch", "");
	uint64_t revision = (uint64_t)json_int(msg, "revision", 0);
	char why[512], local[64];
	bool resume;

	if (e->control && strcmp(e->instance, instance) != 0) {
		snprintf(why, sizeof(why), "another service engine with the name %s is connected",
			 e->name);
		refuse(s, e, true, why);
		return;
	}
	if (strcmp(epoch, store_epoch(f->store)) == 0 && revision > store_revision(f->store)) {
		engine_event(
			e, "CONTROLLER_DB_ERROR",
			"Service engine %s holds revision %llu, and the controller has come to %llu only: it was restored "
			"from an older backup. A new epoch begins, and all engines get everything again.",
			e->name, (unsigned long long)revision,
			(unsigned long long)store_revision(f->store));
		fleet_new_epoch(f, "an engine is ahead of the store");
	}
	if (e->control) /* the same engine, which noticed sooner than we that the connection is dead */
		session_end(e->control, "a new connection of the same engine takes its place");
	resume = !e->resync && strcmp(epoch, store_epoch(f->store)) == 0;
	if (!resume)
		e->traffic.resyncs++;
	e->resync = false;
	if (strcmp(e->instance, instance) != 0) {
		books_end(&e->books);
		json_object_clear(e->services);
		json_object_clear(e->health);
	}
	snprintf(e->instance, sizeof(e->instance), "%s", instance);
	e->control = s;
	s->fleet->strangers -= s->is_stranger;
	s->is_stranger = false;
	s->engine = e;
	s->state = UP;
	s->fresh = true;
	e->traffic.last_commit_bytes = 0;
	say(s, json_pack("{s:s, s:i, s:s, s:I, s:b, s:i, s:i}", "type", "welcome", "version",
			 PROTOCOL, "epoch", store_epoch(f->store), "revision",
			 (json_int_t)store_revision(f->store), "resume", resume, "ping_ms",
			 FLEET_PING_MS, "dead_ms", FLEET_DEAD_MS));
	address_of(s, local);
	/*
	 * First who carries what, then what it lacks: it should not be told what it loses in the
	 * next line.
	 */
	take_resources(e, msg);
	interfaces_take(e, json_object_get(msg, "interfaces"), local);
	engine_alive(e);
	placement_run(f->placement);
	graph_met(f->graph, &e->holder, resume ? json_object_get(msg, "held") : NULL, unwanted, s);
}

static void take_hello(struct session *s, const json_t *msg)
{
	struct engine *e;

	if (s->state != GREETING)
		return;
	e = recognise(s, msg);
	if (!e)
		return;
	if (strcmp(json_str(msg, "channel", ""), "bulk") == 0)
		welcome_bulk(s, e, json_str(msg, "instance", ""));
	else
		welcome_control(s, e, msg);
	if (s->state == LEAVING)
		return;
	if (s->is_bulk) {
		s->engine = e;
		s->state = UP;
		say(s, json_pack("{s:s, s:i, s:i, s:i}", "type", "welcome", "version", PROTOCOL,
				 "ping_ms", FLEET_PING_MS, "dead_ms", FLEET_DEAD_MS));
	}
	log_info("session engine=%s channel=%s peer=%s", e->name, s->is_bulk ? "bulk" : "control",
		 s->stream.peer);
	timer_in(s->fleet->loop, &s->pulse, FLEET_PING_MS, pulse);
	fleet_settle(s->fleet);
}

static void take_enrol(struct session *s, const json_t *msg)
{
	struct err e = { 0 };
	json_t *answer;

	if (s->state != GREETING)
		return;
	answer = json_int(msg, "version", 0) == PROTOCOL
			 ? enrol(s->fleet, msg, s->stream.peer, &e)
			 : (err_set(&e, -EPROTO, NULL,
				    "the controller speaks version %d of the protocol", PROTOCOL),
			    NULL);
	if (answer)
		leave(s, answer);
	else
		refuse(s, NULL, false, e.text);
}

/* ---- control --------------------------------------------------------- */

static void take_services(struct engine *e, const json_t *services)
{
	const char *vs;
	json_t *said;

	json_object_foreach((json_t *)services, vs, said)
		if (json_is_object(said))
			verdicts_service(e, vs, said);
}

static void mismatch(struct session *s, const char *hash, uint64_t revision)
{
	struct engine *e = s->engine;

	engine_event(
		e, "SE_CONFIG_MISMATCH",
		"Service engine %s acknowledged revision %llu with hash %s, which is not that of what it was sent: it "
		"gets everything again.",
		e->name, (unsigned long long)revision, hash);
	e->resync = true;
	session_end(s, "the hash does not match: everything comes again");
}

static void take_ack(struct session *s, const json_t *msg)
{
	struct engine *e = s->engine;
	uint64_t revision = (uint64_t)json_int(msg, "revision", 0);
	const char *hash = json_str(msg, "hash", "");
	struct list *found = NULL;
	char wanted[17];

	take_services(e, json_object_get(msg, "services"));
	/* By its number: commits may have the same revision, and an engine that resumes tells of one of an earlier session (0). */
	LIST_FOREACH(l, &e->commits)
		if (LIST_ENTRY(l, struct commit, link)->n == json_int(msg, "n", 0))
			found = l;
	if (!found)
		return;
	snprintf(wanted, sizeof(wanted), "%016llx",
		 (unsigned long long)LIST_ENTRY(found, struct commit, link)->digest);
	if (strcmp(wanted, hash) != 0) {
		mismatch(s, hash, revision);
		return;
	}
	e->acked = LIST_ENTRY(found, struct commit, link)->revision;
	e->ack_ms = (double)(mono_ns() - LIST_ENTRY(found, struct commit, link)->sent_ns) /
		    NS_PER_MS;
	for (bool end = false; !end;) {
		struct list *at = e->commits.next;

		end = at == found;
		list_remove(at);
		free(LIST_ENTRY(at, struct commit, link));
	}
}

static void take_service(struct session *s, const json_t *msg)
{
	const char *vs = json_str(msg, "uuid", "");
	CLEANUP_JSON json_t *said =
		json_pack("{s:I, s:s, s:s}", "revision", json_int(msg, "revision", 0), "state",
			  json_str(msg, "state", ""), "reason", json_str(msg, "reason", ""));

	if (json_is_object(json_object_get(msg, "vips")))
		json_object_set(said, "vips", json_object_get(msg, "vips"));
	verdicts_service(s->engine, vs, said);
}

static void take_gateways(struct session *s, const json_t *msg)
{
	json_t *gateways = json_object_get(msg, "gateways");

	if (json_is_array(gateways))
		interfaces_take_gateways(s->engine, gateways);
}

static void take_interfaces(struct session *s, const json_t *msg)
{
	char local[64];

	address_of(s, local);
	interfaces_take(s->engine, json_object_get(msg, "interfaces"), local);
}

static void take_ping(struct session *s, const json_t *msg)
{
	if (s->state != UP) /* a stranger is not answered as often as he likes */
		return;
	say(s, json_pack("{s:s, s:I, s:I}", "type", "pong", "n", json_int(msg, "n", 0), "time_us",
			 (json_int_t)wall_us()));
}

/* How far its clock is ahead: half the way there and back is taken for the way back. */
static void take_pong(struct session *s, const json_t *msg)
{
	uint64_t now = wall_us(), theirs = (uint64_t)json_int(msg, "time_us", 0);

	if (s->engine && !s->is_bulk && s->pinged_us && json_int(msg, "n", 0) == s->pings && now >= s->pinged_us)
		clock_measured(&s->engine->clock, (int64_t)(theirs - s->pinged_us - (now - s->pinged_us) / 2), now - s->pinged_us);
}

static void take_bye(struct session *s, const json_t *msg)
{
	CLEANUP_FREE char *reason = xstrdup(json_str(msg, "reason", "it said bye"));

	session_gone(s, reason, true);
}

/* ---- bulk ------------------------------------------------------------ */

/* Of services and pools that are, or just were: the others would be kept for good. */
static void forget_unknown(struct store *st, json_t *group, const char *kind)
{
	const char *uuid;
	json_t *v;
	void *next;

	json_object_foreach_safe(group, next, uuid, v)
		if (!store_get(st, kind, uuid))
			json_object_del(group, uuid);
}

static void take_stats(struct session *s, const json_t *msg)
{
	struct store *st = s->fleet->store;

	forget_unknown(st, json_object_get(msg, "services"), "virtualservice");
	forget_unknown(st, json_object_get(msg, "clones"), "virtualservice");
	forget_unknown(st, json_object_get(msg, "servers"), "pool");
	clones_take(s->engine, (json_t *)msg);
	triggers_stats(s->fleet->controller->triggers, s->engine->books.time_us ? s->engine->books.last : NULL, msg);
	if (s->engine->books.time_us) {
		verdicts_stats(s->engine, msg);
		lacks_stats(s->engine, msg);
	}
	meter_take(s->fleet->controller->meter, s->engine->uuid, s->engine->books.last, msg, wall_us() / 1000);
	books_take(&s->engine->books, msg);
}

static void take_health(struct session *s, const json_t *msg)
{
	const char *pool = json_str(msg, "pool", "");

	if (holder_has(s->fleet->graph, &s->engine->holder, "pool", pool))
		verdicts_health(s->engine, pool, json_object_get(msg, "servers"), json_bool(msg, "part", false));
}

/* An engine that was taken over may not wash the log away: so many at once, and so many a second. */
bool engine_may_tell(struct engine *e)
{
	uint64_t now = loop_now(e->fleet->loop) / NS_PER_S;

	e->events_left = MIN(EVENTS_BURST, e->events_left + (now - e->events_s) * EVENTS_PER_S);
	e->events_s = now;
	if (!e->events_left) {
		e->traffic.unknown++;
		return false;
	}
	e->events_left--;
	return true;
}

/* It speaks as itself, about what it holds: every other event is the controller's to make. */
static void take_event(struct session *s, const json_t *msg)
{
	struct engine *e = s->engine;
	const char *id = json_str(msg, "event_id", ""), *kind = json_str(msg, "obj_kind", "serviceengine"),
		   *uuid = json_str(msg, "obj_uuid", e->uuid);
	bool may = strncmp(id, "SE_", 3) == 0 && holder_has(s->fleet->graph, &e->holder, kind, uuid) &&
		   json_dumpb(msg, NULL, 0, 0) <= EVENT_BYTES;
	const struct object *o = may && kind_find(kind) ? store_get(s->fleet->store, kind, uuid) : NULL;
	json_t *details;

	if (!may) {
		e->traffic.unknown++;
		return;
	}
	if (!engine_may_tell(e))
		return;
	if (strcmp(id, "SE_PACKET_TRIGGER") == 0) {
		triggers_request(s->fleet->controller->triggers, uuid, json_str(msg, "trigger", ""), json_str(msg, "text", ""));
		return;
	}
	details = json_copy((json_t *)msg);
	json_object_del(details, "type");
	json_object_set_new(details, "service_engine", json_string(e->name));
	store_event(s->fleet->store,
		    audit_event(id, "SE_GENERAL", kind, uuid, o ? o->name : "",
				o ? o->tenant : TENANT_ADMIN, details, "%s", json_str(msg, "text", "")),
		    NULL);
}

/* Its bytes come behind it; session_readable() waits for them. */
static void take_packets(struct session *s, const json_t *msg)
{
	json_int_t n = json_int(msg, "bytes", -1);

	if (n < 0 || n > (json_int_t)PACKETS_BLOCK_MAX) {
		engine_event(s->engine, "SE_PROTOCOL_ERROR", "Service engine %s sent packets without saying how many bytes they are.",
			     s->engine->name);
		session_gone(s, "it did not say how many bytes follow", false);
		return;
	}
	s->head = json_incref((json_t *)msg);
	s->behind = (size_t)n;
}

static unsigned others_that_capture(const struct session *s, const char *uuid)
{
	unsigned n = 0;

	LIST_FOREACH(l, &s->fleet->engines) {
		const struct engine *e = LIST_ENTRY(l, struct engine, in_fleet);

		n += e != s->engine && e->bulk && holder_has(s->fleet->graph, &e->holder, "capture", uuid);
	}
	return n;
}

static void take_behind(struct session *s)
{
	CLEANUP_JSON json_t *head = s->head;
	struct engine *e = s->engine;
	void *bytes = xmalloc(s->behind + 1);
	const char *capture;

	s->head = NULL;
	if (s->behind)
		memcpy(bytes, s->stream.in.data, s->behind);
	buf_take(&s->stream.in, s->behind);
	capture = json_str(head, "capture", "");
	captures_take(s->fleet->controller->captures,
		      &(struct captures_from){ e->uuid, e->name, &e->clock,
					       holder_has(s->fleet->graph, &e->holder, "capture", capture),
					       others_that_capture(s, capture) },
		      head, bytes, s->behind);
}

static void take_answer(struct session *s, const json_t *msg)
{
	ask_answered(s->engine, msg);
}

static const struct {
	const char *type;
	void (*take)(struct session *s, const json_t *msg);
	enum { ANY, CONTROL, BULK } channel; /* ANY: also before hello */
} messages[] = {
	{ "ping", take_ping, ANY },
	{ "pong", take_pong, ANY },
	{ "hello", take_hello, ANY },
	{ "enrol", take_enrol, ANY },
	{ "ack", take_ack, CONTROL },
	{ "service", take_service, CONTROL },
	{ "gateways", take_gateways, CONTROL },
	{ "interfaces", take_interfaces, CONTROL },
	{ "bye", take_bye, CONTROL },
	{ "stats", take_stats, BULK },
	{ "health", take_health, BULK },
	{ "event", take_event, BULK },
	{ "answer", take_answer, BULK },
	{ "packets", take_packets, BULK },
};

static void take(struct session *s, const char *type, const json_t *msg)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		if (strcmp(type, messages[i].type) != 0)
			continue;
		if (messages[i].channel == ANY ||
		    (s->state == UP && (messages[i].channel == BULK) == s->is_bulk))
			messages[i].take(s, msg);
		return;
	}
	if (s->engine)
		s->engine->traffic.unknown++;
}

/* ---- the stream ------------------------------------------------------ */

static void session_readable(struct stream *st)
{
	struct session *s = CONTAINER_OF(st, struct session, stream);

	while (st->state == STREAM_OPEN) {
		CLEANUP_JSON json_t *msg = NULL;
		struct err e = { 0 };
		const char *type;
		size_t before = st->in.len;
		int rc;

		if (s->state == LEAVING) {
			buf_take(&st->in, st->in.len);
			return;
		}
		if (s->head && st->in.len < s->behind)
			return;
		if (s->head) {
			s->engine->traffic.bytes_in += s->behind;
			take_behind(s);
			continue;
		}
		rc = lines_take(&st->in, &s->scanned, &msg, &type, &e);
		if (rc == 0 && !s->trusted && st->in.len > STRANGER_BYTES)
			rc = err_set(&e, -EMSGSIZE, NULL,
				     "it says more than %u bytes before it is believed",
				     STRANGER_BYTES);
		if (rc == 0)
			return;
		if (s->engine)
			s->engine->traffic.bytes_in += before - st->in.len;
		if (rc < 0 && s->engine) {
			engine_event(s->engine, "SE_PROTOCOL_ERROR",
				     "Service engine %s sent what is no message: %s.",
				     s->engine->name, e.text);
			session_gone(s, e.text, false);
			return;
		}
		if (rc < 0) {
			refuse(s, NULL, false, e.text);
			return;
		}
		take(s, type, msg);
	}
}

static void greet_late(struct timer *t)
{
	session_gone(CONTAINER_OF(t, struct session, pulse), "it did not say who it is", false);
}

static void session_opened(struct stream *st)
{
	struct session *s = CONTAINER_OF(st, struct session, stream);
	struct tls_peer peer;

	tls_peer(st, &peer);
	s->trusted = peer.trusted;
	timer_in(s->fleet->loop, &s->pulse, GREET_MS, greet_late);
}

static void session_closed(struct stream *st, const struct err *why)
{
	session_gone(CONTAINER_OF(st, struct session, stream), why->text, false);
}

static const struct stream_user session_user = {
	.opened = session_opened,
	.readable = session_readable,
	.drained = session_drained,
	.closed = session_closed,
};

/* The oldest stranger goes: who means it has been recognised long since, or comes again. */
static void make_room(struct fleet *f)
{
	LIST_FOREACH(l, &f->sessions)
		if (LIST_ENTRY(l, struct session, in_fleet)->is_stranger) {
			session_gone(LIST_ENTRY(l, struct session, in_fleet),
				     "too many others want to come in", false);
			return;
		}
}

void session_accept(struct fleet *f, int fd)
{
	struct session *s = xcalloc(1, sizeof(*s));
	struct err e = { 0 };

	s->fleet = f;
	list_init(&s->in_fleet);
	if (stream_accept(&s->stream, f->loop, fd, f->tls, OPEN_TIMEOUT_MS, &session_user, &e) <
	    0) {
		log_warn("session_failed error=\"%s\"", e.text);
		free(s);
		return;
	}
	list_insert(&f->sessions, &s->in_fleet);
	s->is_stranger = true;
	if (++f->strangers > STRANGERS_MAX)
		make_room(f);
}
