#include "controller/rules/clone.h"

#include <errno.h>

#include "base/base.h"
#include "base/ip.h"
#include "controller/audit.h"
#include "controller/resolve.h"
#include "controller/rules.h"

enum { WARNINGS_MAX = 8 };

static bool is_decrypted(const json_t *profile)
{
	return strcmp(json_str(profile, "payload", "CLONE_AS_SENT"), "CLONE_DECRYPTED") == 0;
}

static bool is_wrapped(const json_t *server)
{
	return strcmp(json_str(json_object_get(server, "encapsulation"), "type", "CLONE_ENCAP_NONE"),
		      "CLONE_ENCAP_NONE") != 0;
}

static const struct object *profile_of(struct change *c, const json_t *vs)
{
	const char *ref = json_str(vs, "traffic_clone_profile_ref", NULL);

	return ref ? txn_get(c->txn, "trafficcloneprofile", ref_target(ref)) : NULL;
}

/* ---- what can never work -------------------------------------------------------- */

/* What a service says of itself, or else its virtual service. */
static const struct object *setting(struct change *c, const char *kind, const json_t *vs, const json_t *service,
				    const char *own, const char *field)
{
	const char *ref = json_str(service, own, json_str(vs, field, NULL));

	return ref ? txn_get(c->txn, kind, ref_target(ref)) : NULL;
}

static bool is_http(struct change *c, const json_t *vs, const json_t *service)
{
	const struct object *o = setting(c, "applicationprofile", vs, service, "override_application_profile_ref",
					 "application_profile_ref");

	return !o || strcmp(json_str(o->body, "type", ""), "APPLICATION_PROFILE_TYPE_HTTP") == 0;
}

static bool is_udp(struct change *c, const json_t *vs, const json_t *service)
{
	const struct object *o = setting(c, "networkprofile", vs, service, "override_network_profile_ref",
					 "network_profile_ref");
	const char *type = o ? json_str(json_object_get(o->body, "profile"), "type", "") : "";

	return strncmp(type, "PROTOCOL_TYPE_UDP_", 18) == 0;
}

/* What only requests have. NULL: nothing of it is asked for. */
static const char *asks_of_requests(const json_t *profile)
{
	const json_t *filter = json_object_get(profile, "filter");

	if (json_array_size(json_object_get(filter, "hosts")))
		return "filter.hosts";
	if (json_array_size(json_object_get(filter, "path_prefixes")))
		return "filter.path_prefixes";
	return json_array_size(json_object_get(profile, "masked_headers")) ? "masked_headers" : NULL;
}

/* The field by which PROFILE cannot copy this service of VS, and WHY, without a period; NULL: it can. */
static const char *misfit(struct change *c, const json_t *profile, const json_t *vs, const json_t *service,
			  const char **why)
{
	const char *asks = asks_of_requests(profile);

	if (!is_decrypted(profile) && json_bool(service, "enable_ssl", false) &&
	    strcmp(json_str(profile, "side", "CLONE_SIDE_SERVER"), "CLONE_SIDE_SERVER") != 0) {
		*why = "is TLS, and the side of its clients is unreadable but with payload CLONE_DECRYPTED";
		return "side";
	}
	*why = "is not HTTP: it has no requests to choose from or to mask";
	return asks && !is_http(c, vs, service) ? asks : NULL;
}

/* Does PROFILE fit all ports of VS? PATH NULL: it is the profile that is written. */
static int fits(struct change *c, const json_t *profile, const char *name, const json_t *vs, const char *vs_name,
		const char *path, struct err *e)
{
	const json_t *service;
	const char *why, *field;
	size_t i, udp = 0;

	json_array_foreach(json_object_get(vs, "services"), i, service)
		udp += is_udp(c, vs, service);
	if (is_decrypted(profile) && udp && udp == i)
		return err_set(e, -EINVAL, path ? path : "payload",
			       "TrafficCloneProfile '%s' (payload) does not fit virtual service '%s': UDP has no decrypted copy.",
			       name, vs_name);
	json_array_foreach(json_object_get(vs, "services"), i, service) {
		field = misfit(c, profile, vs, service, &why);
		if (field)
			return err_set(e, -EINVAL, path ? path : field,
				       "TrafficCloneProfile '%s' (%s) does not fit virtual service '%s': port %lld %s.",
				       name, field, vs_name, (long long)json_int(service, "port", 0), why);
	}
	return 0;
}

