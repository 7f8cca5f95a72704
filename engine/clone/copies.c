#include "engine/clone/copies.h"

#include <string.h>

#include "base/base.h"
#include "base/list.h"
#include "engine/clone/clone.h"

#define RETIRED_MAX 8 /* sets of a service that still have flows; the oldest is stopped then */

struct line {
	struct list link;
	struct clone_want want;
	struct clone_books past;  /* of sets that are freed */
	struct clone_books sum;   /* with those that are not */
	struct clone_books since; /* of the present one alone */
	bool in_use;              /* there is a present one: the words are its */
};

/* A set that is retired, and may have flows yet. */
struct ended {
	struct list link;
	struct clone_set *set;
};

struct copies {
	struct list lines, ended;
	uint64_t since_us; /* when the present set was made */
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

static struct line *line_of(struct copies *c, const struct clone_want *want)
{
	struct line *line;

	LIST_FOREACH(l, &c->lines) {
		line = LIST_ENTRY(l, struct line, link);
		if (clone_want_is(&line->want, want))
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
		line->since = b;
		memcpy(line->sum.interface, b.interface, sizeof(b.interface));
		memcpy(line->sum.mac, b.mac, sizeof(b.mac));
		line->sum.state = b.state;
	}
}

void copies_follow(struct copies *c, struct clone_set *old, struct clone_set *now)
{
	struct ended *e;
	size_t n = 0;

	c->since_us = wall_us();
	if (old) {
		e = xcalloc(1, sizeof(*e));
		list_init(&e->link);
		e->set = old;
		list_insert(c->ended.next, &e->link); /* the oldest is last */
	}
	LIST_FOREACH(l, &c->ended) {
		e = LIST_ENTRY(l, struct ended, link);
		clone_set_retire(e->set, now);
		if (n++ >= RETIRED_MAX)
			clone_set_stop(e->set);
	}
}

static void counters_json(json_t *o, const struct clone_books *b)
{
#define TARGET_COUNTER(name, unit, help)                                                           \
	json_object_set_new(o, #name, json_integer((json_int_t)b->c.name));
#include "engine/bpf/counters.h"
	json_object_set_new(o, "device_dropped", json_integer((json_int_t)b->device_dropped));
}

static json_t *line_json(const struct copies *c, const struct line *line, size_t index)
{
	const struct clone_books *b = &line->sum;
	char ip[IP_TEXT_MAX], mac[18];
	json_t *o = json_object(), *since;

	json_object_set_new(o, "index", json_integer((json_int_t)index));
	json_object_set_new(o, "ip", line->want.has_ip ? json_string(ip_text(&line->want.ip, ip))
						       : json_null());
	counters_json(o, b);
	if (line->want.has_mac)
		json_object_set_new(o, "mac", json_string(mac_text(line->want.mac, mac)));
	if (!line->in_use)
		return o;
	since = json_pack("{s:I}", "time_us", (json_int_t)c->since_us);
	counters_json(since, &line->since);
	json_object_set_new(o, "since", since);
	json_object_set_new(o, "interface", json_string(b->interface));
	json_object_set_new(o, "mac", json_string(mac_text(b->mac, mac)));
	json_object_set_new(o, "state", json_string(b->state));
	return o;
}

json_t *copies_read(struct copies *c, struct clone_set *now)
{
	json_t *list;
	size_t n = 0;

	LIST_FOREACH(l, &c->lines) {
		struct line *line = LIST_ENTRY(l, struct line, link);

		line->sum = line->past;
		line->in_use = false;
	}
	LIST_FOREACH(l, &c->ended) {
		struct ended *e = LIST_ENTRY(l, struct ended, link);
		bool over = clone_set_is_over(e->set);

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
		json_array_append_new(list, line_json(c, LIST_ENTRY(l, struct line, link), n++));
	return list;
}
