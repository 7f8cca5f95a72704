/*
 * Two channels, each with the same short life:
 *
 *	      dial            TLS, controller believed      welcome
 *	IDLE ------> OPENING ---------------------> HELLO ----------> UP
 *	  ^  backoff    |                             |                |
 *	  +-------------+-----------------------------+----------------+  closed, silent, refused
 *
 * The bulk channel dials while the control channel is up. Before an engine has
 * joined, the control channel goes LEARN (TLS, to see whether the CA is the one
 * that the token names) and ENROL (TLS again, believing only that CA, so the
 * token is told to nobody else); after that it dials as above.
 */
#include "engine/link/link.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/statvfs.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/link/desired.h"
#include "engine/link/identity.h"
#include "engine/link/keeper.h"
#include "engine/capture/stamp.h"
#include "net/lines.h"
#include "net/lookup.h"
#include "net/seal.h"
#include "net/tls.h"

#define PROTOCOL	1
#define OPEN_TIMEOUT_MS 3000
#define STATS_WHOLE    30 /* every so many statistics are of all servers */
#define BACKOFF_MIN_MS	100
#define BACKOFF_MAX_MS	5000
#define SAVE_DELAY_MS	20
#define EVENTS_KEPT	1000

enum channel_state { IDLE, LEARN, ENROL, OPENING, HELLO, UP };

struct channel {
	struct stream stream;
	struct timer dial;  /* IDLE: when to dial */
	struct timer pulse; /* every ping_ms once HELLO */
	struct tls *tls;    /* of this connection */
	enum channel_state state;
	const char *name; /* "control", "bulk" */
	struct link *link;
	size_t scanned;
	unsigned backoff_ms;
	unsigned ping_ms, dead_ms, silent; /* silent: pulses without a byte from the other end */
	uint64_t heard;			   /* bytes_in at the last pulse */
	json_int_t pings;
};

/* A commit whose link_applied() did not come yet. */
struct commit {
	struct list link;
	char epoch[64];
	json_int_t n; /* as the session counts; 0: of an earlier session, or from the disk */
	uint64_t revision, digest;
};

struct link {
	struct grave grave;
	struct loop *loop;
	struct link_user *user;
	struct channel control, bulk;
	char host[STREAM_HOST_MAX], port[STREAM_PORT_MAX];
	struct lookup *lookup;	  /* on its way, for the control channel */
	unsigned turn;		  /* which of the name's addresses is tried */
	struct sockaddr_storage address;
	socklen_t address_len;
	char *name, *token_file, *identity_path, *desired_path;
	unsigned cores, memory_mb, disk_gb;
	char instance[33];
	int lock_fd;

	struct identity identity;
	char *key, *csr, *ca; /* while joining */
	char token[160];

	struct desired desired;
	struct seal *seal; /* of the file that it is kept in */
	struct keeper *keeper;
	struct timer save;
	struct list commits;
	struct commit applied; /* epoch "": nothing runs yet */

	json_t *interfaces;
	json_t *services; /* vs uuid -> {revision, state, reason} */
	json_t *untold;	  /* vs uuid -> true: told the controller something older, or nothing */
	struct timer tell;
	json_t *health; /* pool uuid -> servers */
	unsigned stats_sent; /* since the bulk channel came up, or the last that found no room */
	json_t *events;
};

static void dial(struct timer *t);

static void dial_later(struct channel *c)
{
	uint32_t noise;

	random_bytes(&noise, sizeof(noise));
	/* 50 to 150 %: engines that lost their controller together do not come back together. */
	timer_in(c->link->loop, &c->dial, c->backoff_ms / 2 + noise % (c->backoff_ms + 1), dial);
	c->backoff_ms = MIN(c->backoff_ms * 2, BACKOFF_MAX_MS);
}

static void forget_ca(struct link *k)
{
	free(k->ca);
	k->ca = NULL;
}

