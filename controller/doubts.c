#include "controller/doubts.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"

/* Longer lists are of items with keys, of which no two are alike; or nobody wrote them by hand. */
enum { LIST_MAX = 256, PATH_MAX_LEN = 160 };

/* ---- twice ---- */

static void tell_of_twins(struct change *c, const json_t *list, const char *path)
{
	CLEANUP_JSON json_t *seen = NULL;
	const json_t *item;
	size_t i;

	if (json_array_size(list) < 2 || json_array_size(list) > LIST_MAX)
		return;
	seen = json_object();
	json_array_foreach((json_t *)list, i, item) {
		CLEANUP_FREE char *text = json_dumps(item, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
		const json_t *first = json_object_get(seen, text);

		if (first)
			change_warn(c, "%s[%zu]: Is the same as item %lld of the list, and says nothing new.", path, i,
				    (long long)json_integer_value(first));
		else
			json_object_set_new(seen, text, json_integer((json_int_t)i));
	}
}

/* Of kinds whose expressions are asked. */
static void tell_of_expressions(struct change *c, const struct kind_desc *k, const json_t *v, const char *path)
{
	const char *how = json_str(v, "match_criteria", "");
	const json_t *text;
	size_t i;

	if ((strcmp(how, "REGEX_MATCH") != 0 && strcmp(how, "REGEX_DOES_NOT_MATCH") != 0) ||
	    (strcmp(k->path, "analyticsprofile") != 0 && strcmp(k->path, "virtualservice") != 0))
		return;
	json_array_foreach(json_object_get(v, "match_str"), i, text) {
		regex_t r;

		if (regcomp(&r, json_string_value(text), REG_EXTENDED | REG_ICASE | REG_NOSUB) == 0)
			regfree(&r);
		else
			change_warn(c, "%s.match_str[%zu]: Is no POSIX extended expression: it is not known what fits.", path, i);
	}
}

static void walk(struct change *c, const struct kind_desc *k, const json_t *v, const char *path)
{
	char below[PATH_MAX_LEN];
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_array(v))
		tell_of_twins(c, v, path);
	tell_of_expressions(c, k, v, path);
	json_array_foreach((json_t *)v, i, member) {
		snprintf(below, sizeof(below), "%s[%zu]", path, i);
		walk(c, k, member, below);
	}
	json_object_foreach((json_t *)v, key, member) {
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", key);
		walk(c, k, member, below);
	}
}

/* Items that differ, but not in what they are about. */
static const struct {
	const char *kind, *list, *key, *then;
} about[] = {
	{ "poolgroup", "members", "pool_ref", "the shares of both are the pool's" },
	{ "vrfcontext", "gateway_mon", "gateway_ip", "it is watched once, as the last one says" },
};

static void tell_of_the_same_thing(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	for (size_t n = 0; n < ARRAY_SIZE(about); n++) {
		const json_t *list = strcmp(about[n].kind, k->path) == 0 ? json_object_get(stored, about[n].list) : NULL;

		for (size_t i = 1; i < json_array_size(list); i++)
			for (size_t j = 0; j < i; j++) {
				const json_t *a = json_array_get(list, i), *b = json_array_get(list, j);

				if (!json_equal((json_t *)a, (json_t *)b) && json_object_get(a, about[n].key) &&
				    json_equal(json_object_get(a, about[n].key), json_object_get(b, about[n].key))) {
					change_warn(c, "%s[%zu].%s: Is that of %s[%zu] already: %s.", about[n].list, i, about[n].key,
						    about[n].list, j, about[n].then);
					break;
				}
			}
	}
}

/* ---- nothing there ---- */

static const struct {
	const char *kind, *field, *or[2], *then;
} wanted[] = {
	{ "virtualservice", "services", { NULL }, "it listens nowhere" },
	{ "virtualservice", "vsvip_ref", { NULL }, "it has no address" },
	{ "virtualservice", "pool_ref", { "pool_group_ref" }, "nobody answers its clients" },
	{ "vsvip", "vip", { NULL }, "it has no address" },
	{ "poolgroup", "members", { NULL }, "nobody answers its clients" },
	{ "pkiprofile", "ca_certs", { NULL }, "nobody is believed" },
	{ "ipaddrgroup", "addrs", { "ranges", "prefixes" }, "it matches nobody" },
	{ "scheduler", "backup_config_ref", { NULL }, "it makes no backups" },
};

