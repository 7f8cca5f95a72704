#include "engine/bpf/datapath.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "base/log.h"
#include "engine/bpf/datapath.skel.h"

/* Where our programs hang, on every interface, always: so a later warden finds and replaces them. */
enum { TC_HANDLE = 0x5c, TC_PRIORITY = 0x5c1e };

enum { SWEEP_BATCH = 512 };

struct datapath {
	struct datapath_bpf *skel;
	struct target_slot *targets;     /* the map's memory */
	struct recorder_memory recorder;
	size_t recorder_bytes;
	struct bpf_link *steering;       /* NULL until there is a range */
	bool range_taken[RANGES_MAX];
	int tap_rings[TAPS_MAX];         /* descriptors; 0: none */
	int cpus;
	struct target_counters *per_cpu; /* one for each */
	bool sweeping;                   /* `sweep_at` is valid */
	uint32_t sweep_at;
	uint64_t sweep_began_ns;         /* of the present round through the table */
	uint64_t swept_ns;               /* when the last whole one began */
	uint64_t seen_ns[TARGETS_MAX];   /* by slot: a round saw a flow of it */
	struct flow_key keys[SWEEP_BATCH];
	struct flow values[SWEEP_BATCH];
};

static const char *const counter_names[][3] = {
#define GATE_COUNTER(name, unit, help) { #name, unit, help },
#include "engine/bpf/counters.h"
};

const char *datapath_counter_name(enum gate_counter c)
{
	return counter_names[c][0];
}

static int quiet_print(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];

	if (level != LIBBPF_WARN)
		return 0;
	vsnprintf(line, sizeof(line), fmt, ap);
	line[strcspn(line, "\n")] = 0;
	/* libbpf 1.1 warns of a qdisc that is there already: that is what we ask for. */
	if (!strstr(line, "Exclusivity flag"))
		log_debug("libbpf text=\"%s\"", line);
	return 0;
}

static int targets_map(struct datapath *d)
{
	void *p = mmap(NULL, TARGETS_MAX * sizeof(struct target_slot), PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(d->skel->maps.targets), 0);

	if (p == MAP_FAILED)
		return -errno;
	d->targets = p;
	return 0;
}

/* The kernel maps an array's memory as the whole pages that it takes. */
static int recorder_map(struct datapath *d, uint32_t slice)
{
	size_t bytes = (size_t)slice * (size_t)d->cpus * sizeof(struct recorder_slot);
	void *p;

	if (!slice)
		return 0;
	p = mmap(NULL, bytes, PROT_READ, MAP_SHARED, bpf_map__fd(d->skel->maps.recorder_slots), 0);
	if (p == MAP_FAILED)
		return -errno;
	d->recorder = (struct recorder_memory){ p, (uint32_t)d->cpus, slice };
	d->recorder_bytes = bytes;
	d->skel->bss->recorder_slice = slice;
	return 0;
}

int datapath_new(const struct datapath_config *c, struct datapath **out, struct err *e)
{
	libbpf_set_print(quiet_print);

	struct datapath_bpf *skel = datapath_bpf__open();
	if (!skel)
		return err_set(e, -errno, NULL, "the BPF object cannot be opened: %s", strerror(errno));
	if (c && c->flows_max)
		bpf_map__set_max_entries(skel->maps.flows, c->flows_max);

	int cpus = libbpf_num_possible_cpus();
	uint32_t slice = c ? (uint32_t)(c->recorder_bytes / sizeof(struct recorder_slot) / (size_t)cpus) : 0;
	if (slice)
		bpf_map__set_max_entries(skel->maps.recorder_slots, slice * (uint32_t)cpus);

	int rc = datapath_bpf__load(skel);
	if (rc) {
		datapath_bpf__destroy(skel);
		return err_set(e, rc, NULL, "the kernel does not load the BPF programs: %s%s", strerror(-rc),
			       rc == -EPERM ? " (CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON are needed)" : "");
	}

	struct datapath *d = xcalloc(1, sizeof(*d));
	d->skel = skel;
	random_bytes(&skel->bss->flow_seed, sizeof(skel->bss->flow_seed));
	d->cpus = cpus;
	d->per_cpu = xcalloc((size_t)d->cpus, sizeof(*d->per_cpu));
	rc = targets_map(d);
	if (rc) {
		datapath_free(d);
		return err_set(e, rc, NULL, "the map of clone targets cannot be mapped: %s", strerror(-rc));
	}
	rc = recorder_map(d, slice);
	if (rc) {
		datapath_free(d);
		return err_set(e, rc, NULL, "the recorder's memory cannot be mapped: %s", strerror(-rc));
	}
	*out = d;
	return 0;
}

