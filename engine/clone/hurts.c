#include "engine/clone/hurts.h"

#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/base.h"
#include "base/ip.h"
#include "engine/config/assigned.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/clone.h"

struct hurts {
	struct datapath *datapath;
	struct clones *clones;
	struct assigned_table *assigned;
	struct {
		uint32_t number;
		uint64_t frames;
		json_t *json;   /* made when it was new: what it names may be gone since */
	} told[HURTS_MAX];
};

struct hurts *hurts_new(struct datapath *d, struct clones *c, struct assigned_table *a)
{
	struct hurts *h = xcalloc(1, sizeof(*h));

	h->datapath = d;
	h->clones = c;
	h->assigned = a;
	return h;
}

void hurts_free(struct hurts *h)
{
	for (size_t i = 0; h && i < HURTS_MAX; i++)
		json_decref(h->told[i].json);
	free(h);
}

static const char *reason_of(uint32_t fate)
{
	static const char *const names[] = {
#define TARGET_COUNTER(name, unit, help) #name,
#include "engine/bpf/counters.h"
	};
	static const size_t prefix = sizeof("dropped_") - 1;

	return fate < ARRAY_SIZE(names) && !strncmp(names[fate], "dropped_", prefix) ? names[fate] + prefix : "other";
}

static const char *service_of(const struct hurts *h, uint32_t index)
{
	LIST_FOREACH(l, assigned_list(h->assigned)) {
		const struct assigned *a = LIST_ENTRY(l, struct assigned, link);

		if (a->index == index)
			return a->uuid;
	}
	return NULL;
}

static json_t *address(const uint8_t *addr)
{
	char text[IP_TEXT_MAX];
	struct in6_addr ip;

	memcpy(&ip, addr, sizeof(ip));
	return ip_is_zero(&ip) ? json_null() : json_string(ip_text(&ip, text));
}

/* Its address, or where it has none in the profile its MAC. */
static json_t *clone_server_of(const struct hurts *h, const struct hurt *hurt)
{
	const struct clone_want *w = clones_want(h->clones, hurt->slot, hurt->generation);
	char mac[18];

	if (!w)
		return json_null();
	return w->has_ip ? address((const uint8_t *)&w->ip) : json_string(mac_text(w->mac, mac));
}

static json_t *hurt_json(const struct hurts *h, const struct hurt *hurt)
{
	const char *service = service_of(h, hurt->service);
	uint64_t now = mono_ns(), ago_ns = now > hurt->at_ns ? now - hurt->at_ns : 0;

	return json_pack("{s:I, s:o, s:o, s:s, s:s, s:o, s:i, s:o, s:i, s:o, s:i, s:s, s:I, s:I}",
			 "number", (json_int_t)hurt->number,
			 "virtualservice", service ? json_string(service) : json_null(),
			 "clone_server", clone_server_of(h, hurt),
			 "leg", hurt->is_client ? "client" : "server",
			 "protocol", hurt->key.proto == IPPROTO_UDP ? "UDP" : "TCP",
			 "local", address(hurt->key.local), "local_port", (int)ntohs(hurt->key.local_port),
			 "remote", address(hurt->key.remote), "remote_port", (int)ntohs(hurt->key.remote_port),
			 "client", address(hurt->client_addr), "client_port", (int)ntohs(hurt->client_port),
			 "reason", reason_of(hurt->fate), "frames", (json_int_t)hurt->frames,
			 "time_us", (json_int_t)(wall_us() - ago_ns / 1000));
}

json_t *hurts_read(struct hurts *h, bool all)
{
	json_t *list = NULL;

	/* Their numbers begin with 1, so where one is missing no later one is. */
	for (uint32_t n = 1; n <= HURTS_MAX; n++) {
		uint32_t i = n % HURTS_MAX;
		struct hurt hurt;

		if (datapath_hurt_read(h->datapath, i, &hurt) || !hurt.number)
			break;
		if (!all && h->told[i].number == hurt.number && h->told[i].frames == hurt.frames)
			continue;
		if (h->told[i].number != hurt.number) {
			json_decref(h->told[i].json);
			h->told[i].json = hurt_json(h, &hurt);
		}
		json_object_set_new(h->told[i].json, "frames", json_integer((json_int_t)hurt.frames));
		h->told[i].number = hurt.number;
		h->told[i].frames = hurt.frames;
		if (!list)
			list = json_array();
		json_array_append_new(list, json_copy(h->told[i].json));
	}
	return list;
}
