#include "engine/process.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/base.h"
#include "base/log.h"
#include "engine/channel.h"

#define PINGS         64       /* whose times are remembered; more than PROCESS_MISSED */
#define QUICK_MS      1000     /* who ends earlier has not begun */
#define QUICK_FREE    3        /* so many may, in a row, before there are pauses */
#define PAUSE_MAX_MS  5000
#define STOP_MS       1000

struct process {
	struct loop *loop;
	struct process_user *user;
	struct channel_user channel_user;
	struct channel *channel;
	struct watch death;        /* of the pidfd */
	struct watch pulse;
	struct timer ping, restart;
	struct grave grave;
	int pid;
	const char *why;           /* we ended it: a sentence */
	bool hung;
	uint64_t started_ns, proof_ns;
	uint64_t sent_ns[PINGS], n_sent, n_answered, asked_ns;
	unsigned quick;            /* ends in a row that came too soon */
};

static void start(struct process *p);

static void kill_it(struct process *p, const char *why)
{
	if (p->pid && !p->why) {
		p->why = why;
		kill(p->pid, SIGKILL);
	}
}

static void restart_now(struct timer *t)
{
	start(CONTAINER_OF(t, struct process, restart));
}

static void restart_later(struct process *p)
{
	uint64_t pause_ms = 0;

	p->quick = loop_now(p->loop) - p->started_ns < QUICK_MS * NS_PER_MS ? p->quick + 1 : 0;
	if (p->quick > QUICK_FREE)
		pause_ms = MIN((uint64_t)PAUSE_MAX_MS, 100ULL << MIN(p->quick - QUICK_FREE - 1, 10u));
	if (pause_ms) {
		log_warn("proxy_restart_delayed ends_in_a_row=%u pause_ms=%llu", p->quick,
			 (unsigned long long)pause_ms);
		timer_in(p->loop, &p->restart, pause_ms, restart_now);
	} else {
		start(p);
	}
}

/* ---- its end ---- */

static const char *how_it_ended(const struct process *p, const siginfo_t *si, char *buf, size_t size)
{
	if (p->why)
		return p->why;
	if (si->si_code == CLD_EXITED)
		snprintf(buf, size, "It ended with status %d.", si->si_status);
	else
		snprintf(buf, size, "It was ended by signal %d (%s).", si->si_status, strsignal(si->si_status));
	return buf;
}

static void reap(struct process *p, siginfo_t *si)
{
	*si = (siginfo_t){ 0 };
	waitid(P_PID, (id_t)p->pid, si, WEXITED);
	watch_stop(p->loop, &p->death);
	close(p->death.fd);
	timer_stop(p->loop, &p->ping);
	watch_close(p->loop, &p->pulse);
	channel_free(p->channel);
	p->channel = NULL;
	p->pid = 0;
	p->proof_ns = 0;
}

static void died(struct watch *w, uint32_t events)
{
	struct process *p = CONTAINER_OF(w, struct process, death);
	char how[80];
	const char *why;
	siginfo_t si;
	int pid = p->pid;

	(void)events;
	reap(p, &si);
	why = how_it_ended(p, &si, how, sizeof(how));
	log_error("proxy_ended pid=%d reason=\"%s\"", pid, why);
	p->user->ended(p->user, why, p->hung);
	restart_later(p);
}

/* ---- its life ---- */

static void take_answers(struct process *p)
{
	uint64_t n;

	while (recv(p->pulse.fd, &n, sizeof(n), MSG_DONTWAIT) == sizeof(n)) {
		if (n >= p->n_sent || n < p->n_answered)
			continue; /* nobody asked that */
		p->n_answered = n + 1;
		if (p->n_sent - n <= PINGS)
			p->proof_ns = p->sent_ns[n % PINGS];
	}
}

static void pulse_ready(struct watch *w, uint32_t events)
{
	/* Nobody holds the other end: it is ending, as others will tell. */
	if (events & EPOLLHUP)
		watch_set(CONTAINER_OF(w, struct process, pulse)->loop, w, EPOLLET);
	take_answers(CONTAINER_OF(w, struct process, pulse));
}

static void ask(struct process *p)
{
	p->asked_ns = p->sent_ns[p->n_sent % PINGS] = mono_ns();
	/* It has room for more than may be missed. One that is lost is not answered. */
	(void)!send(p->pulse.fd, &p->n_sent, sizeof(p->n_sent), MSG_DONTWAIT | MSG_NOSIGNAL);
	p->n_sent++;
}

void process_breathe(struct process *p)
{
	if (!p->pulse.active)
		return;
	take_answers(p);
	if (mono_ns() - p->asked_ns >= PROCESS_PING_MS * NS_PER_MS)
		ask(p);
}

