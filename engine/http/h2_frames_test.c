#include "base/test.h"

#include "engine/http/h2_frames.h"

enum { DATA, HEADERS };
#define PREFACE 24

static uint8_t said[PREFACE + 4 * (H2_HEAD + 70000)];

static size_t frame(size_t at, uint32_t len, uint8_t type, uint8_t stream)
{
	const uint8_t head[H2_HEAD] = { (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, 0, 0x80, 0, 1, stream };

	memcpy(said + at, head, H2_HEAD);
	memset(said + at + H2_HEAD, 0, len); /* heads of empty DATA, to whom loses his place */
	return at + H2_HEAD + len;
}

static void heads_are_found_however_the_bytes_are_cut(void **state)
{
	size_t n = PREFACE, behind[2];

	(void)state;
	n = frame(n, 70000, HEADERS, 1);
	n = frame(n, 0, DATA, 2);
	behind[0] = n;
	n = frame(n, 300, HEADERS, 3);
	behind[1] = n + H2_HEAD;
	n = frame(n, 20, DATA, 4);
	for (size_t piece = 1; piece < n; piece = piece < 40 ? piece + 1 : piece * 3) {
		struct h2_frames f = { .left = PREFACE };
		unsigned found = 0;

		for (size_t from = 0; from < n; from += piece) {
			size_t at = 0, len = n - from < piece ? n - from : piece;

			while (h2_frames_next(&f, said + from, len, &at, DATA)) {
				assert_int_equal(from + at, behind[found]);
				assert_int_equal(h2_frames_stream(&f), 0x100 + (found ? 4 : 2));
				found++;
			}
			assert_int_equal(at, len);
		}
		assert_int_equal(found, 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(heads_are_found_however_the_bytes_are_cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
