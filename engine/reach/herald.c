#include "engine/reach/herald.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <netinet/icmp6.h>
#include <netinet/if_ether.h>
#include <netinet/ip6.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/wire.h"

enum { LISTEN_BUDGET = 256 };

struct arp_frame {
	struct ether_header eth;
	struct ether_arp arp;
	uint8_t padding[18]; /* to the 60 bytes of the shortest frame */
} __attribute__((packed));

struct nd_frame {
	struct ether_header eth;
	struct ip6_hdr ip;
	struct nd_neighbor_solicit nd; /* an advertisement looks the same */
	uint8_t option[8];             /* the link-layer address, but for probes */
} __attribute__((packed));

struct herald {
	struct loop *loop;
	struct herald_user *user;
	int ifindex;
	uint8_t mac[6];
	struct watch arp, nd;
	struct grave grave;
};

static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* ---- hearing ---- */

static void heard_arp(struct herald *h, const void *frame, size_t len)
{
	const struct arp_frame *f = frame;
	struct in6_addr sender, target;

	if (len < sizeof(f->eth) + sizeof(f->arp) || f->arp.arp_hrd != htons(ARPHRD_ETHER) ||
	    f->arp.arp_pro != htons(ETHERTYPE_IP) || f->arp.arp_hln != 6 || f->arp.arp_pln != 4)
		return;
	if (!memcmp(f->arp.arp_sha, h->mac, 6) || !memcmp(f->eth.ether_shost, h->mac, 6))
		return;
	ip_from_bytes(&sender, f->arp.arp_spa, 4);
	ip_from_bytes(&target, f->arp.arp_tpa, 4);
	if (!ip_is_zero(&sender))
		h->user->heard(h->user, h->ifindex, HERALD_CLAIM, &sender, f->arp.arp_sha);
	else if (f->arp.arp_op == htons(ARPOP_REQUEST))
		h->user->heard(h->user, h->ifindex, HERALD_PROBE, &target, f->arp.arp_sha);
}

static void heard_nd(struct herald *h, const void *frame, size_t len)
{
	const struct nd_frame *f = frame;
	struct in6_addr target, source;

	/* The hop limit proves that it comes from this link. */
	if (len < offsetof(struct nd_frame, option) || f->ip.ip6_nxt != IPPROTO_ICMPV6 || f->ip.ip6_hlim != 255 ||
	    f->nd.nd_ns_code != 0 || !memcmp(f->eth.ether_shost, h->mac, 6))
		return;
	memcpy(&target, &f->nd.nd_ns_target, 16);
	memcpy(&source, &f->ip.ip6_src, 16);
	if (f->nd.nd_ns_type == ND_NEIGHBOR_ADVERT)
		h->user->heard(h->user, h->ifindex, HERALD_CLAIM, &target, f->eth.ether_shost);
	else if (f->nd.nd_ns_type == ND_NEIGHBOR_SOLICIT && ip_is_zero(&source))
		h->user->heard(h->user, h->ifindex, HERALD_PROBE, &target, f->eth.ether_shost);
}

static void drain(struct herald *h, int fd, void (*heard)(struct herald *h, const void *frame, size_t len))
{
	uint8_t frame[256];

	for (int i = 0; i < LISTEN_BUDGET; i++) {
		ssize_t n = recv(fd, frame, sizeof(frame), MSG_DONTWAIT | MSG_TRUNC);
		if (n <= 0)
			return;
		heard(h, frame, MIN((size_t)n, sizeof(frame)));
	}
}

static void arp_ready(struct watch *w, uint32_t events)
{
	struct herald *h = CONTAINER_OF(w, struct herald, arp);

	(void)events;
	drain(h, w->fd, heard_arp);
}

static void nd_ready(struct watch *w, uint32_t events)
{
	struct herald *h = CONTAINER_OF(w, struct herald, nd);

	(void)events;
	drain(h, w->fd, heard_nd);
}

void herald_listen(struct herald *h)
{
	drain(h, h->arp.fd, heard_arp);
	drain(h, h->nd.fd, heard_nd);
}

/* ---- life ---- */

