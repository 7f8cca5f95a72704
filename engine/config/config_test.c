/*
 * What a commit makes of objects: told by what reaches a worker, at the far end of real sockets.
 */
#include "base/test.h"

#include <sys/socket.h>
#include <unistd.h>

#include "engine/config/config.h"
#include "engine/http/sticky.h"
#include "engine/pool_state.h"
#include "model/structs.h"

#define LIMIT_S 60 /* who waits so long waits in vain, on any machine */

struct world {
	struct counters counters;
	struct worker *worker;
	struct loop *loop;
	struct inbox inbox;
	struct config *config;
	struct config_user user;
	uint64_t applied;
	int pools_told, pools_gone;
	struct backend *seen[4];   /* of the pool, as last told; borrowed from the configuration */
	size_t n_seen, n_monitors;
	struct health_monitor monitor; /* the first of them, as last told */
};

static void on_applied(struct config_user *u, uint64_t revision)
{
	CONTAINER_OF(u, struct world, user)->applied = revision;
}

static void on_pool(struct config_user *u, const struct config_pool *p)
{
	struct world *w = CONTAINER_OF(u, struct world, user);

	w->pools_told++;
	w->n_seen = p->n;
	w->n_monitors = p->n_monitors;
	if (p->n_monitors)
		w->monitor = *p->monitors[0];
	for (size_t i = 0; i < p->n && i < ARRAY_SIZE(w->seen); i++)
		w->seen[i] = p->servers[i].backend;
}

static void on_pool_gone(struct config_user *u, const char *uuid)
{
	if (strcmp(uuid, "pool-1") == 0)
		CONTAINER_OF(u, struct world, user)->pools_gone++;
}

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	assert_int_equal(counters_new(&w->counters, 1), 0);
	w->loop = loop_new();
	assert_int_equal(inbox_init(&w->inbox, w->loop), 0);
	w->worker = worker_start(0, &w->counters);
	w->user = (struct config_user){ on_applied, on_pool, on_pool_gone };
	w->config = config_new(&w->worker, 1, &w->inbox, &w->user);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	worker_stop(w->worker);
	inbox_fini(&w->inbox);
	config_free(w->config);
	loop_free(w->loop);
	counters_fini(&w->counters);
	free(w);
	return 0;
}

static void put(struct world *w, const char *kind, const char *uuid, const char *text)
{
	struct err e = { 0 };
	CLEANUP_JSON json_t *o = NULL;

	if (json_read(text, strlen(text), &o, &e) < 0)
		fail_msg("%s", err_line(&e));
	json_object_set_new(o, "uuid", json_string(uuid));
	json_object_set_new(o, "name", json_string(uuid));
	config_put(w->config, kind, uuid, o);
}

static void put_pool(struct world *w, const char *servers)
{
	CLEANUP_FREE char *text = xasprintf("{\"lb_algorithm\":\"LB_ALGORITHM_ROUND_ROBIN\",\"servers\":[%s],"
					    "\"health_monitor_refs\":[\"/api/healthmonitor/hm-1\"]}", servers);

	put(w, "pool", "pool-1", text);
}

#define ADDR(last) "{\"ip\":{\"addr\":\"127.0.0." last "\",\"type\":\"V4\"},\"port\":9}"

static void put_service(struct world *w)
{
	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],\"pool_ref\":\"/api/pool/pool-1\"}");
}

static void commit(struct world *w)
{
	uint64_t revision = w->applied + 1, deadline = mono_ns() + LIMIT_S * NS_PER_S;

	config_commit(w->config, revision);
	while (w->applied != revision) {
		assert_true(mono_ns() < deadline);
		loop_turn(w->loop, 50);
	}
}

/* The newest snapshot, once the worker has it; nobody changes it while the test looks. */
static const struct snapshot *snapshot_of(struct world *w, unsigned index)
{
	return index < w->worker->n_services && w->worker->services[index] ? w->worker->services[index]->snapshot
									     : NULL;
}

