#include "controller/capture/expression.h"

#include <ctype.h>
#include <errno.h>

#include <pcap/pcap.h>

#include "base/base.h"

#define BEGIN_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:\\"
#define WORD_CHARS  BEGIN_CHARS "_-./"

/* Words of the language (pcap-filter(7)) that can be used of an Ethernet: behind them no host is meant by these letters. */
static const char *const words[] = {
	"aarp", "ah", "and", "arp", "atalk", "broadcast", "byte", "carp", "clnp", "csnp", "decnet", "dst", "es-is", "esis", "esp",
	"ether", "fddi", "gateway", "geneve", "greater", "host", "icmp", "icmp6", "icmp6code", "icmp6type", "icmpcode", "icmptype",
	"ifindex", "igmp", "igrp", "iih", "inbound", "ip", "ip6", "ipx", "is-is", "isis", "iso", "l1", "l2", "lat", "len", "length",
	"less", "link", "llc", "lsp", "mask", "mopdl", "moprc", "mpls", "multicast", "net", "netbeui", "not", "or", "outbound", "pim",
	"port", "portrange", "pppoed", "pppoes", "proto", "protochain", "psnp", "radio", "rarp", "sca", "sctp", "snp", "src", "stp", "tcp",
	"tcpflags", "tr", "udp", "vlan", "vrrp", "wlan",
};

static bool is_in(const char *const *list, size_t n, const char *p, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && memcmp(list[i], p, len) == 0)
			return true;
	return false;
}

#define IS_IN(list, p, len) is_in(list, ARRAY_SIZE(list), p, len)

static bool is_number(const char *p, size_t n)
{
	if (n > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X'))
		return true;
	/* IPv6 and MAC; IPv4, networks and plain numbers. */
	return memchr(p, ':', n) || strspn(p, "0123456789./") >= n || (n == 17 && strspn(p, "0123456789abcdefABCDEF-") >= n);
}

static bool is_word(const char *p, size_t n)
{
	return *p == '\\' || IS_IN(words, p, n) || (n > 4 && memcmp(p, "tcp-", 4) == 0) || (n > 5 && memcmp(p, "icmp-", 5) == 0) ||
	       (n > 6 && memcmp(p, "icmp6-", 6) == 0);
}

/* The first word that would be looked up, and its length; NULL: there is none. */
static const char *name_in(const char *text, size_t *len)
{
	static const char *const of_files[] = { "port", "portrange", "proto", "protochain" };
	static const char *const of_hosts[] = { "host", "net", "gateway", "src", "dst" };
	bool files = false;

	for (const char *p = text; *(p += strcspn(p, BEGIN_CHARS)); p += *len) {
		*len = strspn(p, WORD_CHARS);
		/* What a word is about it is about for those behind `or` as well. */
		if (IS_IN(of_files, p, *len))
			files = true;
		else if (IS_IN(of_hosts, p, *len))
			files = false;
		else if (!files && !is_number(p, *len) && !is_word(p, *len))
			return p;
	}
	return NULL;
}

int expression_check(const char *text, struct err *e)
{
	struct bpf_program program;
	pcap_t *pcap;
	size_t len;
	const char *name = name_in(text, &len);
	int rc = 0;

	if (name)
		return err_set(e, -EINVAL, "capture_expression",
			       "It is no filter expression: \"%.*s\" is none of its words, nor an address; names of hosts are not looked up.",
			       (int)MIN(len, (size_t)60), name);
	pcap = pcap_open_dead(DLT_EN10MB, 262144);
	must(pcap);
	if (pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN) < 0)
		rc = err_set(e, -EINVAL, "capture_expression", "It is no filter expression: %s.", pcap_geterr(pcap));
	else
		pcap_freecode(&program);
	pcap_close(pcap);
	return rc;
}
