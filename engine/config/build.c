/*
 * A snapshot of a virtual service, from objects: everything that a worker will ask is worked out
 * here, once.
 */
#include <ctype.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/log.h"
#include "engine/capture/trigger.h"
#include "engine/config/parts.h"
#include "engine/clone/flow_log.h"
#include "engine/http/http.h"
#include "engine/http/sticky.h"
#include "engine/http/redaction.h"
#include "engine/l4/l4.h"
#include "engine/log_plan.h"
#include "engine/netsec.h"
#include "engine/persist.h"
#include "engine/clone/plain.h"
#include "engine/pool_state.h"
#include "engine/ports.h"
#include "engine/tls/secure.h"

#define DSCP_MAX   63
#define CONNECT_MS 2000 /* long enough for a lost SYN, short enough to try another server */

/* What ONE is, for as long as N lives; NULL: it is not here. */
static const void *use(struct snapshot *n, const struct object *one)
{
	return one ? parts_use(&n->parts, one->part, &n->arena) : NULL;
}

/* What others remember already: S's pools and their groups. */
static const void *use_here(struct config *c, struct snapshot *n, const char *kind, const char *uuid)
{
	return use(n, objects_find(&c->objects, kind, uuid));
}

/* From here on S is built anew when this object changes. */
static const void *use_more(struct config *c, struct service_entry *s, struct snapshot *n, const char *kind, const char *uuid)
{
	return use(n, needs_add(&s->more, &c->objects, kind, uuid));
}

static const struct proto_ops *proto_of(const struct application_profile *app)
{
	return app && app->type == APPLICATION_PROFILE_TYPE_HTTP ? &http_proto : &l4_proto;
}

static int64_t times(int64_t n, int64_t unit)
{
	return n < 0 ? -1 : n * unit;
}

static void network_tcp(struct snapshot *n, const struct tcp_proxy_profile *tcp)
{
	n->client.nodelay = !tcp->nagles_algorithm;
	n->close_idle = tcp->idle_connection_type == CLOSE_IDLE && tcp->idle_connection_timeout > 0;
	n->idle_ms = (uint64_t)tcp->idle_connection_timeout * 1000;
	n->client.keepalive_s = n->close_idle ? 0 : (unsigned)tcp->idle_connection_timeout;
	n->keepalive_halfclosed = tcp->keepalive_in_halfclose_state;
	/* "Pass through" has nothing to pass at a proxy: the packets are its own. */
	n->dscp = tcp->ip_dscp <= DSCP_MAX ? (unsigned)tcp->ip_dscp : 0;
	tuning_from(&n->client, tcp);
}

static void snapshot_network(struct snapshot *n)
{
	const struct network_profile_union *p = n->network ? n->network->profile : NULL;

	n->client.nodelay = true;
	n->client.keepalive_s = PORT_KEEPALIVE_S;
	n->keepalive_halfclosed = true;
	if (!p)
		return;
	switch (p->type) {
	case PROTOCOL_TYPE_TCP_FAST_PATH:
		n->idle_ms = (uint64_t)p->tcp_fast_path_profile->session_idle_timeout * 1000;
		n->close_idle = n->idle_ms;
		break;
	case PROTOCOL_TYPE_UDP_FAST_PATH:
		n->idle_ms = (uint64_t)p->udp_fast_path_profile->session_idle_timeout * 1000;
		n->per_packet = p->udp_fast_path_profile->per_pkt_loadbalance;
		break;
	default:
		network_tcp(n, p->tcp_proxy_profile);
	}
	n->server = n->client;
}

static enum lb_kind kind_of(const struct pool *pool)
{
	switch (pool->lb_algorithm) {
	case LB_ALGORITHM_ROUND_ROBIN:
		return LB_ROUND_ROBIN;
	case LB_ALGORITHM_FASTEST_RESPONSE:
		return LB_FASTEST_RESPONSE;
	case LB_ALGORITHM_CONSISTENT_HASH:
		return LB_CONSISTENT_HASH;
	case LB_ALGORITHM_LEAST_LOAD:
		return LB_LEAST_LOAD;
	case LB_ALGORITHM_FEWEST_SERVERS:
		return LB_FEWEST_SERVERS;
	case LB_ALGORITHM_RANDOM:
		return LB_RANDOM;
	case LB_ALGORITHM_FEWEST_TASKS:
		return LB_FEWEST_TASKS;
	case LB_ALGORITHM_CORE_AFFINITY:
		return LB_CORE_AFFINITY;
	default:
		return LB_LEAST_CONNECTIONS;
	}
}