static void servers_keep_their_backends_through_edits(void **state)
{
	struct world *w = *state;
	struct backend *two;

	put(w, "healthmonitor", "hm-1", "{\"type\":\"HEALTH_MONITOR_TCP\"}");
	put_pool(w, ADDR("1") "," ADDR("2"));
	put_service(w);
	commit(w);
	assert_int_equal(w->pools_told, 1);
	assert_int_equal(w->n_seen, 2);
	assert_int_equal(w->n_monitors, 1);
	two = w->seen[1];
	assert_string_equal(two->name, "127.0.0.2:9");
	put_pool(w, ADDR("3") "," ADDR("2") "," ADDR("1"));
	commit(w);
	assert_int_equal(w->pools_told, 2);
	assert_ptr_equal(w->seen[1], two);
	assert_int_equal(snapshot_of(w, 0)->pools[0].n_servers, 3);
}

static void only_what_is_touched_is_built_anew(void **state)
{
	struct world *w = *state;
	const struct snapshot *before;

	put(w, "healthmonitor", "hm-1", "{\"type\":\"HEALTH_MONITOR_TCP\"}");
	put_pool(w, ADDR("1"));
	put_service(w);
	put(w, "virtualservice", "vs-2", "{\"services\":[{\"port\":81}]}");
	commit(w);
	before = snapshot_of(w, 1);
	put_pool(w, ADDR("2"));
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->revision, 2);
	assert_ptr_equal(snapshot_of(w, 1), before);
	assert_int_equal(before->revision, 1);
	/* A monitor concerns the monitors, and no snapshot. */
	put(w, "healthmonitor", "hm-1", "{\"type\":\"HEALTH_MONITOR_TCP\",\"send_interval\":3}");
	commit(w);
	assert_int_equal(w->pools_told, 3);
	assert_int_equal(snapshot_of(w, 0)->revision, 2);
}

static void order_within_a_batch_means_nothing(void **state)
{
	struct world *w = *state;

	put_service(w);
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->n_pools, 0); /* it is served, by nobody */
	put_pool(w, ADDR("1"));
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->pools[0].n_servers, 1);
}

static void what_is_deleted_is_gone_and_its_number_is_used_again(void **state)
{
	struct world *w = *state;

	put_pool(w, ADDR("1"));
	put_service(w);
	commit(w);
	config_delete(w->config, "virtualservice", "vs-1");
	commit(w);
	assert_null(snapshot_of(w, 0));
	assert_int_equal(w->pools_gone, 1);
	put(w, "virtualservice", "vs-2", "{\"services\":[{\"port\":81}]}");
	commit(w);
	assert_string_equal(snapshot_of(w, 0)->uuid, "vs-2");
}

static void pool_that_is_switched_off_has_no_servers(void **state)
{
	struct world *w = *state;

	put_service(w);
	put(w, "pool", "pool-1", "{\"enabled\":false,\"servers\":[" ADDR("1") "]}");
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->pools[0].n_servers, 0);
	assert_int_equal(w->n_seen, 1);
}

static void profile_s_numbers_arrive_in_our_units(void **state)
{
	struct world *w = *state;
	const struct snapshot *s;

	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],\"pool_ref\":\"/api/pool/pool-1\","
					  "\"network_profile_ref\":\"/api/networkprofile/net-1\"}");
	put(w, "networkprofile", "net-1",
	    "{\"profile\":{\"type\":\"PROTOCOL_TYPE_TCP_PROXY\",\"tcp_proxy_profile\":"
	    "{\"idle_connection_type\":\"CLOSE_IDLE\",\"idle_connection_timeout\":7,\"nagles_algorithm\":true,"
	    "\"ip_dscp\":10,\"keepalive_in_halfclose_state\":false}}}");
	put(w, "pool", "pool-1", "{\"graceful_disable_timeout\":2,\"graceful_hm_down_disable_timeout\":5,"
				 "\"max_concurrent_connections_per_server\":9,\"servers\":[]}");
	commit(w);
	s = snapshot_of(w, 0);
	assert_true(s->close_idle);
	assert_int_equal(s->idle_ms, 7000);
	assert_false(s->client.nodelay);
	assert_int_equal(s->dscp, 10);
	assert_false(s->keepalive_halfclosed);
	assert_int_equal(s->pools[0].disable_ms, 120000);
	assert_int_equal(s->pools[0].down_ms, 5000);
	assert_int_equal(s->pools[0].rules.max_load, 9);
	assert_int_equal(s->pools[0].rules.kind, LB_LEAST_CONNECTIONS);
	assert_int_equal(s->pools[0].keep.idle_ms, 60000);
	assert_int_equal(s->pools[0].keep.life_ms, 600000);
	put(w, "pool", "pool-1", "{\"graceful_disable_timeout\":-1,\"servers\":[]}");
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->pools[0].disable_ms, -1);
}

