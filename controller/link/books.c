#include "controller/link/books.h"

#include <limits.h>

#include "base/base.h"

#define HURT_MAX  256   /* flows that an engine lists; a power of two */
#define NAMES_MAX 65536 /* in one object of the base: more than any engine has services, servers, counters */

/* What is there now, or was the most since the engine began: of its former lives there is nothing to add. */
static bool is_gauge(const char *name)
{
	static const char *const ends[] = { "_open", "_used", "_turn_ms", "_permille" };
	size_t n = strlen(name);

	for (size_t i = 0; i < ARRAY_SIZE(ends); i++)
		if (n > strlen(ends[i]) && strcmp(name + n - strlen(ends[i]), ends[i]) == 0)
			return true;
	return false;
}

/* They come from an engine, which may say any number: the largest is where counting ends. */
static json_t *sum_of(const json_t *a, const json_t *b)
{
	json_int_t sum;

	if (__builtin_add_overflow(json_integer_value(a), json_integer_value(b), &sum))
		sum = json_integer_value(b) < 0 ? LLONG_MIN : LLONG_MAX;
	return json_integer(sum);
}

void books_add(json_t *to, const json_t *from, bool gauges)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)from, key, v) {
		json_t *mine = json_object_get(to, key);

		if (!mine && json_object_size(to) >= NAMES_MAX)
			continue;
		if (json_is_object(v)) {
			if (!json_is_object(mine)) {
				mine = json_object();
				json_object_set_new(to, key, mine);
			}
			books_add(mine, v, gauges);
		} else if (json_is_integer(v) && (gauges || !is_gauge(key))) {
			json_object_set_new(to, key, sum_of(mine, v));
		}
	}
}

/* Counts NOW on from OLD, or did it begin again? */
static bool goes_on(const json_t *old, const json_t *now)
{
	const char *key;
	json_t *v;

	if (!now)
		return false;
	json_object_foreach((json_t *)old, key, v)
		if (json_is_integer(v) && !is_gauge(key) &&
		    json_int(now, key, 0) < json_integer_value(v))
			return false;
	return true;
}

/* What is in OLD and no more in NOW, or begins again there, is over: it goes to BASE. */
static void keep_ended(json_t *base, const json_t *old, const json_t *now)
{
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)old, key, v) {
		CLEANUP_JSON json_t *one = NULL;

		if (goes_on(v, json_object_get(now, key)))
			continue;
		one = json_pack("{s:O}", key, v);
		books_add(base, one, false);
	}
}

/* The same two levels down: {pool: {server: {...}}}. */
static void keep_ended_items(json_t *base, const char *group, const json_t *old, const json_t *now,
			     bool deep)
{
	CLEANUP_JSON json_t *ended = json_object();
	const char *key;
	json_t *v;

	keep_ended(ended, old, now);
	if (deep)
		json_object_foreach((json_t *)old, key, v) {
			json_t *items = json_object();

			if (json_object_get(now, key))
				keep_ended(items, v, json_object_get(now, key));
			if (json_object_size(items))
				json_object_set(ended, key, items);
			json_decref(items);
		}
	if (json_object_size(ended)) {
		CLEANUP_JSON json_t *one = json_pack("{s:O}", group, ended);

		books_add(base, one, false);
	}
}

void books_init(struct books *b)
{
	*b = (struct books){ .last = json_object(), .hurt = json_object(), .base = json_object() };
}

void books_fini(struct books *b)
{
	json_decref(b->last);
	json_decref(b->hurt);
	json_decref(b->base);
}

/* The name of a clone server: its address, or its MAC address when it has no other. */
static const char *line_name(const json_t *line)
{
	const char *ip = json_str(line, "ip", NULL);

	return ip ? ip : json_str(line, "mac", "");
}

/* What a line says of the present set: its counters in `since`, or all when the engine makes no difference. */
static json_t *line_since(const json_t *line)
{
	const json_t *since = json_object_get(line, "since");
	json_t *out = json_copy((json_t *)(json_is_object(since) ? since : line)), *v;
	const char *key;

	json_object_foreach((json_t *)line, key, v)
		if (json_is_string(v))
			json_object_set(out, key, v);
	json_object_del(out, "index");
	json_object_del(out, "time_us");
	return out;
}