/* The stream ends, and another is dialled at once. */
static void dial_again(struct channel *c)
{
	stream_close(&c->stream);
	tls_free(c->tls);
	c->tls = NULL;
	c->state = IDLE;
	timer_stop(c->link->loop, &c->pulse);
	timer_in(c->link->loop, &c->dial, 0, dial);
}

/* The channel is down, for WHY; its stream is closed already, or will be. */
static void channel_down(struct channel *c, const char *why)
{
	struct link *k = c->link;
	bool was_up = c->state == UP;

	/*
	 * What was learned is believed for one connection: the token file may be another one at
	 * the next.
	 */
	if (c->state == ENROL)
		forget_ca(k);
	stream_close(&c->stream);
	tls_free(c->tls);
	c->tls = NULL;
	timer_stop(k->loop, &c->pulse);
	c->state = IDLE;
	log_warn("link_down channel=%s controller=%s reason=\"%s\"", c->name, c->stream.peer, why);
	if (c == &k->bulk) {
		if (k->control.state == UP)
			dial_later(c);
		return;
	}
	if (k->bulk.state != IDLE)
		channel_down(&k->bulk, "the control channel is down");
	timer_stop(k->loop, &k->bulk.dial);
	if (was_up) {
		desired_begin(&k->desired, false); /* a batch without its commit was never there */
		k->user->connected(k->user, false);
	}
	dial_later(c);
}

static bool bulk_has_room(struct link *k)
{
	return k->bulk.state == UP && !stream_is_full(&k->bulk.stream);
}

static void say(struct channel *c, json_t *msg)
{
	lines_send(&c->stream, msg);
	stream_flush(&c->stream);
}

/* ---- joining --------------------------------------------------------- */

static int join_begin(struct link *k, struct err *e)
{
	char wanted[TLS_FINGERPRINT];
	int rc = k->token_file
			 ? token_load(k->token_file, k->token, wanted, e)
			 : err_set(e, -ENOENT, NULL, "there is neither a certificate nor a token");

	if (rc == 0 && !k->key)
		rc = tls_request(k->name, &k->key, &k->csr, e);
	return rc;
}

/* The first TLS connection of an engine that has not joined: is this whom the token names? */
static void learn(struct channel *c)
{
	struct link *k = c->link;
	char wanted[TLS_FINGERPRINT];
	struct tls_peer peer;
	struct err e = { 0 };

	tls_peer(&c->stream, &peer);
	if (token_load(k->token_file, k->token, wanted, &e) < 0) {
		channel_down(c, e.text);
	} else if (strcmp(peer.root_fingerprint, wanted) != 0) {
		c->backoff_ms = BACKOFF_MAX_MS;
		err_set(&e, -EACCES, NULL,
			"the CA at %s has the fingerprint %s, the token wants %s: not joining",
			c->stream.peer, peer.root_fingerprint, wanted);
		channel_down(c, e.text);
	} else {
		forget_ca(k);
		k->ca = tls_peer_root(&c->stream);
		dial_again(c);
	}
}

static void joined(struct channel *c, const json_t *msg)
{
	struct link *k = c->link;
	struct identity *i = &k->identity;
	struct err e = { 0 };

	snprintf(i->uuid, sizeof(i->uuid), "%s", json_str(msg, "uuid", ""));
	i->key = xstrdup(k->key);
	i->certificate = xstrdup(json_str(msg, "certificate", ""));
	i->ca = tls_peer_root(
		&c->stream); /* the one that the token named, whatever the answer says */
	if (!i->uuid[0] || !i->certificate[0] || !i->ca)
		err_set(&e, -EPROTO, NULL,
			"the controller's answer to the enrolment is incomplete");
	else
		identity_save(i, k->identity_path, k->name, &e);
	if (e.code) {
		identity_fini(i);
		channel_down(c, e.text);
		return;
	}
	log_info("joined controller=%s uuid=%s", c->stream.peer, i->uuid);
	c->backoff_ms = BACKOFF_MIN_MS;
	forget_ca(k);
	dial_again(c);
}

/* ---- a channel's life ------------------------------------------------ */

