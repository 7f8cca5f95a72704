#include "engine/reach/toll.h"

#include "base/base.h"
#include "base/proc.h"
#include "engine/reach/netlink.h"

static const struct {
	const char *name;
	unsigned place; /* in a line of /proc/net/dev */
} counters[] = {
	{ "if_rx_bytes", 0 }, { "if_rx_frames", 1 }, { "if_rx_dropped", 3 }, { "if_tx_bytes", 8 }, { "if_tx_frames", 9 },
};

struct look {
	struct toll *toll;
	const char *text;
};

/* Where the interface is kept; NULL: there is no place for it. New: IS_NEW. */
static struct toll_interface *place_of(struct toll *t, int index, bool *is_new)
{
	struct toll_interface *free = NULL;

	for (size_t i = 0; i < TOLL_INTERFACES; i++) {
		if (t->interfaces[i].index == index)
			return &t->interfaces[i];
		if (!t->interfaces[i].index && !free)
			free = &t->interfaces[i];
	}
	*is_new = true;
	if (free)
		*free = (struct toll_interface){ .index = index };
	return free;
}

static void add(void *arg, const struct iface *i)
{
	const struct look *l = arg;
	const char *p = i->data ? proc_line(l->text, i->name) : NULL;
	bool is_new = false;
	struct toll_interface *at = p ? place_of(l->toll, i->index, &is_new) : NULL;
	uint64_t values[16];

	if (!at)
		return;
	for (size_t c = 0; c < ARRAY_SIZE(values); c++) {
		char *end;

		values[c] = strtoull(p, &end, 10);
		p = end;
	}
	for (size_t c = 0; c < ARRAY_SIZE(counters); c++) {
		uint64_t now = values[counters[c].place];

		if (!is_new && now > at->was[c])
			l->toll->sums[c] += now - at->was[c];
		at->was[c] = now;
	}
}

static void look(struct toll *t, const struct netlink *n)
{
	/* Not /proc/net: the namespace is that of the thread that opens it. */
	CLEANUP_FREE char *text = proc_text("/proc/thread-self/net/dev");
	struct look l = { .toll = t, .text = text };
	const struct machine before = t->now;

	machine_read(&t->now, t->disk);
	/* The kernel takes some time of waiting for disks back at times. */
	t->now.cpu_idle_ms = MAX(t->now.cpu_idle_ms, before.cpu_idle_ms);
	t->now.cpu_busy_ms = MAX(t->now.cpu_busy_ms, before.cpu_busy_ms);
	if (!t->begun)
		t->first = t->now;
	netlink_each(n, add, &l);
	t->begun = true;
}

void toll_stats(struct toll *t, const struct netlink *n, json_t *engine)
{
	if (t->turn++ % TOLL_TURNS == 0)
		look(t, n);
	json_object_set_new(engine, "cpu_busy_ms", json_integer((json_int_t)(t->now.cpu_busy_ms - t->first.cpu_busy_ms)));
	json_object_set_new(engine, "cpu_idle_ms", json_integer((json_int_t)(t->now.cpu_idle_ms - t->first.cpu_idle_ms)));
	json_object_set_new(engine, "memory_permille", json_integer(t->now.memory_permille));
	json_object_set_new(engine, "disk_permille", json_integer(t->now.disk_permille));
	for (size_t c = 0; c < ARRAY_SIZE(counters); c++)
		json_object_set_new(engine, counters[c].name, json_integer((json_int_t)t->sums[c]));
}
