/*
 * check_clone - what a trafficcloneprofile demands beyond its table, on the stored form. What needs other
 * objects (the network, the virtual services that use it) is in controller/rules/clone.c.
 *
 * Clients write back whole answers, with defaults filled in: a field "is said" when it is not its default.
 */
#include "base/base.h"

#include <ctype.h>
#include <errno.h>

#include "base/ip.h"
#include "model/internal.h"

#define FLOOD_MAC "02:53:50:57:ff:ff" /* to which copies go that know no other one */

static const char *addr_of(const json_t *o, const char *field)
{
	return json_str(json_object_get(o, field), "addr", "");
}

/* Frames are for one host: not for all, not for a group, not for nobody. */
static int check_mac(const json_t *o, const char *field, struct err *e)
{
	static const uint8_t zero[6];
	const char *text = json_str(o, field, "");
	uint8_t mac[6];

	if (!*text)
		return 0;
	if (mac_parse(text, mac) < 0)
		return err_set(e, -EINVAL, field, "\"%.40s\" is not a MAC address like 02:00:00:00:00:01.", text);
	if (mac[0] & 1)
		return err_set(e, -EINVAL, field, "%s is that of a group or of everybody; copies go to one host.", text);
	if (memcmp(mac, zero, 6) == 0)
		return err_set(e, -EINVAL, field, "%s is nobody's.", text);
	return 0;
}

/* "10.0.0.7", of one host that can be sent to. */
static int check_host(const json_t *o, const char *field, struct err *e)
{
	const char *text = addr_of(o, field);
	char path[64];
	struct in6_addr ip;
	size_t n;

	if (!json_object_get(o, field))
		return 0;
	snprintf(path, sizeof(path), "%s.type", field);
	if (strcmp(json_str(json_object_get(o, field), "type", ""), "DNS") == 0)
		return err_set(e, -EINVAL, path, "A receiver has an address, not a name.");
	snprintf(path, sizeof(path), "%s.addr", field);
	if (ip_parse(text, &ip) < 0)
		return err_set(e, -EINVAL, path, "\"%.60s\" is not an address.", text);

	const uint8_t *b = ip_bytes(&ip, &n);
	bool group = n == 4 ? b[0] >= 224 : b[0] == 0xff;
	bool self = n == 4 ? b[0] == 127 || b[0] == 0 : IN6_IS_ADDR_LOOPBACK(&ip) || ip_is_zero(&ip);

	if (group || self)
		return err_set(e, -EINVAL, path, "%.60s is not the address of a host in a network.", text);
	if (n != 4 && IN6_IS_ADDR_LINKLOCAL(&ip))
		return err_set(e, -EINVAL, path, "%.60s is of every interface: it does not say which.", text);
	return 0;
}

/* The last address of an IPv4 network is everybody's in it, the first one nobody's. */
static bool is_edge(const struct in6_addr *ip, unsigned len)
{
	size_t n;
	const uint8_t *b = ip_bytes(ip, &n);
	uint32_t host = 0;

	if (n != 4 || len > 30)
		return false;
	for (size_t i = 0; i < n; i++)
		host = host << 8 | b[i];
	host &= 0xffffffffU >> len;
	return host == 0 || host == 0xffffffffU >> len;
}

static bool is_wrapped(const json_t *server)
{
	return strcmp(json_str(json_object_get(server, "encapsulation"), "type", "CLONE_ENCAP_NONE"),
		      "CLONE_ENCAP_NONE") != 0;
}

static int check_place(const json_t *o, struct err *e)
{
	const json_t *subnet = json_object_get(o, "subnet");
	const char *text = addr_of(o, "ip_address");
	unsigned len = (unsigned)json_int(subnet, "mask", 0);
	struct in6_addr ip, net;

	if (subnet && !len)
		return err_set(e, -EINVAL, "subnet.mask", "With 0 bits every interface is in it: it does not say which.");
	if (!subnet || !*text || ip_parse(text, &ip) < 0 || ip_parse(addr_of(subnet, "ip_addr"), &net) < 0)
		return 0;
	if (ip_is_v4(&ip) != ip_is_v4(&net))
		return err_set(e, -EINVAL, "subnet", "%.60s and this subnet are not of one family.", text);
	/* Routed copies leave by the subnet's interface and arrive elsewhere; beside a MAC address it may be a dummy. */
	if (is_wrapped(o) || json_str(o, "mac", "")[0])
		return 0;
	if (!ip_within(&ip, &net, len))
		return err_set(e, -EINVAL, "ip_address.addr", "%.60s is not in its subnet, %.60s/%u.", text,
			       addr_of(subnet, "ip_addr"), len);
	if (is_edge(&ip, len))
		return err_set(e, -EINVAL, "ip_address.addr", "%.60s is not the address of one host in %.60s/%u.", text,
			       addr_of(subnet, "ip_addr"), len);
	return 0;
}

