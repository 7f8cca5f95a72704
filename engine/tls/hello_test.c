/* What the specifications of JA3 and JA4 say of hellos that are built here from their lists. */
#include "base/test.h"

#include "engine/tls/hello.h"

struct built {
	uint8_t b[4096];
	size_t n;
};

static void put(struct built *h, unsigned v, unsigned bytes)
{
	while (bytes--)
		h->b[h->n++] = (uint8_t)(v >> 8 * bytes);
}

/* The length of what follows will be written here, in so many bytes. */
static size_t open_vector(struct built *h, unsigned bytes)
{
	h->n += bytes;
	return h->n;
}

static void close_vector(struct built *h, size_t at, unsigned bytes)
{
	struct built length = { .n = 0 };

	put(&length, (unsigned)(h->n - at), bytes);
	memcpy(h->b + at - bytes, length.b, bytes);
}

static void list(struct built *h, const uint16_t *v, size_t n, unsigned bytes)
{
	size_t at = open_vector(h, bytes);

	for (size_t i = 0; i < n; i++)
		put(h, v[i], 2);
	close_vector(h, at, bytes);
}

#define WORDS(...) (const uint16_t[]){ __VA_ARGS__ }, sizeof((const uint16_t[]){ __VA_ARGS__ }) / 2

static size_t begin(struct built *h, unsigned version, const uint16_t *ciphers, size_t n)
{
	size_t at;

	*h = (struct built){ 0 };
	put(h, 1, 1);
	at = open_vector(h, 3);
	put(h, version, 2);
	h->n += 32;
	put(h, 0, 1);
	list(h, ciphers, n, 2);
	put(h, 0x0100, 2);
	return at;
}

static void extension(struct built *h, unsigned type, const void *p, size_t n)
{
	put(h, type, 2);
	put(h, (unsigned)n, 2);
	if (n)
		memcpy(h->b + h->n, p, n);
	h->n += n;
}

static void extension_list(struct built *h, unsigned type, unsigned bytes, const uint16_t *v, size_t n)
{
	struct built body = { .n = 0 };

	list(&body, v, n, bytes);
	extension(h, type, body.b, body.n);
}

static void ja3_is_as_its_authors_say(void **state)
{
	struct hello out;
	struct built h;
	size_t whole, all;

	(void)state;
	whole = begin(&h, 769, WORDS(47, 53, 5, 10, 49161, 49162, 49171, 49172, 50, 56, 19, 4));
	all = open_vector(&h, 2);
	extension(&h, 0, "\0\5\0\0\2ab", 7);
	extension_list(&h, 10, 2, WORDS(23, 24, 25));
	extension(&h, 11, "\1\0", 2);
	close_vector(&h, all, 2);
	close_vector(&h, whole, 3);
	assert_int_equal(hello_read(h.b, h.n, &out), 0);
	assert_string_equal(out.ja3, "ada70206e40642a3e4461f35503241d5");
	assert_memory_equal(out.ja4, "t10d120300_", 11);

	whole = begin(&h, 769, WORDS(4, 5, 10, 9, 100, 98, 3, 6, 19, 18, 99));
	close_vector(&h, whole, 3);
	assert_int_equal(hello_read(h.b, h.n, &out), 0);
	assert_string_equal(out.ja3, "de350869b8c85de67a350c8d186f11e6");
	assert_string_equal(out.ja4 + 24, "000000000000");
	assert_memory_equal(out.ja4, "t10i110000_", 11);
}

static struct built chrome(void)
{
	struct built h;
	size_t whole, all;

	whole = begin(&h, 0x0303, WORDS(0x0a0a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0xcca9, 0xcca8,
					 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035));
	all = open_vector(&h, 2);
	extension(&h, 0x3a3a, NULL, 0);
	extension(&h, 0x0000, "\0\5\0\0\2ab", 7);
	extension(&h, 0x0017, NULL, 0);
	extension(&h, 0xff01, "\0", 1);
	extension_list(&h, 0x000a, 2, WORDS(0x4a4a, 0x001d, 0x0017, 0x0018));
	extension(&h, 0x000b, "\1\0", 2);
	extension(&h, 0x0023, NULL, 0);
	extension(&h, 0x0010, "\0\14\2h2\10http/1.1", 14);
	extension(&h, 0x0005, "\1\0\0\0\0", 5);
	extension_list(&h, 0x000d, 2, WORDS(0x0403, 0x0804, 0x0401, 0x0503, 0x0805, 0x0501, 0x0806, 0x0601));
	extension(&h, 0x0012, NULL, 0);
	extension(&h, 0x0033, "\0\0", 2);
	extension(&h, 0x002d, "\1\1", 2);
	extension_list(&h, 0x002b, 1, WORDS(0xdada, 0x0304, 0x0303));
	extension(&h, 0x001b, "\2\0\2", 3);
	extension(&h, 0x4469, "\0\3\2h2", 5);
	extension(&h, 0x8a8a, "\0", 1);
	extension(&h, 0x0015, "\0\0\0", 3);
	close_vector(&h, all, 2);
	close_vector(&h, whole, 3);
	return h;
}

static void ja4_is_as_its_authors_say(void **state)
{
	struct built h = chrome();
	struct hello out;

	(void)state;
	assert_int_equal(hello_read(h.b, h.n, &out), 0);
	assert_string_equal(out.ja4, "t13d1516h2_8daaf6152771_e5627efa2ab1");
}

static void protocols_that_are_no_text_are_told_by_digits(void **state)
{
	struct hello out;
	struct built h;
	size_t whole = begin(&h, 0x0303, WORDS(0x1301)), all = open_vector(&h, 2);

	(void)state;
	extension(&h, 0x0010, "\0\4\3\xab" "b\xcd", 6);
	close_vector(&h, all, 2);
	close_vector(&h, whole, 3);
	assert_int_equal(hello_read(h.b, h.n, &out), 0);
	assert_memory_equal(out.ja4, "t12i0101ad_", 11);
	assert_string_equal(out.ja4 + 24, "e3b0c44298fc"); /* of no text */
}

/* It ends when it ends: every shorter one is refused, and none is read beyond its end. */
static void what_is_cut_off_is_refused(void **state)
{
	struct built h = chrome();
	struct hello out;

	(void)state;
	for (size_t n = 0; n < h.n; n++) {
		CLEANUP_FREE uint8_t *copy = xmalloc(n + 1);

		memcpy(copy, h.b, n);
		assert_int_equal(hello_read(copy, n, &out), -EINVAL);
	}
	h.b[0] = 2;
	assert_int_equal(hello_read(h.b, h.n, &out), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ja3_is_as_its_authors_say),
		cmocka_unit_test(ja4_is_as_its_authors_say),
		cmocka_unit_test(protocols_that_are_no_text_are_told_by_digits),
		cmocka_unit_test(what_is_cut_off_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
