/*
 * head_mask - a head with secrets, in pieces: the first byte says how long they are.
 *
 * Whatever the pieces, the same is hidden; nothing becomes longer or shorter, and what changed became an asterisk.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/base.h"
#include "engine/clone/mask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t hide(char *p, size_t n, size_t piece)
{
	static const char *const words[] = { "cookie", "a", "ab" };
	static const struct mask_names names = { ARRAY_SIZE(words), words };
	struct mask m;
	size_t at = 0;

	mask_begin(&m);
	while (at < n && !m.done) {
		size_t used = mask_run(&m, &names, p + at, MIN(piece, n - at));

		must(used == MIN(piece, n - at) || m.done);
		at += used;
	}
	return at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	CLEANUP_FREE char *whole = xmalloc(size + 1), *parts = xmalloc(size + 1);
	size_t n, used;

	if (size < 1)
		return 0;
	n = size - 1;
	memcpy(whole, data + 1, n);
	memcpy(parts, data + 1, n);
	used = hide(whole, n, n + 1);
	must(hide(parts, n, data[0] % 16 + 1u) == used);
	must(memcmp(whole, parts, n) == 0);
	for (size_t i = 0; i < n; i++)
		must(whole[i] == (char)data[1 + i] || (whole[i] == '*' && i < used));
	return 0;
}