/* The tables that the algorithm reads: built here, once for all workers. */
static void snapshot_rules(struct snapshot *n, struct snapshot_pool *sp)
{
	const struct pool *pool = sp->pool;

	sp->rules = (struct lb_rules){
		.kind = kind_of(pool),
		.max_load = (unsigned)MAX(pool->max_concurrent_connections_per_server, (int64_t)0),
		.ramp_ns = (uint64_t)pool->connection_ramp_duration * 60 * NS_PER_S,
		.core_sharing = (unsigned)pool->lb_algorithm_core_nonaffinity,
	};
	if (sp->rules.kind == LB_CONSISTENT_HASH) {
		struct lb_hash_server *s = xcalloc(sp->n_servers + 1, sizeof(*s));

		for (size_t i = 0; i < sp->n_servers; i++) {
			const struct backend *b = sp->servers[i].backend;
			size_t name = strlen(b->name), used = name;

			if (pool->ignore_server_port)
				used = (size_t)(strrchr(b->name, ':') - b->name);
			s[i] = (struct lb_hash_server){
				.name = lb_hash_mix(lb_hash_bytes(LB_HASH_SEED, b->name, used)),
				.tie = lb_hash_mix(lb_hash_bytes(LB_HASH_SEED, b->name, name)),
				.ratio = sp->servers[i].ratio,
			};
		}
		sp->rules.hash = lb_hash_new(&n->arena, s, sp->n_servers);
		free(s);
	}
	if (sp->rules.kind == LB_ROUND_ROBIN && pool->lb_algo_rr_per_se) {
		unsigned *ratios = xcalloc(sp->n_servers + 1, sizeof(*ratios));

		for (size_t i = 0; i < sp->n_servers; i++)
			ratios[i] = sp->servers[i].ratio;
		sp->rules.wheel = lb_wheel_new(&n->arena, &sp->state->turn, ratios, sp->n_servers);
		free(ratios);
	}
}

/* What the Host header of requests to S is; NULL: what the client wrote. */
static const char *host_of(struct snapshot *n, const struct pool *pool, const struct server *s, const struct backend *b)
{
	unsigned port = address_port(&b->address);
	const char *name = NULL;

	if (pool->rewrite_host_header_to_sni && pool->server_name && *pool->server_name)
		name = pool->server_name;
	else if (s && (pool->rewrite_host_header_to_server_name || s->rewrite_host_header))
		name = s->hostname;
	/* What would end the line is no name. */
	if (!name || !*name || strpbrk(name, " \t\r\n"))
		return NULL;
	if (pool->append_port == NEVER || (pool->append_port == NON_DEFAULT_80_443 && (port == 80 || port == 443)))
		return name;
	name = strchr(name, ':') && *name != '[' ? xasprintf("[%s]:%u", name, port) : xasprintf("%s:%u", name, port);
	char *kept = arena_strdup(&n->arena, name);

	free((char *)name);
	return kept;
}

static void snapshot_rate(struct snapshot_pool *sp)
{
	const struct rate_limiter *r =
		sp->pool->max_conn_rate_per_server ? sp->pool->max_conn_rate_per_server->rate_limiter : NULL;

	/* No burst given: what a period allows may come at once. */
	if (r && r->count)
		sp->rate = rate_limit_of((uint64_t)r->count, (uint64_t)r->period * NS_PER_S,
					 (uint64_t)(r->burst_sz ? r->burst_sz : r->count));
}

