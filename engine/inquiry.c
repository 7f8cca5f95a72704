#include "engine/inquiry.h"

#include <errno.h>
#include <pthread.h>

#include "base/base.h"
#include "engine/link/link.h"
#include "engine/reach/tcp_flows.h"
#include "engine/records.h"
#include "net/inbox.h"
#include "net/lines.h"

#define PIECE      250 /* records of an answer in one line */
#define A_TURN     2   /* lines of it that leave at once: the warden has leases to renew */
#define FULL_MS    5   /* the channel is full: look again */

struct inquiries {
	struct loop *loop;
	struct inbox inbox;
	const struct records *records;
	struct link *link;
	unsigned running;
	bool ending;
};

struct line {
	struct list link;
	struct buf text;
};

struct look;

struct inquiry {
	struct message message;
	struct inquiries *all;
	pthread_t thread;
	const struct look *look;
	json_t *ask;
	json_t *piece;            /* the records of the next line */
	struct list lines;        /* the answer, in order */
	struct timer next;
};

static json_t *answer_to(const json_t *ask, bool more)
{
	return json_pack("{s:s, s:I, s:b}", "type", "answer", "n", (json_int_t)json_int(ask, "n", 0), "more", more);
}

static void refuse(struct inquiries *q, const json_t *ask, const char *why)
{
	json_t *a = answer_to(ask, false);

	json_object_set_new(a, "error", json_string(why));
	link_answer(q->link, a);
}

/* ---- its thread: all that takes long ---- */

/* Takes M. */
static void line_add(struct inquiry *i, json_t *m)
{
	struct line *l = xcalloc(1, sizeof(*l));

	lines_put(&l->text, m);
	list_init(&l->link);
	list_insert(&i->lines, &l->link);
}

static void piece_end(struct inquiry *i)
{
	json_t *a;

	if (!json_array_size(i->piece))
		return;
	a = answer_to(i->ask, true);
	json_object_set_new(a, "results", i->piece);
	i->piece = json_array();
	line_add(i, a);
}

static void give(void *arg, json_t *record)
{
	struct inquiry *i = arg;

	json_array_append_new(i->piece, record);
	if (json_array_size(i->piece) == PIECE)
		piece_end(i);
}

static void look_at_records(struct inquiry *i)
{
	json_t *last = answer_to(i->ask, false);
	uint64_t overwritten = 0;
	int64_t n = records_read(i->all->records, i->ask, give, i, &overwritten);

	piece_end(i);
	json_object_set_new(last, "count", json_integer(n));
	json_object_set_new(last, "overwritten", json_integer((json_int_t)overwritten));
	line_add(i, last);
}

static void look_at_flows(struct inquiry *i)
{
	json_t *a = answer_to(i->ask, false);

	json_object_set_new(a, "data", tcp_flows_json());
	line_add(i, a);
}

static const struct look {
	const char *what;
	void (*work)(struct inquiry *i);
} looks[] = {
	{ "logs", look_at_records },
	{ "tcp-flows", look_at_flows },
};

/* ---- the warden's thread ---- */

static void line_free(struct line *l)
{
	list_remove(&l->link);
	buf_fini(&l->text);
	free(l);
}

static void say(struct timer *t)
{
	struct inquiry *i = CONTAINER_OF(t, struct inquiry, next);
	struct inquiries *q = i->all;
	int rc = 0;

	for (unsigned n = 0; n < A_TURN && !list_empty(&i->lines) && rc == 0; n++) {
		struct line *l = LIST_ENTRY(i->lines.next, struct line, link);

		rc = q->ending ? -ENOTCONN : link_answer_text(q->link, l->text.data, l->text.len);
		if (rc == 0)
			line_free(l);
	}
	while (rc == -ENOTCONN && !list_empty(&i->lines))
		line_free(LIST_ENTRY(i->lines.next, struct line, link));
	if (!list_empty(&i->lines)) {
		timer_in(q->loop, t, rc == -EAGAIN ? FULL_MS : 0, say);
		return;
	}
	q->running--;
	json_decref(i->piece);
	json_decref(i->ask);
	free(i);
}

static void done(struct message *m)
{
	struct inquiry *i = CONTAINER_OF(m, struct inquiry, message);

	pthread_join(i->thread, NULL);
	say(&i->next);
}

static void *run(void *arg)
{
	struct inquiry *i = arg;

	i->look->work(i);
	inbox_post(&i->all->inbox, &i->message, done);
	return NULL;
}

struct inquiries *inquiries_new(struct loop *l, const struct records *r, struct link *k)
{
	struct inquiries *q = xcalloc(1, sizeof(*q));

	q->loop = l;
	q->records = r;
	q->link = k;
	must(inbox_init(&q->inbox, l) == 0);
	return q;
}

void inquiries_take(struct inquiries *q, const json_t *ask)
{
	const struct look *look = NULL;
	struct inquiry *i;

	for (size_t l = 0; l < ARRAY_SIZE(looks); l++)
		if (strcmp(json_str(ask, "what", ""), looks[l].what) == 0)
			look = &looks[l];
	if (!look) {
		refuse(q, ask, "This engine does not know the question.");
		return;
	}
	if (q->running == INQUIRIES_MAX) {
		refuse(q, ask, "This engine answers other questions at the moment.");
		return;
	}
	i = xcalloc(1, sizeof(*i));
	i->all = q;
	i->look = look;
	i->ask = json_deep_copy(ask); /* counts of references are no thread's but one's */
	i->piece = json_array();
	list_init(&i->lines);
	q->running++;
	must(pthread_create(&i->thread, NULL, run, i) == 0);
}

void inquiries_free(struct inquiries *q)
{
	if (!q)
		return;
	q->ending = true;
	while (q->running)
		loop_turn(q->loop, 100);
	inbox_fini(&q->inbox);
	free(q);
}
