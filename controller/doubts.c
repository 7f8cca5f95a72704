#include "controller/doubts.h"

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

static void walk(struct change *c, const json_t *v, const char *path)
{
	char below[PATH_MAX_LEN];
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_array(v))
		tell_of_twins(c, v, path);
	json_array_foreach((json_t *)v, i, member) {
		snprintf(below, sizeof(below), "%s[%zu]", path, i);
		walk(c, member, below);
	}
	json_object_foreach((json_t *)v, key, member) {
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "." : "", key);
		walk(c, member, below);
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

/* ---- of one kind alone ---- */

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
		tell_of_the_same_thing, tell_of_nothing, tell_of_other_types, tell_of_unused_certificates, tell_of_wide_rules,
	};

	if (c->by.system || c->by.internal)
		return;
	walk(c, stored, "");
	for (size_t i = 0; i < ARRAY_SIZE(doubts); i++)
		doubts[i](c, k, stored);
}
