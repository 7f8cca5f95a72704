#include "engine/capture/sieve.h"

#include <errno.h>
#include <linux/if_ether.h>

#include <pcap/pcap.h>

#include "base/base.h"
#include "base/ip.h"
#include "base/ipset.h"
#include "base/wire.h"
#include "model/structs.h"

enum { FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10 };

struct addresses {
	bool any;             /* nothing was said */
	bool others;          /* all but these */
	struct ipset set;
};

struct ports {
	uint16_t first, last; /* last 0: any */
	bool others;
};

struct clause {
	bool v4, tcp;
	struct addresses host;
	struct ports src, dst;
	uint8_t flags;        /* 0: any */
	bool all_flags, other_flags;
};

struct sieve {
	enum debug_hm hm;
	struct addresses whose;
	struct ipset servers;
	struct clause *clauses; /* one of them; of filters, which is one more, and must pass as well */
	size_t n_clauses;
	struct clause *filters;
	bool has_program;
	struct bpf_program program;
};

static void addresses_make(struct addresses *a, const struct debug_ip_addr *d)
{
	struct in6_addr ip, last;

	*a = (struct addresses){ .any = true };
	if (!d || !(d->addrs_n + d->prefixes_n + d->ranges_n))
		return;
	a->any = false;
	a->others = d->match_operation == IS_NOT_IN;
	for (size_t i = 0; i < d->addrs_n; i++)
		if (d->addrs[i].addr && ip_parse(d->addrs[i].addr, &ip) == 0)
			ipset_add(&a->set, &ip);
	for (size_t i = 0; i < d->prefixes_n; i++)
		if (d->prefixes[i].ip_addr && d->prefixes[i].ip_addr->addr && ip_parse(d->prefixes[i].ip_addr->addr, &ip) == 0)
			ipset_add_prefix(&a->set, &ip, (unsigned)d->prefixes[i].mask);
	for (size_t i = 0; i < d->ranges_n; i++)
		if (d->ranges[i].begin && d->ranges[i].end && ip_parse(d->ranges[i].begin->addr, &ip) == 0 &&
		    ip_parse(d->ranges[i].end->addr, &last) == 0)
			ipset_add_range(&a->set, &ip, &last);
	ipset_seal(&a->set);
}

static struct ports ports_of(int64_t first, int64_t last, bool others)
{
	return (struct ports){ (uint16_t)first, (uint16_t)(first && last < first ? first : last), others };
}

static uint8_t flags_of(bool syn, bool ack, bool fin, bool push, bool rst)
{
	return (uint8_t)(syn * SYN | ack * ACK | fin * FIN | push * PSH | rst * RST);
}

static void clause_make(struct clause *k, const struct capture_tcp_filter *f)
{
	const struct capture_tcp_flags *t = f->tcpflag;

	*k = (struct clause){ .v4 = true, .tcp = true };
	addresses_make(&k->host, f->host_ip);
	if (f->src_port_range)
		k->src = ports_of(f->src_port_range->src_port_start, f->src_port_range->src_port_end,
				  f->src_port_range->match_operation == IS_NOT_IN);
	if (f->dst_port_range)
		k->dst = ports_of(f->dst_port_range->dst_port_start, f->dst_port_range->dst_port_end,
				  f->dst_port_range->match_operation == IS_NOT_IN);
	if (t) {
		k->flags = flags_of(t->tcp_syn, t->tcp_ack, t->tcp_fin, t->tcp_push, t->tcp_rst);
		k->all_flags = t->filter_op == AND;
		k->other_flags = t->match_operation == IS_NOT_IN;
	}
}

static void filters_make(struct clause *k, const struct capture_filters *f)
{
	*k = (struct clause){ .v4 = f->has_eth_proto, .tcp = f->has_ip_proto };
	addresses_make(&k->host, f->capture_ip);
	k->src = ports_of(f->src_port, f->src_port_range_end, false);
	k->dst = ports_of(f->dst_port_start, f->dst_port_end, false);
	k->flags = flags_of(f->tcp_syn, f->tcp_ack, f->tcp_fin, f->tcp_push, false);
}

static int compile(struct sieve *s, const char *text, struct err *e)
{
	pcap_t *p = pcap_open_dead(DLT_EN10MB, 262144);
	int rc = 0;

	must(p);
	if (pcap_compile(p, &s->program, text, 1, PCAP_NETMASK_UNKNOWN) < 0)
		rc = err_set(e, -EINVAL, "capture_expression", "It is no filter expression: %s.", pcap_geterr(p));
	else
		s->has_program = true;
	pcap_close(p);
	return rc;
}

int sieve_new(const struct capture *c, const struct ipset *servers, struct sieve **out, struct err *e)
{
	struct sieve *s = xcalloc(1, sizeof(*s));
	int rc = 0;

	s->hm = c->debug_hm;
	s->servers = ipset_and(servers, servers, false);
	addresses_make(&s->whose, c->debug_ip);
	if (c->capture_pkt_filter && c->capture_pkt_filter->capture_tcp_filters_n) {
		s->n_clauses = c->capture_pkt_filter->capture_tcp_filters_n;
		s->clauses = xcalloc(s->n_clauses, sizeof(*s->clauses));
		for (size_t i = 0; i < s->n_clauses; i++)
			clause_make(&s->clauses[i], &c->capture_pkt_filter->capture_tcp_filters[i]);
	}
	if (c->capture_filters) {
		s->filters = xcalloc(1, sizeof(*s->filters));
		filters_make(s->filters, c->capture_filters);
	}
	if (c->capture_expression && *c->capture_expression)
		rc = compile(s, c->capture_expression, e);
	if (rc < 0)
		sieve_free(s);
	else
		*out = s;
	return rc;
}

