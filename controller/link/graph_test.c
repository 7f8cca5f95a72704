#include "base/test.h"

#include "controller/link/graph.h"
#include "net/digest.h"

/* A world of objects that refer to one another, as the source of a graph. */
struct world {
	struct graph_source source;
	json_t *objects; /* "kind/uuid" -> object */
};

static const json_t *world_object(struct graph_source *s, const char *kind, const char *uuid, const char **name,
				  uint64_t *revision)
{
	struct world *w = CONTAINER_OF(s, struct world, source);
	char key[64];

	snprintf(key, sizeof(key), "%s/%s", kind, uuid);
	*name = "a name";
	*revision = 1;
	return json_object_get(w->objects, key);
}

static void set(struct world *w, const char *key, json_t *object)
{
	if (object)
		json_object_set_new(w->objects, key, object);
	else
		json_object_del(w->objects, key);
}

/* An engine's side: what it was told to hold. */
static json_t *theirs;
static size_t put_n, remove_n;

static void sink_put(void *arg, const char *kind, const char *uuid, const char *name, uint64_t revision,
		     const json_t *object)
{
	char key[64];

	(void)arg;
	(void)name;
	(void)revision;
	snprintf(key, sizeof(key), "%s/%s", kind, uuid);
	json_object_set(theirs, key, (json_t *)object);
	put_n++;
}

static void sink_remove(void *arg, const char *kind, const char *uuid)
{
	char key[64];

	(void)arg;
	snprintf(key, sizeof(key), "%s/%s", kind, uuid);
	assert_int_equal(json_object_del(theirs, key), 0);
	remove_n++;
}

static const struct graph_sink sink = { sink_put, sink_remove };

static void flush(struct graph *g, struct holder *h)
{
	put_n = remove_n = 0;
	graph_flush(g, h, &sink, NULL);
}

static uint64_t digest_of(const json_t *objects)
{
	uint64_t sum = 0;
	const char *key;
	json_t *v;

	json_object_foreach((json_t *)objects, key, v) {
		char kind[64];

		snprintf(kind, sizeof(kind), "%.*s", (int)(strchr(key, '/') - key), key);
		sum += digest_object(kind, strchr(key, '/') + 1, v);
	}
	return sum;
}

static json_t *assignment(const char *vs)
{
	return json_pack("{s:s++}", "virtualservice_ref", "/api/virtualservice/", vs, "");
}

static json_t *service(const char *vip, const char *pool)
{
	CLEANUP_FREE char *v = xasprintf("/api/vsvip/%s", vip), *p = xasprintf("/api/pool/%s", pool);

	return json_pack("{s:s, s:s, s:s}", "vsvip_ref", v, "pool_ref", p, "application_profile_ref",
			 "/api/applicationprofile/http");
}

static void world_init(struct world *w)
{
	w->source.object = world_object;
	w->objects = json_object();
	set(w, "applicationprofile/http", json_pack("{s:s}", "name", "http"));
	set(w, "healthmonitor/hm", json_pack("{s:s}", "name", "hm"));
	for (int i = 0; i < 4; i++) {
		char key[64], uuid[16], other[16];

		snprintf(uuid, sizeof(uuid), "%d", i);
		snprintf(other, sizeof(other), "%d", i);
		snprintf(key, sizeof(key), "pool/%d", i);
		set(w, key, json_pack("{s:[s], s:i}", "health_monitor_refs", "/api/healthmonitor/hm", "n", i));
		snprintf(key, sizeof(key), "vsvip/%d", i);
		set(w, key, json_pack("{s:s}", "name", uuid));
		snprintf(key, sizeof(key), "virtualservice/%d", i);
		set(w, key, service(uuid, other));
		snprintf(key, sizeof(key), "assignment/%d", i);
		set(w, key, assignment(uuid));
	}
	theirs = json_object();
}

static void world_fini(struct world *w)
{
	json_decref(w->objects);
	json_decref(theirs);
}

