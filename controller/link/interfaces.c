#include "controller/link/interfaces.h"

#include "base/log.h"
#include "controller/change.h"
#include "controller/link/fleet.h"
#include "controller/link/verdicts.h"
#include "controller/place/place.h"
#include "controller/resolve.h"

static bool read_address(const char *text, struct place_net *net)
{
	return text && ip_parse_prefix(text, &net->addr, &net->len) == 0 &&
	       net->len < (ip_is_v4(&net->addr)
				   ? 32u
				   : 128u) && /* a VIP, or the like: no network to announce on */
	       !(ip_bytes(&net->addr, &(size_t){ 0 })[0] == 0xfe &&
		 !ip_is_v4(&net->addr)); /* link-local */
}

/* What the operator says of the interface NAME in the engine's object; NULL: nothing. */
static const json_t *vnic_of(const struct engine *e, const char *name)
{
	const struct object *o = store_get(e->fleet->store, "serviceengine", e->uuid);
	json_t *all = o ? json_object_get(o->body, "data_vnics") : NULL, *v;
	size_t i;

	json_array_foreach(all, i, v)
		if (strcmp(json_str(v, "linux_name", ""), name) == 0)
			return v;
	v = o ? json_object_get(o->body, "mgmt_vnic") : NULL;
	return strcmp(json_str(v, "linux_name", ""), name) == 0 ? v : NULL;
}

/* The routing domain of an interface: its own, that of the network that it is on, or `global`. */
static const char *vrf_of(const struct engine *e, const char *name)
{
	struct store *s = e->fleet->store;
	const json_t *vnic = vnic_of(e, name);
	const struct object *network =
		store_get(s, "network", ref_target(json_str(vnic, "network_ref", NULL)));
	const char *ref = json_str(vnic, "vrf_ref", NULL);
	const struct object *global;

	if (!ref && network)
		ref = json_str(network->body, "vrf_context_ref", NULL);
	if (ref)
		return ref_target(ref);
	global = store_find(s, "vrfcontext", NULL, e->cloud, "global");
	return global ? global->uuid : "";
}

/* Does a gateway of the domain not answer? */
static bool gateway_down(const struct engine *e, const char *vrf)
{
	json_t *g;
	size_t i;

	json_array_foreach(e->gateways, i, g)
		if (!json_bool(g, "up", true) && strcmp(json_str(g, "vrf", ""), vrf) == 0)
			return true;
	return false;
}

bool interfaces_gateways_up(const struct engine *e)
{
	json_t *g;
	size_t i;

	json_array_foreach(e->gateways, i, g)
		if (!json_bool(g, "up", true))
			return false;
	return true;
}

bool interfaces_follow(struct engine *e)
{
	const struct object *group = store_get(e->fleet->store, "serviceenginegroup", e->group);
	bool moves = group && json_bool(group->body, "host_gateway_monitor", false);
	bool changed = false;

	for (size_t i = 0; i < e->n_interfaces; i++) {
		struct place_interface *f = &e->interfaces[i];
		const char *vrf = vrf_of(e, f->name);
		bool cut_off = moves && gateway_down(e, vrf);

		if (strcmp(f->vrf, vrf) == 0 && f->cut_off == cut_off)
			continue;
		f->vrf = strcmp(f->vrf, vrf) == 0 ? f->vrf : arena_strdup(&e->arena, vrf);
		f->cut_off = cut_off;
		changed = true;
	}
	return changed;
}

static const json_t *gateway_of(const json_t *all, const json_t *like)
{
	json_t *g;
	size_t i;

	json_array_foreach(all, i, g)
		if (strcmp(json_str(g, "ip", ""), json_str(like, "ip", "")) == 0 &&
		    strcmp(json_str(g, "vrf", ""), json_str(like, "vrf", "")) == 0)
			return g;
	return NULL;
}

void interfaces_take_gateways(struct engine *e, json_t *gateways)
{
	CLEANUP_JSON json_t *before = e->gateways;
	json_t *g;
	size_t i;

	e->gateways = json_incref(gateways);
	json_array_foreach(gateways, i, g) {
		bool up = json_bool(g, "up", true),
		     was = json_bool(gateway_of(before, g), "up", true);
		const struct object *vrf =
			store_get(e->fleet->store, "vrfcontext", json_str(g, "vrf", ""));

		if (up != was && vrf)
			engine_event(e, up ? "SE_GATEWAY_HEARTBEAT_SUCCESS" : "SE_GATEWAY_HEARTBEAT_FAILED",
				     "Gateway %s of VRF %s %s service engine %s.", json_str(g, "ip", ""),
				     vrf->name, up ? "answers again to" : "does not answer to", e->name);
	}
	if (!interfaces_follow(e))
		return;
	placement_engine_changed(e->fleet->placement, e);
	fleet_settle(e->fleet);
}

