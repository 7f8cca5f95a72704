/* What is promised of the books: whose numbers are told when. */
#include "base/test.h"

#include "engine/books.h"
#include "engine/link/link.h"

#define TURNS 5 /* readings in which each server of many is told once */

/* What the warden holds: one pool. */
static json_t *held;

const json_t *link_object(const struct link *k, const char *kind, const char *uuid)
{
	(void)k;
	return strcmp(kind, "pool") == 0 && strcmp(uuid, "pool-1") == 0 ? held : NULL;
}

int link_each(const struct link *k,
	      int (*f)(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object), void *arg)
{
	(void)k;
	return f(arg, "pool", "pool-1", 1, held);
}

static json_t *servers(unsigned n)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < n; i++)
		json_array_append_new(list, json_pack("{s:{s:s, s:s}, s:i}", "ip", "addr", "10.0.0.1", "type", "V4", "port",
						      (int)(1000 + i)));
	return list;
}

struct world {
	struct counters counters;
	struct books *books;
	json_t *slots; /* "ip:port" -> slot */
};

static void begin(struct world *w, unsigned n)
{
	CLEANUP_JSON json_t *news = NULL;

	held = json_pack("{s:s, s:s, s:o}", "uuid", "pool-1", "name", "p", "servers", servers(n));
	assert_int_equal(counters_new(&w->counters, 1), 0);
	w->books = books_new(&w->counters, NULL);
	books_follow_all(w->books);
	news = books_news(w->books);
	w->slots = json_incref(json_object_get(json_object_get(news, "servers"), "pool-1"));
	assert_int_equal(json_object_size(w->slots), n);
	json_decref(books_read(w->books, true));
}

static void end(struct world *w)
{
	json_decref(w->slots);
	books_free(w->books);
	counters_fini(&w->counters);
	json_decref(held);
}

/* One connection more at each server. */
static void count_all(struct world *w)
{
	const char *name;
	json_t *slot;

	json_object_foreach(w->slots, name, slot)
		counter_add(&counters_server_of(&w->counters, 0, (unsigned)json_integer_value(slot))->conn_total, 1);
}

/* How often each server was told in N readings, into TOLD by name; the newest number must be TOTAL. */
static void read_some(struct world *w, unsigned n, json_t *told, json_int_t total)
{
	while (n--) {
		CLEANUP_JSON json_t *stats = books_read(w->books, false);
		const char *name;
		json_t *numbers;

		json_object_foreach(json_object_get(json_object_get(stats, "servers"), "pool-1"), name, numbers) {
			assert_int_equal(json_int(numbers, "conn_total", -1), total);
			json_object_set_new(told, name, json_integer(json_int(told, name, 0) + 1));
		}
	}
}

static void few_servers_are_told_at_each_reading(void **state)
{
	struct world w;
	CLEANUP_JSON json_t *told = json_object();

	(void)state;
	begin(&w, 20);
	count_all(&w);
	read_some(&w, 1, told, 1);
	assert_int_equal(json_object_size(told), 20);
	read_some(&w, 1, told, 1); /* nothing new */
	assert_int_equal(json_int(told, json_object_iter_key(json_object_iter(told)), 0), 1);
	end(&w);
}

static void of_many_servers_each_is_told_once_in_five_readings(void **state)
{
	struct world w;
	CLEANUP_JSON json_t *told = json_object(), *first = json_object();
	const char *name;
	json_t *times;

	(void)state;
	begin(&w, 1200);
	for (json_int_t total = 1; total <= 2; total++) {
		count_all(&w);
		read_some(&w, TURNS, told, total);
		assert_int_equal(json_object_size(told), 1200);
		json_object_foreach(told, name, times)
			assert_int_equal(json_integer_value(times), total);
	}
	count_all(&w);
	read_some(&w, 1, first, 3);
	assert_in_range(json_object_size(first), 1200 / TURNS - 1, 1200 / TURNS + 1);
	/* Who wants all gets all. */
	CLEANUP_JSON json_t *all = books_read(w.books, true);
	assert_int_equal(json_object_size(json_object_get(json_object_get(all, "servers"), "pool-1")), 1200);
	end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(few_servers_are_told_at_each_reading),
		cmocka_unit_test(of_many_servers_each_is_told_once_in_five_readings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