/* The type says which of a profile's parts counts. */
static void network_profile_is_of_its_type(void **state)
{
	struct world *w = *state;

	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],\"network_profile_ref\":\"/api/networkprofile/net-1\"}");
	put(w, "networkprofile", "net-1",
	    "{\"profile\":{\"type\":\"PROTOCOL_TYPE_UDP_FAST_PATH\",\"udp_fast_path_profile\":"
	    "{\"session_idle_timeout\":4,\"per_pkt_loadbalance\":true}}}");
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->idle_ms, 4000);
	assert_true(snapshot_of(w, 0)->per_packet);
	put(w, "networkprofile", "net-1",
	    "{\"profile\":{\"type\":\"PROTOCOL_TYPE_TCP_FAST_PATH\",\"tcp_fast_path_profile\":{\"session_idle_timeout\":6},"
	    "\"udp_fast_path_profile\":{\"session_idle_timeout\":4,\"per_pkt_loadbalance\":true}}}");
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->idle_ms, 6000);
	assert_false(snapshot_of(w, 0)->per_packet);
}

static void application_says_how_servers_learn_of_clients(void **state)
{
	static const char *const words[] = { "", "\"proxy_protocol_enabled\":true",
					     "\"proxy_protocol_enabled\":true,\"proxy_protocol_version\":\"PROXY_PROTOCOL_VERSION_2\"",
					     "\"proxy_protocol_version\":\"PROXY_PROTOCOL_VERSION_2\"" };
	static const unsigned versions[] = { 0, 1, 2, 0 };
	struct world *w = *state;

	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],"
					  "\"application_profile_ref\":\"/api/applicationprofile/app-1\"}");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		CLEANUP_FREE char *text = xasprintf("{\"type\":\"APPLICATION_PROFILE_TYPE_L4\",\"tcp_app_profile\":{%s}}",
						    words[i]);

		put(w, "applicationprofile", "app-1", text);
		commit(w);
		assert_int_equal(snapshot_of(w, 0)->proxy_header, versions[i]);
	}
}

static void application_says_whether_clients_share(void **state)
{
	static const char *const words[] = { "false", "true" };
	struct world *w = *state;

	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],"
					  "\"application_profile_ref\":\"/api/applicationprofile/app-1\"}");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		CLEANUP_FREE char *text = xasprintf("{\"type\":\"APPLICATION_PROFILE_TYPE_HTTP\",\"http_profile\":"
						    "{\"connection_multiplexing_enabled\":%s}}", words[i]);

		put(w, "applicationprofile", "app-1", text);
		commit(w);
		assert_int_equal(snapshot_of(w, 0)->multiplex, i);
	}
	put(w, "applicationprofile", "app-1", "{\"type\":\"APPLICATION_PROFILE_TYPE_L4\"}");
	commit(w);
	assert_false(snapshot_of(w, 0)->multiplex);
}