int check_clone_server(const json_t *o, struct err *e)
{
	bool ip = json_object_get(o, "ip_address"), mac = json_str(o, "mac", "")[0];

	if (check_host(o, "ip_address", e) < 0 || check_mac(o, "mac", e) < 0)
		return -EINVAL;
	if (!ip && !mac)
		return err_set(e, -EINVAL, NULL, "A receiver needs ip_address or mac.");
	if (!ip && is_wrapped(o))
		return err_set(e, -EINVAL, "encapsulation.type", "%s needs ip_address: it is where copies are routed to.",
			       json_str(json_object_get(o, "encapsulation"), "type", ""));
	if (!ip && !json_object_get(o, "subnet") && !json_object_get(o, "network_ref"))
		return err_set(e, -EINVAL, "mac",
			       "A MAC address alone does not say which interface: it needs subnet or network_ref.");
	return check_place(o, e);
}

int check_clone_encapsulation(const json_t *o, struct err *e)
{
	/* Which fields an encapsulation has; `key` has no default: it is said when it is there. */
	static const struct {
		const char *field, *types;
	} of[] = {
		{ "vni", "CLONE_ENCAP_VXLAN, CLONE_ENCAP_GENEVE" },
		{ "port", "CLONE_ENCAP_VXLAN, CLONE_ENCAP_GENEVE" },
		{ "session_id", "CLONE_ENCAP_ERSPAN_II, CLONE_ENCAP_ERSPAN_III" },
		{ "key", "CLONE_ENCAP_GRE" },
	};
	const char *type = json_str(o, "type", "CLONE_ENCAP_NONE");

	for (size_t i = 0; i < ARRAY_SIZE(of); i++) {
		const json_t *v = json_object_get(o, of[i].field);

		if (!v || (json_integer_value(v) == 0 && strcmp(of[i].field, "key") != 0))
			continue;
		if (word_index(of[i].types, type) < 0)
			return err_set(e, -EINVAL, of[i].field, "It is a field of %s; the type is %s.", of[i].types, type);
	}
	return 0;
}

/* The same text twice, as far as case counts. */
static int check_once(const json_t *list, const char *field, bool any_case, struct err *e)
{
	for (size_t i = 0; i < json_array_size(list); i++)
		for (size_t j = 0; j < i; j++) {
			const char *a = json_string_value(json_array_get(list, i));
			const char *b = json_string_value(json_array_get(list, j));
			char path[64];

			if ((any_case ? strcasecmp(a, b) : strcmp(a, b)) != 0)
				continue;
			snprintf(path, sizeof(path), "%s[%zu]", field, i);
			return err_set(e, -EINVAL, path, "Is the same as item %zu of the list.", j);
		}
	return 0;
}

/* A host as requests name it, without a port. */
static bool is_host(const char *s)
{
	struct in6_addr ip;

	if (!*s)
		return false;
	if (ip_parse(s, &ip) == 0)
		return true;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("-._", *s))
			return false;
	return true;
}

int check_clone_filter(const json_t *o, struct err *e)
{
	const json_t *one;
	char path[64];
	size_t i;

	json_array_foreach(json_object_get(o, "hosts"), i, one) {
		snprintf(path, sizeof(path), "hosts[%zu]", i);
		if (!is_host(json_string_value(one)))
			return err_set(e, -EINVAL, path, "\"%.60s\" is not the name of a host, without port.",
				       json_string_value(one));
	}
	json_array_foreach(json_object_get(o, "path_prefixes"), i, one) {
		const char *s = json_string_value(one);

		snprintf(path, sizeof(path), "path_prefixes[%zu]", i);
		if (*s != '/')
			return err_set(e, -EINVAL, path, "\"%.60s\" does not begin with a slash.", s);
		for (; *s; s++)
			if ((unsigned char)*s <= ' ' || *s == 0x7f || *s == '?' || *s == '#')
				return err_set(e, -EINVAL, path, "A path has no blanks, control characters, ? or #.");
	}
	if (check_once(json_object_get(o, "hosts"), "hosts", true, e) < 0)
		return -EINVAL;
	return check_once(json_object_get(o, "path_prefixes"), "path_prefixes", false, e);
}

int check_clone_flow_log(const json_t *o, struct err *e)
{
	const char *type = json_str(o, "type", ""), *name = json_str(o, "file_name", "");
	bool file = strcmp(type, "CLONE_LOG_FILE") == 0, port = json_int(o, "port", 0) != 0;

	if (check_host(o, "ip_address", e) < 0)
		return -EINVAL;
	if (file) {
		if (json_object_get(o, "ip_address") || port)
			return err_set(e, -EINVAL, port ? "port" : "ip_address", "CLONE_LOG_FILE has a file_name only.");
		if (!*name)
			return err_set(e, -EINVAL, "file_name", "CLONE_LOG_FILE needs one.");
		for (const char *p = name; *p; p++)
			if (!isalnum((unsigned char)*p) && (p == name || !strchr("-._", *p)))
				return err_set(e, -EINVAL, "file_name",
					       "A name has letters, digits, dots, hyphens and underscores, and begins with"
					       " a letter or digit.");
		return 0;
	}
	if (*name)
		return err_set(e, -EINVAL, "file_name", "It is a field of CLONE_LOG_FILE; the type is %s.", type);
	if (!json_object_get(o, "ip_address"))
		return err_set(e, -EINVAL, "ip_address", "%s needs the address of a collector.", type);
	if (!port && strcmp(type, "CLONE_LOG_UDP") == 0)
		return err_set(e, -EINVAL, "port", "CLONE_LOG_UDP needs the port of the collector.");
	return 0;
}