void datapath_free(struct datapath *d)
{
	if (!d)
		return;
	bpf_link__destroy(d->steering);
	if (d->targets)
		munmap(d->targets, TARGETS_MAX * sizeof(struct target_slot));
	if (d->recorder.slots)
		munmap((void *)d->recorder.slots, d->recorder_bytes);
	datapath_bpf__destroy(d->skel);
	free(d->per_cpu);
	free(d);
}

/* ---- attaching ---- */

static int attach(int ifindex, enum bpf_tc_attach_point at, const struct bpf_program *prog, struct err *e)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY, .flags = BPF_TC_F_REPLACE,
		    .prog_fd = bpf_program__fd(prog));

	int rc = bpf_tc_hook_create(&hook);
	if (rc && rc != -EEXIST)
		return err_set(e, rc, NULL, "no clsact qdisc on interface %d: %s", ifindex, strerror(-rc));
	hook.attach_point = at;
	rc = bpf_tc_attach(&hook, &opts);
	if (rc)
		return err_set(e, rc, NULL, "program not attached to interface %d: %s", ifindex, strerror(-rc));
	return 0;
}

/* Outwards first: nothing may speak before it is listened to. */
int datapath_attach(struct datapath *d, int ifindex, struct err *e)
{
	int rc = attach(ifindex, BPF_TC_EGRESS, d->skel->progs.data_egress, e);

	return rc ? rc : attach(ifindex, BPF_TC_INGRESS, d->skel->progs.data_ingress, e);
}

int datapath_attach_cutter(struct datapath *d, int ifindex, struct err *e)
{
	return attach(ifindex, BPF_TC_EGRESS, d->skel->progs.cut_egress, e);
}

int datapath_trial(struct datapath *d, uint32_t slot, bool out, const void *frame, size_t len)
{
	struct __sk_buff skb = { .mark = slot | (out ? COPY_OUT : 0) };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = (uint32_t)len, .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb));

	return bpf_prog_test_run_opts(bpf_program__fd(d->skel->progs.trial), &o);
}

int datapath_attach_outlet(struct datapath *d, int ifindex, struct err *e)
{
	return attach(ifindex, BPF_TC_INGRESS, d->skel->progs.plain_ingress, e);
}

int datapath_plain_words_fd(const struct datapath *d)
{
	return bpf_map__fd(d->skel->maps.plain_words);
}

int datapath_detach(int ifindex)
{
	static const enum bpf_tc_attach_point points[] = { BPF_TC_INGRESS, BPF_TC_EGRESS };
	int answer = 0;

	for (size_t i = 0; i < ARRAY_SIZE(points); i++) {
		LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex, .attach_point = points[i]);
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = TC_HANDLE, .priority = TC_PRIORITY);
		int rc = bpf_tc_detach(&hook, &opts);
		/* No such filter, qdisc or interface: what was wanted. */
		if (rc && rc != -ENOENT && rc != -EINVAL && rc != -ENODEV)
			answer = rc;
	}
	return answer;
}

/* ---- VIPs ---- */

static struct vip_key vip_key(uint32_t vrf, const struct in6_addr *vip)
{
	struct vip_key k = { .vrf = vrf };

	memcpy(k.addr, vip, 16);
	return k;
}

void datapath_lease_set(struct datapath *d, uint64_t until_ns)
{
	__atomic_store_n(&d->skel->bss->lease_ns, until_ns, __ATOMIC_RELEASE);
}

