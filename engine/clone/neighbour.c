#include "engine/clone/neighbour.h"

#include <errno.h>

#include "base/list.h"
#include "base/log.h"
#include "engine/reach/herald.h"
#include "engine/reach/netlink.h"

#define ASK_MS 1000

struct clone_neighbour {
	struct list link;
	struct clone_neighbours *table;
	unsigned users;
	int ifindex;
	struct in6_addr ip;
	struct herald *herald;    /* NULL: no socket; the kernel asks alone */
	uint8_t own_mac[6];       /* that the herald speaks with */
	bool answers, known;
	uint8_t mac[6];
};

struct clone_neighbours {
	struct loop *loop;
	struct netlink *netlink;
	struct netlink_watch watch;
	struct timer ask;
	struct list all;
	void (*changed)(void *arg);
	void *arg;
};

static void manage(struct clone_neighbour *nb)
{
	int rc = netlink_neighbour_manage(nb->table->netlink, nb->ifindex, &nb->ip);

	/* Without carrier there is nobody to ask. */
	if (rc && rc != -ENETDOWN && rc != -ENODEV)
		log_error("clone.neighbour error=\"%s\"", strerror(-rc));
}

bool clone_neighbour_is(const struct clone_neighbour *nb, int ifindex, const struct in6_addr *ip)
{
	return nb && nb->ifindex == ifindex && ip_equal(&nb->ip, ip);
}

bool clone_neighbour_answers(const struct clone_neighbour *nb)
{
	return nb && nb->answers;
}

const uint8_t *clone_neighbour_mac(const struct clone_neighbour *nb)
{
	return nb && nb->known ? nb->mac : NULL;
}

struct clone_neighbour *clone_neighbour_get(struct clone_neighbours *t, int ifindex, const struct in6_addr *ip)
{
	struct clone_neighbour *nb;

	LIST_FOREACH(l, &t->all) {
		nb = LIST_ENTRY(l, struct clone_neighbour, link);
		if (!clone_neighbour_is(nb, ifindex, ip))
			continue;
		nb->users++;
		return nb;
	}
	nb = xcalloc(1, sizeof(*nb));
	nb->table = t;
	nb->users = 1;
	nb->ifindex = ifindex;
	nb->ip = *ip;
	list_init(&nb->link);
	list_insert(&t->all, &nb->link);
	manage(nb);
	return nb;
}

void clone_neighbour_put(struct clone_neighbour *nb)
{
	if (!nb || --nb->users)
		return;
	(void)netlink_neighbour_forget(nb->table->netlink, nb->ifindex, &nb->ip);
	if (nb->herald)
		herald_free(nb->herald);
	list_remove(&nb->link);
	free(nb);
}

/* An address of ours that NB will answer to; NULL: none. */
static const struct in6_addr *asker(const struct iface *i, const struct clone_neighbour *nb)
{
	for (size_t k = 0; k < i->addrs_n; k++)
		if (!i->addrs[k].ours && ip_within(&nb->ip, &i->addrs[k].addr, i->addrs[k].prefix_len))
			return &i->addrs[k].addr;
	return NULL;
}

static void ask(struct clone_neighbour *nb)
{
	const struct clone_neighbours *t = nb->table;
	const struct iface *i = netlink_iface(t->netlink, nb->ifindex);
	const struct in6_addr *own = i && i->up && i->carrier ? asker(i, nb) : NULL;

	if (!own)
		return;
	if (!nb->answers)
		manage(nb);
	if (nb->herald && memcmp(nb->own_mac, i->mac, 6)) {
		herald_free(nb->herald);
		nb->herald = NULL;
	}
	if (!nb->herald && herald_new(t->loop, i->index, i->mac, NULL, &nb->herald))
		return;
	memcpy(nb->own_mac, i->mac, 6);
	(void)herald_ask(nb->herald, own, &nb->ip);
}

static void ask_all(struct timer *timer)
{
	struct clone_neighbours *t = CONTAINER_OF(timer, struct clone_neighbours, ask);

	LIST_FOREACH(l, &t->all)
		ask(LIST_ENTRY(l, struct clone_neighbour, link));
	timer_in(t->loop, &t->ask, ASK_MS, ask_all);
}

static void heard(struct netlink_watch *w, int ifindex, const struct in6_addr *ip, const uint8_t *mac)
{
	struct clone_neighbours *t = CONTAINER_OF(w, struct clone_neighbours, watch);

	LIST_FOREACH(l, &t->all) {
		struct clone_neighbour *nb = LIST_ENTRY(l, struct clone_neighbour, link);
		bool same;

		if (!clone_neighbour_is(nb, ifindex, ip))
			continue;
		same = nb->answers == (mac != NULL) && (!mac || !memcmp(nb->mac, mac, 6));
		nb->answers = mac != NULL;
		if (mac) {
			nb->known = true;
			memcpy(nb->mac, mac, 6);
		}
		if (!same)
			t->changed(t->arg);
		return;
	}
}

struct clone_neighbours *clone_neighbours_new(struct loop *l, struct netlink *n, void (*changed)(void *arg), void *arg)
{
	struct clone_neighbours *t = xcalloc(1, sizeof(*t));

	t->loop = l;
	t->netlink = n;
	t->changed = changed;
	t->arg = arg;
	t->watch.neighbour = heard;
	list_init(&t->all);
	netlink_watch(n, &t->watch);
	timer_in(l, &t->ask, ASK_MS, ask_all);
	return t;
}

void clone_neighbours_free(struct clone_neighbours *t)
{
	if (!t)
		return;
	must(list_empty(&t->all));
	netlink_unwatch(&t->watch);
	timer_stop(t->loop, &t->ask);
	free(t);
}