static void say_hello(struct channel *c)
{
	struct link *k = c->link;
	json_t *hello = json_pack("{s:s, s:i, s:i, s:s, s:s, s:s, s:s, s:i, s:i, s:i}", "type", "hello",
				  "version", PROTOCOL, "min_version", PROTOCOL, "channel", c->name,
				  "uuid", k->identity.uuid, "name", k->name, "instance",
				  k->instance, "cores", k->cores, "memory_mb", k->memory_mb,
				  "disk_gb", k->disk_gb);

	if (c == &k->control) {
		json_object_set_new(hello, "epoch", json_string(k->desired.epoch));
		json_object_set_new(hello, "revision",
				    json_integer((json_int_t)k->desired.revision));
		json_object_set_new(hello, "held", desired_digests(&k->desired));
		json_object_set(hello, "interfaces", k->interfaces);
	}
	say(c, hello);
}

static void pulse(struct timer *t)
{
	struct channel *c = CONTAINER_OF(t, struct channel, pulse);

	/*
	 * Pulses are counted, not time: a warden that was stopped for a while must not take the
	 * bytes that wait in its socket for silence.
	 */
	c->silent = c->stream.bytes_in == c->heard ? c->silent + 1 : 0;
	c->heard = c->stream.bytes_in;
	if (c->silent * c->ping_ms >= c->dead_ms) {
		channel_down(c, "the controller is silent");
		return;
	}
	if (c->state == UP)
		say(c, json_pack("{s:s, s:I}", "type", "ping", "n", ++c->pings));
	timer_in(c->link->loop, &c->pulse, c->ping_ms, pulse);
}

static void channel_opened(struct stream *s)
{
	struct channel *c = CONTAINER_OF(s, struct channel, stream);
	struct link *k = c->link;
	struct tls_peer peer;
	struct err e = { 0 };

	if (c->state == LEARN) {
		learn(c);
		return;
	}
	tls_peer(s, &peer);
	if (!peer.trusted) {
		c->backoff_ms = BACKOFF_MAX_MS;
		err_set(&e, -EACCES, NULL, "%s is not our controller: %s", s->peer, peer.why);
		channel_down(c, e.text);
		return;
	}
	if (c->state == ENROL) {
		say(c, json_pack("{s:s, s:i, s:s, s:s, s:s}", "type", "enrol", "version", PROTOCOL,
				 "token", k->token, "name", k->name, "csr", k->csr));
	} else {
		c->state = HELLO;
		say_hello(c);
	}
	c->ping_ms = 1000; /* until welcome says; for an answer to the enrolment there is time */
	c->dead_ms = c->state == ENROL ? 10000 : 5000;
	timer_in(k->loop, &c->pulse, c->ping_ms, pulse);
}

static void channel_closed(struct stream *s, const struct err *why)
{
	channel_down(CONTAINER_OF(s, struct channel, stream), why->text);
}

/* ---- what comes ------------------------------------------------------ */

static void tell_services(struct timer *t);

static void save(struct timer *t)
{
	struct link *k = CONTAINER_OF(t, struct link, save);

	keeper_put(k->keeper, desired_text(&k->desired, k->seal));
}

static void diff_put(void *arg, const char *kind, const char *uuid, uint64_t revision,
		     const json_t *object)
{
	struct link *k = arg;

	k->user->put(k->user, kind, uuid, revision, object);
}

static void diff_removed(void *arg, const char *kind, const char *uuid)
{
	struct link *k = arg;

	if (strcmp(kind, "assignment") == 0) {
		json_object_del(k->services, uuid);
		json_object_del(k->untold, uuid);
	}
	k->user->removed(k->user, kind, uuid);
}

static const struct desired_diff diff = { diff_put, diff_removed };

static void committed(struct link *k, json_int_t n)
{
	struct commit *m = xcalloc(1, sizeof(*m));

	snprintf(m->epoch, sizeof(m->epoch), "%s", k->desired.epoch);
	m->n = n;
	m->revision = k->desired.revision;
	m->digest = k->desired.digest;
	list_init(&m->link);
	list_insert(&k->commits, &m->link);
	k->user->committed(k->user, m->revision);
}

