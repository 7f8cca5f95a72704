#include "controller/link/ask.h"

#include "base/base.h"
#include "controller/link/fleet.h"

#define ALL_PIECES 4 /* a long answer may take so many limits, as long as there is something new within each */

struct ask {
	struct list link;        /* in the fleet */
	struct grave grave;
	struct timer limit;
	unsigned limit_ms;       /* for the next piece */
	uint64_t end_ns;         /* for all of them */
	struct fleet *fleet;
	char engine[64];         /* uuid: the engine may be gone */
	json_int_t n;
	const char *trouble;     /* known when it was asked */
	ask_heard *heard;
	void *arg;
};

static void ask_release(struct grave *g)
{
	free(CONTAINER_OF(g, struct ask, grave));
}

static void ask_end(struct ask *a, const json_t *piece, const char *trouble)
{
	timer_stop(a->fleet->loop, &a->limit);
	list_remove(&a->link);
	loop_bury(a->fleet->loop, &a->grave, ask_release);
	a->heard(a->arg, piece, true, trouble);
}

static void ask_late(struct timer *t)
{
	struct ask *a = CONTAINER_OF(t, struct ask, limit);

	ask_end(a, NULL, a->trouble ? a->trouble : "It did not answer in time.");
}

static const char stops[] = "The controller is stopping.";

/* Said in a turn of its own. */
static void ask_give_up(struct ask *a, const char *why)
{
	if (!a->trouble)
		timer_in(a->fleet->loop, &a->limit, 0, ask_late);
	a->trouble = a->trouble ? a->trouble : why;
}

void ask_engine(struct engine *e, json_t *question, unsigned limit_ms, ask_heard *heard, void *arg)
{
	struct fleet *f = e->fleet;
	struct ask *a = xcalloc(1, sizeof(*a));

	*a = (struct ask){ .limit_ms = limit_ms, .fleet = f, .n = ++f->asked, .heard = heard, .arg = arg };
	a->end_ns = loop_now(f->loop) + ALL_PIECES * limit_ms * NS_PER_MS;
	snprintf(a->engine, sizeof(a->engine), "%s", e->uuid);
	list_init(&a->link);
	list_insert(&f->asks, &a->link);
	json_object_set_new(question, "n", json_integer(a->n));
	json_object_set_new(question, "type", json_string("ask"));
	if (!session_ask(e, question))
		a->trouble = "It is not connected.";
	if (f->stops)
		a->trouble = stops;
	timer_in(f->loop, &a->limit, a->trouble ? 0 : limit_ms, ask_late);
}

void ask_answered(struct engine *e, const json_t *answer)
{
	json_int_t n = (json_int_t)json_int(answer, "n", 0);

	LIST_FOREACH(l, &e->fleet->asks) {
		struct ask *a = LIST_ENTRY(l, struct ask, link);
		const char *error = json_str(answer, "error", NULL);

		if (a->n != n || strcmp(a->engine, e->uuid) != 0)
			continue;
		if (json_is_true(json_object_get(answer, "more"))) {
			uint64_t next = loop_now(a->fleet->loop) + a->limit_ms * NS_PER_MS;

			if (!a->trouble)
				timer_at(a->fleet->loop, &a->limit, MIN(next, a->end_ns), ask_late);
			a->heard(a->arg, answer, false, NULL);
		} else {
			ask_end(a, error ? NULL : answer, error);
		}
		return;
	}
	e->traffic.unknown++; /* it comes too late, or nobody asked */
}

void ask_lost(struct engine *e, const char *why)
{
	LIST_FOREACH(l, &e->fleet->asks)
		if (strcmp(LIST_ENTRY(l, struct ask, link)->engine, e->uuid) == 0)
			ask_give_up(LIST_ENTRY(l, struct ask, link), why);
}

void asks_stop(struct fleet *f)
{
	f->stops = true;
	LIST_FOREACH(l, &f->asks)
		ask_give_up(LIST_ENTRY(l, struct ask, link), stops);
}
