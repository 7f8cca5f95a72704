#include "engine/health/probe.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/base.h"
#include "engine/bpf/mark.h"
#include "engine/health/ask.h"

#define LACK_MS 1000 /* until what the machine lacked may be there again */

static const struct { const char *text; unsigned moves; } states[] = {
#define X(name, text, moves) { text, moves },
	PROBE_STATES(X)
#undef X
};

void probe_move(struct probe *p, enum probe_state to)
{
	must(states[p->state].moves & 1u << to);
	p->state = to;
}

static void check_begin(struct timer *t);

/* Below MS. */
static uint64_t random_ms(uint64_t ms)
{
	static uint32_t pool[64]; /* each check wants some, and one system call brings many */
	static size_t left;

	if (!left) {
		random_bytes(pool, sizeof(pool));
		left = ARRAY_SIZE(pool);
	}
	left--;
	return ms ? pool[left] % ms : 0;
}

/* Random within 5 per cent around MS. */
static uint64_t jitter(uint64_t ms)
{
	return ms - ms / 20 + random_ms(ms / 10 + 1);
}

/* True when the verdict is another one now. */
static bool count(struct probe *p, enum verdict result)
{
	const struct question *q = &p->monitor->question;
	enum verdict before = p->verdict;

	p->checks++;
	p->failures += result != VERDICT_UP;
	p->passes = result == VERDICT_UP ? p->passes + 1 : 0;
	p->fails = result == VERDICT_UP ? 0 : p->fails + 1;
	p->maintained = result == VERDICT_MAINTENANCE ? p->maintained + 1 : 0;
	if (p->passes >= q->rises)
		p->verdict = VERDICT_UP;
	else if (p->fails >= q->falls)
		p->verdict = p->maintained >= q->falls ? VERDICT_MAINTENANCE : VERDICT_DOWN;
	return p->verdict != before;
}

static void hang_up(struct probe *p)
{
	p->monitor->question.ask->stop(p);
	free(p->in);
	p->in = NULL;
	p->in_len = 0;
	if (p->state != PROBE_WAITING)
		probe_move(p, PROBE_WAITING);
}

/*
 * Until the next check. Whoever just made up its mind goes to any place in the interval: probes that began
 * together do not go on together.
 */
static uint64_t pause_ms(const struct probe *p, bool fresh)
{
	const struct question *q = &p->monitor->question;
	uint64_t took = (loop_now(p->loop) - p->started_ns) / NS_PER_MS, wait;

	if (p->verdict == VERDICT_UNKNOWN && q->quick)
		wait = MIN((uint64_t)PROBE_QUICK_MS, q->interval_ms);
	else if (fresh && p->verdict == VERDICT_UP)
		wait = random_ms(q->interval_ms);
	else
		wait = jitter(q->interval_ms);
	return wait > took ? wait - took : 0;
}

void probe_end(struct probe *p, enum verdict result, const char *fmt, ...)
{
	bool fresh;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(p->reason, sizeof(p->reason), fmt, ap);
	va_end(ap);
	hang_up(p);
	fresh = count(p, result);
	timer_in_patient(p->loop, &p->timer, pause_ms(p, fresh), check_begin);
	p->checked(p, result == VERDICT_UP);
}

void probe_failed(struct probe *p, int rc)
{
	switch (-rc) {
	case EMFILE: case ENFILE: case ENOMEM: case ENOBUFS: case EAGAIN:
		hang_up(p);
		timer_in_patient(p->loop, &p->timer, jitter(LACK_MS), check_begin);
		break;
	case ECONNREFUSED:
		probe_end(p, VERDICT_DOWN, "connection refused");
		break;
	case ECONNRESET: case EPIPE:
		probe_end(p, VERDICT_DOWN, "connection reset while the check %s", states[p->state].text);
		break;
	default:
		probe_end(p, VERDICT_DOWN, "%s", strerror(-rc));
	}
}

bool probe_heard(const struct probe *p, const char *text)
{
	return memmem(p->in, p->in_len, text, strlen(text)) != NULL;
}

double probe_timeout_s(const struct probe *p)
{
	return (double)p->monitor->question.timeout_ms / 1000;
}

static void timed_out(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);

	p->monitor->question.ask->late(p);
}

static void check_begin(struct timer *t)
{
	struct probe *p = CONTAINER_OF(t, struct probe, timer);

	p->started_ns = loop_now(p->loop);
	p->in_len = p->sent = 0;
	p->ended = false;
	p->tasks = -1;
	/* Who answered in time has been listened to by then. */
	timer_in(p->loop, &p->timer, p->monitor->question.timeout_ms + LOOP_PATIENCE_MS, timed_out);
	p->monitor->question.ask->begin(p);
}

/* --- life --- */

/* Engines that began together do not ask the same server in the same moment. */
static uint64_t first_ms(const struct probe *p)
{
	return random_ms(MIN((uint64_t)20, p->monitor->question.interval_ms));
}

struct probe *probe_new(struct loop *l, struct monitor *m, const union address *a, struct pinger *pinger, void *owner,
			unsigned wait_ms, void (*checked)(struct probe *p, bool passed))
{
	struct probe *p = xcalloc(1, sizeof(*p));

	p->loop = l;
	p->monitor = m;
	p->pinger = pinger;
	p->owner = owner;
	p->address = *a;
	p->checked = checked;
	list_init(&p->link);
	list_init(&p->subscribers);
	snprintf(p->reason, sizeof(p->reason), "not checked yet");
	timer_in_patient(l, &p->timer, wait_ms + first_ms(p), check_begin);
	return p;
}

void probe_again(struct probe *p)
{
	p->passes = p->fails = p->maintained = 0;
	hang_up(p);
	free(p->out);
	p->out = NULL;
	timer_in_patient(p->loop, &p->timer, first_ms(p), check_begin);
}

static void release(struct grave *g)
{
	free(CONTAINER_OF(g, struct probe, grave));
}

void probe_free(struct probe *p)
{
	timer_stop(p->loop, &p->timer);
	hang_up(p);
	free(p->out);
	loop_bury(p->loop, &p->grave, release);
}

/* ---- marks: one map in a process ---- */

static int mark_map = -1;
static bool marks;

void probe_mark_map(int fd)
{
	mark_map = fd;
}

void probe_marks(bool wanted)
{
	marks = wanted;
}

void probe_mark(const struct probe *p, int fd)
{
	struct sock_mark m = { .flow_id = p->started_ns ^ (uint64_t)(uintptr_t)p << 20, .flags = MARK_MONITOR,
			       .service = MARK_MONITORS, .idle_s = 60 };
	union bpf_attr attr = { .map_fd = (uint32_t)mark_map };

	if (mark_map < 0 || !marks)
		return;
	attr.key = (uint64_t)(uintptr_t)&fd;
	attr.value = (uint64_t)(uintptr_t)&m;
	syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)); /* else it is nobody's, as before */
}