static void an_edit_costs_what_it_touches(void **state)
{
	struct world w;
	struct graph *g;
	struct holder h;

	(void)state;
	world_init(&w);
	g = graph_new(&w.source);
	holder_init(&h);
	graph_hold(g, &h, "assignment", "0");
	graph_hold(g, &h, "assignment", "1");
	flush(g, &h);
	assert_int_equal(put_n, 10); /* two of assignment, service, vsvip, pool; one profile, one monitor */
	assert_true(h.digest == digest_of(theirs));

	/* A pool's edit is one put; of what nobody holds, none. */
	set(&w, "pool/0", json_pack("{s:[s], s:i}", "health_monitor_refs", "/api/healthmonitor/hm", "n", 77));
	graph_changed(g, "pool", "0", NULL, NULL);
	graph_changed(g, "pool", "3", NULL, NULL);
	flush(g, &h);
	assert_int_equal(put_n, 1);
	assert_int_equal(remove_n, 0);

	/* An edit that changes nothing is nothing. */
	graph_changed(g, "pool", "0", NULL, NULL);
	flush(g, &h);
	assert_int_equal(put_n + remove_n, 0);

	/*
	 * Another pool: the service and the new pool come, the old goes, and what both share
	 * stays.
	 */
	set(&w, "virtualservice/0", service("0", "2"));
	graph_changed(g, "virtualservice", "0", NULL, NULL);
	flush(g, &h);
	assert_int_equal(put_n, 2);
	assert_int_equal(remove_n, 1);
	assert_non_null(json_object_get(theirs, "healthmonitor/hm"));

	/* The last user of a monitor gone, the monitor goes. */
	graph_release(g, &h, "assignment", "0");
	flush(g, &h);
	assert_int_equal(remove_n, 4);
	graph_release(g, &h, "assignment", "1");
	flush(g, &h);
	assert_int_equal(json_object_size(theirs), 0);
	assert_true(h.digest == 0);
	assert_int_equal(h.n, 0);
	holder_fini(g, &h);
	graph_free(g);
	world_fini(&w);
}

/*
 * Random edits of references, roots and contents: what the engine holds is always the closure,
 * and its digest.
 */
static void close_over(const struct world *w, json_t *out, const char *key)
{
	static const char *const fields[] = { "virtualservice_ref", "vsvip_ref", "pool_ref", "application_profile_ref" };
	json_t *o = json_object_get(w->objects, key), *list;

	if (!o)
		return;
	json_object_set(out, key, o);
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++) {
		const char *ref = json_str(o, fields[i], NULL);

		if (ref)
			close_over(w, out, ref + strlen("/api/"));
	}
	list = json_object_get(o, "health_monitor_refs");
	for (size_t i = 0; i < json_array_size(list); i++)
		close_over(w, out, json_string_value(json_array_get(list, i)) + strlen("/api/"));
}

static void what_is_held_is_always_the_closure(void **state)
{
	struct world w;
	struct graph *g;
	struct holder h;
	bool root[4] = { false };

	(void)state;
	srandom(2);
	world_init(&w);
	g = graph_new(&w.source);
	holder_init(&h);
	for (int round = 0; round < 5000; round++) {
		char a[16], b[16], key[64];
		int i = (int)(random() % 4);

		snprintf(a, sizeof(a), "%ld", random() % 4);
		snprintf(b, sizeof(b), "%ld", random() % 5); /* the fifth does not exist */
		switch (random() % 5) {
		case 0:
			snprintf(key, sizeof(key), "%d", i);
			(root[i] ? graph_release : graph_hold)(g, &h, "assignment", key);
			root[i] = !root[i];
			break;
		case 1:
			snprintf(key, sizeof(key), "virtualservice/%d", i);
			set(&w, key, service(a, b));
			graph_changed(g, "virtualservice", key + strlen("virtualservice/"), NULL, NULL);
			break;
		case 2:
			snprintf(key, sizeof(key), "pool/%d", i);
			set(&w, key, random() % 2 ? json_pack("{s:[s], s:i}", "health_monitor_refs",
							      "/api/healthmonitor/hm", "n", round)
						  : json_pack("{s:i}", "n", round));
			graph_changed(g, "pool", key + strlen("pool/"), NULL, NULL);
			break;
		case 3:
			set(&w, "applicationprofile/http",
			    random() % 4 ? json_pack("{s:i}", "n", round) : NULL);
			graph_changed(g, "applicationprofile", "http", NULL, NULL);
			break;
		case 4: { /* the engine comes back from somewhere else, with holes and leftovers */
			json_t *digests = json_object(), *v;
			const char *k;

			flush(g, &h);
			if (random() % 2)
				json_object_set_new(theirs, "pool/left", json_pack("{s:i}", "n", 1));
			if (random() % 2)
				json_object_del(theirs, "pool/0");
			json_object_foreach(theirs, k, v) {
				char kind[64];

				snprintf(kind, sizeof(kind), "%.*s", (int)(strchr(k, '/') - k), k);
				json_object_set_new(digests, k, json_integer((json_int_t)digest_object(
									kind, strchr(k, '/') + 1, v)));
			}
			graph_met(g, &h, digests, sink_remove, NULL);
			json_decref(digests);
			break;
		}
		}
		if (random() % 3 == 0) {
			json_t *should = json_object();

			flush(g, &h);
			for (int r = 0; r < 4; r++) {
				snprintf(key, sizeof(key), "assignment/%d", r);
				if (root[r])
					close_over(&w, should, key);
			}
			assert_true(json_equal(should, theirs));
			assert_true(h.digest == digest_of(theirs));
			json_decref(should);
		}
	}
	holder_fini(g, &h);
	graph_free(g);
	world_fini(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_edit_costs_what_it_touches),
		cmocka_unit_test(what_is_held_is_always_the_closure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
