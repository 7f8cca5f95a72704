/*
 * One commit of the controller goes through here in this order: its objects to
 * the proxy; counter slots and clone ranges, which the proxy wants before the
 * commit itself; the commit; then sockets, and last the VIPs: what is
 * announced is answered. The proxy says `applied` when every worker has it.
 */
#include "engine/warden.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/config/assigned.h"
#include "engine/config/changes.h"
#include "engine/config/silence.h"
#include "engine/config/snat.h"
#include "engine/books.h"
#include "engine/bpf/datapath.h"
#include "engine/capture/capture.h"
#include "engine/clone/clone.h"
#include "engine/health/ping.h"
#include "engine/inquiry.h"
#include "engine/reach/inspect.h"
#include "engine/clone/flow_file.h"
#include "engine/guard.h"
#include "engine/lack.h"
#include "engine/clone/hurts.h"
#include "engine/reach/gateway.h"
#include "engine/reach/netlink.h"
#include "engine/clone/offload.h"
#include "engine/ports.h"
#include "engine/process.h"
#include "engine/capture/recorder.h"
#include "engine/records.h"
#include "engine/clone/outlet.h"
#include "engine/clone/trial.h"
#include "engine/reach/toll.h"
#include "engine/reach/vip.h"
#include "engine/reach/vrf.h"
#include "model/structs.h"

#define STATS_MS       1000
#define PARTING_MS     100  /* for the proxy to cut, and for its last words to leave */

struct warden {
	json_t *resolvers;         /* what the controller told of name servers; NULL: nothing */
	json_t *names;             /* what names in pools are, as the proxy found; NULL: nothing yet */
	struct warden_config config;
	struct loop *loop;
	struct link *link;
	struct link_user link_user;
	struct netlink *netlink;
	struct netlink_watch netlink_watch;
	struct datapath *datapath;
	struct vips *vips;
	struct vips_user vips_user;
	struct vrfs *vrfs;
	struct vrfs_user vrfs_user;
	struct gateways *gateways;
	struct gateways_user gateways_user;
	struct clones *clones;
	struct hurts *hurts;
	struct clones_user clones_user;
	struct counters counters;
	struct records records;
	struct recorder *recorder;
	struct captures *captures;
	struct outlet outlet;
	struct flow_files *flow_files;
	bool outlet_told;                  /* the proxy has it */
	bool monitors_marked;              /* the proxy was told to */
	bool lacks;                        /* a service could not have its ports, for want of descriptors or memory */
	struct inquiries *inquiries;
	struct trials *trials;
	struct books *books;
	struct ports *ports;
	struct guards *guards;
	struct ports_user ports_user;
	struct process *process;
	struct process_user process_user;
	struct assigned_table *assigned;
	struct changes *changes;           /* since the last commit */
	struct silence *silence;
	struct timer stats, parting;
	size_t turn;                       /* seconds */
	struct toll toll;                  /* what the machine does beside us */
	uint64_t commits, applied;         /* that the proxy was told, and has */
	struct breath breath;
};

static struct engine_counters *own(struct warden *w)
{
	return counters_engine_of(&w->counters, w->counters.workers);
}

/* Leases do not wait for what a turn has to do: the proxy's answers are taken, and what is due is renewed. */
static void breathe(struct breath *b)
{
	struct warden *w = CONTAINER_OF(b, struct warden, breath);

	process_breathe(w->process);
	vips_renew(w->vips);
}

static void commit_send(struct warden *w, uint64_t revision)
{
	w->commits++;
	process_send(w->process, json_pack("{s:s, s:I}", "type", "commit", "revision", (json_int_t)revision), -1);
}

/* The proxy builds what it was told of services beside their objects. */
static void commit_again(struct warden *w)
{
	commit_send(w, link_revision(w->link));
}

/* ---- states of services ---- */

static void service_tell(struct warden *w, struct assigned *a)
{
	const char *reason, *state = assigned_state(a, &reason);

	link_service(w->link, a->uuid, a->revision, state, reason, assigned_vips(a));
}

/* true: servers are to see another address, which the proxy is told, and uses from its next commit on. */
static bool sources_follow(struct warden *w, struct assigned *a)
{
	if (!snat_follow(a, w->link))
		return false;
	process_send(w->process, snat_message(a), -1);
	return true;
}