/* Hurt flows: each takes the place of that which is HURT_MAX numbers behind it. */
static void take_hurt(json_t *kept, const json_t *list)
{
	for (size_t i = 0; i < json_array_size(list) && i < HURT_MAX; i++) {
		json_t *one = json_array_get(list, i);
		char key[8];

		if (!json_is_object(one))
			continue;
		snprintf(key, sizeof(key), "%d", (int)(json_int(one, "number", 0) & (HURT_MAX - 1)));
		json_object_set(kept, key, one);
	}
}

static int by_time(const void *a, const void *b)
{
	json_int_t x = json_int(*(json_t *const *)a, "time_us", 0), y = json_int(*(json_t *const *)b, "time_us", 0);

	return (y > x) - (y < x);
}

json_t *books_hurt(const struct books *b, const char *vs)
{
	json_t *found[HURT_MAX], *out = json_array(), *one;
	const char *key;
	size_t n = 0;

	json_object_foreach(b->hurt, key, one)
		if (n < HURT_MAX && strcmp(json_str(one, "virtualservice", ""), vs) == 0)
			found[n++] = one;
	qsort(found, n, sizeof(*found), by_time);
	for (size_t i = 0; i < n; i++)
		json_array_append(out, found[i]);
	return out;
}

/* {vs: [{"ip", "index", ...}]} -> ALL: {vs: {"ip index": {...}}}, SINCE: {vs: {"ip index set": {...}}} */
static void clones_by_key(const json_t *clones, json_t *all, json_t *since)
{
	const char *vs;
	json_t *list;

	json_object_foreach((json_t *)clones, vs, list) {
		json_t *mine = json_object(), *present = json_object();

		for (size_t i = 0; i < json_array_size(list); i++) {
			json_t *one = json_array_get(list, i), *line;
			long long index = (long long)json_int(one, "index", 0);
			CLEANUP_FREE char *key = xasprintf("%s %lld", line_name(one), index);
			CLEANUP_FREE char *now = xasprintf("%s %s", key, json_str(one, "set", ""));

			if (!json_is_object(one))
				continue;
			line = json_copy(one);
			json_object_del(line, "index");
			json_object_del(line, "since");
			json_object_set_new(mine, key, line);
			if (json_str(one, "state", NULL))
				json_object_set_new(present, now, line_since(one));
		}
		json_object_set_new(all, vs, mine);
		json_object_set_new(since, vs, present);
	}
}

/* Of what was copied by another profile nothing is kept but the sums of "clones". */
static void forget_sets(json_t *base, const json_t *now)
{
	const char *vs, *key;
	json_t *present, *v;
	void *next;

	json_object_foreach((json_t *)now, vs, present) {
		const char *any = json_object_iter_key(json_object_iter(present));
		const char *set = any ? strrchr(any, ' ') : "";

		json_object_foreach_safe(json_object_get(base, vs), next, key, v)
			if (strcmp(strrchr(key, ' '), set) != 0)
				json_object_del(json_object_get(base, vs), key);
	}
}

static const struct {
	const char *name;
	bool deep; /* {key: {item: {counter}}} rather than {key: {counter}} */
} groups[] = { { "services", false }, { "servers", true }, { "rules", true }, { "clones", true }, { "copies", true } };

/* Of those that did not change nothing was told, nor what is zero of the others: that is as in LAST. */
static void fill_up(json_t *now, const json_t *last)
{
	const char *name;
	json_t *old;

	json_object_foreach((json_t *)last, name, old) {
		json_t *one = json_object_get(now, name);

		if (one)
			json_object_update_missing(one, old);
		else if (json_object_size(now) < NAMES_MAX)
			json_object_set(now, name, old);
	}
}

/* The same one level down. */
static void fill_up_items(json_t *now, const json_t *last)
{
	const char *owner;
	json_t *old;

	json_object_foreach((json_t *)last, owner, old) {
		json_t *mine = json_object_get(now, owner);

		if (mine)
			fill_up(mine, old);
		else
			json_object_set(now, owner, old);
	}
}

/* Services that went are over: they may be back already, and count anew, with more than they had. */
static void end_services(struct books *b, const json_t *gone)
{
	json_t *services = json_object_get(b->last, "services"), *v;
	size_t i;

	json_array_foreach((json_t *)gone, i, v) {
		const char *uuid = json_string_value(v);
		json_t *last = uuid ? json_object_get(services, uuid) : NULL;
		CLEANUP_JSON json_t *one = last ? json_pack("{s:{s:O}}", "services", uuid, last) : NULL;

		books_add(b->base, one, false);
		if (last)
			json_object_del(services, uuid);
	}
}

