#include "base/test.h"

#include "controller/capture/film.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "net/packets.h"

struct world {
	struct loop *loop;
	struct inbox inbox;
	char dir[64], path[80];
	struct film *film;
	char full[200], trouble[200];
	bool done;
	uint64_t packets, of_first; /* at its end: in the file, and of source 0 */
};

static void full(void *arg, const char *reason)
{
	struct world *w = arg;

	assert_string_equal(w->full, "");
	snprintf(w->full, sizeof(w->full), "%s", reason);
}

static void done(void *arg, const char *trouble)
{
	struct world *w = arg;

	w->done = true;
	w->packets = film_packets(w->film);
	w->of_first = film_count(w->film, 0).packets;
	snprintf(w->trouble, sizeof(w->trouble), "%s", trouble ? trouble : "");
}

static struct world *world_new(struct film_config c)
{
	struct world *w = xcalloc(1, sizeof(*w));
	struct err e = { 0 };

	w->loop = loop_new();
	assert_int_equal(inbox_init(&w->inbox, w->loop), 0);
	snprintf(w->dir, sizeof(w->dir), "/tmp/film-test-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->path, sizeof(w->path), "%s/film", w->dir);
	c.path = w->path;
	c.comment = c.hardware = "test";
	c.home = &w->inbox;
	c.full = full;
	c.done = done;
	c.arg = w;
	assert_int_equal(film_new(&c, &w->film, &e), 0);
	return w;
}

/* N packets of 100 bytes from AT_NS on, a microsecond apart. */
static void block(struct world *w, unsigned source, unsigned n, uint64_t at_ns)
{
	static const uint8_t data[100] = "Ethernet, IP, TCP and so on";
	struct buf b = BUF_INIT;

	packets_put_text(&b, PACKETS_PORT, 1, "front0");
	for (unsigned i = 0; i < n; i++)
		packets_put_frame(&b, &(struct packets_frame){ .at_ns = at_ns + i * 1000, .port = 1, .flow = i, .wire_len = 100,
							       .worker = PACKETS_NO_WORKER, .len = 100, .data = data });
	buf_cstr(&b);
	assert_true(film_block(w->film, source, memcpy(xmalloc(b.len), b.data, b.len), b.len, at_ns + n * 1000));
	buf_fini(&b);
}

static void wait_for(struct world *w, const bool *what)
{
	for (int i = 0; i < 1000 && !*what; i++)
		loop_turn(w->loop, 10);
	assert_true(*what);
}

static void world_end(struct world *w)
{
	film_end(w->film);
	wait_for(w, &w->done);
	assert_string_equal(w->trouble, "");
}

static void world_free(struct world *w)
{
	unlink(w->path);
	rmdir(w->dir);
	inbox_fini(&w->inbox);
	loop_free(w->loop);
	free(w);
}

/* The blocks of the file, one behind the other to its very end: how many of packets. */
static unsigned packets_of(const struct world *w, size_t *size)
{
	CLEANUP_FREE char *text = NULL;
	unsigned n = 0;
	size_t at = 0;

	assert_int_equal(file_read(w->path, 64 << 20, &text, size), 0);
	while (at < *size) {
		uint32_t type, len, again;

		assert_true(at + 12 <= *size);
		memcpy(&type, text + at, 4);
		memcpy(&len, text + at + 4, 4);
		assert_true(len % 4 == 0 && at + len <= *size);
		memcpy(&again, text + at + len - 4, 4);
		assert_int_equal(len, again);
		n += type == PCAPNG_PACKET;
		at += len;
	}
	return n;
}

static void it_is_never_larger_than_it_may_be(void **state)
{
	(void)state;
	for (uint64_t max = 3000; max < 4000; max += 77) {
		struct world *w = world_new((struct film_config){ .bytes_max = max });
		size_t size;

		film_source(w->film, "engine1", 0, 0);
		film_source(w->film, "engine2", 0, 0);
		block(w, 0, 100, NS_PER_S);
		block(w, 1, 100, NS_PER_S);
		world_end(w);
		assert_string_equal(w->full, "size");
		assert_true(packets_of(w, &size) > 3);
		assert_true(size <= max && size > max - 1300);
		world_free(w);
	}
}

/* The stamps of the packets, nanoseconds, in the file's order. */
static unsigned stamps_of(const struct world *w, bool classic, uint64_t *stamps, unsigned max)
{
	CLEANUP_FREE char *text = NULL;
	size_t size, at = classic ? 24 : 0;
	unsigned n = 0;

	assert_int_equal(file_read(w->path, 64 << 20, &text, &size), 0);
	while (at < size && n < max) {
		uint32_t words[5] = { 0 };

		memcpy(words, text + at, MIN(sizeof(words), size - at));
		if (classic)
			stamps[n++] = words[0] * NS_PER_S + words[1];
		else if (words[0] == PCAPNG_PACKET)
			stamps[n++] = (uint64_t)words[3] << 32 | words[4];
		at += classic ? 16 + words[2] : words[1];
	}
	assert_true(at == size);
	return n;
}

static void the_newest_stay_when_it_goes_on(void **state)
{
	const struct pcapng_name name = { IN6ADDR_LOOPBACK_INIT, "the shop" };

	(void)state;
	for (unsigned classic = 0; classic < 2; classic++) {
		struct world *w = world_new((struct film_config){ .bytes_max = 40000, .pieces = 4, .classic = classic, .keys = true,
								     .names = &name, .n_names = 1 });
		static uint64_t stamps[2000];
		struct buf b = BUF_INIT;
		struct stat st;
		unsigned n;

		film_source(w->film, "engine1", 0, 0);
		film_source(w->film, "engine2", 0, 0);
		packets_put_text(&b, PACKETS_SECRET, 0, "CLIENT_RANDOM 1 2");
		assert_true(film_block(w->film, 0, memcpy(xmalloc(b.len), b.data, b.len), b.len, 1));
		for (unsigned i = 0; i < 20; i++) {
			block(w, 0, 60, NS_PER_S + 2 * i * 100000);
			block(w, 1, 60, NS_PER_S + (2 * i + 1) * 100000);
		}
		world_end(w);
		assert_string_equal(w->full, "");
		assert_int_equal(stat(w->path, &st), 0);
		assert_in_range(st.st_size, 40000 / 2, 40000);
		n = stamps_of(w, classic, stamps, 2000);
		assert_true(n == w->packets && w->of_first > 0 && w->of_first < n);
		/* Without a gap up to the last one. */
		for (unsigned i = n; i-- > 0;) {
			unsigned back = 2399 - (n - 1 - i);

			assert_true(stamps[i] == NS_PER_S + back / 60 * 100000 + back % 60 * 1000);
		}
		if (!classic) {
			CLEANUP_FREE char *text = NULL;
			size_t size;

			packets_of(w, &size);
			assert_int_equal(file_read(w->path, 64 << 20, &text, &size), 0);
			assert_non_null(memmem(text, size, "CLIENT_RANDOM 1 2", 17));
			assert_non_null(memmem(text, size, "engine1:front0", 14));
			assert_non_null(memmem(text, size, "the shop", 8));
		}
		buf_fini(&b);
		world_free(w);
	}
}

/* editcap, mergecap and reordercap refuse a file that has anything else before its first interface. */
static void the_first_block_is_an_interface(void **state)
{
	const struct pcapng_name name = { IN6ADDR_LOOPBACK_INIT, "the shop" };
	struct world *w = world_new((struct film_config){ .bytes_max = 1 << 20, .keys = true, .names = &name, .n_names = 1 });
	CLEANUP_FREE char *text = NULL;
	uint32_t types[6] = { 0 }, len;
	struct buf b = BUF_INIT;
	size_t size, at = 0;

	(void)state;
	film_source(w->film, "engine1", 0, 0);
	packets_put_text(&b, PACKETS_SECRET, 0, "CLIENT_RANDOM 1 2");
	assert_true(film_block(w->film, 0, memcpy(xmalloc(b.len), b.data, b.len), b.len, 1));
	block(w, 0, 1, NS_PER_S);
	world_end(w);
	assert_int_equal(packets_of(w, &size), 1);
	assert_int_equal(file_read(w->path, 64 << 20, &text, &size), 0);
	for (unsigned i = 0; i < ARRAY_SIZE(types) && at < size; i++, at += len) {
		memcpy(&types[i], text + at, 4);
		memcpy(&len, text + at + 4, 4);
	}
	/* Section; interface, names, secrets; packet, statistics. */
	assert_memory_equal(types, ((uint32_t[]){ 0x0A0D0D0A, 1, 4, 10, PCAPNG_PACKET, 5 }), sizeof(types));
	buf_fini(&b);
	world_free(w);
}

/* Larger than what stays in the cache, and, when it goes on, another file meanwhile. */
static void a_long_film_is_whole(void **state)
{
	(void)state;
	for (unsigned pieces = 1; pieces <= 3; pieces += 2) {
		struct world *w = world_new((struct film_config){ .bytes_max = pieces > 1 ? 15 << 20 : 64 << 20, .pieces = pieces });
		static uint64_t stamps[120001];
		size_t size;
		unsigned n;

		film_source(w->film, "engine1", 0, 0);
		for (unsigned i = 0; i < 120; i++)
			block(w, 0, 1000, NS_PER_S + i * NS_PER_MS);
		world_end(w);
		n = stamps_of(w, false, stamps, ARRAY_SIZE(stamps));
		assert_int_equal(n, packets_of(w, &size));
		assert_true(n == w->packets && (pieces > 1 ? n > 50000 && n < 120000 : n == 120000));
		assert_true(size > (pieces > 1 ? 9u << 20 : 19u << 20));
		for (unsigned i = 0; i < n; i++)
			assert_int_equal(stamps[i], NS_PER_S + (120000 - n + i) * 1000ULL);
		world_free(w);
	}
}

static void so_many_packets_are_so_many(void **state)
{
	struct world *w = world_new((struct film_config){ .bytes_max = 10 << 20, .packets_max = 123 });
	size_t size;

	(void)state;
	film_source(w->film, "engine1", 0, 0);
	block(w, 0, 100, NS_PER_S);
	block(w, 0, 100, 2 * NS_PER_S);
	world_end(w);
	assert_string_equal(w->full, "packets");
	assert_int_equal(packets_of(w, &size), 123);
	world_free(w);
}

/* Killed in the middle of a packet. */
static void a_file_that_broke_off_is_mended(void **state)
{
	struct world *w = world_new((struct film_config){ .bytes_max = 10 << 20 });
	size_t size, now;
	unsigned n;

	(void)state;
	film_source(w->film, "engine1", 0, 0);
	block(w, 0, 50, NS_PER_S);
	world_end(w);
	n = packets_of(w, &size);
	assert_int_equal(n, 50);
	for (size_t cut = size - 1; cut > size - 700; cut -= 13) {
		assert_int_equal(truncate(w->path, (off_t)cut), 0);
		n = (unsigned)film_mend(w->path);
		assert_int_equal(packets_of(w, &now), n);
		assert_true(now <= cut);
	}
	assert_true(n >= 46);
	world_free(w);
}

static void a_source_that_is_broken_spoils_nothing(void **state)
{
	struct world *w = world_new((struct film_config){ .bytes_max = 10 << 20 });
	size_t size;

	(void)state;
	film_source(w->film, "good", 0, 0);
	film_source(w->film, "broken", 5 * NS_PER_S, 1000);
	block(w, 0, 10, NS_PER_S);
	assert_true(film_block(w->film, 1, xstrdup("nonsense of sixteen"), 16, NS_PER_S));
	block(w, 1, 10, NS_PER_S);
	block(w, 0, 10, 2 * NS_PER_S);
	world_end(w);
	assert_int_equal(packets_of(w, &size), 20);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_never_larger_than_it_may_be),
		cmocka_unit_test(the_newest_stay_when_it_goes_on),
		cmocka_unit_test(the_first_block_is_an_interface),
		cmocka_unit_test(a_long_film_is_whole),
		cmocka_unit_test(so_many_packets_are_so_many),
		cmocka_unit_test(a_file_that_broke_off_is_mended),
		cmocka_unit_test(a_source_that_is_broken_spoils_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