void sieve_free(struct sieve *s)
{
	if (!s)
		return;
	ipset_fini(&s->servers);
	ipset_fini(&s->whose.set);
	for (size_t i = 0; i < s->n_clauses; i++)
		ipset_fini(&s->clauses[i].host.set);
	free(s->clauses);
	if (s->filters)
		ipset_fini(&s->filters->host.set);
	free(s->filters);
	if (s->has_program)
		pcap_freecode(&s->program);
	free(s);
}

/* ---- asking ---- */

struct packet {
	bool v4, tcp, ports, known;
	struct in6_addr src, dst;
	uint16_t sport, dport;
	uint8_t flags;
};

static struct packet take_apart(const uint8_t *d, uint32_t len)
{
	struct packet p = { 0 };
	uint32_t at = ETH_HLEN;
	uint8_t proto = 0;
	bool first = true;

	if (len < ETH_HLEN + 20)
		return p;
	if (wire_get16(d + 12) == ETH_P_IP) {
		p.v4 = p.known = true;
		ip_from_bytes(&p.src, d + 26, 4);
		ip_from_bytes(&p.dst, d + 30, 4);
		proto = d[23];
		first = !(wire_get16(d + 20) & 0x1fff);
		at += (d[14] & 15) * 4U;
	} else if (wire_get16(d + 12) == ETH_P_IPV6 && len >= ETH_HLEN + 40) {
		p.known = true;
		ip_from_bytes(&p.src, d + 22, 16);
		ip_from_bytes(&p.dst, d + 38, 16);
		proto = d[20];
		at += 40;
		while ((proto == IPPROTO_HOPOPTS || proto == IPPROTO_ROUTING || proto == IPPROTO_DSTOPTS ||
			proto == IPPROTO_FRAGMENT) && at + 8 <= len) {
			if (proto == IPPROTO_FRAGMENT)
				first = first && !(wire_get16(d + at + 2) & 0xfff8);
			uint32_t n = proto == IPPROTO_FRAGMENT ? 8 : (d[at + 1] + 1U) * 8;
			proto = d[at];
			at += n;
		}
	}
	p.tcp = proto == IPPROTO_TCP;
	if (!p.known || !first || (!p.tcp && proto != IPPROTO_UDP) || at + (p.tcp ? 14 : 4) > len)
		return p;
	p.ports = true;
	p.sport = wire_get16(d + at);
	p.dport = wire_get16(d + at + 2);
	p.flags = p.tcp ? d[at + 13] : 0;
	return p;
}

static bool addresses_have(const struct addresses *a, const struct in6_addr *one, const struct in6_addr *other)
{
	return a->any || (ipset_has(&a->set, one) || ipset_has(&a->set, other)) != a->others;
}

static bool ports_have(const struct ports *r, const struct packet *p, uint16_t port)
{
	return (!r->first && !r->last) || (p->ports && (port >= r->first && port <= r->last) != r->others);
}

static bool clause_has(const struct clause *k, const struct packet *p)
{
	uint8_t have = p->flags & k->flags;

	return (!k->v4 || p->v4) && (!k->tcp || p->tcp) && p->known && addresses_have(&k->host, &p->src, &p->dst) &&
	       ports_have(&k->src, p, p->sport) && ports_have(&k->dst, p, p->dport) &&
	       (!k->flags || (p->ports && p->tcp && (k->all_flags ? have == k->flags : have != 0) != k->other_flags));
}

/* The server is the other end of a server leg. */
static bool whose_fits(const struct sieve *s, const struct sieve_packet *p, const struct packet *k)
{
	const struct in6_addr *server = p->is_client_leg ? &p->client : p->out ? &k->dst : &k->src;

	if (p->whole)
		return s->whose.any || (k->known && addresses_have(&s->whose, &k->src, &k->dst));
	return s->whose.any || (k->known && addresses_have(&s->whose, &p->client, server));
}

bool sieve_takes(const struct sieve *s, const struct in6_addr *client, const struct in6_addr *server)
{
	return addresses_have(&s->whose, client, ip_is_zero(server) ? client : server);
}

bool sieve_passes(const struct sieve *s, const struct sieve_packet *p)
{
	struct packet k;
	bool one = !s->n_clauses;

	if (!p->whole && (p->monitor ? s->hm == DEBUG_VS_HM_NONE : s->hm == DEBUG_VS_HM_ONLY))
		return false;
	if ((!p->monitor || p->whole) && s->whose.any && !s->n_clauses && !s->filters && !s->has_program)
		return true;
	k = take_apart(p->data, p->len);
	if (p->monitor && !p->whole && !ipset_has(&s->servers, p->out ? &k.dst : &k.src))
		return false;
	if (!whose_fits(s, p, &k) || (s->filters && !clause_has(s->filters, &k)))
		return false;
	for (size_t i = 0; i < s->n_clauses && !one; i++)
		one = clause_has(&s->clauses[i], &k);
	return one && (!s->has_program ||
		       pcap_offline_filter(&s->program, &(struct pcap_pkthdr){ .caplen = p->len, .len = p->wire_len }, p->data));
}