static void take_commit(struct channel *c, const json_t *msg)
{
	struct link *k = c->link;

	desired_commit(&k->desired, json_str(msg, "epoch", ""),
		       (uint64_t)json_int(msg, "revision", 0), &diff, k);
	if (!k->save.active)
		timer_in(k->loop, &k->save, SAVE_DELAY_MS, save);
	committed(k, json_int(msg, "n", 0));
}

static void take_put(struct channel *c, const json_t *msg)
{
	desired_put(&c->link->desired, json_str(msg, "kind", ""), json_str(msg, "uuid", ""),
		    (uint64_t)json_int(msg, "revision", 0), json_object_get(msg, "object"));
}

static void take_delete(struct channel *c, const json_t *msg)
{
	desired_remove(&c->link->desired, json_str(msg, "kind", ""), json_str(msg, "uuid", ""));
}

static void acknowledge(struct link *k);

static void take_welcome(struct channel *c, const json_t *msg)
{
	struct link *k = c->link;
	const char *key;
	json_t *v;

	if (c->state != HELLO)
		return;
	c->state = UP;
	c->backoff_ms = BACKOFF_MIN_MS;
	c->ping_ms = (unsigned)MAX(10, json_int(msg, "ping_ms", 250));
	c->dead_ms = (unsigned)MAX(c->ping_ms, json_int(msg, "dead_ms", 1000));
	timer_in(k->loop, &c->pulse, c->ping_ms, pulse);
	log_info("link_up channel=%s controller=%s", c->name, c->stream.peer);
	if (c == &k->control) {
		desired_begin(&k->desired, !json_bool(msg, "resume", false));
		k->applied.n = 0;
		LIST_FOREACH(at, &k->commits)
			LIST_ENTRY(at, struct commit, link)->n = 0;
		json_object_foreach(k->services, key, v)
			json_object_set_new(k->untold, key, json_true());
		if (json_bool(msg, "resume", false))
			acknowledge(k);
		k->bulk.backoff_ms = BACKOFF_MIN_MS;
		timer_in(k->loop, &k->bulk.dial, 0, dial);
		k->user->connected(k->user, true);
		return;
	}
	k->stats_sent = 0;
	json_object_foreach(k->health, key, v)
		lines_send(&c->stream, json_pack("{s:s, s:s, s:O}", "type", "health", "pool", key,
						 "servers", v));
	for (size_t i = 0; i < json_array_size(k->events); i++)
		lines_send(&c->stream, json_incref(json_array_get(k->events, i)));
	json_array_clear(k->events);
	stream_flush(&c->stream);
}

static void take_refused(struct channel *c, const json_t *msg)
{
	if (!json_bool(msg, "retry", true))
		c->backoff_ms = BACKOFF_MAX_MS;
	log_error("refused channel=%s controller=%s", c->name, c->stream.peer);
	channel_down(c, json_str(msg, "reason", "no reason given"));
}

static void take_enrolled(struct channel *c, const json_t *msg)
{
	if (c->state == ENROL)
		joined(c, msg);
}

static void take_ping(struct channel *c, const json_t *msg)
{
	say(c, json_pack("{s:s, s:I, s:I}", "type", "pong", "n", json_int(msg, "n", 0), "time_us",
			 (json_int_t)stamp_now_us()));
}

static void take_pong(struct channel *c, const json_t *msg)
{
	(void)c; /* that it came is all that it says: pulse() has seen its bytes */
	(void)msg;
}

static void take_bye(struct channel *c, const json_t *msg)
{
	channel_down(c, json_str(msg, "reason", "the controller said bye"));
}

static void take_ask(struct channel *c, const json_t *msg)
{
	struct link *k = c->link;

	if (c == &k->bulk && c->state == UP && k->user->asked)
		k->user->asked(k->user, msg);
}

static void take_resolvers(struct channel *c, const json_t *msg)
{
	if (c->link->user->resolvers)
		c->link->user->resolvers(c->link->user, msg);
}

