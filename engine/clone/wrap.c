#include "engine/clone/wrap.h"

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "base/base.h"
#include "base/wire.h"

enum {
	TTL = 64,
	VXLAN_PORT = 4789,
	GENEVE_PORT = 6081,
	VNI_IS_VALID = 0x08,
	GRE_KEY = 0x2000,
	GRE_SEQUENCE = 0x1000,
	ERSPAN_II = 0x88be,  /* protocol numbers of GRE */
	ERSPAN_III = 0x22eb,
	ERSPAN_FRAME = 1 << 15, /* a whole Ethernet frame */
	ERSPAN_100_NS = 1 << 1, /* unit of the time */
};

static const struct form {
	uint8_t proto, len; /* of all that follows the outer IP header */
	uint32_t flags;
} forms[] = {
	[CLONE_WRAP_VXLAN] = { IPPROTO_UDP, 8 + 8, WRAP_UDP },
	[CLONE_WRAP_GRE] = { IPPROTO_GRE, 4, 0 },
	[CLONE_WRAP_ERSPAN_II] = { IPPROTO_GRE, 8 + 8, WRAP_SEQUENCE | WRAP_ERSPAN_II },
	[CLONE_WRAP_ERSPAN_III] = { IPPROTO_GRE, 8 + 12, WRAP_SEQUENCE | WRAP_ERSPAN_III },
	[CLONE_WRAP_GENEVE] = { IPPROTO_UDP, 8 + 8, WRAP_UDP },
};

static unsigned ip_len(const struct clone_want *w)
{
	return ip_is_v4(&w->ip) ? 20 : 40;
}

static unsigned wrap_len(const struct clone_want *w)
{
	return ip_len(w) + forms[w->wrap].len + (w->wrap == CLONE_WRAP_GRE && w->has_key ? 4u : 0u);
}

unsigned clone_wrap_overhead(const struct clone_want *w)
{
	return w->wrap ? wrap_len(w) + ETH_HLEN : 0;
}

bool clone_wrap_is_numbered(const struct clone_want *w)
{
	return forms[w->wrap].flags & WRAP_SEQUENCE;
}

static void fill_ip(const struct clone_want *w, const struct in6_addr *source, struct wrap *out)
{
	size_t n;

	if (out->flags & WRAP_V6) {
		out->head[6] = forms[w->wrap].proto;
		out->head[7] = TTL;
		memcpy(out->head + 8, source, 16);
		memcpy(out->head + 24, &w->ip, 16);
		return;
	}
	out->head[0] = 0x45;
	out->head[6] = 0x40; /* DF; so the identification may be zero (RFC 6864) */
	out->head[8] = TTL;
	out->head[9] = forms[w->wrap].proto;
	memcpy(out->head + 12, ip_bytes(source, &n), 4);
	memcpy(out->head + 16, ip_bytes(&w->ip, &n), 4);
	for (size_t i = 0; i < 20; i += 2)
		out->sum += wire_get16(out->head + i);
}

static void fill_udp(uint8_t *h, unsigned port)
{
	wire_put16(h + 2, port);
}

void clone_wrap_fill(const struct clone_want *w, const struct in6_addr *source, struct wrap *out)
{
	const struct form *f = &forms[w->wrap];
	bool v4 = ip_is_v4(&w->ip);
	uint8_t *h;

	must(w->wrap != CLONE_WRAP_NONE && ip_is_v4(source) == v4);
	memset(out, 0, sizeof(*out));
	out->flags = f->flags | (v4 ? 0 : WRAP_V6);
	out->len = wrap_len(w);
	out->room = (v4 ? BPF_F_ADJ_ROOM_ENCAP_L3_IPV4 : BPF_F_ADJ_ROOM_ENCAP_L3_IPV6) |
		    (f->flags & WRAP_UDP ? BPF_F_ADJ_ROOM_ENCAP_L4_UDP : BPF_F_ADJ_ROOM_ENCAP_L4_GRE) |
		    BPF_F_ADJ_ROOM_ENCAP_L2(ETH_HLEN) | BPF_F_ADJ_ROOM_ENCAP_L2_ETH;
	fill_ip(w, source, out);
	h = out->head + ip_len(w);
	switch (w->wrap) {
	case CLONE_WRAP_VXLAN:
		fill_udp(h, w->port ? w->port : VXLAN_PORT);
		h[8] = VNI_IS_VALID;
		wire_put32(h + 12, w->vni << 8);
		break;
	case CLONE_WRAP_GENEVE:
		fill_udp(h, w->port ? w->port : GENEVE_PORT);
		wire_put16(h + 10, ETH_P_TEB);
		wire_put32(h + 12, w->vni << 8);
		break;
	case CLONE_WRAP_GRE:
		wire_put16(h, w->has_key ? GRE_KEY : 0);
		wire_put16(h + 2, ETH_P_TEB);
		if (w->has_key)
			wire_put32(h + 4, w->key);
		break;
	case CLONE_WRAP_ERSPAN_II:
		wire_put16(h, GRE_SEQUENCE);
		wire_put16(h + 2, ERSPAN_II);
		wire_put32(h + 8, 1u << 28 | (w->session & 0x3ff));
		break;
	case CLONE_WRAP_ERSPAN_III:
		wire_put16(h, GRE_SEQUENCE);
		wire_put16(h + 2, ERSPAN_III);
		wire_put32(h + 8, 2u << 28 | (w->session & 0x3ff));
		wire_put32(h + 16, ERSPAN_FRAME | ERSPAN_100_NS);
		break;
	case CLONE_WRAP_NONE:
		break;
	}
}