static int packet_socket(int ifindex, uint16_t protocol, const struct sock_fprog *filter)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = htons(protocol), .sll_ifindex = ifindex };
	/* Protocol 0 hears nothing, so that filter and interface are there before the first packet. */
	CLEANUP_FD int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, filter, sizeof(*filter)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return -errno;

	int answer = fd;
	fd = -1;
	return answer;
}

int herald_new(struct loop *l, int ifindex, const uint8_t mac[static 6], struct herald_user *u, struct herald **out)
{
	struct sock_filter arp_code[] = {
		BPF_STMT(BPF_RET | BPF_K, 256),
	};
	struct sock_filter nd_code[] = {
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct nd_frame, ip.ip6_nxt)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 4),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, offsetof(struct nd_frame, nd.nd_ns_type)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_SOLICIT, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ND_NEIGHBOR_ADVERT, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 256),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	const struct sock_fprog arp = { ARRAY_SIZE(arp_code), arp_code }, nd = { ARRAY_SIZE(nd_code), nd_code };
	CLEANUP_FD int arp_fd = packet_socket(ifindex, u ? ETH_P_ARP : 0, &arp);
	CLEANUP_FD int nd_fd = packet_socket(ifindex, u ? ETH_P_IPV6 : 0, &nd);
	struct herald *h;
	int rc;

	if (arp_fd < 0 || nd_fd < 0)
		return arp_fd < 0 ? arp_fd : nd_fd;
	h = xcalloc(1, sizeof(*h));
	h->loop = l;
	h->user = u;
	h->ifindex = ifindex;
	memcpy(h->mac, mac, 6);
	rc = watch_start(l, &h->arp, arp_fd, EPOLLIN, arp_ready);
	if (!rc) {
		rc = watch_start(l, &h->nd, nd_fd, EPOLLIN, nd_ready);
		if (rc)
			watch_stop(l, &h->arp);
	}
	if (rc) {
		free(h);
		return rc;
	}
	arp_fd = nd_fd = -1;
	*out = h;
	return 0;
}

static void herald_release(struct grave *g)
{
	free(CONTAINER_OF(g, struct herald, grave));
}

void herald_free(struct herald *h)
{
	struct watch *watches[] = { &h->arp, &h->nd };

	for (size_t i = 0; i < ARRAY_SIZE(watches); i++) {
		int fd = watches[i]->fd;
		watch_stop(h->loop, watches[i]);
		close(fd);
	}
	loop_bury(h->loop, &h->grave, herald_release);
}

/* ---- speaking ---- */

/* ff02::1:ffXX:XXXX of RFC 4291, and the MAC address that it has. */
static void solicited_node(const struct in6_addr *ip, struct in6_addr *group, uint8_t mac[static 6])
{
	static const uint8_t prefix[13] = { 0xff, 2, [11] = 1, [12] = 0xff };

	memcpy(group->s6_addr, prefix, sizeof(prefix));
	memcpy(group->s6_addr + 13, ip->s6_addr + 13, 3);
	memcpy(mac, (uint8_t[]){ 0x33, 0x33 }, 2);
	memcpy(mac + 2, group->s6_addr + 12, 4);
}

static int membership(struct herald *h, const struct in6_addr *ip, int option)
{
	struct packet_mreq m = { .mr_ifindex = h->ifindex, .mr_type = PACKET_MR_MULTICAST, .mr_alen = 6 };
	struct in6_addr group;

	if (ip_is_v4(ip))
		return 0;
	solicited_node(ip, &group, m.mr_address);
	return setsockopt(h->nd.fd, SOL_PACKET, option, &m, sizeof(m)) ? -errno : 0;
}

int herald_join(struct herald *h, const struct in6_addr *ip)
{
	return membership(h, ip, PACKET_ADD_MEMBERSHIP);
}

void herald_leave(struct herald *h, const struct in6_addr *ip)
{
	(void)membership(h, ip, PACKET_DROP_MEMBERSHIP);
}

static int say(int fd, const void *frame, size_t len)
{
	ssize_t n = send(fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);

	return n < 0 ? -errno : 0;
}

