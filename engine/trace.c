#include "engine/trace.h"

#include <unistd.h>

#include "base/base.h"
#include "net/loop.h"

#define X(id, text) [id] = text,
static const char *const names[TRACE_N] = { TRACE_EVENTS(X) };
#undef X

static _Thread_local struct trace *mine;
static _Thread_local const struct loop *clock_of;

void trace_use(struct trace *t, const struct loop *l)
{
	mine = t;
	clock_of = l;
}

void trace_put(enum trace_event event, uint32_t id, int64_t a, int64_t b)
{
	struct trace *t = mine;

	if (!t)
		return;
	t->ring[t->next++ % TRACE_RECORDS] = (struct trace_record){ loop_now(clock_of), event, id, a, b };
}

/* snprintf() is not for handlers: numbers are written by hand. */
static char *put_number(char *p, int64_t v)
{
	char digits[20];
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
	int n = 0;

	if (v < 0)
		*p++ = '-';
	do
		digits[n++] = (char)('0' + u % 10);
	while (u /= 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

static char *put_text(char *p, const char *s)
{
	while (*s)
		*p++ = *s++;
	return p;
}

static void dump(void)
{
	const struct trace *t = mine;
	uint64_t from;

	if (!t)
		return;
	from = t->next > 64 ? t->next - 64 : 0;
	for (uint64_t i = from; i < t->next; i++) {
		const struct trace_record *r = &t->ring[i % TRACE_RECORDS];
		char line[160], *p = line;

		p = put_text(p, "trace at_us=");
		p = put_number(p, (int64_t)(r->at_ns / NS_PER_US));
		*p++ = ' ';
		p = put_text(p, r->event < TRACE_N ? names[r->event] : "?");
		p = put_text(p, " id=");
		p = put_number(p, r->id);
		p = put_text(p, " a=");
		p = put_number(p, r->a);
		p = put_text(p, " b=");
		p = put_number(p, r->b);
		*p++ = '\n';
		if (write(STDERR_FILENO, line, (size_t)(p - line)) < 0)
			return;
	}
}

void trace_on_must(void)
{
	must_hook = dump;
}
