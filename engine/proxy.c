#include "engine/proxy.h"

#include <errno.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/abi.h"
#include "engine/channel.h"
#include "engine/config/config.h"
#include "engine/health/health.h"
#include "engine/health/probe.h"
#include "engine/lack.h"
#include "engine/config/names.h"
#include "engine/records.h"
#include "engine/clone/plain.h"
#include "engine/sandbox.h"
#include "engine/clone/badges.h"
#include "engine/capture/worker_ring.h"
#include "engine/capture/excerpt.h"
#include "engine/capture/jot.h"
#include "engine/capture/retell.h"
#include "engine/capture/secrets.h"
#include "engine/clone/outlet.h"
#include "engine/trace.h"
#include "engine/worker.h"
#include "model/structs.h"

#define WORKERS_MAX 256
#define TICKETS_MS  (24u * 3600 * 1000 / (TICKETS - 1))

struct proxy {
	struct loop *loop;
	struct inbox inbox;
	struct channel *channel;
	struct channel_user channel_user;
	struct watch pulse;           /* where the warden asks for a sign of life */
	struct breath breath;
	int pulse_fd;
	struct config_user config_user;
	struct config *config;
	struct health *health;
	struct health_user health_user;
	struct names *names;
	struct names_user names_user;
	struct counters counters;
	struct records records;
	struct outlet outlet;
	struct worker_ring worker_ring;           /* to captures */
	struct badge *badges;         /* NULL: not here yet */
	struct excerpt excerpt;             /* what the recorder has of plaintext */
	const struct plain_word *words; /* what became of writes into the outlet, by worker; NULL: there is none */
	struct worker *workers[WORKERS_MAX];
	unsigned n_workers;
	struct tickets tickets;
	struct timer rotation;
	struct trace trace;
	uint64_t committed_ns; /* of the newest commit */
	int status;
};

/* ---- what the configuration tells ---- */

static void on_applied(struct config_user *u, uint64_t revision)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, config_user);
	struct engine_counters *mine = counters_engine_of(&p->counters, p->counters.workers);

	counter_add(&mine->config_applied, 1);
	counter_add(&mine->config_apply_us, (mono_ns() - p->committed_ns) / 1000);
	channel_send(p->channel, json_pack("{s:s, s:I}", "type", "applied", "revision", (json_int_t)revision), -1);
}

static void on_pool(struct config_user *u, const struct config_pool *pool)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, config_user);
	struct health_server *servers = xcalloc(pool->n + 1, sizeof(servers[0]));
	struct health_pool h = { .monitors = pool->monitors, .tls = pool->monitors_tls, .monitors_n = pool->n_monitors, .servers = servers,
				 .enabled = pool->pool->enabled };

	if (pool->pool->lb_algorithm == LB_ALGORITHM_FEWEST_TASKS)
		h.tasks_s = (unsigned)pool->pool->fewest_tasks_feedback_delay;
	if (pool->pool->has_min_health_monitors_up)
		h.min_up = (unsigned)pool->pool->min_health_monitors_up;
	for (size_t i = 0; i < pool->n; i++)
		servers[h.servers_n++] = (struct health_server){
			.backend = pool->servers[i].backend,
			.counters = counters_server_of(&p->counters, p->counters.workers,
						       pool->servers[i].backend->slot),
			.enabled = pool->servers[i].enabled,
		};
	health_pool_set(p->health, pool->uuid, &h);
	free(servers);
}

static void on_pool_gone(struct config_user *u, const char *uuid)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, config_user);

	health_pool_drop(p->health, uuid);
	channel_send(p->channel, json_pack("{s:s, s:s}", "type", "health", "pool", uuid), -1);
}

static void on_names(struct config_user *u, const json_t *wanted)
{
	names_want(CONTAINER_OF(u, struct proxy, config_user)->names, wanted);
}

/* The warden gives the servers their numbers, and says it again: then it counts. */
static void on_names_news(struct names_user *u)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, names_user);

	channel_send(p->channel, json_pack("{s:s, s:O}", "type", "names", "names", names_all(p->names)), -1);
}

static void on_names_known(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	config_names(p->config, json_object_get(m, "names"));
}