static void servers_may_be_spoken_to_in_another_way(void **state)
{
	struct world *w = *state;
	const struct snapshot *s;

	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],"
					  "\"network_profile_ref\":\"/api/networkprofile/net-1\","
					  "\"server_network_profile_ref\":\"/api/networkprofile/net-2\"}");
	put(w, "networkprofile", "net-1",
	    "{\"profile\":{\"type\":\"PROTOCOL_TYPE_TCP_PROXY\",\"tcp_proxy_profile\":"
	    "{\"nagles_algorithm\":true,\"automatic\":false,\"max_syn_retransmissions\":3}}}");
	put(w, "networkprofile", "net-2",
	    "{\"profile\":{\"type\":\"PROTOCOL_TYPE_TCP_PROXY\",\"tcp_proxy_profile\":"
	    "{\"automatic\":false,\"max_syn_retransmissions\":5}}}");
	commit(w);
	s = snapshot_of(w, 0);
	assert_false(s->client.nodelay);
	assert_true(s->server.nodelay);
	assert_int_equal(s->client.syn_retries, 3);
	assert_int_equal(s->server.syn_retries, 5);
	/* It changes, and goes. */
	put(w, "networkprofile", "net-2", "{\"profile\":{\"type\":\"PROTOCOL_TYPE_TCP_PROXY\"}}");
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->server.syn_retries, 0);
	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],"
					  "\"network_profile_ref\":\"/api/networkprofile/net-1\"}");
	commit(w);
	assert_int_equal(snapshot_of(w, 0)->server.syn_retries, 3);
}

static const struct snapshot_pool *pool_of(struct world *w, const char *text)
{
	put(w, "pool", "pool-1", text);
	commit(w);
	return &snapshot_of(w, 0)->pools[0];
}

static void pool_s_numbers_arrive_in_our_units(void **state)
{
	struct world *w = *state;
	const struct snapshot_pool *p;

	put_service(w);
	p = pool_of(w, "{\"servers\":[]}");
	assert_int_equal(p->rules.ramp_ns, 600 * NS_PER_S);
	assert_int_equal(p->rules.core_sharing, 2);
	assert_int_equal(p->rate.each_ns, 0);
	assert_int_equal(p->queue_max, 0);
	assert_int_equal(p->min_up, 0);
	assert_false(p->service_port || p->service_tls);
	p = pool_of(w, "{\"connection_ramp_duration\":0,\"lb_algorithm_core_nonaffinity\":7,"
		       "\"min_servers_up\":3,\"use_service_port\":true,\"use_service_ssl_mode\":true,"
		       "\"request_queue_enabled\":true,\"request_queue_depth\":5,\"max_conn_rate_per_server\":"
		       "{\"rate_limiter\":{\"count\":100,\"period\":2,\"burst_sz\":4}},\"servers\":[]}");
	assert_int_equal(p->rules.ramp_ns, 0);
	assert_int_equal(p->rules.core_sharing, 7);
	assert_int_equal(p->queue_max, 5);
	assert_int_equal(p->min_up, 3);
	assert_true(p->service_port && p->service_tls);
	assert_int_equal(p->rate.each_ns, 20 * NS_PER_MS);
	assert_int_equal(p->rate.room_ns, 60 * NS_PER_MS);
}

static void each_algorithm_has_its_tables(void **state)
{
	static const char *const words[] = {
		[LB_ROUND_ROBIN] = "ROUND_ROBIN",         [LB_LEAST_CONNECTIONS] = "LEAST_CONNECTIONS",
		[LB_FASTEST_RESPONSE] = "FASTEST_RESPONSE", [LB_LEAST_LOAD] = "LEAST_LOAD",
		[LB_FEWEST_SERVERS] = "FEWEST_SERVERS",   [LB_FEWEST_TASKS] = "FEWEST_TASKS",
		[LB_CORE_AFFINITY] = "CORE_AFFINITY",     [LB_RANDOM] = "RANDOM",
		[LB_CONSISTENT_HASH] = "CONSISTENT_HASH",
	};
	struct world *w = *state;

	put_service(w);
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		CLEANUP_FREE char *text = xasprintf("{\"lb_algorithm\":\"LB_ALGORITHM_%s\",\"lb_algo_rr_per_se\":true,"
						    "\"servers\":[" ADDR("1") "," ADDR("2") "]}", words[i]);
		const struct snapshot_pool *p = pool_of(w, text);

		assert_int_equal(p->rules.kind, i);
		assert_int_equal(p->rules.hash != NULL, i == LB_CONSISTENT_HASH);
		assert_int_equal(p->rules.wheel != NULL, i == LB_ROUND_ROBIN);
	}
	assert_null(pool_of(w, "{\"lb_algorithm\":\"LB_ALGORITHM_ROUND_ROBIN\",\"servers\":[]}")->rules.wheel);
}

static bool anybody(void *arg, size_t place)
{
	(void)arg;
	(void)place;
	return true;
}

