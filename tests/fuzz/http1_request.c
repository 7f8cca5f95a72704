/* Requests that follow each other on a connection. */
#include "tests/fuzz/http1_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	http1_oracle(HTTP1_REQUEST, false, (const char *)data, len);
	return 0;
}
