/*
 * reach - the warden's half that touches the machine, without controller and proxy: for tests.
 *
 * Reads commands from standard input, a line each, and says on standard output
 * what happens, a line each:
 *
 *	hold ADDR INTERFACE TERM      -> held ADDR | error ...
 *	release ADDR                  -> released ADDR
 *	proof on|off                  the proxy is alive | is not
 *	defend on|off                 the controller confirms what we own | is away
 *	counters                      -> counters NAME=VALUE ...
 *	production ADDR ...           -> production N
 *	clone WANT ...                -> clone first=N count=N generation=N | error ...
 *	                              WANT: IP, MAC and NET/LEN, with commas, some of them; and KIND=NUMBER for an
 *	                              encapsulation (vxlan, gre, erspan2, erspan3, geneve; VNI, key or session; a key
 *	                              of -1 is none) and port=NUMBER; replaces the set before
 *	unclone                       -> uncloned
 *	books I                       -> books NAME=VALUE ... state=...
 *	connect ADDR PORT I [CLIENT]  -> connected N | error ...: a marked socket to target I of the set
 *	                              (-1: not marked), whose copies carry CLIENT's address; as the proxy does it
 *	room on|off                   connections leave room for the encapsulation of their copies (on) | do not
 *	exchange N SEND RECEIVE       -> exchanged: so many bytes each way on socket N
 *	pingpong N COUNT BYTES        -> pingpong ns=...: of one round, by a peer that echoes
 *	close N                       -> closed N
 *	flows                         -> flows n=... closed=...: in the table; by both sides
 *	fill N                        -> filled NS: so many flows in the table; most CPU of a step of the sweep
 *	sockets N marked|bare         -> sockets N: so many, of datagrams
 *	(by itself)                   -> state ADDR STATE reason
 *
 * End of file is a clean end.
 */
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/clone/clone.h"
#include "engine/reach/netlink.h"
#include "engine/reach/vip.h"

enum { WORDS = 24, SOCKETS = 4096 };

static struct loop *loop;
static struct netlink *netlink;
static struct datapath *datapath;
static struct vips *vips;
static struct clones *clones;
static struct clone_set *set;
static int sockets[SOCKETS];
static int sockets_n;
static bool proof = true, defended = true, roomy = true;
static struct watch input;
static char line[4096];
static size_t filled;

static uint64_t proof_ns(struct vips_user *u)
{
	(void)u;
	return proof ? mono_ns() : 0;
}

static bool defend(struct vips_user *u, const struct vip *v)
{
	(void)u;
	(void)v;
	return defended;
}

static void changed(struct vips_user *u, const struct vip *v)
{
	char text[IP_TEXT_MAX];

	(void)u;
	printf("state %s %s %s\n", ip_text(vip_addr(v), text), vip_state_name(vip_state(v)), vip_reason(v));
}

static struct vips_user user = { .proof_ns = proof_ns, .defend = defend, .changed = changed };

/* ---- commands ---- */

static struct in6_addr ip(const char *text)
{
	struct in6_addr a = { 0 };

	if (!text || ip_parse(text, &a))
		printf("error not an address: %s\n", text ? text : "(none)");
	return a;
}

static void hold(char **w)
{
	struct in6_addr a = ip(w[1]);
	struct vip *v;
	struct err e = { 0 };

	if (vip_hold(vips, 0, &a, w[2], strtoull(w[3], NULL, 10), &v, &e))
		printf("error %s\n", err_line(&e));
	else
		printf("held %s\n", w[1]);
}

struct search {
	struct in6_addr addr;
	struct vip *found;
};

static void search(void *arg, const struct vip *v)
{
	struct search *s = arg;

	if (ip_equal(vip_addr(v), &s->addr))
		s->found = (struct vip *)(uintptr_t)v;
}

static void release(char **w)
{
	struct search s = { .addr = ip(w[1]) };

	vips_each(vips, search, &s);
	if (s.found)
		vip_release(s.found);
	printf("released %s\n", w[1]);
}

static void set_proof(char **w)
{
	proof = !strcmp(w[1], "on");
}

static void set_defend(char **w)
{
	defended = !strcmp(w[1], "on");
}

static void set_room(char **w)
{
	roomy = !strcmp(w[1], "on");
	printf("room %s\n", w[1]);
}

