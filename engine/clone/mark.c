#include "engine/clone/mark.h"

#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/bpf/mark.h"
#include "engine/worker.h"

uint64_t mark_flow_id(const struct worker *w, const union address *client, const union address *vip, bool udp)
{
	uint8_t from[16], to[16];

	address_mapped(client, from);
	address_mapped(vip, to);
	return flow_id(w->flow_seed, from, htons((uint16_t)address_port(client)), to,
		       htons((uint16_t)address_port(vip)), udp ? IPPROTO_UDP : IPPROTO_TCP);
}

static int mark_call(int command, uint64_t flags, const struct worker *w, int fd, struct sock_mark *m)
{
	union bpf_attr attr = { .map_fd = (uint32_t)w->mark_map };

	if (w->mark_map < 0)
		return -ENOENT;
	attr.key = (uint64_t)(uintptr_t)&fd;
	attr.value = (uint64_t)(uintptr_t)m;
	attr.flags = flags;
	return syscall(SYS_bpf, command, &attr, sizeof(attr)) < 0 ? -errno : 0;
}

uint32_t mark_target(struct worker_service *ws, const struct snapshot_clone *clone, uint64_t flow_id)
{
	/* In turn; workers begin at different ones. */
	return clone->first +
	       (clone->by_client ? (uint32_t)flow_id : ws->clone_turn++ + ws->worker->id) % clone->n;
}

int mark_put(struct worker_service *ws, int fd, const union address *client, const union address *vip,
	     const struct snapshot *s, unsigned idle_s)
{
	struct worker *w = ws->worker;
	const struct snapshot_clone *clone = &s->clone;
	struct sock_mark m = { .flow_id = mark_flow_id(w, client, vip, idle_s), .service = clone->service,
			       .generation = clone->generation, .worker = (uint16_t)(w->id + 1),
			       .idle_s = (uint16_t)MIN(idle_s, (unsigned)UINT16_MAX) };

	if (clone->follow)
		m.flags |= MARK_FOLLOW;
	if (clone->on && !clone->n && !clone->follow)
		return -ENOENT;
	/* Datagrams have no other form. */
	if (clone->on && clone->n && (!clone->plain || idle_s)) {
		m.flags |= MARK_CLONE;
		m.target = mark_target(ws, clone, m.flow_id);
	}
	address_mapped(client, m.client_addr);
	m.client_port = htons((uint16_t)address_port(client));
	if (clone->preserve_client_ip)
		m.flags |= MARK_CLIENT_ADDR;
	return mark_call(BPF_MAP_UPDATE_ELEM, BPF_ANY, w, fd, &m);
}

int mark_follow(struct worker_service *ws, int fd, const union address *client, const union address *vip,
		const struct snapshot *s, unsigned idle_s, uint16_t badge)
{
	struct worker *w = ws->worker;
	struct sock_mark old, m = { .flow_id = mark_flow_id(w, client, vip, idle_s), .flags = MARK_FOLLOW,
				    .service = s->clone.service, .worker = (uint16_t)(w->id + 1),
				    .client_port = htons((uint16_t)address_port(client)),
				    .idle_s = (uint16_t)MIN(idle_s, (unsigned)UINT16_MAX), .badge = badge };
	int rc;

	address_mapped(client, m.client_addr);
	/* Of TCP the kernel has taken the mark away, unless there was no room in its table. */
	rc = mark_call(BPF_MAP_UPDATE_ELEM, BPF_NOEXIST, w, fd, &m);
	if (rc != -EEXIST)
		return rc;
	/* What is copied stays copied, to whom it was. */
	if (mark_call(BPF_MAP_LOOKUP_ELEM, 0, w, fd, &old) == 0) {
		m.flags |= old.flags;
		m.service = old.service;
		m.target = old.target;
		m.generation = old.generation;
		m.idle_s = old.idle_s;
	}
	return mark_call(BPF_MAP_UPDATE_ELEM, BPF_ANY, w, fd, &m);
}