int datapath_vip_set(struct datapath *d, uint32_t vrf, const struct in6_addr *vip, int ifindex, uint64_t own_ns,
		     uint64_t carry_ns)
{
	struct vip_key k = vip_key(vrf, vip);
	struct vip_lease l = { .own_ns = own_ns, .carry_ns = carry_ns, .ifindex = (uint32_t)ifindex };

	return bpf_map_update_elem(bpf_map__fd(d->skel->maps.vips), &k, &l, BPF_ANY);
}

int datapath_vip_delete(struct datapath *d, uint32_t vrf, const struct in6_addr *vip)
{
	struct vip_key k = vip_key(vrf, vip);

	return bpf_map_delete_elem(bpf_map__fd(d->skel->maps.vips), &k);
}

/* ---- ranges of ports ---- */

static int steer(struct datapath *d)
{
	int ns;

	if (d->steering)
		return 0;
	ns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	if (ns < 0)
		return -errno;
	d->steering = bpf_program__attach_netns(d->skel->progs.range_lookup, ns);
	close(ns);
	return d->steering ? 0 : -errno;
}

/* F for each piece of FIRST..LAST: the widest power of two that begins there and fits. */
static int pieces(uint16_t first, uint16_t last, int (*f)(int map, const struct range_key *k, const void *value), int map,
		  struct range_key k, const void *value)
{
	for (uint32_t at = first; at <= last;) {
		uint32_t bits = 0;
		int rc;

		while (bits < 16 && !(at & 1u << bits) && at + (2u << bits) - 1 <= last)
			bits++;
		k.prefixlen = RANGE_KEY_BITS - bits;
		k.port = htons((uint16_t)at);
		rc = f(map, &k, value);
		if (rc)
			return rc;
		at += 1u << bits;
	}
	return 0;
}

static int piece_add(int map, const struct range_key *k, const void *value)
{
	return bpf_map_update_elem(map, k, value, BPF_NOEXIST);
}

static int piece_remove(int map, const struct range_key *k, const void *value)
{
	(void)value;
	bpf_map_delete_elem(map, k);
	return 0;
}

static struct range_key range_key(int device, const struct in6_addr *ip, uint8_t proto)
{
	struct range_key k = { .ifindex = (uint32_t)device, .proto = proto };

	memcpy(k.addr, ip, 16);
	return k;
}

int datapath_range_add(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
		       uint16_t last, int fd)
{
	uint64_t value = (uint64_t)fd;
	uint32_t number = 0;
	int rc;

	while (number < RANGES_MAX && d->range_taken[number])
		number++;
	if (number == RANGES_MAX)
		return -ENOSPC;
	rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.range_sockets), &number, &value, BPF_ANY);
	if (rc == 0)
		rc = pieces(first, last, piece_add, bpf_map__fd(d->skel->maps.ranges), range_key(device, ip, proto), &number);
	if (rc == 0)
		rc = steer(d);
	if (rc) {
		datapath_range_remove(d, (int)number, device, ip, proto, first, last);
		return rc;
	}
	d->range_taken[number] = true;
	return (int)number;
}

void datapath_range_remove(struct datapath *d, int number, int device, const struct in6_addr *ip, uint8_t proto,
			   uint16_t first, uint16_t last)
{
	pieces(first, last, piece_remove, bpf_map__fd(d->skel->maps.ranges), range_key(device, ip, proto), NULL);
	bpf_map_delete_elem(bpf_map__fd(d->skel->maps.range_sockets), &number);
	d->range_taken[number] = false;
}

/* ---- routing domains ---- */

int datapath_domain(struct datapath *d, int ifindex, uint32_t vrf)
{
	int fd = bpf_map__fd(d->skel->maps.domains);
	uint32_t key = (uint32_t)ifindex;

	if (!vrf)
		return bpf_map_delete_elem(fd, &key);
	d->skel->bss->any_domain = 1;
	return bpf_map_update_elem(fd, &key, &vrf, BPF_ANY);
}

/* ---- guards ---- */