static void say_counters(char **w)
{
	uint64_t n[GATE_COUNTERS];

	(void)w;
	must(datapath_counters(datapath, n) == 0);
	printf("counters");
	for (int i = 0; i < GATE_COUNTERS; i++)
		printf(" %s=%" PRIu64, datapath_counter_name((enum gate_counter)i), n[i]);
	printf("\n");
}

static void production(char **w)
{
	struct in6_addr a[WORDS];
	size_t n = 0;

	for (; w[n + 1]; n++)
		a[n] = ip(w[n + 1]);
	clones_production(clones, a, n);
	printf("production %zu\n", n);
}

static void wrap_to(struct clone_want *want, const char *name, const char *number)
{
	static const char *const kinds[] = { [CLONE_WRAP_VXLAN] = "vxlan",     [CLONE_WRAP_GRE] = "gre",
					     [CLONE_WRAP_ERSPAN_II] = "erspan2", [CLONE_WRAP_ERSPAN_III] = "erspan3",
					     [CLONE_WRAP_GENEVE] = "geneve" };
	long n = strtol(number, NULL, 10);

	if (!strcmp(name, "port"))
		want->port = (uint16_t)n;
	for (size_t k = 1; k < ARRAY_SIZE(kinds); k++) {
		if (strcmp(name, kinds[k]))
			continue;
		want->wrap = (enum clone_wrap_kind)k;
		if (k == CLONE_WRAP_GRE && n >= 0) {
			want->has_key = true;
			want->key = (uint32_t)n;
		} else if (k == CLONE_WRAP_VXLAN || k == CLONE_WRAP_GENEVE) {
			want->vni = (uint32_t)n;
		} else if (k != CLONE_WRAP_GRE) {
			want->session = (uint32_t)n;
		}
	}
}

static void clone_to(char **w)
{
	struct clone_want wants[WORDS] = { 0 };
	struct clone_set *old = set;
	struct err e = { 0 };
	size_t n = 0;

	for (; w[n + 1]; n++) {
		struct clone_want *want = &wants[n];
		for (char *rest = w[n + 1], *part, *number; (part = strsep(&rest, ","));) {
			if ((number = strchr(part, '='))) {
				*number = 0;
				wrap_to(want, part, number + 1);
			} else if (strchr(part, '/'))
				want->has_subnet = ip_parse_prefix(part, &want->subnet, &want->subnet_len) == 0;
			else if (mac_parse(part, want->mac) == 0)
				want->has_mac = true;
			else
				want->has_ip = ip_parse(part, &want->ip) == 0;
		}
	}
	if (clone_set_new(clones, NULL, wants, n, &set, &e)) {
		printf("error %s\n", err_line(&e));
		return;
	}
	if (old)
		clone_set_free(old);
	struct clone_range r = clone_set_range(set);
	printf("clone first=%u count=%u generation=%u\n", r.first, r.count, r.generation);
}

static void unclone(char **w)
{
	(void)w;
	if (set)
		clone_set_free(set);
	set = NULL;
	printf("uncloned\n");
}

static void say_books(char **w)
{
	struct clone_books b;
	char mac[18];

	if (!set) {
		printf("error no clone set\n");
		return;
	}
	clone_set_read(set, (uint32_t)atoi(w[1]), &b);
	printf("books");
#define TARGET_COUNTER(name, unit, help) printf(" " #name "=%" PRIu64, (uint64_t)b.c.name);
#include "engine/bpf/counters.h"
	printf(" device_dropped=%" PRIu64 " room=%u interface=%s mac=%s state=%s\n",
	       b.device_dropped, clone_set_room(set), b.interface, mac_text(b.mac, mac), b.state);
}

static socklen_t sockaddr(const struct in6_addr *a, uint16_t port, struct sockaddr_storage *out)
{
	size_t n;

	memset(out, 0, sizeof(*out));
	if (ip_is_v4(a)) {
		struct sockaddr_in *in = (struct sockaddr_in *)out;
		in->sin_family = AF_INET;
		in->sin_port = htons(port);
		memcpy(&in->sin_addr, ip_bytes(a, &n), 4);
		return sizeof(*in);
	}
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
	in6->sin6_family = AF_INET6;
	in6->sin6_port = htons(port);
	in6->sin6_addr = *a;
	return sizeof(*in6);
}

