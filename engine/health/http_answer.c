#include "engine/health/http_answer.h"

#include <strings.h>

#include "base/base.h"

unsigned http_answer_code(const char *s, size_t n)
{
	bool good = n >= 12 && memcmp(s, "HTTP/1.", 7) == 0 && s[8] == ' ' && s[9] >= '1' && s[9] <= '5' && s[10] >= '0' &&
		    s[10] <= '9' && s[11] >= '0' && s[11] <= '9';

	return good ? (unsigned)((s[9] - '0') * 100 + (s[10] - '0') * 10 + s[11] - '0') : 0;
}

#define TASKS_HEADER "x-server-tasks:"

int http_answer_tasks(const char *s, size_t n)
{
	const char *end = memmem(s, n, "\r\n\r\n", 4), *line = s;

	n = end ? (size_t)(end - s) + 2 : n;
	while ((line = memchr(line, '\n', n - (size_t)(line - s)))) {
		size_t left = n - (size_t)(++line - s), at = sizeof(TASKS_HEADER) - 1;
		int tasks = -1;

		if (left <= at || strncasecmp(line, TASKS_HEADER, at) != 0)
			continue;
		while (at < left && (line[at] == ' ' || line[at] == '\t'))
			at++;
		for (; at < left && line[at] >= '0' && line[at] <= '9'; at++)
			tasks = MIN(MAX(tasks, 0), HTTP_ANSWER_TASKS_MAX / 10) * 10 + line[at] - '0';
		while (at < left && (line[at] == ' ' || line[at] == '\t'))
			at++;
		return at < left && line[at] == '\r' ? tasks : -1;
	}
	return -1;
}
