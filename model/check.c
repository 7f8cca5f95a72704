/*
 * check - what messages and kinds demand beyond their tables, on the stored form.
 */
#include "base/base.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>

#include "base/ip.h"
#include "model/internal.h"

/* RFC 1123 names; a single trailing dot is allowed. */
static bool is_host_name(const char *s)
{
	size_t label = 0, n = strlen(s);

	if (!n || n > 253)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (s[i] == '.') {
			if (!label || s[i - 1] == '-')
				return false;
			label = 0;
		} else if (isalnum((unsigned char)s[i]) || s[i] == '_' || (s[i] == '-' && label)) {
			if (++label > 63)
				return false;
		} else {
			return false;
		}
	}
	return s[n - 1] != '-';
}

int check_dns_configuration(const json_t *o, struct err *e)
{
	const char *p = json_str(o, "search_domain", "");

	for (size_t n; *(p += strspn(p, ", ")); p += n) {
		char domain[256];

		n = strcspn(p, ", ");
		snprintf(domain, sizeof(domain), "%.*s", (int)MIN(n, sizeof(domain) - 1), p);
		if (n >= sizeof(domain) || !is_host_name(domain))
			return err_set(e, -EINVAL, "search_domain", "\"%.60s\" is not a domain.", domain);
	}
	return 0;
}

int check_ip_addr(const json_t *o, struct err *e)
{
	const char *addr = json_str(o, "addr", ""), *type = json_str(o, "type", "");
	struct in6_addr raw;

	if (strcmp(type, "V4") == 0 && inet_pton(AF_INET, addr, &raw) != 1)
		return err_set(e, -EINVAL, "addr", "\"%.60s\" is not an IPv4 address.", addr);
	if (strcmp(type, "V6") == 0 && inet_pton(AF_INET6, addr, &raw) != 1)
		return err_set(e, -EINVAL, "addr", "\"%.60s\" is not an IPv6 address.", addr);
	/* On no wire; and a mask of it would be one of 128 bits here, and of 32 where IPv4 is kept in that form. */
	if (strcmp(type, "V6") == 0 && IN6_IS_ADDR_V4MAPPED(&raw))
		return err_set(e, -EINVAL, "addr", "%.60s is an IPv4 address: write it as one.", addr);
	if (strcmp(type, "DNS") == 0 && !is_host_name(addr))
		return err_set(e, -EINVAL, "addr", "\"%.60s\" is not a host name.", addr);
	return 0;
}

int check_ip_addr_prefix(const json_t *o, struct err *e)
{
	const json_t *ip = json_object_get(o, "ip_addr");
	json_int_t mask = json_int(o, "mask", 0);
	json_int_t bits = strcmp(json_str(ip, "type", ""), "V6") == 0 ? 128 : 32;

	if (strcmp(json_str(ip, "type", ""), "DNS") == 0)
		return err_set(e, -EINVAL, "ip_addr.type", "A network has an address, not a name.");
	if (mask < 0 || mask > bits)
		return err_set(e, -EINVAL, "mask", "%lld is out of range: 0 to %lld.",
			       (long long)mask, (long long)bits);
	return 0;
}

int check_ip_addr_range(const json_t *o, struct err *e)
{
	const json_t *begin = json_object_get(o, "begin"), *end = json_object_get(o, "end");
	unsigned char a[sizeof(struct in6_addr)], b[sizeof(struct in6_addr)];
	bool v6 = strcmp(json_str(begin, "type", ""), "V6") == 0;
	int family = v6 ? AF_INET6 : AF_INET;

	if (strcmp(json_str(begin, "type", ""), json_str(end, "type", "")) != 0)
		return err_set(e, -EINVAL, "end", "Must be of the same type as begin.");
	if (inet_pton(family, json_str(begin, "addr", ""), a) != 1 ||
	    inet_pton(family, json_str(end, "addr", ""), b) != 1)
		return err_set(e, -EINVAL, "begin", "A range has addresses, not names.");
	if (memcmp(a, b, v6 ? 16 : 4) > 0)
		return err_set(e, -EINVAL, "end", "Must not lie before begin.");
	return 0;
}

