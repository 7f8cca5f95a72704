/* Chunked bodies alone, so that the fuzzer need not find a head first. */
#include <string.h>

#include "tests/fuzz/http1_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char head[] =
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
	static char message[8192];

	if (len > sizeof(message) - sizeof(head))
		return 0;
	memcpy(message, head, sizeof(head) - 1);
	memcpy(message + sizeof(head) - 1, data, len);
	http1_oracle(HTTP1_REQUEST, false, message, sizeof(head) - 1 + len);
	return 0;
}