/* How clients stay with their servers. */
static void snapshot_persist(struct config *c, struct snapshot *n, struct snapshot_pool *sp)
{
	const struct application_persistence_profile *p =
		use_here(c, n, "applicationpersistenceprofile", sp->pool->application_persistence_profile_ref);
	const struct ip_persistence_profile *ip = p ? p->ip_persistence_profile : NULL;
	const char **names;

	if (!p)
		return;
	sp->persist.down = (int)p->server_hm_down_recovery;
	sp->persist.while_disabled = sp->pool->server_disable_type == ALLOW_NEW_CONNECTION_IF_PERSISTENCE_PRESENT;
	switch (p->persistence_type) {
	case PERSISTENCE_TYPE_CLIENT_IP_ADDRESS:
	case PERSISTENCE_TYPE_CLIENT_IPV6_ADDRESS:
		sp->persist.by_address = true;
		sp->persist.keep_ns = (uint64_t)(ip ? ip->ip_persistent_timeout : 5) * 60 * NS_PER_S;
		sp->persist.mask = ip ? (unsigned)ip->ip_mask : 0;
		if (!sp->state->persist)
			sp->state->persist = persist_new(PERSIST_MAX);
		break;
	case PERSISTENCE_TYPE_HTTP_COOKIE:
		names = xcalloc(sp->n_servers + 1, sizeof(names[0]));
		for (size_t i = 0; i < sp->n_servers; i++)
			names[i] = sp->servers[i].backend->name;
		sp->persist.cookie =
			sticky_new(&n->arena, p->http_cookie_persistence_profile, sp->uuid, names, sp->n_servers);
		free(names);
		break;
	default:
		break;
	}
}

static void snapshot_pool(struct config *c, struct snapshot *n, struct snapshot_pool *sp, const struct pool_entry *p)
{
	const struct pool *pool = parts_use(&n->parts, p->part, &n->arena);
	const struct conn_pool_properties *keep = pool->conn_pool_properties;

	sp->pool = pool;
	sp->uuid = arena_strdup(&n->arena, p->uuid);
	sp->name = pool->name;
	sp->state = pool_state_get(p->state);
	sp->tls = p->tls ? secure_get(p->tls) : NULL;
	sp->disable_ms = times(pool->graceful_disable_timeout, 60000);
	sp->down_ms = times(pool->graceful_hm_down_disable_timeout, 1000);
	sp->connect_ms = CONNECT_MS;
	if (pool->server_timeout)
		sp->connect_ms = MIN(sp->connect_ms, (uint64_t)pool->server_timeout);
	sp->keep.idle_ms = keep ? (uint64_t)keep->upstream_connpool_conn_idle_tmo : 60000;
	sp->keep.life_ms = keep ? (uint64_t)keep->upstream_connpool_conn_life_tmo : 600000;
	sp->keep.max_reuse = keep ? (uint64_t)keep->upstream_connpool_conn_max_reuse : 0;
	sp->keep.max_idle = keep ? (uint64_t)keep->upstream_connpool_server_max_cache : 0;
	sp->passive = pool->inline_health_monitor;
	sp->min_up = (unsigned)pool->min_servers_up;
	sp->service_port = pool->use_service_port;
	sp->service_tls = pool->use_service_ssl_mode;
	sp->queue_max = pool->request_queue_enabled ? (unsigned)pool->request_queue_depth : 0;
	sp->servers = arena_get(&n->arena, (p->seen.n + 1) * sizeof(sp->servers[0]));
	/* A pool that is switched off has no servers: all its connections are closed. */
	for (size_t i = 0; i < p->seen.n && pool->enabled; i++) {
		const struct config_server *from = &p->servers[i];
		const struct server *line = from->line < pool->servers_n ? &pool->servers[from->line] : NULL;

		sp->servers[sp->n_servers++] = (struct snapshot_server){
			.backend = backend_get(from->backend),
			.ratio = MAX(from->ratio, 1u),
			.enabled = from->enabled,
			.server = line,
			.host = host_of(n, pool, line, from->backend),
		};
	}
	snapshot_persist(c, n, sp);
	snapshot_rules(n, sp);
	snapshot_rate(sp);
}