int check_port_range(const json_t *o, struct err *e)
{
	if (json_int(o, "start", 0) > json_int(o, "end", 0))
		return err_set(e, -EINVAL, "end", "Must not lie before start.");
	return 0;
}

int check_network_security_rule(const json_t *o, struct err *e)
{
	if (strcmp(json_str(o, "action", ""), "NETWORK_SECURITY_POLICY_ACTION_TYPE_RATE_LIMIT") == 0 &&
	    !json_object_get(o, "rl_param"))
		return err_set(e, -EINVAL, "rl_param", "The action RATE_LIMIT needs a rate.");
	return 0;
}

int check_performance_limits(const json_t *o, struct err *e)
{
	static const char *const limits[] = { "max_concurrent_connections", "max_throughput" };

	for (size_t i = 0; i < ARRAY_SIZE(limits); i++)
		if (json_int(o, limits[i], 0) < 0)
			return err_set(e, -EINVAL, limits[i], "Must not be negative.");
	return 0;
}

/* ---- what a capture keeps ---- */

/* A name is of whatever address it has just now: nobody could say which packets are meant. */
int check_debug_ip_addr(const json_t *o, struct err *e)
{
	const json_t *one;
	char path[40];
	size_t i;

	json_array_foreach(json_object_get(o, "addrs"), i, one) {
		if (strcmp(json_str(one, "type", ""), "DNS") != 0)
			continue;
		snprintf(path, sizeof(path), "addrs[%zu].type", i);
		return err_set(e, -EINVAL, path, "Packets have addresses, not names.");
	}
	return 0;
}

static int check_ports(const json_t *o, const char *first, const char *last, struct err *e)
{
	json_int_t from = json_int(o, first, 0), to = json_int(o, last, 0);

	if (from > 65535 || to > 65535)
		return err_set(e, -EINVAL, from > 65535 ? first : last, "%lld is out of range: 0 to 65535.", (long long)(from > 65535 ? from : to));
	if (to && !from)
		return err_set(e, -EINVAL, last, "It is the end of a range without a beginning: %s is wanted.", first);
	if (to && to < from)
		return err_set(e, -EINVAL, last, "Must not lie before %s.", first);
	return 0;
}

int check_capture_filters(const json_t *o, struct err *e)
{
	return check_ports(o, "src_port", "src_port_range_end", e) < 0 ? -EINVAL : check_ports(o, "dst_port_start", "dst_port_end", e);
}

int check_capture_src_ports(const json_t *o, struct err *e)
{
	return check_ports(o, "src_port_start", "src_port_end", e);
}

int check_capture_dst_ports(const json_t *o, struct err *e)
{
	return check_ports(o, "dst_port_start", "dst_port_end", e);
}

int check_service(const json_t *o, struct err *e)
{
	json_int_t port = json_int(o, "port", 0), last = json_int(o, "port_range_end", 0);

	if (port == 0)
		return err_set(e, -EINVAL, "port", "0 is not a port to listen on.");
	if (last && last < port)
		return err_set(e, -EINVAL, "port_range_end", "Must not lie before port.");
	return 0;
}

static int check_vip_address(const json_t *vip, const char *field, const char *type, size_t i,
			     struct err *e)
{
	const json_t *ip = json_object_get(vip, field);
	char path[64];

	if (!ip || strcmp(json_str(ip, "type", ""), type) == 0)
		return 0;
	snprintf(path, sizeof(path), "vip[%zu].%s.type", i, field);
	return err_set(e, -EINVAL, path, "Must be %s.", type);
}

int check_vs_vip(const json_t *o, struct err *e)
{
	const json_t *vip;
	size_t i;

	json_array_foreach(json_object_get(o, "vip"), i, vip) {
		char path[32];

		if (check_vip_address(vip, "ip_address", "V4", i, e) < 0 ||
		    check_vip_address(vip, "ip6_address", "V6", i, e) < 0)
			return -EINVAL;
		if (json_object_get(vip, "ip_address") || json_object_get(vip, "ip6_address") ||
		    json_bool(vip, "auto_allocate_ip", false))
			continue;
		snprintf(path, sizeof(path), "vip[%zu]", i);
		return err_set(e, -EINVAL, path,
			       "An address is needed: ip_address or ip6_address.");
	}
	return 0;
}