static int say_arp(struct herald *h, uint16_t op, const struct in6_addr *sender, const struct in6_addr *target)
{
	struct arp_frame f = { .eth.ether_type = htons(ETHERTYPE_ARP) };

	memcpy(f.eth.ether_dhost, broadcast, 6);
	memcpy(f.eth.ether_shost, h->mac, 6);
	f.arp.arp_hrd = htons(ARPHRD_ETHER);
	f.arp.arp_pro = htons(ETHERTYPE_IP);
	f.arp.arp_hln = 6;
	f.arp.arp_pln = 4;
	f.arp.arp_op = htons(op);
	memcpy(f.arp.arp_sha, h->mac, 6);
	if (sender)
		memcpy(f.arp.arp_spa, sender->s6_addr + 12, 4);
	if (op == ARPOP_REPLY)
		memcpy(f.arp.arp_tha, broadcast, 6);
	memcpy(f.arp.arp_tpa, target->s6_addr + 12, 4);
	return say(h->arp.fd, &f, sizeof(f));
}

static uint16_t icmp6_checksum(const struct nd_frame *f, size_t len)
{
	uint64_t sum = wire_sum_number(wire_sum_number(0, (uint32_t)len), IPPROTO_ICMPV6);

	return (uint16_t)~wire_fold(wire_sum(sum, &f->ip.ip6_src, 32 + len));
}

static int say_nd(struct herald *h, uint8_t type, const struct in6_addr *source, const struct in6_addr *group,
		  const uint8_t dst[static 6], const struct in6_addr *target)
{
	struct nd_frame f = { .eth.ether_type = htons(ETHERTYPE_IPV6) };
	size_t len = sizeof(f.nd);

	memcpy(f.eth.ether_dhost, dst, 6);
	memcpy(f.eth.ether_shost, h->mac, 6);
	f.nd.nd_ns_type = type;
	memcpy(&f.nd.nd_ns_target, target, 16);
	if (type == ND_NEIGHBOR_ADVERT)
		f.nd.nd_ns_reserved = ND_NA_FLAG_OVERRIDE;
	/* Who asks from nowhere must not say who asks. */
	if (!ip_is_zero(source)) {
		f.option[0] = type == ND_NEIGHBOR_ADVERT ? ND_OPT_TARGET_LINKADDR : ND_OPT_SOURCE_LINKADDR;
		f.option[1] = 1;
		memcpy(f.option + 2, h->mac, 6);
		len += sizeof(f.option);
	}
	f.ip.ip6_flow = htonl(6u << 28);
	f.ip.ip6_plen = htons((uint16_t)len);
	f.ip.ip6_nxt = IPPROTO_ICMPV6;
	f.ip.ip6_hlim = 255;
	memcpy(&f.ip.ip6_src, source, 16);
	memcpy(&f.ip.ip6_dst, group, 16);
	f.nd.nd_ns_cksum = icmp6_checksum(&f, len);
	return say(h->nd.fd, &f, offsetof(struct nd_frame, nd) + len);
}

int herald_probe(struct herald *h, const struct in6_addr *ip)
{
	struct in6_addr group;
	uint8_t dst[6];

	if (ip_is_v4(ip))
		return say_arp(h, ARPOP_REQUEST, NULL, ip);
	solicited_node(ip, &group, dst);
	return say_nd(h, ND_NEIGHBOR_SOLICIT, &in6addr_any, &group, dst, ip);
}

int herald_ask(struct herald *h, const struct in6_addr *sender, const struct in6_addr *ip)
{
	struct in6_addr group;
	uint8_t dst[6];

	if (ip_is_v4(ip))
		return say_arp(h, ARPOP_REQUEST, sender, ip);
	solicited_node(ip, &group, dst);
	return say_nd(h, ND_NEIGHBOR_SOLICIT, sender, &group, dst, ip);
}

int herald_announce(struct herald *h, const struct in6_addr *ip, bool reply)
{
	static const struct in6_addr all_nodes = { .s6_addr = { 0xff, 2, [15] = 1 } };
	static const uint8_t dst[6] = { 0x33, 0x33, 0, 0, 0, 1 };

	if (ip_is_v4(ip))
		return say_arp(h, reply ? ARPOP_REPLY : ARPOP_REQUEST, ip, ip);
	return say_nd(h, ND_NEIGHBOR_ADVERT, ip, &all_nodes, dst, ip);
}
