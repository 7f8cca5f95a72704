/*
 * client_hello - what a stranger says first in TLS, and what is known by it.
 *
 * What is read is as long as it should be and of the right letters; the same words say the same.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/tls/hello.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hello a, b;

	if (hello_read(data, size, &a) < 0)
		return 0;
	must(strlen(a.ja3) == 32 && strspn(a.ja3, "0123456789abcdef") == 32);
	must(strlen(a.ja4) == 36 && a.ja4[0] == 't' && a.ja4[10] == '_' && a.ja4[23] == '_');
	must(hello_read(data, size, &b) == 0 && memcmp(&a, &b, sizeof(a)) == 0);
	return 0;
}