/* Smaller comes first: the place among the labels, or else the larger number. */
static int64_t order_of(const struct pool_group_member *m, const struct priority_labels *labels)
{
	const char *label = m->priority_label ? m->priority_label : "";

	for (size_t i = 0; labels && i < labels->equivalent_labels_n; i++)
		for (size_t j = 0; j < labels->equivalent_labels[i].labels_n; j++)
			if (strcmp(labels->equivalent_labels[i].labels[j], label) == 0)
				return (int64_t)i - INT32_MAX;
	return labels ? 0 : -(int64_t)strtol(label, NULL, 10);
}

struct ordered {
	struct snapshot_member member;
	int64_t order;
};

static int by_order(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;

	if (x->order != y->order)
		return x->order < y->order ? -1 : 1;
	return (x->member.pool > y->member.pool) - (x->member.pool < y->member.pool);
}

/* The pool of N that stands in, as FAIL says; NULL: none. */
static const struct snapshot_pool *backup_of(const struct service_entry *s, const struct snapshot *n,
					     const struct fail_action *fail)
{
	if (!fail || fail->type != FAIL_ACTION_BACKUP_POOL || !fail->backup_pool)
		return NULL;
	for (size_t i = 0; i < s->n_pools; i++)
		if (strcmp(s->pools[i]->uuid, fail->backup_pool->backup_pool_ref) == 0)
			return &n->pools[i];
	return NULL;
}

static bool is_member(const struct snapshot *n, size_t pool)
{
	for (size_t i = 0; i < n->n_members; i++)
		if (n->members[i].pool == pool)
			return true;
	return n->n_members == 0 && pool == 0;
}

static void snapshot_group(struct config *c, const struct service_entry *s, struct snapshot *n)
{
	const struct pool_group *g = use_here(c, n, "poolgroup", n->vs->pool_group_ref);
	const struct priority_labels *labels = g ? use_here(c, n, "prioritylabels", g->priority_labels_ref) : NULL;
	struct ordered *all;

	if (!g)
		return;
	all = xcalloc(g->members_n + 1, sizeof(all[0]));
	for (size_t i = 0; i < g->members_n; i++)
		for (size_t p = 0; p < s->n_pools; p++)
			if (strcmp(s->pools[p]->uuid, g->members[i].pool_ref) == 0)
				all[n->n_members++] = (struct ordered){ { .pool = p, .ratio = (unsigned)g->members[i].ratio },
									order_of(&g->members[i], labels) };
	qsort(all, n->n_members, sizeof(all[0]), by_order);
	n->members = arena_get(&n->arena, (n->n_members + 1) * sizeof(n->members[0]));
	for (size_t i = 0; i < n->n_members; i++) {
		n->members[i] = all[i].member;
		if (i)
			n->members[i].rank = n->members[i - 1].rank + (all[i].order != all[i - 1].order);
	}
	free(all);
	n->group_min = (unsigned)g->min_servers;
	n->group_fail = g->fail_action;
}

static void snapshot_pools(struct config *c, const struct service_entry *s, struct snapshot *n)
{
	n->pools = arena_get(&n->arena, (s->n_pools + 1) * sizeof(n->pools[0]));
	for (size_t i = 0; i < s->n_pools; i++)
		snapshot_pool(c, n, &n->pools[n->n_pools++], s->pools[i]);
	snapshot_group(c, s, n);
	n->group_backup = backup_of(s, n, n->group_fail);
	for (size_t i = 0; i < n->n_pools; i++) {
		n->pools[i].backup = backup_of(s, n, n->pools[i].pool->fail_action);
		n->pools[i].spare = !is_member(n, i);
	}
}

static void snapshot_application(struct snapshot *n)
{
	const struct tcp_application_profile *tcp = n->application ? n->application->tcp_app_profile : NULL;

	n->proto = proto_of(n->application);
	if (n->proto == &l4_proto && tcp && tcp->proxy_protocol_enabled)
		n->proxy_header = tcp->proxy_protocol_version == PROXY_PROTOCOL_VERSION_2 ? 2 : 1;
	n->multiplex = n->proto == &http_proto && (!n->application->http_profile ||
						   n->application->http_profile->connection_multiplexing_enabled);
}

