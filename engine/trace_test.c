#include "base/test.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/trace.h"
#include "net/loop.h"

static void failed_must_tells_the_last_records_of_its_thread(void **state)
{
	static struct trace trace;
	char got[8192];
	size_t len = 0;
	ssize_t n;
	int fds[2], status;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	child = fork();
	if (child == 0) {
		dup2(fds[1], STDERR_FILENO);
		signal(SIGABRT, SIG_DFL); /* not cmocka's */
		trace_use(&trace, loop_new());
		trace_on_must();
		for (int i = 0; i < TRACE_RECORDS + 10; i++)
			trace_put(TRACE_STATE, 7, i, -i);
		must(child != 0);
	}
	close(fds[1]);
	while (len < sizeof(got) - 1 && (n = read(fds[0], got + len, sizeof(got) - 1 - len)) > 0)
		len += (size_t)n;
	got[len] = '\0';
	close(fds[0]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	assert_non_null(strstr(got, "child != 0"));
	assert_non_null(strstr(got, " state id=7 a=4105 b=-4105\n")); /* the newest, after the ring went round */
	assert_null(strstr(got, " a=0 "));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(failed_must_tells_the_last_records_of_its_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
