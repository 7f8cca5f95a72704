#include "controller/rest/aside.h"

#include "base/base.h"
#include "controller/controller.h"
#include "controller/pool.h"
#include "controller/rest/handlers.h"

struct errand {
	struct job job;
	struct request *q;
	void (*work)(struct request *q, void *arg);
	void (*done)(struct request *q);
	void *arg;
};

static void errand_work(struct job *j)
{
	struct errand *e = CONTAINER_OF(j, struct errand, job);

	e->work(e->q, e->arg);
}

static void errand_done(struct job *j)
{
	struct errand *e = CONTAINER_OF(j, struct errand, job);
	struct errand was = *e;

	free(e);
	was.done(was.q);
}

bool aside(struct request *q, void (*work)(struct request *q, void *arg), void (*done)(struct request *q), void *arg)
{
	struct errand *e = xcalloc(1, sizeof(*e));

	*e = (struct errand){ .job = { .work = errand_work, .done = errand_done }, .q = q, .work = work, .done = done, .arg = arg };
	if (pool_post(q->rest->c->pool, &e->job) == 0)
		return true;
	free(e);
	return false;
}
