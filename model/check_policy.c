/*
 * check_policy - what lists of rules, and what rules name, demand beyond their tables: what stands twice, or names nobody,
 * would be obeyed in another way than it reads.
 */
#include "base/base.h"

#include <errno.h>

#include "base/ip.h"
#include "model/internal.h"

/* Items of the list at PATH (of O) have each their own FIELD, which is a number or a word. */
static int each_its_own(const json_t *o, const char *path, const char *field, struct err *e)
{
	CLEANUP_JSON json_t *seen = json_object();
	const json_t *item;
	size_t i;

	json_array_foreach(json_object_get(o, path), i, item) {
		const json_t *v = json_object_get(item, field), *first;
		char key[300], at[96];

		if (json_is_integer(v))
			snprintf(key, sizeof(key), "%lld", (long long)json_integer_value(v));
		else if (json_is_string(v))
			snprintf(key, sizeof(key), "%.256s", json_string_value(v));
		else
			continue;
		first = json_object_get(seen, key);
		if (first) {
			snprintf(at, sizeof(at), "%s[%zu].%s", path, i, field);
			return err_set(e, -EINVAL, at, "%.80s is that of %s[%lld] already.", key, path,
				       (long long)json_integer_value(first));
		}
		json_object_set_new(seen, key, json_integer((json_int_t)i));
	}
	return 0;
}

int check_network_security_policy(const json_t *o, struct err *e)
{
	int rc = each_its_own(o, "rules", "index", e);

	return rc < 0 ? rc : each_its_own(o, "rules", "name", e);
}

int check_rules(const json_t *o, struct err *e)
{
	return each_its_own(o, "rules", "index", e);
}

int check_error_page_profile(const json_t *o, struct err *e)
{
	return each_its_own(o, "error_pages", "index", e);
}

/* What is on both sides of a range would be given once and counted twice. A range that is there twice, word for word, says nothing new. */
int check_subnet(const json_t *o, struct err *e)
{
	const json_t *ranges = json_object_get(o, "static_ip_ranges");

	for (size_t i = 1; i < json_array_size(ranges); i++)
		for (size_t j = 0; j < i; j++) {
			const json_t *pair[2] = { json_array_get(ranges, i), json_array_get(ranges, j) };
			struct in6_addr end[2][2];
			char at[48];
			bool are = true;

			for (size_t k = 0; k < 2; k++) {
				const json_t *r = json_object_get(pair[k], "range");

				are &= ip_parse(json_str(json_object_get(r, "begin"), "addr", ""), &end[k][0]) == 0 &&
				       ip_parse(json_str(json_object_get(r, "end"), "addr", ""), &end[k][1]) == 0;
			}
			if (!are || json_equal(pair[0], pair[1]) || ip_number(&end[0][0]) > ip_number(&end[1][1]) ||
			    ip_number(&end[1][0]) > ip_number(&end[0][1]))
				continue;
			snprintf(at, sizeof(at), "static_ip_ranges[%zu].range", i);
			return err_set(e, -EINVAL, at, "Overlaps static_ip_ranges[%zu].", j);
		}
	return 0;
}

int check_role(const json_t *o, struct err *e)
{
	return each_its_own(o, "privileges", "resource", e);
}

int check_priority_labels(const json_t *o, struct err *e)
{
	CLEANUP_JSON json_t *seen = json_object();
	const json_t *level, *label;
	size_t i, j;

	json_array_foreach(json_object_get(o, "equivalent_labels"), i, level)
		json_array_foreach(json_object_get(level, "labels"), j, label) {
			const char *text = json_string_value(label);
			const json_t *first = json_object_get(seen, text);
			char at[80];

			snprintf(at, sizeof(at), "equivalent_labels[%zu].labels[%zu]", i, j);
			if (!*text)
				return err_set(e, -EINVAL, at, "A label has at least one character.");
			if (first)
				return err_set(e, -EINVAL, at, "%.80s stands in equivalent_labels[%lld] already.", text,
					       (long long)json_integer_value(first));
			json_object_set_new(seen, text, json_integer((json_int_t)i));
		}
	return 0;
}

static bool names_something(const json_t *o, const char *const *lists, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (json_array_size(json_object_get(o, lists[i])))
			return true;
	return false;
}