static void ping(struct timer *t)
{
	struct process *p = CONTAINER_OF(t, struct process, ping);
	uint64_t missed;

	take_answers(p); /* one may lie unread: timers come before descriptors */
	missed = p->n_sent - p->n_answered;
	timer_in(p->loop, &p->ping, PROCESS_PING_MS, ping);
	/* Counted in pings, not in time: a warden that was stopped itself accuses nobody. */
	if (missed >= (p->proof_ns ? PROCESS_MISSED : PROCESS_START_MS / PROCESS_PING_MS)) {
		p->hung = true;
		kill_it(p, "It did not answer and was killed.");
		return;
	}
	ask(p);
}

static void on_message(struct channel_user *u, const char *type, const json_t *m, int fd)
{
	struct process *p = CONTAINER_OF(u, struct process, channel_user);

	p->user->message(p->user, type, m, fd);
}

static void on_closed(struct channel_user *u, int rc)
{
	struct process *p = CONTAINER_OF(u, struct process, channel_user);

	/* It is ending by itself, most likely; if it is not, it must. */
	kill_it(p, rc < 0 ? "It broke the rules of the channel and was killed." : NULL);
}

/* CHANNEL and PULSE are none of the numbers that they get there: the lower ones are taken. */
static int spawn(int channel, int pulse, pid_t *pid)
{
	char name[] = "spanwire-engine", what[] = "--proxy";
	char *argv[] = { name, what, NULL }, *envp[] = { NULL, NULL };
	const char *journal = getenv("JOURNAL_STREAM");
	CLEANUP_FREE char *journal_env = journal ? xasprintf("JOURNAL_STREAM=%s", journal) : NULL;
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t none;
	int rc;

	envp[0] = journal_env;
	sigemptyset(&none);
	posix_spawn_file_actions_init(&files);
	posix_spawn_file_actions_adddup2(&files, channel, PROCESS_CHANNEL_FD);
	posix_spawn_file_actions_adddup2(&files, pulse, PROCESS_PULSE_FD);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawnattr_setsigmask(&attr, &none);
	rc = posix_spawn(pid, "/proc/self/exe", &files, &attr, argv, envp);
	posix_spawn_file_actions_destroy(&files);
	posix_spawnattr_destroy(&attr);
	return -rc;
}

static void close_any(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void start(struct process *p)
{
	int sv[2] = { -1, -1 }, pulse[2] = { -1, -1 }, pidfd, rc;

	p->started_ns = loop_now(p->loop);
	p->why = NULL;
	p->hung = false;
	p->n_sent = p->n_answered = 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pulse) < 0)
		rc = -errno;
	else
		rc = spawn(sv[1], pulse[1], &p->pid);
	close_any(&sv[1]);
	close_any(&pulse[1]);
	if (rc < 0) {
		close_any(&sv[0]);
		close_any(&pulse[0]);
		log_error("proxy_not_started reason=\"%s\"", strerror(-rc));
		p->pid = 0;
		timer_in(p->loop, &p->restart, PAUSE_MAX_MS, restart_now);
		return;
	}
	pidfd = (int)syscall(SYS_pidfd_open, p->pid, 0); /* it cannot be reaped before us */
	must(pidfd >= 0);
	must(watch_start(p->loop, &p->death, pidfd, EPOLLIN, died) == 0);
	p->channel_user = (struct channel_user){ on_message, on_closed };
	p->channel = channel_new(p->loop, sv[0], &p->channel_user);
	must(watch_start(p->loop, &p->pulse, pulse[0], EPOLLIN, pulse_ready) == 0);
	log_info("proxy_started pid=%d", p->pid);
	p->user->started(p->user);
	ping(&p->ping);
}

struct process *process_new(struct loop *l, struct process_user *u)
{
	struct process *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->user = u;
	return p;
}

void process_start(struct process *p)
{
	start(p);
}

void process_send(struct process *p, json_t *m, int fd)
{
	if (p->channel)
		channel_send(p->channel, m, fd);
	else
		json_decref(m);
}

void process_distrust(struct process *p)
{
	kill_it(p, "It broke the rules of the channel and was killed.");
}

uint64_t process_proof_ns(const struct process *p)
{
	return p->pid && !p->why ? p->proof_ns : 0;
}

int process_pid(const struct process *p)
{
	return p->pid;
}

static void release(struct grave *g)
{
	free(CONTAINER_OF(g, struct process, grave));
}

void process_free(struct process *p)
{
	siginfo_t si;

	if (!p)
		return;
	timer_stop(p->loop, &p->restart);
	if (p->pid) {
		struct timespec pause = { .tv_nsec = 2 * (long)NS_PER_MS };
		uint64_t deadline = mono_ns() + STOP_MS * NS_PER_MS;

		channel_send(p->channel, json_pack("{s:s}", "type", "stop"), -1);
		do {
			nanosleep(&pause, NULL);
			si = (siginfo_t){ 0 };
			waitid(P_PID, (id_t)p->pid, &si, WEXITED | WNOHANG | WNOWAIT);
		} while (!si.si_pid && mono_ns() < deadline);
		if (!si.si_pid)
			kill(p->pid, SIGKILL);
		reap(p, &si);
	}
	loop_bury(p->loop, &p->grave, release);
}