static bool is_there(const json_t *stored, const char *field)
{
	const json_t *v = field ? json_object_get(stored, field) : NULL;

	return v && !(json_is_array(v) && json_array_size(v) == 0);
}

static void tell_of_nothing(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		if (strcmp(wanted[i].kind, k->path) == 0 && !is_there(stored, wanted[i].field) &&
		    !is_there(stored, wanted[i].or[0]) && !is_there(stored, wanted[i].or[1]))
			change_warn(c, "%s: There is none: %s.", wanted[i].field, wanted[i].then);
}

/* ---- of another type ---- */

static const struct {
	const char *kind, *within, *type, *word, *member; /* MEMBER counts only when TYPE is WORD */
} unions[] = {
	{ "healthmonitor", NULL, "type", "HEALTH_MONITOR_HTTP", "http_monitor" },
	{ "healthmonitor", NULL, "type", "HEALTH_MONITOR_HTTPS", "https_monitor" },
	{ "healthmonitor", NULL, "type", "HEALTH_MONITOR_TCP", "tcp_monitor" },
	{ "healthmonitor", NULL, "type", "HEALTH_MONITOR_UDP", "udp_monitor" },
	{ "healthmonitor", NULL, "type", "HEALTH_MONITOR_DNS", "dns_monitor" },
	{ "applicationpersistenceprofile", NULL, "persistence_type", "PERSISTENCE_TYPE_CLIENT_IP_ADDRESS", "ip_persistence_profile" },
	{ "applicationpersistenceprofile", NULL, "persistence_type", "PERSISTENCE_TYPE_HTTP_COOKIE", "http_cookie_persistence_profile" },
	{ "networkprofile", "profile", "type", "PROTOCOL_TYPE_TCP_PROXY", "tcp_proxy_profile" },
	{ "networkprofile", "profile", "type", "PROTOCOL_TYPE_TCP_FAST_PATH", "tcp_fast_path_profile" },
	{ "networkprofile", "profile", "type", "PROTOCOL_TYPE_UDP_FAST_PATH", "udp_fast_path_profile" },
	{ "applicationprofile", NULL, "type", "APPLICATION_PROFILE_TYPE_HTTP", "http_profile" },
};

static void tell_of_other_types(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	for (size_t i = 0; i < ARRAY_SIZE(unions); i++) {
		const char *within = unions[i].within;
		const json_t *in = within ? json_object_get(stored, within) : stored;
		const char *type = json_str(in, unions[i].type, "");

		if (strcmp(unions[i].kind, k->path) == 0 && json_object_get(in, unions[i].member) && strcmp(type, unions[i].word) != 0)
			change_warn(c, "%s%s%s: Says nothing here: it is for %s, and the type is %s.", within ? within : "",
				    within ? "." : "", unions[i].member, unions[i].word, type);
	}
}

/* ---- the wrong way round ---- */

static const struct {
	const char *kind, *least, *most;
} bounds[] = {
	{ "serviceenginegroup", "min_se", "max_se" },
	{ "serviceenginegroup", "min_scaleout_per_vs", "max_scaleout_per_vs" },
};

static json_int_t number_of(const struct kind_desc *k, const json_t *stored, const char *field)
{
	const struct field_desc *f = field_find(k->msg, field);

	return json_int(stored, field, f && f->dflt ? atoll(f->dflt) : 0);
}

static void tell_of_bounds(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	for (size_t i = 0; i < ARRAY_SIZE(bounds); i++) {
		json_int_t least, most;

		if (strcmp(bounds[i].kind, k->path) != 0)
			continue;
		least = number_of(k, stored, bounds[i].least);
		most = number_of(k, stored, bounds[i].most);
		if (least > most)
			change_warn(c, "%s: Is %lld, and %s is %lld: there are never that many.", bounds[i].least, (long long)least,
				    bounds[i].most, (long long)most);
	}
}

/* ---- done in another way ---- */

/* Stored, because what is asked for is done, if not so. */
static void tell_of_other_ways(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	const char *mode = json_str(stored, "ha_mode", "HA_MODE_SHARED");

	if (strcmp(k->path, "serviceenginegroup") == 0 && strcmp(mode, "HA_MODE_SHARED") != 0)
		change_warn(c, "ha_mode: %s is served as HA_MODE_SHARED: an address has one engine, and goes to another one when that dies.",
			    mode);
}

/* ---- of one kind alone ---- */