/* A message in which only what changed is told of becomes one of everything. */
static void make_whole(const json_t *stats, const json_t *last)
{
	json_t *services = json_object_get(stats, "services"), *servers = json_object_get(stats, "servers");

	if (json_is_object(services))
		fill_up(services, json_object_get(last, "services"));
	if (json_is_object(servers))
		fill_up_items(servers, json_object_get(last, "servers"));
}

void books_take(struct books *b, const json_t *stats)
{
	json_t *now = json_object(), *clones = json_object(), *copies = json_object();

	if (json_bool(stats, "part", false)) {
		end_services(b, json_object_get(stats, "gone"));
		make_whole(stats, b->last);
	}
	clones_by_key(json_object_get(stats, "clones"), clones, copies);
	json_object_set_new(now, "clones", clones);
	json_object_set_new(now, "copies", copies);
	for (size_t i = 0; i < ARRAY_SIZE(groups); i++) {
		const char *name = groups[i].name;
		json_t *group = json_object_get(stats, name);

		if (!json_is_object(group))
			group = NULL;
		if (group && !json_object_get(now, name))
			json_object_set(now, name, group);
		keep_ended_items(b->base, name, json_object_get(b->last, name),
				 json_object_get(now, name), groups[i].deep);
	}
	forget_sets(json_object_get(b->base, "copies"), copies);
	if (json_is_object(json_object_get(stats, "engine")))
		json_object_set(now, "engine", json_object_get(stats, "engine"));
	json_decref(b->last);
	b->last = now;
	take_hurt(b->hurt, json_object_get(stats, "hurt"));
	b->time_us = (uint64_t)json_int(stats, "time_us", 0);
}

void books_end(struct books *b)
{
	books_add(b->base, b->last, false);
	json_object_clear(b->last);
	json_object_clear(b->hurt);
	b->time_us = 0;
}

/* Lines of one name are one clone server. WORDS: also what it is, as of now. */
static json_t *by_name(const struct books *b, const char *group, const char *vs, bool words)
{
	const json_t *last = json_object_get(json_object_get(b->last, group), vs);
	const json_t *from[] = { json_object_get(json_object_get(b->base, group), vs), last };
	json_t *out = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		const char *key;
		json_t *v;

		json_object_foreach((json_t *)from[i], key, v) {
			CLEANUP_FREE char *name = xstrndup(key, strcspn(key, " "));
			json_t *sum = json_object_get(out, name), *word;
			const char *member;

			if (!sum) {
				sum = json_object();
				json_object_set_new(out, name, sum);
			}
			if (words && from[i] == last)
				json_object_foreach(v, member, word)
					if (json_is_string(word))
						json_object_set(sum, member, word);
			books_add(sum, v, true);
		}
	}
	return out;
}

json_t *books_clones(const struct books *b, const char *vs)
{
	return by_name(b, "clones", vs, false);
}

json_t *books_copies(const struct books *b, const char *vs)
{
	return by_name(b, "copies", vs, true);
}

/* What makes 0 of all the counters of V. */
static json_t *opposite(const json_t *v)
{
	json_t *out = json_object(), *below;
	const char *key;

	json_object_foreach((json_t *)v, key, below) {
		if (json_is_object(below))
			json_object_set_new(out, key, opposite(below));
		else if (json_is_integer(below) && !is_gauge(key))
			json_object_set_new(out, key, json_integer(-json_integer_value(below)));
	}
	return out;
}

void books_clear(struct books *b, const char *group, const char *key)
{
	json_t *of = json_object_get(b->base, group);

	if (!key) {
		json_object_set_new(b->base, group, opposite(json_object_get(b->last, group)));
		return;
	}
	if (!of) {
		of = json_object();
		json_object_set_new(b->base, group, of);
	}
	json_object_set_new(of, key, opposite(json_object_get(json_object_get(b->last, group), key)));
}

json_t *books_get(const struct books *b, const char *group, const char *key, const char *item)
{
	const json_t *from[] = { b->base, b->last };
	json_t *out = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		const json_t *at = json_object_get(from[i], group);

		if (key)
			at = json_object_get(at, key);
		if (item)
			at = json_object_get(at, item);
		books_add(out, at, true);
	}
	return out;
}
