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
 * VIPs and engines. Which of them its client uses is kept as RULE_AS_SENT, for show().
 */
static const char *const olden[] = { "static_ips", "static_ranges" };

static json_t *ranges_of(const json_t *subnet)
{
	json_t *ranges = json_array(), *one;
	size_t k;

	json_array_foreach(json_object_get(subnet, "static_ips"), k, one)
		json_array_append_new(ranges, json_pack("{s:{s:O, s:O}}", "range", "begin", one, "end", one));
	json_array_foreach(json_object_get(subnet, "static_ranges"), k, one)
		json_array_append_new(ranges, json_pack("{s:O}", "range", one));
	return ranges;
}

/* Do the ranges of SUBNET say what RANGES does? What they say besides is not asked. */
static bool same_ranges(const json_t *subnet, const json_t *ranges)
{
	const json_t *own = json_object_get(subnet, "static_ip_ranges"), *one;
	size_t k;

	if (json_array_size(own) != json_array_size(ranges))
		return false;
	json_array_foreach(own, k, one)
		if (!json_equal(json_object_get(one, "range"), json_object_get(json_array_get(ranges, k), "range")))
			return false;
	return true;
}

static int prepare(struct change *c, const char *uuid, const json_t *old, json_t *wire,
		   struct err *e)
{
	bool uses[ARRAY_SIZE(olden)] = { false };
	CLEANUP_FREE char *mark = NULL, *had = store_value(c->store, RULE_AS_SENT, uuid);
	json_t *subnet;
	size_t i, k;

	(void)old;
	json_array_foreach(json_object_get(wire, "configured_subnets"), i, subnet) {
		CLEANUP_JSON json_t *ranges = ranges_of(subnet);
		bool newer = json_object_get(subnet, "static_ip_ranges");

		for (k = 0; k < ARRAY_SIZE(olden); k++) {
			uses[k] |= json_array_size(json_object_get(subnet, olden[k])) && (!newer || same_ranges(subnet, ranges));
			json_object_del(subnet, olden[k]);
		}
		if (!newer && json_array_size(ranges))
			json_object_set(subnet, "static_ip_ranges", ranges);
	}
	if (uses[0] || uses[1])
		mark = xasprintf("%s %s", uses[0] ? olden[0] : "", uses[1] ? olden[1] : "");
	return strcmp(mark ? mark : "", had ? had : "") == 0 ? 0 : txn_set(c->txn, RULE_AS_SENT, uuid, mark, e);
}

static int gone(struct change *c, const char *uuid, const json_t *old, struct err *e)
{
	(void)old;
	return txn_set(c->txn, RULE_AS_SENT, uuid, NULL, e);
}

/* Who writes ranges in the old form finds them there again: a playbook compares. */
static void show(struct store *s, const struct object *o, const struct model_write *w, struct model_resolver *r, json_t *out)
{
	CLEANUP_FREE char *mark = store_value(s, RULE_AS_SENT, o->uuid);
	bool ips = mark && strstr(mark, olden[0]), ranges = mark && strstr(mark, olden[1]);
	json_t *subnet, *one;
	size_t i, k;

	(void)w;
	(void)r;
	json_array_foreach(mark ? json_object_get(out, "configured_subnets") : NULL, i, subnet) {
		json_t *lists[] = { json_array(), json_array() };

		json_array_foreach(json_object_get(subnet, "static_ip_ranges"), k, one) {
			json_t *range = json_object_get(one, "range"), *begin = json_object_get(range, "begin");

			if (ips && json_equal(begin, json_object_get(range, "end")))
				json_array_append(lists[0], begin);
			else if (ranges)
				json_array_append(lists[1], range);
		}
		for (k = 0; k < ARRAY_SIZE(olden); k++) {
			if (json_array_size(lists[k]))
				json_object_set(subnet, olden[k], lists[k]);
			json_decref(lists[k]);
		}
	}
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

const struct rule rule_network = { .kind = "network", .prepare = prepare, .check = check, .gone = gone, .show = show };