/* ---- what cannot work now ---------------------------------------------------------- */

/* Where a receiver is looked for: one address, or a network. */
struct net {
	struct in6_addr addr;
	unsigned len;
	bool host;
};

static bool read_prefix(const json_t *prefix, struct net *out)
{
	*out = (struct net){ .len = (unsigned)json_int(prefix, "mask", 0) };
	return ip_parse(json_str(json_object_get(prefix, "ip_addr"), "addr", ""), &out->addr) == 0;
}

/* As engines do it: the subnet, that of the network in which the address lies or its first, else the address. */
static bool place_of(struct change *c, const json_t *server, struct net *out)
{
	const char *ip = json_str(json_object_get(server, "ip_address"), "addr", "");
	const char *ref = json_str(server, "network_ref", NULL);
	const struct object *network = ref ? txn_get(c->txn, "network", ref_target(ref)) : NULL;
	const json_t *subnet;
	struct in6_addr addr;
	size_t i;

	if (read_prefix(json_object_get(server, "subnet"), out))
		return true;
	json_array_foreach(json_object_get(network ? network->body : NULL, "configured_subnets"), i, subnet)
		if (read_prefix(json_object_get(subnet, "prefix"), out) &&
		    (ip_parse(ip, &addr) < 0 || ip_within(&addr, &out->addr, out->len)))
			return true;
	*out = (struct net){ .host = true };
	return ip_parse(ip, &out->addr) == 0;
}

struct search {
	const char *group, *cloud;   /* NULL: any */
	struct net net;
	bool found;
};

static bool vnic_is_in(const json_t *vnic, const struct net *net)
{
	const json_t *one;
	struct net own;
	size_t i;

	json_array_foreach(json_object_get(vnic, "vnic_networks"), i, one) {
		if (!read_prefix(json_object_get(one, "ip"), &own))
			continue;
		if (net->host ? ip_within(&net->addr, &own.addr, own.len) : ip_within(&own.addr, &net->addr, net->len))
			return true;
	}
	return false;
}

static int is_in(void *arg, const struct object *o)
{
	struct search *s = arg;
	const json_t *vnic;
	size_t i;

	if (s->group && strcmp(ref_target(json_str(o->body, "se_group_ref", NULL)), s->group) != 0)
		return 0;
	if (s->cloud && strcmp(o->cloud, s->cloud) != 0)
		return 0;
	s->found = vnic_is_in(json_object_get(o->body, "mgmt_vnic"), &s->net);
	json_array_foreach(json_object_get(o->body, "data_vnics"), i, vnic)
		s->found = s->found || vnic_is_in(vnic, &s->net);
	return s->found;
}

/* The receiver as sentences call it. */
static const char *server_name(const json_t *server)
{
	const char *ip = json_str(json_object_get(server, "ip_address"), "addr", NULL);

	return ip ? ip : json_str(server, "mac", "?");
}