/* Two receivers are one when their frames could not be told apart: by address or by MAC. */
static bool is_same(const json_t *a, const json_t *b)
{
	const char *mac[] = { json_str(a, "mac", ""), json_str(b, "mac", "") };
	struct in6_addr ip[2];

	if (ip_parse(addr_of(a, "ip_address"), &ip[0]) == 0 && ip_parse(addr_of(b, "ip_address"), &ip[1]) == 0 &&
	    ip_equal(&ip[0], &ip[1]))
		return true;
	/* That of a router leads to many. */
	return *mac[0] && strcasecmp(mac[0], mac[1]) == 0 && !is_wrapped(a) && !is_wrapped(b);
}

static int check_servers(const json_t *o, struct err *e)
{
	const json_t *servers = json_object_get(o, "clone_servers"), *one;
	char path[64];
	size_t i;

	json_array_foreach(servers, i, one) {
		const char *mac = json_str(one, "mac", "");

		/* A switch would believe that the clone server is where the copies come from. */
		if (*mac && strcasecmp(mac, json_str(o, "marker_mac", "")) == 0)
			return err_set(e, -EINVAL, "marker_mac", "Is that of clone_servers[%zu]: copies would not find it.", i);
		for (size_t j = 0; j < i; j++) {
			if (!is_same(json_array_get(servers, j), one))
				continue;
			snprintf(path, sizeof(path), "clone_servers[%zu]", i);
			return err_set(e, -EINVAL, path, "Is the same receiver as clone_servers[%zu].", j);
		}
	}
	return 0;
}

/* What is asked of HTTP. PATH of the first that is said; NULL: none. */
static const char *said_of_requests(const json_t *o)
{
	static const char *const lists[] = { "hosts", "path_prefixes" };
	static const char *const paths[] = { "filter.hosts", "filter.path_prefixes" };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (json_array_size(json_object_get(json_object_get(o, "filter"), lists[i])))
			return paths[i];
	return json_array_size(json_object_get(o, "masked_headers")) ? "masked_headers" : NULL;
}

/* What only a plaintext has. */
static const char *said_of_plaintext(const json_t *o)
{
	const char *said = said_of_requests(o);

	if (said)
		return said;
	if (json_int(o, "decrypted_port", 0))
		return "decrypted_port";
	if (json_str(o, "marker_mac", "")[0])
		return "marker_mac";
	return json_object_get(o, "flow_log") ? "flow_log" : NULL;
}

/* A header's name is a token (RFC 9110). */
static bool is_token(const char *s)
{
	if (!*s)
		return false;
	for (; *s; s++)
		if (!isalnum((unsigned char)*s) && !strchr("!#$%&'*+-.^_`|~", *s))
			return false;
	return true;
}

int check_traffic_clone_profile(const json_t *o, struct err *e)
{
	const char *payload = json_str(o, "payload", "CLONE_AS_SENT"), *said;
	const json_t *one;
	size_t i;

	if (check_servers(o, e) < 0 || check_mac(o, "marker_mac", e) < 0)
		return -EINVAL;
	if (strcasecmp(json_str(o, "marker_mac", ""), FLOOD_MAC) == 0)
		return err_set(e, -EINVAL, "marker_mac", "Switches have to flood %s: none of them may learn it.", FLOOD_MAC);
	/* A client's own words would show what is masked or left out of those to servers. */
	said = strcmp(json_str(o, "side", "CLONE_SIDE_SERVER"), "CLONE_SIDE_SERVER") == 0 ? NULL : said_of_requests(o);
	if (strcmp(payload, "CLONE_DECRYPTED") == 0 && said)
		return err_set(e, -EINVAL, said, "It needs side CLONE_SIDE_SERVER: what clients say is copied as it is.");
	json_array_foreach(json_object_get(o, "masked_headers"), i, one) {
		char path[64];

		if (is_token(json_string_value(one)))
			continue;
		snprintf(path, sizeof(path), "masked_headers[%zu]", i);
		return err_set(e, -EINVAL, path, "\"%.60s\" is not the name of a header.", json_string_value(one));
	}
	if (check_once(json_object_get(o, "masked_headers"), "masked_headers", true, e) < 0)
		return -EINVAL;
	said = strcmp(payload, "CLONE_DECRYPTED") == 0 ? NULL : said_of_plaintext(o);
	if (said)
		return err_set(e, -EINVAL, said, "It needs payload CLONE_DECRYPTED: packets that are copied as sent are not"
						 " read.");
	return 0;
}
