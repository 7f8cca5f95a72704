/* What is done with objects that are accepted: each promise of model.h. */
#include "base/test.h"

#include <math.h>
#include <time.h>

#include "model/structs.h"
#include "model/test_world.h"

/* ---- what is accepted ------------------------------------------------- */

static void old_and_loose_forms_are_read(void **state)
{
	CLEANUP_JSON json_t *pool = stored_form(
		"pool",
		"{'name': 'p', 'url': 'https://x/api/pool/p', '_last_modified': '17', 'enabled': 'True',"
		" 'default_server_port': '8080', 'vrf_ref': '', 'health_monitor_refs':"
		" ['https://any/api/healthmonitor/healthmonitor-a#a', '/api/healthmonitor?name=b', 'healthmonitor-c']}");
	CLEANUP_JSON json_t *hm = stored_form(
		"healthmonitor", "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP', 'http_monitor':"
				 " {'http_response_code': [{'code': 'HTTP_2XX'}, 'HTTP_3XX']}}");
	CLEANUP_JSON json_t *vip = stored_form(
		"vsvip", "{'name': 'v', 'vip': [{'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}},"
			 " {'vip_id': 7, 'ip_address': {'addr': '1.1.1.2', 'type': 'V4'}}]}");

	(void)state;
	assert_json(
		pool,
		"{'name': 'p', 'enabled': true, 'default_server_port': 8080, 'cloud_ref':"
		" '/api/cloud/cloud-Default-Cloud', 'health_monitor_refs': ['/api/healthmonitor/healthmonitor-a',"
		" '/api/healthmonitor/healthmonitor-b', '/api/healthmonitor/healthmonitor-c']}");
	assert_json(json_object_get(hm, "http_monitor"),
		    "{'http_response_code': ['HTTP_2XX', 'HTTP_3XX']}");
	assert_string_equal(json_str(json_array_get(json_object_get(vip, "vip"), 0), "vip_id", ""),
			    "0");
	assert_string_equal(json_str(json_array_get(json_object_get(vip, "vip"), 1), "vip_id", ""),
			    "7");
}

static void answers_have_defaults_and_references(void **state)
{
	const struct model_write plain = { .base_url = "https://h:1" };
	const struct model_write named = { .base_url = "https://h:1",
					   .include_name = true,
					   .name_in_url = true };
	const struct model_write sparse = { .base_url = "https://h:1", .skip_default = true };
	CLEANUP_JSON json_t *stored = stored_form(
		"pool",
		"{'name': 'p', 'default_server_port': 80, 'servers':"
		" [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 81}], 'lookup_server_by_name': true}");
	CLEANUP_JSON json_t *a = NULL, *b = NULL, *c = NULL;
	const json_t *server;

	(void)state;
	json_object_set_new(stored, "uuid", json_string("pool-1"));
	a = model_write(kind_find("pool"), stored, &plain, &world);
	assert_string_equal(json_str(a, "url", ""), "https://h:1/api/pool/pool-1");
	assert_string_equal(json_str(a, "cloud_ref", ""),
			    "https://h:1/api/cloud/cloud-Default-Cloud");
	assert_int_equal(json_int(a, "connection_ramp_duration", 0), 10);
	assert_string_equal(json_str(a, "lb_algorithm", ""), "LB_ALGORITHM_LEAST_CONNECTIONS");
	assert_null(json_object_get(a, "fail_action"));
	server = json_array_get(json_object_get(a, "servers"), 0);
	assert_string_equal(json_str(server, "hostname", ""), "10.0.0.1");
	assert_int_equal(json_int(server, "ratio", 0), 1);

	b = model_write(kind_find("pool"), stored, &named, &world);
	assert_string_equal(json_str(b, "url", ""), "https://h:1/api/pool/pool-1#p");
	assert_string_equal(json_str(b, "cloud_ref", ""),
			    "https://h:1/api/cloud/cloud-Default-Cloud#Default-Cloud");

	c = model_write(kind_find("pool"), stored, &sparse, &world);
	assert_json(
		c,
		"{'url': 'https://h:1/api/pool/pool-1', 'uuid': 'pool-1', 'name': 'p', 'cloud_ref':"
		" 'https://h:1/api/cloud/cloud-Default-Cloud', 'lookup_server_by_name': true,"
		" 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 81}]}");
}