/* Keys, of 100, that have the same server whether the servers' ports are these or those. */
static int same_server(struct world *w, const char *more)
{
	size_t owner[100];
	int same = 0;

	for (int port = 1; port <= 2; port++) {
		CLEANUP_FREE char *text = xasprintf("{\"lb_algorithm\":\"LB_ALGORITHM_CONSISTENT_HASH\",%s"
						    "\"default_server_port\":%d,\"servers\":["
						    "{\"ip\":{\"addr\":\"127.0.0.1\",\"type\":\"V4\"}},"
						    "{\"ip\":{\"addr\":\"127.0.0.2\",\"type\":\"V4\"}}]}", more, port);
		const struct snapshot_pool *p = pool_of(w, text);

		for (unsigned k = 0; k < 100; k++) {
			size_t now = lb_hash_find(p->rules.hash, lb_hash_mix(k), anybody, NULL);

			same += port == 2 && owner[k] == now;
			owner[k] = now;
		}
	}
	return same;
}

static void hash_may_ignore_ports(void **state)
{
	struct world *w = *state;

	put_service(w);
	assert_int_equal(same_server(w, "\"ignore_server_port\":true,"), 100);
	assert_in_range(same_server(w, ""), 20, 80);
}

static const char *host_of(struct world *w, const char *more, const char *server)
{
	CLEANUP_FREE char *text = xasprintf("{%s\"servers\":[{\"ip\":{\"addr\":\"127.0.0.1\",\"type\":\"V4\"},%s}]}",
					    more, server);
	const char *host = pool_of(w, text)->servers[0].host;

	return host ? host : "";
}

static void host_is_rewritten_where_the_pool_or_the_server_says_so(void **state)
{
	struct world *w = *state;

	put_service(w);
#define NAMED "\"hostname\":\"web.example\","
	assert_string_equal(host_of(w, "", NAMED "\"port\":81"), "");
	assert_string_equal(host_of(w, "", NAMED "\"rewrite_host_header\":true,\"port\":81"), "web.example:81");
	assert_string_equal(host_of(w, "", NAMED "\"rewrite_host_header\":true,\"port\":80"), "web.example");
	assert_string_equal(host_of(w, "\"append_port\":\"ALWAYS\",", NAMED "\"rewrite_host_header\":true,\"port\":80"),
			    "web.example:80");
	assert_string_equal(host_of(w, "\"append_port\":\"NEVER\",", NAMED "\"rewrite_host_header\":true,\"port\":81"),
			    "web.example");
	assert_string_equal(host_of(w, "\"rewrite_host_header_to_server_name\":true,", NAMED "\"port\":80"), "web.example");
	assert_string_equal(host_of(w, "\"rewrite_host_header_to_server_name\":true,", "\"port\":81"), "127.0.0.1:81");
	assert_string_equal(host_of(w, "\"rewrite_host_header_to_sni\":true,\"server_name\":\"sni.example\",",
				    NAMED "\"port\":80"), "sni.example");
	assert_string_equal(host_of(w, "\"rewrite_host_header_to_sni\":true,", NAMED "\"port\":80"), "");
	/* A name must not end the line. */
	assert_string_equal(host_of(w, "\"append_port\":\"NEVER\",\"rewrite_host_header_to_server_name\":true,",
				    "\"hostname\":\"a\\r\\nX: y\",\"port\":80"), "");
}