static const struct {
	const char *type;
	void (*take)(struct channel *c, const json_t *msg);
	bool only_up; /* of the control channel */
} messages[] = {
	{ "put", take_put, true },
	{ "delete", take_delete, true },
	{ "commit", take_commit, true },
	{ "ping", take_ping },
	{ "pong", take_pong },
	{ "welcome", take_welcome },
	{ "refused", take_refused },
	{ "enrolled", take_enrolled },
	{ "bye", take_bye },
	{ "ask", take_ask },
	{ "resolvers", take_resolvers, true },
};

static void take(struct channel *c, const char *type, const json_t *msg)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (strcmp(type, messages[i].type) == 0) {
			if (!messages[i].only_up || (c == &c->link->control && c->state == UP))
				messages[i].take(c, msg);
			return;
		}
	log_debug("unknown_message type=%s", type);
}

static void channel_readable(struct stream *s)
{
	struct channel *c = CONTAINER_OF(s, struct channel, stream);

	while (s->state == STREAM_OPEN) {
		CLEANUP_JSON json_t *msg = NULL;
		struct err e = { 0 };
		const char *type;
		int rc = lines_take(&s->in, &c->scanned, &msg, &type, &e);

		if (rc == 0)
			return;
		if (rc < 0) {
			channel_down(c, e.text);
			return;
		}
		take(c, type, msg);
		loop_breathe(c->link->loop);
	}
}

static const struct stream_user channel_user = {
	.opened = channel_opened,
	.readable = channel_readable,
	.closed = channel_closed,
};

static void open_channel(struct channel *c)
{
	struct link *k = c->link;
	struct tls_config cfg = { 0 };
	struct err e = { 0 };
	int rc = 0;

	c->scanned = 0;
	c->silent = 0;
	c->heard = 0;
	if (k->identity.uuid[0]) {
		cfg = (struct tls_config){ .certificate = k->identity.certificate,
					   .key = k->identity.key,
					   .ca = k->identity.ca };
		c->state = OPENING;
	} else {
		rc = join_begin(k, &e);
		cfg.ca = k->ca;
		c->state = k->ca ? ENROL : LEARN;
	}
	if (rc == 0)
		rc = tls_new(&cfg, &c->tls, &e);
	if (rc == 0)
		rc = stream_connect(&c->stream, k->loop, (struct sockaddr *)&k->address,
				    k->address_len, c->tls, OPEN_TIMEOUT_MS, &channel_user, &e);
	if (rc < 0)
		channel_down(c, e.text);
}

static void looked_up(void *arg, const struct lookup_answer *answer)
{
	struct link *k = arg;
	struct err e;

	k->lookup = NULL;
	if (answer->error) {
		err_set(&e, -EHOSTUNREACH, NULL, "the name %s has no address: %s", k->host, answer->error);
		channel_down(&k->control, e.text);
		return;
	}
	/* Each attempt takes the next one: a name may stand for several, and not all answer. */
	memcpy(&k->address, &answer->address[k->turn % answer->n], sizeof(k->address));
	k->address_len = answer->len[k->turn++ % answer->n];
	open_channel(&k->control);
}

static void dial(struct timer *t)
{
	struct channel *c = CONTAINER_OF(t, struct channel, dial);
	struct link *k = c->link;

	/* The bulk channel goes where the control channel went. */
	if (c == &k->bulk || !k->host[0]) {
		open_channel(c);
		return;
	}
	k->lookup = lookup_start(k->loop, k->host, k->port, looked_up, k);
	if (!k->lookup)
		channel_down(c, "no thread to look the controller's name up");
}

/* ---- what the owner says --------------------------------------------- */

/* {vs uuid: {...}} of all that the controller was not told; they count as told. New reference. */
static json_t *take_untold(struct link *k)
{
	json_t *out = json_object(), *v;
	const char *key;

	json_object_foreach(k->untold, key, v)
		json_object_set(out, key, json_object_get(k->services, key));
	json_object_clear(k->untold);
	timer_stop(k->loop, &k->tell);
	return out;
}