static void snapshot_tls_ports(const struct service_entry *s, struct snapshot *n)
{
	const struct virtual_service *vs = n->vs;
	struct snapshot_tls_port *p = arena_get(&n->arena, (vs->services_n + 1) * sizeof(*p));

	n->tls_ports = p;
	for (size_t i = 0; i < vs->services_n; i++) {
		const struct service *port = &vs->services[i];

		if (!port->enable_ssl)
			continue;
		*p++ = (struct snapshot_tls_port){
			.first = (unsigned)port->port,
			.last = (unsigned)MAX(port->port_range_end, port->port),
			.alpn = n->proto != &http_proto	? NULL
				: port->enable_http2	? "\x02h2\x08http/1.1"
							: "\x08http/1.1",
		};
		n->n_tls_ports++;
	}
	n->clients_tls = n->n_tls_ports && s->clients_tls ? secure_get(s->clients_tls) : NULL;
}

static void snapshot_clients_tls(struct config *c, struct service_entry *s, struct snapshot *n)
{
	config_tls_clients(c, s, n->vs);
	snapshot_tls_ports(s, n);
}

struct groups {
	struct config *config;
	struct service_entry *service;
};

static const struct ip_addr_group *group_of(void *arg, const char *uuid)
{
	struct groups *g = arg;

	return object_is(needs_add(&g->service->more, &g->config->objects, "ipaddrgroup", uuid));
}

static void snapshot_logs(struct config *c, struct service_entry *s, struct snapshot *n)
{
	struct groups g = { c, s };

	if (!n->vs->analytics_policy)
		return;
	s->log_share = log_share_for(s->log_share, s->deps[DEP_SERVICE]->part, mono_ns());
	n->log_plan = log_plan_new(n->vs->analytics_policy, s->log_share, group_of, &g, &n->arena);
}

static const uint32_t *rule_slots(struct config *c, const struct service_entry *s, const struct netsec *n,
				  struct arena *a)
{
	const json_t *known = json_object_get(c->slots_rules, s->uuid);
	uint32_t *slots = arena_get(a, (netsec_rules(n) + 1) * sizeof(slots[0]));

	for (uint32_t i = 0; i < netsec_rules(n); i++)
		slots[i] = (uint32_t)json_int(known, netsec_rule_name(n, i), COUNTERS_NO_SLOT);
	return slots;
}

/* A policy that is named and not there lets nobody in: its silence would be a hole. */
static void policy_load(struct config *c, struct service_entry *s, const char *uuid)
{
	static const struct network_security_rule closed[] = {
		{ .name = "missing policy", .enable = true, .action = NETWORK_SECURITY_POLICY_ACTION_TYPE_DENY } };
	static const struct network_security_policy missing = { .rules = closed, .rules_n = 1 };
	struct groups g = { c, s };
	const struct network_security_policy *p = NULL;
	struct netsec *fresh = NULL;

	if (uuid) {
		p = object_is(needs_add(&s->more, &c->objects, "networksecuritypolicy", uuid));
		if (!p)
			log_warn("policy_missing service=%s policy=%s", s->uuid, uuid);
		fresh = netsec_new(p ? p : &missing, group_of, &g, s->netsec);
	}
	netsec_put(s->netsec);
	s->netsec = fresh;
}

static struct rate_limit limit_of(const struct rate_profile *p)
{
	const struct rate_limiter *l = p ? p->rate_limiter : NULL;

	return l ? rate_limit_of((uint64_t)l->count, (uint64_t)l->period * NS_PER_S,
				 (uint64_t)MAX(l->burst_sz, l->count))
		 : (struct rate_limit){ 0 };
}

static enum limit_action action_of(const struct rate_profile *p)
{
	switch (p && p->action ? p->action->type : RL_ACTION_NONE) {
	case RL_ACTION_DROP_CONN:
	case RL_ACTION_RESET_CONN:
		return LIMIT_RESET;
	case RL_ACTION_CLOSE_CONN:
		return LIMIT_CLOSE;
	case RL_ACTION_LOCAL_RSP:
		return LIMIT_ANSWER;
	default:
		return LIMIT_COUNT;
	}
}

