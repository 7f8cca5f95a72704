#include "base/test.h"

#include "controller/rest/password.h"
#include "controller/rest/session.h"

static const uint64_t MINUTE = 60 * NS_PER_S;

static void a_session_lives_while_used(void **state)
{
	struct sessions s;
	struct session *x;
	char id[SESSION_ID_LEN + 1];
	uint64_t now = MINUTE;

	(void)state;
	sessions_init(&s, 100);
	s.idle_ns = 15 * MINUTE;
	s.hard_ns = 24 * 60 * MINUTE;
	x = session_new(&s, "user-1", now);
	memcpy(id, x->id, sizeof(id));
	assert_string_not_equal(x->id, x->csrf);
	assert_null(session_find(&s, "", now));
	assert_null(session_find(&s, "00000000000000000000000000000000", now));
	for (unsigned i = 0; i < 90; i++) {
		now += 14 * MINUTE;
		x = session_find(&s, id, now);
		assert_non_null(x);
		assert_false(x->expired);
	}
	sessions_fini(&s);
}

static void it_expires_idle_and_by_age(void **state)
{
	struct sessions s;
	char id[2][SESSION_ID_LEN + 1];
	uint64_t now = MINUTE;

	(void)state;
	sessions_init(&s, 100);
	s.idle_ns = 15 * MINUTE;
	s.hard_ns = 60 * MINUTE;
	memcpy(id[0], session_new(&s, "user-1", now)->id, sizeof(id[0]));
	memcpy(id[1], session_new(&s, "user-1", now)->id, sizeof(id[1]));
	for (unsigned i = 1; i < 6; i++)
		assert_false(session_find(&s, id[1], now + i * 10 * MINUTE)->expired);
	assert_true(session_find(&s, id[0], now + 15 * MINUTE)->expired);
	assert_true(session_find(&s, id[1], now + 60 * MINUTE)->expired);
	/* Once expired it stays so. */
	assert_true(session_find(&s, id[1], now + 60 * MINUTE)->expired);
	/* And is forgotten when new ones come, much later. */
	session_new(&s, "user-1", now + 120 * MINUTE);
	assert_null(session_find(&s, id[0], now + 120 * MINUTE));
	assert_int_equal(s.count, 1);
	sessions_fini(&s);
}

static void there_is_a_limit_and_the_sleepiest_goes(void **state)
{
	struct sessions s;
	char first[SESSION_ID_LEN + 1], second[SESSION_ID_LEN + 1];

	(void)state;
	sessions_init(&s, 1000);
	memcpy(first, session_new(&s, "a", 1)->id, sizeof(first));
	memcpy(second, session_new(&s, "a", 2)->id, sizeof(second));
	for (unsigned i = 0; i < 998; i++)
		session_new(&s, "b", 3 + i);
	assert_non_null(session_find(&s, first, 2000));
	session_new(&s, "b", 3000);
	assert_int_equal(s.count, 1000);
	assert_non_null(session_find(&s, first, 3000));
	assert_null(session_find(&s, second, 3000));
	sessions_fini(&s);
}

static void a_user_can_be_logged_out_everywhere(void **state)
{
	struct sessions s;
	struct session *keep;
	char id[SESSION_ID_LEN + 1];

	(void)state;
	sessions_init(&s, 100);
	for (unsigned i = 0; i < 5; i++)
		session_new(&s, "u", 1);
	keep = session_new(&s, "u", 1);
	memcpy(id, keep->id, sizeof(id));
	session_new(&s, "v", 1);
	session_drop_user(&s, "u", keep);
	assert_int_equal(s.count, 2);
	assert_ptr_equal(session_find(&s, id, 2), keep);
	sessions_fini(&s);
}

static void passwords_are_hashed_and_remembered(void **state)
{
	struct password_cache c;
	char one[PASSWORD_RECORD_MAX], two[PASSWORD_RECORD_MAX];

	(void)state;
	password_cache_init(&c);
	password_hash("secret", one);
	password_hash("secret", two);
	assert_string_not_equal(one, two);
	assert_true(password_is_record(one));
	assert_null(strstr(one, "secret"));
	assert_true(password_verify(one, "secret"));
	assert_false(password_verify(one, "Secret"));
	assert_false(password_verify("", "secret"));
	assert_false(password_verify("secret", "secret"));

	assert_false(password_cached(&c, "user-1", one, "secret", 1));
	password_remember(&c, "user-1", one, "secret", 1);
	assert_true(password_cached(&c, "user-1", one, "secret", 1));
	assert_true(password_cached(&c, "user-1", one, "secret", 899 * NS_PER_S));
	assert_false(password_cached(&c, "user-1", one, "secret", 901 * NS_PER_S));
	assert_false(password_cached(&c, "user-1", one, "secre", 1));
	assert_false(password_cached(&c, "user-2", one, "secret", 1));
	assert_false(password_cached(&c, "user-1", two, "secret", 1));
}

static void a_user_has_so_many_and_the_sleepiest_goes(void **state)
{
	struct sessions s;
	char id[4][SESSION_ID_LEN + 1];

	(void)state;
	sessions_init(&s, 100);
	for (unsigned i = 0; i < 4; i++)
		memcpy(id[i], session_new(&s, i == 1 ? "other" : "user-1", i + 1)->id,
		       sizeof(id[i]));
	assert_non_null(session_find(&s, id[0], 10));
	session_limit(&s, "user-1", 2);
	assert_non_null(session_find(&s, id[0], 11));
	assert_non_null(session_find(&s, id[1], 11));
	assert_null(session_find(&s, id[2], 11));
	assert_non_null(session_find(&s, id[3], 11));
	sessions_fini(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_user_has_so_many_and_the_sleepiest_goes),
		cmocka_unit_test(a_session_lives_while_used),
		cmocka_unit_test(it_expires_idle_and_by_age),
		cmocka_unit_test(there_is_a_limit_and_the_sleepiest_goes),
		cmocka_unit_test(a_user_can_be_logged_out_everywhere),
		cmocka_unit_test(passwords_are_hashed_and_remembered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