static const char *vip_address(const json_t *vip, const char *field)
{
	return json_str(json_object_get(vip, field), "addr", NULL);
}

/* Virtual services and clients know an address by its vip_id. */
int check_vs_vip_change(const json_t *old, const json_t *fresh, struct err *e)
{
	static const char *const fields[] = { "ip_address", "ip6_address" };
	CLEANUP_JSON json_t *ids = json_object();
	json_t *vip;
	size_t i, f;

	json_array_foreach(json_object_get(old, "vip"), i, vip)
		for (f = 0; f < ARRAY_SIZE(fields); f++)
			if (vip_address(vip, fields[f]))
				json_object_set(ids, vip_address(vip, fields[f]),
						json_object_get(vip, "vip_id"));
	json_array_foreach(json_object_get(fresh, "vip"), i, vip) {
		const char *id = json_str(vip, "vip_id", "");

		for (f = 0; f < ARRAY_SIZE(fields); f++) {
			const char *addr = vip_address(vip, fields[f]);
			char path[40];

			if (!addr || strcmp(json_str(ids, addr, id), id) == 0)
				continue;
			snprintf(path, sizeof(path), "vip[%zu].vip_id", i);
			return err_set(e, -EINVAL, path,
				       "Changing an existing VIP's vip_id is not supported.");
		}
	}
	return 0;
}

/* Two entries may share a port when an override gives one of them another transport protocol. */
static bool services_clash(const json_t *a, const json_t *b)
{
	json_int_t a1 = json_int(a, "port", 0), b1 = json_int(b, "port", 0);
	json_int_t a2 = MAX(json_int(a, "port_range_end", 0), a1),
		   b2 = MAX(json_int(b, "port_range_end", 0), b1);

	return a1 <= b2 && b1 <= a2 &&
	       strcmp(json_str(a, "override_network_profile_ref", ""),
		      json_str(b, "override_network_profile_ref", "")) == 0;
}

int check_virtual_service(const json_t *o, struct err *e)
{
	const json_t *services = json_object_get(o, "services"), *a;
	const json_t *rate = json_object_get(o, "connections_rate_limit");
	const char *rate_type;
	size_t i;

	if (strcmp(json_str(json_object_get(rate, "action"), "type", ""), "RL_ACTION_LOCAL_RSP") == 0)
		return err_set(e, -EINVAL, "connections_rate_limit.action.type",
			       "Connections are not answered: drop, reset or close them.");
	rate = json_object_get(o, "requests_rate_limit");
	rate_type = json_str(json_object_get(rate, "action"), "type", "");
	if (strcmp(rate_type, "RL_ACTION_DROP_CONN") == 0 || strcmp(rate_type, "RL_ACTION_RESET_CONN") == 0)
		return err_set(e, -EINVAL, "requests_rate_limit.action.type",
			       "Requests are answered (RL_ACTION_LOCAL_RSP), or answered and the connection"
			       " closed (RL_ACTION_CLOSE_CONN).");
	json_array_foreach(services, i, a) {
		for (size_t j = 0; j < i; j++) {
			char path[32];

			if (!services_clash(json_array_get(services, j), a))
				continue;
			snprintf(path, sizeof(path), "services[%zu]", i);
			return err_set(e, -EINVAL, path, "Has a port in common with services[%zu].",
				       j);
		}
	}
	return 0;
}

