#include "engine/inquiry.h"

#include <pthread.h>

#include "base/base.h"
#include "engine/link/link.h"
#include "engine/records.h"
#include "net/inbox.h"

#define PIECE 250 /* records of an answer in one line */

struct inquiries {
	struct loop *loop;
	struct inbox inbox;
	const struct records *records;
	struct link *link;
	unsigned running;
};

struct inquiry {
	struct message message;
	struct inquiries *all;
	pthread_t thread;
	json_t *ask;
	json_t *answers;          /* the messages, in order */
	json_t *piece;            /* results of the last of them */
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

static void give(void *arg, json_t *record)
{
	struct inquiry *i = arg;

	if (!i->piece || json_array_size(i->piece) == PIECE) {
		json_t *a = answer_to(i->ask, true);

		i->piece = json_array();
		json_object_set_new(a, "results", i->piece);
		json_array_append_new(i->answers, a);
	}
	json_array_append_new(i->piece, record);
}

static void *work(void *arg)
{
	struct inquiry *i = arg;
	json_t *last = answer_to(i->ask, false);
	uint64_t overwritten = 0;
	int64_t n = records_read(i->all->records, i->ask, give, i, &overwritten);

	json_object_set_new(last, "count", json_integer(n));
	json_object_set_new(last, "overwritten", json_integer((json_int_t)overwritten));
	json_array_append_new(i->answers, last);
	return i;
}

static void done(struct message *m)
{
	struct inquiry *i = CONTAINER_OF(m, struct inquiry, message);
	size_t at;
	json_t *a;

	pthread_join(i->thread, NULL);
	json_array_foreach(i->answers, at, a)
		link_answer(i->all->link, json_incref(a));
	i->all->running--;
	json_decref(i->answers);
	json_decref(i->ask);
	free(i);
}

static void *run(void *arg)
{
	struct inquiry *i = work(arg);

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
	struct inquiry *i;

	if (strcmp(json_str(ask, "what", ""), "logs") != 0) {
		refuse(q, ask, "This engine does not know the question.");
		return;
	}
	if (q->running == INQUIRIES_MAX) {
		refuse(q, ask, "This engine answers other questions at the moment.");
		return;
	}
	i = xcalloc(1, sizeof(*i));
	i->all = q;
	i->ask = json_deep_copy(ask); /* counts of references are no thread's but one's */
	i->answers = json_array();
	q->running++;
	must(pthread_create(&i->thread, NULL, run, i) == 0);
}

void inquiries_free(struct inquiries *q)
{
	if (!q)
		return;
	while (q->running)
		loop_turn(q->loop, 100);
	inbox_fini(&q->inbox);
	free(q);
}