static void persistence_is_as_its_profile_says(void **state)
{
	static const char pool[] = "{\"application_persistence_profile_ref\":\"/api/applicationpersistenceprofile/ap-1\","
				   "\"server_disable_type\":\"ALLOW_NEW_CONNECTION_IF_PERSISTENCE_PRESENT\","
				   "\"servers\":[" ADDR("1") "]}";
	struct world *w = *state;
	const struct snapshot_pool *p;

	put(w, "applicationpersistenceprofile", "ap-1",
	    "{\"persistence_type\":\"PERSISTENCE_TYPE_CLIENT_IP_ADDRESS\",\"ip_persistence_profile\":"
	    "{\"ip_persistent_timeout\":7,\"ip_mask\":24},\"server_hm_down_recovery\":\"HM_DOWN_ABORT_CONNECTION\"}");
	put_service(w);
	p = pool_of(w, pool);
	assert_true(p->persist.by_address && p->state->persist);
	assert_int_equal(p->persist.keep_ns, 420 * NS_PER_S);
	assert_int_equal(p->persist.mask, 24);
	assert_int_equal(p->persist.down, HM_DOWN_ABORT_CONNECTION);
	assert_true(p->persist.while_disabled);
	assert_null(p->persist.cookie);
	/* The profile alone changes. */
	put(w, "applicationpersistenceprofile", "ap-1",
	    "{\"persistence_type\":\"PERSISTENCE_TYPE_HTTP_COOKIE\",\"http_cookie_persistence_profile\":"
	    "{\"cookie_name\":\"shop\",\"key\":[{\"aes_key\":\"a\"}]}}");
	commit(w);
	p = &snapshot_of(w, 0)->pools[0];
	assert_false(p->persist.by_address);
	assert_string_equal(sticky_name(p->persist.cookie), "shop");
	p = pool_of(w, "{\"servers\":[" ADDR("1") "]}");
	assert_null(p->persist.cookie);
	assert_false(p->persist.while_disabled);
}

static void know(struct world *w, const char *text)
{
	struct err e = { 0 };
	CLEANUP_JSON json_t *names = NULL;

	if (json_read(text, strlen(text), &names, &e) < 0)
		fail_msg("%s", err_line(&e));
	config_names(w->config, names);
	commit(w);
}

#define BY_NAME(more) "{" more "\"servers\":[{\"ip\":{\"addr\":\"web.test\",\"type\":\"DNS\"},\"port\":80}]}"

static void server_by_name_is_all_its_addresses(void **state)
{
	struct world *w = *state;
	const struct snapshot_pool *p;
	struct backend *one;
	CLEANUP_JSON json_t *report = json_array();

	put_service(w);
	p = pool_of(w, BY_NAME(""));
	assert_int_equal(p->n_servers, 0);
	config_report_names(w->config, "pool-1", report);
	assert_string_equal(json_str(json_array_get(report, 0), "reason", ""), "The address of web.test is being asked for.");
	know(w, "{\"web.test\":{\"now\":[\"10.0.0.1\",\"fd00::1\"],\"old\":[]}}");
	p = &snapshot_of(w, 0)->pools[0];
	assert_int_equal(p->n_servers, 2);
	one = p->servers[0].backend;
	assert_string_equal(one->name, "10.0.0.1:80");
	assert_string_equal(p->servers[1].backend->name, "fd00::1:80");
	/* One goes: deleted, or disabled. The other is as it was. */
	know(w, "{\"web.test\":{\"now\":[\"10.0.0.1\"],\"old\":[\"fd00::1\"]}}");
	p = &snapshot_of(w, 0)->pools[0];
	assert_int_equal(p->n_servers, 1);
	assert_ptr_equal(p->servers[0].backend, one);
	p = pool_of(w, BY_NAME("\"delete_server_on_dns_refresh\":false,"));
	assert_int_equal(p->n_servers, 2);
	assert_true(p->servers[0].enabled);
	assert_false(p->servers[1].enabled);
	/* Nobody knows any more: what was there stays, and why is said. */
	know(w, "{\"web.test\":{\"now\":[\"10.0.0.1\"],\"old\":[],\"error\":\"Timeout\"}}");
	assert_int_equal(snapshot_of(w, 0)->pools[0].n_servers, 1);
	json_array_clear(report);
	config_report_names(w->config, "pool-1", report);
	assert_string_equal(json_str(json_array_get(report, 0), "ip", ""), "web.test");
	assert_string_equal(json_str(json_array_get(report, 0), "reason", ""),
			    "web.test is still taken for 10.0.0.1: Timeout");
	/* Of many some are named, whole. */
	know(w, "{\"web.test\":{\"now\":[\"10.0.0.1\",\"10.0.0.2\",\"10.0.0.3\",\"10.0.0.4\",\"10.0.0.5\",\"10.0.0.6\",\"10.0.0.7\","
		"\"10.0.0.8\",\"10.0.0.9\",\"10.0.0.10\"],\"old\":[],\"error\":\"Timeout\"}}");
	json_array_clear(report);
	config_report_names(w->config, "pool-1", report);
	assert_string_equal(json_str(json_array_get(report, 0), "reason", ""),
			    "web.test is still taken for 10.0.0.1, 10.0.0.2, 10.0.0.3, 10.0.0.4, 10.0.0.5, 10.0.0.6, 10.0.0.7, 10.0.0.8 "
			    "and 2 more: Timeout");
}

