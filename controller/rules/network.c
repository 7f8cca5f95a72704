/*
 * network: subnets do not overlap, and their ranges lie inside; older clients spell ranges in
 * another way.
 */
#include <errno.h>

#include "base/base.h"
#include "base/ip.h"
#include "controller/rules.h"

/*
 * Before 20.1 a subnet had `static_ips` (addresses) and `static_ranges` (begin and end), both for
 * VIPs and engines.
 */
static int prepare(struct change *c, const char *uuid, const json_t *old, json_t *wire,
		   struct err *e)
{
	json_t *subnet, *one;
	size_t i, k;

	(void)uuid;
	(void)c;
	(void)old;
	(void)e;
	json_array_foreach(json_object_get(wire, "configured_subnets"), i, subnet) {
		json_t *ranges = json_array();

		if (!json_object_get(subnet, "static_ip_ranges")) {
			json_array_foreach(json_object_get(subnet, "static_ips"), k, one)
				json_array_append_new(ranges, json_pack("{s:{s:O, s:O}}", "range",
									"begin", one, "end", one));
			json_array_foreach(json_object_get(subnet, "static_ranges"), k, one)
				json_array_append_new(ranges, json_pack("{s:O}", "range", one));
		}
		if (json_array_size(ranges))
			json_object_set(subnet, "static_ip_ranges", ranges);
		json_decref(ranges);
		json_object_del(subnet, "static_ips");
		json_object_del(subnet, "static_ranges");
	}
	return 0;
}

struct net {
	struct in6_addr addr;
	unsigned len;
};

static bool read_net(const json_t *subnet, struct net *out)
{
	const json_t *prefix = json_object_get(subnet, "prefix");

	out->len = (unsigned)json_int(prefix, "mask", 0);
	return ip_parse(json_str(json_object_get(prefix, "ip_addr"), "addr", ""), &out->addr) == 0;
}

static int check_ranges(const json_t *subnet, size_t i, struct err *e)
{
	static const char *const ends[] = { "begin", "end" };
	struct net net;
	json_t *one;
	size_t k;

	if (!read_net(subnet, &net))
		return 0;
	json_array_foreach(json_object_get(subnet, "static_ip_ranges"), k, one)
		for (size_t n = 0; n < ARRAY_SIZE(ends); n++) {
			const char *text = json_str(
				json_object_get(json_object_get(one, "range"), ends[n]), "addr", "");
			struct in6_addr a;
			char path[96];

			if (ip_parse(text, &a) == 0 && ip_within(&a, &net.addr, net.len))
				continue;
			snprintf(path, sizeof(path),
				 "configured_subnets[%zu].static_ip_ranges[%zu].range.%s", i, k, ends[n]);
			return err_set(e, -EINVAL, path, "%.60s is not in the subnet.", text);
		}
	return 0;
}

static int check(struct change *c, const char *uuid, const json_t *old, const json_t *new,
		 struct err *e)
{
	json_t *subnets = json_object_get(new, "configured_subnets"), *subnet;
	size_t i;

	(void)c;
	(void)uuid;
	(void)old;
	json_array_foreach(subnets, i, subnet) {
		struct net mine, other;
		char path[64];

		if (check_ranges(subnet, i, e) < 0)
			return -EINVAL;
		for (size_t k = 0; k < i && read_net(subnet, &mine); k++) {
			if (!read_net(json_array_get(subnets, k), &other) ||
			    !ip_within(&mine.addr, &other.addr, MIN(mine.len, other.len)))
				continue;
			snprintf(path, sizeof(path), "configured_subnets[%zu].prefix", i);
			return err_set(e, -EINVAL, path, "Overlaps configured_subnets[%zu].", k);
		}
	}
	return 0;
}

const struct rule rule_network = { .kind = "network", .prepare = prepare, .check = check };
