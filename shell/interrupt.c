#include "shell/interrupt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>

static volatile sig_atomic_t seen;

static void on_signal(int number)
{
	(void)number;
	seen = 1;
}

void interrupt_catch(void)
{
	/* No SA_RESTART: what waits for a key or a timer is to wake up. */
	struct sigaction a = { .sa_handler = on_signal };

	sigaction(SIGINT, &a, NULL);
}

bool interrupt_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	sigset_t blocked, before;
	int rc = -1;

	/* Between the look at `seen` and the wait nothing may slip through. */
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGINT);
	sigprocmask(SIG_BLOCK, &blocked, &before);
	while (!seen && (rc = ppoll(&p, 1, NULL, &before)) < 0 && errno == EINTR && !seen)
		;
	sigprocmask(SIG_SETMASK, &before, NULL);
	return !seen;
}

bool interrupt_seen(void)
{
	return seen;
}

void interrupt_forget(void)
{
	seen = 0;
}