static int status_of(const struct rate_profile *p)
{
	static const int statuses[] = {
		[HTTP_LOCAL_RESPONSE_STATUS_CODE_200] = 200, [HTTP_LOCAL_RESPONSE_STATUS_CODE_204] = 204,
		[HTTP_LOCAL_RESPONSE_STATUS_CODE_403] = 403, [HTTP_LOCAL_RESPONSE_STATUS_CODE_404] = 404,
		[HTTP_LOCAL_RESPONSE_STATUS_CODE_429] = 429, [HTTP_LOCAL_RESPONSE_STATUS_CODE_501] = 501,
	};

	return p && p->action ? statuses[p->action->status_code] : 429;
}

/* Servers may be spoken to in another way than clients. */
static void snapshot_server_network(struct config *c, struct service_entry *s, struct snapshot *n)
{
	const struct network_profile *p = use_more(c, s, n, "networkprofile", n->vs->server_network_profile_ref);
	struct snapshot other = { .network = p };

	if (!p || !p->profile || p->profile->type != PROTOCOL_TYPE_TCP_PROXY)
		return;
	snapshot_network(&other);
	n->server = other.server;
}

static void snapshot_admission(struct config *c, struct service_entry *s, struct snapshot *n)
{
	const struct virtual_service *vs = n->vs;

	n->admission = (struct admission_plan){
		.shared = admission_get(s->admission),
		.netsec = netsec_get(s->netsec),
		.rule_slots = rule_slots(c, s, s->netsec, &n->arena),
		.open_max = vs->performance_limits
				    ? (unsigned)MAX(vs->performance_limits->max_concurrent_connections, (int64_t)0)
				    : 0,
		.mbps = vs->performance_limits ? (uint64_t)MAX(vs->performance_limits->max_throughput, (int64_t)0) : 0,
		.connections = limit_of(vs->connections_rate_limit),
		.connections_action = action_of(vs->connections_rate_limit),
		.requests = limit_of(vs->requests_rate_limit),
		.requests_action = action_of(vs->requests_rate_limit),
		.requests_status = status_of(vs->requests_rate_limit),
		.punish = vs->limit_doser,
	};
	if (!vs->max_cps_per_client)
		return;
	n->admission.each_client = rate_limit_of((uint64_t)vs->max_cps_per_client, NS_PER_S,
					      (uint64_t)vs->max_cps_per_client);
	if (!s->admission->clients)
		s->admission->clients = rate_table_new();
	n->admission.clients = s->admission->clients;
}

/* Where copies go, and what of the plaintext is in them. */
static const char *const *words_of(const json_t *list, bool lower, size_t *n, struct arena *a)
{
	const char **out = arena_get(a, (json_array_size(list) + 1) * sizeof(out[0]));
	json_t *word;
	size_t i;

	*n = 0;
	json_array_foreach(list, i, word) {
		char *s = arena_strdup(a, json_string_value(word) ? json_string_value(word) : "");

		out[(*n)++] = s;
		for (; lower && *s; s++)
			*s = (char)tolower((unsigned char)*s);
	}
	return out;
}

static void snapshot_clone_build(const struct service_entry *s, struct snapshot *n)
{
	struct plain_rules *r;

	n->clone = s->clone;
	flow_sink_get(n->clone.sink);
	if ((!s->clone.on && !s->clone.clients) || !s->plain)
		return;
	r = arena_get(&n->arena, sizeof(*r));
	*r = (struct plain_rules){
		.port = (uint16_t)json_int(s->plain, "port", 80),
		.mtu = (uint16_t)json_int(s->plain, "mtu", 1500),
	};
	r->masks.names = words_of(json_object_get(s->plain, "masked_headers"), true, &r->masks.n, &n->arena);
	r->masks.n = MIN(r->masks.n, (size_t)MASK_NAMES);
	r->hosts = words_of(json_object_get(s->plain, "hosts"), true, &r->n_hosts, &n->arena);
	r->paths = words_of(json_object_get(s->plain, "path_prefixes"), false, &r->n_paths, &n->arena);
	n->clone.plain = r;
}