static void read_interfaces(struct engine *e, const json_t *interfaces)
{
	size_t n = json_array_size(interfaces);

	arena_fini(&e->arena);
	e->arena = (struct arena)ARENA_INIT;
	e->interfaces = arena_get(&e->arena, (n + 1) * sizeof(*e->interfaces));
	e->n_interfaces = 0;
	for (size_t i = 0; i < n; i++) {
		const json_t *one = json_array_get(interfaces, i),
			     *addresses = json_object_get(one, "addresses");
		size_t n_addresses = json_array_size(addresses);
		struct place_net *nets = arena_get(&e->arena, (n_addresses + 1) * sizeof(*nets));
		struct place_interface *f = &e->interfaces[e->n_interfaces++];

		*f = (struct place_interface){ .name = arena_strdup(&e->arena,
								    json_str(one, "name", "")),
					       .vrf = "",
					       .up = json_bool(one, "up", false),
					       .nets = nets };
		for (size_t a = 0; a < n_addresses; a++)
			if (read_address(json_string_value(json_array_get(addresses, a)),
					 &nets[f->n_nets]))
				f->n_nets++;
	}
	interfaces_follow(e);
}

/*
 * The object's form of one interface. *LOCAL: has it the address from which the engine dialled?
 * New reference.
 */
static json_t *make_vnic(const struct engine *e, const json_t *one, const char *dialled, bool *local)
{
	static const char *const operators[] = { "vrf_ref", "network_ref", "enabled" };
	const json_t *addresses = json_object_get(one, "addresses");
	const char *name = json_str(one, "name", "");
	json_t *nets = json_array(), *vnic, *said;

	*local = false;
	for (size_t i = 0; i < json_array_size(addresses); i++) {
		const char *text = json_string_value(json_array_get(addresses, i));
		struct place_net net = { 0 };
		char ip[IP_TEXT_MAX];

		if (!text || ip_parse_prefix(text, &net.addr, &net.len) < 0)
			continue;
		ip_text(&net.addr, ip);
		*local = *local || strcmp(ip, dialled) == 0;
		if (read_address(text, &net))
			json_array_append_new(nets, json_pack("{s:{s:{s:s, s:s}, s:i}, s:s}", "ip",
							      "ip_addr", "addr", ip, "type",
							      ip_is_v4(&net.addr) ? "V4" : "V6",
							      "mask", net.len, "mode", "STATIC"));
	}
	vnic = json_pack("{s:s, s:s, s:s, s:i, s:b, s:b, s:b, s:o}", "if_name", name, "linux_name",
			 name, "mac_address", json_str(one, "mac", ""), "mtu",
			 (int)json_int(one, "mtu", 1500), "link_up", json_bool(one, "up", false),
			 "connected", json_bool(one, "up", false), "is_mgmt", *local,
			 "vnic_networks", nets);
	/* Whose word is the operator's stays. */
	for (size_t i = 0; i < ARRAY_SIZE(operators); i++) {
		said = json_object_get(vnic_of(e, name), operators[i]);
		if (said)
			json_object_set(vnic, operators[i], said);
	}
	return vnic;
}

/* The serviceengine object shows what the engine says; it is written only when that differs. */
static void write_object(struct engine *e, const json_t *interfaces, const char *dialled)
{
	const struct change_by by = { .user = "system",
				      .client = "",
				      .tenant = TENANT_ADMIN,
				      .internal = true };
	const struct object *o = store_get(e->fleet->store, "serviceengine", e->uuid);
	CLEANUP_JSON json_t *wire = json_copy((json_t *)o->body), *data = json_array();
	struct change c;
	struct err err = { 0 };
	int rc;

	json_object_del(wire, "mgmt_vnic");
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *one = json_array_get(interfaces, i);
		bool local;
		json_t *vnic = make_vnic(e, one, dialled, &local);

		if (!json_str(one, "mac", NULL))
			json_decref(vnic);
		else if (local)
			json_object_set_new(wire, "mgmt_vnic", vnic);
		else
			json_array_append_new(data, vnic);
	}
	json_object_set(wire, "data_vnics", data);
	if (json_array_size(data) == 0)
		json_object_del(wire, "data_vnics");
	if (e->resources)
		json_object_set(wire, "resources", e->resources);
	if (json_equal(wire, o->body))
		return;
	change_begin(&c, e->fleet->store, &by);
	rc = change_update(&c, o->kind, e->uuid, wire, 0, &err);
	if (rc == 0)
		rc = change_commit(&c, &err);
	else
		change_abort(&c);
	model_notes_fini(&c.notes);
	if (rc < 0)
		log_error("engine_object_not_written engine=%s error=\"%s\"", e->name,
			  err_line(&err));
}

/* A cable that was pulled, or is there again: of what was known before. */
static void tell_of_links(struct engine *e, const json_t *interfaces)
{
	for (size_t i = 0; i < json_array_size(interfaces); i++) {
		const json_t *one = json_array_get(interfaces, i), *vnic = vnic_of(e, json_str(one, "name", ""));
		bool up = json_bool(one, "up", false);

		if (vnic && json_bool(vnic, "link_up", true) != up)
			verdicts_link(e, json_str(one, "name", ""), up);
	}
}

void interfaces_take(struct engine *e, const json_t *interfaces, const char *local)
{
	tell_of_links(e, interfaces);
	read_interfaces(e, interfaces);
	e->known = true;
	write_object(e, interfaces, local);
	placement_engine_changed(e->fleet->placement, e);
	fleet_settle(e->fleet);
}
