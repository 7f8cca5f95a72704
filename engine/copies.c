#include "engine/copies.h"

#include <string.h>

#include "base/base.h"
#include "base/list.h"
#include "engine/clone.h"

#define THROUGH_NS (2 * NS_PER_S) /* then the backlog of a segmenting pair is empty for sure */

struct line {
	struct list link;
	struct clone_want want;
	struct clone_books past;  /* of sets that are freed */
	struct clone_books sum;   /* with those that are not */
	bool in_use;              /* ... the present one among them: the words are its */
};

struct ended {
	struct list link;
	struct clone_set *set;
	uint64_t at_ns;
};

struct copies {
	struct list lines, ended;
};

struct copies *copies_new(void)
{
	struct copies *c = xcalloc(1, sizeof(*c));

	list_init(&c->lines);
	list_init(&c->ended);
	return c;
}

static void ended_free(struct ended *e)
{
	clone_set_free(e->set);
	list_remove(&e->link);
	free(e);
}

void copies_free(struct copies *c)
{
	LIST_FOREACH(l, &c->ended)
		ended_free(LIST_ENTRY(l, struct ended, link));
	LIST_FOREACH(l, &c->lines) {
		struct line *line = LIST_ENTRY(l, struct line, link);

		list_remove(&line->link);
		free(line);
	}
	free(c);
}

void copies_end(struct copies *c, struct clone_set *s)
{
	struct ended *e;

	if (!s)
		return;
	clone_set_stop(s);
	e = xcalloc(1, sizeof(*e));
	list_init(&e->link);
	e->set = s;
	e->at_ns = mono_ns();
	list_insert(&c->ended, &e->link);
}

static bool want_is(const struct clone_want *a, const struct clone_want *b)
{
	return a->has_ip == b->has_ip && a->has_mac == b->has_mac &&
	       a->has_subnet == b->has_subnet && a->subnet_len == b->subnet_len &&
	       ip_equal(&a->ip, &b->ip) && ip_equal(&a->subnet, &b->subnet) &&
	       memcmp(a->mac, b->mac, sizeof(a->mac)) == 0;
}

static struct line *line_of(struct copies *c, const struct clone_want *want)
{
	struct line *line;

	LIST_FOREACH(l, &c->lines) {
		line = LIST_ENTRY(l, struct line, link);
		if (want_is(&line->want, want))
			return line;
	}
	line = xcalloc(1, sizeof(*line));
	list_init(&line->link);
	line->want = *want;
	list_insert(&c->lines, &line->link);
	return line;
}

static void add(struct clone_books *to, const struct clone_books *b)
{
#define TARGET_COUNTER(name, unit, help) to->c.name += b->c.name;
#include "engine/bpf/counters.h"
	to->device_dropped += b->device_dropped;
}

enum age { NOW, ENDED, OVER };

/* SET's counters come to the sums; to the past as well when it is OVER. */
static void add_set(struct copies *c, struct clone_set *set, enum age age)
{
	for (uint32_t i = 0; i < clone_set_range(set).count; i++) {
		struct line *line = line_of(c, clone_set_want(set, i));
		struct clone_books b;

		clone_set_read(set, i, &b);
		add(&line->sum, &b);
		if (age == OVER)
			add(&line->past, &b);
		if (age != NOW)
			continue;
		line->in_use = true;
		memcpy(line->sum.interface, b.interface, sizeof(b.interface));
		memcpy(line->sum.mac, b.mac, sizeof(b.mac));
		line->sum.state = b.state;
	}
}

static json_t *line_json(const struct line *line, size_t index)
{
	const struct clone_books *b = &line->sum;
	char ip[IP_TEXT_MAX], mac[18];
	json_t *o = json_object();

	json_object_set_new(o, "index", json_integer((json_int_t)index));
	json_object_set_new(o, "ip", line->want.has_ip ? json_string(ip_text(&line->want.ip, ip))
						       : json_null());
#define TARGET_COUNTER(name, unit, help)                                                           \
	json_object_set_new(o, #name, json_integer((json_int_t)b->c.name));
#include "engine/bpf/counters.h"
	json_object_set_new(o, "device_dropped", json_integer((json_int_t)b->device_dropped));
	if (line->in_use) {
		json_object_set_new(o, "interface", json_string(b->interface));
		json_object_set_new(o, "mac", json_string(mac_text(b->mac, mac)));
		json_object_set_new(o, "state", json_string(b->state));
	}
	return o;
}

json_t *copies_read(struct copies *c, struct clone_set *now)
{
	uint64_t now_ns = mono_ns();
	json_t *list;
	size_t n = 0;

	LIST_FOREACH(l, &c->lines) {
		struct line *line = LIST_ENTRY(l, struct line, link);

		line->sum = line->past;
		line->in_use = false;
	}
	LIST_FOREACH(l, &c->ended) {
		struct ended *e = LIST_ENTRY(l, struct ended, link);
		bool over = now_ns - e->at_ns > THROUGH_NS;

		add_set(c, e->set, over ? OVER : ENDED);
		if (over)
			ended_free(e);
	}
	if (now)
		add_set(c, now, NOW);
	if (list_empty(&c->lines))
		return NULL;
	list = json_array();
	LIST_FOREACH(l, &c->lines)
		json_array_append_new(list, line_json(LIST_ENTRY(l, struct line, link), n++));
	return list;
}
