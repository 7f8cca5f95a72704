/* Responses, to GET and to HEAD. */
#include "tests/fuzz/http1_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	http1_oracle(HTTP1_RESPONSE, false, (const char *)data, len);
	http1_oracle(HTTP1_RESPONSE, true, (const char *)data, len);
	return 0;
}