static void on_vip_changed(struct vips_user *u, const struct vip *v)
{
	struct warden *w = CONTAINER_OF(u, struct warden, vips_user);
	bool news = false;

	for (struct assigned_hold *h = assigned_holds(w->assigned, v, NULL); h; h = assigned_holds(w->assigned, v, h)) {
		news = (h->snat && sources_follow(w, h->holder)) || news;
		service_tell(w, h->holder);
	}
	if (news)
		commit_again(w);
}

static uint64_t on_proof(struct vips_user *u)
{
	return process_proof_ns(CONTAINER_OF(u, struct warden, vips_user)->process);
}

static bool on_defend(struct vips_user *u, const struct vip *v)
{
	(void)v;
	return link_is_up(CONTAINER_OF(u, struct warden, vips_user)->link);
}

static unsigned on_domain(struct vips_user *u, int ifindex)
{
	return vrfs_of(CONTAINER_OF(u, struct warden, vips_user)->vrfs, ifindex);
}

static bool on_clone_domain(struct clones_user *u, const char *vrf, unsigned *number)
{
	return vrfs_find(CONTAINER_OF(u, struct warden, clones_user)->vrfs, vrf, number);
}

static unsigned on_clone_domain_of(struct clones_user *u, int ifindex)
{
	return vrfs_of(CONTAINER_OF(u, struct warden, clones_user)->vrfs, ifindex);
}

/* ---- what the controller wants ---- */

static json_t *put_message(const char *kind, const char *uuid, const json_t *object)
{
	return json_pack("{s:s, s:s, s:s, s:O}", "type", "put", "kind", kind, "uuid", uuid, "object", object);
}

/* What a proxy has no use for stays here: it holds no more than it needs. */
static bool proxy_wants(const char *kind)
{
	static const char *const kinds[] = { "virtualservice", "pool", "healthmonitor", "networkprofile",
					     "applicationprofile", "analyticsprofile", "sslprofile",
					     "sslkeyandcertificate", "pkiprofile", "networksecuritypolicy",
					     "ipaddrgroup", "applicationpersistenceprofile", "poolgroup",
					     "prioritylabels" };

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i], kind) == 0)
			return true;
	return false;
}

/* A controller of another version says words that this engine does not know: they count as unset, but not in silence. */
static void tell_misfit(struct warden *w, const char *kind, const char *uuid, const json_t *object)
{
	const struct kind_desc *k = kind_find(kind);
	struct err e = { .text = "no such kind" };

	if (k && model_fits(k, object, &e) == 0)
		return;
	log_warn("object_not_understood kind=%s uuid=%s text=\"%s\"", kind, uuid, err_line(&e));
	link_event(w->link, json_pack("{s:s, s:s, s:s, s:s}", "event_id", "SE_OBJECT_NOT_UNDERSTOOD", "obj_kind", kind,
				      "obj_uuid", uuid, "text", err_line(&e)));
}

static void on_put(struct link_user *u, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct warden *w = CONTAINER_OF(u, struct warden, link_user);

	loop_breathe(w->loop);
	changes_put(w->changes, kind, uuid, revision);
	tell_misfit(w, kind, uuid, object);
	if (proxy_wants(kind))
		process_send(w->process, put_message(kind, uuid, object), -1);
}

static void on_removed(struct link_user *u, const char *kind, const char *uuid)
{
	struct warden *w = CONTAINER_OF(u, struct warden, link_user);

	changes_gone(w->changes, kind, uuid);
	if (proxy_wants(kind))
		process_send(w->process, json_pack("{s:s, s:s, s:s}", "type", "delete", "kind", kind, "uuid", uuid),
			     -1);
}

struct addresses {
	struct in6_addr *at;
	size_t n;
};

static void address_add(struct addresses *a, const char *text)
{
	a->at = xrealloc(a->at, (a->n + 1) * sizeof(a->at[0]));
	if (ip_parse(text, &a->at[a->n]) == 0)
		a->n++;
}

static int collect_servers(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	json_t *server;
	size_t i;

	(void)uuid;
	(void)revision;
	if (strcmp(kind, "pool") == 0)
		json_array_foreach(json_object_get(object, "servers"), i, server)
			address_add(arg, json_str(json_object_get(server, "ip"), "addr", ""));
	return 0;
}

