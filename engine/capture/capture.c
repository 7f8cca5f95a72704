#include "engine/capture/capture.h"

#include <errno.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <bpf/libbpf.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/ipset.h"
#include "base/log.h"
#include "engine/config/assigned.h"
#include "engine/bpf/datapath.h"
#include "engine/capture/worker_ring.h"
#include "engine/clone/legs.h"
#include "engine/link/link.h"
#include "engine/capture/recorder.h"
#include "engine/capture/recite.h"
#include "engine/capture/secrets.h"
#include "engine/capture/service.h"
#include "engine/capture/sieve.h"
#include "engine/capture/stamp.h"
#include "engine/capture/taking.h"
#include "engine/records.h"
#include "model/structs.h"
#include "net/packets.h"

#define RING_BYTES   (8u << 20)
#define LOOK_MS      20
#define SEEN_MIN     256         /* bytes that an expression may look at when fewer are kept */
#define TELL_MS      10000       /* the last blocks of a capture that is over may wait so long for the link */

struct named {
	char *uuid;
	uint64_t told_ns;       /* when a trigger of it fired */
};

struct captures {
	struct loop *loop;
	struct datapath *datapath;
	struct recorder *recorder;
	const struct records *requests;
	struct link *link;
	unsigned workers;
	struct list all;
	bool slots[TAPS_MAX];
	struct named *named;    /* services, by their number */
	size_t n_named;
	struct timer look;
	struct watch secrets;   /* our end */
	int secrets_fd;         /* the proxy's */
	struct worker_ring worker_ring;
	uint32_t numbers;       /* of captures, the last one that was given */
};

/* No packet comes any more; the thread reads what there is, and ends. */
static void untap(struct taking *t)
{
	if (taking_stops(t))
		return;
	if (t->ring && t->number)
		datapath_tap_remove(t->all->datapath, t->number, t->slot);
	else if (t->ring)
		datapath_tap_engine(t->all->datapath, &(struct tap){ 0 }, 0);
	pthread_mutex_lock(&t->lock);
	__atomic_store_n(&t->stops, 1, __ATOMIC_RELEASE);
	pthread_cond_signal(&t->room);
	pthread_mutex_unlock(&t->lock);
}

/* The kernel waits for its readers when a ring goes: leases are renewed before and behind. */
static void end(struct taking *t)
{
	if (t->joined)
		return;
	untap(t);
	loop_breathe(t->all->loop);
	pthread_join(t->thread, NULL);
	t->joined = true;
	if (!t->ring)
		return;
	ring_buffer__free(t->ring);
	datapath_tap_close(t->all->datapath, t->slot);
	if (t->capture)
		worker_ring_clear(&t->all->worker_ring, t->slot, true);
	t->all->slots[t->slot] = false;
	loop_breathe(t->all->loop);
}

static void taking_free(struct taking *t)
{
	end(t);
	while (taking_first(t))
		taking_pop(t);
	list_remove(&t->link);
	sieve_free(t->sieve);
	recital_free(t->recital);
	buf_fini(&t->out);
	while (t->n_spare)
		buf_fini(&t->spare[--t->n_spare]);
	pthread_cond_destroy(&t->room);
	pthread_mutex_destroy(&t->lock);
	free(t->uuid);
	free(t->service);
	free(t->request.service);
	free(t->request.id);
	free(t);
}

/* False: the link takes no more now. */
static bool give(struct taking *t, const struct block *b)
{
	json_t *head = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "type", "packets", "capture", t->uuid, "until_ns",
				 (json_int_t)b->until_ns, "packets", (json_int_t)b->packets, "drops", (json_int_t)b->drops,
				 "bytes", (json_int_t)b->bytes.len);

	if (b->ended)
		json_object_set_new(head, "ended", json_string(b->ended));
	if (b->ended && !t->ring)
		json_object_set_new(head, "held_ms", json_integer((json_int_t)(t->held_ns / NS_PER_MS)));
	if (b->ended && t->said.service)
		json_object_set_new(head, "said_ms", json_integer((json_int_t)(t->said_ns / NS_PER_MS)));
	return link_bytes(t->all->link, head, b->bytes.data, b->bytes.len);
}

static void tell(struct taking *t)
{
	struct block *b;

	while (!t->told && (b = taking_first(t))) {
		if (!give(t, b))
			return;
		t->told = b->ended != NULL;
		taking_pop(t);
	}
}

/* A link that is full takes the rest later, one that is away perhaps never. */
static bool is_done(const struct taking *t)
{
	return t->told || mono_ns() - t->over_ns > TELL_MS * NS_PER_MS;
}