static void connect_to(char **w)
{
	struct in6_addr to = ip(w[1]);
	struct sockaddr_storage at;
	socklen_t len = sockaddr(&to, (uint16_t)atoi(w[2]), &at);
	const struct timeval patience = { .tv_sec = 5 };
	const int window = 32 << 10;
	int target = atoi(w[3]), fd = socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	must(fd >= 0 && sockets_n < SOCKETS);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	/* A few large sends under way, and no more than the backlog of a virtual cable holds. */
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &window, sizeof(window));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &window, sizeof(window));
	if (roomy && set && clone_set_room(set)) {
		int mss = (int)clone_set_room(set) - (ip_is_v4(&to) ? 40 : 60);

		setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss));
	}
	if (target >= 0 && set) {
		struct clone_range r = clone_set_range(set);
		struct sock_mark m = { .flags = MARK_CLONE, .service = 1, .target = r.first + (uint32_t)target,
				       .generation = r.generation };
		if (w[4]) {
			struct in6_addr client = ip(w[4]);
			m.flags |= MARK_CLIENT_ADDR;
			memcpy(m.client_addr, &client, 16);
		}
		must(bpf_map_update_elem(datapath_marks_fd(datapath), &fd, &m, BPF_ANY) == 0);
	}
	if (connect(fd, (struct sockaddr *)&at, len)) {
		printf("error connect: %s\n", strerror(errno));
		close(fd);
		return;
	}
	sockets[sockets_n] = fd;
	printf("connected %d\n", sockets_n++);
}

/* Both ways at the same time: a peer that echoes must not block. */
static void exchange(char **w)
{
	static char block[65536];
	int fd = sockets[atoi(w[1])];
	size_t out = strtoull(w[2], NULL, 10), in = strtoull(w[3], NULL, 10);

	while (out || in) {
		struct pollfd p = { .fd = fd, .events = (short)((out ? POLLOUT : 0) | (in ? POLLIN : 0)) };
		if (poll(&p, 1, 5000) <= 0) {
			printf("error exchange: %zu to send, %zu to receive\n", out, in);
			return;
		}
		if (p.revents & (POLLIN | POLLHUP | POLLERR)) {
			ssize_t n = recv(fd, block, sizeof(block), MSG_DONTWAIT);
			if (n == 0 || (n < 0 && errno != EAGAIN)) {
				printf("error exchange: %s\n", n ? strerror(errno) : "closed");
				return;
			}
			in -= n > 0 ? MIN((size_t)n, in) : 0;
		}
		if (out && p.revents & POLLOUT) {
			ssize_t n = send(fd, block, MIN(out, sizeof(block)), MSG_DONTWAIT | MSG_NOSIGNAL);
			out -= n > 0 ? (size_t)n : 0;
		}
	}
	printf("exchanged\n");
}

static void pingpong(char **w)
{
	char bytes[4096];
	int fd = sockets[atoi(w[1])], count = atoi(w[2]);
	size_t n = MIN((size_t)atoi(w[3]), sizeof(bytes));
	uint64_t begin = mono_ns();

	memset(bytes, 'x', sizeof(bytes));
	for (int i = 0; i < count; i++) {
		if (send(fd, bytes, n, MSG_NOSIGNAL) != (ssize_t)n || recv(fd, bytes, n, MSG_WAITALL) != (ssize_t)n) {
			printf("error pingpong: %s\n", strerror(errno));
			return;
		}
	}
	printf("pingpong ns=%" PRIu64 "\n", (mono_ns() - begin) / (uint64_t)MAX(count, 1));
}

static void close_socket(char **w)
{
	close(sockets[atoi(w[1])]);
	printf("closed %s\n", w[1]);
}