/* Interfaces towards these carry production: copies leave them alone. */
static void production_follow(struct warden *w)
{
	struct addresses a = { 0 };

	link_each(w->link, collect_servers, &a);
	clones_production(w->clones, a.at, a.n);
	free(a.at);
}

/* The device of plaintext copies, once the first service wants them. */
static void outlet_tell(struct warden *w)
{
	if (!w->outlet.queues || w->outlet_told)
		return;
	w->outlet_told = true;
	process_send(w->process, json_pack("{s:s, s:b}", "type", "outlet_books", "fd", 1), w->outlet.mem_fd);
	process_send(w->process, json_pack("{s:s, s:b}", "type", "outlet_words", "fd", 1), datapath_plain_words_fd(w->datapath));
	for (unsigned i = 0; i < w->config.workers; i++)
		process_send(w->process, json_pack("{s:s, s:b, s:i}", "type", "outlet_queue", "fd", 1, "worker", (int)i),
			     w->outlet.queues[i]);
}

static void clone_tell(struct warden *w, struct assigned *a)
{
	const char *file = assigned_log_file(a);
	json_t *m = assigned_clone_message(a);
	struct err e = { 0 };
	int fd = file ? flow_files_open(w->flow_files, file, &e) : -1;

	outlet_tell(w);
	if (file && fd < 0) {
		log_error("flow_log_not_opened service=%s reason=\"%s\"", a->uuid, err_line(&e));
		assigned_clone_trouble(a, &e);
	}
	json_object_set_new(m, "engine", json_string(w->config.link.name));
	if (fd >= 0)
		json_object_set_new(m, "fd", json_true());
	process_send(w->process, m, fd < 0 ? -1 : fd);
}

/* The proxy's next connections to servers leave room for the encapsulation of their copies. */
static void on_clone_room(struct clones_user *u)
{
	struct warden *w = CONTAINER_OF(u, struct warden, clones_user);
	bool any = false;

	LIST_FOREACH(l, assigned_list(w->assigned)) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);

		if (!assigned_clone_has_news(a))
			continue;
		clone_tell(w, a);
		any = true;
	}
	if (any)
		commit_again(w);
}

/* Those that were disabled or deleted have told their clients. */
static void parted(struct timer *t)
{
	struct warden *w = CONTAINER_OF(t, struct warden, parting);

	assigned_parted(w->assigned);
	LIST_FOREACH(l, assigned_list(w->assigned))
		assigned_let_go(LIST_ENTRY(l, struct assigned, link));
}

/* true: that is another answer than before. */
static bool silence(struct warden *w, struct assigned *a)
{
	bool silent = a->closes && silence_of(w->silence, a->uuid), other = silent != a->silent;

	a->touched = a->touched || other;
	a->silent = silent;
	return other;
}

/* Bring sockets and addresses to what is wanted; who could not have all of it stays touched. */
static void follow_touched(struct warden *w)
{
	bool news = false;

	w->lacks = false;
	LIST_FOREACH(l, assigned_list(w->assigned)) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);

		if (!a->touched)
			continue;
		loop_breathe(w->loop);
		if (!assigned_follow(a, w->link)) {
			captures_drop(w->captures, a);
			assigned_drop(a);
			if (!w->parting.active)
				timer_in(w->loop, &w->parting, PARTING_MS, parted);
			continue;
		}
		w->lacks |= lack_counts(own(w), -a->trouble_code);
		news = sources_follow(w, a) || news;
		if (a->n_leaving && !w->parting.active)
			timer_in(w->loop, &w->parting, PARTING_MS, parted);
		a->touched = a->trouble != NULL;
		service_tell(w, a);
	}
	if (news)
		commit_again(w);
}

/* A mark costs a check an entry in the flow table, and one that nobody looks for is not made. */
static void monitors_mark(struct warden *w)
{
	bool wanted = captures_want_monitors(w->captures);

	if (wanted == w->monitors_marked)
		return;
	w->monitors_marked = wanted;
	process_send(w->process, json_pack("{s:s, s:b}", "type", "monitors", "marked", wanted), -1);
}

static void on_changed(void *arg, const char *kind, const char *uuid)
{
	struct warden *w = arg;

	loop_breathe(w->loop);
	books_follow(w->books, kind, uuid);
	if (link_object(w->link, "assignment", uuid) && link_object(w->link, "virtualservice", uuid))
		assigned_make(w->assigned, uuid);
}