static int piece_set(int map, const struct range_key *k, const void *value)
{
	return bpf_map_update_elem(map, k, value, BPF_ANY);
}

int datapath_guard_ports(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
			 uint16_t last, uint32_t number)
{
	return pieces(first, last, piece_set, bpf_map__fd(d->skel->maps.guarded), range_key(device, ip, proto), &number);
}

void datapath_unguard_ports(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
			    uint16_t last)
{
	pieces(first, last, piece_remove, bpf_map__fd(d->skel->maps.guarded), range_key(device, ip, proto), NULL);
}

static struct denial_key denial_key(uint32_t number, const struct in6_addr *net, unsigned len)
{
	struct denial_key k = { .prefixlen = DENIAL_KEY_BITS - 128 + len, .guard = number };

	memcpy(k.addr, net, 16);
	return k;
}

int datapath_deny(struct datapath *d, uint32_t number, const struct in6_addr *net, unsigned len, uint32_t hits)
{
	struct denial_key k = denial_key(number, net, len);

	return bpf_map_update_elem(bpf_map__fd(d->skel->maps.denied), &k, &hits, BPF_ANY);
}

void datapath_undeny(struct datapath *d, uint32_t number, const struct in6_addr *net, unsigned len)
{
	struct denial_key k = denial_key(number, net, len);

	bpf_map_delete_elem(bpf_map__fd(d->skel->maps.denied), &k);
}

uint64_t datapath_hits(struct datapath *d, uint32_t hits)
{
	uint64_t *one = (uint64_t *)d->per_cpu, sum = 0; /* large enough: a book has more than one counter */

	if (bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.guard_hits), &hits, one) == 0)
		for (int cpu = 0; cpu < d->cpus; cpu++)
			sum += one[cpu];
	return sum;
}

void datapath_hits_clear(struct datapath *d, uint32_t hits)
{
	uint64_t *one = (uint64_t *)d->per_cpu;

	memset(one, 0, (size_t)d->cpus * sizeof(*one));
	bpf_map_update_elem(bpf_map__fd(d->skel->maps.guard_hits), &hits, one, BPF_ANY);
}

/* ---- clients' legs ---- */

static int leg_change(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
		      uint16_t last, const struct leg *leg, int (*f)(int map, const struct range_key *k, const void *leg))
{
	return pieces(first, last, f, bpf_map__fd(first == last ? d->skel->maps.legs : d->skel->maps.leg_ranges),
		      range_key(device, ip, proto), leg);
}

int datapath_leg_set(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
		     uint16_t last, const struct leg *leg)
{
	/* First the question, then the answers. */
	d->skel->bss->any_leg = 1;
	if (first != last)
		d->skel->bss->any_leg_range = 1;
	return leg_change(d, device, ip, proto, first, last, leg, piece_set);
}

static bool is_empty(const struct bpf_map *m)
{
	struct range_key first;

	return bpf_map_get_next_key(bpf_map__fd(m), NULL, &first) != 0;
}

void datapath_leg_clear(struct datapath *d, int device, const struct in6_addr *ip, uint8_t proto, uint16_t first,
			uint16_t last)
{
	leg_change(d, device, ip, proto, first, last, NULL, piece_remove);
	d->skel->bss->any_leg_range = !is_empty(d->skel->maps.leg_ranges);
	d->skel->bss->any_leg = d->skel->bss->any_leg_range || !is_empty(d->skel->maps.legs);
}

uint64_t datapath_flow_seed(const struct datapath *d)
{
	return d->skel->bss->flow_seed;
}

/* ---- clone targets ---- */

int datapath_own_exit(struct datapath *d, int ifindex, bool own)
{
	uint32_t key = (uint32_t)ifindex, yes = 1;
	int fd = bpf_map__fd(d->skel->maps.own_exits);

	if (!own)
		return bpf_map_delete_elem(fd, &key);
	d->skel->bss->any_own_exit = 1;
	return bpf_map_update_elem(fd, &key, &yes, BPF_ANY);
}

