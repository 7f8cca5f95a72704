#include "engine/capture/trigger.h"

#include "base/base.h"
#include "base/filter.h"
#include "engine/capture/secrets.h"
#include "engine/records.h"
#include "engine/snapshot.h"
#include "model/structs.h"

#define TOLD_OF 64 /* services whose last word a worker knows */

struct trigger {
	uint64_t response_us;   /* 0: none takes too long */
	size_t n;
	struct filter *filters; /* all must hold; none: no request is meant */
};

const struct trigger *trigger_build(const struct packet_triggers *w, struct arena *a)
{
	struct trigger *t;

	if (!w || (!w->response_ms && !w->request_n))
		return NULL;
	t = arena_get(a, sizeof(*t));
	*t = (struct trigger){ .response_us = (uint64_t)w->response_ms * 1000 };
	t->filters = arena_get(a, (w->request_n + 1) * sizeof(*t->filters));
	for (size_t i = 0; i < w->request_n; i++)
		if (filter_read(w->request[i], &t->filters[t->n], NULL) == 0)
			t->n++;
	return t;
}

static bool may_tell(uint32_t service)
{
	static _Thread_local struct {
		uint32_t service;
		uint64_t at_ns;
	} told[TOLD_OF];
	uint64_t now = mono_ns();
	size_t i = service % TOLD_OF;

	if (told[i].service == service && now - told[i].at_ns < NS_PER_S)
		return false;
	told[i].service = service;
	told[i].at_ns = now;
	return true;
}

static void tell(uint32_t service, const char *trigger, const struct record *rec)
{
	struct secrets_line l = { .what = SECRETS_TRIGGER, .service = service };
	int n = snprintf(l.text, sizeof(l.text), "%s a request took %u ms and was answered %u, its id is %.*s", trigger,
			 rec->total_us / 1000, rec->status, (int)rec->texts[RECORD_T_REQUEST_ID].len,
			 rec->text + rec->texts[RECORD_T_REQUEST_ID].at);

	l.len = (uint32_t)MIN((size_t)MAX(n, 0), sizeof(l.text) - 1);
	secrets_send(&l);
}

void trigger_look(const struct snapshot *s, const struct record *rec)
{
	const struct trigger *t = s ? s->trigger : NULL;
	bool slow = t && t->response_us && rec->total_us > t->response_us;

	if (!t || !s->clone.service || (!slow && !(t->n && records_match(rec, t->filters, t->n))))
		return;
	if (may_tell(s->clone.service))
		tell(s->clone.service, slow ? "response_time" : "request", rec);
}