static void on_committed(struct link_user *u, uint64_t revision)
{
	struct warden *w = CONTAINER_OF(u, struct warden, link_user);
	bool clones = changes_any(w->changes, "trafficcloneprofile") || changes_any(w->changes, "network");
	/* TCP or UDP? And who is denied? */
	bool networks = changes_any(w->changes, "networkprofile") || changes_any(w->changes, "networksecuritypolicy") ||
			changes_any(w->changes, "ipaddrgroup");
	bool whole = (changes_any(w->changes, "capture") && captures_follow_engine(w->captures)) || changes_any(w->changes, "serviceenginegroup");
	json_t *news;

	/* Where packets go comes before who listens. */
	if (changes_any(w->changes, "serviceengine") || changes_any(w->changes, "vrfcontext") || changes_any(w->changes, "network")) {
		vrfs_follow(w->vrfs, w->link);
		clones_look(w->clones);
	}
	if (changes_any(w->changes, "vrfcontext"))
		gateways_follow(w->gateways, w->link);
	changes_each(w->changes, on_changed, w);
	if (changes_any(w->changes, "virtualservice") || changes_any(w->changes, "networksecuritypolicy"))
		books_policies(w->books);
	news = books_news(w->books);
	if (news)
		process_send(w->process, news, -1);
	if (changes_any(w->changes, "pool"))
		production_follow(w);
	LIST_FOREACH(l, assigned_list(w->assigned)) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);
		bool mine = changes_one(w->changes, "assignment", a->uuid) || changes_one(w->changes, "virtualservice", a->uuid);

		loop_breathe(w->loop);
		a->touched = a->touched || mine || networks;
		if (mine)
			a->closes = json_bool(link_object(w->link, "virtualservice", a->uuid),
					      "remove_listening_port_on_vs_down", false);
		if (a->closes || a->silent)
			silence(w, a);
		bool concerned = mine || changes_concern(w->changes, a->made_of);

		if (concerned)
			a->wanted_revision = changes_newest(w->changes, w->link, a->uuid, &a->made_of);
		bool other = (concerned || whole) && captures_follow(w->captures, a);

		if (((mine || clones) && assigned_follow_clone(a, w->link)) || other)
			clone_tell(w, a);
		if (mine)
			sources_follow(w, a);
	}
	monitors_mark(w);
	commit_send(w, revision);
	LIST_FOREACH(l, assigned_list(w->assigned)) {
		loop_breathe(w->loop);
		assigned_retire_clone(LIST_ENTRY(l, struct assigned, link));
	}
	follow_touched(w);
	follow_touched(w); /* those that wanted what another one still had */
	changes_clear(w->changes);
}

/* Interfaces of a domain came or went: who listens there listens anew, and the proxy finds its servers another way. */
static void on_vrfs(struct vrfs_user *u)
{
	struct warden *w = CONTAINER_OF(u, struct warden, vrfs_user);

	process_send(w->process, vrfs_message(w->vrfs), -1);
	if (!w->assigned)
		return;
	clones_look(w->clones);
	LIST_FOREACH(l, assigned_list(w->assigned))
		LIST_ENTRY(l, struct assigned, link)->touched = true;
	if (changes_none(w->changes)) /* else the commit does it */
		follow_touched(w);
}

static void on_gateways(struct gateways_user *u)
{
	struct warden *w = CONTAINER_OF(u, struct warden, gateways_user);

	link_gateways(w->link, gateways_json(w->gateways));
}

static void on_connected(struct link_user *u, bool up)
{
	struct warden *w = CONTAINER_OF(u, struct warden, link_user);

	if (up)
		on_gateways(&w->gateways_user);
	log_info("controller_link state=%s", up ? "up" : "down");
}

/* ---- sockets ---- */

static void port_tell(void *arg, const struct port *p)
{
	struct warden *w = arg;
	char ip[ADDRESS_TEXT];

	address_ip(&p->address, ip);
	process_send(w->process,
		     json_pack("{s:s, s:b, s:I, s:s, s:s, s:i, s:i, s:b, s:i}", "type", "listener", "fd", 1, "id",
			       (json_int_t)p->id, "virtualservice", p->service, "address", ip, "port",
			       (int)address_port(&p->address), "last", (int)p->last, "udp", (int)p->udp, "worker", (int)p->worker),
		     p->fd);
}

static void on_opened(struct ports_user *u, const struct port *p)
{
	port_tell(CONTAINER_OF(u, struct warden, ports_user), p);
}