static void look(struct timer *timer)
{
	struct captures *c = CONTAINER_OF(timer, struct captures, look);

	LIST_FOREACH(l, &c->all) {
		struct taking *t = LIST_ENTRY(l, struct taking, link);
		bool over = taking_is_over(t); /* first: then its last block is there */

		tell(t);
		/* It stays in the list as long as it is wanted: so it is not begun anew. */
		if (over)
			end(t);
		if (t->joined && !t->service && is_done(t))
			taking_free(t);
		loop_breathe(c->loop);
	}
	if (!list_empty(&c->all))
		timer_in(c->loop, timer, LOOK_MS, look);
}

static int ring_open(struct captures *c, struct taking *t, struct err *e)
{
	int fd;

	while (t->slot < TAPS_MAX && c->slots[t->slot])
		t->slot++;
	if (t->slot == TAPS_MAX)
		return err_set(e, -ENOSPC, NULL, "An engine has at most %d captures at a time.", TAPS_MAX);
	fd = datapath_tap_open(c->datapath, t->slot, RING_BYTES);
	if (fd < 0)
		return err_set(e, fd, NULL, "No ring for the packets: %s.", strerror(-fd));
	t->ring = ring_buffer__new(fd, taking_record, t, NULL);
	if (!t->ring) {
		datapath_tap_close(c->datapath, t->slot);
		return err_set(e, -errno, NULL, "The ring cannot be read: %s.", strerror(errno));
	}
	c->slots[t->slot] = true;
	return 0;
}

/* Of `packet_kinds`: none of the words is all of them. */
static uint32_t engine_wants(const json_t *object)
{
	static const struct {
		const char *word;
		uint32_t wants;
	} words[] = {
		{ "DEBUG_PCAP_RX", ENGINE_RX },
		{ "DEBUG_PCAP_TX", ENGINE_TX },
		{ "DEBUG_PCAP_DROP", ENGINE_DROP },
	};
	const json_t *one;
	uint32_t wants = 0;
	size_t i;

	json_array_foreach(json_object_get(object, "packet_kinds"), i, one)
		for (size_t k = 0; k < ARRAY_SIZE(words); k++)
			if (strcmp(words[k].word, json_string_value(one)) == 0)
				wants |= words[k].wants;
	return wants ? wants : ENGINE_RX | ENGINE_TX | ENGINE_DROP;
}

/* OWNER: uuid of the service, whose number is NUMBER, or of the engine (0). */
static int start(struct captures *c, const char *owner, uint32_t number, const char *uuid, const json_t *object, struct err *e)
{
	struct taking *t = xcalloc(1, sizeof(*t));
	struct arena arena = ARENA_INIT;
	const struct capture *want = model_load(&capture_message, object, &arena);
	const struct debug_virtual_service_capture *p = want->capture_params;
	struct ipset servers = service_servers(c->link, owner);
	int rc = sieve_new(want, &servers, &t->sieve, e);
	struct tap tap = { .snap = (uint32_t)p->pkt_size };
	uint64_t before_ns = (uint64_t)want->seconds_before * NS_PER_S, now = mono_ns();

	if (rc == 0 && !before_ns)
		rc = ring_open(c, t, e);
	if (rc == 0) {
		t->all = c;
		t->datapath = c->datapath;
		t->worker_ring = &c->worker_ring;
		t->requests = c->requests;
		t->workers = c->workers;
		t->uuid = xstrdup(uuid);
		t->service = xstrdup(owner);
		t->number = number;
		t->snap = tap.snap;
		t->packets_max = (uint64_t)p->num_pkts;
		t->keys = p->enable_ssl_session_key_capture;
		t->plaintext = p->plaintext;
		t->monitors = !before_ns && (!number || want->debug_hm != DEBUG_VS_HM_NONE);
		if (number && !before_ns) {
			worker_ring_clear(&c->worker_ring, t->slot, false);
			t->worker_ring_lost = worker_ring_lost(&c->worker_ring, t->slot);
			t->capture = ++c->numbers;
		}
		t->offset_ns = stamp_offset_ns();
		t->last = &t->first;
		pthread_mutex_init(&t->lock, NULL);
		pthread_cond_init(&t->room, NULL);
		if (want->capture_expression && tap.snap)
			tap.snap = MAX(tap.snap, (uint32_t)SEEN_MIN);
		tap.slot = t->slot;
		taking_seal(t, 0, NULL); /* it is here, and holds the others up from now on */
		if (before_ns) {
			t->since_ns = now > before_ns ? now - before_ns : 0;
			t->until_ns = UINT64_MAX;
			t->asked_ns = now;
			t->after_ns = (uint64_t)want->seconds_after * NS_PER_S;
			t->request.id = want->request_id && *want->request_id ? xstrdup(want->request_id) : NULL;
			t->request.service = xstrdup(owner);
			recorder_view(c->recorder, t->number, &t->past);
			if (t->plaintext && excerpt_view(recorder_excerpt(c->recorder), t->number, &t->said))
				t->recital = recital_new();
		}
		must(pthread_create(&t->thread, NULL, before_ns ? taking_run_past : taking_run, t) == 0);
		if (!before_ns && number)
			datapath_tap_set(c->datapath, number, &tap, t->monitors);
		else if (!before_ns)
			datapath_tap_engine(c->datapath, &tap, engine_wants(object));
		list_init(&t->link);
		list_insert(&c->all, &t->link);
		if (!c->look.active)
			timer_in(c->loop, &c->look, 0, look);
		log_info("capture_begins capture=%s service=%s", t->uuid, t->service);
	} else {
		sieve_free(t->sieve);
		free(t);
	}
	ipset_fini(&servers);
	arena_fini(&arena);
	return rc;
}