/* The same address and port twice: whether the port is written, or is the pool's. */
int check_pool(const json_t *o, struct err *e)
{
	const json_t *server, *first;
	CLEANUP_JSON json_t *seen = json_object();
	size_t i;

	if (strcmp(json_str(o, "lb_algorithm", ""), "LB_ALGORITHM_CONSISTENT_HASH") == 0 &&
	    strcmp(json_str(o, "lb_algorithm_hash", ""), "LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER") == 0 &&
	    !*json_str(o, "lb_algorithm_consistent_hash_hdr", ""))
		return err_set(e, -EINVAL, "lb_algorithm_consistent_hash_hdr",
			       "LB_ALGORITHM_CONSISTENT_HASH_CUSTOM_HEADER wants to know which header.");
	json_array_foreach(json_object_get(o, "servers"), i, server) {
		const char *addr = json_str(json_object_get(server, "ip"), "addr", "");
		json_int_t port = json_int(server, "port", 0);
		char path[32], text[IP_TEXT_MAX], key[320];
		struct in6_addr ip;

		if (!port)
			port = json_int(o, "default_server_port", 80);
		if (ip_parse(addr, &ip) == 0)
			addr = ip_text(&ip, text);
		snprintf(key, sizeof(key), "%.255s port %lld", addr, (long long)port);
		first = json_object_get(seen, key);
		if (first) {
			snprintf(path, sizeof(path), "servers[%zu]", i);
			return err_set(e, -EINVAL, path, "%s is servers[%lld] already.", key,
				       (long long)json_integer_value(first));
		}
		json_object_set_new(seen, key, json_integer((json_int_t)i));
	}
	return 0;
}

int check_health_monitor_dns(const json_t *o, struct err *e)
{
	const char *name = json_str(o, "query_name", ""), *address = json_str(o, "response_string", "");
	const char *type = json_str(o, "record_type", "DNS_RECORD_A");
	bool v6 = strcmp(type, "DNS_RECORD_AAAA") == 0;
	unsigned char raw[sizeof(struct in6_addr)];

	if (!is_host_name(name))
		return err_set(e, -EINVAL, "query_name", "\"%.60s\" is not a name that can be asked for.", name);
	if (*address && !v6 && strcmp(type, "DNS_RECORD_A") != 0)
		return err_set(e, -EINVAL, "response_string", "Only records of type A and AAAA have an address.");
	if (*address && inet_pton(v6 ? AF_INET6 : AF_INET, address, raw) != 1)
		return err_set(e, -EINVAL, "response_string", "\"%.60s\" is not an %s address.", address,
			       v6 ? "IPv6" : "IPv4");
	return 0;
}

int check_health_monitor_tcp(const json_t *o, struct err *e)
{
	static const char *const said[] = { "tcp_request", "tcp_response", "maintenance_response" };

	for (size_t i = 0; i < ARRAY_SIZE(said) && json_bool(o, "tcp_half_open", false); i++)
		if (*json_str(o, said[i], ""))
			return err_set(e, -EINVAL, said[i], "A half-open check says and hears nothing.");
	return 0;
}

/* Who says how it authenticates also says as whom. */
static int check_authentication(const json_t *o, const char *field, struct err *e)
{
	char path[64];

	if (!json_object_get(json_object_get(o, field), "auth_type") || json_object_get(o, "authentication"))
		return 0;
	snprintf(path, sizeof(path), "%s.auth_type", field);
	return err_set(e, -EINVAL, path, "It needs authentication, with username and password.");
}

int check_health_monitor(const json_t *o, struct err *e)
{
	json_int_t every = json_int(o, "send_interval", 10),
		   wait = json_int(o, "receive_timeout", 4);

	if (strcmp(json_str(o, "type", ""), "HEALTH_MONITOR_DNS") == 0 && !json_object_get(o, "dns_monitor"))
		return err_set(e, -EINVAL, "dns_monitor", "A DNS monitor needs the name to ask for.");
	if (check_authentication(o, "http_monitor", e) < 0 || check_authentication(o, "https_monitor", e) < 0)
		return -EINVAL;
	/* The shortest interval leaves no shorter time; and clients ask each second. */
	if (wait >= every && wait > 1)
		return err_set(e, -EINVAL, "receive_timeout",
			       "%lld must be less than send_interval, which is %lld.",
			       (long long)wait, (long long)every);
	return 0;
}