static void on_closed(struct ports_user *u, const struct port *p)
{
	struct warden *w = CONTAINER_OF(u, struct warden, ports_user);

	process_send(w->process, json_pack("{s:s, s:I, s:s, s:i}", "type", "unlisten", "id", (json_int_t)p->id,
					   "virtualservice", p->service, "worker", (int)p->worker), -1);
}

static int on_steer(struct ports_user *u, const struct port *p)
{
	struct warden *w = CONTAINER_OF(u, struct warden, ports_user);
	struct in6_addr ip;

	address_mapped(&p->address, ip.s6_addr);
	return datapath_range_add(w->datapath, p->device, &ip, IPPROTO_TCP, (uint16_t)address_port(&p->address),
				  (uint16_t)p->last, p->fd);
}

static void on_unsteer(struct ports_user *u, const struct port *p, int number)
{
	struct warden *w = CONTAINER_OF(u, struct warden, ports_user);
	struct in6_addr ip;

	address_mapped(&p->address, ip.s6_addr);
	datapath_range_remove(w->datapath, number, p->device, &ip, IPPROTO_TCP, (uint16_t)address_port(&p->address),
			      (uint16_t)p->last);
}

#define NAMES_MAX 10000 /* more than an engine has servers by name */

/* ---- the proxy ---- */

static int replay(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	struct warden *w = arg;

	(void)revision;
	loop_breathe(w->loop);
	if (proxy_wants(kind))
		process_send(w->process, put_message(kind, uuid, object), -1);
	return 0;
}

/* The proxy may not make raw sockets; what it can do with this one is to ask for echoes (sandbox.c). */
static void ping_socket_give(struct warden *w, bool v6)
{
	int fd = ping_open(v6);

	if (fd < 0) {
		log_warn("ping_socket_failed family=%s reason=\"%s\"", v6 ? "IPv6" : "IPv4", strerror(-fd));
		return;
	}
	process_send(w->process, json_pack("{s:s, s:b, s:b}", "type", "ping_socket", "fd", 1, "v6", (int)v6), fd);
	close(fd);
}

/* A proxy begins with nothing: it gets all that its predecessor had. */
static void on_started(struct process_user *u)
{
	struct warden *w = CONTAINER_OF(u, struct warden, process_user);

	own(w)->proxy_starts++;
	process_send(w->process, json_pack("{s:s, s:b, s:i}", "type", "records", "fd", 1, "workers",
					   (int)w->config.workers), w->records.fd);
	process_send(w->process, json_pack("{s:s, s:b, s:i, s:i}", "type", "start", "fd", 1, "workers",
					   (int)w->config.workers, "log_level", w->config.log_level),
		     w->counters.fd);
	process_send(w->process, json_pack("{s:s, s:b, s:I}", "type", "maps", "fd", 1, "flow_seed",
					   (json_int_t)datapath_flow_seed(w->datapath)),
		     datapath_marks_fd(w->datapath));
	process_send(w->process, json_pack("{s:s, s:b}", "type", "badges", "fd", 1), datapath_badges_fd(w->datapath));
	w->monitors_marked = false;
	monitors_mark(w);
	process_send(w->process, json_pack("{s:s, s:b}", "type", "secrets", "fd", 1), captures_secrets_fd(w->captures));
	process_send(w->process, json_pack("{s:s, s:b}", "type", "worker_ring", "fd", 1), captures_worker_ring_fd(w->captures));
	if (recorder_excerpt(w->recorder)->mem)
		process_send(w->process, json_pack("{s:s, s:b, s:I}", "type", "excerpt", "fd", 1, "bytes",
						   (json_int_t)(recorder_excerpt(w->recorder)->room * w->config.workers)),
			     recorder_excerpt(w->recorder)->fd);
	for (int v6 = 0; v6 < 2; v6++)
		ping_socket_give(w, v6);
	/* What the disk held was in no commit yet, and who serves without a number is counted nowhere. */
	books_follow_all(w->books);
	process_send(w->process, books_all(w->books), -1);
	process_send(w->process, vrfs_message(w->vrfs), -1);
	if (w->resolvers)
		process_send(w->process, json_incref(w->resolvers), -1);
	if (w->names)
		process_send(w->process, json_pack("{s:s, s:O}", "type", "names", "names", w->names), -1);
	link_each(w->link, replay, w);
	w->outlet_told = false;
	LIST_FOREACH(l, assigned_list(w->assigned))
		clone_tell(w, LIST_ENTRY(l, struct assigned, link));
	LIST_FOREACH(l, assigned_list(w->assigned))
		if (LIST_ENTRY(l, struct assigned, link)->sources)
			process_send(w->process, snat_message(LIST_ENTRY(l, struct assigned, link)), -1);
	w->applied = w->commits; /* what the one before had not got to */
	commit_again(w);
	ports_each(w->ports, port_tell, w);
}