static void a_range_ends_where_it_begins(void **state)
{
	const struct model_write plain = { .base_url = "" };
	CLEANUP_JSON json_t *stored = stored_form(
		"virtualservice",
		"{'name': 'v', 'services': [{'port': 80}, {'port': 81, 'port_range_end': 0}, {'port': 90, 'port_range_end': 99}]}");
	CLEANUP_JSON json_t *out = model_write(kind_find("virtualservice"), stored, &plain, &world);
	const json_t *services = json_object_get(out, "services");
	struct arena arena = ARENA_INIT;
	const struct virtual_service *vs = model_load(&virtual_service_message, stored, &arena);
	const int64_t want[] = { 80, 81, 99 };

	(void)state;
	assert_int_equal(vs->services_n, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(json_int(json_array_get(services, i), "port_range_end", -1),
				 want[i]);
		assert_int_equal(vs->services[i].port_range_end, want[i]);
	}
	arena_fini(&arena);
}

/* 1, 0, or what refused the filter. */
static int fits(const struct kind_desc *k, const json_t *stored, const char *field,
		const char *value, struct err *e)
{
	struct model_filter *f;
	int rc = model_filter_new(k, field, value, &f, e);

	if (rc < 0)
		return rc;
	rc = model_filter_fits(f, stored, &world);
	model_filter_free(f);
	return rc;
}

static void secrets_stay_here(void **state)
{
	const struct model_write plain = { .base_url = "" };
	const struct kind_desc *user = kind_find("user");
	CLEANUP_JSON json_t *old = stored_form("user", "{'name': 'u', 'password': 'geheim'}");
	CLEANUP_JSON json_t *out = model_write(user, old, &plain, &world);
	CLEANUP_JSON json_t *fresh = NULL;
	struct err e = { 0 };

	(void)state;
	assert_string_equal(json_str(out, "password", ""), "<sensitive>");
	assert_int_equal(fits(user, old, "password", "geheim", NULL), 0);
	assert_int_equal(fits(user, old, "password.ne", "geheim", NULL), 0);
	assert_int_equal(model_read(user, out, 0, &world, &fresh, NULL, &e), 0);
	assert_int_equal(model_replace(user, old, fresh, &e), 0);
	assert_string_equal(json_str(fresh, "password", ""), "geheim");
	/* A mask is no secret. */
	json_object_set_new(fresh, "password", json_string("<sensitive>"));
	assert_int_equal(model_replace(user, NULL, fresh, &e), 0);
	assert_null(json_object_get(fresh, "password"));
}

static void fixed_fields_stay(void **state)
{
	const struct kind_desc *hm = kind_find("healthmonitor"), *vsvip = kind_find("vsvip");
	CLEANUP_JSON json_t *old = stored_form("healthmonitor",
					       "{'name': 'h', 'type': 'HEALTH_MONITOR_TCP'}");
	CLEANUP_JSON json_t *fresh = stored_form("healthmonitor",
						 "{'name': 'h', 'type': 'HEALTH_MONITOR_HTTP'}");
	CLEANUP_JSON json_t *a = stored_form(
		"vsvip",
		"{'name': 'v', 'vip': [{'vip_id': '1', 'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}}]}");
	CLEANUP_JSON json_t *b = stored_form(
		"vsvip",
		"{'name': 'v', 'vip': [{'vip_id': '2', 'ip_address': {'addr': '1.1.1.1', 'type': 'V4'}}]}");
	struct err e = { 0 };

	(void)state;
	assert_int_equal(model_replace(hm, old, fresh, &e), -EINVAL);
	assert_string_equal(err_line(&e), "type: Is fixed after creation.");
	assert_int_equal(model_replace(vsvip, a, b, &e), -EINVAL);
	assert_string_equal(e.text, "Changing an existing VIP's vip_id is not supported.");
	assert_int_equal(model_replace(vsvip, a, a, &e), 0);
}

