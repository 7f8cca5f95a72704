/*
 * http_cookie - the Cookie header of a stranger, and the value in it that names a server.
 *
 * What is found lies in the text, has no semicolon, and names a server only when we made it.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/http/sticky.h"
#include "model/structs.h"
#include "net/cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const servers[] = { "10.0.0.1:80", "10.0.0.2:80" };
	static const struct sticky *sticky;
	static struct arena arena;
	const char *text = (const char *)data, *value;
	struct http_cookie_persistence_key key = { .name = "k", .aes_key = "a", .hmac_key = "h" };
	struct http_cookie_persistence_profile p = { .cookie_name = "a", .key = &key, .key_n = 1 };
	size_t n = 0, place;
	char line[STICKY_LINE];

	if (!sticky)
		sticky = sticky_new(&arena, &p, "pool-1", servers, 2);
	value = cookie_find(text, size, "a", 1, &n);
	if (!value)
		return 0;
	must(value >= text && value + n <= text + size);
	must(!memchr(value, ';', n));
	place = sticky_find(sticky, value, n, 7);
	if (place == SIZE_MAX)
		return 0;
	must(place < 2 && n == STICKY_VALUE);
	sticky_value(sticky, place, 7, line);
	must(memcmp(line + 2, value, 16) == 0); /* the server's part is ours */
	return 0;
}