static void acknowledge(struct link *k)
{
	char sum[17];

	if (k->control.state != UP || !k->applied.epoch[0])
		return;
	snprintf(sum, sizeof(sum), "%016llx", (unsigned long long)k->applied.digest);
	say(&k->control, json_pack("{s:s, s:I, s:s, s:I, s:s, s:o}", "type", "ack", "n",
				   k->applied.n, "epoch", k->applied.epoch, "revision", (json_int_t)k->applied.revision,
				   "hash", sum, "services", take_untold(k)));
}

void link_applied(struct link *k, uint64_t revision)
{
	struct list *last = NULL;

	/* The newest of that number: numbers begin again with another epoch. */
	LIST_FOREACH(at, &k->commits)
		if (LIST_ENTRY(at, struct commit, link)->revision == revision)
			last = at;
	if (!last)
		return;
	k->applied = *LIST_ENTRY(last, struct commit, link);
	for (bool end = false; !end;) {
		struct list *at = k->commits.next;

		end = at == last;
		list_remove(at);
		free(LIST_ENTRY(at, struct commit, link));
	}
	acknowledge(k);
}

static void tell_services(struct timer *t)
{
	struct link *k = CONTAINER_OF(t, struct link, tell);
	CLEANUP_JSON json_t *news = NULL;
	json_t *v;
	const char *key;

	if (k->control.state != UP)
		return;
	news = take_untold(k);
	json_object_foreach(news, key, v) {
		json_t *msg = json_copy(v);

		json_object_set_new(msg, "type", json_string("service"));
		json_object_set_new(msg, "uuid", json_string(key));
		lines_send(&k->control.stream, msg);
	}
	stream_flush(&k->control.stream);
}

void link_service(struct link *k, const char *vs_uuid, uint64_t revision, const char *state,
		  const char *reason, json_t *vips)
{
	json_t *now = json_pack("{s:I, s:s, s:s}", "revision", (json_int_t)revision, "state", state,
				"reason", reason);

	if (vips)
		json_object_set_new(now, "vips", vips);
	if (json_equal(now, json_object_get(k->services, vs_uuid))) {
		json_decref(now);
		return;
	}
	json_object_set_new(k->services, vs_uuid, now);
	json_object_set_new(k->untold, vs_uuid, json_true());
	if (!k->tell.active)
		timer_in(k->loop, &k->tell, 0, tell_services);
}

void link_gateways(struct link *k, json_t *gateways)
{
	if (k->control.state == UP)
		say(&k->control, json_pack("{s:s, s:O}", "type", "gateways", "gateways", gateways));
	json_decref(gateways);
}

void link_interfaces(struct link *k, json_t *interfaces)
{
	/* Every VIP is an event of its interface, and says nothing new. */
	if (json_equal(k->interfaces, interfaces)) {
		json_decref(interfaces);
		return;
	}
	json_decref(k->interfaces);
	k->interfaces = interfaces;
	if (k->control.state == UP)
		say(&k->control,
		    json_pack("{s:s, s:O}", "type", "interfaces", "interfaces", interfaces));
}

void link_stats(struct link *k, json_t *stats)
{
	if (!bulk_has_room(k)) {
		k->stats_sent = 0;
		json_decref(stats);
		return;
	}
	k->stats_sent++;
	json_object_set_new(stats, "type", json_string("stats"));
	json_object_set_new(stats, "time_us", json_integer((json_int_t)wall_us()));
	say(&k->bulk, stats);
}

bool link_wants_all(const struct link *k)
{
	return k->stats_sent % STATS_WHOLE == 0;
}