/* Profiles of protocols that are not built may be stored, so that they can be referred to; using them is refused. */
static void later_is_said(void **state)
{
	CLEANUP_JSON json_t *udp = stored_form(
		"networkprofile",
		"{'name': 'n', 'profile': {'type': 'PROTOCOL_TYPE_UDP_PROXY', 'udp_proxy_profile': {}}}");
	CLEANUP_JSON json_t *no_snat = stored_form(
		"networkprofile", "{'name': 'n', 'profile': {'type': 'PROTOCOL_TYPE_UDP_FAST_PATH',"
				  " 'udp_fast_path_profile': {'snat': false}}}");
	CLEANUP_JSON json_t *old = stored_form(
		"sslprofile", "{'name': 's', 'accepted_versions': [{'type': 'SSL_VERSION_TLS1'}, {'type': 'SSL_VERSION_TLS1_1'}]}");
	CLEANUP_JSON json_t *both = stored_form(
		"sslprofile", "{'name': 's', 'accepted_versions': [{'type': 'SSL_VERSION_TLS1_2'}, {'type': 'SSL_VERSION_TLS1_1'}]}");
	CLEANUP_JSON json_t *tcp = stored_form("networkprofile", "{'name': 'n', 'profile': {}}");
	CLEANUP_JSON json_t *wire = quoted(
		"{'name': 'a', 'type': 'APPLICATION_PROFILE_TYPE_HTTP', 'http_profile':"
		" {'max_rps_cip': 100}}");
	CLEANUP_JSON json_t *app = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(model_later(kind_find("networkprofile"), udp, &e), -EINVAL);
	assert_string_equal(err_line(&e),
			    "profile.type: PROTOCOL_TYPE_UDP_PROXY is not built yet; built: PROTOCOL_TYPE_TCP_PROXY,"
			    " PROTOCOL_TYPE_TCP_FAST_PATH, PROTOCOL_TYPE_UDP_FAST_PATH.");
	assert_int_equal(model_later(kind_find("networkprofile"), no_snat, &e), -EINVAL);
	assert_string_equal(e.path, "profile.udp_fast_path_profile.snat");
	assert_int_equal(model_later(kind_find("networkprofile"), tcp, &e), 0);
	/* Words that are passed over count only where nothing else stands in the list. */
	assert_int_equal(model_later(kind_find("sslprofile"), both, &e), 0);
	assert_int_equal(model_later(kind_find("sslprofile"), old, &e), -EINVAL);
	assert_string_equal(err_line(&e),
			    "accepted_versions: None of them is built; built: SSL_VERSION_TLS1_2, SSL_VERSION_TLS1_3. TLS 1.1 and older "
			    "sign with SHA-1 and MD5, which the security level of OpenSSL does not allow.");
	assert_json(json_object_get(tcp, "profile"), "{'type': 'PROTOCOL_TYPE_TCP_PROXY'}");
	assert_int_equal(model_read(kind_find("applicationprofile"), wire, MODEL_ALLOW_LATER,
				    &world, &app, NULL, &e),
			 0);
	assert_int_equal(model_later(kind_find("applicationprofile"), app, &e), -EINVAL);
	assert_string_equal(e.path, "http_profile.max_rps_cip");
}

/* ---- PATCH ------------------------------------------------------------ */

static const char pool_of_two[] =
	"{'name': 'p', 'min_servers_up': 1, 'servers':"
	" [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'ratio': 2}, {'ip': {'addr': '10.0.0.2', 'type': 'V4'}}]}";