int datapath_plan_set(struct datapath *d, uint32_t number, const struct copy_plan *p, const struct plan_client *clients)
{
	int rc = 0;

	for (uint32_t i = 0; i < p->clients && rc == 0; i++)
		rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.plan_clients), &clients[i], &number, BPF_ANY);
	if (rc == 0)
		rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.plans), &number, p, BPF_ANY);
	if (rc)
		datapath_plan_clear(d, number, clients, p->clients);
	return rc;
}

void datapath_plan_clear(struct datapath *d, uint32_t number, const struct plan_client *clients, uint32_t n)
{
	const struct copy_plan none = { 0 };

	for (uint32_t i = 0; i < n; i++)
		bpf_map_delete_elem(bpf_map__fd(d->skel->maps.plan_clients), &clients[i]);
	bpf_map_update_elem(bpf_map__fd(d->skel->maps.plans), &number, &none, BPF_ANY);
}

int datapath_hurt_read(struct datapath *d, uint32_t i, struct hurt *out)
{
	i %= HURTS_MAX;
	return bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.hurts), &i, out);
}

void datapath_target_set(struct datapath *d, uint32_t slot, const struct target *t)
{
	must(slot < TARGETS_MAX);

	struct target_slot *s = &d->targets[slot];
	uint64_t turn = s->turn + 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST); /* who reads this half yet shall find that it is the other's turn */
	s->half[turn & 1] = *t;
	__atomic_store_n(&s->turn, turn, __ATOMIC_RELEASE);
}

int datapath_wrap_set(struct datapath *d, uint32_t slot, const struct wrap *w)
{
	int fd = bpf_map__fd(d->skel->maps.wraps), rc;

	if (w)
		return bpf_map_update_elem(fd, &slot, w, BPF_ANY);
	rc = bpf_map_delete_elem(fd, &slot);
	return rc == -ENOENT ? 0 : rc;
}

int datapath_target_read(struct datapath *d, uint32_t slot, struct target_counters *out)
{
	int rc = bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.books), &slot, d->per_cpu);
	if (rc)
		return rc;

	uint64_t *sum = (uint64_t *)out;
	memset(out, 0, sizeof(*out));
	for (int cpu = 0; cpu < d->cpus; cpu++) {
		const uint64_t *one = (const uint64_t *)&d->per_cpu[cpu];
		for (size_t i = 0; i < sizeof(*out) / sizeof(*sum); i++)
			sum[i] += one[i];
	}
	return 0;
}

/* ---- taps ---- */

int datapath_tap_open(struct datapath *d, uint32_t slot, uint32_t bytes)
{
	int fd, rc;

	must(slot < TAPS_MAX && !d->tap_rings[slot]);
	fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "tap_ring", 0, 0, bytes, NULL);
	if (fd < 0)
		return fd;
	rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.tap_rings), &slot, &fd, BPF_ANY);
	if (rc) {
		close(fd);
		return rc;
	}
	d->tap_rings[slot] = fd;
	return fd;
}

void datapath_tap_close(struct datapath *d, uint32_t slot)
{
	uint64_t *zero;

	if (!d->tap_rings[slot])
		return;
	bpf_map_delete_elem(bpf_map__fd(d->skel->maps.tap_rings), &slot);
	close(d->tap_rings[slot]);
	d->tap_rings[slot] = 0;
	zero = xcalloc((size_t)d->cpus, sizeof(*zero));
	bpf_map_update_elem(bpf_map__fd(d->skel->maps.tap_lost), &slot, zero, BPF_ANY);
	free(zero);
}

int datapath_tap_set(struct datapath *d, uint32_t service, const struct tap *t, bool monitors)
{
	struct tap in = { .slot = t->slot + 1, .snap = t->snap };
	int rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.tapped), &service, &in, BPF_ANY);

	if (rc == 0 && monitors)
		rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.monitor_taps), &t->slot, &in, BPF_ANY);
	if (rc == 0)
		d->skel->bss->any_tap++;
	return rc;
}

