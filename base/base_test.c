#include "base/test.h"


#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/log.h"

static void err_paths_grow_outwards(void **state)
{
	struct err e;

	(void)state;
	assert_int_equal(err_set(&e, -EINVAL, "mac", "Not a MAC address: \"%s\".", "x"), -EINVAL);
	err_within(&e, "clone_servers[2]");
	assert_string_equal(err_line(&e), "clone_servers[2].mac: Not a MAC address: \"x\".");
	err_set(&e, -EINVAL, "[2]", "Bad.");
	err_within(&e, "servers");
	assert_string_equal(e.path, "servers[2]");
}

static void log_lines_become_fields_of_the_journal(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	log_journal_entry(&b, LOG_LEVEL_WARN, "warden", "vip_lost vip=10.0.0.1 why=\"two words\" MESSAGE=x n= half=\"a b");
	assert_string_equal(buf_cstr(&b),
			    "PRIORITY=4\nSYSLOG_IDENTIFIER=spanwire-warden\n"
			    "MESSAGE=vip_lost vip=10.0.0.1 why=\"two words\" MESSAGE=x n= half=\"a b\n"
			    "SPANWIRE_EVENT=vip_lost\nSPANWIRE_VIP=10.0.0.1\nSPANWIRE_WHY=two words\n"
			    "SPANWIRE_N=\nSPANWIRE_HALF=\"a\n");
	buf_fini(&b);
}

static void buf_grows_and_is_taken(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_int_equal(buf_printf(&b, "%04d", i), 0);
	for (int i = 0; i < 1000; i++) {
		char want[8];

		snprintf(want, sizeof(want), "%04d", i);
		assert_memory_equal(b.data, want, 4);
		buf_take(&b, 4);
	}
	assert_int_equal(b.len, 0);
	buf_fini(&b);
	b.limit = 10;
	assert_int_equal(buf_puts(&b, "0123456789"), 0);
	assert_int_equal(buf_puts(&b, "x"), -ENOBUFS);
	assert_string_equal(buf_cstr(&b), "0123456789");
	buf_fini(&b);
}

static void arena_keeps_its_limit(void **state)
{
	struct arena a = ARENA_INIT;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		char *p = arena_get(&a, 100);

		assert_int_equal((uintptr_t)p & 15, 0);
		for (int j = 0; j < 100; j++)
			assert_int_equal(p[j], 0);
		memset(p, 0xff, 100);
	}
	arena_fini(&a);
	assert_int_equal(*(char *)arena_get(&a, 8), 0);
	arena_fini(&a);
	a.limit = 10000;
	assert_null(arena_get(&a, 20000));
	assert_non_null(arena_get(&a, 9000));
	arena_fini(&a);
}

static void json_is_read_strictly(void **state)
{
	static const char *const bad[] = {
		"", "{", "{\"a\":1,\"a\":2}", "\"\xff\"", "[1] x", "{\"a\":\"\\u0000\"}", "[99999999999999999999]",
		"{'a':1}", "[1,]", "NaN",
	};
	static const char good[] = "{\"b\":[1,true],\"a\":\"[[[\\\"\"}";
	char deep[200];
	json_t *v;
	struct err e;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		if (json_read(bad[i], strlen(bad[i]), &v, &e) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
	memset(deep, '[', 100);
	memset(deep + 100, ']', 100);
	assert_int_equal(json_read(deep, 200, &v, &e), -EINVAL);
	assert_non_null(strstr(e.text, "nested"));
	assert_int_equal(json_read(good, strlen(good), &v, &e), 0);
	{
		CLEANUP_FREE char *text = json_text(v);

		assert_string_equal(text, "{\"a\":\"[[[\\\"\",\"b\":[1,true]}");
	}
	json_decref(v);
}

static void quoted_text_is_made_clean(void **state)
{
	char cut[] = "caf\xc3", line[] = "a\nb\x1b[1m", whole[] = "caf\xc3\xa9";

	(void)state;
	text_clean(cut);
	assert_string_equal(cut, "caf?");
	text_clean(line);
	assert_string_equal(line, "a?b?[1m");
	text_clean(whole);
	assert_string_equal(whole, "caf\xc3\xa9");
}

static void uuid_has_its_version(void **state)
{
	char u[37], w[37];

	(void)state;
	uuid4(u);
	uuid4(w);
	assert_int_equal(strlen(u), 36);
	assert_int_equal(u[14], '4');
	assert_non_null(strchr("89ab", u[19]));
	assert_string_not_equal(u, w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(err_paths_grow_outwards), cmocka_unit_test(buf_grows_and_is_taken),
		cmocka_unit_test(log_lines_become_fields_of_the_journal),
		cmocka_unit_test(arena_keeps_its_limit),   cmocka_unit_test(json_is_read_strictly),
		cmocka_unit_test(uuid_has_its_version),	   cmocka_unit_test(quoted_text_is_made_clean),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
