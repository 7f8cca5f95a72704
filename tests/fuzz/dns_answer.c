/*
 * What a DNS server, or somebody in its place, answers to a health check. The first two bytes of an answer are
 * taken as the identity that is expected, so that most inputs are looked at.
 */
#include "base/base.h"

#include "engine/health/dns.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const unsigned types[] = { DNS_TYPE_A, DNS_TYPE_AAAA };
	uint16_t id = len > 1 ? (uint16_t)(data[0] << 8 | data[1]) : 0;
	uint8_t query[DNS_QUERY_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		struct dns_answer a;

		if (!dns_read(data, len, id, "www.example.com", types[i], i ? "fd00::1" : "192.0.2.7", &a))
			continue;
		must(a.of_type <= a.records && (!a.has_address || a.of_type));
	}
	if (len > 0) { /* and as a name that somebody configured */
		CLEANUP_FREE char *name = xstrndup((const char *)data, len);
		int n = dns_query(query, id, name, DNS_TYPE_A);

		must(n < 0 || n <= DNS_QUERY_MAX);
	}
	return 0;
}