/* A status that is good and means maintenance is one of maintenance: what else is in its class stays good. */
static void tell_of_codes_that_mean_two_things(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	static const char *const members[][2] = { { "HEALTH_MONITOR_HTTP", "http_monitor" }, { "HEALTH_MONITOR_HTTPS", "https_monitor" } };

	for (size_t m = 0; m < ARRAY_SIZE(members) && strcmp(k->path, "healthmonitor") == 0; m++) {
		const json_t *http = json_object_get(stored, members[m][1]), *code, *good;
		size_t i, j;

		if (strcmp(json_str(stored, "type", ""), members[m][0]) != 0)
			continue;
		json_array_foreach(json_object_get(http, "maintenance_code"), i, code)
			json_array_foreach(json_object_get(http, "http_response_code"), j, good) {
				const char *word = json_string_value(good); /* HTTP_5XX */
				long long status = json_integer_value(code);

				if (strcmp(word, "HTTP_ANY") == 0 || word[strlen("HTTP_")] - '0' == status / 100) {
					change_warn(c, "%s.maintenance_code[%zu]: %lld is one of %s in http_response_code, too: it means "
						       "maintenance.", members[m][1], i, status, word);
					break;
				}
			}
	}
}

/* Pools of which none gets what is new. */
static void tell_of_groups_without_shares(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	const json_t *member;
	size_t i;

	if (strcmp(k->path, "poolgroup") != 0 || !is_there(stored, "members"))
		return;
	json_array_foreach(json_object_get(stored, "members"), i, member)
		if (json_int(member, "ratio", 1) != 0)
			return;
	change_warn(c, "members: Each has the ratio 0: nobody answers what is new.");
}

/* A scheduler that is on and never due. */
static void tell_of_schedulers_without_time(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	const char *mode = json_str(stored, "run_mode", "RUN_MODE_PERIODIC");

	if (strcmp(k->path, "scheduler") != 0 || !json_bool(stored, "enabled", true))
		return;
	if (strcmp(mode, "RUN_MODE_PERIODIC") == 0 && !is_there(stored, "frequency"))
		change_warn(c, "frequency: There is none: it never runs.");
	if (strcmp(mode, "RUN_MODE_AT") == 0 && !is_there(stored, "start_date_time"))
		change_warn(c, "start_date_time: There is none: it never runs.");
}

/* A version of TLS that is listed and not spoken. */
static void tell_of_old_versions(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	const json_t *v;
	size_t i;

	if (strcmp(k->path, "sslprofile") != 0)
		return;
	json_array_foreach(json_object_get(stored, "accepted_versions"), i, v) {
		const char *version = json_str(v, "type", "");

		if (strcmp(version, "SSL_VERSION_TLS1_2") != 0 && strcmp(version, "SSL_VERSION_TLS1_3") != 0)
			change_warn(c, "accepted_versions[%zu].type: %s is never spoken: it signs with SHA-1 and MD5.", i, version);
	}
}

/* A certificate that no port shows. */
static void tell_of_unused_certificates(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	const json_t *service;
	size_t i;

	if (strcmp(k->path, "virtualservice") != 0 || !is_there(stored, "ssl_key_and_certificate_refs"))
		return;
	json_array_foreach(json_object_get(stored, "services"), i, service)
		if (json_bool(service, "enable_ssl", false))
			return;
	change_warn(c, "ssl_key_and_certificate_refs: No port of the service has enable_ssl: nobody is shown a certificate.");
}

/* A rule that says nothing of whom it is about is about everybody. */
static void tell_of_wide_rules(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	const json_t *rule;
	size_t i;

	if (strcmp(k->path, "networksecuritypolicy") != 0)
		return;
	json_array_foreach(json_object_get(stored, "rules"), i, rule)
		if (json_object_size(json_object_get(rule, "match")) == 0)
			change_warn(c, "rules[%zu].match: Is empty: the rule is about everybody.", i);
}

void doubts_tell(struct change *c, const struct kind_desc *k, const json_t *stored)
{
	static void (*const doubts[])(struct change *, const struct kind_desc *, const json_t *) = {
		tell_of_the_same_thing, tell_of_nothing, tell_of_other_types, tell_of_other_ways, tell_of_bounds, tell_of_unused_certificates, tell_of_wide_rules,
		tell_of_codes_that_mean_two_things, tell_of_groups_without_shares, tell_of_schedulers_without_time, tell_of_old_versions,
	};

	if (c->by.system || c->by.internal)
		return;
	walk(c, k, stored, "");
	for (size_t i = 0; i < ARRAY_SIZE(doubts); i++)
		doubts[i](c, k, stored);
}