static void on_ended(struct process_user *u, const char *why, bool hung)
{
	struct warden *w = CONTAINER_OF(u, struct warden, process_user);

	if (hung)
		own(w)->proxy_hangs++;
	else
		own(w)->proxy_crashes++;
	books_drop_gauges(w->books);
	outlet_drop_flows(&w->outlet);
	link_event(w->link, json_pack("{s:s, s:s, s:s, s:s}", "event_id", hung ? "SE_PROXY_HUNG" : "SE_PROXY_CRASHED",
				      "obj_kind", "serviceengine", "obj_uuid", link_uuid(w->link), "text", why));
}

static void all_applied(struct warden *w, uint64_t revision)
{
	LIST_FOREACH(l, assigned_list(w->assigned)) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);

		if (a->wanted_revision > revision)
			continue; /* a later commit is on its way */
		if (a->revision == a->wanted_revision)
			continue;
		a->revision = a->wanted_revision;
		service_tell(w, a);
	}
	link_applied(w->link, revision);
}

/* What is kept here is the list that the link keeps: a PART goes into both. */
static void on_health(struct warden *w, const char *pool, json_t *servers, bool part)
{
	bool other = false;

	if (!servers || !part)
		silence_health(w->silence, pool, servers);
	loop_breathe(w->loop);
	link_health(w->link, pool, servers ? json_incref(servers) : NULL, part);
	loop_breathe(w->loop);
	/* Each pool tells its news, and few services want to know. */
	LIST_FOREACH(l, assigned_list(w->assigned)) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);

		if (a->closes)
			other |= silence(w, a);
	}
	if (other)
		follow_touched(w);
}

/*
 * What the proxy found of the names in pools. It comes back to it with the numbers of the servers' counters, and to
 * its successor at its start.
 */
static void take_names(struct warden *w, json_t *names)
{
	json_t *news;

	if (!json_is_object(names) || json_object_size(names) > NAMES_MAX)
		return;
	json_decref(w->names);
	w->names = json_incref(names);
	books_names(w->books, names);
	news = books_news(w->books);
	if (news)
		process_send(w->process, news, -1);
	process_send(w->process, json_pack("{s:s, s:O}", "type", "names", "names", w->names), -1);
	commit_again(w);
}

static void on_message(struct process_user *u, const char *type, const json_t *m, int fd)
{
	struct warden *w = CONTAINER_OF(u, struct warden, process_user);

	if (fd >= 0)
		close(fd); /* it has none to give */
	if (strcmp(type, "applied") == 0) {
		uint64_t revision = (uint64_t)json_int(m, "revision", 0);

		w->applied++;
		if (revision && revision <= link_revision(w->link))
			all_applied(w, revision);
	} else if (strcmp(type, "health") == 0) {
		json_t *servers = json_object_get(m, "servers");
		const char *pool = json_str(m, "pool", "");

		/* It is kept: of pools that are there, or there would be no end of it. */
		if (!servers || link_object(w->link, "pool", pool))
			on_health(w, pool, servers, json_bool(m, "part", false));
	} else if (strcmp(type, "names") == 0) {
		take_names(w, json_object_get(m, "names"));
	} else {
		process_distrust(w->process);
	}
}

/* ---- once a second ---- */