static void fill(char **w)
{
	uint32_t n = (uint32_t)atoi(w[1]);
	const struct datapath_patience patience = { NS_PER_S, 3600 * NS_PER_S, NULL, NULL };
	struct timespec begin, end;
	uint64_t took = 0;

	for (uint32_t i = 0; i < n; i++) {
		struct flow_key k = { .proto = IPPROTO_TCP };
		struct flow f = { .seen_ns = mono_ns() };

		memcpy(k.remote, &i, sizeof(i));
		must(bpf_map_update_elem(datapath_flows_fd(datapath), &k, &f, BPF_ANY) == 0);
	}
	for (int i = 0; i < 64; i++) { /* more than a round */
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
		must(datapath_sweep(datapath, 4096, &patience) == 0);
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
		took = MAX(took, (uint64_t)(end.tv_sec - begin.tv_sec) * NS_PER_S + (uint64_t)end.tv_nsec - (uint64_t)begin.tv_nsec);
	}
	printf("filled %" PRIu64 "\n", took);
}

static void say_flows(char **w)
{
	struct flow_key k, *at = NULL;
	unsigned n = 0, closed = 0;
	struct flow f;

	(void)w;
	for (; bpf_map_get_next_key(datapath_flows_fd(datapath), at, &k) == 0; at = &k) {
		n++;
		if (bpf_map_lookup_elem(datapath_flows_fd(datapath), &k, &f) == 0)
			closed += f.closed[FLOW_IN] && f.closed[FLOW_OUT];
	}
	printf("flows n=%u closed=%u\n", n, closed);
}

static void make_sockets(char **w)
{
	int n = atoi(w[1]);

	for (int i = 0; i < n; i++) {
		int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		struct sock_mark m = { .flags = MARK_CLONE, .service = 1 };

		must(fd >= 0);
		if (!strcmp(w[2], "marked"))
			must(bpf_map_update_elem(datapath_marks_fd(datapath), &fd, &m, BPF_ANY) == 0);
	}
	printf("sockets %d\n", n);
}

static const struct {
	const char *name;
	int args;
	void (*run)(char **words);
} commands[] = {
	{ "hold", 3, hold },
	{ "release", 1, release },
	{ "proof", 1, set_proof },
	{ "defend", 1, set_defend },
	{ "counters", 0, say_counters },
	{ "production", 0, production },
	{ "clone", 1, clone_to },
	{ "unclone", 0, unclone },
	{ "books", 1, say_books },
	{ "room", 1, set_room },
	{ "connect", 3, connect_to },
	{ "exchange", 3, exchange },
	{ "pingpong", 3, pingpong },
	{ "close", 1, close_socket },
	{ "flows", 0, say_flows },
	{ "fill", 1, fill },
	{ "sockets", 2, make_sockets },
};

static void run(char *text)
{
	char *words[WORDS + 1] = { 0 }, *rest = text;
	int n = 0;

	while (n < WORDS && (words[n] = strsep(&rest, " ")))
		n++;
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(words[0], commands[i].name) && n > commands[i].args) {
			commands[i].run(words);
			return;
		}
	printf("error unknown command: %s\n", text);
}

static void input_ready(struct watch *w, uint32_t events)
{
	ssize_t n = read(w->fd, line + filled, sizeof(line) - filled - 1);

	(void)events;
	if (n <= 0) {
		loop_stop(loop);
		return;
	}
	filled += (size_t)n;
	for (char *end; (end = memchr(line, '\n', filled));) {
		*end = 0;
		run(line);
		filled -= (size_t)(end + 1 - line);
		memmove(line, end + 1, filled);
	}
}

/* reach [FLOWS]: so many fit the flow table. */
int main(int argc, char **argv)
{
	const struct datapath_config config = { .flows_max = argc > 1 ? (uint32_t)atoi(argv[1]) : 0 };
	struct err e = { 0 };

	log_init("reach");
	setvbuf(stdout, NULL, _IOLBF, 0);
	loop = loop_new();
	if (netlink_new(loop, &netlink, &e) || datapath_new(&config, &datapath, &e) ||
	    vips_new(loop, netlink, datapath, &user, &vips, &e) || clones_new(loop, netlink, datapath, NULL, &clones, &e)) {
		printf("error %s\n", err_line(&e));
		return 1;
	}
	must(watch_start(loop, &input, STDIN_FILENO, EPOLLIN, input_ready) == 0);
	printf("ready\n");
	loop_run(loop);
	watch_stop(loop, &input);
	clones_free(clones);
	vips_free(vips);
	netlink_free(netlink);
	datapath_free(datapath);
	loop_turn(loop, 0);
	loop_free(loop);
	return 0;
}