/* Its last blocks leave when the link takes them. */
static void stop(struct taking *t)
{
	log_info("capture_ends capture=%s service=%s", t->uuid, t->service);
	free(t->service);
	t->service = NULL;
	t->over_ns = mono_ns();
	untap(t);
}

/* TEXT: "WORD SENTENCE". Several workers may say so of one service. */
static void tell_trigger(struct captures *c, uint32_t service, const char *text)
{
	struct named *n = service < c->n_named ? &c->named[service] : NULL;
	const char *space = strchr(text, ' ');
	uint64_t now = mono_ns();
	json_t *event;

	if (!n || !n->uuid || !space || (n->told_ns && now - n->told_ns < NS_PER_S))
		return;
	event = json_pack("{s:s, s:s, s:s, s:s%, s:s}", "event_id", "SE_PACKET_TRIGGER", "obj_kind", "virtualservice", "obj_uuid", n->uuid,
			  "trigger", text, (size_t)(space - text), "text", space + 1);
	n->told_ns = now;
	if (event)
		link_event(c->link, event);
}

static void secrets_ready(struct watch *w, uint32_t events)
{
	struct captures *c = CONTAINER_OF(w, struct captures, secrets);
	struct secrets_line l;

	(void)events;
	while (secrets_take(w->fd, &l)) {
		char text[SECRETS_LINE_MAX + 1];
		struct in6_addr client, server;

		memcpy(&client, l.client, 16);
		memcpy(&server, l.server, 16);
		snprintf(text, sizeof(text), "%.*s", (int)l.len, l.text);
		if (l.what == SECRETS_TRIGGER) {
			tell_trigger(c, l.service, text);
			continue;
		}
		LIST_FOREACH(at, &c->all) {
			struct taking *t = LIST_ENTRY(at, struct taking, link);

			if (t->keys && t->service && t->number == l.service && sieve_takes(t->sieve, &client, &server))
				taking_secret(t, text);
		}
		explicit_bzero(text, sizeof(text));
	}
	explicit_bzero(&l, sizeof(l));
}

int captures_secrets_fd(const struct captures *c)
{
	return c->secrets_fd;
}

int captures_worker_ring_fd(const struct captures *c)
{
	return c->worker_ring.fd;
}

static struct taking *taking_of(struct captures *c, const char *service)
{
	LIST_FOREACH(l, &c->all) {
		struct taking *t = LIST_ENTRY(l, struct taking, link);

		if (t->service && strcmp(t->service, service) == 0)
			return t;
	}
	return NULL;
}

/* Not on engines that were not asked. */
static bool is_wanted_here(const struct captures *c, const json_t *object)
{
	const json_t *only = json_object_get(object, "only_engines"), *one;
	size_t i;

	json_array_foreach(only, i, one)
		if (strcmp(json_string_value(one), link_uuid(c->link)) == 0)
			return true;
	return json_array_size(only) == 0;
}

/* The capture that A is to have runs, and no other. */
static void follow_capture(struct captures *c, const struct assigned *a)
{
	const char *uuid = ref_target(json_str(link_object(c->link, "assignment", a->uuid), "capture_ref", NULL));
	const json_t *object = *uuid ? link_object(c->link, "capture", uuid) : NULL;
	struct taking *t = taking_of(c, a->uuid);
	struct err e = { 0 };

	if (object && !is_wanted_here(c, object))
		object = NULL;
	if (t && object && strcmp(t->uuid, uuid) == 0)
		return;
	if (t)
		stop(t);
	if (object && start(c, a->uuid, a->index, uuid, object, &e) < 0)
		log_warn("capture_failed capture=%s reason=\"%s\"", uuid, err_line(&e));
}