static void on_resolvers(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	names_servers(p->names, json_object_get(m, "servers"), json_object_get(m, "search"));
}

/* ---- what the monitors tell ---- */

static void on_found(struct health_user *u, struct backend *b, enum backend_health health)
{
	config_health(CONTAINER_OF(u, struct proxy, health_user)->config, b, health);
}

static void on_news(struct health_user *u, const char *pool_uuid)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, health_user);
	bool part = !config_has_names(p->config, pool_uuid); /* a name's line is made from its addresses' lines */
	json_t *servers = health_report(p->health, pool_uuid, &part);

	if (servers)
		config_report_names(p->config, pool_uuid, servers);
	if (servers)
		channel_send(p->channel, json_pack("{s:s, s:s, s:o, s:b}", "type", "health", "pool", pool_uuid, "servers",
						   servers, "part", (int)part), -1);
}

/* ---- what the warden says ---- */

static void broken(struct proxy *p, const char *why)
{
	log_error("channel_broken reason=\"%s\"", why);
	p->status = 1;
	loop_stop(p->loop);
}

/* The keys of TLS tickets, the same for all workers. A ticket opens for a day at least. */
static void rotate_tickets(struct timer *t)
{
	struct proxy *p = CONTAINER_OF(t, struct proxy, rotation);

	tickets_rotate(&p->tickets);
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_post_tickets(p->workers[i], &p->tickets);
	timer_in(p->loop, &p->rotation, TICKETS_MS, rotate_tickets);
}

/* Before the first: where the records of requests go. */
static void on_records(struct proxy *p, const json_t *m, int fd)
{
	unsigned n = (unsigned)json_int(m, "workers", 1);

	if (p->n_workers || p->records.workers || fd < 0 || n < 1 || n > WORKERS_MAX || records_map(&p->records, fd, n) < 0)
		broken(p, "records");
}

