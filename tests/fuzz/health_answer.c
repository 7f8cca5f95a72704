/* What a server, or somebody in its place, answers to a health check by HTTP; all of it, and each beginning of it. */
#include "base/base.h"

#include "engine/health/http_answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	/* In memory that ends where the answer does. */
	for (size_t n = len > 64 ? len - 64 : 0; n <= len; n++) {
		CLEANUP_FREE char *s = xmalloc(n + !n);
		unsigned code;
		int tasks;

		if (n)
			memcpy(s, data, n);
		code = http_answer_code(s, n);
		tasks = http_answer_tasks(s, n);
		must(code == 0 || (code >= 100 && code <= 599));
		must(tasks >= -1 && tasks <= HTTP_ANSWER_TASKS_MAX + 9);
	}
	return 0;
}
