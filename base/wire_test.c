#include "base/test.h"

#include "base/wire.h"

static void numbers(void **state)
{
	(void)state;
	static const uint8_t want[] = { 0, 0x12, 0x34, 0xde, 0xad, 0xbe, 0xef, 7, 8, 0 };
	uint8_t b[sizeof(want)] = { 0 }, *end;

	end = wire_put(wire_put32(wire_put16(b + 1, 0x1234), 0xdeadbeef), (uint8_t[]){ 7, 8 }, 2);
	assert_ptr_equal(end, b + 9);
	assert_memory_equal(b, want, sizeof(want));
	assert_int_equal(wire_get16(b + 1), 0x1234);
	assert_int_equal(wire_get32(b + 3), 0xdeadbeef);
}

/* Word by word, as the RFC describes it. */
static uint16_t slow(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void checksums(void **state)
{
	(void)state;
	/* An IPv4 header that is known to be right, and the example of RFC 1071. */
	static const uint8_t ip[20] = { 0x45, 0x00, 0x00, 0x73, 0x00, 0x00, 0x40, 0x00, 0x40, 0x11,
					0xb8, 0x61, 0xc0, 0xa8, 0x00, 0x01, 0xc0, 0xa8, 0x00, 0xc7 };
	static const uint8_t rfc[8] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7 };
	uint8_t data[1500];
	uint32_t dice = 1;

	assert_int_equal(wire_fold(wire_sum(0, ip, sizeof(ip))), 0xffff);
	assert_int_equal(wire_checksum(rfc, sizeof(rfc)), htons((uint16_t)~0xddf2));
	assert_int_equal(wire_checksum(NULL, 0), 0xffff);
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)((dice = dice * 1103515245 + 12345) >> 16);
	for (size_t from = 0; from < 9; from++)
		for (size_t n = 0; n < 40; n++)
			assert_int_equal(wire_checksum(data + from, n), htons(slow(data + from, n)));
	/* In pieces, and with what is in a pseudo header only. */
	for (size_t cut = 0; cut < sizeof(data); cut += 2)
		assert_int_equal(wire_fold(wire_sum(wire_sum(0, data, cut), data + cut, sizeof(data) - cut)),
				 (uint16_t)~htons(slow(data, sizeof(data))));
	wire_put32(data + 8, 0x12345678);
	wire_put16(data + 12, 6);
	assert_int_equal(wire_fold(wire_sum_number(wire_sum_number(wire_sum(0, data, 8), 0x12345678), 6)),
			 wire_fold(wire_sum(0, data, 14)));
	/* Carries beyond the widest word. */
	memset(data, 0xff, sizeof(data));
	assert_int_equal(wire_fold(wire_sum(0, data, sizeof(data))), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(numbers), cmocka_unit_test(checksums) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
