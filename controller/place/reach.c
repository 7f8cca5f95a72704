#include "controller/place/reach.h"

#include "controller/pools.h"
#include "controller/resolve.h"

/* One prefix of {ip_addr: {addr}, mask}; false: there is none. */
static bool read_net(const json_t *v, struct place_net *out)
{
	const char *text = json_str(json_object_get(v, "ip_addr"), "addr", NULL);

	out->len = (unsigned)json_int(v, "mask", 0);
	return text && ip_parse(text, &out->addr) == 0;
}

/* A list of networks that grows in an arena. */
struct nets {
	struct store *store;
	struct arena *arena;
	bool any_family, v4;
	struct place_net *all;
	size_t n, room;
};

static void nets_add(struct nets *l, const json_t *prefix)
{
	struct place_net net;

	if (!read_net(prefix, &net) || (!l->any_family && ip_is_v4(&net.addr) != l->v4))
		return;
	if (l->n == l->room) {
		struct place_net *more = arena_get(l->arena, (l->room * 2 + 4) * sizeof(*more));

		if (l->n)
			memcpy(more, l->all, l->n * sizeof(*more));
		l->all = more;
		l->room = l->room * 2 + 4;
	}
	l->all[l->n++] = net;
}

/* The subnets that are given beside a reference to a network, or else those of the network. */
static void nets_of(struct nets *l, const json_t *where)
{
	const struct object *o = store_get(l->store, "network",
					   ref_target(json_str(where, "network_ref", NULL)));
	json_t *subnets = o ? json_object_get(o->body, "configured_subnets") : NULL;
	size_t before = l->n;

	nets_add(l, json_object_get(where, "subnet"));
	nets_add(l, json_object_get(where, "subnet6"));
	for (size_t i = 0; l->n == before && i < json_array_size(subnets); i++)
		nets_add(l, json_object_get(json_array_get(subnets, i), "prefix"));
}

/* The networks that VIP asks for, of the family of the address. */
static void read_nets(struct store *s, const json_t *vip, struct place_address *a,
		      struct arena *arena)
{
	struct nets l = { .store = s, .arena = arena, .v4 = ip_is_v4(&a->addr) };
	json_t *places = json_object_get(vip, "placement_networks");

	for (size_t i = 0; i < json_array_size(places); i++)
		nets_of(&l, json_array_get(places, i));
	if (!json_array_size(places))
		nets_of(&l, vip);
	a->nets = l.all;
	a->n_nets = l.n;
}

const json_t *reach_vip(const struct object *vsvip, const char *vip_id)
{
	json_t *vips = vsvip ? json_object_get(vsvip->body, "vip") : NULL, *v;
	size_t i;

	json_array_foreach(vips, i, v)
		if (strcmp(json_str(v, "vip_id", "0"), vip_id) == 0)
			return v;
	return NULL;
}

size_t reach_addresses(struct store *s, const struct object *vsvip, const char *vip_id,
		       struct reach_address **out, struct arena *a)
{
	static const char *const fields[] = { "ip_address", "ip6_address" };
	const json_t *vip = reach_vip(vsvip, vip_id);
	struct reach_address *all = arena_get(a, 2 * sizeof(*all));
	size_t n = 0;

	for (size_t f = 0; f < ARRAY_SIZE(fields); f++) {
		const char *text = json_str(json_object_get(vip, fields[f]), "addr", NULL);

		all[n] = (struct reach_address){ .text = text };
		if (!text || ip_parse(text, &all[n].place.addr) < 0)
			continue;
		all[n].place.vrf = ref_target(json_str(vsvip->body, "vrf_context_ref", NULL));
		read_nets(s, vip, &all[n].place, a);
		n++;
	}
	*out = all;
	return n;
}

static int reach_pool(void *arg, const struct object *pool, enum pools_role role)
{
	json_t *places = json_object_get(pool->body, "placement_networks"), *place;
	size_t i;

	if (role != POOLS_IDLE)
		json_array_foreach(places, i, place)
			nets_of(arg, place);
	return 0;
}

void reach_pools(struct store *s, const struct object *vs, const struct place_net **nets, size_t *n,
		 struct arena *a)
{
	struct nets l = { .store = s, .arena = a, .any_family = true };

	if (json_bool(vs->body, "ign_pool_net_reach", false))
		return;
	for (size_t i = 0; i < *n; i++) {
		if (l.n == l.room) {
			l.room = *n + 4;
			l.all = arena_get(a, l.room * sizeof(*l.all));
		}
		l.all[l.n++] = (*nets)[i];
	}
	pools_each(s, vs->body, reach_pool, &l);
	*nets = l.all;
	*n = l.n;
}