/* True: it is recorded. */
static bool follow_recorder(struct captures *c, struct assigned *a)
{
	const json_t *vs = link_object(c->link, "virtualservice", a->uuid);
	const json_t *group = link_object(c->link, "serviceenginegroup", ref_target(json_str(vs, "se_group_ref", NULL)));
	bool wanted = recorder_records(c->recorder) && json_bool(vs, "flight_recorder", true) &&
		      json_bool(group, "flight_recorder", true);
	int rc = recorder_follow(c->recorder, a->index, wanted);

	if (rc < 0)
		log_warn("not_recorded service=%s error=\"%s\"", a->uuid, strerror(-rc));
	a->excerpt = recorder_follow_plaintext(c->recorder, a->index,
					       wanted && json_bool(vs, "flight_recorder_plaintext", true) &&
						       json_bool(group, "flight_recorder_plaintext", true) &&
						       service_speaks_tls(c->link, a->uuid));
	return wanted && rc == 0;
}

static void name_service(struct captures *c, const struct assigned *a)
{
	struct named *n;

	if (a->index >= c->n_named) {
		c->named = xrealloc(c->named, (a->index + 1) * sizeof(*c->named));
		memset(c->named + c->n_named, 0, (a->index + 1 - c->n_named) * sizeof(*c->named));
		c->n_named = a->index + 1;
	}
	n = &c->named[a->index];
	if (n->uuid && strcmp(n->uuid, a->uuid) == 0)
		return;
	free(n->uuid);
	*n = (struct named){ .uuid = xstrdup(a->uuid) };
}

bool captures_follow(struct captures *c, struct assigned *a)
{
	const uint32_t number = a->capture.number;
	const unsigned excerpt = a->excerpt;
	bool followed = a->follows;
	const struct taking *t;

	name_service(c, a);
	follow_capture(c, a);
	t = taking_of(c, a->uuid);
	a->follows = follow_recorder(c, a) || t || taking_of(c, link_uuid(c->link));
	memset(&a->capture, 0, sizeof(a->capture));
	if (t) {
		a->capture.number = t->capture;
		a->capture.tells = t->capture ? t->slot + 1 : 0;
		a->capture.keys = t->keys;
		a->capture.plaintext = t->plaintext;
	}
	legs_follow(a->legs, a->follows);
	return a->follows != followed || a->capture.number != number || a->excerpt != excerpt;
}

struct own {
	const char *engine, *uuid;
	const json_t *object;
};

static int of_engine(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct own *o = arg;

	(void)revision;
	if (strcmp(kind, "capture") != 0 || strcmp(ref_target(json_str(object, "serviceengine_ref", NULL)), o->engine) != 0)
		return 0;
	o->uuid = uuid;
	o->object = object;
	return 1;
}

bool captures_follow_engine(struct captures *c)
{
	struct own o = { .engine = link_uuid(c->link) };
	struct taking *t = taking_of(c, o.engine);
	struct err e = { 0 };

	link_each(c->link, of_engine, &o);
	if ((t && o.object && strcmp(t->uuid, o.uuid) == 0) || (!t && !o.object))
		return false;
	if (t)
		stop(t);
	if (o.object && start(c, o.engine, 0, o.uuid, o.object, &e) < 0)
		log_warn("capture_failed capture=%s reason=\"%s\"", o.uuid, err_line(&e));
	return true;
}

bool captures_want_monitors(const struct captures *c)
{
	LIST_FOREACH(l, &c->all)
		if (LIST_ENTRY(l, struct taking, link)->monitors)
			return true;
	return false;
}

void captures_drop(struct captures *c, const struct assigned *a)
{
	struct taking *t = taking_of(c, a->uuid);

	if (t)
		stop(t);
	recorder_follow(c->recorder, a->index, false);
	recorder_follow_plaintext(c->recorder, a->index, false);
}

struct captures *captures_new(struct loop *l, struct datapath *d, struct recorder *r, const struct records *requests, struct link *k,
			      unsigned workers)
{
	struct captures *c = xcalloc(1, sizeof(*c));

	c->loop = l;
	c->datapath = d;
	c->recorder = r;
	c->requests = requests;
	c->link = k;
	c->workers = MIN(MAX(workers, 1U), (unsigned)TAKING_WORKERS);
	list_init(&c->all);
	must(secrets_pair(&c->secrets.fd, &c->secrets_fd) == 0);
	must(worker_ring_new(&c->worker_ring, c->workers) == 0);
	must(watch_start(l, &c->secrets, c->secrets.fd, EPOLLIN, secrets_ready) == 0);
	return c;
}

void captures_free(struct captures *c)
{
	if (!c)
		return;
	while (!list_empty(&c->all)) {
		struct taking *t = LIST_ENTRY(c->all.next, struct taking, link);

		end(t);
		tell(t);
		taking_free(t);
	}
	for (size_t i = 0; i < c->n_named; i++)
		free(c->named[i].uuid);
	free(c->named);
	watch_stop(c->loop, &c->secrets);
	timer_stop(c->loop, &c->look);
	worker_ring_fini(&c->worker_ring);
	close(c->secrets.fd);
	close(c->secrets_fd);
	free(c);
}