static void stats_send(struct timer *t)
{
	struct warden *w = CONTAINER_OF(t, struct warden, stats);
	bool all = link_wants_all(w->link);
	json_t *stats, *clones = json_object(), *hurt, *engine;
	uint64_t gate[GATE_COUNTERS];

	timer_in(w->loop, t, STATS_MS, stats_send);
	/* Until all workers have what they were told one may still speak from an address that is not used. */
	if (w->applied >= w->commits)
		snat_linger(assigned_list(w->assigned), w->turn++);
	loop_breathe(w->loop);
	lack_look();
	if (w->lacks)
		follow_touched(w);
	own(w)->warden_turn_ms = loop_longest(w->loop) / NS_PER_MS;
	stats = books_read(w->books, all);
	loop_breathe(w->loop);
	hurt = hurts_read(w->hurts, all);
	engine = json_object_get(stats, "engine");
	own(w)->clone_log_unwritten = flow_files_lost(w->flow_files);
	LIST_FOREACH(l, assigned_list(w->assigned)) {
		struct assigned *a = LIST_ENTRY(l, struct assigned, link);
		json_t *books = assigned_clone_books(a);

		if (books)
			json_object_set_new(clones, a->uuid, books);
	}
	json_object_set_new(stats, "clones", clones);
	loop_breathe(w->loop);
	if (hurt)
		json_object_set_new(stats, "hurt", hurt);
	if (datapath_counters(w->datapath, gate) == 0)
		for (unsigned i = 0; i < GATE_COUNTERS; i++)
			json_object_set_new(engine, datapath_counter_name(i), json_integer((json_int_t)gate[i]));
	toll_stats(&w->toll, w->netlink, engine);
	loop_breathe(w->loop);
	guards_stats(w->guards, stats);
	loop_breathe(w->loop);
	link_stats(w->link, stats);
}

static void on_iface(struct netlink_watch *nw, const struct iface *i, bool gone)
{
	struct warden *w = CONTAINER_OF(nw, struct warden, netlink_watch);

	(void)gone;
	if (i->data)
		link_interfaces(w->link, netlink_interfaces_json(w->netlink));
}

/* ---- life ---- */

/* A listener that is closed hands what waits in it to the others of its port, rather than resetting it. */
static void migrate_requests(void)
{
	CLEANUP_FD int fd = open("/proc/sys/net/ipv4/tcp_migrate_req", O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, "1", 1) != 1)
		log_warn("tcp_migrate_req_not_set reason=\"%s\"", strerror(errno));
}

static void on_resolvers(struct link_user *u, const json_t *told)
{
	struct warden *w = CONTAINER_OF(u, struct warden, link_user);

	json_decref(w->resolvers);
	w->resolvers = json_copy((json_t *)told);
	process_send(w->process, json_incref(w->resolvers), -1);
}

static void on_asked(struct link_user *u, const json_t *ask)
{
	struct warden *w = CONTAINER_OF(u, struct warden, link_user);
	const struct inspect i = { w->netlink, process_pid(w->process) };
	json_t *data = inspect(&i, json_str(ask, "what", ""));

	if (data)
		link_answer(w->link, json_pack("{s:s, s:I, s:o}", "type", "answer", "n",
					       json_int(ask, "n", 0), "data", data));
	else if (strcmp(json_str(ask, "what", ""), "clone_test") == 0)
		trials_take(w->trials, assigned_find(w->assigned, json_str(ask, "virtualservice", "")), ask);
	else
		inquiries_take(w->inquiries, ask);
}