/* On the thread of the worker that came last. */
static void alive(void *arg, uint64_t number)
{
	const struct proxy *p = arg;

	(void)!send(p->pulse_fd, &number, sizeof(number), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* The answer has been through this thread and every worker: one that hangs makes it stay away. */
static void pulse_look(struct proxy *p)
{
	uint64_t n;

	lack_look();
	counters_engine_of(&p->counters, p->counters.workers)->proxy_turn_ms = loop_longest(p->loop) / NS_PER_MS;
	while (recv(p->pulse_fd, &n, sizeof(n), MSG_DONTWAIT) == sizeof(n))
		workers_round(p->workers, p->n_workers, NULL, alive, p, n);
}

static void pulse_ready(struct watch *w, uint32_t events)
{
	struct proxy *p = CONTAINER_OF(w, struct proxy, pulse);

	pulse_look(p);
	if (events & EPOLLHUP) /* the channel tells what is to be done then */
		watch_stop(p->loop, w);
}

/* Who merely has much to do says so. */
static void breathe(struct breath *b)
{
	pulse_look(CONTAINER_OF(b, struct proxy, breath));
}

/* The first message: how many workers, and where their counters live. */
static void on_start(struct proxy *p, const json_t *m, int fd)
{
	unsigned n = (unsigned)json_int(m, "workers", 1);

	if (p->n_workers || fd < 0 || n < 1 || n > WORKERS_MAX || counters_map(&p->counters, fd, n) < 0) {
		broken(p, "start");
		return;
	}
	p->counters.records = &p->records;
	log_set_level((enum log_level)json_int(m, "log_level", LOG_LEVEL_INFO));
	for (unsigned i = 0; i < n; i++)
		p->workers[i] = worker_start(i, &p->counters);
	p->n_workers = n;
	rotate_tickets(&p->rotation);
	p->config = config_new(p->workers, n, &p->inbox, &p->config_user);
	p->breath.take = breathe;
	loop_set_breath(p->loop, &p->breath);
	must(watch_start(p->loop, &p->pulse, p->pulse_fd, EPOLLIN, pulse_ready) == 0);
}

static void on_put(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	config_put(p->config, json_str(m, "kind", ""), json_str(m, "uuid", ""), json_object_get(m, "object"));
}

static void on_delete(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	config_delete(p->config, json_str(m, "kind", ""), json_str(m, "uuid", ""));
}

static void on_commit(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	p->committed_ns = mono_ns();
	config_commit(p->config, (uint64_t)json_int(m, "revision", 0));
}

static void on_slots(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	config_slots(p->config, m);
}

static void on_clone(struct proxy *p, const json_t *m, int fd)
{
	config_clone(p->config, m, fd);
}

static void on_sources(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	config_sources(p->config, m);
}

static void on_vrfs(struct proxy *p, const json_t *m, int fd)
{
	(void)fd;
	config_vrfs(p->config, json_object_get(m, "vrfs"));
}

static void on_maps(struct proxy *p, const json_t *m, int fd)
{
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_post_mark_map(p->workers[i], fd, (uint64_t)json_int(m, "flow_seed", 0));
	probe_mark_map(fd);
}

static void on_badges(struct proxy *p, const json_t *m, int fd)
{
	(void)m;
	if (p->badges || fd < 0 || badges_map(&p->badges, fd) < 0) {
		broken(p, "badges");
		return;
	}
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_post_badges(p->workers[i], p->badges, p->n_workers);
}

static void on_monitors(struct proxy *p, const json_t *m, int fd)
{
	(void)p;
	(void)fd;
	probe_marks(json_bool(m, "marked", false));
}

static void on_secrets(struct proxy *p, const json_t *m, int fd)
{
	(void)m;
	if (fd < 0)
		broken(p, "secrets");
	else
		secrets_socket(fd);
}

static void on_worker_ring(struct proxy *p, const json_t *m, int fd)
{
	(void)m;
	if (p->worker_ring.mem || fd < 0 || worker_ring_map(&p->worker_ring, fd, p->n_workers) < 0)
		broken(p, "worker_ring");
	else
		retell_worker_ring(&p->worker_ring);
}

static void on_excerpt(struct proxy *p, const json_t *m, int fd)
{
	if (p->excerpt.mem || fd < 0 || excerpt_map(&p->excerpt, fd, p->n_workers, (size_t)json_int(m, "bytes", 0)) < 0)
		broken(p, "excerpt");
	else
		jot_excerpt(&p->excerpt);
}

static void on_outlet_books(struct proxy *p, const json_t *m, int fd)
{
	(void)m;
	if (p->outlet.mem || fd < 0 || outlet_map(&p->outlet, fd, p->n_workers) < 0)
		broken(p, "outlet_books");
}

static void on_outlet_words(struct proxy *p, const json_t *m, int fd)
{
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, PLAIN_WORKERS_MAX * sizeof(*p->words), PROT_READ, MAP_SHARED, fd, 0);

	(void)m;
	if (fd >= 0)
		close(fd);
	if (p->words || at == MAP_FAILED)
		broken(p, "outlet_words");
	else
		p->words = at;
}

static void on_outlet_queue(struct proxy *p, const json_t *m, int fd)
{
	unsigned worker = (unsigned)json_int(m, "worker", 0);

	if (fd < 0 || worker >= p->n_workers || !p->outlet.mem || !p->words)
		broken(p, "outlet_queue");
	else
		worker_post_plain(p->workers[worker], plain_new(p->workers[worker], &p->outlet, fd, p->words));
}

static void on_ping_socket(struct proxy *p, const json_t *m, int fd)
{
	if (fd >= 0)
		health_ping_socket(p->health, json_bool(m, "v6", false), fd);
}

static void on_listener(struct proxy *p, const json_t *m, int fd)
{
	unsigned worker = (unsigned)json_int(m, "worker", 0);
	union address a;

	if (fd < 0 || worker >= p->n_workers ||
	    address_parse(&a, json_str(m, "address", ""), (unsigned)json_int(m, "port", 0)) < 0) {
		broken(p, "listener");
		return;
	}
	config_listener(p->config, json_str(m, "virtualservice", ""), worker, (uint64_t)json_int(m, "id", 0), fd, &a,
			(unsigned)json_int(m, "last", 0), json_bool(m, "udp", false));
}

static void on_unlisten(struct proxy *p, const json_t *m, int fd)
{
	unsigned worker = (unsigned)json_int(m, "worker", 0);

	(void)fd;
	if (worker < p->n_workers)
		config_unlisten(p->config, json_str(m, "virtualservice", ""), worker,
				(uint64_t)json_int(m, "id", 0));
}

static void on_stop(struct proxy *p, const json_t *m, int fd)
{
	(void)m;
	(void)fd;
	loop_stop(p->loop);
}

static const struct {
	const char *type;
	void (*handle)(struct proxy *p, const json_t *m, int fd);
} messages[] = {
	{ "records", on_records },
	{ "start", on_start },       { "put", on_put },           { "delete", on_delete },
	{ "commit", on_commit },     { "slots", on_slots }, { "names", on_names_known }, { "resolvers", on_resolvers },       { "clone", on_clone },
	{ "maps", on_maps },         { "badges", on_badges },     { "secrets", on_secrets },         { "worker_ring", on_worker_ring },         { "excerpt", on_excerpt },         { "listener", on_listener }, { "unlisten", on_unlisten },
	{ "outlet_books", on_outlet_books }, { "outlet_words", on_outlet_words }, { "outlet_queue", on_outlet_queue },
	{ "vrfs", on_vrfs },         { "sources", on_sources },         { "ping_socket", on_ping_socket }, { "monitors", on_monitors }, { "stop", on_stop },
};

static void on_message(struct channel_user *u, const char *type, const json_t *m, int fd)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, channel_user);

	for (size_t i = 0; i < ARRAY_SIZE(messages); i++) {
		if (strcmp(messages[i].type, type) != 0)
			continue;
		if (!p->n_workers && messages[i].handle != on_start && messages[i].handle != on_records)
			broken(p, "a message before start");
		else
			messages[i].handle(p, m, fd);
		return;
	}
	broken(p, type);
}