/* GROUP (uuid), or all engines of CLOUD when nobody uses the profile yet. */
static void warn_of_places(struct change *c, const json_t *profile, const char *group, const char *cloud)
{
	const struct object *g = group ? txn_get(c->txn, "serviceenginegroup", group) : NULL;
	const json_t *server;
	size_t i;

	if (!json_array_size(json_object_get(profile, "clone_servers")))
		change_warn(c, "clone_servers: there is none, so nothing is copied.");
	json_array_foreach(json_object_get(profile, "clone_servers"), i, server) {
		struct search s = { .group = group, .cloud = cloud };
		bool wrapped = is_wrapped(server);

		/* Those are routed, wherever they are. */
		if (wrapped && !json_object_get(server, "subnet") && !json_object_get(server, "network_ref"))
			continue;
		if (!place_of(c, server, &s.net)) {
			change_warn(c, "clone_servers[%zu]: %.40s cannot be copied to: its network has no configured subnet.", i,
			     server_name(server));
			continue;
		}
		store_each(c->store, "serviceengine", is_in, &s);
		if (!s.found)
			change_warn(c, "clone_servers[%zu]: no service engine of %s%.60s has an interface in the network of %.40s,"
				"%s copies begin when one has.", i, g ? "group " : "the cloud", g ? g->name : "",
			     server_name(server), wrapped ? "" : " and it has no encapsulation to be routed to it by;");
	}
}

/* ---- two services in tandem ------------------------------------------------------------ */

/* Looking for the other one is for a warning only: where there are thousands of services it ends somewhere. */
enum { LOOKED_MAX = 1000 };

struct tandem {
	struct change *change;
	const char *uuid, *name;     /* of the service that is written */
	const char *group;
	json_t *addresses;           /* of its pool's servers, or its VIPs: text -> true */
	unsigned looked;
};

static void add_address(json_t *to, const json_t *ip)
{
	char text[IP_TEXT_MAX];
	struct in6_addr a;

	if (ip_parse(json_str(ip, "addr", ""), &a) == 0)
		json_object_set_new(to, ip_text(&a, text), json_true());
}

static bool has_address(const json_t *in, const json_t *ip)
{
	char text[IP_TEXT_MAX];
	struct in6_addr a;

	return ip_parse(json_str(ip, "addr", ""), &a) == 0 && json_object_get(in, ip_text(&a, text));
}

static const struct object *target(struct change *c, const json_t *vs, const char *kind, const char *field)
{
	return txn_get(c->txn, kind, ref_target(json_str(vs, field, NULL)));
}

static const char *group_of(const json_t *vs)
{
	return ref_target(json_str(vs, "se_group_ref", NULL));
}

static const json_t *list_of(const struct object *o, const char *field)
{
	return o ? json_object_get(o->body, field) : NULL;
}

static void warn_of_tandem(struct change *c, const char *first, const char *second)
{
	change_warn(c, "Virtual services %.60s and %.60s are of one service engine group: on one engine no packet passes an interface"
		" between them, and nothing of it is copied; give one of them another group.", first, second);
}

/* Another service of the group, which is shown to the writer. */
static bool is_other(struct tandem *t, const struct object *o)
{
	return strcmp(o->kind->path, "virtualservice") == 0 && strcmp(o->uuid, t->uuid) != 0 &&
	       strcmp(group_of(o->body), t->group) == 0 && change_shows(t->change, o);
}

static int is_second(void *arg, const struct object *o)
{
	struct tandem *t = arg;
	const json_t *vip;
	size_t i;

	if (!is_other(t, o))
		return ++t->looked == LOOKED_MAX;
	json_array_foreach(list_of(target(t->change, o->body, "vsvip", "vsvip_ref"), "vip"), i, vip)
		if (has_address(t->addresses, json_object_get(vip, "ip_address")) ||
		    has_address(t->addresses, json_object_get(vip, "ip6_address"))) {
			warn_of_tandem(t->change, t->name, o->name);
			return 1;
		}
	return ++t->looked == LOOKED_MAX;
}

/* With its own MAC and IP address on it, a server takes the copy of a packet for the packet. */
static void warn_of_servers(struct change *c, const json_t *profile, const char *vs_name, const json_t *addresses)
{
	const json_t *server;
	size_t i;

	json_array_foreach(json_object_get(profile, "clone_servers"), i, server)
		if (!is_wrapped(server) && has_address(addresses, json_object_get(server, "ip_address")))
			change_warn(c, "clone_servers[%zu]: %.40s is a server of virtual service %.60s: it would take each packet"
				" of its connections twice; give the sensor an address of its own.", i, server_name(server), vs_name);
}