int check_ip_addr_match(const json_t *o, struct err *e)
{
	static const char *const lists[] = { "addrs", "prefixes", "ranges", "group_refs" };
	const json_t *addr;
	size_t i;

	if (!names_something(o, lists, ARRAY_SIZE(lists)))
		return err_set(e, -EINVAL, "addrs", "Names nobody: set addrs, prefixes, ranges or group_refs.");
	json_array_foreach(json_object_get(o, "addrs"), i, addr) {
		char at[40];

		if (strcmp(json_str(addr, "type", ""), "DNS") != 0)
			continue;
		snprintf(at, sizeof(at), "addrs[%zu].type", i);
		return err_set(e, -EINVAL, at, "A client has an address, not a name.");
	}
	return 0;
}

int check_port_match_generic(const json_t *o, struct err *e)
{
	static const char *const lists[] = { "ports", "ranges" };

	if (!names_something(o, lists, ARRAY_SIZE(lists)))
		return err_set(e, -EINVAL, "ports", "Names no port: set ports or ranges.");
	return 0;
}

static int is_address(const json_t *o, const char *field, const char *what, struct err *e)
{
	char at[48];

	if (strcmp(json_str(json_object_get(o, field), "type", ""), "DNS") != 0)
		return 0;
	snprintf(at, sizeof(at), "%s.type", field);
	return err_set(e, -EINVAL, at, "%s has an address, not a name.", what);
}

int check_static_route(const json_t *o, struct err *e)
{
	return is_address(o, "next_hop", "A gateway", e);
}

int check_gateway_monitor(const json_t *o, struct err *e)
{
	return is_address(o, "gateway_ip", "A gateway", e);
}

/* An address of one host, that packets can be sent to and come from: not "this host", a group, or all. */
static bool is_of_a_host(const char *text)
{
	struct in6_addr ip;

	if (ip_parse(text, &ip) < 0)
		return true; /* a name */
	if (ip_is_v4(&ip))
		return ip.s6_addr[12] != 0 && ip.s6_addr[12] < 224;
	return !ip_is_zero(&ip) && ip.s6_addr[0] != 0xff;
}

static bool is_loopback(const char *text)
{
	struct in6_addr ip;

	return ip_parse(text, &ip) == 0 &&
	       (ip_is_v4(&ip) ? ip.s6_addr[12] == 127 : IN6_IS_ADDR_LOOPBACK(&ip));
}

int check_server(const json_t *o, struct err *e)
{
	const char *addr = json_str(json_object_get(o, "ip"), "addr", "");

	if (!is_of_a_host(addr))
		return err_set(e, -EINVAL, "ip.addr", "%.60s is not the address of a server.", addr);
	return 0;
}

int check_vip(const json_t *o, struct err *e)
{
	static const char *const fields[] = { "ip_address", "ip6_address" };

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *addr = json_str(json_object_get(o, fields[i]), "addr", "");
		char at[32];

		if (is_of_a_host(addr) && !is_loopback(addr))
			continue;
		snprintf(at, sizeof(at), "%s.addr", fields[i]);
		return err_set(e, -EINVAL, at, "Clients cannot reach a service at %.60s.", addr);
	}
	return 0;
}

int check_fail_action(const json_t *o, struct err *e)
{
	if (strcmp(json_str(o, "type", ""), "FAIL_ACTION_HTTP_REDIRECT") == 0 && !json_object_get(o, "redirect"))
		return err_set(e, -EINVAL, "redirect", "FAIL_ACTION_HTTP_REDIRECT wants to know where to.");
	return 0;
}

/* A token, as names of headers and cookies are: RFC 9110, 5.6.2. */
static int check_token(const json_t *o, const char *field, const char *what, struct err *e)
{
	const char *text = json_str(o, field, "");

	for (const char *p = text; *p; p++)
		if (*p <= ' ' || *p >= 127 || strchr("\"(),/:;<=>?@[\\]{}", *p))
			return err_set(e, -EINVAL, field, "\"%.60s\" is not the name of a %s.", text, what);
	return 0;
}

int check_http_application_profile(const json_t *o, struct err *e)
{
	return check_token(o, "xff_alternate_name", "header", e);
}

int check_http_cookie_persistence_profile(const json_t *o, struct err *e)
{
	return check_token(o, "cookie_name", "cookie", e);
}

int check_ip_addr_port(const json_t *o, struct err *e)
{
	if (!json_object_get(o, "ip"))
		return err_set(e, -EINVAL, "ip", "A server needs an address.");
	return 0;
}