void link_health(struct link *k, const char *pool_uuid, json_t *servers, bool part)
{
	json_t *known = json_object_get(k->health, pool_uuid), *one;
	size_t i;

	if (part) {
		json_array_foreach(servers, i, one)
			json_array_set(known, (size_t)json_int(one, "at", -1), one);
	} else if (servers) {
		json_object_set(k->health, pool_uuid, servers);
	} else {
		servers = json_array(); /* told once, and not again after a reconnect */
		json_object_del(k->health, pool_uuid);
	}
	if (k->bulk.state == UP)
		say(&k->bulk, json_pack("{s:s, s:s, s:O, s:b}", "type", "health", "pool", pool_uuid,
					"servers", servers, "part", (int)part));
	json_decref(servers);
}

void link_event(struct link *k, json_t *event)
{
	json_object_set_new(event, "type", json_string("event"));
	json_object_set_new(event, "time_us", json_integer((json_int_t)wall_us()));
	if (bulk_has_room(k)) {
		say(&k->bulk, event);
		return;
	}
	if (json_array_size(k->events) >= EVENTS_KEPT)
		json_array_remove(k->events, 0);
	json_array_append_new(k->events, event);
}

void link_answer(struct link *k, json_t *answer)
{
	if (k->bulk.state == UP)
		say(&k->bulk, answer);
	else
		json_decref(answer);
}

int link_answer_text(struct link *k, const char *line, size_t len)
{
	if (k->bulk.state != UP)
		return -ENOTCONN;
	if (!bulk_has_room(k))
		return -EAGAIN;
	stream_write(&k->bulk.stream, line, len);
	stream_flush(&k->bulk.stream);
	return 0;
}

bool link_bytes(struct link *k, json_t *head, const void *p, size_t len)
{
	if (!bulk_has_room(k)) {
		json_decref(head);
		return false;
	}
	lines_send(&k->bulk.stream, head);
	stream_write(&k->bulk.stream, p, len);
	stream_flush(&k->bulk.stream);
	return true;
}

/* ---- what is held ---------------------------------------------------- */

const json_t *link_object(const struct link *k, const char *kind, const char *uuid)
{
	return desired_get(&k->desired, kind, uuid);
}

int link_each(const struct link *k,
	      int (*f)(void *arg, const char *kind, const char *uuid, uint64_t revision,
		       const json_t *object),
	      void *arg)
{
	const char *key;
	json_t *entry;
	int rc = 0;

	json_object_foreach(k->desired.held, key, entry) {
		rc = f(arg, json_str(entry, "kind", ""), json_str(entry, "uuid", ""),
		       (uint64_t)json_int(entry, "revision", 0), json_object_get(entry, "object"));
		if (rc)
			break;
	}
	return rc;
}

uint64_t link_revision(const struct link *k)
{
	return k->desired.revision;
}

bool link_is_up(const struct link *k)
{
	return k->control.state == UP;
}

const char *link_uuid(const struct link *k)
{
	return k->identity.uuid;
}

/* ---- life ------------------------------------------------------------ */

static void link_release(struct grave *g)
{
	struct link *k = CONTAINER_OF(g, struct link, grave);

	LIST_FOREACH(at, &k->commits)
		free(LIST_ENTRY(at, struct commit, link));
	keeper_free(k->keeper);
	desired_fini(&k->desired);
	seal_free(k->seal);
	identity_fini(&k->identity);
	json_decref(k->interfaces);
	json_decref(k->services);
	json_decref(k->untold);
	json_decref(k->health);
	json_decref(k->events);
	free(k->name);
	free(k->token_file);
	free(k->identity_path);
	free(k->desired_path);
	free(k->key);
	free(k->csr);
	free(k->ca);
	if (k->lock_fd >= 0)
		close(k->lock_fd);
	free(k);
}