void datapath_tap_remove(struct datapath *d, uint32_t service, uint32_t slot)
{
	struct tap none = { 0 };

	bpf_map_update_elem(bpf_map__fd(d->skel->maps.monitor_taps), &slot, &none, BPF_ANY);
	if (bpf_map_delete_elem(bpf_map__fd(d->skel->maps.tapped), &service) == 0)
		d->skel->bss->any_tap--;
}

int datapath_tap_engine(struct datapath *d, const struct tap *t, uint32_t wanted)
{
	struct tap in = { .slot = wanted ? t->slot + 1 : 0, .snap = t->snap };
	uint32_t zero = 0;
	int rc = bpf_map_update_elem(bpf_map__fd(d->skel->maps.engine_tap), &zero, &in, BPF_ANY);

	d->skel->bss->engine_wants = rc ? 0 : wanted;
	return rc;
}

uint64_t datapath_tap_lost(const struct datapath *d, uint32_t slot)
{
	CLEANUP_FREE uint64_t *one = xcalloc((size_t)d->cpus, sizeof(*one));
	uint64_t sum = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.tap_lost), &slot, one) == 0)
		for (int cpu = 0; cpu < d->cpus; cpu++)
			sum += one[cpu];
	return sum;
}

/* ---- flows ---- */

enum fate { FLOW_LIVES, FLOW_MAY_LIVE, FLOW_IS_OVER };

static enum fate flow_fate(const struct flow_key *k, const struct flow *f, uint64_t now, uint64_t linger_ns,
			   uint64_t idle_ns)
{
	if (f->closed[FLOW_IN] && f->closed[FLOW_OUT] && now > f->closing_ns && now - f->closing_ns > linger_ns)
		return f->closed[FLOW_IN] == CLOSED_RST || f->closed[FLOW_OUT] == CLOSED_RST ? FLOW_MAY_LIVE : FLOW_IS_OVER;
	if (f->idle_s)
		idle_ns = f->idle_s * NS_PER_S;
	if (now <= f->seen_ns || now - f->seen_ns <= idle_ns)
		return FLOW_LIVES;
	return k->proto == IPPROTO_TCP ? FLOW_MAY_LIVE : FLOW_IS_OVER;
}

/* Whether F was removed. One that only seemed to be over begins to be idle anew. */
static bool flow_sweep(struct datapath *d, const struct flow_key *k, struct flow *f, uint64_t now,
		       const struct datapath_patience *p)
{
	int fd = bpf_map__fd(d->skel->maps.flows);
	enum fate fate = flow_fate(k, f, now, p->linger_ns, p->idle_ns);

	/* As it is now: its addresses may be another connection's meanwhile. */
	if (fate == FLOW_LIVES || bpf_map_lookup_elem(fd, k, f) != 0)
		return false;
	fate = flow_fate(k, f, now, p->linger_ns, p->idle_ns);
	if (fate == FLOW_LIVES)
		return false;
	if (fate == FLOW_MAY_LIVE && p->lives && p->lives(p->arg, k, f->ifindex)) {
		f->seen_ns = now;
		f->closed[FLOW_IN] = f->closed[FLOW_OUT] = 0;
		bpf_map_update_elem(fd, k, f, BPF_EXIST);
		return false;
	}
	return bpf_map_delete_elem(fd, k) == 0;
}

int datapath_sweep(struct datapath *d, unsigned budget, const struct datapath_patience *p)
{
	int fd = bpf_map__fd(d->skel->maps.flows);
	uint64_t now = mono_ns();
	int removed = 0;

	for (unsigned seen = 0; seen < budget;) {
		if (!d->sweeping)
			d->sweep_began_ns = now;
		LIBBPF_OPTS(bpf_map_batch_opts, opts);
		uint32_t n = SWEEP_BATCH, next;
		int rc = bpf_map_lookup_batch(fd, d->sweeping ? &d->sweep_at : NULL, &next, d->keys, d->values, &n,
					      &opts);
		if (rc && rc != -ENOENT) {
			d->sweeping = false;
			return rc;
		}
		for (uint32_t i = 0; i < n; i++) {
			if (d->values[i].target < TARGETS_MAX)
				d->seen_ns[d->values[i].target] = now;
			removed += flow_sweep(d, &d->keys[i], &d->values[i], now, p);
		}
		d->sweeping = rc == 0;
		d->sweep_at = next;
		if (rc) {
			d->swept_ns = d->sweep_began_ns;
			break;
		}
		seen += n;
	}
	return removed;
}

