#include "shell/interrupt.h"

#include <signal.h>

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

bool interrupt_seen(void)
{
	return seen;
}

void interrupt_forget(void)
{
	seen = 0;
}