/* clang-format off */
static const struct {
	const char *patch, *servers; /* SERVERS as they are afterwards; NULL: gone */
} server_patches[] = {
	{ "{'add': {'servers': [{'ip': {'addr': '10.0.0.3', 'type': 'V4'}}]}}",
	  "[{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'ratio': 2}, {'ip': {'addr': '10.0.0.2', 'type': 'V4'}},"
	  " {'ip': {'addr': '10.0.0.3', 'type': 'V4'}}]" },
	{ "{'add': {'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': '80', 'enabled': false}]}}",
	  "[{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'enabled': false},"
	  " {'ip': {'addr': '10.0.0.2', 'type': 'V4'}}]" },
	{ "{'replace': {'servers': [{'ip': {'addr': '10.0.0.9', 'type': 'V4'}}]}}",
	  "[{'ip': {'addr': '10.0.0.9', 'type': 'V4'}}]" },
	{ "{'delete': {'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80}]}}",
	  "[{'ip': {'addr': '10.0.0.2', 'type': 'V4'}}]" },
	{ "{'delete': {'servers': [{'ip': {'addr': '10.0.0.2', 'type': 'V4'}, 'port': 0},"
	  " {'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80}]}}", NULL },
	{ "{'add': {'name': 'p', 'cloud_ref': '/api/cloud?name=Default-Cloud', 'servers':"
	  " [{'ip': {'addr': '10.0.0.2', 'type': 'V4'}, 'ratio': 3}]}}",
	  "[{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 80, 'ratio': 2},"
	  " {'ip': {'addr': '10.0.0.2', 'type': 'V4'}, 'ratio': 3}]" },
};
/* clang-format on */

static json_t *patched(const char *kind, const json_t *stored, const char *patch, struct err *e)
{
	CLEANUP_JSON json_t *p = quoted(patch);
	json_t *out = NULL;
	int rc = model_patch(kind_find(kind), stored, p, 0, &world, &out, NULL, e);

	assert_true((rc == 0) == (out != NULL));
	return out;
}

static void patch_goes_by_key(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);
	CLEANUP_JSON json_t *before = json_deep_copy(stored);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(server_patches); i++) {
		struct err e = { 0 };
		CLEANUP_JSON json_t *out = patched("pool", stored, server_patches[i].patch, &e);

		if (!out)
			fail_msg("%s: %s", server_patches[i].patch, err_line(&e));
		if (server_patches[i].servers)
			assert_json(json_object_get(out, "servers"), server_patches[i].servers);
		else
			assert_null(json_object_get(out, "servers"));
		assert_true(json_equal(stored, before)); /* the old object is the store's */
	}
}

static void patch_sets_and_unsets(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);
	CLEANUP_JSON json_t *a = NULL, *b = NULL;
	struct err e = { 0 };

	(void)state;
	a = patched("pool", stored,
		    "{'add': {'enabled': 'false'}, 'replace': {'default_server_port': 81},"
		    " 'delete': {'min_servers_up': 1}}",
		    &e);
	assert_non_null(a);
	assert_true(json_is_false(json_object_get(a, "enabled")));
	assert_int_equal(json_int(a, "default_server_port", 0), 81);
	assert_null(json_object_get(a, "min_servers_up"));

	/* null is nothing to add, and unsets what it replaces. */
	json_decref(a);
	a = patched("pool", stored,
		    "{'add': {'servers': null, 'enabled': null}, 'replace': {'min_servers_up': null, 'fail_action': null}}", &e);
	assert_non_null(a);
	assert_int_equal(json_array_size(json_object_get(a, "servers")), 2);
	assert_null(json_object_get(a, "min_servers_up"));

	b = patched(
		"pool", stored,
		"{'add': {'health_monitor_refs': ['/api/healthmonitor?name=a', '/api/healthmonitor?name=b']}}",
		&e);
	assert_json(json_object_get(b, "health_monitor_refs"),
		    "['/api/healthmonitor/healthmonitor-a', '/api/healthmonitor/healthmonitor-b']");
}