static void server_with_an_address_may_have_a_name_that_is_resolved(void **state)
{
	static const char pool[] = "{\"servers\":[{\"ip\":{\"addr\":\"10.9.9.9\",\"type\":\"V4\"},\"hostname\":\"web.test\","
				   "\"resolve_server_by_dns\":%s}]}";
	struct world *w = *state;

	put_service(w);
	for (int resolve = 0; resolve < 2; resolve++) {
		CLEANUP_FREE char *text = xasprintf(pool, resolve ? "true" : "false");

		pool_of(w, text);
		know(w, "{}");
		assert_string_equal(snapshot_of(w, 0)->pools[0].servers[0].backend->name, "10.9.9.9:80");
		know(w, "{\"web.test\":{\"now\":[\"10.0.0.1\"],\"old\":[]}}");
		assert_string_equal(snapshot_of(w, 0)->pools[0].servers[0].backend->name,
				    resolve ? "10.0.0.1:80" : "10.9.9.9:80");
	}
}

static void address_group_follows_its_object(void **state)
{
	struct world *w = *state;
	const struct snapshot_pool *p;

	put(w, "ipaddrgroup", "g-1", "{\"prefixes\":[{\"ip_addr\":{\"addr\":\"10.0.0.0\",\"type\":\"V4\"},\"mask\":29}]}");
	put_service(w);
	p = pool_of(w, "{\"ipaddrgroup_ref\":\"/api/ipaddrgroup/g-1\",\"default_server_port\":8080,\"servers\":[" ADDR("1") "]}");
	assert_int_equal(p->n_servers, 7); /* of the eight two are no hosts' */
	assert_string_equal(p->servers[1].backend->name, "10.0.0.1:8080");
	assert_string_equal(p->servers[6].backend->name, "10.0.0.6:8080");
	put(w, "ipaddrgroup", "g-1", "{\"ip_ports\":[{\"ip\":{\"addr\":\"10.0.0.9\",\"type\":\"V4\"},\"port\":81}]}");
	commit(w);
	p = &snapshot_of(w, 0)->pools[0];
	assert_int_equal(p->n_servers, 2);
	assert_string_equal(p->servers[1].backend->name, "10.0.0.9:81");
}

static void pools_of_a_group_come_by_their_labels(void **state)
{
	struct world *w = *state;
	const struct snapshot *s;

	put(w, "pool", "pool-1", "{\"servers\":[" ADDR("1") "]}");
	put(w, "pool", "pool-2", "{\"servers\":[" ADDR("2") "]}");
	put(w, "pool", "pool-3", "{\"servers\":[" ADDR("3") "]}");
#define MEMBER(n, label) "{\"pool_ref\":\"/api/pool/pool-" n "\",\"ratio\":" n ",\"priority_label\":\"" label "\"}"
	put(w, "poolgroup", "g-1", "{\"min_servers\":2,\"members\":[" MEMBER("1", "5") "," MEMBER("2", "10") ","
				   MEMBER("3", "5") "]}");
	put(w, "virtualservice", "vs-1", "{\"services\":[{\"port\":80}],\"pool_group_ref\":\"/api/poolgroup/g-1\"}");
	commit(w);
	s = snapshot_of(w, 0);
	assert_int_equal(s->n_pools, 3);
	assert_int_equal(s->group_min, 2);
	assert_int_equal(s->n_members, 3);
	assert_string_equal(s->pools[s->members[0].pool].uuid, "pool-2");
	assert_int_equal(s->members[0].ratio, 2);
	assert_int_equal(s->members[1].rank, 1);
	assert_int_equal(s->members[2].rank, 1);
	/* Names in an order of their own; only that object comes. */
	put(w, "poolgroup", "g-1", "{\"priority_labels_ref\":\"/api/prioritylabels/pl-1\",\"members\":["
				   MEMBER("1", "blue") "," MEMBER("2", "green") "," MEMBER("3", "other") "]}");
	commit(w);
	put(w, "prioritylabels", "pl-1", "{\"equivalent_labels\":[{\"labels\":[\"green\"]},{\"labels\":[\"x\",\"blue\"]}]}");
	commit(w);
	s = snapshot_of(w, 0);
	assert_string_equal(s->pools[s->members[0].pool].uuid, "pool-2");
	assert_string_equal(s->pools[s->members[1].pool].uuid, "pool-1");
	assert_string_equal(s->pools[s->members[2].pool].uuid, "pool-3");
	assert_int_equal(s->members[2].rank, 2);
}