/* N as a port sees it whose profiles are others. */
static struct snapshot *snapshot_port_build(struct config *c, struct service_entry *s, const struct snapshot *n,
					    const struct service *port)
{
	struct snapshot *p = snapshot_new();

	p->index = n->index;
	p->slot = n->slot;
	p->revision = n->revision;
	p->uuid = arena_strdup(&p->arena, n->uuid);
	p->vs = use(p, s->deps[DEP_SERVICE]);
	p->name = p->vs->name;
	p->application = port->override_application_profile_ref
				 ? use_more(c, s, p, "applicationprofile", port->override_application_profile_ref)
				 : use(p, s->deps[DEP_APPLICATION]);
	p->network = port->override_network_profile_ref
			     ? use_more(c, s, p, "networkprofile", port->override_network_profile_ref)
			     : use(p, s->deps[DEP_NETWORK]);
	p->analytics = use(p, s->deps[DEP_ANALYTICS]);
	snapshot_application(p);
	snapshot_network(p);
	snapshot_clone_build(s, p);
	p->sources = sources_read(s->sources, c->source_numbers, &p->arena);
	p->trigger = trigger_build(p->vs->packet_triggers, &p->arena);
	p->redaction = p->analytics ? redaction_new(p->analytics->sensitive_log_profile, &p->arena) : NULL;
	snapshot_logs(c, s, p);
	snapshot_admission(c, s, p);
	snapshot_server_network(c, s, p);
	snapshot_pools(c, s, p);
	snapshot_tls_ports(s, p);
	return p;
}

static bool network_is_udp(const struct network_profile *p)
{
	return p && p->profile &&
	       (p->profile->type == PROTOCOL_TYPE_UDP_FAST_PATH || p->profile->type == PROTOCOL_TYPE_UDP_PROXY);
}

static void snapshot_ports(struct config *c, struct service_entry *s, struct snapshot *n)
{
	n->ports = arena_get(&n->arena, (n->vs->services_n + 1) * sizeof(n->ports[0]));
	for (size_t i = 0; i < n->vs->services_n; i++) {
		const struct service *port = &n->vs->services[i];
		struct snapshot_port *p = &n->ports[n->n_ports];

		if (!port->override_application_profile_ref && !port->override_network_profile_ref)
			continue;
		p->as = snapshot_port_build(c, s, n, port);
		p->udp = network_is_udp(p->as->network);
		p->first = (unsigned)port->port;
		p->last = (unsigned)MAX(port->port_range_end, port->port);
		n->n_ports++;
	}
}

struct snapshot *config_build(struct config *c, struct service_entry *s, uint64_t revision)
{
	struct snapshot *n = snapshot_new();
	const struct virtual_service *vs;

	n->index = s->index;
	n->revision = revision;
	n->slot = (unsigned)json_int(c->slots_services, s->uuid, COUNTERS_NO_SLOT);
	n->uuid = arena_strdup(&n->arena, s->uuid);
	vs = n->vs = use(n, s->deps[DEP_SERVICE]);
	n->name = vs->name;
	config_dep_set(c, s, DEP_APPLICATION, "applicationprofile", vs->application_profile_ref);
	config_dep_set(c, s, DEP_NETWORK, "networkprofile", vs->network_profile_ref);
	config_dep_set(c, s, DEP_ANALYTICS, "analyticsprofile", vs->analytics_profile_ref);
	config_dep_set(c, s, DEP_CLONE, "trafficcloneprofile", vs->traffic_clone_profile_ref);
	n->application = use(n, s->deps[DEP_APPLICATION]);
	n->network = use(n, s->deps[DEP_NETWORK]);
	n->analytics = use(n, s->deps[DEP_ANALYTICS]);
	snapshot_application(n);
	snapshot_network(n);
	snapshot_clone_build(s, n);
	n->sources = sources_read(s->sources, c->source_numbers, &n->arena);
	n->trigger = trigger_build(vs->packet_triggers, &n->arena);
	n->redaction = n->analytics ? redaction_new(n->analytics->sensitive_log_profile, &n->arena) : NULL;
	needs_clear(&s->more, &c->objects);
	policy_load(c, s, vs->network_security_policy_ref);
	snapshot_logs(c, s, n);
	snapshot_admission(c, s, n);
	snapshot_server_network(c, s, n);
	snapshot_pools(c, s, n);
	snapshot_clients_tls(c, s, n);
	snapshot_ports(c, s, n);
	return n;
}