static void wrong_patches_are_refused(void **state)
{
	/* clang-format off */
	static const struct {
		const char *patch, *error;
	} wrong[] = {
		{ "{}", "A PATCH is an object with add, replace or delete." },
		{ "[]", "A PATCH is an object with add, replace or delete." },
		{ "{'ad': {}}", "ad: Is not an operation: add, replace and delete are." },
		{ "{'add': []}", "add: Must be an object of fields." },
		{ "{'add': {'enabled': 7}}", "add.enabled: Must be true or false, not a number." },
		{ "{'delete': {'name': 'other'}}", "delete.name: Is required and cannot be deleted." },
		{ "{'delete': {'name': null}}", "delete.name: Is required and cannot be deleted." },
		{ "{'replace': {'name': null}}", "replace.name: Is required and cannot be deleted." },
		{ "{'replace': {'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}}, {'ip': {'addr': '10.0.0.1', 'type': 'V4'}}]}}",
		  "replace.servers[1]: Is the same as item 0 of the list." },
		{ "{'add': {'routing_pool': true}}", "add.routing_pool: " },
	};
	/* clang-format on */
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err e = { 0 };

		assert_null(patched("pool", stored, wrong[i].patch, &e));
		if (strncmp(err_line(&e), wrong[i].error, strlen(wrong[i].error)) != 0)
			fail_msg("%s\nsays:  %s\nnot:   %s", wrong[i].patch, err_line(&e),
				 wrong[i].error);
	}
}

/* ---- questions --------------------------------------------------------- */

static void filters_match(void **state)
{
	/* clang-format off */
	static const struct {
		const char *field, *value;
		bool yes;
	} filters[] = {
		{ "name", "p", true },                      { "name", "q", false },
		{ "name.contains", "p", true },             { "name.icontains", "P", true },
		{ "name.in", "a,p,c", true },               { "name.in", "a,pp", false },
		{ "enabled", "true", true },                { "enabled", "false", false }, /* by default */
		{ "cloud_ref.name", "Default-Cloud", true }, { "cloud_ref.name", "other", false },
		{ "cloud_ref.uuid", "cloud-Default-Cloud", true },
		{ "cloud_ref", "https://h/api/cloud/cloud-Default-Cloud#Default-Cloud", true },
		{ "cloud_ref", "/api/cloud/cloud-Default", false },
		{ "servers.ip.addr", "10.0.0.2", true },    { "servers.ip.addr", "10.0.0.3", false },
		{ "servers.port", "80", true },             { "servers.hostname", "10.0.0.2", true },
		{ "min_servers_up", "1", true },            { "min_servers_up", "2", false },
		{ "min_servers_up", "1.0", true },          { "min_servers_up.in", "7,1", true },
		{ "servers.port.gt", "79", true },          { "servers.port.gt", "8080", false },
		{ "servers.port.gte", "80", true },         { "servers.port.lt", "80", false },
		{ "servers.port.lte", "80", true },         { "default_server_port.lt", "80.5", true },
		{ "name.ne", "p", false },                  { "name.ne", "q", true },
		{ "servers.ip.addr.ne", "10.0.0.2", false }, { "servers.ip.addr.ne", "10.0.0.9", true },
		{ "name.startswith", "p", true },           { "name.endswith", "pp", false },
		{ "name.exact", "p", true },                { "name.gt", "o", true },
		{ "enabled.in", "true,x", true },           { "enabled", "1", true },
		{ "enabled.ne", "False", true },            { "cloud_ref.name.in", "x,Default-Cloud", true },
		{ "cloud_ref.contains", "Default", true },  { "description", "", false },
	};
	static const struct {
		const char *field, *value, *error;
	} wrong[] = {
		{ "nope", "1", "nope: Pool has no field 'nope' to filter by." },
		{ "name.nope", "p", "name.nope: There is no operator 'nope' for name." },
		{ "name.contains.x", "p", "name.contains.x: There is no operator 'contains.x' for name." },
		{ "servers", "1", "servers: It holds a Server: name one of its fields, behind a dot." },
		{ "servers.nope", "1", "servers.nope: Server has no field 'nope' to filter by." },
		{ "servers.", "1", "servers.: It holds a Server" },
		{ ".", "1", ".: Pool has no field '' to filter by." },
		{ "min_servers_up", "many", "min_servers_up: 'many' is not a number." },
		{ "servers.port.gt", "", "servers.port.gt: '' is not a number." },
		{ "enabled", "perhaps", "enabled: 'perhaps' is neither true nor false." },
		{ "enabled.gt", "true", "enabled.gt: A boolean is true or false." },
	};
	/* clang-format on */
	CLEANUP_JSON json_t *stored = stored_form("pool", pool_of_two);

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
		if (fits(kind_find("pool"), stored, filters[i].field, filters[i].value, NULL) !=
		    filters[i].yes)
			fail_msg("%s=%s", filters[i].field, filters[i].value);
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct err e = { 0 };

		assert_int_equal(fits(kind_find("pool"), stored, wrong[i].field, wrong[i].value,
				      &e),
				 -EINVAL);
		if (strncmp(err_line(&e), wrong[i].error, strlen(wrong[i].error)) != 0)
			fail_msg("%s=%s\nsays:  %s\nnot:   %s", wrong[i].field, wrong[i].value,
				 err_line(&e), wrong[i].error);
	}
}