int warden_new(const struct warden_config *c, struct loop *l, struct warden **out, struct err *e)
{
	struct warden *w = xcalloc(1, sizeof(*w));
	CLEANUP_FREE char *folder = NULL;
	int rc;

	w->config = *c;
	w->loop = l;
	w->counters.fd = w->records.fd = w->outlet.mem_fd = -1;
	w->changes = changes_new();
	w->link_user = (struct link_user){ on_put, on_removed, on_committed, on_connected, on_asked, on_resolvers };
	w->clones_user = (struct clones_user){ on_clone_domain, on_clone_domain_of, on_clone_room };
	w->vips_user = (struct vips_user){ on_proof, on_defend, on_domain, on_vip_changed };
	w->vrfs_user = (struct vrfs_user){ on_vrfs };
	w->gateways_user = (struct gateways_user){ on_gateways };
	w->ports_user = (struct ports_user){ on_opened, on_closed, on_steer, on_unsteer };
	w->process_user = (struct process_user){ on_started, on_message, on_ended };
	w->toll.disk = w->config.link.state_dir;
	folder = xasprintf("%s/flows", c->link.state_dir);
	w->flow_files = flow_files_new(folder);
	w->process = process_new(l, &w->process_user);
	w->ports = ports_new(c->workers, &w->ports_user);
	rc = counters_new(&w->counters, c->workers);
	if (rc < 0)
		err_set(e, rc, NULL, "No memory for counters: %s.", strerror(-rc));
	if (rc == 0) {
		rc = records_new(&w->records, c->workers, (size_t)c->records_mb << 20);
		if (rc < 0)
			err_set(e, rc, NULL, "No memory for records: %s.", strerror(-rc));
	}
	if (rc == 0) {
		rc = outlet_new(&w->outlet, c->workers);
		if (rc < 0)
			err_set(e, rc, NULL, "No memory for the books of copies: %s.", strerror(-rc));
	}
	if (rc == 0)
		rc = link_new(&c->link, l, &w->link_user, &w->link, e);
	if (rc == 0)
		rc = netlink_new(l, &w->netlink, e);
	if (rc == 0)
		rc = datapath_new(&(struct datapath_config){ .recorder_bytes = (size_t)c->recorder_mb << 20 }, &w->datapath, e);
	if (rc == 0)
		rc = vrfs_new(l, w->netlink, w->datapath, &w->vrfs_user, &w->vrfs, e);
	if (rc == 0)
		rc = vips_new(l, w->netlink, w->datapath, &w->vips_user, &w->vips, e);
	if (rc == 0) {
		CLEANUP_FREE char *taken = xasprintf("%s/offloads.json", c->link.state_dir);

		offload_begin(taken);
	}
	if (rc == 0)
		rc = clones_new(l, w->netlink, w->datapath, &w->clones_user, &w->clones, e);
	if (rc < 0) {
		warden_free(w);
		return rc;
	}
	clones_outlet(w->clones, &w->outlet);
	migrate_requests();
	w->gateways = gateways_new(l, w->vrfs, &w->gateways_user);
	w->books = books_new(&w->counters, w->link);
	w->silence = silence_new(w->link);
	w->guards = guards_new(l, w->datapath);
	w->inquiries = inquiries_new(l, &w->records, w->link);
	w->recorder = recorder_new(w->datapath, c->workers, (size_t)c->recorder_mb << 20);
	w->captures = captures_new(l, w->datapath, w->recorder, &w->records, w->link, c->workers);
	w->assigned = assigned_new(w->vips, w->clones, w->ports, w->guards, w->vrfs, w->netlink,
				   w->datapath);
	w->trials = trials_new(l, w->clones, w->datapath, w->link);
	w->hurts = hurts_new(w->datapath, w->clones, w->assigned);
	*out = w;
	return 0;
}

void warden_start(struct warden *w)
{
	process_start(w->process);
	link_start(w->link, netlink_interfaces_json(w->netlink));
	w->netlink_watch.iface = on_iface;
	netlink_watch(w->netlink, &w->netlink_watch);
	timer_in(w->loop, &w->stats, STATS_MS, stats_send);
	w->breath.take = breathe;
	loop_set_breath(w->loop, &w->breath);
}

void warden_free(struct warden *w)
{
	loop_set_breath(w->loop, NULL);
	timer_stop(w->loop, &w->stats);
	timer_stop(w->loop, &w->parting);
	if (w->netlink_watch.iface)
		netlink_unwatch(&w->netlink_watch);
	captures_free(w->captures);
	recorder_free(w->recorder);
	trials_free(w->trials);
	/* First nobody comes any more, then who is there is sent away; what that says is copied. */
	if (w->clones)
		clones_keep(w->clones);
	if (w->assigned)
		assigned_free(w->assigned);
	if (w->vips)
		vips_withdraw(w->vips);
	process_free(w->process);
	if (w->clones)
		clones_linger(w->clones);
	if (w->vips)
		vips_free(w->vips);
	flow_files_free(w->flow_files);
	ports_free(w->ports);
	gateways_free(w->gateways);
	vrfs_free(w->vrfs);
	guards_free(w->guards);
	hurts_free(w->hurts);
	if (w->clones)
		clones_free(w->clones);
	if (w->datapath)
		datapath_free(w->datapath);
	if (w->netlink)
		netlink_free(w->netlink);
	inquiries_free(w->inquiries);
	if (w->link)
		link_free(w->link, "The engine was stopped.");
	books_free(w->books);
	json_decref(w->names);
	json_decref(w->resolvers);
	counters_fini(&w->counters);
	records_fini(&w->records);
	outlet_fini(&w->outlet);
	silence_free(w->silence);
	changes_free(w->changes);
	free(w);
}
