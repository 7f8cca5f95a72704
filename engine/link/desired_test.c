#include "base/test.h"

#include <unistd.h>

#include "base/buf.h"
#include "engine/link/desired.h"
#include "net/digest.h"
#include "net/seal.h"

/* What the owner was told, as text: "+pool/p1 -vsvip/v1 " */
static struct buf told;

static void put(void *arg, const char *kind, const char *uuid, uint64_t revision, const json_t *object)
{
	(void)arg;
	(void)revision;
	assert_true(json_is_object(object));
	buf_printf(&told, "+%s/%s ", kind, uuid);
}

static void removed(void *arg, const char *kind, const char *uuid)
{
	(void)arg;
	buf_printf(&told, "-%s/%s ", kind, uuid);
}

static const struct desired_diff diff = { put, removed };

static void expect(const char *text)
{
	assert_string_equal(buf_cstr(&told), text);
	buf_take(&told, told.len);
}

static void stage(struct desired *d, const char *kind, const char *uuid, int n)
{
	CLEANUP_JSON json_t *object = json_pack("{s:i}", "n", n);

	desired_put(d, kind, uuid, 1, object);
}

static void a_commit_tells_what_differs(void **state)
{
	struct desired d;

	(void)state;
	desired_init(&d);
	stage(&d, "pool", "a", 1);
	expect("");
	desired_commit(&d, "e1", 5, &diff, NULL);
	expect("+pool/a ");
	assert_int_equal(d.revision, 5);
	/* The same again is no difference; a removal of what is not held neither. */
	stage(&d, "pool", "a", 1);
	desired_remove(&d, "pool", "never");
	desired_commit(&d, "e1", 6, &diff, NULL);
	expect("");
	stage(&d, "pool", "a", 2);
	desired_commit(&d, "e1", 7, &diff, NULL);
	expect("+pool/a ");
	desired_remove(&d, "pool", "a");
	desired_commit(&d, "e1", 8, &diff, NULL);
	expect("-pool/a ");
	assert_int_equal(d.digest, 0);
	desired_fini(&d);
}

static void a_batch_without_its_commit_was_never_there(void **state)
{
	struct desired d;

	(void)state;
	desired_init(&d);
	stage(&d, "pool", "a", 1);
	desired_commit(&d, "e1", 1, &diff, NULL);
	expect("+pool/a ");
	stage(&d, "pool", "a", 2);
	desired_remove(&d, "pool", "a");
	desired_begin(&d, false);
	desired_commit(&d, "e1", 2, &diff, NULL);
	expect("");
	assert_int_equal(json_int(desired_get(&d, "pool", "a"), "n", 0), 1);
	desired_fini(&d);
}

static void a_full_resync_tells_only_differences(void **state)
{
	struct desired d;

	(void)state;
	desired_init(&d);
	for (int i = 0; i < 100; i++) {
		char uuid[16];

		snprintf(uuid, sizeof(uuid), "p%d", i);
		stage(&d, "pool", uuid, i);
	}
	desired_commit(&d, "e1", 1, &diff, NULL);
	buf_take(&told, told.len);
	desired_begin(&d, true);
	for (int i = 1; i < 101; i++) {
		char uuid[16];

		snprintf(uuid, sizeof(uuid), "p%d", i);
		stage(&d, "pool", uuid, i);
	}
	desired_commit(&d, "e2", 1, &diff, NULL);
	expect("-pool/p0 +pool/p100 ");
	assert_string_equal(d.epoch, "e2");
	/* And the next batch is an ordinary one again. */
	stage(&d, "pool", "p1", 7);
	desired_commit(&d, "e2", 2, &diff, NULL);
	expect("+pool/p1 ");
	desired_fini(&d);
}

static void the_digest_is_that_of_what_is_held(void **state)
{
	struct desired d;
	uint64_t sum = 0;

	(void)state;
	desired_init(&d);
	for (int i = 0; i < 50; i++) {
		CLEANUP_JSON json_t *object = json_pack("{s:i}", "n", i % 7);
		char uuid[16];

		snprintf(uuid, sizeof(uuid), "p%d", i % 20);
		if (i % 5 == 4)
			desired_remove(&d, "pool", uuid);
		else
			desired_put(&d, "pool", uuid, 1, object);
		desired_commit(&d, "e", (uint64_t)i, &diff, NULL);
	}
	buf_take(&told, told.len);
	for (int i = 0; i < 20; i++) {
		char uuid[16];
		const json_t *o;

		snprintf(uuid, sizeof(uuid), "p%d", i);
		o = desired_get(&d, "pool", uuid);
		sum += o ? digest_object("pool", uuid, o) : 0;
	}
	assert_true(sum != 0);
	assert_true(sum == d.digest);
	desired_fini(&d);
}