static void differences_cost_what_they_cost(void **state)
{
	/* clang-format off */
	static const struct {
		const char *kind, *old, *new, *paths;
		enum apply_class class;
	} cases[] = {
		{ "pool", "{'name': 'p', 'servers': [{'ip': {'addr': '1.1.1.1', 'type': 'V4'}}]}",
		  "{'name': 'p', 'servers': [{'ip': {'addr': '1.1.1.2', 'type': 'V4'}}]}", "servers[0].ip.addr", APPLY_NOW },
		{ "pool", "{'name': 'p'}", "{'name': 'p', 'capacity_estimation': true}", "capacity_estimation", APPLY_NONE },
		{ "virtualservice", "{'name': 'v', 'services': [{'port': 80}]}",
		  "{'name': 'v', 'services': [{'port': 81}], 'traffic_clone_profile_ref': '/api/trafficcloneprofile/t'}",
		  "services[0].port,traffic_clone_profile_ref", APPLY_REBIND },
		{ "virtualservice", "{'name': 'v'}",
		  "{'name': 'v', 'traffic_clone_profile_ref': '/api/trafficcloneprofile/t'}",
		  "traffic_clone_profile_ref", APPLY_BPF },
		{ "virtualservice", "{'name': 'v'}", "{'name': 'v'}", "", APPLY_NONE },
	};
	/* clang-format on */

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP_JSON json_t *a = stored_form(cases[i].kind, cases[i].old);
		CLEANUP_JSON json_t *b = stored_form(cases[i].kind, cases[i].new);
		struct buf paths = BUF_INIT;

		assert_int_equal(model_diff(kind_find(cases[i].kind), a, b, &paths),
				 cases[i].class);
		assert_string_equal(buf_cstr(&paths), cases[i].paths);
		buf_fini(&paths);
	}
}

static int collect_ref(void *arg, const char *path, const char *kind, const char *uuid)
{
	return buf_printf(arg, "%s=%s/%s ", path, kind, uuid);
}

static int stop_at_first(void *arg, const char *path, const char *kind, const char *uuid)
{
	(void)path, (void)kind, (void)uuid;
	++*(int *)arg;
	return 5;
}