bool datapath_is_sweeping(const struct datapath *d)
{
	return d->sweeping;
}

bool datapath_flows_none(const struct datapath *d, uint32_t first, uint32_t count, uint64_t since_ns)
{
	if (d->swept_ns <= since_ns)
		return false;
	for (uint32_t slot = first; slot < first + count && slot < TARGETS_MAX; slot++)
		if (d->seen_ns[slot] >= d->swept_ns)
			return false;
	return true;
}

bool datapath_flows_closing(struct datapath *d)
{
	int fd = bpf_map__fd(d->skel->maps.flows);
	uint32_t at, next;
	bool first = true;

	for (;; first = false, at = next) {
		LIBBPF_OPTS(bpf_map_batch_opts, opts);
		uint32_t n = SWEEP_BATCH;
		int rc = bpf_map_lookup_batch(fd, first ? NULL : &at, &next, d->keys, d->values, &n, &opts);

		if (rc && rc != -ENOENT)
			return false;
		for (uint32_t i = 0; i < n; i++)
			if (d->values[i].flags & FLOW_CLONE && d->values[i].closed[FLOW_OUT] && !d->values[i].closed[FLOW_IN])
				return true;
		if (rc)
			return false;
	}
}

/* ---- the rest ---- */

struct recorder_memory datapath_recorder(const struct datapath *d)
{
	return d->recorder;
}

int datapath_record(struct datapath *d, uint32_t service, const struct recorder_share *s)
{
	return bpf_map_update_elem(bpf_map__fd(d->skel->maps.recorder_shares), &service, s, BPF_ANY);
}

void datapath_recorder_cursors(const struct datapath *d, uint32_t number, struct recorder_cursor *out, size_t max)
{
	struct recorder_cursor *all = xcalloc((size_t)d->cpus, sizeof(*all));

	if (bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.recorder_next), &number, all) == 0)
		memcpy(out, all, MIN(max, (size_t)d->cpus) * sizeof(*all));
	free(all);
}

void datapath_record_end(struct datapath *d, uint32_t service)
{
	bpf_map_delete_elem(bpf_map__fd(d->skel->maps.recorder_shares), &service);
}

int datapath_marks_fd(const struct datapath *d)
{
	return bpf_map__fd(d->skel->maps.marks);
}

int datapath_badges_fd(const struct datapath *d)
{
	return bpf_map__fd(d->skel->maps.badges);
}

int datapath_flows_fd(const struct datapath *d)
{
	return bpf_map__fd(d->skel->maps.flows);
}

int datapath_results_fd(const struct datapath *d)
{
	return bpf_map__fd(d->skel->maps.results);
}

int datapath_program_fd(const struct datapath *d, enum datapath_program p)
{
	const struct bpf_program *const progs[] = {
		[DATAPATH_INGRESS] = d->skel->progs.data_ingress,
		[DATAPATH_EGRESS] = d->skel->progs.data_egress,
		[DATAPATH_CUT] = d->skel->progs.cut_egress,
		[DATAPATH_PLAIN] = d->skel->progs.plain_ingress,
	};

	return bpf_program__fd(progs[p]);
}

int datapath_counters(struct datapath *d, uint64_t out[static GATE_COUNTERS])
{
	uint64_t *one = (uint64_t *)d->per_cpu; /* large enough: a book has more than one counter */

	for (uint32_t i = 0; i < GATE_COUNTERS; i++) {
		int rc = bpf_map_lookup_elem(bpf_map__fd(d->skel->maps.counters), &i, one);
		if (rc)
			return rc;
		out[i] = 0;
		for (int cpu = 0; cpu < d->cpus; cpu++)
			out[i] += one[cpu];
	}
	return 0;
}