/* VS copies what it says to its servers, by PROFILE: is one of them a virtual service beside it, or a receiver? */
static void warn_of_second(struct change *c, const json_t *profile, const char *uuid, const json_t *vs)
{
	CLEANUP_JSON json_t *addresses = json_object();
	struct tandem t = { .change = c, .uuid = uuid, .name = json_str(vs, "name", ""), .group = group_of(vs),
			    .addresses = addresses };
	const json_t *server;
	size_t i;

	json_array_foreach(list_of(target(c, vs, "pool", "pool_ref"), "servers"), i, server)
		add_address(addresses, json_object_get(server, "ip"));
	warn_of_servers(c, profile, t.name, addresses);
	if (json_object_size(addresses))
		store_each(c->store, "virtualservice", is_second, &t);
}

static int is_first(void *arg, const struct object *o)
{
	struct tandem *t = arg;
	const json_t *server;
	size_t i;

	if (!is_other(t, o))
		return ++t->looked == LOOKED_MAX;
	json_array_foreach(list_of(target(t->change, o->body, "pool", "pool_ref"), "servers"), i, server)
		if (has_address(t->addresses, json_object_get(server, "ip"))) {
			warn_of_tandem(t->change, o->name, t->name);
			return 1;
		}
	return ++t->looked == LOOKED_MAX;
}

static int users_of(void *arg, const struct object *profile)
{
	struct tandem *t = arg;

	return store_referrers(t->change->store, "trafficcloneprofile", profile->uuid, is_first, t);
}

/* VS may be a server of one that copies what it says to it. */
static void warn_of_first(struct change *c, const char *uuid, const json_t *vs)
{
	CLEANUP_JSON json_t *addresses = json_object();
	struct tandem t = { .change = c, .uuid = uuid, .name = json_str(vs, "name", ""), .group = group_of(vs),
			    .addresses = addresses };
	const json_t *vip;
	size_t i;

	json_array_foreach(list_of(target(c, vs, "vsvip", "vsvip_ref"), "vip"), i, vip) {
		add_address(addresses, json_object_get(vip, "ip_address"));
		add_address(addresses, json_object_get(vip, "ip6_address"));
	}
	if (json_object_size(addresses))
		store_each(c->store, "trafficcloneprofile", users_of, &t);
}

/* ---- who may ---------------------------------------------------------------------------- */

/* What is copied decrypted is a capture that does not end. */
static int may_decrypt(struct change *c, const json_t *body, const char *path, struct err *e)
{
	const char *tenant = ref_target(json_str(body, "tenant_ref", NULL));

	if (!c->by.viewer || access_may(c->by.viewer, GUARD_debug_virtual_service, tenant, ACCESS_WRITE, NULL) == 0)
		return 0;
	return err_set(e, -EACCES, path, "Copying decrypted needs write access to PERMISSION_TRAFFIC_CAPTURE.");
}

static int may_switch(struct change *c, const json_t *old, const json_t *new, const struct object *profile,
		      struct err *e)
{
	const char *tenant = ref_target(json_str(new, "tenant_ref", NULL));

	if (!c->by.viewer || strcmp(json_str(old, "traffic_clone_profile_ref", ""),
				    json_str(new, "traffic_clone_profile_ref", "")) == 0)
		return 0;
	if (access_may(c->by.viewer, GUARD_traffic_clone_profile, tenant, ACCESS_WRITE, NULL) < 0)
		return err_set(e, -EACCES, "traffic_clone_profile_ref",
			       "Switching copies on or off needs write access to PERMISSION_TRAFFICCLONEPROFILE.");
	return profile && is_decrypted(profile->body) ? may_decrypt(c, new, "traffic_clone_profile_ref", e) : 0;
}

/* ---- who did ------------------------------------------------------------------------------- */

/* Beside CONFIG_UPDATE: whoever watches over copies need not read all differences. */
static void tell(struct change *c, const struct kind_desc *k, const char *id, const char *uuid, const json_t *body,
		 json_t *details, const char *fmt, ...) __attribute__((format(printf, 7, 8)));