static void references_are_found(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form(
		"pool",
		"{'name': 'p', 'health_monitor_refs': ['/api/healthmonitor/a'], 'placement_networks': [{'network_ref':"
		" '/api/network/n', 'subnet': {'ip_addr': {'addr': '10.0.0.0', 'type': 'V4'}, 'mask': 8}}]}");
	struct buf found = BUF_INIT;
	int calls = 0;

	(void)state;
	assert_int_equal(model_refs(kind_find("pool"), stored, collect_ref, &found), 0);
	assert_non_null(strstr(buf_cstr(&found), "health_monitor_refs[0]=healthmonitor/a "));
	assert_non_null(strstr(buf_cstr(&found), "placement_networks[0].network_ref=network/n "));
	assert_non_null(strstr(buf_cstr(&found), "cloud_ref=cloud/cloud-Default-Cloud "));
	assert_int_equal(model_refs(kind_find("pool"), stored, stop_at_first, &calls), 5);
	assert_int_equal(calls, 1);
	buf_fini(&found);
}

static void structs_are_filled(void **state)
{
	CLEANUP_JSON json_t *stored = stored_form(
		"pool",
		"{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_ROUND_ROBIN', 'health_monitor_refs': ['/api/healthmonitor/a'],"
		" 'servers': [{'ip': {'addr': '10.0.0.1', 'type': 'V4'}, 'port': 81, 'enabled': false},"
		" {'ip': {'addr': 'fd00::1', 'type': 'V6'}}]}");
	struct arena arena = ARENA_INIT;
	const struct pool *p = model_load(&pool_message, stored, &arena);
	const struct http_application_profile *http = model_load(&http_application_profile_message,
								 NULL, &arena);

	(void)state;
	assert_string_equal(p->name, "p");
	assert_string_equal(p->cloud_ref, "cloud-Default-Cloud");
	assert_int_equal(p->lb_algorithm, LB_ALGORITHM_ROUND_ROBIN);
	assert_true(p->enabled);
	assert_false(p->has_min_health_monitors_up);
	assert_int_equal(p->health_monitor_refs_n, 1);
	assert_string_equal(p->health_monitor_refs[0], "a");
	assert_int_equal(p->servers_n, 2);
	assert_int_equal(p->servers[0].port, 81);
	assert_true(p->servers[0].has_port);
	assert_false(p->servers[0].enabled);
	assert_false(p->servers[1].has_port);
	assert_int_equal(p->servers[1].ip->type, V6);
	assert_string_equal(p->servers[1].hostname, "fd00::1");
	assert_int_equal(p->fail_action->type, FAIL_ACTION_CLOSE_CONN);
	assert_int_equal(p->conn_pool_properties->upstream_connpool_conn_idle_tmo, 60000);
	assert_null(p->vrf_ref);
	assert_int_equal(http->keepalive_timeout, 30000);
	assert_string_equal(http->xff_alternate_name, "X-Forwarded-For");
	arena_fini(&arena);
}

/* An engine and a controller of different versions must not take each other down. */
static void objects_of_other_versions_load(void **state)
{
	CLEANUP_JSON json_t *pool = quoted(
		"{'name': 'p', 'lb_algorithm': 'LB_ALGORITHM_OF_NEXT_YEAR', 'enabled': 'no',"
		" 'default_server_port': [], 'health_monitor_refs': [7, '/api/healthmonitor/a'],"
		" 'servers': [1, {'ip': 5, 'port': 'x'}], 'conn_pool_properties': 'none'}");
	CLEANUP_JSON json_t *good = stored_form("pool", pool_of_two);
	struct arena arena = ARENA_INIT;
	const struct pool *p = model_load(&pool_message, pool, &arena);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(p->lb_algorithm, LB_ALGORITHM_LEAST_CONNECTIONS);
	assert_true(p->enabled);
	assert_int_equal(p->default_server_port, 80);
	assert_int_equal(p->health_monitor_refs_n, 1);
	assert_int_equal(p->servers_n, 1);
	assert_null(p->servers[0].ip);
	assert_null(p->servers[0].hostname);
	assert_false(p->servers[0].has_port);
	assert_non_null(p->conn_pool_properties);
	assert_int_equal(model_fits(kind_find("pool"), pool, &e), -EINVAL);
	assert_string_equal(e.path, "lb_algorithm");
	assert_int_equal(model_fits(kind_find("pool"), good, &e), 0);
	arena_fini(&arena);
}