static void clone_range_is_part_of_the_next_commit(void **state)
{
	struct world *w = *state;
	CLEANUP_JSON json_t *m = json_pack("{s:s, s:b, s:i, s:i, s:i, s:i, s:b}", "virtualservice", "vs-1", "on", 1,
					   "service", 4, "first", 10, "count", 3, "generation", 77,
					   "preserve_client_ip", 1);

	put_service(w);
	commit(w);
	assert_false(snapshot_of(w, 0)->clone.on);
	config_clone(w->config, m, -1);
	commit(w);
	assert_true(snapshot_of(w, 0)->clone.on);
	assert_int_equal(snapshot_of(w, 0)->clone.n, 3);
	assert_int_equal(snapshot_of(w, 0)->clone.generation, 77);
}

/* The monitors that a pool was last told with are there when its way changes before the next commit. */
static void monitors_outlive_their_change_until_the_commit(void **state)
{
	struct world *w = *state;
	CLEANUP_JSON json_t *vrfs = json_pack("{s:[[s, i, i]]}", "vrf-1", "127.0.0.0", 8, 1);

	put(w, "healthmonitor", "hm-1", "{\"type\":\"HEALTH_MONITOR_TCP\",\"send_interval\":3}");
	put_pool(w, ADDR("1"));
	put(w, "virtualservice", "vs-1", "{\"vrf_context_ref\":\"/api/vrfcontext/vrf-1\",\"pool_ref\":\"/api/pool/pool-1\"}");
	commit(w);
	assert_int_equal(w->monitor.send_interval, 3);
	put(w, "healthmonitor", "hm-1", "{\"type\":\"HEALTH_MONITOR_TCP\",\"send_interval\":4}");
	config_vrfs(w->config, vrfs);
	assert_int_equal(w->pools_told, 2);
	assert_int_equal(w->monitor.send_interval, 3);
	commit(w);
	assert_int_equal(w->monitor.send_interval, 4);
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(servers_keep_their_backends_through_edits),
		PROMISE(only_what_is_touched_is_built_anew),
		PROMISE(order_within_a_batch_means_nothing),
		PROMISE(what_is_deleted_is_gone_and_its_number_is_used_again),
		PROMISE(pool_that_is_switched_off_has_no_servers),
		PROMISE(profile_s_numbers_arrive_in_our_units),
		PROMISE(network_profile_is_of_its_type),
		PROMISE(application_says_how_servers_learn_of_clients),
		PROMISE(application_says_whether_clients_share),
		PROMISE(servers_may_be_spoken_to_in_another_way),
		PROMISE(pool_s_numbers_arrive_in_our_units),
		PROMISE(each_algorithm_has_its_tables),
		PROMISE(hash_may_ignore_ports),
		PROMISE(host_is_rewritten_where_the_pool_or_the_server_says_so),
		PROMISE(persistence_is_as_its_profile_says),
		PROMISE(server_by_name_is_all_its_addresses),
		PROMISE(server_with_an_address_may_have_a_name_that_is_resolved),
		PROMISE(address_group_follows_its_object),
		PROMISE(pools_of_a_group_come_by_their_labels),
		PROMISE(clone_range_is_part_of_the_next_commit),
		PROMISE(monitors_outlive_their_change_until_the_commit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