static void tell(struct change *c, const struct kind_desc *k, const char *id, const char *uuid, const json_t *body,
		 json_t *details, const char *fmt, ...)
{
	char text[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_object_set_new(details, "user", json_string(c->by.user));
	json_object_set_new(details, "client_ip", json_string(c->by.client));
	txn_event(c->txn, audit_event(id, "CONFIG", k->path, uuid, json_str(body, "name", ""),
				      ref_target(json_str(body, "tenant_ref", NULL)),
				      json_pack("{s:o}", "traffic_clone_details", details), "%s", text));
}

static json_t *profile_json(const struct object *p)
{
	json_t *v = p ? json_pack("{s:s, s:s, s:s}", "uuid", p->uuid, "name", p->name, "payload",
				  json_str(p->body, "payload", "CLONE_AS_SENT"))
		      : json_null();

	if (p && json_object_get(p->body, "clone_servers"))
		json_object_set(v, "clone_servers", json_object_get(p->body, "clone_servers"));
	return v;
}

static void tell_of_switch(struct change *c, const char *uuid, const json_t *old, const json_t *new)
{
	const struct object *was = profile_of(c, old), *is = profile_of(c, new);
	const json_t *vs = new ? new : old;
	const char *name = json_str(vs, "name", "");
	json_t *details;

	if (was == is)
		return;
	details = json_pack("{s:o, s:o}", "old", profile_json(was), "new", profile_json(is));
	if (!is)
		tell(c, kind_find("virtualservice"), "CONFIG_TRAFFIC_CLONE_OFF", uuid, vs, details,
		     "Copies of virtual service %.128s by TrafficCloneProfile %.128s were switched off by %.128s.", name,
		     was->name, c->by.user);
	else if (!was)
		tell(c, kind_find("virtualservice"), "CONFIG_TRAFFIC_CLONE_ON", uuid, vs, details,
		     "Copies of virtual service %.128s by TrafficCloneProfile %.128s were switched on by %.128s.", name,
		     is->name, c->by.user);
	else
		tell(c, kind_find("virtualservice"), "CONFIG_TRAFFIC_CLONE_CHANGE", uuid, vs, details,
		     "Virtual service %.128s is copied by TrafficCloneProfile %.128s in place of %.128s: changed by %.128s.",
		     name, is->name, was->name, c->by.user);
}

void rule_clone_service_gone(struct change *c, const char *uuid, const json_t *old)
{
	tell_of_switch(c, uuid, old, NULL);
}

/* Fields that change nothing of what is copied. */
static bool is_label(const char *path)
{
	static const char *const labels[] = { "name", "markers", "configpb_attributes", "url", "_last_modified" };

	for (size_t i = 0; i < ARRAY_SIZE(labels); i++)
		if (strncmp(path, labels[i], strlen(labels[i])) == 0)
			return true;
	return false;
}

/* USERS: names of the virtual services. Taken. */
static void tell_of_change(struct change *c, const char *uuid, const json_t *old, const json_t *new, json_t *users)
{
	const struct kind_desc *k = kind_find("trafficcloneprofile");
	CLEANUP_JSON json_t *differs = audit_diff(c, k, old, new), *services = users;
	bool matters = false;
	json_t *one;
	size_t i;

	json_array_foreach(differs, i, one)
		matters = matters || !is_label(json_str(one, "path", ""));
	if (!matters || !json_array_size(services))
		return;
	tell(c, k, "CONFIG_TRAFFIC_CLONE_CHANGE", uuid, new, json_pack("{s:O, s:O}", "diff", differs, "virtualservices", services),
	     "TrafficCloneProfile %.128s, by which %zu virtual service%s copied, was changed by %.128s.",
	     json_str(new, "name", ""), json_array_size(services), json_array_size(services) == 1 ? " is" : "s are",
	     c->by.user);
}

/* ---- the rules -------------------------------------------------------------------------------- */

int rule_clone_of_service(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	const struct object *profile = profile_of(c, new);
	int rc = may_switch(c, old, new, profile, e);

	if (rc < 0)
		return rc;
	warn_of_first(c, uuid, new);
	tell_of_switch(c, uuid, old, new);
	if (!profile)
		return 0;
	rc = fits(c, profile->body, profile->name, new, json_str(new, "name", ""), "traffic_clone_profile_ref", e);
	if (rc < 0)
		return rc;
	warn_of_places(c, profile->body, group_of(new), NULL);
	warn_of_second(c, profile->body, uuid, new);
	return 0;
}

/* A subnet that is not its network's. An address outside the subnets of its network; beside a MAC address it may be a dummy. */
static int check_networks(struct change *c, const json_t *profile, struct err *e)
{
	const json_t *server, *subnet;
	size_t i, k;

	json_array_foreach(json_object_get(profile, "clone_servers"), i, server) {
		const char *ip = json_str(json_object_get(server, "ip_address"), "addr", ""), *ref;
		const struct object *network;
		struct in6_addr addr;
		char path[64];
		bool some = false, inside = false, has_subnet, fits_subnet = false;
		struct net net, wanted;

		ref = json_str(server, "network_ref", NULL);
		network = ref ? txn_get(c->txn, "network", ref_target(ref)) : NULL;
		if (!network)
			continue;
		has_subnet = read_prefix(json_object_get(server, "subnet"), &wanted);
		if (ip_parse(ip, &addr) < 0 || is_wrapped(server) || *json_str(server, "mac", ""))
			inside = true;
		json_array_foreach(json_object_get(network->body, "configured_subnets"), k, subnet) {
			if (!read_prefix(json_object_get(subnet, "prefix"), &net))
				continue;
			some = true;
			inside = inside || ip_within(&addr, &net.addr, net.len);
			fits_subnet = fits_subnet || (has_subnet && wanted.len >= net.len && ip_within(&wanted.addr, &net.addr, net.len));
		}
		if (some && has_subnet && !fits_subnet) {
			snprintf(path, sizeof(path), "clone_servers[%zu].subnet", i);
			return err_set(e, -EINVAL, path, "Is no subnet of Network '%s'.", network->name);
		}
		if (!some || inside)
			continue;
		snprintf(path, sizeof(path), "clone_servers[%zu].ip_address.addr", i);
		return err_set(e, -EINVAL, path, "%.60s is in no subnet of Network '%s'.", ip, network->name);
	}
	return 0;
}

struct user {
	struct change *change;
	const json_t *profile;
	json_t *names;
	struct err *e;
};

static int check_user(void *arg, const struct object *o)
{
	struct user *u = arg;
	const char *name = change_shows(u->change, o) ? o->name : "of another tenant";
	int rc;

	if (strcmp(o->kind->path, "virtualservice") != 0)
		return 0;
	rc = fits(u->change, u->profile, json_str(u->profile, "name", ""), o->body, name, NULL, u->e);
	json_array_append_new(u->names, json_string(o->name));
	if (rc == 0 && json_array_size(u->names) <= WARNINGS_MAX) {
		warn_of_places(u->change, u->profile, group_of(o->body), NULL);
		warn_of_second(u->change, u->profile, o->uuid, o->body);
	}
	return rc;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new, struct err *e)
{
	struct user u = { .change = c, .profile = new, .names = json_array(), .e = e };
	int rc = check_networks(c, new, e);

	if (rc == 0 && (is_decrypted(new) || is_decrypted(old)))
		rc = may_decrypt(c, new, "payload", e);
	if (rc == 0 && old)
		rc = store_referrers(c->store, "trafficcloneprofile", uuid, check_user, &u);
	if (rc == 0 && !json_array_size(u.names))
		warn_of_places(c, new, NULL, ref_target(json_str(new, "cloud_ref", NULL)));
	tell_of_change(c, uuid, old, new, u.names);
	return rc;
}

const struct rule rule_trafficcloneprofile = { .kind = "trafficcloneprofile", .check = check };