static void nearest_is_near(void **state)
{
	static const char *const known[] = { "servers", "server_name", "enabled" };

	(void)state;
	assert_string_equal(model_nearest("sevrers", known, 3), "servers");
	assert_string_equal(model_nearest("enable", known, 3), "enabled");
	assert_null(model_nearest("zebra", known, 3));
	assert_null(model_nearest("", known, 3));
}

/* ---- size --------------------------------------------------------------- */

static double time_of_servers(int n)
{
	const struct model_write full = { .base_url = "https://h" };
	const struct kind_desc *k = kind_find("pool");
	CLEANUP_JSON json_t *wire = json_pack("{s:s, s:[]}", "name", "p", "servers");
	CLEANUP_JSON json_t *stored = NULL, *out = NULL, *patch = NULL, *after = NULL;
	struct arena arena = ARENA_INIT;
	uint64_t start;

	for (int i = 0; i < n; i++) {
		char addr[32];

		snprintf(addr, sizeof(addr), "10.%d.%d.%d", i >> 16, i >> 8 & 255, i & 255);
		json_array_append_new(json_object_get(wire, "servers"),
				      json_pack("{s:{s:s, s:s}, s:i}", "ip", "addr", addr, "type",
						"V4", "port", 80));
	}
	patch = json_pack("{s:{s:O}}", "add", "servers", json_object_get(wire, "servers"));
	start = computed_ns();
	assert_int_equal(model_read(k, wire, 0, &world, &stored, NULL, NULL), 0);
	out = model_write(k, stored, &full, &world);
	assert_int_equal(model_patch(k, stored, patch, 0, &world, &after, NULL, NULL), 0);
	assert_int_equal(model_diff(k, stored, after, NULL), APPLY_NONE);
	model_load(k->msg, stored, &arena);
	arena_fini(&arena);
	return (double)(computed_ns() - start) / 1e9;
}

/* Ten times the servers cost about ten times, not a hundred. The best of five, because the machine is shared. */
static void five_thousand_servers_are_not_quadratic(void **state)
{
	double few = 1e9, many = 1e9;

	(void)state;
	for (int i = 0; i < 5; i++) {
		few = fmin(few, time_of_servers(500));
		many = fmin(many, time_of_servers(5000));
	}
	print_message("500 servers %.1f ms, 5000 servers %.1f ms\n", few * 1e3, many * 1e3);
	assert_true(many < 35 * few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(old_and_loose_forms_are_read),
		cmocka_unit_test(answers_have_defaults_and_references),
		cmocka_unit_test(a_range_ends_where_it_begins),
		cmocka_unit_test(secrets_stay_here),
		cmocka_unit_test(fixed_fields_stay),
		cmocka_unit_test(later_is_said),
		cmocka_unit_test(patch_goes_by_key),
		cmocka_unit_test(patch_sets_and_unsets),
		cmocka_unit_test(wrong_patches_are_refused),
		cmocka_unit_test(filters_match),
		cmocka_unit_test(differences_cost_what_they_cost),
		cmocka_unit_test(references_are_found),
		cmocka_unit_test(structs_are_filled),
		cmocka_unit_test(objects_of_other_versions_load),
		cmocka_unit_test(nearest_is_near),
		cmocka_unit_test(five_thousand_servers_are_not_quadratic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