static int open_state(struct link *k, const char *dir, struct err *e)
{
	CLEANUP_FREE char *lock = xasprintf("%s/lock", dir);
	int rc;

	if (mkdir(dir, 0700) < 0 && errno != EEXIST)
		return err_set(e, -errno, NULL, "making the state folder %s: %s", dir,
			       strerror(errno));
	k->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (k->lock_fd < 0)
		return err_set(e, -errno, NULL, "%s: %s", lock, strerror(errno));
	if (flock(k->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return err_set(e, -EBUSY, NULL, "another engine runs with the state folder %s",
			       dir);
	k->identity_path = xasprintf("%s/identity.json", dir);
	k->desired_path = xasprintf("%s/desired.json", dir);
	rc = identity_load(&k->identity, k->identity_path, k->name, e);
	if (rc == -ENOENT && k->token_file)
		rc = 0;
	else if (rc == -ENOENT)
		err_set(e, rc, NULL, "%s holds no identity, and there is no token to join with",
			dir);
	if (rc < 0)
		return rc;
	/*
	 * The newest cannot be read by an older program: then the controller sends everything,
	 * which is no harm.
	 */
	rc = seal_open(dir, !desired_is_sealed(k->desired_path), &k->seal, e);
	if (rc == 0)
		rc = desired_load(&k->desired, k->desired_path, k->seal, e);
	if (rc == -EKEYREJECTED || !k->seal)
		return rc;
	if (rc < 0 && rc != -ENOENT)
		log_warn("state_not_loaded reason=\"%s\"", e->text);
	return 0;
}

int link_new(const struct link_config *cfg, struct loop *l, struct link_user *user,
	     struct link **out, struct err *e)
{
	struct link *k = xcalloc(1, sizeof(*k));
	struct err own = { 0 };
	struct statvfs disk;
	unsigned char noise[16];
	int rc;

	k->loop = l;
	k->user = user;
	k->lock_fd = -1;
	k->name = xstrdup(cfg->name);
	k->token_file = cfg->token_file ? xstrdup(cfg->token_file) : NULL;
	k->cores = cfg->cores;
	k->memory_mb = cfg->memory_mb;
	k->control = (struct channel){ .name = "control", .link = k, .backoff_ms = BACKOFF_MIN_MS };
	k->bulk = (struct channel){ .name = "bulk", .link = k, .backoff_ms = BACKOFF_MIN_MS };
	list_init(&k->commits);
	desired_init(&k->desired);
	k->services = json_object();
	k->untold = json_object();
	k->health = json_object();
	k->events = json_array();
	random_bytes(noise, sizeof(noise));
	hex_encode(k->instance, noise, sizeof(noise));
	if (stream_address(cfg->controller, &k->address, &k->address_len, NULL) == 0)
		rc = 0;
	else
		rc = stream_name(cfg->controller, k->host, k->port, e);
	if (rc == 0)
		rc = open_state(k, cfg->state_dir, e ? e : &own);
	if (rc < 0) {
		link_release(&k->grave);
		return rc;
	}
	if (statvfs(cfg->state_dir, &disk) == 0)
		k->disk_gb = (unsigned)(disk.f_blocks / 1024 * disk.f_frsize / 1024 / 1024);
	k->keeper = keeper_new(k->desired_path);
	*out = k;
	return 0;
}

static int play(void *arg, const char *kind, const char *uuid, uint64_t revision,
		const json_t *object)
{
	diff_put(arg, kind, uuid, revision, object);
	return 0;
}

void link_start(struct link *k, json_t *interfaces)
{
	k->interfaces = interfaces;
	if (k->desired.epoch[0]) {
		link_each(k, play, k);
		committed(k, 0);
	}
	timer_in(k->loop, &k->control.dial, 0, dial);
}

static void channel_end(struct channel *c, const char *reason)
{
	if (c->state == UP)
		say(c, json_pack("{s:s, s:s}", "type", "bye", "reason", reason));
	stream_close(&c->stream);
	tls_free(c->tls);
	timer_stop(c->link->loop, &c->dial);
	timer_stop(c->link->loop, &c->pulse);
}

void link_free(struct link *k, const char *reason)
{
	if (!k)
		return;
	channel_end(&k->bulk, reason);
	channel_end(&k->control, reason);
	lookup_cancel(k->lookup);
	timer_stop(k->loop, &k->tell);
	if (k->save.active) {
		timer_stop(k->loop, &k->save);
		keeper_put(k->keeper, desired_text(&k->desired, k->seal));
	}
	loop_bury(k->loop, &k->grave, link_release);
}
