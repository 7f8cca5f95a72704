/* What is promised of the objects that a configuration is built of. */
#include "base/test.h"

#include "engine/config/objects.h"
#include "model/structs.h"

struct world {
	struct objects objects;
	struct needs needs;
};

static int setup(void **state)
{
	struct world *w = xcalloc(1, sizeof(*w));

	objects_init(&w->objects);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;

	needs_fini(&w->needs, &w->objects);
	objects_fini(&w->objects);
	free(w);
	return 0;
}

static void put(struct world *w, const char *uuid, int port)
{
	CLEANUP_JSON json_t *o = json_pack("{s:s, s:s, s:i}", "uuid", uuid, "name", uuid, "default_server_port", port);

	objects_put(&w->objects, "pool", uuid, o);
}

static int64_t port_of(const struct object *o)
{
	const struct pool *p = object_is(o);

	return p ? p->default_server_port : -1;
}

static void what_is_not_here_yet_is_news_when_it_comes(void **state)
{
	struct world *w = *state;
	const struct object *o = needs_add(&w->needs, &w->objects, "pool", "pool-1");

	assert_null(object_is(o));
	assert_false(needs_changed(&w->needs));
	put(w, "pool-2", 1);
	assert_false(needs_changed(&w->needs));
	put(w, "pool-1", 8080);
	assert_true(needs_changed(&w->needs));
	assert_int_equal(port_of(o), 8080);
	objects_settle(&w->objects);
	assert_false(needs_changed(&w->needs));
	assert_int_equal(port_of(o), 8080);
}

static void what_was_made_of_it_outlives_its_change(void **state)
{
	struct world *w = *state;
	struct arena arena = ARENA_INIT;
	struct parts parts = { 0 };
	const struct pool *old;

	put(w, "pool-1", 1);
	old = parts_use(&parts, objects_find(&w->objects, "pool", "pool-1")->part, &arena);
	put(w, "pool-1", 2);
	objects_settle(&w->objects);
	objects_delete(&w->objects, "pool", "pool-1");
	objects_settle(&w->objects);
	assert_int_equal(old->default_server_port, 1);
	assert_string_equal(old->name, "pool-1");
	parts_put(&parts);
	arena_fini(&arena);
}

static void what_is_deleted_is_forgotten_unless_somebody_remembers_it(void **state)
{
	struct world *w = *state;

	put(w, "pool-1", 1);
	put(w, "pool-2", 2);
	needs_add(&w->needs, &w->objects, "pool", "pool-2");
	objects_settle(&w->objects);
	objects_delete(&w->objects, "pool", "pool-1");
	objects_delete(&w->objects, "pool", "pool-2");
	assert_true(needs_changed(&w->needs));
	objects_settle(&w->objects);
	assert_null(objects_find(&w->objects, "pool", "pool-1"));
	assert_non_null(objects_find(&w->objects, "pool", "pool-2"));
	needs_clear(&w->needs, &w->objects);
	assert_null(objects_find(&w->objects, "pool", "pool-2"));
	assert_int_equal(w->objects.table.n, 0);
}

static void put_and_deleted_at_once_leaves_nothing(void **state)
{
	struct world *w = *state;

	put(w, "pool-1", 1);
	objects_delete(&w->objects, "pool", "pool-1");
	put(w, "pool-1", 3);
	assert_int_equal(port_of(objects_find(&w->objects, "pool", "pool-1")), 3);
	objects_delete(&w->objects, "pool", "pool-1");
	objects_delete(&w->objects, "pool", "never-here");
	objects_settle(&w->objects);
	assert_int_equal(w->objects.table.n, 0);
}

static void nobody_knows_such_a_kind(void **state)
{
	struct world *w = *state;
	CLEANUP_JSON json_t *o = json_object();

	objects_put(&w->objects, "no-kind", "x", o);
	assert_null(needs_add(&w->needs, &w->objects, "no-kind", "x"));
	assert_null(needs_add(&w->needs, &w->objects, "pool", NULL));
	assert_null(needs_add(&w->needs, &w->objects, "pool", ""));
	assert_null(objects_find(&w->objects, "pool", NULL));
}

#define PROMISE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		PROMISE(what_is_not_here_yet_is_news_when_it_comes),
		PROMISE(what_was_made_of_it_outlives_its_change),
		PROMISE(what_is_deleted_is_forgotten_unless_somebody_remembers_it),
		PROMISE(put_and_deleted_at_once_leaves_nothing),
		PROMISE(nobody_knows_such_a_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
