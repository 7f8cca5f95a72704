/* state - what the controller says about itself; most of it before anybody logs in. */
#include "controller/rest/state.h"

#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/moment.h"
#include "controller/controller.h"
#include "controller/rest/handlers.h"
#include "controller/rest/subresource.h"

json_t *state_version(void)
{
	return json_pack("{s:s, s:s, s:s, s:s, s:f, s:i, s:s, s:s}", "Version", CONTRACT_VERSION,
			 "Product", "controller", "ProductName", "Spanwire", "Tag",
			 CONTRACT_VERSION "-spanwire-" SPANWIRE_VERSION, "min_version", 15.2,
			 "build", 1, "Date", "", "spanwire_version", SPANWIRE_VERSION);
}

enum result initial_data(struct request *q)
{
	request_json(q, 200,
		     json_pack("{s:o, s:b, s:{s:s}}", "version", state_version(), "setup_failed", 0,
			       "controller", "state", "CLUSTER_UP_NO_HA"));
	return RESULT_NOW;
}

static int first(void *arg, const struct object *o)
{
	*(const struct object **)arg = o;
	return 1;
}

static const struct object *first_of(struct store *s, const char *kind)
{
	const struct object *o = NULL;

	store_each(s, kind, first, &o);
	return o;
}

static json_t *cluster_state(struct controller *c)
{
	char since[MOMENT_MAX];

	moment_text(c->up_since_us, MOMENT_PLAIN, since);
	return json_pack("{s:s, s:s, s:i}", "state", "CLUSTER_UP_NO_HA", "up_since", since,
			 "progress", 100);
}

enum result cluster_status(struct request *q)
{
	request_json(q, 200, json_pack("{s:o}", "cluster_state", cluster_state(q->rest->c)));
	return RESULT_NOW;
}

/*
 * Bootstrap tools ask for it before anybody has a password; after the first set-up it is for users.
 */
enum result cluster_runtime(struct request *q)
{
	struct controller *c = q->rest->c;
	const struct object *config = store_get(c->store, "systemconfiguration", "default");
	const struct object *cluster = first_of(c->store, "cluster");
	const json_t *node = cluster ? json_array_get(json_object_get(cluster->body, "nodes"), 0)
				     : NULL;
	const char *name = json_str(node, "name", "node1");
	char since[MOMENT_MAX];

	if (config && json_bool(config->body, "welcome_workflow_complete", false)) {
		enum auth a = auth_user(q);

		if (a != AUTH_GOOD)
			return a == AUTH_LATER ? RESULT_LATER : RESULT_NOW;
	}
	moment_text(c->up_since_us, MOMENT_PLAIN, since);
	request_json(q, 200,
		     json_pack("{s:o, s:[{s:s, s:s, s:s, s:s, s:s}], s:{s:s, s:s}, s:[]}",
			       "cluster_state", cluster_state(c), "node_states", "name", name,
			       "mgmt_ip",
			       json_str(json_object_get(node, "ip"), "addr", "127.0.0.1"), "role",
			       "CLUSTER_LEADER", "state", "CLUSTER_ACTIVE", "up_since", since,
			       "node_info", "cluster_uuid", cluster ? cluster->uuid : "", "version",
			       CONTRACT_VERSION, "service_states"));
	return RESULT_NOW;
}

enum result cluster_version(struct request *q)
{
	request_json(q, 200, state_version());
	return RESULT_NOW;
}

enum result model_get(struct request *q)
{
	json_t *model = model_describe();

	subresource_describe(q->rest, model);
	request_json(q, 200, model);
	return RESULT_NOW;
}

/*
 * Spanwire has no licence keys; the tools that add up usage find nothing to add, and more than anybody uses to add it to: they
 * read 0 as "no licence".
 */
enum result license_get(struct request *q)
{
	request_json(q, 200, json_pack("{s:[], s:s}", "licenses", "uuid", "default"));
	return RESULT_NOW;
}

static int add_processors(void *arg, const struct object *engine)
{
	*(json_int_t *)arg += json_int(json_object_get(engine->body, "resources"), "num_vcpus", 0);
	return 0;
}

enum result licenseusage_get(struct request *q)
{
	json_int_t processors = 0;

	store_each(q->rest->c->store, "serviceengine", add_processors, &processors);
	request_json(q, 200,
		     json_pack("{s:i, s:I, s:[]}", "licensed_cores", 1000000, "num_se_vcpus", processors,
			       "licenses"));
	return RESULT_NOW;
}

enum result upgradestatus_get(struct request *q)
{
	request_json(q, 200,
		     json_pack("{s:i, s:[{s:s, s:s, s:s, s:{s:s}}]}", "count", 1, "results", "name",
			       "controller", "node_type", "NODE_CONTROLLER_CLUSTER", "version",
			       CONTRACT_VERSION, "state", "state", "UPGRADE_FSM_COMPLETED"));
	return RESULT_NOW;
}

/* Playbooks wait for this word of `result`. */
enum result cluster_upgrade_get(struct request *q)
{
	request_json(q, 200,
		     json_pack("{s:s, s:s, s:{s:s}, s:b}", "result", "SUCCESS", "version", CONTRACT_VERSION, "state", "state",
			       "UPGRADE_FSM_COMPLETED", "in_progress", 0));
	return RESULT_NOW;
}

/* What clients know and this controller does not have; the rows of route.c that lead here. */
enum result absent_any(struct request *q)
{
	static const struct {
		const char *under, *why;
	} absent[] = {
		{ "/api/image", "this controller keeps no images, and is upgraded as a package" },
		{ "/api/analytics/healthscore",
		  "only the present scores are told, at healthscore/KIND/UUID" },
		{ "/api/analytics/anomaly", "nobody looks for anomalies" },
		{ "/api/systemconfiguration/systestemail", "this controller sends no mail" },
		{ "/api/virtualservice/clear",
		  "POST virtualservice/UUID/runtime/stats/clear begins the counters of one anew" },
		{ "/api/pool/clear",
		  "POST pool/UUID/runtime/stats/clear begins the counters of one anew" },
		{ "/api/poolgroup/clear",
		  "POST poolgroup/UUID/runtime/stats/clear begins the counters of its pools anew; none of them stays out until it is called back" },
		{ "/api/serviceengine/clear",
		  "POST serviceengine/UUID/runtime/stats/clear begins all counters of one anew" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(absent); i++)
		if (strncmp(q->path, absent[i].under, strlen(absent[i].under)) == 0) {
			request_refuse(q, 404, "There is nothing at %s: %s.", q->path, absent[i].why);
			break;
		}
	return RESULT_NOW;
}