static void the_file_gives_back_what_was_held(void **state)
{
	static const char *const odd[] = {
		"", "{", "null", "[]", "{\"format\":1}", "{\"format\":1,\"held\":[]}",
		"{\"format\":1,\"held\":{\"x\":5},\"hash\":\"0\"}",
		"{\"format\":1,\"held\":{\"a/b\":{\"kind\":\"a\",\"uuid\":\"b\"}},\"hash\":\"0\"}",
		"{\"format\":1,\"held\":{\"a/b\":{\"kind\":\"a\",\"uuid\":\"c\",\"object\":{}}},\"hash\":\"0\"}",
	};
	char dir[] = "/tmp/swlink_desired_XXXXXX";
	CLEANUP_FREE char *path = NULL, *kek = NULL;
	struct desired d, back;
	struct seal *seal, *other;
	CLEANUP_FREE char *text = NULL;
	struct err e = { 0 };
	char *at;
	CLEANUP_JSON json_t *user = json_pack("{s:s, s:s}", "name", "u", "password", "very-secret");

	(void)state;
	unsetenv("CREDENTIALS_DIRECTORY");
	assert_non_null(mkdtemp(dir));
	path = xasprintf("%s/desired.json", dir);
	kek = xasprintf("%s/kek", dir);
	assert_false(desired_is_sealed(path));
	assert_int_equal(seal_open(dir, true, &seal, &e), 0);
	desired_init(&d);
	stage(&d, "pool", "a", 1);
	stage(&d, "vsvip", "b", 2);
	desired_put(&d, "user", "u", 1, user);
	desired_commit(&d, "e1", 9, &diff, NULL);
	text = desired_text(&d, seal);
	assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);

	desired_init(&back);
	assert_int_equal(desired_load(&back, path, seal, &e), 0);
	assert_string_equal(back.epoch, "e1");
	assert_int_equal(back.revision, 9);
	assert_true(back.digest == d.digest);
	assert_true(json_equal(desired_get(&back, "pool", "a"), desired_get(&d, "pool", "a")));
	assert_true(json_equal(desired_get(&back, "user", "u"), user));
	assert_string_equal(json_str(desired_get(&d, "user", "u"), "password", ""), "very-secret");
	desired_fini(&back);

	/* Secrets are there, but not to be read, and of no use without the key. */
	assert_null(strstr(text, "very-secret"));
	assert_true(desired_is_sealed(path));
	assert_int_equal(unlink(kek), 0);
	assert_int_equal(seal_open(dir, true, &other, &e), 0);
	desired_init(&back);
	assert_int_equal(desired_load(&back, path, other, &e), -EKEYREJECTED);
	assert_non_null(strstr(e.text, "does not open with the key-encryption key"));
	desired_fini(&back);
	seal_free(other);

	/* One digit of an object changed on the disk is found. */
	at = strstr(text, "\"n\":2");
	assert_non_null(at);
	at[4] = '3';
	assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);
	desired_init(&back);
	assert_int_equal(desired_load(&back, path, seal, &e), -EINVAL);
	assert_non_null(strstr(e.text, "damaged"));
	assert_int_equal(json_object_size(back.held), 0);
	desired_fini(&back);

	at = strstr(text, "\"format\":2");
	at[9] = '3';
	assert_int_equal(file_replace(path, text, strlen(text), 0600), 0);
	desired_init(&back);
	assert_int_equal(desired_load(&back, path, seal, &e), -EINVAL);
	assert_non_null(strstr(e.text, "format 3"));
	desired_fini(&back);
	for (size_t i = 0; i < ARRAY_SIZE(odd); i++) {
		assert_int_equal(file_replace(path, odd[i], strlen(odd[i]), 0600), 0);
		desired_init(&back);
		assert_int_equal(desired_load(&back, path, seal, &e), -EINVAL);
		desired_fini(&back);
	}
	unlink(path);
	desired_init(&back);
	assert_int_equal(desired_load(&back, path, seal, &e), -ENOENT);
	desired_fini(&back);
	desired_fini(&d);
	seal_free(seal);
	unlink(kek);
	rmdir(dir);
	buf_fini(&told);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_commit_tells_what_differs),
		cmocka_unit_test(a_batch_without_its_commit_was_never_there),
		cmocka_unit_test(a_full_resync_tells_only_differences),
		cmocka_unit_test(the_digest_is_that_of_what_is_held),
		cmocka_unit_test(the_file_gives_back_what_was_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