static void on_closed(struct channel_user *u, int rc)
{
	struct proxy *p = CONTAINER_OF(u, struct proxy, channel_user);

	if (rc < 0)
		broken(p, strerror(-rc));
	loop_stop(p->loop);
}

int proxy_main(int fd, int pulse_fd, int warden_pid)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	struct err e = { 0 };
	int status;

	p->pulse_fd = pulse_fd;

	log_init("proxy");
	trace_on_must();
	/* A terminal's Ctrl-C goes to both processes: it is the warden who says what happens then. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	signal(SIGPIPE, SIG_IGN);
	/* The library opens files when it begins, and none later. */
	must(OPENSSL_init_ssl(OPENSSL_INIT_LOAD_SSL_STRINGS | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL) == 1);
	p->loop = loop_new();
	trace_use(&p->trace, p->loop);
	p->names_user = (struct names_user){ on_names_news };
	p->names = names_new(p->loop, &p->names_user);
	if (sandbox_enter(warden_pid, &e) < 0) {
		log_error("sandbox_failed reason=\"%s\"", err_line(&e));
		return 1;
	}
	must(inbox_init(&p->inbox, p->loop) == 0);
	p->config_user = (struct config_user){ on_applied, on_pool, on_pool_gone, on_names };
	p->health_user = (struct health_user){ on_found, on_news };
	p->health = health_new(p->loop, &p->health_user, 1000);
	p->channel_user = (struct channel_user){ on_message, on_closed };
	p->channel = channel_new(p->loop, fd, &p->channel_user);
	loop_run(p->loop);
	timer_stop(p->loop, &p->rotation);
	watch_stop(p->loop, &p->pulse);
	loop_set_breath(p->loop, NULL);
	for (unsigned i = 0; i < p->n_workers; i++)
		worker_stop(p->workers[i]);
	inbox_fini(&p->inbox); /* rounds that came home too late end here */
	names_free(p->names);
	health_free(p->health);
	if (p->config)
		config_free(p->config);
	channel_free(p->channel);
	loop_free(p->loop);
	if (p->n_workers)
		counters_fini(&p->counters);
	if (p->records.workers)
		records_fini(&p->records);
	if (p->outlet.mem)
		outlet_fini(&p->outlet);
	status = p->status;
	free(p);
	return status;
}
