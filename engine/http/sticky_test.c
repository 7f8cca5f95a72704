#include "base/test.h"

#include "engine/http/sticky.h"
#include "model/structs.h"
#include "net/cookie.h"

static const char *const servers[] = { "10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80" };

#define KEY(n, a, h) (const struct http_cookie_persistence_key){ .name = n, .aes_key = a, .hmac_key = h }

static const struct sticky *make(struct arena *a, struct http_cookie_persistence_profile p, const char *pool)
{
	static struct http_cookie_persistence_key key;

	if (!p.key_n) {
		key = KEY("k1", "aaaa", "hhhh");
		p.key = &key;
		p.key_n = 1;
	}
	return sticky_new(a, &p, pool, servers, ARRAY_SIZE(servers));
}

/* The value in what Set-Cookie says. */
static const char *value_of(const struct sticky *s, size_t place, uint32_t minute, size_t *len)
{
	static char line[STICKY_LINE];
	size_t n = sticky_value(s, place, minute, line);

	assert_int_equal(n, strlen(line));
	return cookie_find(line, n, sticky_name(s), strlen(sticky_name(s)), len);
}

static size_t there_and_back(const struct sticky *from, const struct sticky *to, size_t place)
{
	size_t len;
	const char *v = value_of(from, place, 1000, &len);

	return sticky_find(to, v, len, 1000);
}

static void every_engine_knows_the_server_and_nobody_else(void **state)
{
	struct arena a = ARENA_INIT;
	const struct sticky *one = make(&a, (struct http_cookie_persistence_profile){ 0 }, "pool-1"),
			    *two = make(&a, (struct http_cookie_persistence_profile){ 0 }, "pool-1"),
			    *other = make(&a, (struct http_cookie_persistence_profile){ 0 }, "pool-2");
	struct http_cookie_persistence_key mine = KEY("k1", "aaaa", "gggg");
	const struct sticky *stranger = make(&a, (struct http_cookie_persistence_profile){ .key = &mine, .key_n = 1 }, "pool-1");
	size_t len;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(there_and_back(one, two, i), i);
		assert_int_equal(there_and_back(one, other, i), SIZE_MAX);
		assert_int_equal(there_and_back(one, stranger, i), SIZE_MAX);
		assert_null(strstr(value_of(one, i, 1000, &len), "10.0"));
	}
	arena_fini(&a);
}

static void changed_values_name_nobody(void **state)
{
	struct arena a = ARENA_INIT;
	const struct sticky *s = make(&a, (struct http_cookie_persistence_profile){ 0 }, "pool-1");
	char v[STICKY_VALUE + 1];
	size_t len;

	(void)state;
	snprintf(v, sizeof(v), "%s", value_of(s, 1, 1000, &len));
	assert_int_equal(len, STICKY_VALUE);
	for (size_t i = 0; i < STICKY_VALUE; i++) {
		char was = v[i];

		v[i] = was == 'A' ? 'B' : 'A';
		assert_int_equal(sticky_find(s, v, STICKY_VALUE, 1000), SIZE_MAX);
		v[i] = '!';
		assert_int_equal(sticky_find(s, v, STICKY_VALUE, 1000), SIZE_MAX);
		v[i] = was;
	}
	assert_int_equal(sticky_find(s, v, STICKY_VALUE - 1, 1000), SIZE_MAX);
	assert_int_equal(sticky_find(s, v, STICKY_VALUE, 1000), 1);
	arena_fini(&a);
}

static void old_keys_are_taken_and_the_first_makes(void **state)
{
	struct arena a = ARENA_INIT;
	struct http_cookie_persistence_key old = KEY("old", "a", "b"), both[] = { KEY("new", "c", "d"), KEY("old", "a", "b") };
	const struct sticky *before = make(&a, (struct http_cookie_persistence_profile){ .key = &old, .key_n = 1,
											   .cookie_name = "X" }, "p"),
			    *after = make(&a, (struct http_cookie_persistence_profile){ .key = both, .key_n = 2,
											  .cookie_name = "X" }, "p");

	(void)state;
	assert_int_equal(there_and_back(before, after, 2), 2);
	assert_int_equal(there_and_back(after, before, 2), SIZE_MAX);
	assert_int_equal(there_and_back(after, after, 2), 2);
	/* A secret in the place of the keys. */
	before = sticky_new(&a, &(struct http_cookie_persistence_profile){ .encryption_key = "s" }, "p", servers, 3);
	assert_int_equal(there_and_back(before, before, 0), 0);
	assert_null(sticky_new(&a, &(struct http_cookie_persistence_profile){ 0 }, "p", servers, 3));
	arena_fini(&a);
}

static void profile_says_how_it_looks_and_how_long_it_holds(void **state)
{
	struct arena a = ARENA_INIT;
	const struct sticky *s = make(&a, (struct http_cookie_persistence_profile){
						  .cookie_name = "shop", .timeout = 5, .is_persistent_cookie = true,
						  .http_only = true, .always_send_cookie = true }, "p");
	char line[STICKY_LINE];
	const char *v;
	size_t len;

	(void)state;
	sticky_value(s, 0, 1000, line);
	assert_memory_equal(line, "shop=", 5);
	assert_string_equal(line + 5 + STICKY_VALUE, "; Path=/; Max-Age=300; HttpOnly");
	assert_true(sticky_is_always_sent(s));
	v = value_of(s, 0, 1000, &len);
	assert_int_equal(sticky_find(s, v, len, 1005), 0);
	assert_int_equal(sticky_find(s, v, len, 1006), SIZE_MAX);
	assert_int_equal(sticky_find(s, v, len, 990), 0); /* made by a clock that is ahead */
	/* For the session; and a name that is none. */
	s = make(&a, (struct http_cookie_persistence_profile){ .cookie_name = "a\r\nb", .timeout = 5 }, "p");
	sticky_value(s, 0, 1000, line);
	assert_memory_equal(line, "SW", 2);
	assert_string_equal(line + strlen(sticky_name(s)) + 1 + STICKY_VALUE, "; Path=/");
	assert_false(sticky_is_always_sent(s));
	s = make(&a, (struct http_cookie_persistence_profile){ 0 }, "p");
	v = value_of(s, 0, 1000, &len);
	assert_int_equal(sticky_find(s, v, len, 1000000), 0);
	arena_fini(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_engine_knows_the_server_and_nobody_else),
		cmocka_unit_test(changed_values_name_nobody),
		cmocka_unit_test(old_keys_are_taken_and_the_first_makes),
		cmocka_unit_test(profile_says_how_it_looks_and_how_long_it_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
