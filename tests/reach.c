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
 *	(by itself)                   -> state ADDR STATE reason
 *
 * End of file is a clean end.
 */
#include <errno.h>
#include <inttypes.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/bpf/datapath.h"
#include "engine/netlink.h"
#include "engine/vip.h"

enum { WORDS = 8 };

static struct loop *loop;
static struct netlink *netlink;
static struct datapath *datapath;
static struct vips *vips;
static bool proof = true, defended = true;
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

	if (vip_hold(vips, &a, w[2], strtoull(w[3], NULL, 10), &v, &e))
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
};

static void run(char *text)
{
	char *words[WORDS] = { 0 }, *rest = text;
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

int main(void)
{
	struct err e = { 0 };

	log_init("reach");
	setvbuf(stdout, NULL, _IOLBF, 0);
	loop = loop_new();
	if (netlink_new(loop, &netlink, &e) || datapath_new(NULL, &datapath, &e) ||
	    vips_new(loop, netlink, datapath, &user, &vips, &e)) {
		printf("error %s\n", err_line(&e));
		return 1;
	}
	must(watch_start(loop, &input, STDIN_FILENO, EPOLLIN, input_ready) == 0);
	printf("ready\n");
	loop_run(loop);
	watch_stop(loop, &input);
	vips_free(vips);
	netlink_free(netlink);
	datapath_free(datapath);
	loop_turn(loop, 0);
	loop_free(loop);
	return 0;
}
